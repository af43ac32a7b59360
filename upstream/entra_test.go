package upstream_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/azuresim"
	"weir/upstream"
)

const cloudScope = "https://cognitiveservices.azure.com/.default"

// authority is a token endpoint and a metadata service. Of Entra ID it has what
// its libraries ask for: where tokens come from, and tokens, each another one. It
// refuses what Azure refuses: an unknown secret, and a question for the metadata
// service without its header.
type authority struct {
	life   time.Duration // of a token
	soon   time.Duration // until it should be replaced; 0: nothing is said
	slow   time.Duration // what a token takes
	refuse bool

	mu     sync.Mutex
	asked  []string // how, for each token
	traced bool     // somebody counts what is sent here as sent to a deployment
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
		base := "https://" + r.Host + "/tenant"
		_ = json.NewEncoder(w).Encode(map[string]string{
			"issuer": base + "/v2.0", "authorization_endpoint": base + "/oauth2/v2.0/authorize", "token_endpoint": base + "/oauth2/v2.0/token",
		})
	case strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token"):
		_ = r.ParseForm()
		a.answer(w, r.PostForm, how(r.PostForm))
	case r.URL.Path == "/metadata/identity/oauth2/token" && r.Header.Get("Metadata") != "true":
		w.WriteHeader(http.StatusBadRequest)
	case r.URL.Path == "/metadata/identity/oauth2/token":
		a.answer(w, nil, strings.TrimSpace("managed "+r.URL.Query().Get("client_id"))+" "+r.URL.Query().Get("resource"))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// how says by what a token is asked for.
func how(form url.Values) string {
	by := form.Get("client_secret")
	if assertion := form.Get("client_assertion"); assertion != "" {
		by = "assertion"
		if !strings.Contains(assertion, ".") {
			by += " " + assertion
		}
	}
	scope, _, _ := strings.Cut(form.Get("scope"), " ") // behind it stand those of people
	return form.Get("client_id") + " " + by + " " + scope
}

func (a *authority) answer(w http.ResponseWriter, form url.Values, by string) {
	time.Sleep(a.slow)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, by)
	if a.refuse || form.Get("client_secret") == "SENTINEL-WRONG" {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided: SENTINEL."}`))
		return
	}
	answer := map[string]any{
		"token_type": "Bearer", "access_token": fmt.Sprintf("SENTINEL-TOKEN-%d", len(a.asked)), "expires_in": int(a.life.Seconds()),
	}
	if form == nil { // the metadata service says it in words
		answer["expires_in"] = strconv.Itoa(int(a.life.Seconds()))
		answer["resource"] = "https://cognitiveservices.azure.com"
	}
	if a.soon > 0 {
		answer["refresh_in"] = int(a.soon.Seconds())
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// times returns how often a token has been asked for.
func (a *authority) times() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.asked)
}

// RoundTrip asks the authority without a connection, so that a bubble's time
// stands still meanwhile but for what the authority itself takes. It knows the
// address of the metadata service.
func (a *authority) RoundTrip(r *http.Request) (*http.Response, error) {
	if httptrace.ContextClientTrace(r.Context()) != nil {
		a.mu.Lock()
		a.traced = true
		a.mu.Unlock()
	}
	w := httptest.NewRecorder()
	done := make(chan struct{})
	go func() { defer close(done); a.ServeHTTP(w, r) }()
	select {
	case <-done:
		resp := w.Result()
		resp.Request = r
		return resp, nil
	case <-r.Context().Done():
		<-done
		return nil, r.Context().Err()
	}
}

// certificate writes a certificate with its key, and returns its path.
func certificate(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "weir"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	return written(t, "cert.pem", string(text))
}

