// Package middleware holds what is true of every request, whatever it asks for:
// that it has a record, a caller, and a gateway that takes new ones.
//
// Nothing in this package reads a body or writes an answer. A refusal is an
// *openai.Error that is handed up to the one place that writes errors.
package middleware

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/trace"

	"weir/openai"
	"weir/usage"
)

// maxRequestID is the longest request id that is taken from a client.
const maxRequestID = 128

// Record begins the record of each request, writes the errors of what follows,
// and hands the record to the sinks once the last byte is out, on every path.
// NewID returns an id for a request that brings none.
func Record(newID func() string, sinks ...usage.Sink) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			req := c.Request()
			r := &usage.Record{
				Start: time.Now(), Method: method(req.Method), Client: c.RealIP(), UserAgent: clip(req.UserAgent()),
				RequestID: requestID(req.Header.Get("X-Request-Id"), newID),
			}
			if n, err := strconv.Atoi(req.Header.Get("X-Stainless-Retry-Count")); err == nil {
				r.Retry = max(0, n)
			}
			span := trace.SpanFromContext(req.Context())
			if sc := span.SpanContext(); sc.HasTraceID() {
				r.TraceID, r.SpanID, r.Traced = sc.TraceID().String(), sc.SpanID().String(), span.IsRecording()
			}
			c.SetRequest(req.WithContext(usage.With(req.Context(), r)))
			h := c.Response().Header()
			h.Set("X-Request-Id", r.RequestID)
			if id := req.Header.Get("X-Ms-Client-Request-Id"); showable(id) {
				h.Set("X-Ms-Client-Request-Id", id)
			}
			if len(req.TransferEncoding) > 0 {
				// Whoever frames a body so may have framed two requests.
				h.Set("Connection", "close")
			}
			defer func() {
				r.Route = c.Path()
				r.Duration = time.Since(r.Start)
				complete(r, c.Response())
				ctx := context.WithoutCancel(c.Request().Context())
				for _, s := range sinks {
					s.Take(ctx, r)
				}
			}()
			if err := next(c); err != nil {
				c.Error(err)
			}
			return nil
		}
	}
}

// requestID returns the client's id where it is fit to be shown, or a new one.
func requestID(given string, newID func() string) string {
	if showable(given) {
		return given
	}
	return newID()
}

// showable reports whether an id is one that can stand in a header and in a log.
func showable(id string) bool {
	return id != "" && len(id) <= maxRequestID && !strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' })
}

// complete fills in what a handler has not said of its answer.
func complete(r *usage.Record, sent *echo.Response) {
	if r.Status == 0 && sent.Committed {
		r.Status = sent.Status
	}
	if r.Outcome != "" {
		return
	}
	switch {
	case r.Status == 0, r.Status == http.StatusInternalServerError:
		r.Outcome = usage.GatewayError
	case r.Status > http.StatusInternalServerError:
		r.Outcome = usage.UpstreamError
	case r.Status >= http.StatusBadRequest:
		r.Outcome = usage.ClientError
	default:
		r.Outcome = usage.OK
	}
}

// clip keeps a header of the client's small enough to be logged, and to be kept: of
// one that is longer nothing else stays in memory.
func clip(s string) string {
	const most = 256
	if len(s) > most {
		s = strings.Clone(s[:most])
	}
	return strings.ToValidUTF8(s, "")
}

// method returns a request's method without the line that it stands in, which has
// the path in it and stays in memory for as long as any part of it.
func method(name string) string {
	for _, known := range []string{http.MethodPost, http.MethodGet, http.MethodDelete, http.MethodPut, http.MethodPatch, http.MethodHead, http.MethodOptions} {
		if name == known {
			return known
		}
	}
	return strings.Clone(clip(name))
}

// Recover turns a panic into an error that says nothing of it, and logs it. The
// panic that aborts a connection passes. An error that no client is to see is
// logged as well, unless its client has left.
func Recover(log *slog.Logger) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) (err error) {
			defer func() {
				v := recover()
				if v == nil {
					return
				}
				if e, ok := v.(error); ok && errors.Is(e, http.ErrAbortHandler) {
					panic(v)
				}
				r := usage.From(c.Request().Context())
				r.Outcome = usage.GatewayError
				stack := debug.Stack()
				if from, ok := v.(interface{ Stack() []byte }); ok { // another goroutine's
					stack = from.Stack()
				}
				log.Error("panic", "type", fmt.Sprintf("%T", v), "stack", string(stack),
					"request_id", r.RequestID, "trace_id", r.TraceID, "span_id", r.SpanID)
				if c.Response().Committed {
					panic(http.ErrAbortHandler)
				}
				err = &openai.Error{Status: http.StatusInternalServerError, Code: openai.CodeInternal, Message: "The gateway failed to handle the request."}
			}()
			err = next(c)
			if fault := hidden(err); fault != nil && !c.Response().Committed && c.Request().Context().Err() == nil {
				r := usage.From(c.Request().Context())
				log.Error("fault", "error", fault, "request_id", r.RequestID, "trace_id", r.TraceID, "span_id", r.SpanID)
			}
			return err
		}
	}
}

// hidden returns what no client is to see of an error, nil where that is nothing: all
// of one that is neither made for clients nor the router's.
func hidden(err error) error {
	if e, ok := errors.AsType[*openai.Error](err); ok {
		return e.Fault
	}
	if _, ok := errors.AsType[*echo.HTTPError](err); ok {
		return nil
	}
	return err
}

// Drain refuses requests while draining reports true.
func Drain(draining func() bool) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if !draining() {
				return next(c)
			}
			c.Response().Header().Set("Connection", "close")
			return &openai.Error{
				Status: http.StatusServiceUnavailable, Code: openai.CodeShuttingDown, RetryAfter: time.Millisecond,
				Message: "This gateway is shutting down. Send the request again: another one will take it.",
			}
		}
	}
}

// CleanPath makes of every path one that a route can match: without a trailing
// slash, and with single slashes. Nobody is redirected: a client may not follow.
func CleanPath(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		u := c.Request().URL
		u.Path, u.RawPath = clean(u.Path), clean(u.RawPath)
		return next(c)
	}
}

func clean(path string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	return path
}
