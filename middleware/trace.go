package middleware

import (
	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"weir/usage"
)

// Trace joins the trace that a request belongs to by its traceparent, or begins
// one, and notes it in the record. A traceparent that makes no sense is as none.
func Trace(tracer trace.Tracer) echo.MiddlewareFunc {
	var propagator propagation.TraceContext
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			req := c.Request()
			ctx := propagator.Extract(req.Context(), propagation.HeaderCarrier(req.Header))
			ctx, span := tracer.Start(ctx, req.Method, trace.WithSpanKind(trace.SpanKindServer))
			defer span.End()
			r := usage.From(ctx)
			if sc := span.SpanContext(); sc.HasTraceID() {
				r.TraceID = sc.TraceID().String()
				r.SpanID = sc.SpanID().String()
			}
			c.SetRequest(req.WithContext(ctx))
			return next(c)
		}
	}
}
