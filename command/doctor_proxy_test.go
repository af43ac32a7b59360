package command

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
	"weir/config"
	"weir/upstream"
)

// tunnels is a proxy that opens tunnels. It alone knows where the names are, so
// that who looks one up before asking it fails.
type tunnels struct {
	*httptest.Server
	known map[string]string // an address for each name and port

	mu    sync.Mutex
	asked []string
}

func newTunnels(t *testing.T, known map[string]string) *tunnels {
	t.Helper()
	p := &tunnels{known: known}
	p.Server = httptest.NewUnstartedServer(p)
	p.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	t.Cleanup(p.Close)
	return p
}

func (p *tunnels) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.Host)
	p.mu.Unlock()
	to, err := net.Dial("tcp", p.known[r.Host])
	if err != nil || r.Method != http.MethodConnect {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	from, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		_ = to.Close()
		return
	}
	_, _ = io.WriteString(from, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() { _, _ = io.Copy(to, from); _ = to.Close() }()
	go func() { _, _ = io.Copy(from, to); _ = from.Close() }()
}

// places returns for what the proxy was asked, each once.
func (p *tunnels) places() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := slices.Clone(p.asked)
	slices.Sort(all)
	return slices.Compact(all)
}

// believed returns a certificate for names, and a file to believe it by.
func believed(t *testing.T, names ...string) (cert tls.Certificate, caFile string) {
	t.Helper()
	now := time.Now()
	cert, _ = certified(t, now.Add(-time.Hour), now.Add(90*24*time.Hour), names...)
	return cert, write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})))
}