func written(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestEntraWays signs in by each way at endpoints on loopback, and holds what is
// asked there.
func TestEntraWays(t *testing.T) {
	t.Parallel()
	secret := func(s string) func() string { return func() string { return s } }
	tests := []struct {
		name  string
		cfg   upstream.EntraConfig
		asked string
		err   string
	}{
		{"secret", upstream.EntraConfig{TenantID: "tenant", ClientID: "app", ClientSecret: secret("SENTINEL-SECRET")}, "app SENTINEL-SECRET " + cloudScope, ""},
		{"wrong secret", upstream.EntraConfig{TenantID: "tenant", ClientID: "app", ClientSecret: secret("SENTINEL-WRONG")}, "app SENTINEL-WRONG " + cloudScope, "client secret: the answer was 401 AADSTS7000215"},
		{"certificate", upstream.EntraConfig{TenantID: "tenant", ClientID: "app", CertificateFile: certificate(t)}, "app assertion " + cloudScope, ""},
		{"no certificate", upstream.EntraConfig{TenantID: "tenant", ClientID: "app", CertificateFile: written(t, "none", "SENTINEL")}, "", "holds no certificate"},
		{"certificate not there", upstream.EntraConfig{TenantID: "tenant", ClientID: "app", CertificateFile: "/nowhere"}, "", "/nowhere: no such file"},
		{"workload identity", upstream.EntraConfig{TenantID: "tenant", ClientID: "app", TokenFile: written(t, "token", "SENTINEL-FEDERATED")}, "app assertion SENTINEL-FEDERATED " + cloudScope, ""},
		{"workload identity not there", upstream.EntraConfig{TenantID: "tenant", ClientID: "app", TokenFile: "/nowhere"}, "", "no"},
		{"the system's managed identity", upstream.EntraConfig{ManagedIdentity: true}, "managed https://cognitiveservices.azure.com", ""},
		{"a user's managed identity", upstream.EntraConfig{ManagedIdentity: true, ClientID: "mine"}, "managed mine https://cognitiveservices.azure.com", ""},
		{"a managed identity before az", upstream.EntraConfig{ManagedIdentity: true, CLI: true}, "managed https://cognitiveservices.azure.com", ""},
		{"another scope", upstream.EntraConfig{ManagedIdentity: true, Scope: "https://ai.azure.com/.default"}, "managed https://ai.azure.com", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := &authority{life: time.Hour}
			server := httptest.NewTLSServer(a)
			defer server.Close()
			var log bytes.Buffer
			tt.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
			tt.cfg.Transport = &loopback{server: server}
			tt.cfg.Authority = server.URL
			if tt.cfg.Scope == "" {
				tt.cfg.Scope = cloudScope
			}
			c, h := upstream.NewEntra(tt.cfg), http.Header{}
			err := c.Authorize(t.Context(), h)
			if (err == nil) != (tt.err == "") || err != nil && (!strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "SENTINEL")) {
				t.Fatalf("Authorize: %v, want %q", err, tt.err)
			}
			if got := h.Get("Authorization"); err == nil && got != "Bearer SENTINEL-TOKEN-1" {
				t.Errorf("Authorization is %q", got)
			}
			if got := strings.Join(a.asked, "; "); got != tt.asked {
				t.Errorf("the token was asked for with %q, want %q", got, tt.asked)
			}
			if text := log.String() + fmt.Sprintf("%v %+v %#v", c, c, struct{ hidden any }{c}); strings.Contains(text, "SENTINEL") || (err != nil) != strings.Contains(text, "no token") {
				t.Errorf("printed and logged is:\n%s", text)
			}
		})
	}
}

// loopback sends every request to the server, also those for the metadata
// service, whose address cannot be configured.
type loopback struct{ server *httptest.Server }

func (l *loopback) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "169.254.169.254" {
		to, err := url.Parse(l.server.URL)
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.URL.Scheme, r.URL.Host = to.Scheme, to.Host
	}
	return l.server.Client().Transport.RoundTrip(r)
}

// tally passes on what is sent through it and counts it.
type tally struct {
	via http.RoundTripper
	n   atomic.Int32
}

func (c *tally) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.via.RoundTrip(r)
}

// TestMetadataGoesDirectly holds that the authority is asked through what leads
// there, and the metadata service, which no proxy reaches, through its own.
func TestMetadataGoesDirectly(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		cfg    upstream.EntraConfig
		direct bool
	}{
		{"a secret", upstream.EntraConfig{TenantID: "tenant", ClientID: "app", ClientSecret: func() string { return "s" }}, false},
		{"a workload identity", upstream.EntraConfig{TenantID: "tenant", ClientID: "app", TokenFile: written(t, "token", "federated")}, false},
		{"a managed identity", upstream.EntraConfig{ManagedIdentity: true}, true},
		{"a managed identity that is looked for", upstream.EntraConfig{ManagedIdentity: true, CLI: true}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := &authority{life: time.Hour}
			led, direct := &tally{via: a}, &tally{via: a}
			tt.cfg.Transport, tt.cfg.Metadata, tt.cfg.Scope, tt.cfg.Authority = led, direct, cloudScope, "https://login.example"
			_ = given(t, upstream.NewEntra(tt.cfg))
			if l, d := led.n.Load(), direct.n.Load(); (l > 0) == tt.direct || (d > 0) != tt.direct {
				t.Errorf("%d requests to the authority, %d to the metadata service", l, d)
			}
		})
	}
}

