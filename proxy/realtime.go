package proxy

import (
	"cmp"
	"context"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/coder/websocket"
	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/usage"
)

// realtimeProtocol is the one subprotocol of realtime sessions.
const realtimeProtocol = "realtime"

// realtimeRoutes adds the paths of realtime sessions.
func (g *Gateway) realtimeRoutes(e *echo.Echo, m ...echo.MiddlewareFunc) {
	for _, base := range bases() {
		e.GET(base+openai.Realtime.Path(), g.realtime, m...)
	}
}

// realtime serves a realtime session over a WebSocket, until either side or the
// gateway ends it. The deployment is asked before the client is answered, so that
// what it refuses is an answer like any other.
func (g *Gateway) realtime(c echo.Context) error {
	ctx := c.Request().Context()
	rec := usage.From(ctx)
	rec.Operation, rec.Stream = usage.Realtime, true
	if err := upgradable(c); err != nil {
		return err
	}
	team, err := g.caller(c)
	if err != nil {
		return err
	}
	d, passage, err := g.realtimeCall(c, team)
	if err != nil {
		return err
	}
	defer g.underway(rec)()
	s := &session{terms: &terms{g: g, team: team, d: d, window: merged(d.model.Window, team.Window)}, rec: rec, over: make(chan struct{})}
	if g.cfg.Today != nil {
		s.today = g.cfg.Today(c.Request())
	}
	slot, err := g.reserve(ctx, team, rec, d)
	if err != nil {
		return err
	}
	s.tab = newTab(slot, s.terms, rec.Key)
	defer s.tab.settle(s)
	first := s.estimate(0, 0, usage.Kinds{AudioInput: true, ImageInput: true, AudioOutput: true})
	rec.Reserved, rec.ReservedCost = first.cost.Tokens, usage.USD(first.cost.Spend)
	if err := g.enter(ctx, team, rec); err != nil {
		return err
	}
	showLimits(c, slot.held.Snapshot())
	call := d.call(c.Request(), d.model)
	call.Passage = passage
	conn, answer, err := g.dial(ctx, call, rec)
	switch {
	case err != nil:
		return err
	case conn == nil:
		return g.relay(c, answer, d, rec)
	}
	return s.serve(c, conn, answer)
}

// realtimeCall returns what is decided of a session before it begins, and what is
// asked for upstream.
func (g *Gateway) realtimeCall(c echo.Context, team Team) (*decision, *openai.Passage, error) {
	r := c.Request()
	query := r.URL.Query()
	req := &openai.Request{Operation: openai.Realtime, Model: cmp.Or(query.Get("deployment"), query.Get("model")), Choices: 1}
	model, err := g.resolve(c, team, req)
	if err != nil {
		return nil, nil, err
	}
	rec := usage.From(r.Context())
	rec.Model = model.Name
	kept := url.Values{}
	if intent := query.Get("intent"); intent == "transcription" {
		kept.Set("intent", intent)
	}
	d := &decision{
		operation: openai.Realtime, request: req, model: model, choices: 1, regions: team.Regions,
		share: team.share(rec.Key), team: team.Name, free: true,
	}
	passage := &openai.Passage{Method: http.MethodGet, Path: openai.Realtime.Path(), Asked: true, Query: kept.Encode(), Header: preview(r.Header)}
	if version := query.Get("api-version"); isDate(version) && strings.HasSuffix(version, "-preview") {
		passage.Version = version
	}
	passage.Preview = passage.Version != "" || len(passage.Header) > 0
	return d, passage, nil
}

// preview returns the header by which a client asks for the events as they were
// before they were generally available, which a page says by a subprotocol.
func preview(h http.Header) map[string][]string {
	out := map[string][]string{}
	if h.Get("Openai-Beta") == "realtime=v1" || offers(h, "openai-beta.realtime-v1") {
		out["Openai-Beta"] = []string{"realtime=v1"}
	}
	return out
}

// upgradable refuses a request that cannot become a WebSocket.
func upgradable(c echo.Context) error {
	r := c.Request()
	if !has(r.Header, "Connection", "upgrade") || !has(r.Header, "Upgrade", "websocket") || !r.ProtoAtLeast(1, 1) || r.ProtoMajor > 1 {
		c.Response().Header().Set("Upgrade", "websocket")
		return &openai.Error{
			Status: http.StatusUpgradeRequired, Code: openai.CodeUpgrade,
			Message: "A realtime session is a WebSocket. Open it with a WebSocket client, at wss:// instead of https://.",
		}
	}
	keys := r.Header.Values("Sec-Websocket-Key")
	nonce, err := base64.StdEncoding.DecodeString(strings.Join(keys, ","))
	if r.Header.Get("Sec-Websocket-Version") != "13" || len(keys) != 1 || err != nil || len(nonce) != 16 {
		c.Response().Header().Set("Sec-Websocket-Version", "13")
		return openai.BadRequest(openai.CodeInvalidValue, "", "The WebSocket's handshake makes no sense. Send Sec-WebSocket-Version: 13 and one Sec-WebSocket-Key of 16 bytes.")
	}
	return nil
}

// has reports whether a header lists a word.
func has(h http.Header, name, word string) bool {
	for _, line := range h.Values(name) {
		for token := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(token), word) {
				return true
			}
		}
	}
	return false
}

// offers reports whether a client offers a subprotocol.
func offers(h http.Header, protocol string) bool { return has(h, "Sec-Websocket-Protocol", protocol) }

// dial opens the WebSocket to a deployment. The connection is nil where it answered
// with something else, which is the answer.
func (g *Gateway) dial(ctx context.Context, call *openai.Call, rec *usage.Record) (*websocket.Conn, *openai.Answer, error) {
	h := &handshake{up: g.cfg.Upstream, call: call, rec: rec}
	conn, resp, err := websocket.Dial(ctx, "ws://deployment/", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: h}, Subprotocols: []string{realtimeProtocol},
	})
	if resp != nil && resp.Body != nil {
		_ = resp.Body.Close() // the answer holds all of it
	}
	switch {
	case err == nil:
		return conn, h.answer, nil
	case h.err != nil:
		return nil, nil, h.err
	case h.answer == nil:
		return nil, nil, err
	case h.answer.Socket == nil && h.answer.Status >= http.StatusBadRequest:
		return nil, h.answer, nil
	}
	h.answer.Close(&openai.CutError{Err: err})
	return nil, nil, &openai.Error{
		Status: http.StatusBadGateway, Code: openai.CodeBadAnswer,
		Message: "The deployment's answer makes no sense.",
	}
}

// handshake sends the request for a WebSocket upstream as any other call.
type handshake struct {
	up     Upstream
	call   *openai.Call
	rec    *usage.Record
	answer *openai.Answer
	err    error
}

// RoundTrip sends the request, once.
func (h *handshake) RoundTrip(r *http.Request) (*http.Response, error) {
	maps.Copy(h.call.Passage.Header, r.Header)
	h.answer, h.err = h.up.Do(r.Context(), h.call, h.rec)
	if h.err != nil {
		return nil, h.err
	}
	resp := &http.Response{
		StatusCode: h.answer.Status, Header: h.answer.Header, Body: http.NoBody,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
	}
	if h.answer.Socket != nil {
		resp.Body = h.answer.Socket
	}
	return resp, nil
}
