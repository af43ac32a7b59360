package azuresim

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// The bounds of a session: its length, as Azure has it, a message's bytes, and
// how many messages may wait and are kept in its record.
const (
	sessionLength   = 30 * time.Minute
	messageMost     = 16 << 20
	messagesKept    = 1000
	audioTokenBytes = 2400 // of PCM: a twentieth of a second
)

// realtime is one session over a WebSocket. One goroutine reads; everything else
// is done by the request's own.
type realtime struct {
	c        *call
	conn     *websocket.Conn
	incoming chan string
	waiting  []string // what came during a response
	session  object
	heard    int // bytes in the audio buffer
	sent     int // events
	answers  int
	items    int
	prompt   int  // tokens of all responses
	output   int  // tokens of all responses
	preview  bool // the names before general availability
	speaks   bool // the response is in sound
}

// readRealtime wants an upgrade. Azure's refusal of a plain GET is guessed.
func (c *call) readRealtime() *Step {
	if !strings.EqualFold(c.r.Header.Get("Upgrade"), "websocket") {
		return doorError(http.StatusUpgradeRequired, "UpgradeRequired", "This endpoint speaks WebSocket only.")
	}
	c.chat = &chatRequest{n: 1, fields: map[string]json.RawMessage{}}
	return nil
}

// converse serves a session until either side ends it.
func (c *call) converse() {
	c.successHeaders(c.w.Header())
	c.head(http.StatusSwitchingProtocols, "")
	c.w.Header().Del("Content-Type")
	conn, err := websocket.Accept(c.w, c.r, &websocket.AcceptOptions{Subprotocols: []string{"realtime"}, InsecureSkipVerify: true})
	if err != nil {
		c.note(func(r *Request) { r.Status = http.StatusBadRequest })
		return
	}
	conn.SetReadLimit(messageMost)
	ctx, cancel := context.WithCancel(c.r.Context())
	rt := &realtime{c: c, conn: conn, incoming: make(chan string, messagesKept), preview: c.route.family == familyClassic}
	stopped := make(chan struct{})
	go func() { defer close(stopped); rt.read(ctx) }()
	defer func() {
		cancel()
		_ = conn.CloseNow()
		<-stopped
	}()
	c.step.Delay = 0 // It is over.
	rt.open()
	limit := time.NewTimer(sessionLength)
	defer limit.Stop()
	for {
		select {
		case text, ok := <-rt.incoming:
			if !ok || !rt.handleAll(text) {
				return
			}
		case <-limit.C:
			rt.fail("session_expired", "Your session hit the maximum duration of 30 minutes.", "", "")
			_ = conn.Close(websocket.StatusGoingAway, "session expired")
			return
		}
	}
}

// read hands over the client's messages until the connection ends.
func (rt *realtime) read(ctx context.Context) {
	defer close(rt.incoming)
	for {
		_, b, err := rt.conn.Read(ctx)
		if err != nil {
			if websocket.CloseStatus(err) < 0 && ctx.Err() == nil {
				rt.c.note(func(r *Request) { r.Cancelled = true })
			}
			return
		}
		rt.c.note(func(r *Request) {
			if len(r.Messages) < messagesKept {
				r.Messages = append(r.Messages, string(b))
			}
			r.Size += int64(len(b))
		})
		select {
		case rt.incoming <- string(b):
		case <-ctx.Done():
			return
		}
	}
}

// send sends an event; its id is its number.
func (rt *realtime) send(name string, o object) bool {
	rt.sent++
	o["type"], o["event_id"] = name, fmt.Sprintf("event_%06d", rt.sent)
	return rt.conn.Write(rt.c.r.Context(), websocket.MessageText, []byte(encode(rt.c.adorn(o)))) == nil
}

// fail sends an error about a client's event.
func (rt *realtime) fail(code, message, param, event string) bool {
	e := object{"type": "invalid_request_error", "code": code, "message": message, "param": nil, "event_id": nil}
	if param != "" {
		e["param"] = param
	}
	if event != "" {
		e["event_id"] = event
	}
	return rt.send("error", object{"error": e})
}

// open begins the session. Unlike Azure's it answers in text until it is told
// otherwise, and never finds the end of speech by itself.
func (rt *realtime) open() {
	rt.session = object{
		"id": fmt.Sprintf("sess_%06d", rt.c.number), "object": "realtime.session", "model": rt.c.dep.Model,
		"expires_at": rt.c.now.Add(sessionLength).Unix(), "instructions": "", "tools": []any{}, "tool_choice": "auto",
		"turn_detection": nil, rt.named("modalities", "output_modalities"): []any{"text"},
	}
	if !rt.preview {
		rt.session["type"] = "realtime"
	}
	rt.send("session.created", object{"session": rt.session})
}

