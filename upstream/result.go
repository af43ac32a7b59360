package upstream

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"weir/openai"
	"weir/policy"
)

// keep notes what the client is shown if no later attempt does better. A refusal
// of something that we put into the request is never shown.
func (r *run) keep(answer *openai.Answer, o policy.Outcome, act policy.Action) {
	if act.Mend {
		return
	}
	if o.Class == policy.Throttled && o.RetryAfter > 0 && (r.hint == 0 || o.RetryAfter < r.hint) {
		r.hint = o.RetryAfter
	}
	r.last, r.lastErr, r.unpaid = answer, nil, o.Class == policy.Exhausted
	if answer == nil || o.Class == policy.Misconfigured && o.Status != http.StatusNotFound {
		r.last, r.lastErr = nil, shown(o)
	}
}

// give hands over what the last attempt came to.
func (r *run) give() (*openai.Answer, error) {
	if r.last == nil && r.lastErr == nil { // only what we put in was refused: it is known now, and left out
		e := openai.Error{Status: http.StatusBadGateway, Code: openai.CodeBadAnswer}
		e.Message = "The deployment refused what the gateway had added to the request. Send it again."
		return nil, &e
	}
	if r.last == nil {
		return nil, r.lastErr
	}
	a := r.last
	a.NoRetry = a.Status >= 500 || a.Status == http.StatusRequestTimeout || r.unpaid
	if a.Status == http.StatusTooManyRequests {
		a.RetryAfter = r.hint
	}
	return a, nil
}

// none says why no deployment can be asked.
func (r *run) none() error {
	if r.isStopped() {
		return shown(policy.Outcome{Class: policy.Gone})
	}
	if r.group == nil {
		return unserved()
	}
	if r.call.Bearer == "" && !slices.ContainsFunc(r.group.members, func(m *member) bool { return !m.passes() }) {
		return &openai.Error{
			Status: http.StatusUnauthorized, Code: openai.CodeInvalidAPIKey,
			Message: "The deployment takes the caller's own Entra ID token. Send it as Authorization: Bearer TOKEN, and a key of the gateway, where it asks for one, as api-key.",
		}
	}
	why, wait, throttled := r.group.condition(r.call, r.cost)
	if why == "" && !r.reachable() {
		if r.call.Only != "" {
			return elsewhere(r.group.name)
		}
		return &openai.Error{
			Status: http.StatusNotFound, Code: openai.CodeModelNotFound, Param: "model",
			Message: fmt.Sprintf("The model %q is served in none of the regions that the team may use: %s.", r.group.name, strings.Join(r.call.Regions, ", ")),
		}
	}
	if why == "" {
		return openai.BadRequest(openai.CodeContextLength, "messages", fmt.Sprintf("No deployment of %q has room for the request.", r.group.name))
	}
	e := &openai.Error{
		Status: http.StatusServiceUnavailable, Code: openai.CodeNoDeployment, RetryAfter: wait,
		Message: fmt.Sprintf("No deployment of %q can answer now: %s. Retry in %s.", r.group.name, why, wait.Round(time.Millisecond)),
	}
	if throttled {
		e.Status, e.Code = http.StatusTooManyRequests, openai.CodeRateLimit
	}
	return e
}

// elsewhere says that the model is not where the request must go.
func elsewhere(model string) error {
	return openai.BadRequest(openai.CodeInvalidValue, "model", fmt.Sprintf(
		"The request refers to what another resource keeps, which does not serve the model %q to the team. Use the model that it was made with.", model))
}

// reachable reports whether any deployment is where the call may go.
func (r *run) reachable() bool {
	return slices.ContainsFunc(r.group.members, func(m *member) bool { return m.within(r.call) })
}

// shown returns the error that stands for an attempt without an answer that a
// client may see.
func shown(o policy.Outcome) error {
	e := &openai.Error{Status: http.StatusBadGateway, NoRetry: true}
	switch o.Class {
	case policy.Misconfigured:
		e.Code = openai.CodeUpstreamAuth
		e.Message = "The deployment does not accept the gateway's credential. Whoever runs the gateway must mend its configuration."
	case policy.Gone:
		e.Status, e.Code = http.StatusServiceUnavailable, openai.CodeShuttingDown
		e.Message, e.NoRetry = "This gateway is shutting down. Send the request again: another one will take it.", false
	case policy.TimedOut:
		e.Status, e.Code = http.StatusGatewayTimeout, openai.CodeTimeout
		e.Message = "The deployment did not answer in time."
	case policy.Unreachable:
		e.Code = openai.CodeUnreachable
		e.Message = "The deployment cannot be reached."
	case policy.Interrupted:
		e.Code = openai.CodeUnreachable
		e.Message = "The connection to the deployment broke before it answered."
	default:
		e.Code = openai.CodeBadAnswer
		e.Message = "The deployment's answer makes no sense."
	}
	return e
}