// encrypted serves over TLS with a certificate.
func encrypted(t *testing.T, cert tls.Certificate, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// behind is the configuration of patient behind a proxy, which is on line 5, and
// the file of certificates on line 6; its endpoint is on line 4.
func behind(proxy, caFile, auth string) string {
	return `version: 1
backends:
  azure:
    endpoint: https://azure.invalid
    proxy: ` + proxy + `
    ca_file: ` + caFile + `
    auth: ` + auth + `
models:
  gpt-4o: { deployments: [{ backend: azure, deployment: main }] }
`
}

// unlooked fails where a name is looked up that is the proxy's to look up.
func unlooked(t *testing.T) func(context.Context, string) ([]string, error) {
	return func(_ context.Context, host string) ([]string, error) {
		t.Errorf("%s was looked up", host)
		return nil, errors.New("unknown")
	}
}

const keyAuth = `{ api_key: "${file:/dev/null}` + doctorKey + `" }`

// TestDoctorGoesThroughProxy holds the way through a proxy, which alone can look
// the endpoint up, and by the certificates of the configuration.
func TestDoctorGoesThroughProxy(t *testing.T) {
	quiet(t)
	sim := azuresim.New(azuresim.Config{Key: doctorKey, Deployments: map[string]azuresim.Deployment{"main": {Model: "gpt-4o"}}})
	cert, caFile := believed(t, "azure.invalid", "127.0.0.1")
	azure := encrypted(t, cert, sim)
	for _, tt := range []struct {
		name  string
		start func(p *tunnels)
		want  []string // up to where the backend is reached
	}{
		{"plain", func(p *tunnels) { p.Start() }, []string{"dns azure ok", "tcp azure ok", "proxy azure ok", "tls azure ok"}},
		{"encrypted", func(p *tunnels) {
			p.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
			p.StartTLS()
		}, []string{"dns azure ok", "tcp azure ok", "tls azure ok", "proxy azure ok", "tls azure ok"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sim.Reset()
			p := newTunnels(t, map[string]string{"azure.invalid:443": azure.Listener.Addr().String()})
			tt.start(p)
			got := (&doctor{lookup: unlooked(t)}).seen(t, behind(p.URL, caFile, keyAuth))
			want := append(append([]string{"proxy environment ok"}, tt.want...), "clock azure ok", "credential azure ok", "api-version azure ok",
				"call azure/main ok", "model azure/main ok", "region azure/main ok", "limits azure/main ok", "stream azure/main ok", "filter azure/main ok")
			if diff := cmp.Diff(want, got.rows()); diff != "" {
				t.Errorf("findings (-want +got):\n%s\n%+v", diff, got.Checks)
			}
			if f := got.Checks[1]; f.Seen != "the proxy: 127.0.0.1 is an address" {
				t.Errorf("the proxy's name: %+v", f)
			}
			if diff := cmp.Diff([]string{"CONNECT azure.invalid:443"}, p.places()); diff != "" || len(sim.Requests()) != 3 {
				t.Errorf("%d requests; the proxy was asked for (-want +got):\n%s", len(sim.Requests()), diff)
			}
		})
	}
}

// TestDoctorOfProxies holds what is said of a way through a proxy that does not
// lead to the backend.
func TestDoctorOfProxies(t *testing.T) {
	quiet(t)
	cert, caFile := believed(t, "azure.invalid")
	_, otherFile := believed(t, "other.invalid")
	azure := encrypted(t, cert, azuresim.New(azuresim.Config{}))
	foreign, foreignFile := believed(t, "127.0.0.1")
	answering := func(status int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		t.Cleanup(s.Close)
		return s.URL
	}
	known := func(at string) string {
		p := newTunnels(t, map[string]string{"azure.invalid:443": at})
		p.Start()
		return p.URL
	}
	secure := newTunnels(t, nil)
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{foreign}}
	secure.StartTLS()
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(silent.Close)
	for _, tt := range []struct {
		name, proxy, caFile string
		check, seen, mend   string
		line                int
	}{
		{"no such name", "http://proxy.invalid:3128", caFile, "dns", "the proxy: the name proxy.invalid does not exist", "correct the name", 5},
		{"nobody", "http://" + closed(t), caFile, "tcp", "the proxy: nobody listens at 127.0.0.1:", "start what listens there", 5},
		{"wants a credential", answering(407), caFile, "proxy", "the proxy: 407: it wants a credential", "without one", 5},
		{"does not allow it", answering(403), caFile, "proxy", "403: it lets nobody through to azure.invalid:443", "allow azure.invalid:443", 5},
		{"does not know the endpoint", known(closed(t)), caFile, "proxy", "502: it does not reach azure.invalid:443", "which the proxy looks up", 4},
		{"is none", answering(404), caFile, "proxy", "404: it opens no way to azure.invalid:443", "may be no proxy", 5},
		{"hangs up", silent.URL, caFile, "proxy", "no answer to CONNECT azure.invalid:443: reading the answer: ", "as it is spoken to", 5},
		{"speaks TLS", strings.Replace(secure.URL, "https:", "http:", 1), foreignFile, "proxy", "no answer to CONNECT azure.invalid:443: reading the answer: ", "as it is spoken to", 5},
		{"speaks no TLS", strings.Replace(answering(200), "http:", "https:", 1), caFile, "tls", "the proxy: what listens at 127.0.0.1:", "the scheme", 5},
		{"is not believed", secure.URL, caFile, "tls", "the proxy: the certificate is issued by Some Proxy CA, whom ca_file does not have", "add its CA to the file", 6},
		{"leads to somebody", known(azure.Listener.Addr().String()), otherFile, "tls", "the certificate is issued by Some Proxy CA, whom ca_file does not have", "add its CA to the file", 6},
		{"leads to another", known(secure.Listener.Addr().String()), foreignFile, "tls", "the certificate is for 127.0.0.1, not for azure.invalid", "a name that the certificate has", 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lookup := func(_ context.Context, host string) ([]string, error) {
				return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
			}
			got := (&doctor{lookup: lookup}).seen(t, behind(tt.proxy, tt.caFile, keyAuth))
			n := len(got.Checks)
			f, last := got.Checks[n-2], got.Checks[n-1]
			if f.Check != tt.check || f.Result != gradeFail || !strings.Contains(f.Seen, tt.seen) || !strings.Contains(f.Mend, tt.mend) || f.Line != tt.line {
				t.Errorf("%+v, want %s: %q, %q on line %d", f, tt.check, tt.seen, tt.mend, tt.line)
			}
			if last.Seen != "not asked: its backend is not reached" {
				t.Errorf("the deployment: %+v", last)
			}
		})
	}
}

// TestTunnelWaitsNoLonger holds that a proxy which says nothing is left when its
// time is over, and one that is given up at once.
func TestTunnelWaitsNoLonger(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		cancel time.Duration
		want   time.Duration
	}{
		{"time is over", time.Hour, 10 * time.Second},
		{"given up", time.Second, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				go func() { _, _ = io.Copy(io.Discard, theirs) }()
				ctx, cancel := context.WithTimeout(t.Context(), tt.cancel)
				defer cancel()
				begun := time.Now()
				status, err := through(ctx, ours, "azure.invalid:443", 10*time.Second)
				if took := time.Since(begun); status != 0 || !errors.Is(err, context.DeadlineExceeded) || took != tt.want {
					t.Errorf("%d, %v after %v, want %v", status, err, took, tt.want)
				}
				_ = ours.Close()
			})
		})
	}
}

