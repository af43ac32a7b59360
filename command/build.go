package command

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"weir/config"
	"weir/dashboard"
	"weir/middleware"
	"weir/openai"
	"weir/proxy"
	"weir/telemetry"
	"weir/tokens"
	"weir/upstream"
	"weir/usage"
)

// Parts are what a gateway is given from outside. The zero value of each is the
// real thing.
type Parts struct {
	Transport http.RoundTripper // to deployments
	Log       *slog.Logger      // nil: nothing is logged
	Jitter    func() float64    // in [0, 1); nil: chance
	Sinks     []usage.Sink      // beside the access log
	Encodings *tokens.Encodings // vocabularies that may be built already
	Demo      *dashboard.Demo   // what the playground offers; nil: nothing is simulated

	// Getenv returns a variable that OpenTelemetry defines; nil: none is set. Spans
	// takes spans as they end, whatever the variables say.
	Getenv func(string) string
	Spans  sdktrace.SpanExporter

	Metrics func(sdkmetric.Producer) sdkmetric.Reader // what it returns reads the metrics too; nil: none does beside what the variables ask for
}

// Gateway is a whole gateway without its listeners.
type Gateway struct {
	API   http.Handler // what clients call
	Admin http.Handler // health, metrics, usage and the dashboard

	parts Parts
	gate  *gate
	log   *slog.Logger
	state *state
	board *dashboard.Dashboard
	spent *purses      // that the dashboard has asked the ledger for
	began *config.File // the configuration that the gateway was built with

	reloading sync.Mutex // held by who replaces now
	now       atomic.Pointer[serving]
	reloader  atomic.Pointer[reloader] // nil: nothing reads the configuration again
	jobs      sync.WaitGroup           // what the gateway does by itself
}

// serving is what one configuration makes. What of it the next one shares goes on
// there.
type serving struct {
	file    *config.File
	api     http.Handler
	proxy   *proxy.Gateway // behind api
	keys    middleware.Keys
	open    *middleware.Caller // who calls without a key; nil: nobody may
	pool    *upstream.Pool
	teams   map[string]proxy.Team
	created int64 // when the gateway began, in Unix seconds
	me      echo.HandlerFunc
	keyed   echo.HandlerFunc // me, for those alone that have a key
	written sync.Once        // guards yaml
	yaml    string           // the configuration without its secrets

	wires       wires
	credentials map[string]credential // by backend
}

// The parts of a gateway that the configuration says nothing of.
const (
	keepAlive = 15 * time.Second // between signs of life in a silent stream, and before the first
	maxBodies = 256 << 20        // bytes of bodies held at once
	perHost   = 256              // idle connections to each resource
)

// Build makes the gateway that f describes. It must be closed.
func Build(ctx context.Context, f *config.File, p Parts) (*Gateway, error) {
	p.Log = cmp.Or(p.Log, slog.New(slog.DiscardHandler))
	p.Encodings = cmp.Or(p.Encodings, new(tokens.Encodings))
	st, err := openState(ctx, f, p)
	if err != nil {
		return nil, err
	}
	g := &Gateway{parts: p, gate: newGate(), log: p.Log, state: st, spent: newPurses(), began: f}
	g.board = g.newBoard()
	next, err := g.serve(f, &serving{created: time.Now().Unix()})
	if err != nil {
		return nil, errors.Join(err, st.close(ctx))
	}
	g.now.Store(next)
	g.measure(next)
	g.API = g.gate.count(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.now.Load().api.ServeHTTP(w, r) }))
	g.Admin = g.admin(st.metrics.Handler())
	return g, nil
}

// serve makes what f describes, in the place of before.
func (g *Gateway) serve(f *config.File, before *serving) (*serving, error) {
	b := &builder{file: f, parts: g.parts, state: g.state, before: before.kept()}
	b.parts.Sinks = append(slices.Clone(g.parts.Sinks), append(g.state.sinks(), g.board)...)
	if err := b.connect(upstream.Connection{Connect: f.Resilience.Timeout.Connect, PerHost: perHost}); err != nil {
		return nil, err
	}
	up, err := b.upstream()
	if err != nil {
		return nil, err
	}
	if b.signer, err = g.state.signing.signer(f); err != nil {
		return nil, fmt.Errorf("state.secrets: %w", err)
	}
	pool := upstream.New(up)
	if before.pool != nil {
		pool = before.pool.Next(up)
	}
	cfg := b.proxy(pool)
	cfg.Draining, cfg.Today = g.gate.shut, g.today
	next := &serving{proxy: proxy.New(cfg), file: f, pool: pool, teams: cfg.Teams, created: before.created, wires: b.wires, credentials: b.credentials}
	next.keys, next.open = b.keys()
	next.me, next.keyed = g.me(next, next.keys, next.open), g.me(next, next.keys, nil)
	next.api = b.echo(next, g.gate)
	return next, nil
}

