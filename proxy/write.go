package proxy

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/quota"
	"weir/usage"
)

// maxHint is the longest wait that a client is told of. One of the official
// clients ignores a longer one and asks again at once; another sleeps through
// whatever it is told.
const maxHint = time.Minute

// WriteError is the one function that writes an error. One that is no
// *openai.Error becomes a 500 without its text.
func WriteError(err error, c echo.Context) {
	rec := usage.From(c.Request().Context())
	if c.Response().Committed {
		return
	}
	e := visible(err, c)
	// A body that is given up ends the request's context too.
	if gone(c.Request().Context()) && e.Status != http.StatusRequestTimeout {
		rec.Status, rec.Outcome, rec.Code = statusGone, usage.ClientGone, openai.CodeClientClosed
		return
	}
	if limit, ok := errors.AsType[*limitError](err); ok {
		showLimits(c, limit.Snapshot)
	}
	h := c.Response().Header()
	showUpstream(h, rec)
	if e.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	showRetry(h, e.RetryAfter, e.NoRetry)
	rec.Status, rec.Code = e.Status, e.Code
	if rec.Outcome == "" {
		rec.Outcome = outcome(e)
	}
	limitWrite(c)
	if c.Request().Method == http.MethodHead {
		c.Response().WriteHeader(e.Status)
		return
	}
	_ = c.Blob(e.Status, "application/json", e.Envelope()) // a client that is gone sees nothing
}

// limitWrite bounds how long a client may take to accept a short answer.
func limitWrite(c echo.Context) {
	_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(writeLimit)) // where it cannot be set no network is slow
}

// statusGone is what the record of a request says whose client went away.
const statusGone = 499

// outcome returns how a request ended that was answered with an error, where nobody
// has said so: a limit of the gateway's own has.
func outcome(e *openai.Error) usage.Outcome {
	switch {
	case e.Status == http.StatusInternalServerError, e.Status == http.StatusInsufficientStorage:
		return usage.GatewayError
	case e.Status >= http.StatusInternalServerError, e.Code == openai.CodeRateLimit:
		return usage.UpstreamError // or upstream has no room, and is not even asked
	default:
		return usage.ClientError
	}
}

// visible returns what a client is shown of an error.
func visible(err error, c echo.Context) *openai.Error {
	if e, ok := errors.AsType[*openai.Error](err); ok {
		return e
	}
	if routing, ok := errors.AsType[*echo.HTTPError](err); ok {
		switch routing.Code {
		case http.StatusNotFound:
			hint := "The chat endpoint is POST /v1/chat/completions."
			if strings.Contains(c.Request().URL.Path, "/conversations") {
				hint = "Conversations are not served. Send previous_response_id, or all of the conversation in input."
			}
			return &openai.Error{Status: http.StatusNotFound, Code: openai.CodeUnknownURL, Message: fmt.Sprintf(
				"There is nothing at %s %s. %s", c.Request().Method, shown(c.Request().URL.Path), hint)}
		case http.StatusMethodNotAllowed:
			return &openai.Error{Status: http.StatusMethodNotAllowed, Code: openai.CodeMethod, Message: fmt.Sprintf(
				"%s is not allowed here. Allowed: %s.", c.Request().Method, c.Response().Header().Get("Allow"))}
		}
	}
	return &openai.Error{Status: http.StatusInternalServerError, Code: openai.CodeInternal, Message: "The gateway failed to handle the request."}
}

// showRetry tells a client whether and when to try again.
func showRetry(h http.Header, after time.Duration, never bool) {
	if never || after > maxHint {
		h.Set("X-Should-Retry", "false")
		return
	}
	if after > 0 {
		h.Set("Retry-After-Ms", strconv.FormatInt(int64(math.Ceil(float64(after)/float64(time.Millisecond))), 10))
		h.Set("Retry-After", strconv.FormatInt(max(1, int64(math.Ceil(after.Seconds()))), 10))
	}
}

// showUpstream tells who answered, after how many tries and how long a wait.
func showUpstream(h http.Header, rec *usage.Record) {
	if rec.Queued > 0 {
		h.Set("X-Weir-Queued-Ms", strconv.FormatFloat(float64(rec.Queued.Microseconds())/1000, 'f', 3, 64))
	}
	if len(rec.Attempts) == 0 {
		return
	}
	h.Set("X-Weir-Deployment", rec.Deployment)
	h.Set("X-Weir-Attempts", strconv.Itoa(len(rec.Attempts)))
	h.Set("X-Weir-Overhead-Ms", strconv.FormatFloat(float64((time.Since(rec.Start)-rec.Upstream).Microseconds())/1000, 'f', 3, 64))
}

// showLimits tells the levels that a decision was made on, in OpenAI's names.
func showLimits(c echo.Context, s quota.Snapshot) {
	h := c.Response().Header()
	for name, l := range map[string]quota.Level{"Requests": s.Requests, "Tokens": s.Tokens} {
		if l.Limit == 0 {
			continue
		}
		h.Set("X-Ratelimit-Limit-"+name, strconv.FormatInt(l.Limit, 10))
		h.Set("X-Ratelimit-Remaining-"+name, strconv.FormatInt(l.Remaining, 10))
		reset := l.Reset.Round(time.Millisecond).String()
		if azurePath(c.Path()) {
			reset = strconv.FormatInt(int64(math.Ceil(l.Reset.Seconds())), 10)
		}
		h.Set("X-Ratelimit-Reset-"+name, reset)
	}
	if l := s.Budget; l.Limit > 0 {
		h.Set("X-Weir-Budget-Remaining-Usd", strconv.FormatFloat(usage.USD(l.Remaining).Dollars(), 'f', -1, 64))
	}
}

// gone reports whether the client has left.
func gone(ctx context.Context) bool { return ctx.Err() != nil }
