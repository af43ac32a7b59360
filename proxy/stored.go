package proxy

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/usage"
)

// What ids begin with: of responses, and what stands before reasoning that only the
// resource can read which wrote it; of files, where upstream's own begin otherwise
// than ids do; of batches; of stored chats.
const (
	responseKind = "resp_"
	sealedKind   = "enc_"
	fileKind     = "file-"
	batchKind    = "batch_"
	chatKind     = "chatcmpl-"
)

// owner is who keeps something: the deployment that made it, or the backend that any
// team's things are with, and a model that is asked for to get there.
type owner struct {
	deployment string // as Signer knows it
	model      string
}

// storedRoutes adds the paths of responses that upstream keeps.
func (g *Gateway) storedRoutes(e *echo.Echo, m ...echo.MiddlewareFunc) {
	for _, base := range bases() { // LangChain names a deployment before any path of responses
		base += "responses/:id"
		e.GET(base, g.stored(""), m...)
		e.DELETE(base, g.stored(""), m...)
		e.POST(base+"/cancel", g.stored("/cancel"), m...)
		e.GET(base+"/input_items", g.stored("/input_items"), m...)
	}
}

// resourceBases returns what stands before the paths of what no deployment is named
// for.
func resourceBases() []string { return []string{"/v1/", "/", "/openai/v1/", "/openai/"} }

// stored returns what serves the requests for a response that was kept, or for
// what of it rest names.
func (g *Gateway) stored(rest string) echo.HandlerFunc {
	return func(c echo.Context) error {
		rec := usage.From(c.Request().Context())
		team, err := g.caller(c)
		if err != nil {
			return err
		}
		o, id, err := g.keeper(team, c.Param("id"))
		if err != nil {
			return err
		}
		rec.Model = o.model
		names := []string{"include", "include[]", "limit", "order", "after"}
		if rest == "" && c.Request().Method == http.MethodGet { // nothing else is ever streamed
			names = append(names, "stream", "starting_after", "include_obfuscation")
		}
		query, err := passable(c.Request().URL.RawQuery, names...)
		if err != nil {
			return err
		}
		streamed, err := asStreamed(query)
		if err != nil {
			return err
		}
		if err := g.ignoreBody(c); err != nil {
			return err
		}
		call := g.passage(c, team, o, openai.Responses, &openai.Passage{
			Path: "responses/" + url.PathEscape(id) + rest, Query: query.Encode(), Kept: true, Behind: query.Has("starting_after"),
		})
		call.Request.Stream, rec.Stream = streamed, streamed
		model, _ := g.model(o.model)
		d := &decision{
			operation: openai.Responses, model: model, free: true, team: team.Name, stream: streamed,
			ids: g.responseIDs(team.Name), names: map[string]string{id: c.Param("id")},
		}
		return g.forward(c, team, d, call, func() {})
	}
}

// asStreamed reads whether a query asks for a stream, and writes it there once and in
// the one way that every reader takes for the same.
func asStreamed(query url.Values) (bool, error) {
	given := query.Get("stream")
	query.Del("stream")
	if given == "" {
		return false, nil
	}
	on, err := strconv.ParseBool(given)
	if err != nil {
		return false, openai.BadRequest(openai.CodeInvalidType, "stream", "stream must be true or false.")
	}
	query.Set("stream", strconv.FormatBool(on))
	return on, nil
}

// keeper returns who keeps the response that a client knows under an id, and the id
// that it has there.
func (g *Gateway) keeper(team Team, id string) (owner, string, error) {
	name, upstream, ok := g.cfg.Signer.Open(team.Name, id)
	model, served := g.maker(name)
	if !ok || !served || !strings.HasPrefix(id, responseKind) || !team.uses(model) {
		return owner{}, "", missing("response", id)
	}
	return owner{deployment: name, model: model}, upstream, nil
}

// missing says that an id is none that the team was given.
func missing(noun, id string) *openai.Error {
	return &openai.Error{
		Status: http.StatusNotFound, Code: openai.CodeNotFound, Param: "id",
		Message: fmt.Sprintf("The %s %s does not exist, or is not your team's. Send an id that this gateway gave to one of your team's keys.", noun, shown(id)),
	}
}

// maker returns the model that a deployment serves. One that nobody configured is
// served by Any, which calls the model as the deployment is called.
func (g *Gateway) maker(name string) (model string, ok bool) {
	if model, ok = g.cfg.Owners[name]; ok || g.cfg.Any == nil {
		return model, ok
	}
	_, model, _ = strings.Cut(name, "/")
	return model, deploymentLike(model)
}

// passage returns the call of a request for something that is kept. What is not
// merely read is not sent again once upstream may have done it.
func (g *Gateway) passage(c echo.Context, team Team, o owner, op openai.Operation, p *openai.Passage) *openai.Call {
	r := c.Request()
	rec := usage.From(r.Context())
	p.Method = r.Method
	call := callOf(r, team.share(rec.Key), team.Regions)
	call.Request = &openai.Request{Operation: op, Stored: r.Method != http.MethodGet, Choices: 1}
	call.Passage, call.Model, call.Only = p, o.model, o.deployment
	if i := slices.IndexFunc(g.cfg.Backends, func(r Resource) bool { return r.Name == o.deployment && len(r.Models) > 0 }); i >= 0 {
		g.carried(call, team, g.cfg.Backends[i])
	}
	return call
}

// passable returns what goes along of a query: the parameters that the API has.
func passable(raw string, names ...string) (url.Values, error) {
	if err := acceptableQuery(raw); err != nil {
		return nil, err
	}
	given, err := url.ParseQuery(raw)
	if err != nil {
		return nil, openai.BadRequest(openai.CodeInvalidValue, "", "The query cannot be read.")
	}
	kept := url.Values{}
	for _, name := range names {
		if v, ok := given[name]; ok {
			kept[name] = v
		}
	}
	return kept, nil
}

// responseIDs returns what makes of the ids in what upstream says of responses those
// that the team knows.
func (g *Gateway) responseIDs(team string) func(root openai.Value, from string) []openai.Edit {
	return func(root openai.Value, from string) []openai.Edit {
		var edits []openai.Edit
		give := func(v openai.Value) {
			if id := v.Text(); strings.HasPrefix(id, responseKind) {
				edits = append(edits, v.Replace(openai.Quote(g.cfg.Signer.Sign(responseKind, team, from, id))))
			}
		}
		seal := func(item openai.Value) {
			if v := item.Get("encrypted_content"); v.Kind() == openai.String {
				tag := g.cfg.Signer.Sign(sealedKind, team, from, "")
				edits = append(edits, v.Replace(openai.Quote(tag+"."+v.Text())))
			}
		}
		for _, at := range []openai.Value{root, root.Get("response")} {
			give(at.Get("id"))
			give(at.Get("previous_response_id"))
			for _, item := range at.Get("output").Elements() {
				seal(item)
			}
		}
		give(root.Get("response_id"))
		seal(root.Get("item"))
		for _, item := range root.Get("data").Elements() {
			seal(item)
		}
		return slices.Clip(edits)
	}
}
