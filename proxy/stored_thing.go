package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/usage"
)

// anyCarrier is the model that is asked for at a resource whose models nobody
// configured.
const anyCarrier = "files"

// thing is a kind of what resources keep and no model makes.
type thing struct {
	operation openai.Operation
	noun      string                 // as messages call one
	path      string                 // below a base
	is        func(kind string) bool // whether ids may begin so

	each        int // how many of them a resource is asked for at once
	usual, most int // how many a client is told of at once: where it does not say, and at most

	// ids returns what makes of the ids in one, or in what became of it, those that
	// the team knows; backend is who keeps it.
	ids func(team, backend string) func(root openai.Value, from string) []openai.Edit
	// mine returns whether one in a listing is the team's.
	mine func(team string) func(entry openai.Value) bool
	// asks returns what else a listing is asked for upstream, and which of the team's
	// the client wants to see; nil: any.
	asks func(given url.Values) (query url.Values, wants func(entry openai.Value) bool, err error)
}

// thingRoutes adds the paths of files, batches and stored chats.
func (g *Gateway) thingRoutes(e *echo.Echo, m ...echo.MiddlewareFunc) {
	files, batches, chats := g.files(), g.batches(), g.chats()
	for _, base := range bases() { // openai-node names a deployment, which decides nothing
		e.POST(base+"batches", g.createBatch, m...)
	}
	for _, base := range resourceBases() {
		e.POST(base+"files", g.uploadFile, m...)
		e.GET(base+"files", g.list(files), m...)
		e.GET(base+"files/:id", g.one(files, ""), m...)
		e.GET(base+"files/:id/content", g.one(files, "/content"), m...)
		e.DELETE(base+"files/:id", g.one(files, ""), m...)

		e.GET(base+"batches", g.list(batches), m...)
		e.GET(base+"batches/:id", g.one(batches, ""), m...)
		e.POST(base+"batches/:id/cancel", g.one(batches, "/cancel"), m...)

		e.GET(base+"chat/completions", g.list(chats), m...)
		e.GET(base+"chat/completions/:id", g.one(chats, ""), m...)
		e.POST(base+"chat/completions/:id", g.updateChat, m...)
		e.DELETE(base+"chat/completions/:id", g.one(chats, ""), m...)
		e.GET(base+"chat/completions/:id/messages", g.chatMessages, m...)
	}
}

// kindOf returns what an id begins with, "" where it does not begin as ids do.
func kindOf(id string) string { return id[:strings.IndexAny(id, "-_")+1] }

// at returns how the team gets to a resource, and false where it may not.
func (g *Gateway) at(team Team, r Resource) (owner, bool) {
	if len(team.Regions) > 0 && !slices.Contains(team.Regions, r.Region) {
		return owner{}, false
	}
	if len(r.Models) == 0 {
		return owner{deployment: r.Name, model: anyCarrier}, true
	}
	for _, model := range r.Models {
		if team.uses(model) {
			return owner{deployment: r.Name, model: model}, true
		}
	}
	return owner{}, false
}

// opened returns who keeps what the team knows under an id that begins as is says,
// and the id that it has there.
func (g *Gateway) opened(team Team, id string, is func(kind string) bool) (owner, string, bool) {
	name, upstream, ok := g.cfg.Signer.Open(team.Name, id)
	if !ok || !is(kindOf(id)) {
		return owner{}, "", false
	}
	for _, r := range g.cfg.Backends {
		if openai.Owner(r.Name) == name {
			o, ok := g.at(team, r)
			return o, upstream, ok
		}
	}
	return owner{}, "", false
}

// caller returns the team of a request that is no prompt, whose query two readers must
// read alike, and that cannot be explained.
func (g *Gateway) caller(c echo.Context) (Team, error) {
	if asksWhy(c.Request()) {
		return Team{}, openai.BadRequest(openai.CodeInvalidValue, "x-weir-explain", "x-weir-explain asks what would become of a request with a prompt, and this has none. Leave the header out.")
	}
	return g.cfg.Teams[usage.From(c.Request().Context()).Team], acceptableQuery(c.Request().URL.RawQuery)
}

