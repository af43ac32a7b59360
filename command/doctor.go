package command

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"weir/config"
	"weir/tokens"
	"weir/upstream"
)

func doctorCommand(s *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor [DEPLOYMENT...]",
		Short: "Look at every backend and deployment, and say what is wrong and how to mend it",
		Long: "Look at every backend and every deployment of the configuration that serve would\n" +
			"take, and print one table of what was seen, with the mend and the line of the\n" +
			"configuration for each fault. The exit code is 1 where a check failed.\n\n" +
			"It asks nobody twice: each backend for its models, which is free, and each deployment\n" +
			"for at most two answers of a few tokens. It says so before the first, and goes on\n" +
			"without asking. With names, of models or deployments, it looks at these alone; without\n" +
			"a configuration file only they say which deployments there are.",
		Args: cobra.ArbitraryArgs,
	}
	path, form := configFlag(cmd), outputFlag(cmd)
	timeout := cmd.Flags().Duration("timeout", 10*time.Second, "how long each single check may take")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if *timeout <= 0 {
			return usageError{fmt.Errorf("--timeout must be longer than nothing, not %v", *timeout)}
		}
		d := &doctor{streams: s, timeout: *timeout, now: time.Now, getenv: os.LookupEnv, lookup: net.DefaultResolver.LookupHost}
		return d.run(cmd.Context(), *path, *form, names)
	}
	return cmd
}

// doctor examines what a configuration names.
type doctor struct {
	*streams
	timeout time.Duration // of each check
	now     func() time.Time
	getenv  func(string) (string, bool)
	lookup  func(ctx context.Context, host string) ([]string, error)
	roots   *x509.CertPool // whom TLS trusts; nil: whom the machine trusts

	file    *config.File
	where   func(path string) (file string, line int)
	secrets []string // of the configuration
}

func (d *doctor) run(ctx context.Context, path string, form output, names []string) error {
	f, _, err := d.load(path, sources{})
	if err != nil {
		return err
	}
	found, _ := chosen(path)
	d.file, d.where, d.secrets = f, config.Where(found, options()), secretsOf(f)
	backends, err := d.backends(names)
	if err != nil {
		return err
	}
	d.announce(backends)
	var wg sync.WaitGroup
	for _, e := range backends {
		wg.Go(func() { e.examine(ctx) })
	}
	wg.Wait()
	return d.report(form, cmp.Or(found, "environment"), append([]*examination{d.surroundings()}, backends...))
}

// subject is a deployment to be asked.
type subject struct {
	upstream.Deployment

	path   string // of its place in the configuration
	models []served
}

// served is a model that a deployment serves.
type served struct {
	path  string // of the model in the configuration
	base  string // what it is said to be
	facts tokens.Model
}

// backends returns what is to be examined: all that the configuration has, or
// what of it has one of the names.
func (d *doctor) backends(names []string) ([]*examination, error) {
	b := &builder{file: d.file, parts: Parts{Log: slog.New(slog.DiscardHandler)}}
	all, err := d.examinations(b)
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, model := range slices.Sorted(maps.Keys(d.file.Models)) {
		if err := d.subjects(b, all, model, wanted{names, used}); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		if e := all[d.file.PassThrough]; e != nil {
			s := subject{Deployment: e.at, models: []served{{base: name, facts: tokens.Lookup(name)}}}
			s.Name, used[name] = name, true
			e.subjects = append(e.subjects, &s)
		}
		if !used[name] {
			return nil, fmt.Errorf("no model and no deployment is called %q in the configuration", name)
		}
	}
	var list []*examination
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if e := all[name]; len(names) == 0 || len(e.subjects) > 0 {
			list = append(list, e)
		}
	}
	return list, nil
}

