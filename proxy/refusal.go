package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"weir/openai"
	"weir/quota"
	"weir/usage"
)

// limitError is a refusal by a limit, with the levels that it was decided on.
type limitError struct {
	*quota.ExceededError
	shown *openai.Error
}

// Unwrap returns what the client sees.
func (e *limitError) Unwrap() error { return e.shown }

// refused returns the error of a request that could not reserve.
func refused(ctx context.Context, team Team, rec *usage.Record, d *decision, err error) error {
	exceeded, ok := errors.AsType[*quota.ExceededError](err)
	switch {
	case ok:
		rec.Outcome, rec.Limit = usage.RefusedLimit, limitOf(exceeded.Dimension)
		return &limitError{ExceededError: exceeded, shown: refusal(team, d, exceeded)}
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, quota.ErrAway):
		return away()
	default:
		return fmt.Errorf("proxy: reserving: %w", err)
	}
}

func away() *openai.Error {
	return &openai.Error{
		Status: http.StatusServiceUnavailable, Type: "server_error", Code: openai.CodeLimitsAway, RetryAfter: time.Second,
		Message: "What counts the limits cannot be reached, and this team's requests are not served without. Send the request again in a moment.",
	}
}

// refusal says which limit refused, what to do, and whom to ask.
func refusal(team Team, d *decision, e *quota.ExceededError) *openai.Error {
	whose, setting := fmt.Sprintf("Team %q", team.Name), "teams."+team.Name
	if _, key := Holder(e.Account); key != "" {
		whose = fmt.Sprintf("Key %q", key)
		setting += ".keys[" + key + "]"
	}
	ask := "To raise it, change " + setting + "." + settingOf(e.Dimension) + "."
	if team.Owner != "" {
		ask = "To raise it, ask " + team.Owner + " to change " + setting + "." + settingOf(e.Dimension) + "."
	}
	out := &openai.Error{Status: http.StatusTooManyRequests, Type: string(e.Dimension), Code: openai.CodeRateLimit, RetryAfter: e.Wait}
	switch {
	case e.Dimension == quota.Spend:
		*out = *overspent(whose, ask, e)
	case e.Permanent:
		*out = openai.Error{Status: http.StatusBadRequest, Code: openai.CodeExceedsTeamLimit, Param: d.field()}
		out.Message = fmt.Sprintf("The request may use %d %s, and %s never has more than %d at once. Send a shorter prompt or a smaller max_tokens. %s",
			e.Need, e.Dimension, whose, e.Limit, ask)
	case e.Dimension == quota.Concurrency:
		out.Type = "requests"
		out.Message = fmt.Sprintf("%s has %d requests open, which is all it may have. Wait for one to end. %s", whose, e.Limit, ask)
	case e.Need == 0:
		out.Message = fmt.Sprintf("%s has used more than its %d %s per minute. Next slot in %s. %s", whose, e.Limit, e.Dimension, rounded(e.Wait), ask)
	default:
		out.Message = fmt.Sprintf("%s has used its %d %s per minute: %d are left, and the request needs %d. Next slot in %s. %s",
			whose, e.Limit, e.Dimension, e.Remaining, e.Need, rounded(e.Wait), ask)
	}
	return out
}

// overspent says that there is not enough money left. No client should ask again
// by itself: the next window may be weeks away.
func overspent(whose, ask string, e *quota.ExceededError) *openai.Error {
	out := &openai.Error{Status: http.StatusTooManyRequests, Type: openai.CodeInsufficientQuota, Code: openai.CodeInsufficientQuota, NoRetry: true}
	if e.Need == 0 {
		out.Message = fmt.Sprintf("%s has spent more than its budget of %s. The next one begins in %s. %s", whose, usage.USD(e.Limit), rounded(e.Wait), ask)
		return out
	}
	next := "It is less than this one request may cost: send a smaller max_tokens."
	if !e.Permanent {
		next = fmt.Sprintf("The next budget begins in %s.", rounded(e.Wait))
	}
	out.Message = fmt.Sprintf("%s has a budget of %s, of which %s are left, and the request may cost %s. %s %s",
		whose, usage.USD(e.Limit), usage.USD(e.Remaining), usage.USD(e.Need), next, ask)
	return out
}

// rounded returns a wait as people read it.
func rounded(wait time.Duration) time.Duration {
	switch {
	case wait > time.Hour:
		return (wait + time.Minute - 1).Truncate(time.Minute)
	case wait > time.Second:
		const tenth = 100 * time.Millisecond
		return (wait + tenth - 1).Truncate(tenth)
	default:
		return wait
	}
}

// settingOf returns the configuration's name of a limit.
func settingOf(d quota.Dimension) string {
	switch d {
	case quota.Requests:
		return "limits.rpm"
	case quota.Tokens:
		return "limits.tpm"
	case quota.Spend:
		return "budget"
	case quota.Concurrency:
	}
	return "limits.concurrency"
}
