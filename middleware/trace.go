package middleware

import (
	"cmp"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"

	"weir/usage"
)

// Trace joins the trace that a request belongs to by its traceparent, or begins
// one, but for the routes in exclude. A traceparent that makes no sense is as none,
// and baggage is not looked at. It stands before Record, whose record it makes into
// the facts of the span.
func Trace(tracer trace.Tracer, exclude ...string) echo.MiddlewareFunc {
	var propagator propagation.TraceContext
	kind := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if slices.Contains(exclude, c.Path()) {
				return next(c)
			}
			req := c.Request()
			ctx := req.Context()
			if parent := parentOf(req.Header); parent != nil { // to look for nothing costs more than to see that there is nothing
				ctx = propagator.Extract(ctx, parent)
			}
			ctx, span := tracer.Start(ctx, spanName(c), kind...)
			c.SetRequest(req.WithContext(ctx))
			if !span.IsRecording() {
				defer span.End()
				return next(c)
			}
			defer func() {
				r := usage.From(c.Request().Context())
				span.SetAttributes(asked(c)...)
				span.SetAttributes(became(r)...)
				if failed(r) {
					span.SetAttributes(semconv.ErrorTypeKey.String(errorType(r)))
					span.SetStatus(codes.Error, "")
				}
				span.End(trace.WithTimestamp(r.Start.Add(r.Duration)))
			}()
			return next(c)
		}
	}
}

// parentOf returns what names the trace that a request belongs to, nil where nothing
// does, or more than one parent. Its state is one list, in however many lines it came.
func parentOf(h http.Header) propagation.TextMapCarrier {
	parents, states := h["Traceparent"], h["Tracestate"]
	switch {
	case len(parents) != 1:
		return nil
	case len(states) < 2:
		return propagation.HeaderCarrier(h)
	default:
		return propagation.MapCarrier{"traceparent": parents[0], "tracestate": strings.Join(states, ",")}
	}
}

// spanName returns the method and the route's pattern. Of what no route is for,
// nothing is said that the client wrote.
func spanName(c echo.Context) string {
	method := knownMethod(c.Request().Method)
	if method == semconv.HTTPRequestMethodOther.Value.AsString() {
		method = "HTTP"
	}
	if c.Path() == "" {
		return method
	}
	return method + " " + c.Path()
}

// knownMethod returns a method that there is, or the word for any other.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead,
		http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return method
	default:
		return semconv.HTTPRequestMethodOther.Value.AsString()
	}
}

// asked returns what a span says of a request. A path that a client could write
// into is not told.
func asked(c echo.Context) []attribute.KeyValue {
	req := c.Request()
	out := []attribute.KeyValue{
		semconv.HTTPRequestMethodKey.String(knownMethod(req.Method)),
		semconv.URLScheme(c.Scheme()),
		semconv.NetworkProtocolVersion(strings.TrimPrefix(strings.TrimSuffix(req.Proto, ".0"), "HTTP/")),
	}
	if route := c.Path(); route != "" {
		out = append(out, semconv.HTTPRoute(route))
		if !strings.ContainsAny(route, ":*") {
			out = append(out, semconv.URLPath(route))
		}
	}
	if local, ok := req.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if host, port, err := net.SplitHostPort(local.String()); err == nil {
			out = append(out, semconv.ServerAddress(host))
			if n, err := strconv.Atoi(port); err == nil {
				out = append(out, semconv.ServerPort(n))
			}
		}
	}
	return out
}

// became returns what a span says of what became of a request.
func became(r *usage.Record) []attribute.KeyValue {
	out := facts{
		semconv.HTTPResponseStatusCode(r.Status),
		attribute.String("weir.outcome", string(r.Outcome)),
		attribute.String("weir.request_id", r.RequestID),
	}
	out.text(semconv.ClientAddressKey, r.Client)
	out.text(semconv.UserAgentOriginalKey, r.UserAgent)
	out.text("weir.team", r.Team)
	out.text("weir.key", r.Key)
	out.text("weir.code", r.Code)
	out.text("weir.model", r.Model)
	out.text("weir.deployment", r.Deployment)
	out.text("weir.policy", r.Policy)
	out.text("weir.limit", string(r.Limit))
	out.number("weir.attempts", int64(len(r.Attempts)))
	out.number("weir.client_retry", int64(r.Retry))
	out.number("weir.escaped", int64(r.Escaped))
	out.number("weir.trimmed_messages", int64(r.Trimmed))
	out.number("weir.max_tokens_set", r.Lowered)
	out.number("weir.estimated_input_tokens", r.EstimatedInput)
	if len(r.Shadowed) > 0 {
		out = append(out, attribute.StringSlice("weir.shadowed", r.Shadowed))
	}
	if r.Cost != 0 {
		out = append(out, attribute.Float64("weir.cost_usd", r.Cost.Dollars()))
	}
	out.wait("weir.first_token_ms", r.FirstToken)
	out.wait("weir.upstream_ms", r.Upstream)
	out.wait("weir.queued_ms", r.Queued)
	return out
}

// facts are attributes. What has no value is left out of them.
type facts []attribute.KeyValue

func (f *facts) text(name attribute.Key, value string) {
	if value != "" {
		*f = append(*f, name.String(value))
	}
}

func (f *facts) number(name attribute.Key, value int64) {
	if value != 0 {
		*f = append(*f, name.Int64(value))
	}
}

func (f *facts) wait(name attribute.Key, value time.Duration) {
	if value != 0 {
		*f = append(*f, name.Float64(float64(value.Microseconds())/1000))
	}
}

// failed reports whether a request failed by what is no fault of its client: by its
// status, or behind it, as a stream does that breaks off.
func failed(r *usage.Record) bool {
	return r.Status >= http.StatusInternalServerError ||
		r.Status < http.StatusBadRequest && (r.Outcome == usage.UpstreamError || r.Outcome == usage.GatewayError)
}

// errorType returns the kind of a failure: the status, or the code where the status
// was sent before it.
func errorType(r *usage.Record) string {
	if r.Status < http.StatusInternalServerError {
		return cmp.Or(r.Code, semconv.ErrorTypeOther.Value.AsString())
	}
	return strconv.Itoa(r.Status)
}
