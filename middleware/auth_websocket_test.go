package middleware_test

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"

	"weir/middleware"
	"weir/openai"
	"weir/usage"
)

// TestAuthOfWebSockets holds that a key may stand among the subprotocols of a
// WebSocket, and of nothing else, and that no page of another site needs none.
func TestAuthOfWebSockets(t *testing.T) {
	t.Parallel()
	keys := middleware.Keys{
		sha256.Sum256([]byte("one")): {Team: "one", Key: "a"},
		sha256.Sum256([]byte("two")): {Team: "two", Key: "a"},
	}
	const protocols, offer = "Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key."
	open := &middleware.Caller{Team: "open"}
	for _, tt := range []struct {
		name    string
		plain   bool // no WebSocket
		open    *middleware.Caller
		headers []string
		want    string // team; "" a 401
	}{
		{name: "a key", headers: []string{protocols, offer + "one"}, want: "one"},
		{name: "a key on a line of its own", headers: []string{protocols, "realtime", protocols, "openai-insecure-api-key.one"}, want: "one"},
		{name: "a key, of a plain request", plain: true, headers: []string{protocols, offer + "one"}},
		{name: "a key of nobody", headers: []string{protocols, offer + "x"}},
		{name: "no key", headers: []string{protocols, offer}},
		{name: "the same twice", headers: []string{protocols, offer + "one", "api-key", "one"}, want: "one"},
		{name: "two of different teams", headers: []string{protocols, offer + "one", "api-key", "two"}},
		{name: "two protocols of different teams", headers: []string{protocols, offer + "one, openai-insecure-api-key.two"}},
		{name: "open", open: open, want: "open"},
		{name: "open, a page of its own host", open: open, headers: []string{"Origin", "http://localhost:3000"}, want: "open"},
		{name: "open, a page of another host", open: open, headers: []string{"Origin", "https://evil.example"}},
		{name: "open, a page of no host", open: open, headers: []string{"Origin", "null"}},
		{name: "open, a page that has a key", open: open, headers: []string{"Origin", "https://evil.example", protocols, offer + "one"}, want: "one"},
		{name: "open, no WebSocket", plain: true, open: open, headers: []string{"Origin", "https://evil.example"}, want: "open"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost:8080/v1/realtime", nil)
			if !tt.plain {
				r.Header.Set("Upgrade", "WebSocket")
			}
			for i := 0; i < len(tt.headers); i += 2 {
				r.Header.Add(tt.headers[i], tt.headers[i+1])
			}
			rec := &usage.Record{}
			c := echo.New().NewContext(r.WithContext(usage.With(r.Context(), rec)), httptest.NewRecorder())
			err := middleware.Auth(keys, tt.open, middleware.NewThrottle(nil))(func(echo.Context) error { return nil })(c)
			if e, refused := errors.AsType[*openai.Error](err); refused != (tt.want == "") || refused && e.Status != http.StatusUnauthorized || rec.Team != tt.want {
				t.Errorf("team %q, %v", rec.Team, err)
			}
		})
	}
}
