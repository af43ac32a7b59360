package config

import (
	"net"
	"strconv"
	"strings"
)

// AdminLocal reports whether the admin address is reached from this machine
// alone.
func (s Server) AdminLocal() bool {
	host, _, err := net.SplitHostPort(s.AdminListen)
	return err == nil && isLoopback(host)
}

// checkAdmin looks at who may use the admin address.
func (r *reader) checkAdmin(f *File) {
	const path, listen = "admin.token", "server.admin_listen"
	open := !f.Server.AdminLocal() && !r.faulty(listen)
	text := f.Admin.Token.Reveal()
	switch {
	case r.faulty(path):
	case text == "" && open:
		r.fault(listen, codeNoToken, "there is no admin.token, so usage and reload are refused to other machines; health and metrics are not",
			`add admin: { token: "${WEIR_ADMIN_TOKEN}" }, or listen on 127.0.0.1:8081`)
	case text == "":
	case !isToken(text):
		r.fault(path, codeMalformed, "the token holds spaces or characters that no header carries", "use letters, digits and punctuation of ASCII")
	case open && len(text) < shortestKey:
		r.fault(path, codeWeakKey, "the token is shorter than "+strconv.Itoa(shortestKey)+
			" characters, and the admin address is reached from other machines", "make a long one: openssl rand -hex 32")
	case !r.places[path].expanded:
		r.fault(path, codeLiteral, "a secret is written in the file",
			`put it into the environment and write "${WEIR_ADMIN_TOKEN}", or into a file and write "${file:/path}"`)
	}
}

// checkTelemetry looks at the logs and the alerts.
func (r *reader) checkTelemetry(f *File) {
	for i, path := range f.Telemetry.AccessLog.Exclude {
		if !strings.HasPrefix(path, "/") {
			at := item("telemetry.access_log.exclude", i)
			r.fault(at, codeMalformed, "a request path begins with /, not "+r.said(at, path), "")
		}
	}
	const path = "telemetry.alerts.webhook"
	u, ok := r.checkURL(path, f.Telemetry.Alerts.Webhook, []string{"https", "http"}, "write https://HOST/PATH")
	switch {
	case !ok:
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		r.fault(path, codeEndpoint, "plain http is for loopback addresses only", "write https://")
	case !alerts(f):
		r.fault(path, codeNever, "webhook can never apply: no team and no key has a budget with alerts", "add a budget, or remove it")
	}
}
