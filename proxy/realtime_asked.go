package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/coder/websocket"

	"weir/openai"
	"weir/quota"
	"weir/usage"
)

// ownEvent is what the ids of events begin with that the gateway has made or named.
const ownEvent = "event_weir_"

// soundRate is how many bytes of sound come to one token of a prompt: a tenth of a
// second of 16 bits at 24 kHz, the most that is sent for one.
const soundRate = 4800

// asked returns what is handed on of a client's event: nil for one that is refused,
// of which the client is told then.
func (s *session) asked(ctx context.Context, data []byte) (out []byte, then func()) {
	t, err := s.recheck()
	if err != nil {
		return nil, nil // of which the client is told at the end
	}
	req, err := openai.ParseAs(openai.Realtime, data)
	if err == nil {
		req, err = s.permit(ctx, t, req)
	}
	if err != nil {
		root, _ := openai.ReadValue(data) // what is no JSON has no id
		about := root.Get("event_id").Text()
		return nil, func() { s.tell(ctx, err, about) }
	}
	return req.Body(), nil
}

// tell sends the client an error event.
func (s *session) tell(ctx context.Context, err error, about string) {
	shown := visibleEvent(err)
	s.mu.Lock()
	s.events++
	id := ownEvent + strconv.Itoa(s.events)
	s.mu.Unlock()
	_ = s.client.write(ctx, websocket.MessageText, openai.RealtimeError(shown, id, about)) // who reads the client learns that it is gone
}

// permit applies the team's policy and its limits to an event.
func (s *session) permit(ctx context.Context, t *terms, req *openai.Request) (*openai.Request, error) {
	req, err := s.screened(t, req)
	if err != nil {
		return nil, err
	}
	edits, err := t.renamed(req)
	if err != nil {
		return nil, err
	}
	lower, err := s.lowered(t, req)
	if err != nil {
		return nil, err
	}
	edits = append(edits, lower...)
	said := t.count(req)
	if req, err = req.With(edits...); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if req.Root.Get("type").Is("input_audio_buffer.append") { // which may be heard, and cost, without any response
		if err := s.tab.pay(ctx, s); err != nil {
			return nil, refused(ctx, s.team, s.rec, s.d, err)
		}
	}
	said += s.voice.asked(req.Root)
	if !req.Root.Get("type").Is("response.create") {
		s.learn(t, req, said)
		return req, nil
	}
	if req, err = s.rebound(t, req); err != nil {
		return nil, err
	}
	if edits, err = s.begins(ctx, req, said); err != nil {
		return nil, err
	}
	return req.With(edits...)
}

// learn takes note of what an event adds to what the responses behind it may use. The
// caller holds mu.
func (s *session) learn(t *terms, req *openai.Request, said int64) {
	kind := req.Root.Get("type")
	switch {
	case kind.Is("session.update"):
		session := req.Root.Get("session")
		if session.Get("instructions").Kind() == openai.String || session.Get("tools").Kind() == openai.Array {
			s.settings = said
		}
		if bound, name := boundIn(session); name != "" {
			s.bound, s.bounded = t.atMost(bound), name
		}
	case kind.Is("conversation.item.create"), kind.Is("input_audio_buffer.append"):
		s.context += said
	}
}

// screened looks for special tokens in an event.
func (s *session) screened(t *terms, req *openai.Request) (*openai.Request, error) {
	edits, err := t.team.Screen.Check(req)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil && t.team.Shadow:
		s.shadow(visibleEvent(err).Code)
		return req, nil
	case err != nil || len(edits) == 0:
		return req, err
	case t.team.Shadow:
		s.shadow("escape")
		return req, nil
	}
	s.rec.Escaped += len(edits)
	return req.With(edits...)
}

// shadow notes what would have been refused or changed, once. The caller holds mu.
func (s *session) shadow(what string) {
	if what != "" && !slices.Contains(s.rec.Shadowed, what) {
		s.rec.Shadowed = append(s.rec.Shadowed, what)
	}
}

// renamed returns the edits that take the model out of a session's settings, which
// is the one that it began with.
func (t *terms) renamed(req *openai.Request) ([]openai.Edit, error) {
	var edits []openai.Edit
	for _, name := range [...]string{"session", "response"} {
		in := req.Root.Get(name)
		v := in.Get("model")
		switch v.Kind() {
		case openai.Missing:
			continue
		case openai.String:
			if m, ok := t.g.model(v.Text()); ok && m.Name == t.d.model.Name {
				break
			}
			return nil, openai.BadRequest(openai.CodeInvalidValue, v.Path(), fmt.Sprintf(
				"The session is one of the model %q and stays so. Leave %s out, or open another session.", t.d.model.Name, v.Path()))
		case openai.Null:
		default:
			return nil, openai.BadRequest(openai.CodeInvalidType, v.Path(), v.Path()+" must be a string.")
		}
		edits = append(edits, in.Unset("model")...)
	}
	session := req.Root.Get("session")
	for _, by := range [...]openai.Value{session.Get("input_audio_transcription"), session.Get("audio").Get("input").Get("transcription")} {
		if err := t.g.within(t.team, by.Get("model")); err != nil {
			return nil, err
		}
	}
	return edits, nil
}

// bounds are the fields that bound an answer, now and before general availability.
func bounds() [2]string { return [2]string{"max_output_tokens", "max_response_output_tokens"} }

