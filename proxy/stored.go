package proxy

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/usage"
)

// responseKind is what the ids of responses begin with, and sealedKind what stands
// before reasoning that only the resource can read which wrote it.
const (
	responseKind = "resp_"
	sealedKind   = "enc_"
)

// owner is the deployment that something was kept by, with the model it serves.
type owner struct {
	deployment string // as Signer knows it
	model      string
}

// storedRoutes adds the paths of responses that upstream keeps.
func (g *Gateway) storedRoutes(e *echo.Echo, m ...echo.MiddlewareFunc) {
	for _, base := range []string{"/v1/responses/:id", "/responses/:id", "/openai/v1/responses/:id", "/openai/responses/:id"} {
		e.GET(base, g.stored(""), m...)
		e.DELETE(base, g.stored(""), m...)
		e.POST(base+"/cancel", g.stored("/cancel"), m...)
		e.GET(base+"/input_items", g.stored("/input_items"), m...)
	}
}

// stored returns what serves the requests for a response that was kept, or for
// what of it rest names.
func (g *Gateway) stored(rest string) echo.HandlerFunc {
	return func(c echo.Context) error {
		rec := usage.From(c.Request().Context())
		team := g.cfg.Teams[rec.Team]
		o, id, err := g.keeper(team, c.Param("id"))
		if err != nil {
			return err
		}
		rec.Model = o.model
		call, err := g.passage(c, team, o, "responses/"+url.PathEscape(id)+rest)
		if err != nil {
			return err
		}
		rec.Stream = call.Request.Stream
		model, _ := g.model(o.model)
		d := &decision{operation: openai.Responses, model: model, free: true, team: team.Name, stream: call.Request.Stream}
		return g.forward(c, team, d, call, func() {})
	}
}

// keeper returns who keeps what a client knows under an id, and the id that it has
// there.
func (g *Gateway) keeper(team Team, id string) (owner, string, error) {
	name, upstream, ok := g.cfg.Signer.Open(team.Name, id)
	model, served := g.maker(name)
	if !ok || !served || !strings.HasPrefix(id, responseKind) || team.Models != nil && !team.Models[model] {
		return owner{}, "", &openai.Error{
			Status: http.StatusNotFound, Code: openai.CodeNotFound, Param: "id",
			Message: fmt.Sprintf("The response %s does not exist, or is not your team's. Send an id that this gateway gave to one of your team's keys.", shown(id)),
		}
	}
	return owner{deployment: name, model: model}, upstream, nil
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

// passage returns the call of a request for something that is kept.
func (g *Gateway) passage(c echo.Context, team Team, o owner, path string) (*openai.Call, error) {
	r := c.Request()
	query, err := passable(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	return &openai.Call{
		Request: &openai.Request{Operation: openai.Responses, Stream: query.Get("stream") == "true", Stored: r.Method != http.MethodGet, Choices: 1},
		Passage: &openai.Passage{Method: r.Method, Path: path, Query: query.Encode()},
		Model:   o.model, Only: o.deployment, Header: forwarded(r.Header), Share: team.share(usage.From(r.Context()).Key),
		Retries: usage.From(r.Context()).Retry, Within: patience(r.Header), Regions: team.Regions, Bearer: bearer(r.Header),
	}, nil
}

// passable returns what goes along of a query: the parameters that the API has.
func passable(raw string) (url.Values, error) {
	if err := acceptableQuery(raw); err != nil {
		return nil, err
	}
	given, err := url.ParseQuery(raw)
	if err != nil {
		return nil, openai.BadRequest(openai.CodeInvalidValue, "", "The query cannot be read.")
	}
	kept := url.Values{}
	for _, name := range []string{"stream", "starting_after", "include", "include[]", "include_obfuscation", "limit", "order", "after"} {
		if v, ok := given[name]; ok {
			kept[name] = v
		}
	}
	return kept, nil
}

// continues makes of the ids in a request those that upstream knows, and sends the
// request to the deployment that made them.
func (d *decision) continues(g *Gateway, team Team) error {
	if !d.operation.Keeps() {
		return nil
	}
	root := d.request.Root
	if v := root.Get("conversation"); v.Kind() == openai.String || v.Kind() == openai.Object {
		return openai.BadRequest(openai.CodeInvalidValue, "conversation", "conversation is not served here. Send previous_response_id, or all of the conversation in input.")
	}
	var edits []openai.Edit
	if v := root.Get("previous_response_id"); v.Kind() == openai.String {
		o, id, err := g.keeper(team, v.Text())
		if err != nil {
			return openai.BadRequest(openai.CodeNoPrevious, "previous_response_id", fmt.Sprintf("Previous response with id %s not found. Send an id that this gateway gave to one of your team's keys.", shown(v.Text())))
		}
		d.only = o.deployment
		edits = append(edits, v.Replace(openai.Quote(id)))
	}
	for _, item := range root.Get("input").Elements() {
		sealed := item.Get("encrypted_content")
		tag, content, ok := strings.Cut(sealed.Text(), ".")
		if !ok || !strings.HasPrefix(tag, sealedKind) {
			continue
		}
		name, _, ok := g.cfg.Signer.Open(team.Name, tag)
		if !ok || d.only != "" && d.only != name {
			return openai.BadRequest(openai.CodeInvalidValue, sealed.Path(), "The encrypted content was not given to your team, or by another deployment than the rest of the request needs. Leave the item out.")
		}
		d.only = name
		edits = append(edits, sealed.Replace(openai.Quote(content)))
	}
	var err error
	d.request, err = d.request.With(edits...)
	return err
}

// mark returns the edits that make of the ids in an answer, or in an event, those
// that the team knows.
func (g *Gateway) mark(root openai.Value, d *decision, rec *usage.Record) []openai.Edit {
	if !d.operation.Keeps() {
		return nil
	}
	var edits []openai.Edit
	give := func(v openai.Value) {
		if id := v.Text(); strings.HasPrefix(id, responseKind) {
			edits = append(edits, v.Replace(openai.Quote(g.cfg.Signer.Sign(responseKind, d.team, rec.Deployment, id))))
		}
	}
	seal := func(item openai.Value) {
		if v := item.Get("encrypted_content"); v.Kind() == openai.String {
			tag := g.cfg.Signer.Sign(sealedKind, d.team, rec.Deployment, "")
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
