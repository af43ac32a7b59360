package command

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"weir/config"
	"weir/tokens"
	"weir/usage"
)

func serveCommand(s *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the OpenAI API (the default)",
		Args:  cobra.NoArgs,
	}
	servingFlags(s, cmd)
	return cmd
}

// servingFlags makes cmd serve.
func servingFlags(s *streams, cmd *cobra.Command) {
	path := configFlag(cmd)
	watched := cmd.Flags().Bool("watch", true, "read the configuration file again when it changes")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return s.serve(cmd.Context(), *path, *watched) }
}

// serve runs the gateway that the configuration describes until it is told to
// stop.
func (s *streams) serve(ctx context.Context, path string, watched bool) error {
	f, source, err := s.load(path)
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	log := s.logger(f, level)
	log.Info("configuration", "source", source)
	found, _ := chosen(path)
	return run(ctx, f, Parts{Log: log}, site{
		path: found, watched: watched && found != "", level: level,
		started: func(api, admin string) { log.Info("listening", "api", api, "admin", admin) },
	})
}

// site is where a gateway runs.
type site struct {
	path    string // of the configuration file; "" there is none
	watched bool   // it is read again when it changes
	level   *slog.LevelVar
	started func(api, admin string) // called when both ports listen
}

// load reads the configuration and reports its problems. Source says which it was
// and why that one.
func (s *streams) load(path string) (f *config.File, source string, err error) {
	f, problems, source := read(path)
	for _, p := range problems {
		_, _ = fmt.Fprintln(s.err, p) // there is nowhere else to say it
	}
	if f == nil {
		return nil, source, errConfiguration
	}
	return f, source, nil
}

// read reads the configuration from the file that is named, or else from
// weir.yaml where there is one, or else from the environment alone.
func read(path string) (f *config.File, problems []config.Problem, source string) {
	found, why := chosen(path)
	if found == "" {
		f, problems = config.FromEnvironment(options())
		return f, problems, "the environment: " + why
	}
	f, problems = config.Load(found, options())
	return f, problems, found + ": " + why
}

var errConfiguration = errors.New("the configuration has errors: nothing was started")

// chosen returns which configuration file to read, "" for none, and why that one.
func chosen(path string) (found, why string) {
	if path != "" {
		return path, "named with -c"
	}
	if path = os.Getenv("WEIR_CONFIG"); path != "" {
		return path, "named by WEIR_CONFIG"
	}
	if _, err := os.Stat(defaultFile); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return defaultFile, "found here"
	}
	return "", "no file was named and there is no " + defaultFile
}

const defaultFile = "weir.yaml"

// options returns what a configuration is read with.
func options() config.Options {
	return config.Options{
		Getenv: os.LookupEnv, ReadFile: os.ReadFile, Now: time.Now(),
		KnownModel: func(base string) (int, bool) {
			m := tokens.Lookup(base)
			return m.ContextWindow, m.Known
		},
		KnownPrice: func(base string) bool {
			_, ok := usage.PriceOf(base)
			return ok
		},
	}
}

// setLevel makes level the one that the configuration asks for.
func setLevel(level *slog.LevelVar, f *config.File) {
	_ = level.UnmarshalText([]byte(f.Telemetry.Log.Level)) // config has looked at it
}

// logger returns the log that the configuration asks for, from level on.
func (s *streams) logger(f *config.File, level *slog.LevelVar) *slog.Logger {
	setLevel(level, f)
	opts := &slog.HandlerOptions{Level: level}
	format := f.Telemetry.Log.Format
	if format == "text" || format == "auto" && s.terminal {
		return slog.New(slog.NewTextHandler(s.err, opts))
	}
	return slog.New(slog.NewJSONHandler(s.err, opts))
}

// The bounds on what a client may send before its body.
const (
	readHeader = 10 * time.Second
	idle       = 120 * time.Second
	maxHeader  = 16 << 10
)

// run serves f until ctx is done or a signal comes; the second signal ends
// everything at once.
func run(ctx context.Context, f *config.File, p Parts, at site) (err error) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	p.Encodings = new(tokens.Encodings)
	g, err := Build(ctx, f, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close(context.WithoutCancel(ctx))) }()
	g.gate.starting(true)
	go func() {
		p.Encodings.Warm(encodings(f)...)
		g.gate.starting(false)
		p.Log.Info("ready")
	}()
	working, rest := context.WithCancel(ctx)
	defer func() {
		rest()
		g.jobs.Wait()
	}()
	if err := g.work(working, at); err != nil {
		return err
	}
	servers, errs, err := g.listen(ctx, f, at)
	if err != nil {
		return err
	}
	select {
	case err := <-errs:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	case <-signals:
	}
	grace := g.now.Load().file.Server.ShutdownGrace
	return g.shutdown(context.WithoutCancel(ctx), grace, signals, servers)
}