// entra is Entra ID and a metadata service as far as one token needs them.
func entra(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if strings.HasSuffix(r.URL.Path, "/openid-configuration") {
		base := "https://" + r.Host + "/tenant"
		_ = json.NewEncoder(w).Encode(map[string]string{
			"issuer": base + "/v2.0", "authorization_endpoint": base + "/oauth2/v2.0/authorize", "token_endpoint": base + "/oauth2/v2.0/token",
		})
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"token_type": "Bearer", "access_token": "canary-token", "expires_in": 3600, "expires_on": time.Now().Add(time.Hour).Unix(), "resource": "x",
	})
}

// TestTokensGoAsTheBackendDoes holds that Entra ID is asked through the proxy of
// the backend and by its certificates, and a metadata service never: by the
// gateway, and by the doctor.
func TestTokensGoAsTheBackendDoes(t *testing.T) {
	quiet(t)
	sim := azuresim.New(azuresim.Config{Key: "x", Token: "canary-token", Deployments: map[string]azuresim.Deployment{"main": {Model: "gpt-4o"}}})
	cert, caFile := believed(t, "azure.invalid", "login.invalid")
	both := encrypted(t, cert, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "login.invalid" {
			entra(w, r)
			return
		}
		sim.ServeHTTP(w, r)
	}))
	metadata := httptest.NewServer(http.HandlerFunc(entra))
	t.Cleanup(metadata.Close)
	t.Setenv("IDENTITY_ENDPOINT", metadata.URL)
	t.Setenv("IDENTITY_HEADER", "canary-header")
	at := both.Listener.Addr().String()
	for _, tt := range []struct {
		name, auth string
		want       []string
	}{
		{
			"a secret", `{ entra: { tenant_id: tenant, client_id: app, client_secret: "${file:/dev/null}canary-secret", authority: "https://login.invalid" } }`,
			[]string{"CONNECT azure.invalid:443", "CONNECT login.invalid:443"},
		},
		{"a managed identity", `{ entra: { managed_identity: true } }`, []string{"CONNECT azure.invalid:443"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newTunnels(t, map[string]string{"azure.invalid:443": at, "login.invalid:443": at})
			p.Start()
			f, problems := config.Load(write(t, "weir.yaml", behind(p.URL, caFile, tt.auth)), options())
			if f == nil {
				t.Fatal(problems)
			}
			g, err := Build(t.Context(), f, Parts{})
			if err != nil {
				t.Fatal(err)
			}
			closeLater(t, g)
			if status, body := askGateway(t, g); status != http.StatusOK {
				t.Errorf("the gateway answers %d %s", status, body)
			}
			if diff := cmp.Diff(tt.want, p.places()); diff != "" {
				t.Errorf("the gateway asked the proxy for (-want +got):\n%s", diff)
			}
			p.asked = nil
			got := (&doctor{lookup: unlooked(t)}).seen(t, behind(p.URL, caFile, tt.auth))
			if diff := cmp.Diff(tt.want, p.places()); diff != "" || !got.OK || got.Calls != 2 {
				t.Errorf("%+v; the doctor asked the proxy for (-want +got):\n%s", got.Checks, diff)
			}
			delete(p.known, "login.invalid:443")
			got = (&doctor{lookup: unlooked(t)}).seen(t, behind(p.URL, caFile, tt.auth))
			if lost := len(tt.want) > 1; got.OK == lost {
				t.Errorf("without Entra ID: %+v", got.Checks)
			} else if i := slices.IndexFunc(got.Checks, func(f finding) bool { return f.Check == "credential" }); lost &&
				(!strings.Contains(got.Checks[i].Seen, "the proxy answered 502") || got.Checks[i].Line != 7 || !strings.Contains(got.Checks[i].Mend, "the backend's proxy")) {
				t.Errorf("without Entra ID: %+v", got.Checks[i])
			}
		})
	}
}

// TestAuthorityBelievesBoth holds that where tokens come from is believed by the
// machine's certificates beside the backend's, and the backend by its own alone.
func TestAuthorityBelievesBoth(t *testing.T) {
	t.Parallel()
	cert, caFile := believed(t, "azure.invalid")
	b := &builder{file: &config.File{Backends: map[string]config.Backend{"azure": {CAFile: caFile}}}}
	if err := b.connect(upstream.Connection{}); err != nil {
		t.Fatal(err)
	}
	own, both := x509.NewCertPool(), machineRoots()
	own.AddCert(cert.Leaf)
	both.AddCert(cert.Leaf)
	for name, tt := range map[string]struct {
		via  http.RoundTripper
		want *x509.CertPool
	}{"the backend": {b.transports["azure"], own}, "the authority": {b.authorities["azure"], both}} {
		if tr, ok := tt.via.(*http.Transport); !ok || !tr.TLSClientConfig.RootCAs.Equal(tt.want) {
			t.Errorf("%s is believed by other certificates", name)
		}
	}
}
