package command

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// hop is a place that the way to a backend leads to: its endpoint, and before it
// its proxy, where it has one.
type hop struct {
	at  *url.URL
	key string // of the backend, which names it
}

func (e *examination) endpoint() hop { return hop{e.at.Endpoint, "endpoint"} }

// key returns the path of a key of the backend in the configuration.
func (e *examination) key(name string) string { return "backends." + e.name + "." + name }

// network notes a finding about a hop.
func (e *examination) network(h hop, f finding) {
	if h.key == "proxy" {
		f.Seen = "the proxy: " + f.Seen
	}
	f.Target, f.Path = e.name, cmp.Or(f.Path, e.key(h.key))
	e.add(f)
}

// reach goes the way to the backend as far as it leads, and reports whether that
// is all of it. Where a proxy is on the way, the endpoint's name is the proxy's to
// look up.
func (e *examination) reach(ctx context.Context) bool {
	first := e.endpoint()
	if e.way.Proxy != nil {
		first = hop{e.way.Proxy, "proxy"}
	}
	if !e.resolve(ctx, first) {
		return false
	}
	conn, ok := e.connect(ctx, first)
	if !ok {
		return false
	}
	defer func() { _ = conn.Close() }() // nobody has been asked for anything
	last := conn
	if e.way.Proxy != nil {
		if last, ok = e.tunnel(ctx, conn, first); !ok {
			return false
		}
	}
	if e.at.Endpoint.Scheme == "http" {
		e.network(e.endpoint(), finding{Check: "tls", Result: gradeOK, Seen: "plain http, on this machine alone"})
		return true
	}
	_, ok = e.secure(ctx, last, e.endpoint())
	return ok
}

// resolve looks the name of a hop up.
func (e *examination) resolve(ctx context.Context, h hop) bool {
	host := h.at.Hostname()
	f := finding{Check: "dns", Result: gradeFail}
	if _, err := netip.ParseAddr(host); err == nil {
		f.Result, f.Seen = gradeOK, host+" is an address"
		e.network(h, f)
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	found, err := e.lookup(ctx, host)
	failure, _ := errors.AsType[*net.DNSError](err)
	switch {
	case err == nil:
		f.Result, f.Seen = gradeOK, host+" is "+strings.Join(found[:min(len(found), 3)], ", ")
	case failure != nil && failure.IsNotFound:
		f.Seen = "the name " + host + " does not exist"
		f.Mend = "correct the name; where it is private, this machine needs the private DNS zone"
	default:
		f.Seen = "the name " + host + " could not be looked up: " + quote(err.Error())
		f.Mend = "look at this machine's DNS: /etc/resolv.conf, or the cluster's DNS policy"
	}
	e.network(h, f)
	return err == nil
}

// address returns where a hop listens.
func (h hop) address() string {
	port := "443"
	if h.at.Scheme == "http" {
		port = "80"
	}
	return net.JoinHostPort(h.at.Hostname(), cmp.Or(h.at.Port(), port))
}

// connect opens a connection to a hop.
func (e *examination) connect(ctx context.Context, h hop) (net.Conn, bool) {
	dialer := net.Dialer{Timeout: e.timeout}
	conn, err := dialer.DialContext(ctx, "tcp", h.address())
	f := finding{Check: "tcp", Result: gradeFail}
	failure, _ := errors.AsType[net.Error](err)
	switch {
	case err == nil:
		f.Result, f.Seen = gradeOK, "connected to "+conn.RemoteAddr().String()
	case errors.Is(err, syscall.ECONNREFUSED):
		f.Seen, f.Mend = "nobody listens at "+h.address(), "correct the name and port, or start what listens there"
	case failure != nil && failure.Timeout():
		f.Seen = "no connection to " + h.address() + " within " + e.timeout.String()
		f.Mend = "let this machine through the firewall to it, or use a private endpoint or a proxy"
	default:
		f.Seen, f.Mend = quote(err.Error()), "look at routes and firewalls between this machine and "+h.address()
	}
	e.network(h, f)
	return conn, err == nil
}

// secure begins TLS on a connection to a hop, and looks at the certificate.
func (e *examination) secure(ctx context.Context, conn net.Conn, h hop) (net.Conn, bool) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	secure := tls.Client(conn, &tls.Config{ServerName: h.at.Hostname(), RootCAs: e.way.Roots, Time: e.now, MinVersion: tls.VersionTLS12})
	if err := secure.HandshakeContext(ctx); err != nil {
		e.network(h, e.untrusted(err, h))
		return nil, false
	}
	state := secure.ConnectionState()
	end := state.PeerCertificates[0].NotAfter
	left := end.Sub(e.now())
	f := finding{Check: "tls", Result: gradeOK, Seen: fmt.Sprintf("%s, the certificate is good for %s more, until %s",
		tls.VersionName(state.Version), plural(int(left/(24*time.Hour)), "day"), end.UTC().Format(time.DateOnly))}
	if left < soon {
		f.Result, f.Mend = gradeWarn, "renew it, or ask who keeps what listens there to"
	}
	e.network(h, f)
	return secure, true
}

// soon is how little of a certificate's life is worth a warning.
const soon = 14 * 24 * time.Hour

// How far the clocks may be apart: a Date is cut to the second and has traveled,
// and Entra ID refuses tokens beyond five minutes.
const (
	skewWarn = 30 * time.Second
	skewFail = 5 * time.Minute
)

// clock compares the Date of an answer with the time at which it came.
func (e *examination) clock(h http.Header, now time.Time) {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return
	}
	skew := now.Sub(date).Round(time.Second)
	f := finding{Check: "clock", Result: gradeOK, Seen: "this machine's and the backend's clocks agree"}
	if skew.Abs() >= skewWarn {
		direction := "ahead of"
		if skew < 0 {
			direction = "behind"
		}
		f.Result, f.Seen = gradeWarn, fmt.Sprintf("this machine's clock is %v %s the backend's", skew.Abs(), direction)
		f.Mend = "keep this machine's clock by NTP: waits, keys that expire and tokens of Entra ID depend on it"
	}
	if skew.Abs() >= skewFail {
		f.Result = gradeFail
	}
	e.network(e.endpoint(), f)
}
