package clienttest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/azure"
	"github.com/openai/openai-go/v3/option"
)

// Azure's option of openai-go sends no key over plain HTTP unless it is told
// to. With a certificate it needs no such option.
func TestOpenAIGoAzureOverTLS(t *testing.T) {
	t.Parallel()
	file, roots := certify(t)
	g := start(t, setting{Certificate: file})
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	client := openai.NewClient(
		azure.WithEndpoint(g.url, "2024-10-21"),
		azure.WithAPIKey(teamKey),
		option.WithHTTPClient(&http.Client{Transport: transport}),
	)
	answer, err := client.Chat.Completions.New(t.Context(), ask("Say hello."))
	if err != nil {
		t.Fatal(err)
	}
	if answer.Choices[0].Message.Content == "" {
		t.Error("the answer is empty")
	}
	demandStream(t, client.Chat.Completions.NewStreaming(t.Context(), ask("Say hello.")))
}

// certify writes a certificate for the loopback address and its key into one
// file, and returns the pool that trusts it.
func certify(t *testing.T) (string, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	both := append(chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	path := filepath.Join(t.TempDir(), "tls.pem")
	if err := os.WriteFile(path, both, 0o600); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(both) {
		t.Fatal("the certificate was not added")
	}
	return path, roots
}
