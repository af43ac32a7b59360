package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Connection says how connections to deployments are made.
type Connection struct {
	Connect time.Duration  // to connect, and as long again for TLS
	PerHost int            // idle connections that are kept for each resource
	Proxy   *url.URL       // nil: connections are direct, whatever the environment says
	Roots   *x509.CertPool // whose certificates are believed; nil: the system's
}

// NewTransport returns a transport for deployments. It goes through no proxy but
// the given one, believes no certificate that it cannot verify, speaks HTTP/2
// where it is offered, asks for no compression, and keeps connections for later
// requests.
func NewTransport(c Connection) *http.Transport {
	dialer := &net.Dialer{Timeout: c.Connect, KeepAlive: 30 * time.Second}
	t := &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Roots},
		TLSHandshakeTimeout:    c.Connect,
		MaxIdleConnsPerHost:    c.PerHost,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
	if c.Proxy != nil {
		t.Proxy, t.OnProxyConnectResponse = http.ProxyURL(c.Proxy), letThrough
	}
	return t
}

// letThrough returns an error that says what a proxy answered which does not let a
// connection through.
func letThrough(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: fmt.Errorf("the proxy answered %d", answer.StatusCode)}
}

// warming is how long making a connection ahead of time may take.
const warming = 10 * time.Second

// resource is where requests go to, and the way there.
type resource struct {
	via  http.RoundTripper
	root string
}

// Warm makes a connection to every resource that the pool before this one did not
// have, so that the first request need not. It asks each for the head of its root,
// without a credential, which no resource counts or bills; what it answers does not
// matter. It returns when all have answered or failed, or when ctx ends.
func (p *Pool) Warm(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, warming)
	defer cancel()
	var all sync.WaitGroup
	for at, backend := range p.cold {
		all.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodHead, at.root, nil)
			if err != nil {
				return
			}
			resp, err := at.via.RoundTrip(req)
			switch {
			case errors.Is(err, context.Canceled): // nobody wants it any longer
				return
			case err != nil:
				p.cfg.Log.Warn("resource cannot be reached", "backend", backend, "error", err.Error())
				return
			}
			_ = resp.Body.Close() // there is none
		})
	}
	all.Wait()
}

// resources returns every resource that is configured, and the name of its backend.
func (p *Pool) resources() map[resource]string {
	out := map[resource]string{}
	add := func(d *Deployment) {
		root := url.URL{Scheme: d.Endpoint.Scheme, Host: d.Endpoint.Host, Path: "/"}
		out[resource{p.transport(d), root.String()}] = d.Backend
	}
	for _, m := range p.cfg.Models {
		for i := range m.Deployments {
			add(&m.Deployments[i])
		}
	}
	if p.cfg.Any != nil {
		add(p.cfg.Any)
	}
	return out
}

// transport returns what requests to the deployment go through.
func (p *Pool) transport(d *Deployment) http.RoundTripper {
	if d.Transport != nil {
		return d.Transport
	}
	return p.cfg.Transport
}