// one returns what serves the requests for one thing, or for what of it rest names.
func (g *Gateway) one(t thing, rest string) echo.HandlerFunc {
	return func(c echo.Context) error {
		a, err := g.addressed(c, t)
		if err != nil {
			return err
		}
		if err := g.ignoreBody(c); err != nil {
			return err
		}
		p := &openai.Passage{Path: a.path + rest, Raw: rest == "/content"}
		return g.forward(c, a.team, a.decision, g.passage(c, a.team, a.owner, t.operation, p), func() {})
	}
}

// addressed is a request for one thing.
type addressed struct {
	team Team
	owner
	id   string // upstream
	path string
	*decision
}

// addressed reads which thing a request is for.
func (g *Gateway) addressed(c echo.Context, t thing) (*addressed, error) {
	team, err := g.caller(c)
	if err != nil {
		return nil, err
	}
	id := c.Param("id")
	o, upstream, ok := g.opened(team, id, t.is)
	if !ok {
		return nil, missing(t.noun, id)
	}
	d := t.decision(team, o)
	d.names = map[string]string{upstream: id}
	return &addressed{team: team, owner: o, id: upstream, path: t.path + "/" + url.PathEscape(upstream), decision: d}, nil
}

// decision returns that of a request for a thing, which takes no tokens.
func (t *thing) decision(team Team, o owner) *decision {
	return &decision{operation: t.operation, free: true, team: team.Name, ids: t.ids(team.Name, o.deployment)}
}

// ignoreBody reads over the body of a request that has none to be read: some clients
// send one all the same.
func (g *Gateway) ignoreBody(c echo.Context) error {
	if c.Request().ContentLength == 0 {
		return nil
	}
	body := newPaced(c, g.cfg.MaxBody)
	for buf := make([]byte, 4<<10); ; {
		_, err := body.Read(buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			leave(c)
			return err
		}
	}
}

// metadataKey is what the team's mark stands under in what has metadata, of which
// the API takes maxMetadata pairs.
const (
	metadataKey = "weir_team"
	maxMetadata = 16
)

// markMetadata returns the edits that put the team's mark into a request's metadata.
func (g *Gateway) markMetadata(team Team, root openai.Value) ([]openai.Edit, error) {
	mark := openai.Quote(g.cfg.Signer.Marks(team.Name)[0])
	given := root.Get("metadata")
	switch given.Kind() {
	case openai.Missing, openai.Null:
		return []openai.Edit{root.Set("metadata", `{"`+metadataKey+`":`+mark+`}`)}, nil
	case openai.Object:
	default:
		return nil, openai.BadRequest(openai.CodeInvalidType, "metadata", "metadata must be an object.")
	}
	switch {
	case given.Get(metadataKey).Kind() != openai.Missing:
		return nil, openai.BadRequest(openai.CodeInvalidValue, "metadata."+metadataKey, "metadata."+metadataKey+" is the gateway's own. Use another name.")
	case given.Len() >= maxMetadata:
		return nil, openai.BadRequest(openai.CodeInvalidValue, "metadata", fmt.Sprintf("metadata has %d pairs, and at most %d may be sent: the gateway adds one of its own.", given.Len(), maxMetadata-1))
	}
	return []openai.Edit{given.Set(metadataKey, mark)}, nil
}

// unmarked returns the edits that take the mark out of metadata. What was alone with
// it is nothing, as the endpoint writes that.
func unmarked(metadata openai.Value, nothing string) []openai.Edit {
	switch {
	case metadata.Get(metadataKey).Kind() == openai.Missing:
		return nil
	case metadata.Len() == 1:
		return []openai.Edit{metadata.Replace(nothing)}
	default:
		return metadata.Unset(metadataKey)
	}
}

// hasMark returns whether one in a listing has the team's mark in its metadata.
func (g *Gateway) hasMark(team string) func(entry openai.Value) bool {
	marks := g.cfg.Signer.Marks(team)
	return func(entry openai.Value) bool {
		return slices.Contains(marks, entry.Get("metadata").Get(metadataKey).Text())
	}
}

// forbidden is a 403.
func forbidden(code, message string) error {
	return &openai.Error{Status: http.StatusForbidden, Code: code, Message: message}
}
