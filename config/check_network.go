package config

import (
	"net"
	"net/netip"
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