// kept returns what the next configuration may take over.
func (s *serving) kept() heritage { return heritage{s.created, s.wires, s.credentials} }

// Pool returns the deployments that requests are sent to now.
func (g *Gateway) Pool() *upstream.Pool { return g.now.Load().pool }

// Close writes what is not written yet and ends what the gateway does by itself.
func (g *Gateway) Close(ctx context.Context) error { return g.state.close(ctx) }

// heritage is what the next configuration may take over of one.
type heritage struct {
	created     int64 // when the gateway began, in Unix seconds
	wires       wires
	credentials map[string]credential // by backend
}

// builder translates a configuration into those of the packages.
type builder struct {
	file   *config.File
	parts  Parts
	state  *state
	before heritage // zero: nothing was
	signer *openai.Signer

	wires       wires
	transports  map[string]http.RoundTripper // of the backends that have their own
	authorities map[string]http.RoundTripper // of the same, to where tokens come from
	credentials map[string]credential        // by backend
}

func (b *builder) proxy(pool *upstream.Pool) proxy.Config {
	cfg := proxy.Config{
		Models:  map[string]proxy.Model{},
		Names:   proxy.Names{Aliases: map[string]string{}, Deployments: map[string]string{}, Models: map[string]string{}},
		Teams:   map[string]proxy.Team{},
		Limiter: b.state.limiter, Outputs: b.state.outputs, Journal: b.state, Owners: map[string]string{}, Signer: b.signer, Strict: durable(b.file), Upstream: pool, Live: b.state.metrics,
		MaxBody: int64(b.file.Server.MaxBody), MaxBodies: maxBodies, Bodies: &b.state.bodies, KeepAlive: keepAlive,
		Resources: b.resources(), Backends: b.backends(), Passages: b.passages(), Uploads: b.uploads(),
	}
	for _, name := range slices.Sorted(maps.Keys(b.file.Models)) {
		m := b.file.Models[name]
		cfg.Models[name] = b.model(name, m)
		cfg.Names.Models[name] = name
		for _, alias := range m.Aliases {
			cfg.Names.Aliases[alias] = name
		}
		for _, d := range m.Deployments {
			cfg.Owners[openai.Owner(d.Backend+"/"+d.Deployment)] = name
			if _, taken := cfg.Names.Deployments[d.Deployment]; !taken {
				cfg.Names.Deployments[d.Deployment] = name
			}
		}
	}
	if b.file.PassThrough != "" {
		cfg.Any = (&passed{build: func(name string) proxy.Model { return b.model(name, config.Model{}) }}).model
	}
	for name, t := range b.teams() {
		cfg.Teams[name] = b.team(name, t, cfg.Names)
	}
	return cfg
}

// echo routes what clients call to what serves it.
func (b *builder) echo(to *serving, gate *gate) http.Handler {
	e := echo.New()
	e.HTTPErrorHandler = proxy.WriteError
	e.IPExtractor = callers(b.file)
	sinks := b.parts.Sinks
	if b.file.Telemetry.AccessLog.Enabled {
		sinks = append(slices.Clone(sinks), telemetry.NewAccessLog(b.parts.Log, b.file.Telemetry.AccessLog.Exclude))
	}
	e.Pre(middleware.CleanPath)
	e.Use(
		middleware.Trace(b.state.tracing.Tracer(), b.file.Telemetry.AccessLog.Exclude...),
		middleware.Record(newID, sinks...), middleware.Recover(b.parts.Log),
	)
	e.GET("/livez", gate.livez)
	e.GET("/readyz", gate.readyz)
	e.GET("/healthz", gate.readyz)
	meRoutes(e, to.me)
	to.proxy.Routes(e, middleware.Drain(gate.draining), middleware.Auth(to.keys, to.open, b.state.throttle))
	return e
}

// callers returns what tells the address of who calls: that of the connection, or what
// a proxy says that is trusted.
func callers(f *config.File) echo.IPExtractor {
	if trusted := f.Server.TrustedProxies; len(trusted) > 0 {
		return echo.ExtractIPFromXFFHeader(trust(trusted)...)
	}
	return echo.ExtractIPDirect()
}

func trust(proxies []netip.Prefix) []echo.TrustOption {
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, p := range proxies {
		options = append(options, echo.TrustIPRange(&net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}))
	}
	return options
}

// newID returns a request id.
func newID() string { return "req_" + rand.Text() }
