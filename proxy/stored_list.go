package proxy

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/usage"
)

// maxPages is how many pages of upstream's are read at most for one of ours.
const maxPages = 50

// pages gathers one page of a team's things out of those of its resources, which
// keep them together with all the others'.
type pages struct {
	g     *Gateway
	c     echo.Context
	team  Team
	thing thing
	query url.Values
	mine  func(entry openai.Value) bool
	wants func(entry openai.Value) bool // nil: all that is mine

	homes []owner // that are still to be asked, in order
	after string  // what the first of them is asked for the things behind
	limit int
	alone bool              // there is no other home than the first
	names map[string]string // the id that it is asked for the things behind, as the team knows it, by upstream's

	ids   []string
	found [][]byte
}

// list returns what serves a listing of the team's own things.
func (g *Gateway) list(t thing) echo.HandlerFunc {
	return func(c echo.Context) error {
		team, err := g.caller(c)
		if err != nil {
			return err
		}
		p, err := g.pages(c, team, t)
		if err != nil {
			return err
		}
		if err := g.ignoreBody(c); err != nil {
			return err
		}
		d := &decision{operation: t.operation, free: true, team: team.Name, ask: p.read, names: p.names}
		return g.forward(c, team, d, nil, func() {})
	}
}

// pages reads what a listing is to show.
func (g *Gateway) pages(c echo.Context, team Team, t thing) (*pages, error) {
	given, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return nil, openai.BadRequest(openai.CodeInvalidValue, "", "The query cannot be read.")
	}
	p := &pages{g: g, c: c, team: team, thing: t, limit: t.usual, mine: t.mine(team.Name), homes: g.homes(team)}
	if p.query, p.wants, err = t.asks(given); err != nil {
		return nil, err
	}
	if text := given.Get("limit"); text != "" {
		if p.limit, err = strconv.Atoi(text); err != nil || p.limit < 1 || p.limit > t.most {
			return nil, openai.BadRequest(openai.CodeInvalidValue, "limit", fmt.Sprintf("limit must be a number from 1 to %d.", t.most))
		}
	}
	switch order := given.Get("order"); order {
	case "asc", "desc":
		p.query.Set("order", order)
	case "":
	default:
		return nil, openai.BadRequest(openai.CodeInvalidValue, "order", "order must be asc or desc.")
	}
	if after := given.Get("after"); after != "" {
		o, id, ok := g.opened(team, after, t.is)
		if !ok {
			wrong := missing(t.noun, after)
			wrong.Param = "after"
			return nil, wrong
		}
		p.names = map[string]string{id: after}
		p.after, p.homes = id, p.homes[max(0, slices.Index(p.homes, o)):]
	}
	p.alone = len(g.homes(team)) == 1
	return p, nil
}

// homes returns how the team gets to all resources that may keep things of its own:
// first those that new ones go to.
func (g *Gateway) homes(team Team) []owner {
	var all []owner
	for _, r := range slices.Concat(g.cfg.Resources, g.cfg.Backends) {
		if o, ok := g.at(team, r); ok && !slices.Contains(all, o) {
			all = append(all, o)
		}
	}
	return all
}

// read reads pages of upstream's until one of ours is full, and one more of the
// team's things is known to follow or not.
func (p *pages) read(ctx context.Context, rec *usage.Record) (*openai.Answer, error) {
	if len(p.homes) == 0 {
		return nil, noHome(p.team)
	}
	left := maxPages
	for ; left > 0 && len(p.homes) > 0 && len(p.found) <= p.limit; left-- {
		answer, err := p.g.cfg.Upstream.Do(ctx, p.call(), rec)
		if err != nil {
			return nil, err
		}
		if answer.Status >= http.StatusMultipleChoices && !p.without(answer.Status) {
			return p.refused(answer)
		}
		if err := p.take(answer); err != nil {
			return nil, err
		}
	}
	more := len(p.found) > p.limit || len(p.homes) > 0
	if more && len(p.found) == 0 {
		return nil, openai.BadRequest(openai.CodeLongListing, "", fmt.Sprintf("None of the %d entries that were looked through are your team's and what is asked for, and no more are. Ask for what you know by its id.", maxPages*p.thing.each))
	}
	return &openai.Answer{Status: http.StatusOK, Body: p.written(more), Close: func(error) {}}, nil
}