// TestTokenFaultsAreNamed says why an authority gave no answer.
func TestTokenFaultsAreNamed(t *testing.T) {
	t.Parallel()
	quiet := func(h http.Handler) *httptest.Server {
		s := httptest.NewUnstartedServer(h)
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
		return s
	}
	strict := quiet(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	strict.Start()
	t.Cleanup(strict.Close)
	foreign := quiet(&authority{life: time.Hour})
	foreign.StartTLS()
	t.Cleanup(foreign.Close)
	proxy, err := url.Parse(strict.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		via  http.RoundTripper
		want string
	}{
		{"nobody listens", nobody{}, "client secret: dial tcp: connection refused"},
		{"a proxy that lets nobody through", upstream.NewTransport(upstream.Connection{Proxy: proxy}), "client secret: proxyconnect tcp: the proxy answered 403"},
		{"a certificate of somebody", upstream.NewTransport(upstream.Connection{}), "certificate signed by unknown authority"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := upstream.NewEntra(upstream.EntraConfig{
				TenantID: "tenant", ClientID: "app", ClientSecret: func() string { return "s" },
				Scope: cloudScope, Authority: foreign.URL, Transport: tt.via,
			})
			if err := c.Authorize(t.Context(), http.Header{}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Authorize: %v, want %q", err, tt.want)
			}
		})
	}
}

// signedIn returns a credential that asks a for its tokens.
func signedIn(a *authority) *upstream.Entra {
	return upstream.NewEntra(upstream.EntraConfig{
		TenantID: "tenant", ClientID: "app", ClientSecret: func() string { return "s" }, Scope: cloudScope, Authority: "https://login.example", Transport: a,
	})
}

// TestTokenIsReplacedInTime follows one token after the other through its life.
func TestTokenIsReplacedInTime(t *testing.T) {
	t.Parallel()
	type step struct {
		after time.Duration
		token string
		took  time.Duration
		asked int // how often by then, once everything has come
	}
	const slow = 2 * time.Second
	tests := []struct {
		name  string
		life  time.Duration
		soon  time.Duration
		steps []step
	}{
		{"an hour", time.Hour, 0, []step{
			{0, "1", slow, 1},
			{54 * time.Minute, "1", 0, 1},
			{time.Minute, "1", 0, 2}, // five minutes before its end the next is asked for, and nobody waits
			{0, "2", 0, 2},
			{2 * time.Hour, "3", slow, 3}, // nobody asked in time
		}},
		{"a day, to be replaced at noon", 24 * time.Hour, 12 * time.Hour, []step{
			{0, "1", slow, 1}, {11 * time.Hour, "1", 0, 1}, {time.Hour, "1", 0, 2}, {0, "2", 0, 2},
		}},
		{"a minute", time.Minute, 0, []step{
			{0, "1", slow, 1}, {20 * time.Second, "1", 0, 1}, {15 * time.Second, "1", 0, 2}, {0, "2", 0, 2},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := &authority{life: tt.life, soon: tt.soon, slow: slow}
				c := signedIn(a)
				for i, s := range tt.steps {
					time.Sleep(s.after)
					begun := time.Now()
					got := given(t, c)
					took := time.Since(begun)
					time.Sleep(3 * time.Second)
					if got != "Bearer SENTINEL-TOKEN-"+s.token || took != s.took || a.times() != s.asked {
						t.Errorf("step %d: %q after %v, asked %d times; want %s, %v, %d", i+1, got, took, a.times(), s.token, s.took, s.asked)
					}
				}
			})
		})
	}
}

