package middleware_test

import (
	"crypto/sha256"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"weir/middleware"
	"weir/usage"
)

// TestAuth holds who is taken for whom.
func TestAuth(t *testing.T) {
	t.Parallel()
	const missing, unknown, different = "No API key was sent", "The API key is not one of this gateway's", "hold keys of different teams"
	open := &middleware.Caller{Team: "open"}
	tests := []struct {
		name   string
		header []string
		open   *middleware.Caller
		want   string // team and key; "" a 401
		says   string
	}{
		{name: "bearer", header: []string{"Authorization", "Bearer one-a"}, want: "one/a"},
		{name: "bearer, small", header: []string{"Authorization", "bearer one-a"}, want: "one/a"},
		{name: "bearer, capitals", header: []string{"Authorization", "BEARER one-a"}, want: "one/a"},
		{name: "bearer, spaces", header: []string{"Authorization", "  Bearer   one-a  "}, want: "one/a"},
		{name: "api-key", header: []string{"api-key", "one-a"}, want: "one/a"},
		{name: "api-key, spaces", header: []string{"Api-Key", " one-a "}, want: "one/a"},
		{name: "subscription key", header: []string{"Ocp-Apim-Subscription-Key", "one-a"}, want: "one/a"},
		{name: "both the same", header: []string{"Authorization", "Bearer one-a", "api-key", "one-a"}, want: "one/a"},
		{name: "two of one team", header: []string{"Authorization", "Bearer one-a", "api-key", "one-b"}, want: "one/a"},
		{name: "two of different teams", header: []string{"Authorization", "Bearer one-a", "api-key", "two-a"}, says: different},
		{name: "three, the last of another team", header: []string{"Authorization", "Bearer one-a", "api-key", "one-b", "ocp-apim-subscription-key", "two-a"}, says: different},
		{name: "an unknown one beside a known", header: []string{"Authorization", "Bearer eyJhbGciOi.x.y", "api-key", "one-a"}, want: "one/a"},
		{name: "a known one beside an unknown", header: []string{"Authorization", "Bearer one-a", "api-key", "nonsense"}, want: "one/a"},
		{name: "an expired one beside a known of another team", header: []string{"Authorization", "Bearer old", "api-key", "two-a"}, want: "two/a"},
		{name: "none", says: missing},
		{name: "empty bearer", header: []string{"Authorization", "Bearer "}, says: missing},
		{name: "bearer alone", header: []string{"Authorization", "Bearer"}, says: missing},
		{name: "empty api-key", header: []string{"api-key", ""}, says: missing},
		{name: "basic", header: []string{"Authorization", "Basic one-a"}, says: missing},
		{name: "no scheme", header: []string{"Authorization", "one-a"}, says: missing},
		{name: "unknown", header: []string{"api-key", "nonsense"}, says: unknown},
		{name: "other case", header: []string{"api-key", "ONE-A"}, says: unknown},
		{name: "huge", header: []string{"api-key", strings.Repeat("x", 10<<20)}, says: unknown},
		{name: "expired this instant", header: []string{"api-key", "old"}, says: unknown},
		{name: "expires in the next", header: []string{"api-key", "new"}, want: "one/new"},
		{name: "open, none", open: open, want: "open/"},
		{name: "open, unknown", open: open, header: []string{"api-key", "nonsense"}, want: "open/"},
		{name: "open, known", open: open, header: []string{"api-key", "one-a"}, want: "one/a"},
		{name: "open, two of different teams", open: open, header: []string{"Authorization", "Bearer one-a", "api-key", "two-a"}, says: different},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				keys := middleware.Keys{}
				add := func(key, team, name string, expires time.Time) {
					keys[sha256.Sum256([]byte(key))] = middleware.Caller{Team: team, Key: name, Expires: expires}
				}
				add("one-a", "one", "a", time.Time{})
				add("one-b", "one", "b", time.Time{})
				add("two-a", "two", "a", time.Time{})
				add("old", "one", "old", time.Now())
				add("new", "one", "new", time.Now().Add(1))
				got := ""
				b := &book{}
				w := serve(get("/v1/x", tt.header...), func(c echo.Context) error {
					r := usage.From(c.Request().Context())
					got = r.Team + "/" + r.Key
					return fine(c)
				}, nil, middleware.Record(newID, b), middleware.Auth(keys, tt.open, middleware.NewThrottle(slog.New(slog.DiscardHandler))))
				if got != tt.want {
					t.Errorf("taken for %q, want %q", got, tt.want)
				}
				if tt.want == "" && (w.Code != http.StatusUnauthorized || !strings.HasPrefix(w.Body.String(), "invalid_api_key: ") || !strings.Contains(w.Body.String(), tt.says)) {
					t.Errorf("answered %d %s, want a 401 that says %q", w.Code, w.Body, tt.says)
				}
				if tt.want == "" && b.records[0].Team != "" {
					t.Errorf("a refused caller is noted as %q", b.records[0].Team)
				}
			})
		})
	}
}

// TestRefusalsAreAlike holds that an expired key is refused as one that never
// was.
func TestRefusalsAreAlike(t *testing.T) {
	t.Parallel()
	keys := middleware.Keys{sha256.Sum256([]byte("old")): {Team: "one", Expires: time.Unix(0, 0)}}
	answers := map[string]*httptest.ResponseRecorder{}
	for _, key := range []string{"old", "never"} {
		answers[key] = serve(get("/v1/x", "api-key", key), fine, nil, middleware.Auth(keys, nil, middleware.NewThrottle(slog.New(slog.DiscardHandler))))
	}
	if answers["old"].Body.String() != answers["never"].Body.String() {
		t.Errorf("an expired key is answered %s, an unknown one %s", answers["old"].Body, answers["never"].Body)
	}
}

// TestTrace holds that a request joins the trace that it names, if it names one.
func TestTrace(t *testing.T) {
	t.Parallel()
	const id, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	tests := []struct {
		name   string
		header []string
		trace  string
		span   string
	}{
		{"a parent", []string{"traceparent", "00-" + id + "-" + span + "-01"}, id, span},
		{"a parent with a state", []string{"traceparent", "00-" + id + "-" + span + "-00", "tracestate", "a=b"}, id, span},
		{"none", nil, "", ""},
		{"nonsense", []string{"traceparent", "nonsense"}, "", ""},
		{"no trace", []string{"traceparent", "00-00000000000000000000000000000000-" + span + "-01"}, "", ""},
		{"too short", []string{"traceparent", "00-" + id + "-b7ad-01"}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := &book{}
			inside := ""
			w := serve(get("/v1/x", tt.header...), func(c echo.Context) error {
				if sc := trace.SpanContextFromContext(c.Request().Context()); sc.HasTraceID() {
					inside = sc.TraceID().String()
				}
				return fine(c)
			}, nil, middleware.Trace(noop.NewTracerProvider().Tracer("test")), middleware.Record(newID, b))
			if w.Code != http.StatusOK || len(b.records) != 1 {
				t.Fatalf("answered %d with %d records", w.Code, len(b.records))
			}
			if r := b.records[0]; r.TraceID != tt.trace || r.SpanID != tt.span || inside != tt.trace {
				t.Errorf("the record is of trace %q and span %q, the context of %q, want %q and %q", r.TraceID, r.SpanID, inside, tt.trace, tt.span)
			}
		})
	}
}
