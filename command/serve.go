package command

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"weir/config"
	"weir/telemetry"
	"weir/tokens"
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
	from := sources{}
	f, why, err := s.load(path, from)
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	log := s.logger(f, level)
	log.Info("configuration", "source", why)
	found, _ := chosen(path)
	return run(ctx, f, Parts{Log: log, Getenv: os.Getenv}, site{
		path: found, read: from, watched: watched && found != "", level: level,
		started: func(api, admin string) { log.Info("listening", "api", api, "admin", admin) },
	})
}

// site is where a gateway runs.
type site struct {
	path    string  // of the configuration file; "" there is none
	read    sources // what its configuration was made of
	watched bool    // it is read again when it changes
	level   *slog.LevelVar
	started func(api, admin string) // called when both ports listen
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

// run serves f until ctx is done or a signal comes; the second signal ends
// everything at once.
func run(ctx context.Context, f *config.File, p Parts, at site) (err error) {
	signals, hangups := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	p.Encodings = new(tokens.Encodings)
	telemetry.Hear(p.Log)
	g, err := begin(ctx, f, p)
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
	g.work(working, at, hangups)
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

// begin builds the gateway, unless a signal comes first: a database may let it wait.
func begin(ctx context.Context, f *config.File, p Parts) (*Gateway, error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return Build(ctx, f, p)
}

// work begins what the gateway does by itself until ctx is done: it makes
// connections ahead of time, looks at budgets, and reads its configuration again
// when the file changes or SIGHUP comes.
func (g *Gateway) work(ctx context.Context, at site, hangups <-chan os.Signal) {
	warm := func() { g.jobs.Go(func() { g.Pool().Warm(ctx) }) }
	warm()
	g.jobs.Go(func() { g.attend(ctx) })
	g.jobs.Go(func() { g.board.Watch(ctx) })
	r := newReloader(g, at, func(f *config.File) {
		if at.level != nil {
			setLevel(at.level, f)
		}
		if ctx.Err() == nil {
			warm()
		}
	})
	g.reloader.Store(r)
	g.jobs.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
				r.reload("SIGHUP")
			}
		}
	})
	if at.watched {
		g.jobs.Go(func() { watch(ctx, g.log, r.sources, func() { r.reload("the file") }) })
	}
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
	servers[1].RegisterOnShutdown(g.board.Close) // whose pages listen for as long as they are let
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
