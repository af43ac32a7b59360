// Package proxy serves the OpenAI API: it parses a request, decides, reserves,
// forwards, relays and settles, and writes every error that a client sees.
//
// One request can be read from top to bottom in Chat, because the order of its
// steps is the product. What is decided stands in policy; who is asked, and how
// often, in the Upstream.
package proxy

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/policy"
	"weir/quota"
	"weir/usage"
)

// Upstream answers calls.
type Upstream interface {
	// Do returns the answer to a call at its commit point, after as many
	// attempts as it takes, each noted in rec. An error is an *openai.Error, or
	// ctx's where the caller is gone.
	Do(ctx context.Context, call *openai.Call, rec *usage.Record) (*openai.Answer, error)
	// Candidates returns the deployments that could answer a call, in no order
	// of merit: which would be asked first, and why not the others.
	Candidates(call *openai.Call) []openai.Candidate
}

// Counter counts tokens as one model does.
type Counter interface {
	// Prompt returns what a request's prompt comes to, tools and all.
	Prompt(r *openai.Request) policy.Prompt
	// Bound returns what the prompt is never above, without counting it.
	Bound(r *openai.Request) int64
	// Text returns what a text comes to, as part of an answer.
	Text(text []byte) int64
}

// Outputs tells how long answers are.
type Outputs interface {
	// Quantile returns the tokens that the share q of a team's answers of a model
	// stay within, and false where too few are known.
	Quantile(team, model string, q float64) (tokens int64, ok bool)
}

// Journal keeps what open requests may cost.
type Journal interface {
	// Begin notes a request before it is sent. With wait it returns once the note
	// is safe from a crash; an error says that it is not.
	Begin(ctx context.Context, r *usage.Record, wait bool) error
}

// Config is what a Gateway works with.
type Config struct {
	Models map[string]Model // by the names they are listed under
	Names  Names
	Teams  map[string]Team

	// Any serves a model that Names does not know, as it is named; nil refuses
	// it.
	Any func(name string) Model

	Limiter  quota.Limiter
	Outputs  Outputs           // nil: nothing is learned of answers
	Journal  Journal           // nil: nothing is written down
	Signer   *openai.Signer    // of the ids of what upstream keeps
	Owners   map[string]string // the models of the deployments, by what Signer calls these
	Strict   bool              // no answer ends before its record is taken
	Upstream Upstream
	Live     Live // nil: nobody wants to know

	// Resources keep files, batches and all else that no model makes: the preferred
	// first.
	Resources []Resource

	// Backends are all that there are, in any order: what they keep is found again,
	// also where no more files go to them.
	Backends []Resource

	// Passages are the further paths that are handed on.
	Passages []Passage

	// Draining is closed when sessions should end; nil: never.
	Draining <-chan struct{}

	Uploads Uploads // of files

	MaxBody   int64         // the largest body that is read, in bytes
	MaxBodies int64         // the most bytes of bodies that are held at once; 0 any
	Bodies    *atomic.Int64 // how many are, with those of other Gateways; nil: of this one alone
	KeepAlive time.Duration // between signs of life in a silent stream; 0 none
}

// Resource is a backend as the gateway must know it.
type Resource struct {
	Name   string
	Region string
	Models []string // that have deployments on it, sorted; empty: any
}

// Passage is a path that is handed on as it is, with all below it.
type Passage struct {
	Path     string          // below a base URL, without a slash around it
	Methods  map[string]bool // that are; empty: all
	Resource Resource        // that serves it
	Version  string          // the api-version of Azure's classic paths; "" for the v1 paths
	Teams    map[string]bool // that may call it; empty: all
}

// Model is what the gateway must know of a model.
type Model struct {
	Name    string
	Base    string        // what it really is
	Counter Counter       // counts for what it really is
	Window  policy.Window // its own bounds; a team's are put in

	// Narrowest is the smallest context window of its deployments, which may be
	// smaller than Window's; 0 where none is known.
	Narrowest int64

	Prices  map[string]usage.Price // of its deployments
	Dearest usage.Price            // what it costs at most

	Created int64    // when it was configured, in Unix seconds
	Owner   string   // whose it is in listings
	Does    Does     // in the classic one
	Regions []string // that have deployments of it
}

// prompt returns what a request's prompt comes to, with the files of a form.
func (m *Model) prompt(r *openai.Request) policy.Prompt {
	p := m.Counter.Prompt(r)
	if n := m.attached(r).Prompt; n > 0 {
		p.Total, p.Estimated = p.Total+n, true
	}
	return p
}