// boundIn returns the bound in a session's settings or in a response's, and the name
// of the field; 0 is none, and "" that nothing is said of one.
func boundIn(v openai.Value) (bound int64, name string) {
	for _, field := range bounds() {
		if n, given := v.Get(field).Int(); given {
			return n, field
		}
		if v.Get(field).Is("inf") {
			name = field
		}
	}
	return 0, name
}

// atMost returns a bound as the team's policy leaves it; 0 is none.
func (t *terms) atMost(bound int64) int64 {
	if most := t.window.TeamOutput; most > 0 && !t.team.Shadow && (bound == 0 || bound > most) {
		return most
	}
	return bound
}

// rebound returns a wish for a response with a bound, where the one of the session is
// more than the policy allows by now. The caller holds mu.
func (s *session) rebound(t *terms, req *openai.Request) (*openai.Request, error) {
	response := req.Root.Get("response")
	most := t.atMost(s.bound)
	if _, own := boundIn(response); own != "" || s.bounded == "" || most == s.bound {
		return req, nil
	}
	if s.bound > 0 && t.window.RejectOutput {
		field := "session." + s.bounded
		return nil, openai.BadRequest(openai.CodeInvalidValue, field, fmt.Sprintf(
			"%s is too large: %d. The policy allows at most %d completion tokens by now. Send a session.update with less.", field, s.bound, most))
	}
	s.rec.Lowered = most
	raw := strconv.FormatInt(most, 10)
	if response.Kind() == openai.Object {
		return req.With(response.Set(s.bounded, raw))
	}
	return req.With(req.Root.Set("response", `{"`+s.bounded+`":`+raw+"}"))
}

// lowered returns the edits by which the bounds in an event keep to the policy's.
func (s *session) lowered(t *terms, req *openai.Request) ([]openai.Edit, error) {
	most := t.window.TeamOutput
	if most == 0 {
		return nil, nil
	}
	var edits []openai.Edit
	for _, name := range [...]string{"session", "response"} {
		for _, field := range bounds() {
			v := req.Root.Get(name).Get(field)
			n, ok := v.Int()
			switch {
			case ok && n <= most, !ok && !v.Is("inf"):
				continue
			case t.team.Shadow:
				s.mu.Lock()
				s.shadow("lower")
				s.mu.Unlock()
				continue
			case ok && t.window.RejectOutput:
				return nil, openai.BadRequest(openai.CodeInvalidValue, v.Path(), fmt.Sprintf(
					"%s is too large: %d. The policy allows at most %d completion tokens, whereas you provided %d.", v.Path(), n, most, n))
			}
			edits = append(edits, v.Replace(strconv.FormatInt(most, 10)))
		}
	}
	if len(edits) > 0 {
		s.mu.Lock()
		s.rec.Lowered = most
		s.mu.Unlock()
	}
	return edits, nil
}

// count returns what the text of an event comes to.
func (t *terms) count(req *openai.Request) int64 {
	var n int64
	req.Texts(func(run []openai.Value) bool {
		for _, v := range run {
			n += t.d.model.Counter.Text(v.Bytes())
		}
		return true
	})
	return n
}

// maxWaiting is how many responses a session may have asked for that have not begun.
const maxWaiting = 64

// begins takes of the allowance what a response may use that the client asks for,
// and returns the edit by which an error about it can be told from others. The
// caller holds mu.
func (s *session) begins(ctx context.Context, req *openai.Request, said int64) ([]openai.Edit, error) {
	switch {
	case s.draining:
		return nil, stopping()
	case len(s.tab.waiting) >= maxWaiting:
		return nil, &openai.Error{
			Status: http.StatusTooManyRequests, Type: "requests", Code: openai.CodeRateLimit,
			Message: fmt.Sprintf("%d responses were asked for that have not begun, which is all that a session may have. Wait for one to begin.", maxWaiting),
		}
	}
	bound, own := boundIn(req.Root.Get("response"))
	if bound = s.atMost(bound); own == "" {
		bound = s.bound
	}
	lease, err := s.take(ctx, s.estimate(said, bound, s.voice.begins(req.Root.Get("response"))))
	if err != nil {
		return nil, err
	}
	u := &utterance{lease: lease, event: req.Root.Get("event_id").Text()}
	s.tab.wait(u)
	if u.event != "" {
		return nil, nil
	}
	s.events++
	u.event, u.named = ownEvent+strconv.Itoa(s.events), true
	return []openai.Edit{req.Root.Set("event_id", openai.Quote(u.event))}, nil
}

// estimate asks for the most that a response is thought to use: what has been said
// so far and now, and an answer with that bound, 0 for none, of such kinds. The caller
// holds mu, or nobody else knows the session yet.
func (s *session) estimate(said, bound int64, kinds usage.Kinds) asking {
	fitted := s.d.fitted
	fitted.Prompt, fitted.Output = s.context+s.settings+said, bound
	total := s.window.Reserve(fitted, 0, 1, 0)
	spend := int64(s.d.model.most(fitted.Prompt, max(0, total-fitted.Prompt), kinds))
	most := func(accounts []quota.Account) quota.Cost {
		return quota.Cost{Tokens: s.window.Reserve(fitted, 0, 1, burst(accounts)), Spend: spend}
	}
	a := s.asks()
	a.cost, a.shadowed = most(a.accounts), most(append(slices.Clip(a.shadows), a.accounts...))
	return a
}

// visibleEvent returns what a client is shown of an error.
func visibleEvent(err error) *openai.Error {
	if e, ok := errors.AsType[*openai.Error](err); ok {
		return e
	}
	return &openai.Error{Status: http.StatusInternalServerError, Code: openai.CodeInternal, Message: "The gateway failed to handle the event."}
}
