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
// them, and one each for those with a proxy or certificates of their own. Where
// the parts bring a transport it serves all.
func (b *builder) connect() error {
	if b.parts.Transport != nil {
		return nil
	}
	c := upstream.Connection{Connect: b.file.Resilience.Timeout.Connect, PerHost: perHost}
	b.parts.Transport = upstream.NewTransport(c)
	b.transports = map[string]http.RoundTripper{}
	for name, backend := range b.file.Backends {
		if backend.Proxy == "" && backend.CAFile == "" {
			continue
		}
		own, err := connection(c, backend)
		if err != nil {
			return fmt.Errorf("command: backends.%s: %w", name, err)
		}
		b.transports[name] = upstream.NewTransport(own)
	}
	return nil
}

// connection returns c with what a backend has of its own.
func connection(c upstream.Connection, backend config.Backend) (own upstream.Connection, err error) {
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
		if c.Roots = x509.NewCertPool(); !c.Roots.AppendCertsFromPEM(data) {
			return c, fmt.Errorf("reading ca_file: %s holds no certificate", backend.CAFile)
		}
	}
	return c, nil
}
