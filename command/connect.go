package command

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"weir/upstream"
)

// wire is what tells one way to backends from another.
type wire struct {
	connect time.Duration
	proxy   string
	file    string            // of certificates; "" the machine's are believed
	roots   [sha256.Size]byte // its content
	beside  bool              // they are believed beside the machine's
}

// wires are the ways there are, with the connections that are kept open on each.
type wires map[wire]*http.Transport

// connect makes what requests to backends go through: one transport for all of
// them, made as c says, and one each for those with a proxy or certificates of their own, and for
// where their tokens come from. Where the parts bring a transport it serves all.
func (b *builder) connect(c upstream.Connection) error {
	if b.parts.Transport != nil {
		return nil
	}
	b.wires = wires{}
	common, err := b.wire(c, wire{})
	if err != nil {
		return err
	}
	b.parts.Transport = common
	b.transports, b.authorities = map[string]http.RoundTripper{}, map[string]http.RoundTripper{}
	for name, backend := range b.file.Backends {
		if backend.Proxy == "" && backend.CAFile == "" {
			continue
		}
		w := wire{proxy: backend.Proxy, file: backend.CAFile}
		if b.transports[name], err = b.wire(c, w); err != nil {
			return fmt.Errorf("command: backends.%s: %w", name, err)
		}
		// To the certificates of the machine those of the backend are added where
		// its tokens come from: they may be those of a proxy that looks into
		// everything, or of the backend alone, beside an Entra ID whose own are
		// everybody's.
		w.beside = true
		if b.authorities[name], err = b.wire(c, w); err != nil {
			return fmt.Errorf("command: backends.%s: %w", name, err)
		}
	}
	return nil
}

// wire returns the transport of a way, which may be open from before.
func (b *builder) wire(c upstream.Connection, w wire) (*http.Transport, error) {
	c, certificates, err := connection(c, w)
	if err != nil {
		return nil, err
	}
	w.connect = c.Connect
	w.roots = sha256.Sum256(certificates)
	t := b.wires[w]
	if t == nil {
		t = b.before.wires[w]
	}
	if t == nil {
		t = upstream.NewTransport(c)
	}
	b.wires[w] = t
	return t, nil
}

// connection returns c with what a way has of its own, and its certificates, which
// are believed alone, or beside those of the machine.
func connection(c upstream.Connection, w wire) (own upstream.Connection, certificates []byte, err error) {
	if w.proxy != "" {
		if c.Proxy, err = url.Parse(w.proxy); err != nil {
			return c, nil, fmt.Errorf("reading proxy: %w", err)
		}
	}
	if w.file == "" {
		return c, nil, nil
	}
	if certificates, err = os.ReadFile(w.file); err != nil {
		return c, nil, fmt.Errorf("reading ca_file: %w", err)
	}
	c.Roots = x509.NewCertPool()
	if w.beside {
		c.Roots = machineRoots()
	}
	if !c.Roots.AppendCertsFromPEM(certificates) {
		return c, nil, fmt.Errorf("reading ca_file: %s holds no certificate", w.file)
	}
	return c, certificates, nil
}

// machineRoots returns the certificates that this machine believes.
func machineRoots() *x509.CertPool {
	roots, err := x509.SystemCertPool()
	if err != nil { // it has none
		return x509.NewCertPool()
	}
	return roots
}

// leave closes the connections of ways that the next configuration does not go. A
// request that is under way on one keeps it until it ends.
func (w wires) leave(next wires) {
	for way, t := range w {
		if next[way] == nil {
			t.CloseIdleConnections()
		}
	}
}