// attached returns what the files of a form come to: no tokens where their length is
// what is paid for.
func (m *Model) attached(r *openai.Request) openai.Usage {
	u := r.Attached
	if m.Dearest.Second > 0 {
		u.Prompt = 0
	}
	return u
}

// Does says which of the oldest endpoints a model answers.
type Does struct{ Chat, Completion, Embeddings bool }

// Team is a caller with its policy and its allowance.
type Team struct {
	Name   string
	Owner  string          // whom to ask; "" nobody is named
	Models map[string]bool // that it may use; nil: all

	Regions []string // of the deployments that its requests may go to; empty: any

	Batches bool // it may have batches, whose tokens no limit counts

	Policy string // its name
	Screen policy.Screen
	Window policy.Window // the team's part of it
	Shadow bool          // decide and say so, but let pass

	Own      Allowance            // shared by its keys
	Keys     map[string]Allowance // of its keys, by their names
	Away     quota.Away
	Quantile float64 // of usual answers, which is reserved where a client names no bound; 0: a flat one

	Weight     int            // its share of deployments that have no room for all
	Priorities map[string]int // of its keys, by their names; NormalPriority where a key has none
}

// NormalPriority is that of calls of which nothing else is said.
const NormalPriority = 1

// share returns how calls with one of the team's keys wait for deployments.
func (t *Team) share(key string) openai.Share {
	s := openai.Share{ID: t.Name, Weight: t.Weight, Priority: NormalPriority}
	if p, ok := t.Priorities[key]; ok {
		s.Priority = p
	}
	return s
}

// Gateway serves the API. It is safe for concurrent use.
type Gateway struct {
	cfg   Config
	asked atomic.Uint64 // requests that were decided
}

// New returns a Gateway.
func New(cfg Config) *Gateway {
	if cfg.Bodies == nil {
		cfg.Bodies = new(atomic.Int64)
	}
	if cfg.Uploads.Used == nil {
		cfg.Uploads.Used = new(atomic.Int64)
	}
	return &Gateway{cfg: cfg}
}

// Routes adds every path that the API is called by, each behind m.
func (g *Gateway) Routes(e *echo.Echo, m ...echo.MiddlewareFunc) {
	for _, op := range []openai.Operation{
		openai.Chat, openai.Responses, openai.Compact, openai.Completions, openai.Embeddings, openai.Moderations, openai.Images, openai.Speech,
	} {
		for _, base := range bases() {
			e.POST(base+op.Path(), g.serve(op), m...)
		}
	}
	for _, op := range []openai.Operation{openai.ImageEdits, openai.Transcriptions, openai.Translations} {
		for _, base := range bases() {
			e.POST(base+op.Path(), func(c echo.Context) error { return g.upload(c, op) }, m...)
		}
	}
	e.POST("/models/chat/completions", g.serve(openai.Chat), m...)
	e.POST("/v1/engines/:deployment/embeddings", g.serve(openai.Embeddings), m...)
	for _, path := range []string{"/v1/models", "/models", "/openai/v1/models", "/openai/models"} {
		e.GET(path, g.ListModels, m...)
		e.GET(path+"/:model", g.GetModel, m...)
	}
	e.GET("/openai/deployments", g.ListDeployments, m...)
	for _, path := range []string{
		"/v1/responses/input_tokens", "/responses/input_tokens", "/openai/v1/responses/input_tokens", "/openai/responses/input_tokens",
	} {
		e.POST(path, g.InputTokens, m...)
	}
	g.storedRoutes(e, m...)
	g.realtimeRoutes(e, m...)
	g.thingRoutes(e, m...)
	g.passageRoutes(e, m...)
}

// bases returns what stands before an operation's path: in OpenAI's paths, and in
// each of Azure's.
func bases() []string {
	return []string{
		"/v1/", "/", "/openai/v1/", "/openai/",
		"/openai/deployments/:deployment/", "/deployments/:deployment/",
		"/v1/deployments/:deployment/", // AzureOpenAI of openai-node with OPENAI_BASE_URL set
	}
}

// serve returns what serves the requests for an operation.
func (g *Gateway) serve(op openai.Operation) echo.HandlerFunc {
	return func(c echo.Context) error { return g.request(c, op) }
}

// request serves one request whose body is JSON.
func (g *Gateway) request(c echo.Context, op openai.Operation) error {
	rec := usage.From(c.Request().Context())
	rec.Operation = named(op)
	req, release, err := g.read(c, op, rec)
	if err != nil {
		return err
	}
	defer release()
	return g.handle(c, req, nil, release)
}

