package proxy

import (
	"io"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/usage"
)

// chats returns what stored chats are.
func (g *Gateway) chats() thing {
	return thing{
		operation: openai.Chat, noun: "stored chat", path: "chat/completions",
		is:   func(kind string) bool { return kind == chatKind },
		each: 20, usual: 20, most: 100, // each is as long as its chat was
		ids:  func(team, _ string) func(openai.Value, string) []openai.Edit { return g.chatIDs(team) },
		mine: g.hasMark,
		asks: g.chatFilter,
	}
}

// chatIDs returns what makes of the ids of stored chats, and of the chunks of those
// that are being stored, those that the team knows.
func (g *Gateway) chatIDs(team string) func(root openai.Value, from string) []openai.Edit {
	var upstream, known string // of the last, for the chunks of one chat have the same
	return func(root openai.Value, from string) []openai.Edit {
		edits := unmarked(root.Get("metadata"), "{}")
		v := root.Get("id")
		if v.Text() == "" {
			return edits
		}
		if !v.Is(upstream) {
			upstream = v.Text()
			known = openai.Quote(g.cfg.Signer.Sign(chatKind, team, backendOf(from), upstream))
		}
		return append(edits, v.Replace(known))
	}
}

// chatFilter reads which stored chats a listing is to show. Which deployment made
// one is not written there, so that a model is looked for by what it really is.
func (g *Gateway) chatFilter(given url.Values) (url.Values, func(openai.Value) bool, error) {
	pairs := map[string]string{}
	for name := range given {
		if key, ok := strings.CutPrefix(name, "metadata["); ok {
			pairs[strings.TrimSuffix(key, "]")] = given.Get(name)
		}
	}
	asked := given.Get("model")
	model, served := g.model(asked)
	wants := func(entry openai.Value) bool {
		for key, value := range pairs {
			if v := entry.Get("metadata").Get(key); key == metadataKey || !v.Is(value) {
				return false
			}
		}
		made := entry.Get("model").Text()
		return asked == "" || made == asked || served && (made == model.Base || versionOf(made, model.Base))
	}
	return url.Values{}, wants, nil
}

// updateChat changes the metadata of a stored chat, which is all that can be.
func (g *Gateway) updateChat(c echo.Context) error {
	a, err := g.addressed(c, g.chats())
	if err != nil {
		return err
	}
	req, release, err := g.read(c, openai.Passages, usage.From(c.Request().Context()))
	if err != nil {
		return err
	}
	defer release()
	metadata := req.Root.Get("metadata")
	if metadata.Kind() == openai.Missing {
		return openai.BadRequest(openai.CodeMissingParameter, "metadata", "metadata is missing. Send an object, or null.")
	}
	if req, err = openai.ParseAs(openai.Passages, []byte(`{"metadata":`+string(metadata.Raw())+`}`)); err != nil {
		return err
	}
	edits, err := g.markMetadata(a.team, req.Root)
	if err != nil {
		return err
	}
	p := &openai.Passage{Path: a.path, Body: jsonBody(req.Body(edits...))}
	return g.forward(c, a.team, a.decision, g.passage(c, a.team, a.owner, openai.Chat, p), release)
}

// jsonBody returns what brings a body of JSON for each attempt.
func jsonBody(body []byte) func(string) (io.ReadCloser, string, int64, error) {
	return func(string) (io.ReadCloser, string, int64, error) {
		return io.NopCloser(strings.NewReader(string(body))), "application/json", int64(len(body)), nil
	}
}

// chatMessages serves the messages of a stored chat, whose ids begin with the chat's.
func (g *Gateway) chatMessages(c echo.Context) error {
	a, err := g.addressed(c, g.chats())
	if err != nil {
		return err
	}
	query, err := passable(c.Request().URL.RawQuery, "limit", "order", "after")
	if err != nil {
		return err
	}
	if err := g.ignoreBody(c); err != nil {
		return err
	}
	known := c.Param("id")
	if rest, ok := strings.CutPrefix(query.Get("after"), known); ok {
		query.Set("after", a.id+rest)
	}
	a.ids = func(root openai.Value, _ string) []openai.Edit {
		var edits []openai.Edit
		give := func(v openai.Value) {
			if rest, ok := strings.CutPrefix(v.Text(), a.id); ok {
				edits = append(edits, v.Replace(openai.Quote(known+rest)))
			}
		}
		for _, message := range root.Get("data").Elements() {
			give(message.Get("id"))
		}
		give(root.Get("first_id"))
		give(root.Get("last_id"))
		return edits
	}
	p := &openai.Passage{Path: a.path + "/messages", Query: query.Encode()}
	return g.forward(c, a.team, a.decision, g.passage(c, a.team, a.owner, openai.Chat, p), func() {})
}
