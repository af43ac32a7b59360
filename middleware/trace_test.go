package middleware_test

import (
	"net/http"
	"testing"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"weir/middleware"
)

// TestTraceOfSeveralLines: a state may come in several lines, which are one list; a
// parent may not.
func TestTraceOfSeveralLines(t *testing.T) {
	t.Parallel()
	const parent, another = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	tests := []struct {
		name    string
		parents []string
		states  []string
		joined  bool
		want    string
	}{
		{"one line", []string{parent}, []string{"a=1,b=2"}, true, "a=1,b=2"},
		{"two lines", []string{parent}, []string{"a=1", "b=2"}, true, "a=1,b=2"},
		{"an empty one", []string{parent}, []string{"", "b=2"}, true, "b=2"},
		{"no state", []string{parent}, nil, true, ""},
		{"a state that is none", []string{parent}, []string{"a=1", "nonsense"}, true, ""},
		{"two parents", []string{parent, another}, []string{"a=1"}, false, ""},
		{"a state alone", nil, []string{"a=1"}, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := get("/v1/x")
			r.Header["Traceparent"], r.Header["Tracestate"] = tt.parents, tt.states
			if tt.parents == nil {
				r.Header.Del("Traceparent")
			}
			var got trace.SpanContext
			w := serve(r, func(c echo.Context) error {
				got = trace.SpanContextFromContext(c.Request().Context())
				return fine(c)
			}, nil, middleware.Trace(noop.NewTracerProvider().Tracer("test")), middleware.Record(newID))
			if w.Code != http.StatusOK || got.HasTraceID() != tt.joined || got.TraceState().String() != tt.want {
				t.Errorf("%d: in trace %s with state %q, want %q", w.Code, got.TraceID(), got.TraceState(), tt.want)
			}
		})
	}
}
