package openai

import (
	"fmt"
	"strings"
)

// maxEventID is the longest id of a client's event that is quoted to it.
const maxEventID = 512

// realtime refuses an event of a client that two readers could read differently,
// or that does not say what it is.
func (r *Request) realtime() error {
	if err := exactNames(r.Root, "type event_id item session response previous_item_id item_id audio"); err != nil {
		return err
	}
	kinds := []struct {
		name string
		kind Kind
		noun string
	}{{"type", String, "a string"}, {"event_id", String, "a string"}, {"item", Object, "an object"}, {"session", Object, "an object"}, {"response", Object, "an object"}}
	for _, k := range kinds {
		if _, err := kind(r.Root, k.name, k.kind, k.noun); err != nil {
			return err
		}
	}
	if r.Root.Get("type").Kind() != String {
		return BadRequest(CodeMissingParameter, "type", "type is missing. Say what the event is.")
	}
	for _, name := range [...]string{"session", "response"} {
		if err := r.realtimeSettings(name); err != nil {
			return err
		}
	}
	return exactItem(r.Root.Get("item"))
}

// realtimeSettings reads what a session, or one response, is to be like.
func (r *Request) realtimeSettings(name string) error {
	in := r.Root.Get(name)
	if err := exactNames(in, "model instructions prompt tools tool_choice input max_output_tokens max_response_output_tokens modalities output_modalities"); err != nil {
		return err
	}
	for _, item := range in.Get("input").Elements() {
		if err := exactItem(item); err != nil {
			return err
		}
	}
	for _, field := range [...]string{"max_output_tokens", "max_response_output_tokens"} {
		bound := in.Get(field)
		n, ok := bound.Int()
		switch {
		case bound.Kind() == Missing, bound.Kind() == Null, bound.Is("inf"):
			continue
		case !ok || n < 1:
			return BadRequest(CodeInvalidValue, bound.Path(), bound.Path()+` must be an integer from 1 on, or "inf".`)
		case r.MaxTokens > 0 && n != r.MaxTokens:
			return BadRequest(CodeInvalidValue, bound.Path(), "The event holds two bounds on the answer. Send one of them.")
		}
		r.MaxTokens, r.MaxTokensField = n, bound.Path()
	}
	return nil
}

// exactItem refuses the names of an item of a conversation in another case.
func exactItem(item Value) error {
	if err := exactNames(item, "type role content name arguments output"); err != nil {
		return err
	}
	for _, part := range item.Get("content").Elements() {
		if err := exactNames(part, "type text transcript audio"); err != nil {
			return err
		}
	}
	return nil
}

// realtimeTexts visits an event of a client: the item that it adds, and all that it
// says of the session or of a response.
func (w *texts) realtimeTexts(root Value) {
	w.heard(root.Get("item"))
	for _, name := range [...]string{"session", "response"} {
		for field, v := range root.Get(name).pairs() {
			switch {
			case field.Is("tools"), field.Is("tool_choice"):
				w.all(v)
			case field.Is("input"):
				for _, item := range v.Elements() {
					w.heard(item)
				}
			case !field.Is("metadata"):
				w.member(field, v)
			}
		}
	}
}

// heard visits an item of a spoken conversation: its content, and all else but data
// and URLs.
func (w *texts) heard(item Value) {
	for name, v := range item.pairs() {
		if name.Is("content") {
			w.content(v)
		} else {
			w.member(name, v)
		}
	}
}

// RealtimeEvent is what the gateway takes note of in an event that a deployment
// sends over a WebSocket.
type RealtimeEvent struct {
	Type     string
	Response string // the id of the response that it is of; "" none
	Status   string // of a response that is done
	ClientID string // the client's event that an error is about; "" none is named
	Text     Value  // what it adds to an answer; the zero Value nothing
	Sound    int    // the bytes of sound that it adds
	Session  Value  // the settings that the session has; the zero Value where it says none
	Usage    Usage
	HasUsage bool

	about Value // where ClientID stands
}

// ReadRealtime returns what an event of a deployment says. What is no JSON object
// says nothing.
func ReadRealtime(data []byte) RealtimeEvent {
	root, err := ReadValue(data)
	if err != nil {
		return RealtimeEvent{}
	}
	e := RealtimeEvent{Type: root.Get("type").Text(), Response: root.Get("response_id").Text()}
	switch response := root.Get("response"); {
	case e.Type == "error":
		e.about = root.Get("error").Get("event_id")
		e.ClientID = e.about.Text()
	case e.Type == "session.created" || e.Type == "session.updated":
		e.Session = root.Get("session")
	case response.Kind() == Object:
		e.Response, e.Status = response.Get("id").Text(), response.Get("status").Text()
		e.Usage, e.HasUsage = readUsage(response.Get("usage"))
	case e.Type == "conversation.item.input_audio_transcription.completed":
		e.Usage, e.HasUsage = readUsage(root.Get("usage"))
	case strings.HasSuffix(e.Type, "audio.delta"):
		e.Sound = decoded(root.Get("delta"))
	case strings.HasSuffix(e.Type, ".delta") && strings.HasPrefix(e.Type, "response."):
		e.Text = root.Get("delta")
	}
	return e
}

// Unnamed returns the text of an error event without the name of the client's event
// that it is about.
func (e *RealtimeEvent) Unnamed(data []byte) []byte {
	if e.about.Kind() == Missing {
		return data
	}
	return Apply(data, e.about.Replace("null"))
}

// RealtimeError returns the event that tells a client of an error. About is the id
// of its own event that the error is about, "" where there is none.
func RealtimeError(e *Error, id, about string) []byte {
	kind := e.Type
	if kind == "" {
		kind = typeOf(e.Status)
	}
	if len(about) > maxEventID {
		about = ""
	}
	return fmt.Appendf(nil, `{"type":"error","event_id":%s,"error":{"type":%s,"code":%s,"message":%s,"param":%s,"event_id":%s}}`,
		Quote(id), Quote(kind), quoteOrNull(e.Code), Quote(e.shown()), quoteOrNull(e.Param), quoteOrNull(about))
}
