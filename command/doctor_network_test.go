package command

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
	"weir/upstream"
)

// certified returns a certificate, and a pool that trusts it alone.
func certified(t *testing.T, from, until time.Time, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Some Proxy CA"}, NotBefore: from, NotAfter: until,
		IsCA: true, BasicConstraintsValid: true,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// seen runs a doctor of the test's own over a configuration.
func (d *doctor) seen(t *testing.T, text string) examined {
	t.Helper()
	var out, errs bytes.Buffer
	d.streams = &streams{in: strings.NewReader(""), out: &out, err: &errs}
	d.timeout, d.getenv = time.Minute, func(string) (string, bool) { return "", false }
	if d.lookup == nil {
		d.lookup = net.DefaultResolver.LookupHost
	}
	if d.now == nil {
		d.now = time.Now
	}
	code := exitOK
	if err := d.run(t.Context(), write(t, "weir.yaml", text), asJSON, nil); err != nil {
		code = exitError
	}
	return examined{}.of(t, result{code, out.String(), errs.String()})
}

// closed returns an address at which nobody listens.
func closed(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// nameless returns a resolver that asks a server on loopback, which knows no name.
func nameless(t *testing.T) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			buf[2], buf[3] = buf[2]|0x80, 0x80|3 // an answer: no such name
			_, _ = server.WriteTo(buf[:n], from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

// TestDoctorOfNowhere holds that a backend which is not reached is not asked, and
// that its deployments are said not to be.
func TestDoctorOfNowhere(t *testing.T) {
	quiet(t)
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	plain.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	tests := []struct {
		name     string
		endpoint string
		lookup   func(context.Context, string) ([]string, error)
		check    string
		seen     string
		mend     string
	}{
		{"a name that does not exist", "https://nobody.invalid", func(_ context.Context, host string) ([]string, error) {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}, "dns", "the name nobody.invalid does not exist", "private DNS zone"},
		{"no resolver", "https://nobody.invalid", func(context.Context, string) ([]string, error) {
			return nil, errors.New("server misbehaving")
		}, "dns", "could not be looked up: server misbehaving", "resolv.conf"},
		{"a resolver that is asked", "https://nobody.invalid", nameless(t).LookupHost, "dns", "the name nobody.invalid does not exist", "private DNS zone"},
		{"a closed port", "http://" + closed(t), nil, "tcp", "nobody listens at 127.0.0.1:", "port"},
		{"no TLS", strings.Replace(plain.URL, "http:", "https:", 1), nil, "tls", "does not speak TLS", "port"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := (&doctor{lookup: tt.lookup}).seen(t, patient(tt.endpoint))
			n := len(got.Checks)
			f, last := got.Checks[n-2], got.Checks[n-1]
			if f.Check != tt.check || f.Result != gradeFail || !strings.Contains(f.Seen, tt.seen) || !strings.Contains(f.Mend, tt.mend) || f.Line != 3 {
				t.Errorf("%+v, want %s: %q, %q", f, tt.check, tt.seen, tt.mend)
			}
			if last.Target != "azure/main" || last.Result != gradeFail || last.Seen != "not asked: its backend is not reached" || got.Calls != 0 {
				t.Errorf("the deployment: %+v, %d calls", last, got.Calls)
			}
		})
	}
}

// TestDoctorOfCertificates holds what is said of a certificate, and that one which
// is not trusted is never shown a credential.
func TestDoctorOfCertificates(t *testing.T) {
	quiet(t)
	const day = 24 * time.Hour
	now := time.Now()
	tests := []struct {
		name        string
		from, until time.Duration // of the certificate, from now
		host        string        // that it is for
		trusted     bool
		want        grade
		seen        string
		mend        string
	}{
		{"good", -day, 90*day + time.Hour, "127.0.0.1", true, gradeOK, "TLS 1.3, the certificate is good for 90 days more", ""},
		{"soon over", -day, 3*day + time.Hour, "127.0.0.1", true, gradeWarn, "good for 3 days more", "renew it"},
		{"over", -2 * day, -day, "127.0.0.1", true, gradeFail, "has expired on ", "renew it"},
		{"to come", day, 2 * day, "127.0.0.1", true, gradeFail, "that is to come", "clock"},
		{"of another", -day, 90 * day, "other.example.com", true, gradeFail, "is for other.example.com, not for 127.0.0.1", "a name that the certificate has"},
		{"of somebody", -day, 90 * day, "127.0.0.1", false, gradeFail, "issued by Some Proxy CA, whom this machine does not trust", "ca_file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cert, pool := certified(t, now.Add(tt.from), now.Add(tt.until), tt.host)
			if !tt.trusted {
				pool = x509.NewCertPool()
			}
			sim := azuresim.New(azuresim.Config{Key: doctorKey, Deployments: map[string]azuresim.Deployment{"main": {Model: "gpt-4o"}}})
			azure := httptest.NewUnstartedServer(sim)
			azure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
			azure.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
			azure.StartTLS()
			defer azure.Close()
			got := (&doctor{roots: pool, now: func() time.Time { return now }}).seen(t, patient(azure.URL))
			f := got.Checks[3]
			if place := f.Line == 3; f.Check != "tls" || f.Result != tt.want || place != (tt.want != gradeOK) || !strings.Contains(f.Seen, tt.seen) || !strings.Contains(f.Mend, tt.mend) {
				t.Errorf("%+v, want %s: %q, %q", f, tt.want, tt.seen, tt.mend)
			}
			asked := 3
			if tt.want == gradeFail {
				asked = 0
			}
			if n := len(sim.Requests()); n != asked {
				t.Errorf("%d requests, want %d", n, asked)
			}
		})
	}
}

// TestDoctorOfClocks compares this machine's clock with the backend's.
func TestDoctorOfClocks(t *testing.T) {
	quiet(t)
	now := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name string
		date string // of the backend; "" none
		want grade
		seen string
	}{
		{"agree", "Sat, 01 Aug 2026 12:00:02 GMT", gradeOK, "agree"},
		{"behind", "Sat, 01 Aug 2026 12:01:00 GMT", gradeWarn, "1m0s behind"},
		{"ahead", "Sat, 01 Aug 2026 11:50:00 GMT", gradeFail, "10m0s ahead of"},
		{"no clock", "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sim := azuresim.New(azuresim.Config{Deployments: map[string]azuresim.Deployment{"main": {Model: "gpt-4o"}}})
			azure := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Date"] = nil
				if tt.date != "" {
					w.Header().Set("Date", tt.date)
				}
				sim.ServeHTTP(w, r)
			}))
			defer azure.Close()
			got := (&doctor{now: func() time.Time { return now }}).seen(t, patient(azure.URL))
			var clock finding
			for _, f := range got.Checks {
				if f.Check == "clock" {
					clock = f
				}
			}
			mended := strings.Contains(clock.Mend, "NTP") && clock.Line == 3
			if clock.Result != tt.want || !strings.Contains(clock.Seen, tt.seen) || mended != (tt.want == gradeWarn || tt.want == gradeFail) {
				t.Errorf("%+v, want %s: %q", clock, tt.want, tt.seen)
			}
		})
	}
}

