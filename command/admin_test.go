package command

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"weir/config"
	"weir/openai"
	"weir/usage"
)

const adminToken = "0123456789-admin-token-canary-0123456789"

// TestAdmit is who may use the admin endpoints.
func TestAdmit(t *testing.T) {
	t.Parallel()
	const here, away = "127.0.0.1:50000", "192.0.2.7:50000"
	const own = "127.0.0.1:8081"
	type headers map[string][]string
	one := func(name, value string) headers { return headers{name: {value}} }
	tests := []struct {
		name    string
		peer    string
		host    string
		token   string
		listen  string
		headers headers
		want    string // code; "" let in
	}{
		{"loopback", here, own, "", own, nil, ""},
		{"loopback of IPv6", "[::1]:50000", "[::1]:8081", "", own, nil, ""},
		{"loopback of IPv4 in IPv6", "[::ffff:127.0.0.1]:50000", own, "", ":8081", nil, ""},
		{"any of 127", "127.8.8.8:50000", own, "", own, nil, ""},
		{"another machine", away, own, "", own, nil, openai.CodeAdminForbidden},
		{"another machine of IPv6", "[2001:db8::1]:50000", own, "", own, nil, openai.CodeAdminForbidden},
		{"unspecified", "0.0.0.0:50000", own, "", own, nil, openai.CodeAdminForbidden},
		{"a peer without an address", "pipe", own, "", own, nil, openai.CodeAdminForbidden},
		{"no peer", "", own, "", own, nil, openai.CodeAdminForbidden},
		{"another machine that says it is this one", away, own, "", own, headers{"X-Forwarded-For": {"127.0.0.1"}, "X-Real-Ip": {"127.0.0.1"}, "Forwarded": {"for=127.0.0.1"}}, openai.CodeAdminForbidden},

		{"localhost", here, "localhost:8081", "", own, nil, ""},
		{"localhost by another port and case", here, "LocalHost:1", "", own, nil, ""},
		{"localhost without a port", here, "localhost", "", own, nil, ""},
		{"an address without a port", here, "::1", "", own, nil, ""},
		{"an address in brackets without a port", here, "[::1]", "", own, nil, ""},
		{"an address of the network", here, "192.0.2.7:8081", "", own, nil, ""},
		{"a name that was made to point here", here, "evil.example:8081", "", own, nil, openai.CodeAdminForbidden},
		{"a name like an address", here, "127.0.0.1.evil.example:8081", "", own, nil, openai.CodeAdminForbidden},
		{"a name like localhost", here, "localhost.evil.example:8081", "", own, nil, openai.CodeAdminForbidden},
		{"a name below localhost", here, "evil.localhost:8081", "", own, nil, openai.CodeAdminForbidden},
		{"a name in brackets", here, "[evil.example]:8081", "", own, nil, openai.CodeAdminForbidden},
		{"no host", here, "", "", own, nil, openai.CodeAdminForbidden},
		{"no host where every interface is listened at", here, "", "", ":8081", nil, openai.CodeAdminForbidden},
		{"a port alone", here, ":8081", "", ":8081", nil, openai.CodeAdminForbidden},
		{"the configured name", here, "Admin.Internal:9", "", "admin.internal:8081", nil, ""},
		{"beside the configured name", here, "a.admin.internal:8081", "", "admin.internal:8081", nil, openai.CodeAdminForbidden},

		{"its own page", here, own, "", own, headers{"Origin": {"http://" + own}, "Sec-Fetch-Site": {"same-origin"}}, ""},
		{"its own page by name", here, "localhost:8081", "", own, one("Origin", "http://LOCALHOST:8081"), ""},
		{"typed into the browser", here, own, "", own, one("Sec-Fetch-Site", "none"), ""},
		{"a page elsewhere", here, own, "", own, one("Origin", "https://evil.example"), openai.CodeAdminForbidden},
		{"a page at another port", here, own, "", own, one("Origin", "http://127.0.0.1:3000"), openai.CodeAdminForbidden},
		{"a page under another name of here", here, own, "", own, one("Origin", "http://localhost:8081"), openai.CodeAdminForbidden},
		{"a page with a certificate", here, own, "", own, one("Origin", "https://"+own), openai.CodeAdminForbidden},
		{"a page that hides where it is", here, own, "", own, one("Origin", "null"), openai.CodeAdminForbidden},
		{"an empty origin", here, own, "", own, one("Origin", ""), openai.CodeAdminForbidden},
		{"an origin that begins alike", here, own, "", own, one("Origin", "http://"+own+".evil.example"), openai.CodeAdminForbidden},
		{"two origins", here, own, "", own, headers{"Origin": {"http://" + own, "https://evil.example"}}, openai.CodeAdminForbidden},
		{"across sites", here, own, "", own, one("Sec-Fetch-Site", "cross-site"), openai.CodeAdminForbidden},
		{"the same site", here, own, "", own, one("Sec-Fetch-Site", "same-site"), openai.CodeAdminForbidden},
		{"a site of a kind that is not known", here, own, "", own, one("Sec-Fetch-Site", "near"), openai.CodeAdminForbidden},
		{"two kinds of sites", here, own, "", own, headers{"Sec-Fetch-Site": {"same-origin", "cross-site"}}, openai.CodeAdminForbidden},

		{"the token", away, own, adminToken, own, one("Authorization", "Bearer "+adminToken), ""},
		{"the token and a scheme in lower case", away, own, adminToken, own, one("Authorization", "bearer "+adminToken), ""},
		{"the token under any name", away, "weir.example", adminToken, own, one("Authorization", "Bearer "+adminToken), ""},
		{"loopback needs the token too", here, own, adminToken, own, nil, openai.CodeInvalidAPIKey},
		{"another token", here, own, adminToken, own, one("Authorization", "Bearer "+adminToken+"x"), openai.CodeInvalidAPIKey},
		{"a piece of the token", here, own, adminToken, own, one("Authorization", "Bearer "+adminToken[:8]), openai.CodeInvalidAPIKey},
		{"an empty token", here, own, adminToken, own, one("Authorization", "Bearer "), openai.CodeInvalidAPIKey},
		{"another scheme", here, own, adminToken, own, one("Authorization", "Basic "+adminToken), openai.CodeInvalidAPIKey},
		{"no scheme", here, own, adminToken, own, one("Authorization", adminToken), openai.CodeInvalidAPIKey},
		{"another header", here, own, adminToken, own, one("Api-Key", adminToken), openai.CodeInvalidAPIKey},
		{"the token from a page elsewhere", here, own, adminToken, own, headers{"Authorization": {"Bearer " + adminToken}, "Origin": {"https://evil.example"}}, openai.CodeAdminForbidden},
		{"the token across sites", here, own, adminToken, own, headers{"Authorization": {"Bearer " + adminToken}, "Sec-Fetch-Site": {"cross-site"}}, openai.CodeAdminForbidden},
		{"the token behind a proxy with a certificate", away, "weir.example", adminToken, own, headers{"Authorization": {"Bearer " + adminToken}, "Origin": {"https://weir.example"}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/admin/v1/usage", nil)
			r.RemoteAddr, r.Host, r.Header = tt.peer, tt.host, http.Header(tt.headers)
			err := admit(r, tt.token, tt.listen)
			got := ""
			if err != nil {
				got = err.Code
				if strings.Contains(err.Message, adminToken) {
					t.Error("the message holds the token")
				}
			}
			if got != tt.want {
				t.Errorf("it is answered %q, want %q", got, tt.want)
			}
		})
	}
}

