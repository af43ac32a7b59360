package command

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/config"
	"weir/dashboard"
	"weir/openai"
	"weir/telemetry"
	"weir/usage"
)

// TestAdmitPage is who may see the page. What a browser says of a followed link lets
// the page itself in, and nothing else.
func TestAdmitPage(t *testing.T) {
	t.Parallel()
	const here, away, own = "127.0.0.1:50000", "192.0.2.7:50000", "127.0.0.1:8081"
	link := func(edit ...string) http.Header {
		h := http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}
		for i := 0; i+1 < len(edit); i += 2 {
			h.Set(edit[i], edit[i+1])
		}
		return h
	}
	tests := []struct {
		name   string
		method string
		path   string
		peer   string
		host   string
		secure bool
		header http.Header
		in     bool
	}{
		{"a program", "GET", "/", here, own, false, nil, true},
		{"a link from elsewhere", "GET", "/", here, own, false, link(), true},
		{"a link from the same site", "GET", "/", here, own, false, link("Sec-Fetch-Site", "same-site"), true},
		{"a link from elsewhere where there is a token", "GET", "/", away, "weir.example", true, link(), true},
		{"its own module", "GET", "/assets/app.js", here, own, false, http.Header{"Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Mode": {"cors"}, "Origin": {"http://" + own}}, true},
		{"another machine where there is a token", "GET", "/assets/app.js", away, "weir.example", true, nil, true},

		{"a link to a module", "GET", "/assets/app.js", here, own, false, link(), false},
		{"a link to what is shown", "GET", "/admin/v1/stats", here, own, false, link(), false},
		{"a frame", "GET", "/", here, own, false, link("Sec-Fetch-Dest", "iframe"), false},
		{"an object", "GET", "/", here, own, false, link("Sec-Fetch-Dest", "object"), false},
		{"a picture", "GET", "/", here, own, false, link("Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"), false},
		{"a script that fetches", "GET", "/", here, own, false, link("Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"), false},
		{"a form that is sent", "POST", "/", here, own, false, link(), false},
		{"a link with an origin", "GET", "/", here, own, false, link("Origin", "https://evil.example"), false},
		{"a link whose origin hides", "GET", "/", here, own, false, link("Origin", "null"), false},
		{"two modes", "GET", "/", here, own, false, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate", "cors"}, "Sec-Fetch-Dest": {"document"}}, false},
		{"a link without a destination", "GET", "/", here, own, false, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}}, false},
		{"a link to a name that was made to point here", "GET", "/", here, "evil.example:8081", false, link(), false},
		{"another machine without a token", "GET", "/", away, own, false, link(), false},
		{"across sites where there is a token", "GET", "/assets/app.js", away, "weir.example", true, http.Header{"Sec-Fetch-Site": {"cross-site"}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(tt.method, tt.path, nil)
			r.RemoteAddr, r.Host, r.Header = tt.peer, tt.host, tt.header
			if tt.header == nil {
				r.Header = http.Header{}
			}
			if err := admitPage(r, tt.secure, own); (err == nil) != tt.in {
				t.Errorf("it is let in: %v, want %v (%v)", err == nil, tt.in, err)
			}
		})
	}
}

