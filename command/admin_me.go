package command

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"weir/dashboard"
	"weir/middleware"
	"weir/openai"
	"weir/proxy"
	"weir/quota"
	"weir/usage"
)

// showMe serves on the admin port what the holder of a key is told: for the key,
// and not for the token, and to no page of another site. What is told without a key,
// where callers need none, is for those alone who may use the admin endpoints.
func (g *Gateway) showMe(e *echo.Echo, free map[string]bool) {
	own := func(path string, h echo.HandlerFunc) {
		free[path] = true
		e.GET(path, func(c echo.Context) error {
			r := c.Request()
			if foreign(r, g.now.Load().file.Admin.Token.Reveal() != "") && !arrives(r, dashboard.MePath) {
				return elsewhere()
			}
			return h(c)
		})
	}
	own(dashboard.MePath, func(c echo.Context) error {
		r, now := c.Request(), g.now.Load()
		c.SetRequest(r.WithContext(usage.With(r.Context(), &usage.Record{})))
		if g.admit(r) != nil {
			return now.keyed(c)
		}
		return now.me(c)
	})
	own(dashboard.MePath+"/*", echo.WrapHandler(dashboard.MePage()))
}

// meRoutes serves the same on the API port.
func meRoutes(e *echo.Echo, me echo.HandlerFunc) {
	e.GET(dashboard.MePath, me)
	e.GET(dashboard.MePath+"/*", echo.WrapHandler(dashboard.MePage()))
}

// me returns what answers the holder of a key, by the configuration that keys are
// of. A browser that brings no key is given a page that asks for it.
func (g *Gateway) me(next *serving, keys middleware.Keys, open *middleware.Caller) echo.HandlerFunc {
	told := middleware.Auth(keys, open, g.state.throttle)(func(c echo.Context) error {
		rec := usage.From(c.Request().Context())
		c.Response().Header().Set("Cache-Control", "no-store")
		return c.JSON(http.StatusOK, g.meOf(c.Request().Context(), next, rec.Team, rec.Key))
	})
	return func(c echo.Context) error {
		h := c.Request().Header
		c.Response().Header().Set("Vary", "Accept, Authorization, Api-Key")
		if wantsPage(h) && h.Get("Authorization") == "" && h.Get("Api-Key") == "" {
			dashboard.MePage().ServeHTTP(c.Response(), c.Request())
			return nil
		}
		return told(c)
	}
}

// wantsPage reports whether a client is a browser that shows pages.
func wantsPage(h http.Header) bool {
	return slices.ContainsFunc(h.Values("Accept"), func(v string) bool { return strings.Contains(v, "text/html") })
}

// meOf returns what a key's holder is told: what is its team's, or its own.
func (g *Gateway) meOf(ctx context.Context, now *serving, name, key string) dashboard.Me {
	at := time.Now()
	me := g.board.Me(name, key, at)
	team := now.teams[name]
	me.Owner = team.Owner
	own := slices.DeleteFunc(team.Accounts(), func(a quota.Account) bool {
		_, of := proxy.Holder(a.ID)
		return of != "" && of != key
	})
	me.Limits = g.limitsShown(ctx, own)
	me.Models = now.proxy.Models(name)
	utc := at.UTC()
	me.Period.Since = time.Date(utc.Year(), utc.Month(), 1, 0, 0, 0, 0, time.UTC)
	ctx, cancel := context.WithTimeout(ctx, usagePatience)
	defer cancel()
	sums, err := g.state.ledger.Usage(ctx, usage.Query{Since: me.Period.Since, By: []string{"key"}, Team: name, Key: key})
	if err != nil {
		g.log.Error("usage could not be read", "reason", err.Error())
		return me
	}
	for i := range sums {
		if s := &sums[i]; s.Key == key {
			me.Period = dashboard.PeriodSums{
				Since: me.Period.Since, Requests: s.Requests, Refused: s.Refused, Errors: s.Errors, Input: s.Input, Output: s.Output, Cost: s.Cost.Dollars(),
			}
		}
	}
	return me
}

// elsewhere returns the refusal of what a page of another site has sent.
func elsewhere() *openai.Error {
	return &openai.Error{
		Status: http.StatusForbidden, Code: openai.CodeAdminForbidden,
		Message: "A page of another site has sent this. Send it from the admin address itself, or from a program.",
	}
}
