package config

import (
	"crypto/x509"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

func (r *reader) checkBackend(path string, b *Backend) {
	if b.Endpoint != "" {
		if message, hint := endpointFault(b.Kind, b.Endpoint); message != "" {
			r.fault(path+".endpoint", codeEndpoint, message, hint)
		}
	}
	if !isVersion(b.APIVersion) {
		r.fault(path+".api_version", codeMalformed,
			"api_version must be v1 or a date, not "+r.said(path+".api_version", b.APIVersion),
			"write v1, 2024-10-21 or 2025-04-01-preview")
	} else if _, written := r.places[path+".api_version"]; written && b.Kind == kindOpenAI {
		r.fault(path+".api_version", codeContradict, "kind openai has no api_version", "remove it, or write kind: azure")
	}
	if b.Region != "" && !isPlainName(b.Region) {
		r.fault(path+".region", codeMalformed, "a region is up to 64 letters, digits, dots, dashes and underscores, not "+
			r.said(path+".region", b.Region), "")
	}
	r.checkProxy(path+".proxy", b.Proxy)
	r.checkCertificates(path+".ca_file", b.CAFile)
	r.checkAuth(path+".auth", &b.Auth)
}

// kindOpenAI is the kind of a server that is not Azure's.
const kindOpenAI = "openai"

// needAuth reports a backend without a credential. Compatible servers on this
// machine may want none.
func (r *reader) needAuth(path string, b Backend) {
	u, err := url.Parse(b.Endpoint)
	free := b.Kind == kindOpenAI && err == nil && isLoopback(u.Hostname())
	if _, written := r.places[path+".auth"]; !written && !free {
		r.fault(path+".auth", codeMissing, path+" has no auth", example("auth"))
	}
}

// checkProxy looks at the address of a proxy.
func (r *reader) checkProxy(path, proxy string) {
	const hint = "write http://HOST:PORT"
	if proxy == "" {
		return
	}
	u, err := url.Parse(proxy)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		r.fault(path, codeMalformed, "the proxy is not an http:// or https:// URL", hint)
	case u.User != nil:
		r.fault(path, codeMalformed, "the proxy holds a credential, which is not supported", hint)
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		r.fault(path, codeMalformed, "the proxy has a path, a query or a fragment", hint)
	case hostFault(u.Hostname()) != "":
		r.fault(path, codeEndpoint, strings.ReplaceAll(hostFault(u.Hostname()), "endpoint", "proxy"), hint)
	}
}

// checkCertificates looks at a file of certificates.
func (r *reader) checkCertificates(path, file string) {
	if file == "" {
		return
	}
	data, err := r.readFile(file)
	switch {
	case err != nil:
		r.fault(path, codeUnreadable, "the file cannot be read: "+reason(err), "")
	case !x509.NewCertPool().AppendCertsFromPEM(data):
		r.fault(path, codeMalformed, "the file holds no certificate in PEM", "it begins with -----BEGIN CERTIFICATE-----")
	}
}

// isToken reports whether text can stand in a header as a credential.
func isToken(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' })
}

// isVersion reports whether text is v1 or a dated version, perhaps a preview.
func isVersion(text string) bool {
	text = strings.TrimSuffix(text, "-preview")
	if text == "v1" || text == "preview" {
		return true
	}
	if len(text) != len("2024-10-21") || text[4] != '-' || text[7] != '-' {
		return false
	}
	_, err := strconv.ParseUint(text[:4]+text[5:7]+text[8:], 10, 32)
	return err == nil
}

// endpointFault says why an endpoint must not be called, and what to write
// instead. It does not quote the endpoint, which may hold a credential.
func endpointFault(kind, endpoint string) (message, hint string) {
	const azure = "write https://NAME.openai.azure.com"
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" || u.Opaque != "" || strings.Contains(endpoint, `\`) {
		return "the endpoint is not a URL", azure
	}
	if message, hint = urlFault(u); message != "" {
		return message, hint
	}
	if message = hostFault(u.Hostname()); message != "" {
		return message, azure
	}
	if p := u.Port(); p != "" && (!isPort(p) || p == "0") {
		return "the port of the endpoint is not one", azure
	}
	return pathFault(kind, u)
}

// urlFault says what is wrong with an endpoint apart from its host and path.
func urlFault(u *url.URL) (message, hint string) {
	const azure = "write https://NAME.openai.azure.com"
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return "the endpoint must begin with https://", azure
	case u.User != nil:
		return "the endpoint holds a credential", "put the key under auth.api_key"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "the endpoint has a query or a fragment", "end it before the ?, and put the version under api_version"
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return "plain http is for loopback addresses only", "write https://"
	default:
		return "", ""
	}
}

// hostFault says why a host must not be called.
func hostFault(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if a, err := netip.ParseAddr(host); err == nil {
		return addressFault(a.WithZone("").Unmap())
	}
	_, numeric := strconv.ParseUint(host[strings.LastIndexByte(host, '.')+1:], 0, 64)
	switch {
	case !isHost(host) || strings.HasPrefix(host, ".") || strings.Contains(host, ".."):
		return "the host of the endpoint is not a name"
	case numeric == nil:
		return "the host of the endpoint is a number that some systems read as an address"
	case host == "metadata" || strings.HasPrefix(host, "metadata.") || strings.HasPrefix(host, "instance-data"):
		return "the endpoint is a metadata service"
	default:
		return ""
	}
}

// addressFault says why an address must not be called.
func addressFault(a netip.Addr) string {
	services := []string{"168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254"}
	switch {
	case a.IsLinkLocalUnicast() || slices.Contains(services, a.String()):
		return "the endpoint is a link-local or metadata address"
	case a.IsUnspecified() || a.IsMulticast():
		return "the endpoint is not the address of a server"
	default:
		return ""
	}
}

// pathFault says what is wrong with the path of an endpoint.
func pathFault(kind string, u *url.URL) (message, hint string) {
	path := strings.ToLower(strings.TrimRight(u.Path, "/"))
	switch {
	case strings.Contains(u.EscapedPath(), "%"), strings.Contains(path, "//"), slices.Contains(strings.Split(path, "/"), ".."),
		slices.Contains(strings.Split(path, "/"), "."):
		return "the path of the endpoint holds dots, doubled slashes or escapes", "write it plainly, or leave it away"
	case strings.HasSuffix(path, "/chat/completions"):
		return "the endpoint goes too far: the gateway adds /chat/completions", "write the base URL alone"
	case kind == kindOpenAI:
		return "", ""
	case strings.HasSuffix(path, "/openai"), strings.HasSuffix(path, "/openai/v1"), strings.HasSuffix(path, "/v1"),
		strings.Contains(path, "/openai/deployments"):
		return "the endpoint goes too far: the gateway adds /openai and what follows", "write https://" + u.Host
	default:
		return "", ""
	}
}
