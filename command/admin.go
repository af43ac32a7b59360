package command

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/proxy"
	"weir/usage"
)

// maxAdminBody is the largest body that the admin port takes, in bytes.
const maxAdminBody = 64 << 10

// admin serves the admin port: health and metrics for everybody, and all else for
// those that the guard lets in.
func (g *Gateway) admin(metrics http.Handler) http.Handler {
	e := echo.New()
	e.HTTPErrorHandler = writeAdminError
	e.IPExtractor = func(r *http.Request) string { return callers(g.now.Load().file)(r) }
	free := map[string]bool{}
	everybody := func(path string, h echo.HandlerFunc) {
		free[path] = true
		e.GET(path, func(c echo.Context) error {
			if f, r := g.now.Load().file, c.Request(); f.Admin.Token == "" && f.Server.AdminLocal() && local(r.RemoteAddr) && r.Host != "" && !named(r.Host, f.Server.AdminListen) {
				return misnamed() // a browser here, which always says a Host, would read it for a page
			}
			return h(c)
		})
	}
	// What is not named free is guarded, also what is not there at all.
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		guarded := g.guard(next)
		return func(c echo.Context) error {
			if free[c.Path()] {
				return next(c)
			}
			return guarded(c)
		}
	})
	everybody("/livez", g.gate.livez)
	for _, path := range []string{"/readyz", "/healthz"} {
		everybody(path, func(c echo.Context) error {
			if c.QueryParams().Has("verbose") {
				return g.verbose(c)
			}
			return g.gate.readyz(c)
		})
	}
	everybody("/metrics", echo.WrapHandler(metrics))
	e.GET("/admin/v1/usage", g.usage)
	e.POST("/admin/v1/reload", g.reload)
	g.showDashboard(e, free)
	return e
}

// guard lets in who may use the admin endpoints, with a body of a bounded size.
func (g *Gateway) guard(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r, h := c.Request(), c.Response().Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if err := g.admit(r); err != nil {
			return err
		}
		if r.ContentLength > maxAdminBody {
			return tooLarge()
		}
		r.Body = http.MaxBytesReader(c.Response(), r.Body, maxAdminBody)
		return next(c)
	}
}

// admit returns why a request may not use the admin endpoints, nil where it may,
// by the configuration of now.
func (g *Gateway) admit(r *http.Request) error {
	f := g.now.Load().file
	if err := admit(r, f.Admin.Token.Reveal(), f.Server.AdminListen); err != nil {
		return err
	}
	return nil
}

// admit returns why a request may not use the admin endpoints, nil where it may. A
// token is asked for from everywhere. Without one only this machine is let in, and
// no page of another site that a browser here has open: neither by a request across
// sites nor under a name that it made point here.
func admit(r *http.Request, token, listen string) *openai.Error {
	switch {
	case foreign(r, token != ""):
		return elsewhere()
	case token != "" && !presents(r, token):
		return &openai.Error{
			Status: http.StatusUnauthorized, Code: openai.CodeInvalidAPIKey,
			Message: "The admin token is missing or wrong. Send Authorization: Bearer and the token that admin.token holds.",
		}
	case token != "":
		return nil
	default:
		return here(r, listen)
	}
}

// here returns why a request may not use what has no token, nil where it may.
func here(r *http.Request, listen string) *openai.Error {
	switch {
	case !local(r.RemoteAddr):
		return &openai.Error{
			Status: http.StatusForbidden, Code: openai.CodeAdminForbidden,
			Message: "There is no admin.token, so only callers over loopback are let in. Call from the machine itself, or have admin.token set.",
		}
	case !named(r.Host, listen):
		return misnamed()
	default:
		return nil
	}
}

// misnamed refuses a caller on this machine that calls it by a name which others may
// have made lead here.
func misnamed() *openai.Error {
	return &openai.Error{
		Status: http.StatusForbidden, Code: openai.CodeAdminForbidden,
		Message: "The Host header has a name that is not the admin address's own. Call by an IP address, as localhost, or by the host of server.admin_listen, or have admin.token set.",
	}
}

// foreign reports whether a browser says that a page from elsewhere has sent r. A
// proxy with a certificate may stand before an admin address with a token.
func foreign(r *http.Request, secure bool) bool {
	sites, origins := r.Header.Values("Sec-Fetch-Site"), r.Header.Values("Origin")
	return slices.ContainsFunc(sites, func(site string) bool { return site != "same-origin" && site != "none" }) ||
		slices.ContainsFunc(origins, func(origin string) bool {
			return !strings.EqualFold(origin, "http://"+r.Host) && (!secure || !strings.EqualFold(origin, "https://"+r.Host))
		})
}

// presents reports whether r has the token. How long it takes says nothing of it.
func presents(r *http.Request, token string) bool {
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	a, b := sha256.Sum256([]byte(strings.TrimSpace(given))), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}

// local reports whether the address of a peer is a loopback one.
func local(peer string) bool {
	a, err := netip.ParseAddrPort(peer)
	return err == nil && a.Addr().IsLoopback()
}

// named reports whether no name that others may point anywhere is in a Host header:
// it is an IP address, localhost, or the host of the address that is listened at.
func named(host, listen string) bool {
	name := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	own, _, err := net.SplitHostPort(listen)
	return strings.EqualFold(name, "localhost") || err == nil && own != "" && strings.EqualFold(name, own)
}

func tooLarge() *openai.Error {
	return &openai.Error{Status: http.StatusRequestEntityTooLarge, Code: openai.CodeRequestTooLarge, Message: fmt.Sprintf(
		"The body is larger than %d bytes, which is the most that the admin address takes. Send less.", maxAdminBody)}
}

// writeAdminError writes an error as proxy.WriteError does, in the words of the
// admin port.
func writeAdminError(err error, c echo.Context) {
	if routing, ok := errors.AsType[*echo.HTTPError](err); ok && routing.Code == http.StatusNotFound {
		err = &openai.Error{Status: http.StatusNotFound, Code: openai.CodeUnknownURL, Message: fmt.Sprintf(
			"There is nothing at %s %.100q. The admin port has the dashboard at /, and /livez, /readyz, /metrics and /admin/v1/usage.", c.Request().Method, c.Request().URL.Path)}
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		err = tooLarge()
	}
	proxy.WriteError(err, c)
}

// verbose answers whether new requests are taken, and with what they meet.
func (g *Gateway) verbose(c echo.Context) error {
	type deployment struct {
		Deployment string   `json:"deployment"`
		Breaker    string   `json:"breaker"`
		Rest       float64  `json:"rest_ms"`
		InFlight   int      `json:"in_flight"`
		Model      string   `json:"model,omitempty"`
		Learned    []string `json:"learned,omitempty"`
	}
	state := g.gate.state()
	deployments := []deployment{}
	for _, s := range g.Pool().States() {
		deployments = append(deployments, deployment{s.Deployment, s.Breaker, float64(s.Rest.Microseconds()) / 1000, s.InFlight, s.Model, s.Learned})
	}
	return c.JSONPretty(readiness(state), map[string]any{
		"state": state, "limits": g.state.limitsState(), "ledger": g.ledgerState(c.Request()), "configuration": g.reloaded(c.Request()),
		"deployments": deployments, "token_counts": g.state.counts.All(),
	}, "  ")
}

// ledgerState returns how the ledger fares. The words of its database are for those
// alone who may use the admin endpoints: they may name hosts and users.
func (g *Gateway) ledgerState(r *http.Request) usage.LedgerState {
	s := g.state.ledger.State()
	if g.admit(r) != nil {
		s.Error = ""
	}
	return s
}
