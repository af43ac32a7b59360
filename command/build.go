package command

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/trace/noop"

	"weir/config"
	"weir/middleware"
	"weir/openai"
	"weir/policy"
	"weir/proxy"
	"weir/quota"
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
}

// Gateway is a whole gateway without its listeners.
type Gateway struct {
	API   http.Handler // what clients call
	Admin http.Handler // health and metrics
	Pool  *upstream.Pool

	gate   *gate
	log    *slog.Logger
	counts *usage.Calibrations
}

// The parts of a gateway that the configuration says nothing of.
const (
	keepAlive = 15 * time.Second // between signs of life in a silent stream, and before the first
	maxBodies = 256 << 20        // bytes of bodies held at once
	perHost   = 256              // idle connections to each resource
)

// Build makes the gateway that f describes.
func Build(f *config.File, p Parts) (*Gateway, error) {
	p.Log = cmp.Or(p.Log, slog.New(slog.DiscardHandler))
	p.Encodings = cmp.Or(p.Encodings, new(tokens.Encodings))
	b := &builder{file: f, parts: p, created: time.Now().Unix()}
	if err := b.connect(upstream.Connection{Connect: f.Resilience.Timeout.Connect, PerHost: perHost}); err != nil {
		return nil, err
	}
	up, err := b.upstream()
	if err != nil {
		return nil, err
	}
	metrics, err := telemetry.NewMetrics()
	if err != nil {
		return nil, err
	}
	g := &Gateway{Pool: upstream.New(up), gate: newGate(), log: p.Log, counts: new(usage.Calibrations)}
	b.parts.Sinks = append(slices.Clone(p.Sinks), metrics, g.counts)
	api := proxy.New(b.proxy(g.Pool))
	g.API = g.gate.count(b.echo(api, g.gate))
	g.Admin = g.admin(metrics.Handler())
	return g, nil
}

// builder translates a configuration into those of the packages.
type builder struct {
	file    *config.File
	parts   Parts
	created int64

	transports  map[string]http.RoundTripper   // of the backends that have their own
	authorities map[string]http.RoundTripper   // of the same, to where tokens come from
	credentials map[string]upstream.Credential // by backend
}

// facts returns what is known of a model, as the configuration corrects it.
func (b *builder) facts(name string, m config.Model) tokens.Model {
	t := tokens.Lookup(cmp.Or(m.BaseModel, name))
	t.Encoding = cmp.Or(m.Tokenizer, t.Encoding)
	t.ContextWindow = cmp.Or(m.ContextWindow, t.ContextWindow)
	t.MaxInput = cmp.Or(m.MaxInputTokens, t.MaxInput)
	t.MaxOutput = cmp.Or(m.MaxOutputTokens, t.MaxOutput)
	if m.ContextWindow > 0 && m.MaxInputTokens == 0 {
		t.MaxInput = 0
	}
	return t
}

func (b *builder) upstream() (upstream.Config, error) {
	r := b.file.Resilience
	cfg := upstream.Config{
		Models: map[string]upstream.Model{},
		Retry: policy.Retry{
			Attempts: r.Retry.MaxAttempts, Backoff: r.Retry.Backoff.Initial, MaxBackoff: r.Retry.Backoff.Max,
			MaxRetryAfter: r.Retry.MaxRetryAfter, CoolBy: r.Retry.CoolBy, OnlyInvalid: r.Retry.CoolOn == "invalid_output",
		},
		Breaker: upstream.Breaker{
			Window: r.Breaker.Window, Consecutive: r.Breaker.ConsecutiveFailures, MinRequests: r.Breaker.MinRequests,
			Ratio: r.Breaker.FailureRatio, Open: r.Breaker.OpenFor, Watchdog: min(r.Timeout.FirstByte, 20*time.Second),
		},
		Timeouts: upstream.Timeouts{
			FirstByte: r.Timeout.FirstByte, FirstContent: r.Timeout.FirstContent, Idle: r.Timeout.StreamIdle,
			Floor: r.Timeout.MinTokensPerSecond, Total: r.Timeout.Total, Commit: keepAlive,
		},
		Transport: b.parts.Transport, Log: b.parts.Log,
		Queue: upstream.Queue{MaxWait: r.Queue.MaxWait, MaxLength: r.Queue.MaxLength}, Twin: r.Twin,
		Jitter: b.parts.Jitter, Steady: r.Retry.Backoff.Jitter == "none",
	}
	for name, m := range b.file.Models {
		model := upstream.Model{Temperature: temperature(m.FixedTemperature, b.facts(name, m))}
		for _, d := range m.Deployments {
			deployment, err := b.deployment(d)
			if err != nil {
				return cfg, err
			}
			model.Deployments = append(model.Deployments, deployment)
		}
		cfg.Models[name] = model
	}
	if b.file.PassThrough != "" {
		d, err := b.deployment(config.Deployment{Backend: b.file.PassThrough, Weight: 1})
		if err != nil {
			return cfg, err
		}
		cfg.Any = &d
	}
	return cfg, nil
}