// handle serves a request that has been read, by what of it decides something. What
// is sent is p, or without one the request itself. Release lets go of what it holds,
// once it is not sent again.
func (g *Gateway) handle(c echo.Context, req *openai.Request, p *openai.Passage, release func()) error {
	rec := usage.From(c.Request().Context())
	team := g.cfg.Teams[rec.Team]
	model, err := g.resolve(c, team, req)
	if err != nil {
		return err
	}
	rec.Model = model.Name
	if rec.Traced {
		rec.Params = params(req)
	}
	if asksWhy(c.Request()) {
		return g.explain(c, team, model, req)
	}
	d, err := g.decide(team, model, req, rec)
	if err != nil {
		return err
	}
	call := d.call(c.Request(), model)
	call.Passage = p
	return g.forward(c, team, d, call, release)
}

// forward takes of the allowance, sends a call upstream, hands on what comes, and
// settles. Release lets go of what the call holds, once it is not sent again.
func (g *Gateway) forward(c echo.Context, team Team, d *decision, call *openai.Call, release func()) error {
	ctx := c.Request().Context()
	rec := usage.From(ctx)
	defer g.underway(rec)()
	lease, err := g.reserve(ctx, team, rec, d)
	if err != nil {
		return err
	}
	defer func() { lease.Settle(cost(rec)) }()
	if err := g.enter(ctx, team, rec); err != nil {
		return err
	}
	d.report(c.Response().Header())
	showLimits(c, lease.held.Snapshot())
	answer, err := g.ask(ctx, d, call, rec)
	if err != nil {
		if gone(ctx) && sent(rec) {
			book(rec, openai.Facts{}, d, nil)
		}
		return err
	}
	release()
	if d.stream {
		d.request = nil // it must not be held for so long
	}
	return g.relay(c, answer, d, rec)
}

// ask sends a call upstream, or what a decision asks of it instead.
func (g *Gateway) ask(ctx context.Context, d *decision, call *openai.Call, rec *usage.Record) (*openai.Answer, error) {
	if d.ask != nil {
		return d.ask(ctx, rec)
	}
	return g.cfg.Upstream.Do(ctx, call, rec)
}

// decision is what became of a request before it was sent.
type decision struct {
	operation openai.Operation
	request   *openai.Request
	fitted    policy.Fitted
	model     Model
	choices   int64
	regions   []string // that it may be sent to; empty: any
	usage     bool     // the client asked for a usage chunk
	stream    bool
	escaped   int
	window    policy.Window
	rough     bool         // fitted.Prompt is a bound, and the request was not counted
	attached  openai.Usage // roughly, of the files of a form; part of fitted.Prompt
	share     openai.Share

	team string // whose it is
	only string // the deployment that must answer; "" any will do
	free bool   // what was used has been charged already

	metered bool // what is handed on as it is may say what it used

	behind bool // upstream goes on with it when nobody listens

	// ids returns the edits that make of the ids in an answer, or in an event of
	// one, those that the team knows; from is who gave it. Nil: it has none.
	ids   func(root openai.Value, from string) []openai.Edit
	names map[string]string // the team's ids, by those of upstream that the request names

	// ask answers by more than one call; nil: one is sent.
	ask func(ctx context.Context, rec *usage.Record) (*openai.Answer, error)

	reserved int64    // the tokens that were asked of the allowance
	shadow   []string // what would have been refused, by code, or changed

	marked bool          // there were special tokens to be made harmless
	judged policy.Fitted // what fitting came to, whether or not it was carried out
}

// call returns what goes upstream.
func (d *decision) call(r *http.Request, m Model) *openai.Call {
	call := &openai.Call{
		Request: d.request, Model: m.Name, Added: d.fitted.Set, Header: forwarded(r.Header),
		Prompt: d.fitted.Prompt, Output: d.fitted.Output,
	}
	call.Share = d.share
	call.Retries = usage.From(r.Context()).Retry
	call.Within = patience(r.Header)
	call.Regions = d.regions
	call.Bearer = bearer(r.Header)
	call.Only = d.only
	return call
}

// prompt returns the prompt's length, which it counts where nobody has.
func (d *decision) prompt() int64 {
	if d.rough && d.request != nil {
		d.fitted.Prompt, d.rough = d.model.prompt(d.request).Total, false
	}
	return d.fitted.Prompt
}