// call returns the call for the next page.
func (p *pages) call() *openai.Call {
	query := maps.Clone(p.query)
	query.Set("limit", strconv.Itoa(p.thing.each))
	if p.after != "" {
		query.Set("after", p.after)
	}
	return p.g.passage(p.c, p.team, p.homes[0], p.thing.operation, &openai.Passage{Path: p.thing.path, Query: query.Encode()})
}

// next goes on to the next resource.
func (p *pages) next() { p.homes, p.after = p.homes[1:], "" }

// without reports whether a resource that refuses simply has no such things, which
// does not matter where others may. One that has shown some has them.
func (p *pages) without(status int) bool {
	return !p.alone && p.after == "" && (status == http.StatusNotFound || status == http.StatusMethodNotAllowed)
}

// refused returns what a client is shown of a refusal. One of a place in the listing
// that the client has not named, and that may be another team's, means that it is gone.
func (p *pages) refused(answer *openai.Answer) (*openai.Answer, error) {
	_, named := p.names[p.after]
	if status := answer.Status; named || p.after == "" || status != http.StatusNotFound && status != http.StatusBadRequest {
		return answer, nil
	}
	return nil, &openai.Error{Status: http.StatusBadGateway, Code: openai.CodeBadAnswer, Message: "The listing changed while it was read. Send the request again."}
}

// take takes what is the team's out of a page.
func (p *pages) take(page *openai.Answer) error {
	if page.Close != nil {
		page.Close(nil) // all of it is here
	}
	if page.Status >= http.StatusMultipleChoices {
		p.next()
		return nil
	}
	root, err := openai.ReadValue(page.Body)
	list := root.Get("data")
	if err != nil || list.Kind() != openai.Array {
		return &openai.Error{Status: http.StatusBadGateway, Code: openai.CodeBadAnswer, Message: "The resource answered with something that is no listing. Send the request again."}
	}
	fresh := p.fresh(list)
	for _, entry := range fresh {
		if len(p.found) <= p.limit && p.shows(entry) {
			p.add(entry)
		}
		p.after = entry.Get("id").Text()
	}
	if len(fresh) == 0 || p.after == "" || !root.Get("has_more").IsTrue() {
		p.next()
	}
	return nil
}

// shows reports whether an entry is the team's, and what the client wants to see.
func (p *pages) shows(entry openai.Value) bool {
	return p.mine(entry) && (p.wants == nil || p.wants(entry))
}

// fresh returns the entries of a page that are behind what it was asked for: all of
// them, unless its resource knows no cursor and has begun anew.
func (p *pages) fresh(list openai.Value) []openai.Value {
	var all []openai.Value
	for _, entry := range list.Elements() {
		if all = append(all, entry); p.after != "" && entry.Get("id").Is(p.after) {
			all = nil
		}
	}
	return all
}

// add takes an entry as the team is to see it.
func (p *pages) add(entry openai.Value) {
	raw := bytes.Clone(entry.Raw())
	root, err := openai.ReadValue(raw)
	if err != nil {
		return // it was read once already
	}
	backend := p.homes[0].deployment
	shown := openai.Apply(raw, p.thing.ids(p.team.Name, backend)(root, backend)...)
	if root, err = openai.ReadValue(shown); err == nil {
		p.ids, p.found = append(p.ids, root.Get("id").Text()), append(p.found, shown)
	}
}

// written returns the page.
func (p *pages) written(more bool) []byte {
	n := min(len(p.found), p.limit)
	first, last := "null", "null"
	if n > 0 {
		first, last = openai.Quote(p.ids[0]), openai.Quote(p.ids[n-1])
	}
	b := []byte(`{"object":"list","data":[`)
	b = append(b, bytes.Join(p.found[:n], []byte(","))...)
	return append(b, `],"first_id":`+first+`,"last_id":`+last+`,"has_more":`+strconv.FormatBool(more)+"}"...)
}