// TestDashboardPort: the page is there for whoever may reach the port, and what it
// shows for those alone that the guard lets in.
func TestDashboardPort(t *testing.T) {
	t.Parallel()
	const guarded = `admin: { token: "` + adminToken + `" }`
	link := func(r *http.Request) {
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Sec-Fetch-Dest", "document")
	}
	bearer := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+adminToken) }
	tests := []struct {
		name     string
		settings string
		method   string
		target   string
		edit     func(*http.Request)
		status   int
	}{
		{"the page", "", "GET", "/", nil, 200},
		{"the page by a link", "", "GET", "/", link, 200},
		{"the page where there is a token", guarded, "GET", "/", nil, 200},
		{"a module where there is a token", guarded, "GET", "/assets/app.js", nil, 200},
		{"a module by a link", "", "GET", "/assets/app.js", link, 403},
		{"the numbers", "", "GET", "/admin/v1/stats", nil, 200},
		{"the numbers by a link", "", "GET", "/admin/v1/stats", link, 403},
		{"the numbers where there is a token", guarded, "GET", "/admin/v1/stats", nil, 401},
		{"the requests where there is a token", guarded, "GET", "/admin/v1/requests", nil, 401},
		{"the stream where there is a token", guarded, "GET", "/admin/v1/stream", nil, 401},
		{"the teams where there is a token", guarded, "GET", "/admin/v1/teams", nil, 401},
		{"the deployments where there is a token", guarded, "GET", "/admin/v1/deployments", nil, 401},
		{"the configuration where there is a token", guarded, "GET", "/admin/v1/config", nil, 401},
		{"the playground where there is a token", guarded, "POST", "/admin/v1/playground", nil, 401},
		{"the numbers with the token", guarded, "GET", "/admin/v1/stats", bearer, 200},
		{"another method", "", "POST", "/admin/v1/stats", nil, 405},
		{"a wrong parameter", "", "GET", "/admin/v1/requests?status=x", nil, 400},
		{"switched off, the page", "admin: { dashboard: false }", "GET", "/", nil, 404},
		{"switched off, a module", "admin: { dashboard: false }", "GET", "/assets/app.js", nil, 404},
		{"switched off, the numbers", "admin: { dashboard: false }", "GET", "/admin/v1/stats", nil, 404},
		{"switched off, usage", "admin: { dashboard: false }", "GET", "/admin/v1/usage", nil, 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := called(administered(t, tt.settings, io.Discard), tt.method, tt.target, tt.edit)
			if w.Code != tt.status {
				t.Errorf("it answers %d, want %d\n%s", w.Code, tt.status, w.Body)
			}
			if w.Code >= 400 && !strings.Contains(w.Body.String(), `"message"`) {
				t.Errorf("it does not say why: %s", w.Body)
			}
		})
	}
}

// TestConfigIsMasked: what the dashboard shows of the configuration holds no secret.
func TestConfigIsMasked(t *testing.T) {
	t.Parallel()
	g := administered(t, `admin: { token: "`+adminToken+`" }`, io.Discard)
	w := called(g, "GET", "/admin/v1/config", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+adminToken) })
	if w.Code != 200 || strings.Contains(w.Body.String(), adminToken) || !strings.Contains(w.Body.String(), `token: \"[secret]\"`) {
		t.Errorf("it answers %d\n%s", w.Code, w.Body)
	}
}

// mine is what two teams with two keys each are configured with.
const mine = `
version: 1
backends: { azure: { endpoint: "http://127.0.0.1:9", auth: { api_key: 0123456789abcdef } } }
models:
  gpt-4o: { deployments: [{ backend: azure, deployment: gpt-4o }] }
  secret-model: { deployments: [{ backend: azure, deployment: secret-model }] }
teams:
  search:
    owner: "#search"
    models: [gpt-4o]
    limits: { rpm: 600, tpm: 1000, concurrency: 5 }
    budget: { usd: 10 }
    keys:
      - { id: search-a, value: "sk-search-a-0123456789" , limits: { rpm: 60 } }
      - { id: search-b, value: "sk-search-b-0123456789" , limits: { rpm: 30 } }
  rival-canary:
    owner: "#rival-owner-canary"
    limits: { rpm: 123456 }
    keys:
      - { id: rival-key-canary, value: "sk-rival-0123456789" }
`

