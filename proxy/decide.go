package proxy

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"

	"weir/openai"
	"weir/policy"
	"weir/usage"
)

// decide applies the team's policy to a request: its text, then its length. What
// is returned holds the request as it is to be sent. In shadow mode it is sent as
// it came, and what the policy would have refused or changed is noted.
func (g *Gateway) decide(team Team, model Model, req *openai.Request, rec *usage.Record) (*decision, error) {
	d := &decision{operation: req.Operation, request: req, model: model, choices: req.Choices, regions: team.Regions, usage: req.IncludeUsage, stream: req.Stream}
	d.share, d.team = team.share(rec.Key), team.Name
	d.looks()
	d.behind = req.Operation == openai.Responses && req.Root.Get("background").IsTrue()
	if err := d.continues(g, team); err != nil {
		rec.Outcome = usage.RefusedPolicy
		return nil, err
	}
	screened := d.screen(team)
	err := screened
	if err == nil || team.Shadow {
		d.note(err)
		err = d.fit(team, g.exactly(team, rec, d))
		if !d.rough {
			rec.EstimatedInput = d.fitted.Prompt
		}
	}
	d.judge(rec, team, screened, err)
	if err != nil && !team.Shadow {
		rec.Outcome = usage.RefusedPolicy
		return nil, err
	}
	d.note(err)
	rec.Escaped, rec.Trimmed, rec.Lowered, rec.Shadowed = d.escaped, d.fitted.Trimmed, d.fitted.Lowered, d.shadow
	rec.Choices, rec.Bound = d.choices, d.fitted.Output
	return d, nil
}

// note keeps the code of a refusal that is not carried out.
func (d *decision) note(err error) {
	if e, ok := errors.AsType[*openai.Error](err); ok {
		d.shadow = append(d.shadow, e.Code)
	}
}

// screen looks for special tokens.
func (d *decision) screen(team Team) error {
	if err := team.Screen.CheckNumbers(d.request, d.model.Counter.Special); err != nil {
		return err
	}
	edits, err := team.Screen.Check(d.request)
	if err != nil || len(edits) == 0 {
		return err
	}
	d.marked = true
	if team.Shadow {
		d.shadow = append(d.shadow, "escape")
		return nil
	}
	d.escaped = len(edits)
	d.request, err = d.request.With(edits...)
	return err
}

// sampled is one in how many requests is counted although nothing asks for its
// count, so that a wrong count shows.
const sampled = 16

// exactly reports whether a request must be counted, however short it is: where
// tokens are reserved for it, where it may be cut and charged for its prompt, and
// now and then to compare the count with upstream's.
func (g *Gateway) exactly(team Team, rec *usage.Record, d *decision) bool {
	return g.asked.Add(1)%sampled == 1 || d.stream || team.Shadow || team.Own.metered() || team.Keys[rec.Key].metered()
}

// fit makes the request fit. It is counted only where that is asked for, or where
// its mere length does not show that it fits as it is.
func (d *decision) fit(team Team, exactly bool) error {
	if !d.request.Operation.Generates() {
		// What is made of the text is no text: there is no window that both share.
		d.fitted = policy.Fitted{Prompt: d.model.prompt(d.request).Total}
		d.attached = d.model.attached(d.request)
		return nil
	}
	d.window = merged(d.model.Window, team.Window)
	if field := boundOf(d.request.Operation); field != "" {
		d.window.OutputField, d.window.Trim = field, false
	}
	if d.request.Implied > 0 {
		d.window.DefaultOutput = 0 // the API has one of its own
	}
	if !exactly {
		bound := d.model.Counter.Bound(d.request)
		fitted, err := d.window.Fit(d.request, policy.Prompt{Total: bound})
		// A bound that is none fits where no window is known.
		if err == nil && bound < math.MaxInt64 && fitted.Trimmed == 0 && d.apart(fitted) {
			d.rough = true
			return d.take(fitted)
		}
	}
	prompt := d.count()
	d.fitted.Prompt, d.fitted.Output = prompt.Total, d.request.MaxTokens
	fitted, err := d.window.Fit(d.request, prompt)
	if err != nil {
		return d.blamed(err)
	}
	if team.Shadow {
		d.spare(fitted)
		return nil
	}
	return d.take(fitted)
}

// count returns the length of the prompt that the model reads.
func (d *decision) count() policy.Prompt {
	prompt := d.model.Counter.Prompt(d.request)
	if d.request.Truncates() {
		prompt.Total = d.window.Left(prompt.Total, d.request.MaxTokens)
	}
	return prompt
}

// boundOf returns the field that bounds the answer of an operation, "" where that
// depends on the model.
func boundOf(op openai.Operation) string {
	switch op {
	case openai.Responses, openai.Compact:
		return "max_output_tokens"
	case openai.Completions:
		return "max_tokens"
	default:
		return ""
	}
}

// blamed returns a refusal by the window as one of the field that the operation
// has its prompt in.
func (d *decision) blamed(err error) error {
	field := d.field()
	e, ok := errors.AsType[*openai.Error](err)
	if !ok || e.Param != "messages" || field == e.Param {
		return err
	}
	named := *e
	named.Param = field
	return &named
}

// field returns the field that the operation has its prompt in.
func (d *decision) field() string {
	switch d.operation {
	case openai.Chat:
		return "messages"
	case openai.Completions, openai.Images, openai.ImageEdits:
		return "prompt"
	case openai.Transcriptions, openai.Translations:
		return "file"
	default:
		return "input"
	}
}

// spare notes what fitting would have changed, and changes nothing.
func (d *decision) spare(fitted policy.Fitted) {
	d.judged = fitted
	if fitted.Lowered > 0 {
		d.shadow = append(d.shadow, "lower")
	}
	if fitted.Trimmed > 0 {
		d.shadow = append(d.shadow, "trim")
	}
}

// apart reports whether what fitting made of a request, and where it may be sent,
// is the same for any prompt up to the one that it was fitted with.
func (d *decision) apart(f policy.Fitted) bool {
	set := f.Set != "" && d.window.Context > 0 && f.Output >= d.window.Context-f.Prompt
	return !set && (d.model.Narrowest == 0 || f.Prompt+f.Output <= d.model.Narrowest)
}

// take makes the request what fitting made of it.
func (d *decision) take(fitted policy.Fitted) (err error) {
	d.fitted, d.judged = fitted, fitted
	if fitted.Output == 0 {
		d.fitted.Output = d.request.Implied
	}
	d.request, err = d.request.With(fitted.Edits...)
	return err
}

// merged puts the team's part of a window into the model's.
func merged(model, team policy.Window) policy.Window {
	model.TeamInput, model.TeamOutput = team.TeamInput, team.TeamOutput
	model.DefaultOutput, model.RejectOutput = team.DefaultOutput, team.RejectOutput
	model.MaxTurns, model.Trim = team.MaxTurns, team.Trim
	return model
}

// report tells the client what was changed in its request.
func (d *decision) report(h http.Header) {
	if d.escaped > 0 {
		h.Set("X-Weir-Escaped", strconv.Itoa(d.escaped))
	}
	if d.fitted.Trimmed > 0 {
		h.Set("X-Weir-Trimmed-Messages", strconv.Itoa(d.fitted.Trimmed))
	}
	if d.fitted.Lowered > 0 {
		h.Set("X-Weir-Max-Tokens", strconv.FormatInt(d.fitted.Lowered, 10))
	}
	if len(d.shadow) > 0 {
		h.Set("X-Weir-Policy", "shadow: "+strings.Join(d.shadow, ", "))
	}
}
