package azuresim

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/coder/websocket"
)

// utterance is a response of a session while it is said.
type utterance struct {
	rt    *realtime
	id    string
	item  object
	list  []spoken
	audio bool
	text  string
}

// spoken is one event of an utterance.
type spoken struct {
	kind, name string
	fields     object
	bytes      int
}

// respond answers the conversation, and reports whether the session goes on.
func (rt *realtime) respond(text string) bool {
	c := rt.c
	if rt.answers++; rt.answers > 1 {
		c.step = Step{}
	}
	c.now = c.srv.cfg.Now()
	rt.settings(text)
	c.strikeText()
	if !c.step.whole() {
		if full := c.admit(); full != nil {
			c.step.become(full)
		}
	}
	u := &utterance{rt: rt, id: fmt.Sprintf("resp_%06d%03d", c.number, rt.answers)}
	switch {
	case c.step.CloseAfterRead:
		return false
	case c.step.Hang:
		return true
	case c.step.whole():
		return rt.refuse(u)
	}
	m := c.completions()[0]
	u.compose(m)
	return rt.send("response.created", object{"response": u.response("in_progress", nil)}) && rt.limits() && u.say(m)
}

// settings reads what session and event say about the answer.
func (rt *realtime) settings(text string) {
	q := rt.c.chat
	var event struct{ Response object }
	_ = json.Unmarshal([]byte(text), &event) // It was decoded before.
	all := maps.Clone(rt.session)
	maps.Copy(all, event.Response)
	q.tools, q.choice, q.completion = nil, toolChoice{}, nil
	for name, into := range map[string]any{"tools": &q.tools, "tool_choice": &q.choice, "max_output_tokens": &q.completion} {
		if json.Unmarshal([]byte(encode(all[name])), into) != nil && name == "max_output_tokens" {
			q.completion = nil // It may be "inf".
		}
	}
	modes, _ := all[rt.named("modalities", "output_modalities")].([]any)
	rt.speaks = slices.Contains(modes, any("audio"))
	q.fields["tools"] = json.RawMessage(encode(all["tools"]))
}

// refuse ends a response with the error of a fault. How Azure says it is
// guessed.
func (rt *realtime) refuse(u *utterance) bool {
	var body struct{ Error object }
	if json.Unmarshal([]byte(rt.c.step.Body), &body) != nil || body.Error == nil {
		body.Error = object{"message": http.StatusText(rt.c.step.Status), "code": "server_error"}
	}
	body.Error["type"] = "server_error"
	if rt.c.step.Status == http.StatusTooManyRequests {
		body.Error["type"] = "rate_limit_exceeded"
	}
	return rt.send("response.created", object{"response": u.response("in_progress", nil)}) &&
		rt.send("response.done", object{"response": u.response("failed", object{"type": "failed", "error": body.Error})})
}

// limits tells what the deployment admits.
func (rt *realtime) limits() bool {
	d := rt.c.dep
	one := func(name string, limit int) object {
		return object{"name": name, "limit": limit, "remaining": limit, "reset_seconds": 60}
	}
	return rt.send("rate_limits.updated", object{"rate_limits": []object{one("requests", d.RPM), one("tokens", d.TPM)}})
}

// response is the object of the response in status.
func (u *utterance) response(status string, details any) object {
	output := []object{}
	if u.item != nil && status != "in_progress" {
		output = append(output, u.item)
	}
	return object{
		"id": u.id, "object": "realtime.response", "status": status, "status_details": details, "output": output,
		"conversation_id": fmt.Sprintf("conv_%06d", u.rt.c.number), "metadata": nil, "usage": nil,
		u.rt.named("modalities", "output_modalities"): u.rt.session[u.rt.named("modalities", "output_modalities")],
	}
}

// compose makes the events between the response's creation and its end.
func (u *utterance) compose(m completion) {
	rt := u.rt
	u.text = m.text
	u.audio = rt.speaks
	u.item = object{"id": rt.itemID(), "object": "realtime.item", "type": "message", "role": "assistant", "status": "completed"}
	part := object{"type": rt.named("text", "output_text"), "text": m.text}
	if u.audio {
		part = object{"type": rt.named("audio", "output_audio"), "transcript": m.text}
	}
	if m.calls != nil {
		t := m.calls[0]
		u.item["type"], u.item["call_id"], u.item["name"], u.item["arguments"] = "function_call", t.id, t.name, t.arguments
		delete(u.item, "role")
	} else {
		u.item["content"] = []object{part}
	}
	rt.items++
	begun := maps.Clone(u.item)
	begun["status"], begun["content"] = "in_progress", []object{}
	u.add(kindRole, "response.output_item.added", object{"item": begun}, 0)
	if m.calls != nil {
		u.call(m.calls[0])
	} else {
		u.part()
	}
	u.add(kindRole, "response.output_item.done", object{"item": u.item}, 0)
}

func (u *utterance) add(kind, name string, o object, bytes int) {
	o["response_id"], o["output_index"] = u.id, 0
	if o["item"] == nil {
		o["item_id"] = u.item["id"]
	}
	u.list = append(u.list, spoken{kind, name, o, bytes})
}