// TestMe: a key's holder is told of its own team and key, on both ports, and of
// nobody else, and nobody is told without a key.
func TestMe(t *testing.T) {
	t.Parallel()
	g, err := Build(t.Context(), parsed(t, mine), Parts{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close(t.Context()) })
	for _, r := range []usage.Record{
		{RequestID: "mine", Team: "search", Key: "search-a", Outcome: usage.UpstreamError, Status: 502, Code: "upstream_unreachable"},
		{RequestID: "fine", Team: "search", Key: "search-a", Outcome: usage.OK, Status: 200, Input: 5, Output: 7},
		{RequestID: "colleague-canary", Team: "search", Key: "search-b", Outcome: usage.UpstreamError, Status: 502},
		{RequestID: "rival-request-canary", Team: "rival-canary", Key: "rival-key-canary", Outcome: usage.UpstreamError, Status: 502},
	} {
		g.board.Take(t.Context(), &r)
	}
	ask := func(h http.Handler, edit func(*http.Request)) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8081/admin/me", nil)
		r.RemoteAddr = "192.0.2.7:50000" // a key is enough, from anywhere
		edit(r)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	with := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for port, h := range map[string]http.Handler{"admin": g.Admin, "api": g.API} {
		for name, edit := range map[string]func(*http.Request){
			"bearer":  with("Authorization", "Bearer sk-search-a-0123456789"),
			"api-key": with("Api-Key", "sk-search-a-0123456789"),
			"browser": func(r *http.Request) {
				r.Header.Set("Accept", "text/html")
				r.Header.Set("Authorization", "Bearer sk-search-a-0123456789")
			},
		} {
			t.Run(port+" "+name, func(t *testing.T) {
				t.Parallel()
				w := ask(h, edit)
				var me dashboard.Me
				if err := json.Unmarshal(w.Body.Bytes(), &me); err != nil || w.Code != 200 {
					t.Fatalf("it answers %d %v\n%s", w.Code, err, w.Body)
				}
				for _, foreign := range []string{"canary", "search-b", "123456", "secret-model", "0123456789"} {
					if bytes.Contains(w.Body.Bytes(), []byte(foreign)) {
						t.Errorf("it tells of %q\n%s", foreign, w.Body)
					}
				}
				var limits []string
				for _, l := range me.Limits {
					limits = append(limits, l.Key+" "+l.Name)
				}
				if diff := cmp.Diff([]string{" rpm", " tpm", " concurrency", " budget", "search-a rpm"}, limits); diff != "" {
					t.Errorf("limits (-want +got):\n%s", diff)
				}
				if len(me.Errors) != 1 || me.Errors[0].RequestID != "mine" || me.Hour.Requests != 2 || me.Hour.Failed != 1 || me.Hour.Input != 5 ||
					me.Team != "search" || me.Owner != "#search" || cmp.Diff([]string{"gpt-4o"}, me.Models) != "" {
					t.Errorf("it tells %+v", me)
				}
				if w.Header().Get("Cache-Control") != "no-store" {
					t.Error("the answer may be kept by caches")
				}
			})
		}
		for name, tt := range map[string]struct {
			edit   func(*http.Request)
			status int
			page   bool
		}{
			"no key":                 {func(*http.Request) {}, 401, false},
			"another key":            {with("Authorization", "Bearer sk-none"), 401, false},
			"a browser without one":  {with("Accept", "text/html,application/xhtml+xml"), 200, true},
			"a browser with another": {func(r *http.Request) { r.Header.Set("Accept", "text/html"); r.Header.Set("Api-Key", "sk-none") }, 401, false},
		} {
			t.Run(port+" "+name, func(t *testing.T) {
				t.Parallel()
				w := ask(h, tt.edit)
				if w.Code != tt.status || strings.Contains(w.Body.String(), "<form") != tt.page || strings.Contains(w.Body.String(), "search") {
					t.Errorf("it answers %d\n%s", w.Code, w.Body)
				}
			})
		}
	}
	if w := ask(g.Admin, func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer sk-search-a-0123456789")
		r.Header.Set("Origin", "https://evil.example")
	}); w.Code != http.StatusForbidden {
		t.Errorf("a page of another site is answered %d", w.Code)
	}
}

// TestMeIsThrottled: failed keys count there as anywhere.
func TestMeIsThrottled(t *testing.T) {
	t.Parallel()
	g, err := Build(t.Context(), parsed(t, mine), Parts{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close(t.Context()) })
	status := 0
	for range 25 {
		w := called(g, http.MethodGet, dashboard.MePath, func(r *http.Request) { r.Header.Set("Api-Key", "sk-guess") })
		status = w.Code
		var said struct{ Error struct{ Code string } }
		if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil || said.Error.Code != openai.CodeInvalidAPIKey && said.Error.Code != openai.CodeFailedKeys {
			t.Fatalf("%v\n%s", err, w.Body)
		}
	}
	if status != http.StatusTooManyRequests {
		t.Errorf("the last guess is answered %d", status)
	}
}

// TestHashIsOfWhatHolds: where a file was not taken, the hash that is shown is that
// of the one before, by which is served.
func TestHashIsOfWhatHolds(t *testing.T) {
	t.Parallel()
	g := administered(t, "", io.Discard)
	r := newReloader(g, site{}, func(*config.File) {})
	g.reloader.Store(r)
	for _, tt := range []struct {
		read telemetry.Reload
		want string
	}{
		{telemetry.Reload{OK: true, Hash: "first"}, "first"},
		{telemetry.Reload{Hash: "broken"}, "first"},
		{telemetry.Reload{OK: true, Hash: "second"}, "second"},
	} {
		r.note(tt.read, sources{})
		if s := g.settingsShown(); s.Hash != tt.want || s.OK != tt.read.OK {
			t.Errorf("after %+v the hash is %s, and it was taken: %v; want %s", tt.read, s.Hash, s.OK, tt.want)
		}
	}
}