// work begins what the gateway does by itself until ctx is done: it makes
// connections ahead of time, looks at budgets, and reads its configuration again
// when the file changes or SIGHUP comes.
func (g *Gateway) work(ctx context.Context, at site) error {
	g.jobs.Go(func() { g.Pool().Warm(ctx) })
	g.jobs.Go(func() { g.attend(ctx) })
	r := newReloader(g, at.path, func(f *config.File) {
		g.parts.Encodings.Warm(encodings(f)...)
		if at.level != nil {
			setLevel(at.level, f)
		}
	})
	g.reloader.Store(r)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	g.jobs.Go(func() {
		defer signal.Stop(hangups)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
				r.reload("SIGHUP")
			}
		}
	})
	if !at.watched {
		return nil
	}
	if err := watch(ctx, at.path, g.log, func() { r.reload("the file") }); err != nil {
		return fmt.Errorf("watching %s: %w: start with --watch=false", at.path, err)
	}
	return nil
}

// listen serves both ports.
func (g *Gateway) listen(ctx context.Context, f *config.File, at site) (servers []*http.Server, errs <-chan error, err error) {
	api, err := listen(ctx, f.Server.Listen, "server.listen")
	if err != nil {
		return nil, nil, err
	}
	admin, err := listen(ctx, f.Server.AdminListen, "server.admin_listen")
	if err != nil {
		_ = api.Close() // it serves nobody yet
		return nil, nil, err
	}
	scheme := "http://"
	if f.Server.TLS.CertFile != "" {
		scheme = "https://"
		api = tls.NewListener(api, certificates(f.Server.TLS))
	}
	failed := make(chan error, 2)
	servers = []*http.Server{NewServer(g.API, g.log), NewServer(g.Admin, g.log)}
	for i, l := range []net.Listener{api, admin} {
		go func() { failed <- servers[i].Serve(l) }()
	}
	at.started(scheme+address(api), "http://"+address(admin))
	return servers, failed, nil
}

// encodings returns the vocabularies that the configured models need.
func encodings(f *config.File) []string {
	if f.PassThrough != "" {
		return []string{tokens.O200K, tokens.CL100K}
	}
	b := &builder{file: f}
	var names []string
	for name, m := range f.Models {
		names = append(names, b.facts(name, m).Encoding)
	}
	return names
}

// NewServer returns a server of h with the bounds on what a client may send, and on
// how long it may take to: a body that no handler reads must be there by then.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: readHeader, ReadTimeout: readHeader, IdleTimeout: idle, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// last is how long connections may take to close once no request is under way, or
// once those that are have been broken off.
const last = time.Second

// shutdown refuses new requests, waits for those under way, and ends the rest
// when the grace is over or a second signal comes.
func (g *Gateway) shutdown(ctx context.Context, grace time.Duration, again <-chan os.Signal, servers []*http.Server) error {
	empty := g.Drain()
	g.log.Info("draining", "grace", grace.String())
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-empty:
	case <-timer.C:
		g.log.Warn("the grace is over: streams are broken off")
	case <-again:
		g.log.Warn("told twice: streams are broken off")
	}
	g.Pool().Stop()
	ctx, cancel := context.WithTimeout(ctx, last)
	defer cancel()
	var errs []error
	for _, s := range servers {
		// A handler's last bytes are written after it has returned, so a server
		// is not closed before its connections are at rest.
		if s.Shutdown(ctx) != nil {
			errs = append(errs, s.Close())
		}
	}
	g.log.Info("stopped")
	return errors.Join(errs...)
}

// listen opens an address: host:port, or unix:/path, where a socket that nobody
// listens at is replaced.
func listen(ctx context.Context, at, setting string) (net.Listener, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(at, "unix:"); ok {
		network, at = "unix", path
		dialer := net.Dialer{Timeout: time.Second}
		if c, err := dialer.DialContext(ctx, network, path); err == nil {
			_ = c.Close() // somebody is there: listening will fail and say so
		} else if errors.Is(err, syscall.ECONNREFUSED) {
			_ = os.Remove(path) // if it cannot be removed listening will fail and say so
		}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, network, at)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s: %s is in use by another process: stop it, or choose another address", setting, at)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	return l, nil
}

func address(l net.Listener) string {
	if a, ok := l.Addr().(*net.UnixAddr); ok {
		return "unix:" + a.Name
	}
	return l.Addr().String()
}

// certificates returns a TLS configuration that reads its files again when they
// have changed.
func certificates(f config.TLS) *tls.Config {
	var mu sync.Mutex
	var cert *tls.Certificate
	var read time.Time
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			mu.Lock()
			defer mu.Unlock()
			changed, err := lastChange(f.CertFile, f.KeyFile)
			if cert != nil && (err != nil || !changed.After(read)) {
				return cert, nil
			}
			fresh, err := tls.LoadX509KeyPair(f.CertFile, f.KeyFile)
			if err != nil && cert == nil {
				return nil, fmt.Errorf("server.tls: %w", err)
			}
			if err == nil {
				cert, read = &fresh, changed
			}
			return cert, nil
		},
	}
}

// lastChange returns when the younger of the files was written.
func lastChange(files ...string) (time.Time, error) {
	var last time.Time
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			return last, fmt.Errorf("server.tls: %w", err)
		}
		if info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last, nil
}

// streams are where a command writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
	terminal bool // err is one
}