// temperature returns whether a model's temperature may be changed: as the
// configuration says, or else as the table knows.
func temperature(fixed *bool, t tokens.Model) upstream.Temperature {
	switch {
	case fixed != nil && *fixed, fixed == nil && t.FixedTemperature:
		return upstream.Fixed
	case fixed != nil, t.Known:
		return upstream.Adjustable
	default:
		return upstream.Unknown
	}
}

// bearing returns a credential as a server of kind openai takes it: a key as a
// bearer, which a token is already, or nothing where there is none.
func bearing(a config.Auth, c upstream.Credential) upstream.Credential {
	switch form := a.Kind(); {
	case form == "entra", form == "pass_through":
		return c
	case form == "api_key" && a.APIKey == "":
		return upstream.AsBearer(nil)
	default:
		return upstream.AsBearer(c)
	}
}

func (b *builder) deployment(d config.Deployment) (upstream.Deployment, error) {
	backend := b.file.Backends[d.Backend]
	endpoint, err := url.Parse(backend.Endpoint)
	if err != nil {
		return upstream.Deployment{}, fmt.Errorf("command: backends.%s.endpoint is no URL", d.Backend)
	}
	credential, err := b.credential(d.Backend)
	if err != nil {
		return upstream.Deployment{}, err
	}
	out := upstream.Deployment{
		Backend: d.Backend, Name: d.Deployment, Endpoint: endpoint, APIVersion: backend.APIVersion,
		Region: backend.Region, Transport: b.transports[d.Backend], Spills: d.NativeSpillover,
		Credential: credential,
		Priority:   d.Priority, Weight: d.Weight, MaxInFlight: d.MaxInFlight,
		ContextWindow: int64(d.ContextWindow), MaxOutput: int64(d.MaxOutputTokens),
		Quota: policy.Quota{Tokens: int64(d.TPM), Requests: int64(d.RPM), Slice: d.RPMWindow},
	}
	if backend.Kind == "openai" {
		out.Kind, out.Credential = upstream.OpenAI, bearing(backend.Auth, credential)
	}
	if d.FixedTemperature != nil {
		out.Temperature = temperature(d.FixedTemperature, tokens.Model{})
	}
	return out, nil
}

