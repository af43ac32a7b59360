package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"weir/config"
	"weir/openai"
	"weir/telemetry"
)

// Reload makes f the configuration of the requests that come from now on. Those
// under way keep theirs. What the gateway knows is kept: levels of limits, leases,
// breakers, rests, queues, and what was learned of deployments. It returns the
// settings that hold only after a restart, and stay as they are. On an error
// nothing is changed.
func (g *Gateway) Reload(f *config.File) (restart []string, err error) {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	f, restart = heldBack(g.began, f)
	before := g.now.Load()
	next, err := g.serve(f, before)
	if err != nil {
		return nil, err
	}
	g.now.Store(next)
	g.measure(next)
	before.wires.leave(next.wires)
	g.state.alerts.PostTo(f.Telemetry.Alerts.Webhook.Reveal())
	return restart, nil
}

// heldBack returns f with the settings that are looked at only once as they were
// then, and the names of those that f has otherwise.
func heldBack(began, f *config.File) (next *config.File, restart []string) {
	own := *f
	for _, s := range []struct {
		name string
		of   func(*config.File) any // a pointer to it
	}{
		{"server.listen", func(f *config.File) any { return &f.Server.Listen }},
		{"server.admin_listen", func(f *config.File) any { return &f.Server.AdminListen }},
		{"server.tls", func(f *config.File) any { return &f.Server.TLS }},
		{"state.limits.store", func(f *config.File) any { return &f.State.Limits.Store }},
		{"state.limits.url", func(f *config.File) any { return &f.State.Limits.URL }},
		{"state.limits.replicas", func(f *config.File) any { return &f.State.Limits.Replicas }},
		{"state.limits.timeout", func(f *config.File) any { return &f.State.Limits.Timeout }},
		{"state.limits.slice", func(f *config.File) any { return &f.State.Limits.Slice }},
		{"state.ledger", func(f *config.File) any { return &f.State.Ledger }},
		{"telemetry.metrics", func(f *config.File) any { return &f.Telemetry.Metrics }},
		{"telemetry.log.format", func(f *config.File) any { return &f.Telemetry.Log.Format }},
	} {
		is, wanted := reflect.ValueOf(s.of(began)).Elem(), reflect.ValueOf(s.of(&own)).Elem()
		if !reflect.DeepEqual(is.Interface(), wanted.Interface()) {
			restart = append(restart, s.name)
			wanted.Set(is)
		}
	}
	return &own, restart
}

// reloader reads the configuration again when it is asked to.
type reloader struct {
	gateway *Gateway
	path    string // of the file; "" there is none
	log     *slog.Logger
	applied func(*config.File) // behind a change of the gateway

	busy sync.Mutex // held while the configuration is read and applied

	mu     sync.Mutex
	status telemetry.Reload
	holds  string  // the hash of the file that is served by
	read   sources // what was last read
}

// newReloader returns a reloader of a gateway that has just begun.
func newReloader(g *Gateway, at site, applied func(*config.File)) *reloader {
	r := &reloader{gateway: g, path: at.path, log: g.log, applied: applied}
	r.note(telemetry.Reload{OK: true, At: time.Now(), Hash: at.read.hash(at.path)}, at.read)
	return r
}

var (
	errNoFile  = errors.New("this gateway was started without a configuration file, so there is nothing to read again: restart it to change what it was started with")
	errInvalid = errors.New("the configuration has errors")
	errExposed = errors.New("the configuration wants other addresses, which hold after a restart, and lets in who could reach the present ones: restart, or leave server.listen")
)

