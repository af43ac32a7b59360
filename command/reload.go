package command

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
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
// settings that hold only after a restart. On an error nothing is changed.
func (g *Gateway) Reload(f *config.File) (restart []string, err error) {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	before := g.now.Load()
	next, err := g.serve(f, before)
	if err != nil {
		return nil, err
	}
	g.now.Store(next)
	before.wires.leave(next.wires)
	return needRestart(before.file, f), nil
}

// needRestart returns the settings that differ and are looked at only once.
func needRestart(before, now *config.File) []string {
	var names []string
	for _, s := range []struct {
		name  string
		value func(*config.File) any
	}{
		{"server.listen", func(f *config.File) any { return f.Server.Listen }},
		{"server.admin_listen", func(f *config.File) any { return f.Server.AdminListen }},
		{"server.tls", func(f *config.File) any { return f.Server.TLS }},
		{"state.limits.store", func(f *config.File) any { return f.State.Limits.Store }},
		{"state.limits.url", func(f *config.File) any { return f.State.Limits.URL }},
		{"state.limits.replicas", func(f *config.File) any { return f.State.Limits.Replicas }},
		{"state.limits.slice", func(f *config.File) any { return f.State.Limits.Slice }},
		{"state.ledger", func(f *config.File) any { return f.State.Ledger }},
		{"telemetry.log.format", func(f *config.File) any { return f.Telemetry.Log.Format }},
	} {
		if !reflect.DeepEqual(s.value(before), s.value(now)) {
			names = append(names, s.name)
		}
	}
	return names
}

// reloader reads the configuration again when it is asked to.
type reloader struct {
	gateway *Gateway
	path    string // of the file; "" the environment alone is the configuration
	log     *slog.Logger
	prepare func(*config.File) // before the gateway changes

	mu     sync.Mutex
	status telemetry.Reload
}

// newReloader returns a reloader of a gateway that has just read its file.
func newReloader(g *Gateway, path string, prepare func(*config.File)) *reloader {
	r := &reloader{gateway: g, path: path, log: g.log, prepare: prepare}
	r.note(telemetry.Reload{OK: true, At: time.Now(), Hash: shortHash(path)})
	return r
}

// errNoFile is why a gateway that the environment configures cannot be told anew.
var errNoFile = errors.New("there is no file to read again: the environment is the configuration")

// reload reads the file and lets the gateway serve by it. A file with errors
// changes nothing. Why says who asked.
func (r *reloader) reload(why string) telemetry.Reload {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := telemetry.Reload{At: time.Now(), Hash: shortHash(r.path)}
	f, problems, err := r.read()
	for _, p := range problems {
		out.Problems = append(out.Problems, p.String())
	}
	if err == nil {
		r.prepare(f)
		out.Restart, err = r.gateway.Reload(f)
	}
	if err != nil {
		out.Error = err.Error()
		r.log.Error("the configuration was not reloaded: the one before stays", "asked_by", why, "reason", err.Error(), "problems", out.Problems)
		r.note(out)
		return out
	}
	out.OK = true
	r.log.Info("the configuration was reloaded", "asked_by", why, "hash", out.Hash, "warnings", out.Problems)
	if len(out.Restart) > 0 {
		r.log.Warn("settings were changed that hold only after a restart", "settings", strings.Join(out.Restart, ", "))
	}
	r.note(out)
	return out
}

func (r *reloader) read() (*config.File, []config.Problem, error) {
	if r.path == "" {
		return nil, nil, errNoFile
	}
	f, problems := config.Load(r.path, options())
	if f == nil {
		return nil, problems, errConfiguration
	}
	return f, problems, nil
}

// note keeps how a reload went, and shows it.
func (r *reloader) note(s telemetry.Reload) {
	r.status = s
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

// shortHash names the content of a file.
func shortHash(path string) string {
	if path == "" {
		return ""
	}
	sum := digest(path)
	return hex.EncodeToString(sum[:4])
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