// TestDoctorWaitsNoLonger holds that a check ends when its time is over.
func TestDoctorWaitsNoLonger(t *testing.T) {
	quiet(t)
	sim := azuresim.New(azuresim.Config{Deployments: map[string]azuresim.Deployment{"main": {Model: "gpt-4o"}}})
	sim.Script(azuresim.Step{Hang: true})
	azure := httptest.NewServer(sim)
	defer azure.Close()
	f := examineFile(t, patient(azure.URL), "--timeout", "1s").worst(t)
	if f.Check != "call" || f.Seen != "no answer within 1s" || !strings.Contains(f.Mend, "--timeout") {
		t.Errorf("%+v", f)
	}
	if r := weir(t, "", "doctor", "--timeout", "0s"); r.code != exitUsage {
		t.Errorf("without time: code %d, %q", r.code, r.err)
	}
}

// TestDoctorTakesTheOtherKey holds that a key which was replaced is noticed where
// the other one still lets the gateway in, and that both may be refused.
func TestDoctorTakesTheOtherKey(t *testing.T) {
	quiet(t)
	for _, tt := range []struct {
		name          string
		first, second string
		want          grade
		seen          string
		asked         int
	}{
		{"the first", doctorKey, "canary-old", gradeOK, "accepted", 1},
		{"the second", "canary-old", doctorKey, gradeWarn, "one was refused, and another accepted", 2},
		{"none", "canary-old", "canary-older", gradeFail, "401: the key is not accepted", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sim := azuresim.New(azuresim.Config{Key: doctorKey})
			azure := httptest.NewServer(sim)
			defer azure.Close()
			endpoint, err := url.Parse(azure.URL)
			if err != nil {
				t.Fatal(err)
			}
			e := &examination{
				doctor:    &doctor{now: time.Now, timeout: time.Minute, where: func(path string) (string, int) { return path, 1 }},
				at:        upstream.Deployment{Endpoint: endpoint, Name: "any", Credential: upstream.NewKeyPair(tt.first, tt.second, nil)},
				transport: upstream.NewTransport(upstream.Connection{}),
			}
			defer e.transport.CloseIdleConnections()
			if let := e.listing(t.Context()); let != (tt.want != gradeFail) {
				t.Errorf("it goes on: %t", let)
			}
			f := e.findings[1]
			if f.Check != "credential" || f.Result != tt.want || f.Seen != tt.seen || len(sim.Requests()) != tt.asked {
				t.Errorf("%+v after %d requests, want %s: %q after %d", f, len(sim.Requests()), tt.want, tt.seen, tt.asked)
			}
			if (f.File == "") != (f.Result == gradeOK) {
				t.Errorf("the place of %s is %q", f.Result, f.File)
			}
		})
	}
}

// TestDoctorShowsEveryMask holds that what was sent is hidden in whatever is
// shown, and control characters too.
func TestDoctorShowsEveryMask(t *testing.T) {
	t.Parallel()
	e := &examination{doctor: &doctor{secrets: []string{"of-the-file", "it"}}, hidden: []string{"Bearer token-x", "token-x"}}
	got := e.mask("a of-the-file, token-x\n\x1b[31m in it")
	if diff := cmp.Diff("a [secret], [secret] [31m in it", got); diff != "" {
		t.Errorf("mask (-want +got):\n%s", diff)
	}
}