func (b *builder) proxy(pool *upstream.Pool) proxy.Config {
	cfg := proxy.Config{
		Models:  map[string]proxy.Model{},
		Names:   proxy.Names{Aliases: map[string]string{}, Deployments: map[string]string{}, Models: map[string]string{}},
		Teams:   map[string]proxy.Team{},
		Limiter: quota.NewMemory(quota.MemoryConfig{}), Upstream: pool,
		MaxBody: int64(b.file.Server.MaxBody), MaxBodies: maxBodies, KeepAlive: keepAlive,
	}
	for _, name := range slices.Sorted(maps.Keys(b.file.Models)) {
		m := b.file.Models[name]
		cfg.Models[name] = b.model(name, m)
		cfg.Names.Models[name] = name
		for _, alias := range m.Aliases {
			cfg.Names.Aliases[alias] = name
		}
		for _, d := range m.Deployments {
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

// model returns what the gateway must know of a model. Its window is the widest
// of its deployments'; the pool knows which of them a request fits.
func (b *builder) model(name string, m config.Model) proxy.Model {
	t := b.facts(name, m)
	w := policy.Window{
		Context: int64(t.ContextWindow), MaxInput: int64(t.MaxInput), MaxOutput: int64(t.MaxOutput),
		OutputField: t.MaxCompletionField(),
	}
	var narrowest int64
	for i, d := range m.Deployments {
		context, output := cmp.Or(d.ContextWindow, t.ContextWindow), cmp.Or(d.MaxOutputTokens, t.MaxOutput)
		if i == 0 {
			w.Context, w.MaxOutput = 0, 0
		}
		w.Context, w.MaxOutput = max(w.Context, int64(context)), max(w.MaxOutput, int64(output))
		if context > 0 && (narrowest == 0 || int64(context) < narrowest) {
			narrowest = int64(context)
		}
	}
	return proxy.Model{
		Name: name, Base: cmp.Or(m.BaseModel, name), Created: b.created, Window: w, Narrowest: narrowest,
		Counter: counter{b.parts.Encodings.Counter(t)},
	}
}

// passed keeps the models that are served under their own names. The names are
// the clients' own, so there is a bound.
type passed struct {
	build  func(name string) proxy.Model
	mu     sync.Mutex
	models map[string]proxy.Model
}

// maxPassed is how many models are kept.
const maxPassed = 256

func (p *passed) model(name string) proxy.Model {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, ok := p.models[name]
	if !ok {
		if m = p.build(name); p.models == nil || len(p.models) >= maxPassed {
			p.models = map[string]proxy.Model{}
		}
		p.models[name] = m
	}
	return m
}

// counter is a tokens.Counter as the proxy wants one.
type counter struct{ *tokens.Counter }

// Prompt returns what a request's prompt comes to.
func (c counter) Prompt(r *openai.Request) policy.Prompt {
	n := c.Request(r)
	p := policy.Prompt{
		Total: int64(n.Total), Messages: make([]int64, len(n.Messages)),
		Tools: int64(n.Tools), ResponseFormat: int64(n.ResponseFormat), Prediction: int64(n.Prediction),
		Overhead: int64(n.Overhead), Images: int64(n.Images), Estimated: n.Estimated,
	}
	for i, m := range n.Messages {
		p.Messages[i] = int64(m)
	}
	return p
}

// Bound returns what a request's prompt is never above.
func (c counter) Bound(r *openai.Request) int64 { return int64(c.Counter.Bound(r)) }

// Text returns what a text comes to.
func (c counter) Text(b []byte) int64 { return int64(c.Counter.Text(b)) }

// anybody is the name of the team that callers without a key belong to.
const anybody = "default"

// teams returns the configured teams, or the one that there is without any.
func (b *builder) teams() map[string]config.Team {
	if len(b.file.Teams) == 0 {
		return map[string]config.Team{anybody: {Policy: "default"}}
	}
	return b.file.Teams
}

func (b *builder) team(name string, t config.Team, names proxy.Names) proxy.Team {
	p := b.file.Policies[cmp.Or(t.Policy, "default")]
	out := proxy.Team{
		Name: name, Owner: t.Owner,
		Screen: policy.NewScreen(policy.SpecialTokens(cmp.Or(p.SpecialTokens, string(policy.Reject)))),
		Window: policy.Window{
			TeamInput: int64(p.MaxInputTokens), TeamOutput: int64(p.MaxOutputTokens), DefaultOutput: int64(p.DefaultOutputTokens),
			RejectOutput: p.OnOutputOverflow == "reject", MaxTurns: p.MaxTurns, Trim: p.OnContextOverflow == "trim_oldest",
		},
		Regions: t.Regions, Shadow: p.Mode == "shadow", Limits: limits(t.Limits), Keys: map[string]quota.Limits{},
		Weight: t.Weight, Priorities: map[string]int{},
	}
	for _, m := range t.Models {
		if out.Models == nil {
			out.Models = map[string]bool{}
		}
		out.Models[cmp.Or(names.Aliases[m], m)] = true
	}
	for _, k := range t.Keys {
		if l := limits(k.Limits); l != (quota.Limits{}) {
			out.Keys[k.ID] = l
		}
		out.Priorities[k.ID] = priority(k.Priority)
	}
	return out
}

// priority returns the place in line that a key has.
func priority(name string) int {
	switch name {
	case "high":
		return 0
	case "low":
		return 2
	default:
		return proxy.NormalPriority
	}
}

func limits(l config.Limits) quota.Limits {
	return quota.Limits{
		RequestsPerMinute: int64(l.RPM), TokensPerMinute: int64(l.TPM), Concurrency: int64(l.Concurrency),
		BurstRequests: int64(l.BurstRequests), BurstTokens: int64(l.BurstTokens),
	}
}

// keys returns who calls with which key, and who calls without one where that is
// allowed.
func (b *builder) keys() (keys middleware.Keys, open *middleware.Caller) {
	keys = middleware.Keys{}
	for name, t := range b.teams() {
		for _, k := range t.Keys {
			keys[k.Hash()] = middleware.Caller{Team: name, Key: k.ID, Expires: k.Expires}
		}
		if len(t.Keys) == 0 {
			open = &middleware.Caller{Team: name}
		}
	}
	return keys, open
}

// echo routes what clients call.
func (b *builder) echo(api *proxy.Gateway, gate *gate) http.Handler {
	e := echo.New()
	e.HTTPErrorHandler = proxy.WriteError
	e.IPExtractor = echo.ExtractIPDirect()
	if trusted := b.file.Server.TrustedProxies; len(trusted) > 0 {
		e.IPExtractor = echo.ExtractIPFromXFFHeader(trust(trusted)...)
	}
	sinks := b.parts.Sinks
	if b.file.Telemetry.AccessLog.Enabled {
		sinks = append(slices.Clone(sinks), telemetry.NewAccessLog(b.parts.Log, b.file.Telemetry.AccessLog.Exclude))
	}
	e.Pre(middleware.CleanPath)
	e.Use(middleware.Record(newID, sinks...), middleware.Recover(b.parts.Log), middleware.Trace(noop.NewTracerProvider().Tracer("weir")))
	e.GET("/livez", gate.livez)
	e.GET("/readyz", gate.readyz)
	e.GET("/healthz", gate.readyz)
	keys, open := b.keys()
	api.Routes(e, middleware.Drain(gate.draining), middleware.Auth(keys, open, middleware.NewThrottle(b.parts.Log)))
	return e
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
