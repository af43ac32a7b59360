package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

func (r *reader) checkServer(s *Server) {
	if !r.checkListen("server.listen", s.Listen, true) {
		s.Listen = "127.0.0.1:0" // so that nothing is said of who could reach it
	}
	taken := s.Listen == s.AdminListen && !strings.HasSuffix(s.Listen, ":0") // port 0 is another one each time
	if r.checkListen("server.admin_listen", s.AdminListen, false) && taken {
		r.fault("server.admin_listen", codeContradict, "admin_listen is the same address as listen", "give it a port of its own")
	}
	switch t := s.TLS; {
	case t.CertFile != "" && t.KeyFile == "":
		r.fault("server.tls.key_file", codeMissing, "server.tls has a cert_file and no key_file", "add key_file: /path/tls.key")
	case t.CertFile == "" && t.KeyFile != "":
		r.fault("server.tls.cert_file", codeMissing, "server.tls has a key_file and no cert_file", "add cert_file: /path/tls.crt")
	}
}

// checkListen reports whether listen is an address to listen on.
func (r *reader) checkListen(path, listen string, socket bool) bool {
	if name, ok := strings.CutPrefix(listen, "unix:"); ok && socket {
		if !strings.HasPrefix(name, "/") {
			r.fault(path, codeMalformed, "unix: needs an absolute path", "write unix:/run/weir.sock")
		}
		return strings.HasPrefix(name, "/")
	}
	host, port, err := net.SplitHostPort(listen)
	if err == nil && isPort(port) && (host == "" || isHost(host)) {
		return true
	}
	hint := "write 127.0.0.1:8080, or :8080 for every interface"
	if isPort(listen) && !r.places[path].expanded {
		hint = "write :" + listen + " for every interface, or 127.0.0.1:" + listen
	}
	r.fault(path, codeMalformed, last(path)+" must be host:port, not "+r.said(path, listen), hint)
	return false
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

// isHost reports whether host is an address or looks like a name.
func isHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return len(host) <= 253 && !strings.ContainsFunc(host, func(c rune) bool {
		return c != '-' && c != '.' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	})
}

// Local reports whether the API is reached from this machine alone: on a
// loopback address or a Unix socket.
func (s Server) Local() bool {
	if strings.HasPrefix(s.Listen, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(s.Listen)
	return err == nil && isLoopback(host)
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

func (r *reader) checkBackend(path string, b *Backend) {
	if b.Endpoint != "" {
		if message, hint := endpointFault(b.Endpoint); message != "" {
			r.fault(path+".endpoint", codeEndpoint, message, hint)
		}
	}
	if !isVersion(b.APIVersion) {
		r.fault(path+".api_version", codeMalformed,
			"api_version must be v1 or a date, not "+r.said(path+".api_version", b.APIVersion),
			"write v1, 2024-10-21 or 2025-04-01-preview")
	}
	r.checkAuth(path+".auth", &b.Auth)
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
func endpointFault(endpoint string) (message, hint string) {
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
	return pathFault(u)
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
func pathFault(u *url.URL) (message, hint string) {
	path := strings.ToLower(strings.TrimRight(u.Path, "/"))
	switch {
	case strings.Contains(u.EscapedPath(), "%"), strings.Contains(path, "//"), slices.Contains(strings.Split(path, "/"), ".."),
		slices.Contains(strings.Split(path, "/"), "."):
		return "the path of the endpoint holds dots, doubled slashes or escapes", "write it plainly, or leave it away"
	case strings.HasSuffix(path, "/openai"), strings.HasSuffix(path, "/openai/v1"), strings.HasSuffix(path, "/v1"),
		strings.Contains(path, "/openai/deployments"), strings.HasSuffix(path, "/chat/completions"):
		return "the endpoint goes too far: the gateway adds /openai and what follows", "write https://" + u.Host
	default:
		return "", ""
	}
}