// administered builds a gateway whose ledger is a file that is written at once.
func administered(t *testing.T, settings string, log io.Writer) *Gateway {
	t.Helper()
	f := parsed(t, before("https://127.0.0.1:1", "")+`state: { ledger: { path: "`+t.TempDir()+`/ledger.db", durability: strict } }`+"\n"+settings)
	g, err := Build(t.Context(), f, Parts{Log: slog.New(slog.NewJSONHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = g.Close(ctx) // tests break its database
	})
	return g
}

func parsed(t *testing.T, text string) *config.File {
	t.Helper()
	f, problems := config.Parse("weir.yaml", []byte(text), config.Options{Getenv: func(string) (string, bool) { return "", false }})
	if f == nil {
		t.Fatal(problems)
	}
	return f
}

// TestAdminBeyondLoopback: where others reach the admin port anyway, who hands their
// requests on over loopback may call it by any name.
func TestAdminBeyondLoopback(t *testing.T) {
	t.Parallel()
	f := parsed(t, strings.Replace(before("https://127.0.0.1:1", ""), "localhost:0", ":8081", 1))
	g, err := Build(t.Context(), f, Parts{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	w := called(g, http.MethodGet, "/metrics", func(r *http.Request) { r.Host = "weir.team.svc:8081" })
	if w.Code != http.StatusOK {
		t.Errorf("metrics for a mesh: %d %s", w.Code, w.Body)
	}
}

// called returns what the admin port answers to a request from loopback.
func called(g *Gateway, method, target string, edit func(r *http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:8081"+target, nil)
	r.RemoteAddr = "127.0.0.1:50000"
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	g.Admin.ServeHTTP(w, r)
	return w
}

// TestAdminPort is what is free there, what is guarded, and how it refuses.
func TestAdminPort(t *testing.T) {
	t.Parallel()
	stranger := func(r *http.Request) {
		r.RemoteAddr, r.Host = "192.0.2.7:50000", "evil.example"
		r.Header.Set("Origin", "https://evil.example")
	}
	bearer := func(r *http.Request) {
		r.RemoteAddr = "192.0.2.7:50000"
		r.Header.Set("Authorization", "Bearer "+adminToken)
	}
	rebound := func(r *http.Request) { r.Host = "evil.example" }                            // from loopback
	nameless := func(r *http.Request) { r.Host, r.Proto, r.ProtoMinor = "", "HTTP/1.0", 0 } // as probes of load balancers do
	body := func(n int) func(r *http.Request) {
		return func(r *http.Request) {
			r.ContentLength, r.Body = int64(n), io.NopCloser(strings.NewReader(strings.Repeat("x", n)))
		}
	}
	const guarded = `admin: { token: "` + adminToken + `" }`
	tests := []struct {
		name     string
		settings string
		method   string
		target   string
		edit     func(r *http.Request)
		status   int
		code     string
	}{
		{"health is free", "", "GET", "/livez", stranger, 200, ""},
		{"metrics are not for a page that made its name lead here", "", "GET", "/metrics", rebound, 403, "admin_forbidden"},
		{"who asks as before there were names is no browser", "", "GET", "/readyz", nameless, 200, ""},
		{"nor is what is ready", "", "GET", "/readyz?verbose", rebound, 403, "admin_forbidden"},
		{"a proxy on the machine has names of its own, and the token", guarded, "GET", "/metrics", rebound, 200, ""},
		{"readiness is free", guarded, "GET", "/readyz?verbose", stranger, 200, ""},
		{"metrics are free", guarded, "GET", "/metrics", stranger, 200, ""},
		{"usage over loopback", "", "GET", "/admin/v1/usage", nil, 200, ""},
		{"usage for strangers", "", "GET", "/admin/v1/usage", stranger, 403, openai.CodeAdminForbidden},
		{"usage with the token", guarded, "GET", "/admin/v1/usage", bearer, 200, ""},
		{"usage without the token", guarded, "GET", "/admin/v1/usage", nil, 401, openai.CodeInvalidAPIKey},
		{"another method", "", "POST", "/admin/v1/usage", nil, 405, openai.CodeMethod},
		{"another method of health", "", "DELETE", "/livez", stranger, 405, openai.CodeMethod},
		{"nothing there", "", "GET", "/admin/v1/nothing", nil, 404, openai.CodeUnknownURL},
		{"nothing there for strangers", "", "GET", "/admin/v1/nothing", stranger, 403, openai.CodeAdminForbidden},
		{"a path beside one that is free", "", "GET", "/livez/", stranger, 403, openai.CodeAdminForbidden},
		{"a path that climbs", "", "GET", "/livez/../admin/v1/usage", stranger, 403, openai.CodeAdminForbidden},
		{"a path with an escape", "", "GET", "/%61dmin/v1/usage", stranger, 403, openai.CodeAdminForbidden},
		{"a body", "", "GET", "/admin/v1/usage", body(maxAdminBody), 200, ""},
		{"a body that is too large", "", "GET", "/admin/v1/usage", body(maxAdminBody + 1), 413, openai.CodeRequestTooLarge},
		{"a query that is none", "", "GET", "/admin/v1/usage?by=%zz", nil, 400, openai.CodeInvalidValue},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := called(administered(t, tt.settings, io.Discard), tt.method, tt.target, tt.edit)
			var got struct {
				Error struct{ Code, Message string }
			}
			_ = json.Unmarshal(w.Body.Bytes(), &got) // what is no error has no code
			if w.Code != tt.status || got.Error.Code != tt.code {
				t.Errorf("it answers %d %q, want %d %q\n%s", w.Code, got.Error.Code, tt.status, tt.code, w.Body)
			}
			if tt.status == http.StatusMethodNotAllowed && w.Header().Get("Allow") == "" {
				t.Error("it does not say which methods there are")
			}
			if tt.status == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") != "Bearer" {
				t.Error("it does not ask for a bearer")
			}
			if strings.HasPrefix(tt.target, "/admin") && w.Header().Get("Cache-Control") != "no-store" {
				t.Error("the answer may be kept by caches")
			}
		})
	}
}

// TestAdminBodyIsBounded lets a handler read a body whose length nobody has said.
func TestAdminBodyIsBounded(t *testing.T) {
	t.Parallel()
	g := administered(t, "", io.Discard)
	read := g.guard(func(c echo.Context) error {
		_, err := io.Copy(io.Discard, c.Request().Body)
		return err
	})
	r := httptest.NewRequest(http.MethodPost, "http://localhost/", strings.NewReader(strings.Repeat("x", maxAdminBody+1)))
	r.RemoteAddr, r.ContentLength = "127.0.0.1:1", -1
	w := httptest.NewRecorder()
	c := echo.New().NewContext(r, w)
	writeAdminError(read(c), c)
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("it answers %d\n%s", w.Code, w.Body)
	}
}

