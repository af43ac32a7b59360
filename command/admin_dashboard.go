package command

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"weir/dashboard"
	"weir/openai"
)

// showDashboard serves the dashboard on the admin port: its page to every browser
// that may reach the port, and what it shows to those that the guard lets in. What
// has its own guard is put into free.
func (g *Gateway) showDashboard(e *echo.Echo, free map[string]bool) {
	wanted := func(h http.Handler) echo.HandlerFunc {
		return func(c echo.Context) error {
			if !g.now.Load().file.Admin.Dashboard {
				return echo.ErrNotFound
			}
			h.ServeHTTP(c.Response(), c.Request())
			return nil
		}
	}
	for _, path := range []string{"/", "/assets/*"} {
		free[path] = true
		e.GET(path, g.guardPage(wanted(dashboard.Page())))
	}
	routes := g.board.Routes()
	for _, route := range slices.Sorted(maps.Keys(routes)) {
		method, path, _ := strings.Cut(route, " ")
		e.Add(method, path, wanted(routes[route]))
	}
	g.showMe(e, free)
}

// guardPage lets in who may see the page, which holds no data: without a token whom
// the guard lets in, with one everybody, and in both cases whoever follows a link
// from elsewhere to the page itself.
func (g *Gateway) guardPage(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		f := g.now.Load().file
		if err := admitPage(c.Request(), f.Admin.Token.Reveal() != "", f.Server.AdminListen); err != nil {
			return err
		}
		return next(c)
	}
}

// admitPage returns why a request may not see the page, nil where it may. Secure is
// that there is a token.
func admitPage(r *http.Request, secure bool, listen string) *openai.Error {
	switch {
	case foreign(r, secure) && !arrives(r, "/"):
		return elsewhere()
	case secure:
		return nil
	default:
		return here(r, listen)
	}
}

// arrives reports whether a browser says that somebody has followed a link, typed
// an address or the like, to see the page at path in a window of its own. What a
// script of another site sends, or what a frame of it shows, does not arrive so.
func arrives(r *http.Request, path string) bool {
	only := func(name, value string) bool {
		is := r.Header.Values(name)
		return len(is) == 1 && is[0] == value
	}
	return r.Method == http.MethodGet && r.URL.Path == path && len(r.Header.Values("Origin")) == 0 &&
		only("Sec-Fetch-Mode", "navigate") && only("Sec-Fetch-Dest", "document")
}

// refuseBoard writes the dashboard's refusals as all errors are written.
func refuseBoard(w http.ResponseWriter, _ *http.Request, p *dashboard.Problem) {
	e := &openai.Error{Status: p.Status, Param: p.Param, Message: p.Message, Code: openai.CodeInvalidValue}
	switch p.Status {
	case http.StatusNotFound:
		e.Code = openai.CodeNotFound
	case http.StatusRequestEntityTooLarge:
		e.Code = openai.CodeRequestTooLarge
	case http.StatusTooManyRequests:
		e.Code = openai.CodeOverloaded
	case http.StatusInternalServerError:
		e.Code = openai.CodeInternal
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(e.Envelope()) // a client that is gone sees nothing
}