// named is the name before general availability, or since.
func (rt *realtime) named(before, since string) string {
	if rt.preview {
		return before
	}
	return since
}

// clientEvent is what is read of a client's event.
type clientEvent struct {
	Type    string          `json:"type"`
	EventID string          `json:"event_id"`
	Session object          `json:"session"`
	Item    json.RawMessage `json:"item"`
	ItemID  string          `json:"item_id"`
	Audio   string          `json:"audio"`
}

// handleAll answers an event and those that came meanwhile.
func (rt *realtime) handleAll(text string) bool {
	for rt.waiting = []string{text}; len(rt.waiting) > 0; {
		next := rt.waiting[0]
		rt.waiting = rt.waiting[1:]
		if !rt.handle(next) {
			return false
		}
	}
	return true
}

// handle answers one event, and reports whether the session goes on.
func (rt *realtime) handle(text string) bool {
	var e clientEvent
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return rt.fail("invalid_json", "Could not parse the event as JSON.", "", "")
	}
	switch e.Type {
	case "session.update":
		maps.Copy(rt.session, e.Session)
		return rt.send("session.updated", object{"session": rt.session})
	case "conversation.item.create":
		return rt.create(e)
	case "conversation.item.delete":
		return rt.send("conversation.item.deleted", object{"item_id": e.ItemID})
	case "input_audio_buffer.append":
		rt.heard += base64.StdEncoding.DecodedLen(len(e.Audio))
		return true
	case "input_audio_buffer.clear":
		rt.heard = 0
		return rt.send("input_audio_buffer.cleared", object{})
	case "input_audio_buffer.commit":
		return rt.commit(e)
	case "response.create":
		return rt.respond(text)
	case "response.cancel":
		return rt.fail("response_cancel_not_active", "Cancellation failed: no active response found", "", e.EventID)
	default:
		return rt.fail("invalid_value", "Invalid value: '"+e.Type+"'.", "type", e.EventID)
	}
}

// create adds the client's item to the conversation.
func (rt *realtime) create(e clientEvent) bool {
	var item object
	var m struct {
		Type, Role, Output string
		CallID             string `json:"call_id"`
		Content            json.RawMessage
	}
	if json.Unmarshal(e.Item, &item) != nil || json.Unmarshal(e.Item, &m) != nil || m.Type == "" {
		return rt.fail("missing_required_parameter", "Missing required parameter: 'item.type'.", "item.type", e.EventID)
	}
	said := message{Role: m.Role, Content: m.Content}
	said.read()
	if m.Type == "function_call_output" {
		said = message{Role: "tool", text: m.Output, Name: m.CallID}
	}
	return rt.add(item, said)
}

// commit makes a message of the audio buffer.
func (rt *realtime) commit(e clientEvent) bool {
	if rt.heard == 0 {
		return rt.fail("input_audio_buffer_commit_empty", "Error committing input audio buffer: buffer too small.", "", e.EventID)
	}
	rt.c.chat.tokens += rt.heard / audioTokenBytes
	transcript := fmt.Sprintf("audio of %d bytes", rt.heard)
	rt.heard = 0
	content := []object{{"type": "input_audio", "transcript": transcript}}
	item := object{"type": "message", "role": "user", "content": content}
	return rt.send("input_audio_buffer.committed", object{"item_id": rt.itemID(), "previous_item_id": nil}) &&
		rt.add(item, message{Role: "user", text: transcript})
}

func (rt *realtime) itemID() string { return fmt.Sprintf("item_%06d%03d", rt.c.number, rt.items) }

// add tells the client of an item, and remembers what it says.
func (rt *realtime) add(item object, said message) bool {
	if item["id"] == nil {
		item["id"] = rt.itemID()
	}
	rt.items++
	item["object"], item["status"] = "realtime.item", "completed"
	rt.c.chat.messages = append(rt.c.chat.messages, said)
	o := func() object { return object{"item": item, "previous_item_id": nil} }
	if rt.preview {
		return rt.send("conversation.item.created", o())
	}
	return rt.send("conversation.item.added", o()) && rt.send("conversation.item.done", o())
}