// TestAdminTokenIsReloaded changes the token under a running gateway.
func TestAdminTokenIsReloaded(t *testing.T) {
	t.Parallel()
	g := administered(t, "", io.Discard)
	if w := called(g, http.MethodGet, "/admin/v1/usage", nil); w.Code != http.StatusOK {
		t.Fatalf("without a token it answers %d", w.Code)
	}
	f := *g.now.Load().file
	f.Admin.Token = adminToken
	if _, err := g.Reload(&f); err != nil {
		t.Fatal(err)
	}
	if w := called(g, http.MethodGet, "/admin/v1/usage", nil); w.Code != http.StatusUnauthorized {
		t.Errorf("with a token it answers %d", w.Code)
	}
}

// TestStreamEndsWithTheToken: who listens with a token that holds no more is told no
// more.
func TestStreamEndsWithTheToken(t *testing.T) {
	t.Parallel()
	g := administered(t, `admin: { token: "`+adminToken+`" }`, io.Discard)
	s := httptest.NewServer(g.Admin)
	defer s.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/admin/v1/stream", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the stream is answered %d", resp.StatusCode)
	}
	f := *g.now.Load().file
	f.Admin.Token = "another-token-of-this-gateway-alone"
	if _, err := g.Reload(&f); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil { // which ends with it
		t.Error(err)
	}
}

