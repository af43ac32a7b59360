package proxy

import (
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/policy"
	"weir/quota"
	"weir/usage"
)

// explanation is what a request is answered with that asks what would become of
// it. Its names are part of the API.
type explanation struct {
	Object      string             `json:"object"` // weir.explanation
	Model       string             `json:"model"`
	BaseModel   string             `json:"base_model"`
	Decision    string             `json:"decision"` // forward or refuse
	Status      int                `json:"status,omitempty"`
	Error       *explainedError    `json:"error,omitempty"`
	Prompt      explainedPrompt    `json:"prompt_tokens"`
	Window      explainedWindow    `json:"window"`
	Changes     explainedChanges   `json:"changes"`
	Shadow      []string           `json:"shadow,omitempty"`
	Reserved    int64              `json:"reserved_tokens"`
	Cost        float64            `json:"reserved_usd"`
	Limits      map[string]any     `json:"limits"`
	Budget      *explainedBudget   `json:"budget,omitempty"`
	Deployments []openai.Candidate `json:"deployments"`
}

type explainedError struct {
	Message string `json:"message"`
	Param   string `json:"param,omitempty"`
	Code    string `json:"code"`
}

type explainedPrompt struct {
	Total          int64   `json:"total"`
	Messages       []int64 `json:"messages"`
	Tools          int64   `json:"tools"`
	ResponseFormat int64   `json:"response_format"`
	Prediction     int64   `json:"prediction"`
	Overhead       int64   `json:"overhead"`
	Images         int64   `json:"images_in_messages"`
	Estimated      bool    `json:"estimated"`
}

type explainedWindow struct {
	Context   int64 `json:"context"`
	MaxInput  int64 `json:"max_input"`
	MaxOutput int64 `json:"max_output"`
}

type explainedChanges struct {
	Escaped   int   `json:"special_tokens_escaped"`
	Trimmed   int   `json:"messages_trimmed"`
	MaxTokens int64 `json:"max_tokens_set"`
}

type explainedLevel struct {
	Account   string  `json:"account"`
	Limit     int64   `json:"limit"`
	Remaining int64   `json:"remaining"`
	Reset     float64 `json:"reset_seconds"`
}

type explainedBudget struct {
	Account   string  `json:"account"`
	Limit     float64 `json:"limit_usd"`
	Remaining float64 `json:"remaining_usd"`
	Reset     float64 `json:"reset_seconds"`
}

// asksWhy reports whether a request asks what would become of it.
func asksWhy(r *http.Request) bool { return r.Header.Get("X-Weir-Explain") == "1" }

// explain answers with what would become of the request, by the same steps that
// would serve it, and calls nobody. What it reserves it gives back at once, and entry with it.
func (g *Gateway) explain(c echo.Context, team Team, model Model, req *openai.Request, entry *reservation) error {
	ctx := c.Request().Context()
	rec := usage.From(ctx)
	prompt := model.prompt(req)
	out := explanation{
		Object: "weir.explanation", Model: model.Name, BaseModel: model.Base, Decision: "forward",
		Prompt: explained(prompt), Limits: map[string]any{}, Deployments: []openai.Candidate{},
	}
	d, err := g.decide(team, model, req, rec)
	if err != nil {
		return g.json(c, rec, out.refused(err))
	}
	d.entry = entry
	out.Window = explainedWindow{Context: d.window.Context, MaxInput: d.window.Input(), MaxOutput: d.window.Output()}
	out.Changes = explainedChanges{Escaped: d.escaped, Trimmed: d.fitted.Trimmed, MaxTokens: d.fitted.Lowered}
	out.Shadow = d.shadow
	out.Deployments = g.cfg.Upstream.Candidates(d.call(c.Request(), model))
	lease, err := g.reserve(ctx, team, rec, d)
	out.Reserved, out.Cost = d.reserved, rec.ReservedCost.Dollars()
	if limit, ok := errors.AsType[*limitError](err); ok {
		out.levels(limit.Snapshot)
	}
	if err != nil {
		return g.json(c, rec, out.refused(err))
	}
	lease.Settle(quota.Cost{})
	out.Shadow = d.shadow
	out.levels(lease.held.Snapshot())
	return g.json(c, rec, out)
}

// refused notes a refusal.
func (e explanation) refused(err error) explanation {
	e.Decision = "refuse"
	if shown, ok := errors.AsType[*openai.Error](err); ok {
		e.Status = shown.Status
		e.Error = &explainedError{Message: shown.Message, Param: shown.Param, Code: shown.Code}
	}
	return e
}

func (e *explanation) levels(s quota.Snapshot) {
	for name, l := range map[string]quota.Level{"requests": s.Requests, "tokens": s.Tokens} {
		if l.Limit > 0 {
			e.Limits[name] = explainedLevel{Account: l.Account, Limit: l.Limit, Remaining: l.Remaining, Reset: seconds(l.Reset)}
		}
	}
	if l := s.Budget; l.Limit > 0 {
		e.Budget = &explainedBudget{
			Account: l.Account, Limit: usage.USD(l.Limit).Dollars(), Remaining: usage.USD(l.Remaining).Dollars(), Reset: seconds(l.Reset),
		}
	}
}

// seconds returns a time with its milliseconds.
func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1000) / 1000 }

func explained(p policy.Prompt) explainedPrompt {
	return explainedPrompt{
		Total: p.Total, Messages: append([]int64{}, p.Messages...), Tools: p.Tools, ResponseFormat: p.ResponseFormat,
		Prediction: p.Prediction, Overhead: p.Overhead, Images: p.Images, Estimated: p.Estimated,
	}
}

// inputTokens answers how many tokens a Responses request would send, from our
// own count. Counting is work as well: it takes a request and a slot, but no tokens.
func (g *Gateway) inputTokens(c echo.Context) error {
	rec := usage.From(c.Request().Context())
	entry, err := g.admit(c, openai.Responses)
	if err != nil {
		return err
	}
	defer entry.Settle(quota.Cost{}) // of what is not answered
	req, release, err := g.read(c, openai.Responses, rec)
	if err != nil {
		return err
	}
	defer release()
	chat, err := req.Conversation()
	if err != nil {
		return err
	}
	team := g.cfg.Teams[rec.Team]
	model, err := g.resolve(c, team, req)
	if err != nil {
		return err
	}
	rec.Model, rec.Stream = model.Name, false
	n := model.Counter.Prompt(chat).Total
	rec.EstimatedInput = n
	d := &decision{operation: openai.Responses}
	entry.note(team, rec, d)
	d.report(c.Response().Header())
	showLimits(c, entry.held.Snapshot())
	entry.Settle(quota.Cost{Requests: 1})
	return g.json(c, rec, map[string]any{"object": "response.input_tokens", "input_tokens": n})
}
