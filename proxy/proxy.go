// Package proxy serves the OpenAI API: it parses a request, decides, reserves,
// forwards, relays and settles, and writes every error that a client sees.
//
// One request can be read from top to bottom in request, handle and forward, because
// the order of its steps is the product. What is decided stands in policy; who is
// asked, and how often, in the Upstream.
package proxy

import (
	"context"
	"sync/atomic"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/policy"
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
	// Bound returns what the prompt is never above, without counting it, and
	// math.MaxInt64 where only a count can tell.
	Bound(r *openai.Request) int64
	// Text returns what a text comes to, as part of an answer.
	Text(text []byte) int64
	// Special reports whether a token's number stands for no text.
	Special(token int64) bool
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

// Live is told of the requests that are under way.
type Live interface {
	// Enter notes that a request for a model is under way, and whether its answer is
	// a stream. Leave is called once it is over.
	Enter(model string, stream bool) (leave func())
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
		e.GET(path, g.listModels, m...)
		e.GET(path+"/:model", g.getModel, m...)
	}
	e.GET("/openai/deployments", g.listDeployments, m...)
	for _, base := range bases() {
		e.POST(base+"responses/input_tokens", g.inputTokens, m...)
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
	return g.handle(c, req, nil, release, nil)
}

// handle serves a request that has been read, by what of it decides something. What
// is sent is p, or without one the request itself. Release lets go of what it holds,
// once it is not sent again. Entry is what it has taken of the allowances; nil: nothing.
func (g *Gateway) handle(c echo.Context, req *openai.Request, p *openai.Passage, release func(), entry *reservation) error {
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
		return g.explain(c, team, model, req, entry)
	}
	d, err := g.decide(team, model, req, rec)
	if err != nil {
		return err
	}
	d.entry = entry
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
	defer answer.Close(errLeft) // where handing it on has failed; it is closed once
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