// TestVerboseTellsState: who asks is told of the limits and the ledger, and the
// words of its database only who may use the admin endpoints.
func TestVerboseTellsState(t *testing.T) {
	t.Parallel()
	log := newJournal()
	g := administered(t, "", log)
	type answer struct {
		State  string
		Limits any
		Ledger *struct {
			Written int64
			Queued  int
			Failing time.Time
			Error   string `json:"last_error"`
		}
	}
	ask := func(peer string) (a answer) {
		w := called(g, http.MethodGet, "/readyz?verbose", func(r *http.Request) { r.RemoteAddr = peer })
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || a.Ledger == nil {
			t.Fatalf("%v\n%s", err, w.Body)
		}
		return a
	}
	g.state.ledger.Take(t.Context(), &usage.Record{Team: "search", Outcome: usage.OK})
	if a := ask("127.0.0.1:1"); a.State != stateReady || a.Limits == nil || a.Ledger.Written != 1 || !a.Ledger.Failing.IsZero() {
		t.Errorf("it says %+v, %+v", a, *a.Ledger)
	}
	_ = g.state.db.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nobody waits for what cannot be written
	_ = g.state.ledger.Begin(ctx, &usage.Record{Team: "search"})
	log.wait(t, "the ledger cannot be written; rows wait")
	if a := ask("127.0.0.1:1"); a.Ledger.Error == "" || a.Ledger.Failing.IsZero() || a.Ledger.Queued == 0 {
		t.Errorf("of a broken ledger it says %+v", *a.Ledger)
	}
	if a := ask("192.0.2.7:1"); a.Ledger.Error != "" || a.Ledger.Failing.IsZero() {
		t.Errorf("of a broken ledger it says to strangers %+v", *a.Ledger)
	}
	if w := called(g, http.MethodGet, "/admin/v1/usage", nil); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "closed") {
		t.Errorf("usage answers %d\n%s", w.Code, w.Body)
	}
	log.wait(t, "usage could not be read")
}
