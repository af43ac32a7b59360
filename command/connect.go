package command

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"weir/config"
	"weir/upstream"
)

// connect makes what requests to backends go through: one transport for all of
// them, made as c says, and one each for those with a proxy or certificates of
// their own, and for where their tokens come from. Where the parts bring a
// transport it serves all.
func (b *builder) connect(c upstream.Connection) error {
	if b.parts.Transport != nil {
		return nil
	}
	b.parts.Transport = upstream.NewTransport(c)
	b.transports, b.authorities = map[string]http.RoundTripper{}, map[string]http.RoundTripper{}
	for name, backend := range b.file.Backends {
		if backend.Proxy == "" && backend.CAFile == "" {
			continue
		}
		own, err := connection(c, backend, x509.NewCertPool())
		if err != nil {
			return fmt.Errorf("command: backends.%s: %w", name, err)
		}
		b.transports[name] = upstream.NewTransport(own)
		authority, err := connection(c, backend, machineRoots())
		if err != nil {
			return fmt.Errorf("command: backends.%s: %w", name, err)
		}
		b.authorities[name] = upstream.NewTransport(authority)
	}
	return nil
}

// machineRoots returns the certificates that this machine believes. To those a
// backend's own are added where its tokens come from: they may be those of a proxy
// that looks into everything, or of the backend alone, beside an Entra ID whose
// own are everybody's.
func machineRoots() *x509.CertPool {
	roots, err := x509.SystemCertPool()
	if err != nil { // it has none
		return x509.NewCertPool()
	}
	return roots
}

// connection returns c with what a backend has of its own. Its certificates, where
// it has any, are added to roots, and these are believed alone.
func connection(c upstream.Connection, backend config.Backend, roots *x509.CertPool) (own upstream.Connection, err error) {
	if backend.Proxy != "" {
		if c.Proxy, err = url.Parse(backend.Proxy); err != nil {
			return c, fmt.Errorf("reading proxy: %w", err)
		}
	}
	if backend.CAFile != "" {
		data, err := os.ReadFile(backend.CAFile)
		if err != nil {
			return c, fmt.Errorf("reading ca_file: %w", err)
		}
		if c.Roots = roots; !c.Roots.AppendCertsFromPEM(data) {
			return c, fmt.Errorf("reading ca_file: %s holds no certificate", backend.CAFile)
		}
	}
	return c, nil
}