func (u *utterance) call(t toolCall) {
	for _, piece := range pieces(t.arguments, 1, false) {
		u.add(kindContent, "response.function_call_arguments.delta", object{"call_id": t.id, "delta": piece}, len(piece))
	}
	u.add(kindRole, "response.function_call_arguments.done", object{"call_id": t.id, "name": t.name, "arguments": t.arguments}, 0)
}

// part adds the one part of a message: text, or sound and its transcript.
func (u *utterance) part() {
	rt := u.rt
	text, sound := rt.named("response.text", "response.output_text"), rt.named("response.audio", "response.output_audio")
	in := func(o object) object { o["content_index"] = 0; return o }
	key, kind := "text", "text" // Unlike an item's, the kinds of the parts of events were never renamed.
	if u.audio {
		text, key, kind = sound+"_transcript", "transcript", "audio"
	}
	u.add(kindRole, "response.content_part.added", in(object{"part": object{"type": kind, key: ""}}), 0)
	for _, piece := range pieces(u.text, burst, rt.c.step.shape.whole) {
		u.add(kindContent, text+".delta", in(object{"delta": piece}), len(piece))
		if u.audio {
			u.add(kindRole, sound+".delta", in(object{"delta": base64.StdEncoding.EncodeToString([]byte(piece))}), 0)
		}
	}
	if u.audio {
		u.add(kindRole, sound+".done", in(object{}), 0)
	}
	u.add(kindRole, text+".done", in(object{key: u.text}), 0)
	u.add(kindRole, "response.content_part.done", in(object{"part": object{"type": kind, key: u.text}}), 0)
}

// say sends the events and the response's end. A cut closes the connection, in
// the way of the step; what came meanwhile is answered behind the response.
func (u *utterance) say(m completion) bool {
	rt, s := u.rt, &u.rt.c.step
	status, bytes, sent := "completed", 0, 0
	if !rt.pause(s.Delay + rt.c.dep.Latency) {
		return u.end(m, "cancelled", 0)
	}
	for _, e := range u.list {
		if !rt.pause(rt.c.gap()) {
			status = "cancelled"
			break
		}
		if s.CutEvents > 0 && sent >= s.CutEvents {
			rt.cut()
			return false
		}
		if !rt.send(e.name, e.fields) {
			return false
		}
		bytes += e.bytes
		if !s.OfContent || e.kind == kindContent {
			sent++
		}
	}
	return u.end(m, status, bytes)
}

// cut ends the session in the middle of a response: with an error event where
// the step injects something, and with a close where it does not reset.
func (rt *realtime) cut() {
	if rt.c.step.Inject != "" {
		rt.send("error", object{"error": object{"type": "server_error", "code": "server_error", "message": "The server had an error while processing your request.", "param": nil}})
	}
	if !rt.c.step.Reset {
		_ = rt.conn.Close(websocket.StatusInternalError, "The server had an error.")
	}
}

// end tells of the response's end and its usage, and remembers the answer.
func (u *utterance) end(m completion, status string, bytes int) bool {
	rt, c := u.rt, u.rt.c
	prompt, output := c.chat.promptTokens(), textTokens(bytes)
	rt.prompt, rt.output = rt.prompt+prompt, rt.output+output
	c.note(func(r *Request) {
		r.PromptTokens, r.CompletionTokens = rt.prompt, rt.output
		c.gate.settle(prompt + output)
		c.gate = ticket{}
	})
	var details any
	switch {
	case status == "cancelled":
		details = object{"type": "cancelled", "reason": "client_cancelled"}
	case m.finish == "length" || m.finish == "content_filter":
		status = "incomplete"
		details = object{"type": status, "reason": map[string]string{"length": "max_output_tokens", "content_filter": "content_filter"}[m.finish]}
	}
	o := u.response(status, details)
	audio := c.chat.tokens
	spokenText, spokenAudio := output, 0
	if u.audio {
		spokenText, spokenAudio = 0, output
	}
	o["usage"] = object{
		"total_tokens": prompt + output, "input_tokens": prompt, "output_tokens": output,
		"input_token_details":  object{"text_tokens": prompt - audio, "audio_tokens": audio, "cached_tokens": 0},
		"output_token_details": object{"text_tokens": spokenText, "audio_tokens": spokenAudio},
	}
	if c.step.shape.noUsage {
		delete(o, "usage")
	}
	c.chat.messages = append(c.chat.messages, answered(m)...)
	return rt.send("response.done", object{"response": o})
}

// pause lets d pass, and reports whether the response goes on: it does not once
// the client cancels it or goes away.
func (rt *realtime) pause(d time.Duration) bool {
	over, stop := after(d)
	defer stop()
	for {
		select {
		case text, ok := <-rt.incoming:
			var e clientEvent
			_ = json.Unmarshal([]byte(text), &e) // What is no event waits for its refusal.
			if !ok || e.Type == "response.cancel" {
				return false
			}
			rt.waiting = append(rt.waiting, text)
		case <-over:
			return true
		}
	}
}

// after returns what can be received from once d has passed, and what ends that. No
// time needs no timer: in a bubble of testing/synctest those that are due when they
// are first looked at end the race detector, where several are at once (golang/go#78156).
func after(d time.Duration) (over <-chan time.Time, stop func()) {
	if d <= 0 {
		now := make(chan time.Time, 1)
		now <- time.Now()
		return now, func() {}
	}
	timer := time.NewTimer(d)
	return timer.C, func() { timer.Stop() }
}
