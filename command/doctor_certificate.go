package command

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"time"
)

// untrusted says why TLS with a hop failed, and how to mend it.
func (e *examination) untrusted(err error, h hop) finding {
	f := finding{Check: "tls", Result: gradeFail}
	host := h.at.Hostname()
	unknown, isUnknown := errors.AsType[x509.UnknownAuthorityError](err)
	name, isName := errors.AsType[x509.HostnameError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	_, isForeign := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case isUnknown:
		f.Seen, f.Mend = e.unknown(unknown)
		f.Path = e.key("ca_file")
	case isName:
		names := slices.Clone(name.Certificate.DNSNames)
		for _, ip := range name.Certificate.IPAddresses {
			names = append(names, ip.String())
		}
		f.Seen = "the certificate is for " + quote(strings.Join(names, ", ")) + ", not for " + host
		f.Mend = "write a name that the certificate has"
	case isInvalid && invalid.Reason == x509.Expired && e.now().Before(invalid.Cert.NotBefore):
		f.Seen = "the certificate is good from " + invalid.Cert.NotBefore.UTC().Format(time.RFC3339) + " on: by this machine's clock that is to come"
		f.Mend = "set this machine's clock"
	case isInvalid && invalid.Reason == x509.Expired:
		f.Seen = "the certificate has expired on " + invalid.Cert.NotAfter.UTC().Format(time.RFC3339)
		f.Mend = "renew it, or ask who keeps what listens there to; or set this machine's clock, if it is ahead"
	case isForeign:
		f.Seen, f.Mend = "what listens at "+h.address()+" does not speak TLS", "correct the port, or the scheme"
	default:
		f.Seen, f.Mend = quote(err.Error()), "look at what is between this machine and "+h.address()
	}
	return f
}

// unknown is of a certificate whose issuer is not believed.
func (e *examination) unknown(err x509.UnknownAuthorityError) (seen, mend string) {
	issuer := "somebody"
	if err.Cert != nil {
		issuer = cmp.Or(err.Cert.Issuer.CommonName, err.Cert.Issuer.String())
	}
	seen = "the certificate is issued by " + quote(issuer)
	if e.file.Backends[e.name].CAFile != "" {
		return seen + ", whom ca_file does not have", "add its CA to the file, which is believed in place of the machine's"
	}
	return seen + ", whom this machine does not trust",
		"where a proxy on the way puts its own certificate in, name its CA in ca_file; in a container, install CA certificates"
}
