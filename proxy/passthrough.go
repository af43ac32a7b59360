package proxy

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/quota"
	"weir/usage"
)

// passageRoutes adds the paths that are handed on, each with all below it.
func (g *Gateway) passageRoutes(e *echo.Echo, m ...echo.MiddlewareFunc) {
	for _, p := range g.cfg.Passages {
		for _, base := range []string{"/v1/", "/", "/openai/v1/", "/openai/"} {
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
				if len(p.Methods) == 0 || p.Methods[method] {
					e.Add(method, base+p.Path, g.handOn(p), m...)
					e.Add(method, base+p.Path+"/*", g.handOn(p), m...)
				}
			}
		}
	}
}

// handOn returns what serves the requests for a passage. Nothing of one is read
// but what says where it goes.
func (g *Gateway) handOn(p Passage) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		rec := usage.From(r.Context())
		team := g.cfg.Teams[rec.Team]
		if err := p.open(team); err != nil {
			rec.Outcome = usage.RefusedPolicy
			return err
		}
		path, err := p.below(r.URL, c.Path())
		if err != nil {
			return err
		}
		if asksWhy(r) {
			return openai.BadRequest(openai.CodeInvalidValue, "x-weir-explain", "What is handed on as it is cannot be explained: nothing of it is read. Leave x-weir-explain away.")
		}
		call, err := g.handed(r, team, p, path)
		if err != nil {
			return err
		}
		kind, err := g.expectAny(c)
		if err != nil {
			return err
		}
		entry, err := g.admit(c, openai.Passages)
		if err != nil {
			return err
		}
		defer entry.Settle(quota.Cost{}) // of what never got so far as to be settled
		body, err := g.take(c, kind, call)
		if err != nil {
			return err
		}
		defer body.release()
		d := &decision{operation: openai.Passages, free: true, team: team.Name, metered: r.Method != http.MethodGet, entry: entry}
		return g.forward(c, team, d, call, body.release)
	}
}

// open returns why a team may not call the passage, nil where it may.
func (p *Passage) open(team Team) error {
	closed := func(why string) error {
		return &openai.Error{Status: http.StatusForbidden, Code: openai.CodePathNotAllowed, Message: fmt.Sprintf("Team %q may not call %s: %s", team.Name, p.Path, why)}
	}
	switch {
	case len(p.Teams) > 0 && !p.Teams[team.Name]:
		return closed("it is not one of the path's teams. Have it added to teams of the path, below passthrough.")
	case len(team.Regions) > 0 && !slices.Contains(team.Regions, p.Resource.Region):
		return closed(fmt.Sprintf("what answers there is in none of the team's regions, %s. Have the path served by a backend in one of them.", strings.Join(team.Regions, ", ")))
	case !slices.ContainsFunc(p.Resource.Models, team.uses):
		return closed("it may use none of the models of the backend that answers there. Have one of them added to the team's models.")
	}
	return nil
}

// below returns the path that a request is for, below an API's base and escaped
// anew: it is the passage's own, or one below that, whoever reads it.
func (p *Passage) below(u *url.URL, route string) (string, error) {
	raw := u.RawPath
	if raw == "" {
		raw = u.EscapedPath()
	}
	rest, ok := strings.CutPrefix(raw, strings.TrimSuffix(route, "/*"))
	rest, slash := strings.CutPrefix(rest, "/")
	if !ok || slash != strings.HasSuffix(route, "/*") {
		return "", badPath()
	}
	if !slash {
		return p.Path, nil
	}
	steps := []string{p.Path}
	for step := range strings.SplitSeq(rest, "/") {
		plain, err := url.PathUnescape(step)
		if err != nil || !plainStep(plain) {
			return "", badPath()
		}
		steps = append(steps, url.PathEscape(plain))
	}
	return strings.Join(steps, "/"), nil
}

// plainStep reports whether a step of a path is one step to every reader, whatever
// it unescapes, cuts off or cleans once more.
func plainStep(step string) bool {
	const most = 256
	return len(step) <= most && utf8.ValidString(step) && strings.Trim(step, ". ") != "" &&
		!strings.ContainsAny(step, `/\%;`) && !strings.ContainsFunc(step, isControl)
}

func badPath() error {
	return openai.BadRequest(openai.CodeInvalidValue, "", "The path holds what it may not: steps that are empty or dots, or escaped slashes, percent signs, semicolons or control characters. Write it plainly.")
}

// handed returns the call of a request for a passage.
func (g *Gateway) handed(r *http.Request, team Team, p Passage, path string) (*openai.Call, error) {
	query, err := unversioned(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	call := callOf(r, team.share(usage.From(r.Context()).Key), team.Regions)
	call.Request = &openai.Request{Operation: openai.Passages, Stored: r.Method != http.MethodGet, Choices: 1}
	call.Passage = &openai.Passage{Method: r.Method, Path: path, Query: query, Header: beta(r.Header), Version: p.Version, Raw: true}
	call.Only = p.Resource.Name
	g.carried(call, team, p.Resource)
	return call, nil
}

// carried lets a call go by a model of the resource that the team may use: one that
// can take it now, or else the first.
func (g *Gateway) carried(call *openai.Call, team Team, r Resource) {
	first := ""
	for _, name := range r.Models {
		if !team.uses(name) {
			continue
		}
		if first == "" {
			first = name
		}
		call.Model = name
		if slices.ContainsFunc(g.cfg.Upstream.Candidates(call), func(c openai.Candidate) bool { return c.Chosen }) {
			return
		}
	}
	call.Model = first
}

// unversioned returns a query without its api-version, which each resource has of
// its own.
func unversioned(raw string) (string, error) {
	if err := acceptableQuery(raw); err != nil {
		return "", err
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return "", openai.BadRequest(openai.CodeInvalidValue, "", "The query cannot be read.")
	}
	for name := range query {
		if strings.EqualFold(name, "api-version") {
			delete(query, name)
		}
	}
	return query.Encode(), nil
}

// beta returns the header by which clients ask for what is not finished.
func beta(h http.Header) map[string][]string {
	if v := h.Values("OpenAI-Beta"); len(v) > 0 {
		return map[string][]string{"Openai-Beta": v}
	}
	return nil
}
