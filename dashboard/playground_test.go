package dashboard_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/dashboard"
)

// TestPlayground sends what it is given with the key alone, and streams through what
// comes.
func TestPlayground(t *testing.T) {
	t.Parallel()
	type sent struct{ Method, Path, Key, Explain, Cookie, Body, From string }
	api := func(got *sent) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			*got = sent{r.Method, r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("X-Weir-Explain"), r.Header.Get("Cookie"), string(b), r.RemoteAddr}
			w.Header().Set("X-Weir-Attempts", "2")
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, "an answer")
		})
	}
	tests := []struct {
		name   string
		body   string
		status int
		want   sent
	}{
		{"a chat", `{"key":"sk-a","body":{"model":"m"}}`, 418, sent{"POST", "/v1/chat/completions", "Bearer sk-a", "", "", `{"model":"m"}`, "192.0.2.1:1234"}},
		{"without a key", `{"body":{}}`, 418, sent{"POST", "/v1/chat/completions", "", "", "", `{}`, "192.0.2.1:1234"}},
		{"explained", `{"key":"sk-a","explain":true,"path":"/v1/responses","body":{"input":1}}`, 418, sent{"POST", "/v1/responses", "Bearer sk-a", "1", "", `{"input":1}`, "192.0.2.1:1234"}},
		{"another path", `{"path":"/admin/v1/reload","body":{}}`, 400, sent{}},
		{"a path that climbs", `{"path":"/v1/chat/completions/../../admin","body":{}}`, 400, sent{}},
		{"no body", `{"key":"sk-a"}`, 400, sent{}},
		{"a key of two lines", `{"key":"a\r\nX-Evil: 1","body":{}}`, 400, sent{}},
		{"another field", `{"body":{},"header":{"x":"y"}}`, 400, sent{}},
		{"no JSON", `hello`, 400, sent{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got sent
			w := ask(dashboard.New(dashboard.Config{API: api(&got)}), "POST", "/admin/v1/playground", tt.body)
			if diff := cmp.Diff(tt.want, got); diff != "" || w.Code != tt.status {
				t.Errorf("it answers %d, want %d; sent (-want +got):\n%s", w.Code, tt.status, diff)
			}
			if w.Code == http.StatusTeapot && (w.Body.String() != "an answer" || w.Header().Get("X-Weir-Attempts") != "2" || w.Header().Get("X-Content-Type-Options") != "nosniff") {
				t.Errorf("it answers %v %s", w.Header(), w.Body)
			}
			if strings.Contains(w.Body.String(), "sk-a") {
				t.Error("it shows the key")
			}
		})
	}
}