// TestTokenOutlivesItsAuthority goes on with a token that cannot be replaced, and
// asks for the next with pauses.
func TestTokenOutlivesItsAuthority(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &authority{life: time.Hour}
		c := signedIn(a)
		_ = given(t, c)
		a.mu.Lock()
		a.refuse = true
		a.mu.Unlock()
		time.Sleep(55 * time.Minute)
		for range 60 {
			if got := given(t, c); got != "Bearer SENTINEL-TOKEN-1" {
				t.Fatalf("the token is %q", got)
			}
			time.Sleep(time.Second)
		}
		if n := a.times(); n != 3 {
			t.Errorf("asked %d times, want at first and twice in that minute", n)
		}
		time.Sleep(4 * time.Minute)
		if err := c.Authorize(t.Context(), http.Header{}); err == nil {
			t.Error("a token that is over still goes out")
		}
	})
}

// TestTokenIsSharedByAll asks once, however many wait, also where the first of
// them does not wait to the end.
func TestTokenIsSharedByAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &authority{life: time.Hour, slow: time.Second}
		c := signedIn(a)
		hasty, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := c.Authorize(hasty, http.Header{}); !errors.Is(err, hasty.Err()) {
				t.Errorf("who would not wait: %v", err)
			}
		})
		synctest.Wait()
		for range 50 {
			wg.Go(func() {
				if got := given(t, c); got != "Bearer SENTINEL-TOKEN-1" {
					t.Errorf("the token is %q", got)
				}
			})
		}
		wg.Wait()
		if a.times() != 1 {
			t.Errorf("asked %d times", a.times())
		}
	})
}

// TestTokenIsRefused asks for another token once where one is refused, for all
// who had it, and gives up behind that.
func TestTokenIsRefused(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{1: "200 east", 2: "200 east, east", 3: "502 east, east"} {
		t.Run(fmt.Sprintf("good from token %d", n), func(t *testing.T) {
			t.Parallel()
			a := &authority{life: time.Hour}
			bubble(t, func(w *world) {
				w.east = azuresim.New(azuresim.Config{Key: key, Token: fmt.Sprintf("SENTINEL-TOKEN-%d", n)})
				d := deployment("east")
				d.Credential = signedIn(a)
				w.deployments(d)
			}, func(w *world) {
				got := w.do(w.ask(""))
				if s := fmt.Sprintf("%d %s", got.Status, got.Trace); s != want || got.Status == 502 && (got.Code != "upstream_auth_failed" || !got.NoRetry) {
					t.Errorf("came to %+v, want %s", got, want)
				}
				if a.times() != min(n, 2) || a.traced {
					t.Errorf("%d tokens were asked for, counted as calls: %t", a.times(), a.traced)
				}
				if strings.Contains(w.log.String(), "SENTINEL") {
					t.Errorf("a token is logged:\n%s", w.log.String())
				}
			})
		})
	}
}

// nobody is a network where nobody listens.
type nobody struct{}

func (nobody) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
}

// TestAzIsAskedLast runs az where it may be, and not where it was not asked for.
func TestAzIsAskedLast(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\necho '{\"accessToken\":\"SENTINEL-AZ\",\"expires_on\":'$(($(date +%s)+3600))'}'\n"
	if err := os.WriteFile(filepath.Join(dir, "az"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for _, tt := range []struct {
		name string
		cfg  upstream.EntraConfig
		want string
	}{
		{"alone", upstream.EntraConfig{CLI: true}, "Bearer SENTINEL-AZ"},
		{"where no metadata service answers", upstream.EntraConfig{CLI: true, ManagedIdentity: true}, "Bearer SENTINEL-AZ"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Scope, tt.cfg.Authority, tt.cfg.Transport = cloudScope, "https://login.example", nobody{}
			h := http.Header{}
			err := upstream.NewEntra(tt.cfg).Authorize(t.Context(), h)
			if err != nil || h.Get("Authorization") != tt.want {
				t.Errorf("Authorize: %v, %v", h, err)
			}
		})
	}
}

// TestAzIsNotAsked leaves az alone where it was not asked for.
func TestAzIsNotAsked(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // where there is none
	synctest.Test(t, func(t *testing.T) {
		cfg := upstream.EntraConfig{ManagedIdentity: true, Scope: cloudScope, Authority: "https://login.example", Transport: nobody{}}
		err := upstream.NewEntra(cfg).Authorize(t.Context(), http.Header{})
		if err == nil || !strings.Contains(err.Error(), "by managed identity: dial tcp: connection refused") {
			t.Errorf("Authorize: %v", err)
		}
	})
}
