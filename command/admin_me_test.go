package command

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/dashboard"
)

// TestMeWithoutKey: where callers need no key, what they are told on the admin port
// is for those who may use it: not for another machine without the token, and not
// for a page whose name was made to point here.
func TestMeWithoutKey(t *testing.T) {
	t.Parallel()
	const open = `
version: 1
server: { listen: "127.0.0.1:8080", admin_listen: "127.0.0.1:8081" }
backends: { azure: { endpoint: "http://127.0.0.1:9", auth: { api_key: 0123456789abcdef } } }
models: { gpt-4o: { deployments: [{ backend: azure, deployment: gpt-4o }] } }
`
	const token = `admin: { token: "` + adminToken + `" }`
	tests := []struct {
		name     string
		settings string
		edit     func(*http.Request)
		status   int
	}{
		{"from here", "", func(*http.Request) {}, 200},
		{"from elsewhere", "", func(r *http.Request) { r.RemoteAddr = "192.0.2.7:50000" }, 401},
		{"under a name that points here", "", func(r *http.Request) { r.Host = "evil.example:8081" }, 401},
		{"where there is a token", token, func(*http.Request) {}, 401},
		{"with the token", token, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+adminToken) }, 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g, err := Build(t.Context(), parsed(t, open+tt.settings), Parts{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = g.Close(t.Context()) })
			w := called(g, http.MethodGet, dashboard.MePath, tt.edit)
			if w.Code != tt.status || strings.Contains(w.Body.String(), "gpt-4o") != (tt.status == http.StatusOK) {
				t.Errorf("it answers %d, want %d\n%s", w.Code, tt.status, w.Body)
			}
		})
	}
}

// TestMeNamesTheModelsOfListings: who is told which models there are for it is told
// of those that its listing has, and of none that its requests may not reach.
func TestMeNamesTheModelsOfListings(t *testing.T) {
	t.Parallel()
	const settings = `
version: 1
server: { listen: "127.0.0.1:8080", admin_listen: "127.0.0.1:8081" }
backends:
  eu: { endpoint: "http://127.0.0.1:9", region: swedencentral, auth: { api_key: 0123456789abcdef } }
  us: { endpoint: "http://127.0.0.1:10", region: eastus2, auth: { api_key: 0123456789abcdef } }
models:
  gpt-4o: { deployments: [{ backend: eu, deployment: gpt-4o }] }
  gpt-5: { deployments: [{ backend: us, deployment: gpt-5 }] }
teams: { search: { regions: [swedencentral], keys: [{ id: a, value: sk-search-a-0123456789 }] } }
`
	g, err := Build(t.Context(), parsed(t, settings), Parts{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close(t.Context()) })
	w := called(g, http.MethodGet, dashboard.MePath, func(r *http.Request) { r.Header.Set("Authorization", "Bearer sk-search-a-0123456789") })
	var me dashboard.Me
	if err := json.Unmarshal(w.Body.Bytes(), &me); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"gpt-4o"}, me.Models); diff != "" {
		t.Errorf("models of /admin/me (-want +got):\n%s", diff)
	}
}

// TestMeSaysWhoseFault: a request that was no good is no failure of the gateway's,
// neither in the hour's words nor in the ledger's.
func TestMeSaysWhoseFault(t *testing.T) {
	t.Parallel()
	strict := `state: { ledger: { path: "` + t.TempDir() + `/ledger.db", durability: strict } }`
	g, err := Build(t.Context(), parsed(t, mine+strict), Parts{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close(t.Context()) })
	key := func(r *http.Request) { r.Header.Set("Authorization", "Bearer sk-search-a-0123456789") }
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8080/v1/chat/completions", strings.NewReader("{"))
	key(r)
	w := httptest.NewRecorder()
	if g.API.ServeHTTP(w, r); w.Code != http.StatusBadRequest {
		t.Fatalf("half a body is answered %d\n%s", w.Code, w.Body)
	}
	var me map[string]any
	if err := json.Unmarshal(called(g, http.MethodGet, dashboard.MePath, key).Body.Bytes(), &me); err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	for _, span := range []string{"last_hour", "this_month"} {
		for _, name := range []string{"requests", "refused", "failed", "errors"} {
			if n, ok := me[span].(map[string]any)[name]; ok {
				got[span+"."+name] = n
			}
		}
	}
	want := map[string]any{
		"last_hour.requests": 1., "last_hour.refused": 1., "last_hour.failed": 0.,
		"this_month.requests": 1., "this_month.refused": 0., "this_month.errors": 1.,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestMeCountsAddresses: keys that fail on the admin port count against the address that
// they come from, whatever a header says, but for that of a proxy that is trusted.
func TestMeCountsAddresses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		trusted string
		last    int // what the 21st is answered
	}{
		{"no proxy is trusted", "", http.StatusTooManyRequests},
		{"another is", `server: { trusted_proxies: ["198.51.100.0/24"] }`, http.StatusTooManyRequests},
		{"this one is", `server: { trusted_proxies: ["192.0.2.7/32"] }`, http.StatusUnauthorized},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g, err := Build(t.Context(), parsed(t, mine+tt.trusted), Parts{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = g.Close(t.Context()) })
			for i := range 21 {
				w := called(g, http.MethodGet, dashboard.MePath, func(r *http.Request) {
					r.RemoteAddr = "192.0.2.7:50000"
					r.Header.Set("Api-Key", "guessed")
					r.Header.Set("X-Forwarded-For", "203.0.113."+strconv.Itoa(i))
					r.Header.Set("X-Real-Ip", "203.0.113."+strconv.Itoa(i))
				})
				want := http.StatusUnauthorized
				if i == 20 {
					want = tt.last
				}
				if w.Code != want {
					t.Errorf("failure %d is answered %d, want %d", i, w.Code, want)
				}
			}
		})
	}
}
