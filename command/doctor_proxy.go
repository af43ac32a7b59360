package command

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// surroundings looks at what the environment says of proxies, which the gateway
// does not go by.
func (d *doctor) surroundings() *examination {
	e := &examination{doctor: d}
	var set []string
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"} {
		if value, _ := d.getenv(name); value != "" {
			set = append(set, name)
		}
	}
	f := finding{Check: "proxy", Target: "environment", Result: gradeOK, Path: "backends", Seen: "no proxy is set in the environment"}
	if len(set) > 0 {
		f.Seen = strings.Join(set, ", ") + " is set, and Weir does not read it: it goes through the proxy of a backend alone"
		for _, b := range d.file.Backends {
			if b.Proxy == "" {
				f.Result = gradeWarn
				f.Mend = "nothing, where the checks below reach the backends; else write proxy: http://HOST:PORT to them in a configuration file"
			}
		}
	}
	e.add(f)
	return e
}

// tunnel asks the proxy for a connection to the endpoint, as the gateway does.
// Requests that are not encrypted need none: the proxy reads them.
func (e *examination) tunnel(ctx context.Context, conn net.Conn, proxy hop) (net.Conn, bool) {
	if proxy.at.Scheme == "https" {
		secure, ok := e.secure(ctx, conn, proxy)
		if !ok {
			return nil, false
		}
		conn = secure
	}
	if e.at.Endpoint.Scheme == "http" {
		return conn, true
	}
	target := e.endpoint().address()
	f := finding{Check: "proxy", Result: gradeOK, Seen: "it lets us through to " + target}
	status, err := through(ctx, conn, target, e.timeout)
	if err != nil {
		f.Result, f.Seen = gradeFail, "no answer to CONNECT "+target+": "+quote(err.Error())
		f.Mend = "correct the proxy's address, with http:// or https:// as it is spoken to; see that it may connect to the endpoint"
	} else if status != http.StatusOK {
		f = e.shut(status, target)
	}
	e.network(proxy, f)
	return conn, f.Result == gradeOK
}

// through asks for a tunnel on a connection to a proxy, and returns the answer's
// status.
func through(ctx context.Context, conn net.Conn, target string, timeout time.Duration) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // ends what waits
	defer stop()
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target, Header: http.Header{}}
	if err := req.Write(conn); err != nil {
		return 0, fmt.Errorf("asking: %w", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, maxReply)), req)
	if ctx.Err() != nil {
		return 0, fmt.Errorf("waiting %v: %w", timeout, ctx.Err())
	}
	if err != nil {
		return 0, fmt.Errorf("reading the answer: %w", err)
	}
	_ = resp.Body.Close() // nothing is read of it
	return resp.StatusCode, nil
}

// shut is of a proxy that does not let us through.
func (e *examination) shut(status int, target string) finding {
	f := finding{Check: "proxy", Result: gradeFail}
	switch {
	case status == http.StatusProxyAuthRequired:
		f.Seen, f.Mend = "407: it wants a credential, and Weir sends none", "let this machine through it without one, or name another proxy"
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		f.Seen, f.Mend = fmt.Sprintf("%d: it lets nobody through to %s", status, target), "allow "+target+" in its rules"
	case status >= 500:
		f.Seen, f.Path = fmt.Sprintf("%d: it does not reach %s", status, target), e.key("endpoint")
		f.Mend = "correct the endpoint's name, which the proxy looks up; or let the proxy through the firewall to it"
	default:
		f.Seen, f.Mend = fmt.Sprintf("%d: it opens no way to %s", status, target), "correct the proxy's address: what listens there may be no proxy"
	}
	return f
}
