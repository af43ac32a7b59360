package command

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"
)

// surroundings looks at what the environment says of proxies, which the gateway
// goes through none of.
func (d *doctor) surroundings() *examination {
	e := &examination{doctor: d}
	var set []string
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"} {
		if value, _ := d.getenv(name); value != "" {
			set = append(set, name)
		}
	}
	f := finding{Check: "proxy", Target: "environment", Result: gradeOK, Seen: "no proxy is set in the environment"}
	if len(set) > 0 {
		f.Result, f.Seen = gradeWarn, strings.Join(set, ", ")+" is set, and Weir does not read it: it connects directly"
		f.Mend = "nothing, where the checks below reach the backends; else let this machine connect to them, or give them private endpoints"
	}
	e.add(f)
	return e
}

// endpointPath is the path of the backend's endpoint in the configuration.
func (e *examination) endpointPath() string { return "backends." + e.name + ".endpoint" }

// network notes a finding about the way to the backend.
func (e *examination) network(check string, result grade, seen, mend string) {
	e.add(finding{Check: check, Target: e.name, Result: result, Seen: seen, Mend: mend, Path: e.endpointPath()})
}

// resolve looks the name of the endpoint up.
func (e *examination) resolve(ctx context.Context) bool {
	host := e.at.Endpoint.Hostname()
	if _, err := netip.ParseAddr(host); err == nil {
		e.network("dns", gradeOK, host+" is an address", "")
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	found, err := e.lookup(ctx, host)
	var failure *net.DNSError
	switch {
	case err == nil:
		e.network("dns", gradeOK, host+" is "+strings.Join(found[:min(len(found), 3)], ", "), "")
	case errors.As(err, &failure) && failure.IsNotFound:
		e.network("dns", gradeFail, "the name "+host+" does not exist",
			"correct the endpoint's name; where it is private, this machine needs the private DNS zone")
	default:
		e.network("dns", gradeFail, "the name "+host+" could not be looked up: "+quote(err.Error()),
			"look at this machine's DNS: /etc/resolv.conf, or the cluster's DNS policy")
	}
	return err == nil
}

// address returns where the endpoint listens.
func (e *examination) address() string {
	u := e.at.Endpoint
	port := "443"
	if u.Scheme == "http" {
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
}

// connect opens a connection and closes it.
func (e *examination) connect(ctx context.Context) bool {
	dialer := net.Dialer{Timeout: e.timeout}
	conn, err := dialer.DialContext(ctx, "tcp", e.address())
	var failure net.Error
	switch {
	case err == nil:
		at := conn.RemoteAddr().String()
		_ = conn.Close() // nothing was written
		e.network("tcp", gradeOK, "connected to "+at, "")
	case errors.Is(err, syscall.ECONNREFUSED):
		e.network("tcp", gradeFail, "nobody listens at "+e.address(), "correct the endpoint's name and port, or start what listens there")
	case errors.As(err, &failure) && failure.Timeout():
		e.network("tcp", gradeFail, "no connection to "+e.address()+" within "+e.timeout.String(),
			"let this machine through the firewall to it (port 443), or use a private endpoint")
	default:
		e.network("tcp", gradeFail, quote(err.Error()), "look at routes and firewalls between this machine and "+e.address())
	}
	return err == nil
}

// soon is how little of a certificate's life is worth a warning.
const soon = 14 * 24 * time.Hour

// handshake looks at the certificate.
func (e *examination) handshake(ctx context.Context) bool {
	u := e.at.Endpoint
	if u.Scheme == "http" {
		e.network("tls", gradeOK, "plain http, on this machine alone", "")
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{ServerName: u.Hostname(), RootCAs: e.roots, Time: e.now, MinVersion: tls.VersionTLS12}}
	conn, err := dialer.DialContext(ctx, "tcp", e.address())
	if err != nil {
		seen, mend := e.untrusted(err)
		e.network("tls", gradeFail, seen, mend)
		return false
	}
	defer func() { _ = conn.Close() }() // nothing was written
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return true
	}
	state := secure.ConnectionState()
	end := state.PeerCertificates[0].NotAfter
	left := end.Sub(e.now())
	seen := fmt.Sprintf("%s, the certificate is good for %s more, until %s",
		tls.VersionName(state.Version), plural(int(left/(24*time.Hour)), "day"), end.UTC().Format(time.DateOnly))
	if left < soon {
		e.network("tls", gradeWarn, seen, "renew it, or ask who keeps the endpoint to")
		return true
	}
	e.network("tls", gradeOK, seen, "")
	return true
}

// untrusted says why TLS failed, and what to do.
func (e *examination) untrusted(err error) (seen, mend string) {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var foreign tls.RecordHeaderError
	host := e.at.Endpoint.Hostname()
	switch {
	case errors.As(err, &unknown):
		issuer := "somebody"
		if unknown.Cert != nil {
			issuer = cmp.Or(unknown.Cert.Issuer.CommonName, unknown.Cert.Issuer.String())
		}
		return "the certificate is issued by " + quote(issuer) + ", whom this machine does not trust",
			"where a proxy on the way puts its own certificate in, add its CA to the machine's, or name it in SSL_CERT_FILE; in a container, install CA certificates"
	case errors.As(err, &name):
		names := slices.Clone(name.Certificate.DNSNames)
		for _, ip := range name.Certificate.IPAddresses {
			names = append(names, ip.String())
		}
		return "the certificate is for " + quote(strings.Join(names, ", ")) + ", not for " + host,
			"write the endpoint with a name that the certificate has"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && e.now().Before(invalid.Cert.NotBefore):
		return "the certificate is good from " + invalid.Cert.NotBefore.UTC().Format(time.RFC3339) + " on: by this machine's clock that is to come",
			"set this machine's clock"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate has expired on " + invalid.Cert.NotAfter.UTC().Format(time.RFC3339),
			"renew it, or ask who keeps the endpoint to; or set this machine's clock, if it is ahead"
	case errors.As(err, &foreign):
		return "what listens at " + e.address() + " does not speak TLS", "correct the endpoint's port"
	default:
		return quote(err.Error()), "look at what is between this machine and " + e.address()
	}
}

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
	f := finding{Check: "clock", Target: e.name, Result: gradeOK, Seen: "this machine's and the backend's clocks agree"}
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
	e.add(f)
}