// examinations returns one for each backend, without deployments. The builder
// connects as the doctor does from then on.
func (d *doctor) examinations(b *builder) (map[string]*examination, error) {
	direct := upstream.Connection{Connect: d.timeout, PerHost: 1, Roots: d.roots}
	if err := b.connect(direct); err != nil {
		return nil, err
	}
	all := map[string]*examination{}
	for name, backend := range d.file.Backends {
		at, err := b.deployment(config.Deployment{Backend: name, Deployment: "any"})
		if err != nil {
			return nil, err
		}
		way, _, err := connection(direct, wire{proxy: backend.Proxy, file: backend.CAFile})
		if err != nil {
			return nil, fmt.Errorf("command: backends.%s: %w", name, err)
		}
		all[name] = &examination{doctor: d, name: name, at: at, way: way}
	}
	return all, nil
}

// wanted says which deployments are to be asked.
type wanted struct {
	names []string // none: all
	used  map[string]bool
}

// has reports whether one of the names is among those that are asked for.
func (w wanted) has(names ...string) bool {
	found := len(w.names) == 0
	for _, name := range names {
		if slices.Contains(w.names, name) {
			found, w.used[name] = true, true
		}
	}
	return found
}

// subjects adds the deployments of a model to the backends that they are on. One
// that serves several models is asked once.
func (d *doctor) subjects(b *builder, all map[string]*examination, model string, want wanted) error {
	m := d.file.Models[model]
	s := served{path: "models." + model, base: cmp.Or(m.BaseModel, model), facts: b.facts(model, m)}
	for i, at := range m.Deployments {
		deployment, err := b.deployment(at)
		if err != nil {
			return err
		}
		if !want.has(model, at.Deployment, deployment.ID()) {
			continue
		}
		e := all[at.Backend]
		same := func(o *subject) bool { return strings.EqualFold(o.Name, at.Deployment) }
		if k := slices.IndexFunc(e.subjects, same); k >= 0 {
			e.subjects[k].models = append(e.subjects[k].models, s)
			continue
		}
		path := fmt.Sprintf("%s.deployments[%d]", s.path, i)
		e.subjects = append(e.subjects, &subject{Deployment: deployment, path: path, models: []served{s}})
	}
	return nil
}

// announce says what will be asked before anything is.
func (d *doctor) announce(backends []*examination) {
	asked, deployments := 0, 0
	for _, e := range backends {
		if d.file.Backends[e.name].Auth.PassThrough {
			continue
		}
		asked++
		for _, s := range e.subjects {
			if s.chats() {
				deployments++
			}
		}
	}
	_, _ = fmt.Fprintf(d.err, "weir doctor: asking %s for models, which is free, and %s for at most 2 answers each,\n"+
		"of %d token, or of %d where the model reasons.\n", // there is nowhere else to say it
		plural(asked, "backend"), plural(deployments, "deployment"), plainBound, reasoningBound)
}

// examination is what is found out about one backend and its deployments.
type examination struct {
	*doctor
	name     string
	at       upstream.Deployment // some deployment of it
	way      upstream.Connection // how it is connected to
	subjects []*subject
	models   []string // that it lists

	transport *http.Transport
	findings  []finding
	hidden    []string // credentials that were sent
	versioned bool     // something has been said of the api-version
	calls     int      // answers that were asked for
	prompt    int64    // tokens that they cost
	answer    int64
}

// examine looks from the outside in: what a fault hides is not asked.
func (e *examination) examine(ctx context.Context) {
	e.transport = upstream.NewTransport(e.way)
	defer e.transport.CloseIdleConnections()
	switch {
	case !e.reach(ctx):
		e.unasked("its backend is not reached")
	case e.file.Backends[e.name].Auth.PassThrough:
		e.add(finding{Check: "credential", Target: e.name, Result: gradeOK, Seen: "callers bring their own: nothing is asked in their place"})
	case !e.listing(ctx):
		e.unasked("its backend refuses us")
	default:
		for _, s := range e.subjects {
			e.ask(ctx, s)
		}
	}
}

// unasked notes that no deployment was asked, and why.
func (e *examination) unasked(why string) {
	for _, s := range e.subjects {
		e.add(finding{Check: "call", Target: s.ID(), Result: gradeFail, Seen: "not asked: " + why, Mend: "mend the backend first"})
	}
}

// chats reports whether the deployment can be asked for an answer.
func (s *subject) chats() bool {
	return !s.models[0].facts.Embedding && !s.models[0].facts.ResponsesOnly
}