// reload reads the file and lets the gateway serve by it. A file with errors
// changes nothing. Why says who asked.
func (r *reloader) reload(why string) telemetry.Reload {
	r.busy.Lock()
	defer r.busy.Unlock()
	if r.path == "" {
		r.log.Warn("nothing was reloaded", "asked_by", why, "reason", errNoFile.Error())
		return telemetry.Reload{At: time.Now(), Error: errNoFile.Error()}
	}
	from := sources{}
	f, problems, err := r.load(from)
	out := telemetry.Reload{At: time.Now(), Hash: from.hash(r.path)}
	for _, p := range problems {
		out.Problems = append(out.Problems, inOneLine(p))
	}
	if err == nil {
		r.gateway.parts.Encodings.Warm(encodings(f)...) // so that no request waits for a vocabulary
		out.Restart, err = r.gateway.Reload(f)
	}
	defer func() { r.note(out, from) }()
	if err != nil {
		out.Error = err.Error()
		r.log.Error("the configuration was not reloaded: the one before stays", "asked_by", why, "reason", err.Error(), "problems", out.Problems)
		return out
	}
	out.OK = true
	r.applied(f)
	log := r.log
	if len(out.Problems) > 0 {
		log = log.With("warnings", out.Problems)
	}
	log.Info("the configuration was reloaded", "asked_by", why, "hash", out.Hash)
	if len(out.Restart) > 0 {
		r.log.Warn("settings were changed that hold only after a restart", "settings", strings.Join(out.Restart, ", "))
	}
	return out
}

// load reads the file. What is safe on loopback is not where the gateway listens
// beyond it still.
func (r *reloader) load(from sources) (*config.File, []config.Problem, error) {
	o := from.options()
	f, problems := config.Load(r.path, o)
	if f == nil {
		return nil, problems, errInvalid
	}
	is := r.gateway.began.Server
	if is.Local() || !f.Server.Local() {
		return f, problems, nil
	}
	o.Getenv = func(name string) (string, bool) {
		if name == "WEIR_LISTEN" {
			return is.Listen, true
		}
		return os.LookupEnv(name)
	}
	if still, faults := config.Load(r.path, o); still == nil {
		return nil, faults, errExposed
	}
	return f, problems, nil
}

// inOneLine returns a problem with its place and its mend.
func inOneLine(p config.Problem) string {
	place := p.File
	if p.Line > 0 {
		place = fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	}
	if p.Path != "" {
		place += ": " + p.Path
	}
	text := fmt.Sprintf("%s: %s: %s (%s)", place, p.Severity, p.Message, p.Code)
	if p.Hint != "" {
		text += "; " + p.Hint
	}
	return text
}

// note keeps how a reload went, and shows it.
func (r *reloader) note(s telemetry.Reload, from sources) {
	r.mu.Lock()
	r.status, r.read = s, from
	if s.OK {
		r.holds = s.Hash
	}
	r.mu.Unlock()
	r.gateway.state.metrics.Reloaded(context.Background(), s)
}

// last returns how the last reload went.
func (r *reloader) last() telemetry.Reload {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.status
	s.Problems, s.Restart = slices.Clone(s.Problems), slices.Clone(s.Restart)
	return s
}

// hash returns that of the file that is served by, which is not the last that was
// read where that has errors.
func (r *reloader) hash() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.holds
}

// sources returns what the configuration was last read from.
func (r *reloader) sources() sources {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read
}

// reload reads the configuration again and answers how that went.
func (g *Gateway) reload(c echo.Context) error {
	r := g.reloader.Load()
	if r == nil {
		return &openai.Error{Status: http.StatusBadRequest, Code: openai.CodeInvalidValue, Message: "This gateway does not read its configuration again: restart it."}
	}
	s := r.reload("the admin port")
	status := http.StatusOK
	if !s.OK {
		status = http.StatusBadRequest
	}
	return c.JSONPretty(status, s, "  ")
}

// reloaded returns how reading the configuration went last, nil where nothing reads
// it again. What was wrong with it is for those alone who may use the admin
// endpoints.
func (g *Gateway) reloaded(asking *http.Request) *telemetry.Reload {
	r := g.reloader.Load()
	if r == nil {
		return nil
	}
	s := r.last()
	if g.admit(asking) != nil {
		s.Error, s.Problems = "", nil
	}
	return &s
}
