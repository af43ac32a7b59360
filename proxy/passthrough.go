package proxy

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"weir/openai"
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
		body, err := g.take(c, call)
		if err != nil {
			return err
		}
		defer body.release()
		d := &decision{operation: openai.Passages, free: true, team: team.Name, metered: r.Method != http.MethodGet}
		return g.forward(c, team, d, call, body.release)
	}
}

// open returns why a team may not call the passage, nil where it may.
func (p *Passage) open(team Team) error {
	closed := func(why string) error {
		return &openai.Error{Status: http.StatusForbidden, Code: openai.CodePathNotAllowed, Message: fmt.Sprintf("Team %q may not call %s: %s", team.Name, p.Path, why)}
	}
	usable := func(model string) bool { return team.Models == nil || team.Models[model] }
	switch {
	case len(p.Teams) > 0 && !p.Teams[team.Name]:
		return closed("it is not one of the path's teams. Have it added to teams of the path, below passthrough.")
	case len(team.Regions) > 0 && !slices.Contains(team.Regions, p.Resource.Region):
		return closed(fmt.Sprintf("what answers there is in none of the team's regions, %s. Have the path served by a backend in one of them.", strings.Join(team.Regions, ", ")))
	case !slices.ContainsFunc(p.Resource.Models, usable):
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
	call := &openai.Call{
		Request: &openai.Request{Operation: openai.Passages, Stored: r.Method != http.MethodGet, Choices: 1},
		Passage: &openai.Passage{Method: r.Method, Path: path, Query: query, Header: beta(r.Header), Version: p.Version, Raw: true},
		Only:    p.Resource.Name, Header: forwarded(r.Header), Share: team.share(usage.From(r.Context()).Key),
		Retries: usage.From(r.Context()).Retry, Within: patience(r.Header), Regions: team.Regions, Bearer: bearer(r.Header),
	}
	g.carried(call, team, p.Resource)
	return call, nil
}

// carried lets a call go by a model of the resource that the team may use: one that
// can take it now, or else the first. It reports whether there is one.
func (g *Gateway) carried(call *openai.Call, team Team, r Resource) bool {
	first := ""
	for _, name := range r.Models {
		if team.Models != nil && !team.Models[name] {
			continue
		}
		if first == "" {
			first = name
		}
		call.Model = name
		if slices.ContainsFunc(g.cfg.Upstream.Candidates(call), func(c openai.Candidate) bool { return c.Chosen }) {
			return true
		}
	}
	call.Model = first
	return first != ""
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

// upload is a body that a client has sent, whatever it is.
type upload struct {
	spool
	held *place
}

// release lets go of the body. It may be called more than once.
func (u *upload) release() {
	u.held.release()
	_ = u.Close() // nothing more is read of it
}

// take reads a request's body to its end, and lets the call send it anew with each
// attempt, unless there is none. What comes with a GET is not sent.
func (g *Gateway) take(c echo.Context, call *openai.Call) (*upload, error) {
	r := c.Request()
	kind, err := bodyType(r)
	if err != nil {
		leave(c)
		return nil, err
	}
	src, err := g.incoming(c)
	if err != nil {
		return nil, err
	}
	held, err := g.hold(c, heldUpload)
	if err != nil {
		return nil, err
	}
	body := &upload{spool: spool{up: &g.cfg.Uploads}, held: held}
	into := io.Writer(&body.spool)
	if r.Method == http.MethodGet {
		into = io.Discard
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{into}, src, make([]byte, 32<<10)); err != nil {
		body.release()
		leave(c)
		return nil, cutBody(err)
	}
	if size := body.size; size > 0 {
		call.Passage.Body = func(string) (io.ReadCloser, string, int64, error) {
			return io.NopCloser(body.section(0, size)), kind, size, nil
		}
	}
	return body, nil
}

// cutBody returns what reading a body failed with, which need not be JSON.
func cutBody(err error) error {
	if e, ok := errors.AsType[*openai.Error](err); ok && e.Code == openai.CodeInvalidJSON {
		return openai.BadRequest(openai.CodeInvalidValue, "", e.Message)
	}
	return err
}

// bodyType returns the type of a request's body as it may be sent on.
func bodyType(r *http.Request) (string, error) {
	refused := func(message string) (string, error) {
		return "", &openai.Error{Status: http.StatusUnsupportedMediaType, Code: openai.CodeMediaType, Message: message}
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return refused("Content-Encoding must be identity. Send the body uncompressed.")
	}
	given := r.Header.Values("Content-Type")
	if len(given) == 0 {
		return "application/octet-stream", nil
	}
	if _, _, err := mime.ParseMediaType(given[0]); err != nil || len(given) > 1 {
		return refused("Content-Type cannot be read, or there are several. Send one, such as application/json.")
	}
	return given[0], nil
}

// mostGlimpsed is how long an answer may be that is looked at for what it used.
const mostGlimpsed = 1 << 20

// glimpse is the copy of an answer that is handed on.
type glimpse struct {
	seen []byte
	over bool // it is too long to be read
}

// Write adds to the copy.
func (s *glimpse) Write(b []byte) (int, error) {
	if s.over = s.over || len(s.seen)+len(b) > mostGlimpsed; s.over {
		s.seen = nil
		return len(b), nil
	}
	s.seen = append(s.seen, b...)
	return len(b), nil
}

// glimpsed returns an answer that is handed on, of which what is read is copied too
// where it is JSON.
func (d *decision) glimpsed(a *openai.Answer) (io.Reader, *glimpse) {
	kind, _, _ := mime.ParseMediaType(http.Header(a.Header).Get("Content-Type"))
	if !d.metered || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return a.Content, &glimpse{over: true}
	}
	s := new(glimpse)
	return io.TeeReader(a.Content, s), s
}

// charge notes what an answer says that it used: the tokens, and their price where
// it names a model that is configured.
func (g *Gateway) charge(rec *usage.Record, s *glimpse) {
	if s.over {
		return
	}
	f, err := openai.ReadAnswer(s.seen)
	if err != nil || !f.HasUsage {
		return
	}
	u := f.Usage
	rec.Input, rec.Output, rec.Cached, rec.Reasoning = max(0, u.Prompt), max(0, u.Completion), max(0, u.Cached), max(0, u.Reasoning)
	name, ok := g.cfg.Names.find(f.Model)
	if i := len(f.Model) - len("-2024-11-20"); !ok && i > 0 { // a model's version
		name, ok = g.cfg.Names.find(f.Model[:i])
	}
	if ok {
		model := g.cfg.Models[name]
		rec.Model = name
		rec.Cost = model.price(rec).Cost(rec.Input, rec.Cached, rec.Output, rec.Reasoning)
	}
}
