package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"weir/openai"
	"weir/policy"
	"weir/quota"
	"weir/usage"
)

// decide applies the team's policy to a request: its text, then its length. What
// is returned holds the request as it is to be sent. In shadow mode it is sent as
// it came, and what the policy would have refused or changed is noted.
func (g *Gateway) decide(team Team, model Model, req *openai.Request, rec *usage.Record) (*decision, error) {
	d := &decision{request: req, model: model, choices: req.Choices, regions: team.Regions, usage: req.IncludeUsage, stream: req.Stream}
	d.share = team.share(rec.Key)
	err := d.screen(team)
	if err == nil || team.Shadow {
		d.note(err)
		err = d.fit(team, g.exactly(team, rec, d))
		if !d.rough {
			rec.EstimatedInput = d.fitted.Prompt
		}
	}
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
	edits, err := team.Screen.Check(d.request)
	if err != nil || len(edits) == 0 {
		return err
	}
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
	return g.asked.Add(1)%sampled == 1 || d.stream || team.Shadow ||
		team.Limits.TokensPerMinute > 0 || team.Keys[rec.Key].TokensPerMinute > 0
}

// fit makes the request fit. It is counted only where that is asked for, or where
// its mere length does not show that it fits as it is.
func (d *decision) fit(team Team, exactly bool) error {
	d.window = merged(d.model.Window, team.Window)
	if !exactly {
		bound := d.model.Counter.Bound(d.request)
		fitted, err := d.window.Fit(d.request, policy.Prompt{Total: bound})
		if err == nil && fitted.Trimmed == 0 && d.apart(fitted) {
			d.rough = true
			return d.take(fitted)
		}
	}
	prompt := d.model.Counter.Prompt(d.request)
	d.fitted.Prompt, d.fitted.Output = prompt.Total, d.request.MaxTokens
	fitted, err := d.window.Fit(d.request, prompt)
	if err != nil {
		return err
	}
	if team.Shadow {
		d.spare(fitted)
		return nil
	}
	return d.take(fitted)
}

// spare notes what fitting would have changed, and changes nothing.
func (d *decision) spare(fitted policy.Fitted) {
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
	d.fitted = fitted
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

// reserve takes the most that the request may cost from the team's allowance and
// from its key's, or says why not.
func (g *Gateway) reserve(ctx context.Context, team Team, rec *usage.Record, d *decision) (*quota.Lease, error) {
	accounts := []quota.Account{{ID: "team:" + team.Name, Limits: team.Limits}}
	if limits, ok := team.Keys[rec.Key]; ok {
		accounts = append(accounts, quota.Account{ID: "key:" + team.Name + "/" + rec.Key, Limits: limits})
	}
	var burst int64
	for _, a := range accounts {
		if b := burstOf(a.Limits); b > 0 && (burst == 0 || b < burst) {
			burst = b
		}
	}
	d.reserved = d.window.Reserve(d.fitted, 0, d.choices, burst)
	lease, err := g.cfg.Limiter.Reserve(ctx, accounts, quota.Cost{Requests: 1, Tokens: d.reserved})
	if err == nil {
		return lease, nil
	}
	exceeded, ok := errors.AsType[*quota.ExceededError](err)
	switch {
	case ok:
		rec.Outcome = usage.RefusedLimit
		return nil, &limitError{ExceededError: exceeded, shown: refusal(team, exceeded)}
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	default:
		return nil, fmt.Errorf("proxy: reserving: %w", err)
	}
}

// burstOf returns the most tokens that an account ever admits at once, 0 for any.
func burstOf(l quota.Limits) int64 {
	if l.TokensPerMinute == 0 || l.BurstTokens > 0 {
		return l.BurstTokens
	}
	return l.TokensPerMinute
}

// limitError is a refusal by a limit, with the levels that it was decided on.
type limitError struct {
	*quota.ExceededError
	shown *openai.Error
}

// Unwrap returns what the client sees.
func (e *limitError) Unwrap() error { return e.shown }

// refusal says which limit refused, what to do, and whom to ask.
func refusal(team Team, e *quota.ExceededError) *openai.Error {
	whose, setting := fmt.Sprintf("Team %q", team.Name), "teams."+team.Name+".limits."
	if name, ok := strings.CutPrefix(e.Account, "key:"+team.Name+"/"); ok {
		whose = fmt.Sprintf("Key %q", name)
		setting = "teams." + team.Name + ".keys[" + name + "].limits."
	}
	ask := "To raise it, change " + setting
	if team.Owner != "" {
		ask = "To raise it, ask " + team.Owner + " to change " + setting
	}
	out := &openai.Error{Status: http.StatusTooManyRequests, Type: string(e.Dimension), Code: openai.CodeRateLimit, RetryAfter: e.Wait}
	wait := e.Wait
	if wait > time.Second {
		const tenth = 100 * time.Millisecond
		wait = (wait + tenth - 1).Truncate(tenth)
	}
	switch {
	case e.Permanent:
		*out = openai.Error{Status: http.StatusBadRequest, Code: openai.CodeExceedsTeamLimit, Param: "messages"}
		out.Message = fmt.Sprintf("The request may use %d %s, and %s never has more than %d at once. Send a shorter prompt or a smaller max_tokens. %s.",
			e.Need, e.Dimension, whose, e.Limit, ask+short(e.Dimension))
	case e.Dimension == quota.Concurrency:
		out.Type = "requests"
		out.Message = fmt.Sprintf("%s has %d requests open, which is all it may have. Wait for one to end. %s.", whose, e.Limit, ask+"concurrency")
	default:
		out.Message = fmt.Sprintf("%s has used its %d %s per minute: %d are left, and the request needs %d. Next slot in %s. %s.",
			whose, e.Limit, e.Dimension, e.Remaining, e.Need, wait, ask+short(e.Dimension))
	}
	return out
}

// short returns the configuration's name of a limit.
func short(d quota.Dimension) string {
	switch d {
	case quota.Requests:
		return "rpm"
	case quota.Tokens:
		return "tpm"
	case quota.Concurrency:
	}
	return "concurrency"
}
