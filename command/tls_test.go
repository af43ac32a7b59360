package command

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// issue writes a certificate for 127.0.0.1 and its key, as if it had been written
// at that hour, and returns a pool that trusts it alone.
func issue(t *testing.T, certFile, keyFile string, serial int64, at time.Time) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "weir"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	put(t, certFile, cert, at)
	put(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), at)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

// put writes a file as if it had been written at that hour: the clock of a file
// system may be too coarse to tell two writes apart.
func put(t *testing.T, path string, data []byte, at time.Time) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

// TestTLS serves over TLS, and follows its certificate when it is renewed; a
// renewal that is broken changes nothing.
func TestTLS(t *testing.T) {
	azure := newHeld(t)
	close(azure.release)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	hour := time.Now()
	old := issue(t, certFile, keyFile, 1, hour)
	p := serve(t, before(azure.URL, `listen: "127.0.0.1:0", tls: { cert_file: "`+certFile+`", key_file: "`+keyFile+`" }`))
	if !strings.HasPrefix(p.api, "https://") {
		t.Fatalf("it listens at %s", p.api)
	}

	steps := []struct {
		name   string
		change func() *x509.CertPool
		serial int64
	}{
		{"at first", func() *x509.CertPool { return old }, 1},
		{"renewed", func() *x509.CertPool { old = issue(t, certFile, keyFile, 2, hour.Add(time.Hour)); return old }, 2},
		{"a broken renewal", func() *x509.CertPool {
			put(t, certFile, []byte("half a certificate"), hour.Add(2*time.Hour))
			return old
		}, 2},
		{"mended", func() *x509.CertPool { return issue(t, certFile, keyFile, 3, hour.Add(3*time.Hour)) }, 3},
	}
	for _, step := range steps {
		transport := &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: step.change(), ServerName: "localhost"},
			ForceAttemptHTTP2: true,
		}
		resp := ask(t, &http.Client{Transport: transport}, p.api, `"stream":true,`)
		b, err := io.ReadAll(resp.Body)
		if err != nil || !strings.HasSuffix(string(b), "data: [DONE]\n\n") {
			t.Errorf("%s: the answer is %q, %v", step.name, b, err)
		}
		if got := resp.TLS.PeerCertificates[0].SerialNumber.Int64(); got != step.serial {
			t.Errorf("%s: the certificate is number %d, want %d", step.name, got, step.serial)
		}
		if resp.TLS.Version < tls.VersionTLS12 {
			t.Errorf("%s: TLS is version %x", step.name, resp.TLS.Version)
		}
		t.Logf("%s: %s", step.name, resp.Proto)
		transport.CloseIdleConnections()
	}
}
