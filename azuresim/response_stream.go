package azuresim

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
)

// typedStream is a stream whose events have names and numbers, while it is
// composed.
type typedStream struct {
	c    *call
	list []event
}

// add adds an event called name with the fields of o.
func (t *typedStream) add(kind, name string, o object, bytes int) {
	o["type"], o["sequence_number"] = name, len(t.list)
	t.list = append(t.list, event{kind: kind, name: name, data: encode(t.c.adorn(o)), bytes: bytes})
}

// responseEvents is the whole stream of r.
func (c *call) responseEvents(r *response) []event {
	t := &typedStream{c: c}
	life := func(kind, name, status string) {
		t.add(kind, "response."+name, object{"response": r.object(status)}, 0)
	}
	life(kindRole, "created", "in_progress")
	if r.waits {
		life(kindRole, "queued", "queued")
	}
	life(kindRole, "in_progress", "in_progress")
	for i, o := range r.items {
		t.item(i, o)
	}
	if r.status == "failed" {
		t.breakOff()
	}
	life(kindFinish, r.status, r.status)
	return c.hide(t.list)
}

// breakOff forgets what comes behind the first content.
func (t *typedStream) breakOff() {
	for i, e := range t.list {
		if e.kind == kindContent {
			t.list = t.list[:i+1]
			return
		}
	}
}

// item adds the events of one item of the output.
func (t *typedStream) item(i int, o object) {
	begun := maps.Clone(o)
	for _, name := range []string{"arguments", "input", "code"} {
		if _, ok := begun[name]; ok {
			begun[name] = ""
		}
	}
	for _, name := range []string{"content", "summary", "tools"} {
		if _, ok := begun[name]; ok {
			begun[name] = []any{}
		}
	}
	if _, ok := begun["status"]; ok {
		begun["status"] = "in_progress"
	}
	delete(begun, "result")
	t.add(kindRole, "response.output_item.added", object{"output_index": i, "item": begun}, 0)
	at := func(more object) object {
		more["item_id"], more["output_index"] = o["id"], i
		return more
	}
	switch kind, _ := o["type"].(string); kind {
	case "message":
		t.message(o, at)
	case "reasoning":
		t.summary(o, at)
	case "function_call":
		t.deltas("response.function_call_arguments", "arguments", o, at)
	case "custom_tool_call":
		t.deltas("response.custom_tool_call_input", "input", o, at)
	case "mcp_list_tools":
		t.add(kindRole, "response.mcp_list_tools.in_progress", at(object{}), 0)
		t.add(kindRole, "response.mcp_list_tools.completed", at(object{}), 0)
	default:
		t.builtin(kind, o, at)
	}
	t.add(kindRole, "response.output_item.done", object{"output_index": i, "item": o}, 0)
}

// message adds the events of a message's one part.
func (t *typedStream) message(o object, at func(object) object) {
	parts, _ := o["content"].([]object)
	part := parts[0]
	inPart := func(more object) object {
		more["content_index"] = 0
		return at(more)
	}
	key, name := "text", "response.output_text"
	if part["type"] == "refusal" {
		key, name = "refusal", "response.refusal"
	}
	empty := maps.Clone(part)
	empty[key] = ""
	if key == "text" {
		empty["annotations"] = []any{}
	}
	t.add(kindRole, "response.content_part.added", inPart(object{"part": empty}), 0)
	text, _ := part[key].(string)
	for _, piece := range t.pieces(text) {
		more := object{"delta": piece}
		if key == "text" {
			more["logprobs"] = []any{}
		}
		t.add(kindContent, name+".delta", inPart(more), len(piece))
	}
	notes, _ := part["annotations"].([]object)
	for k, note := range notes {
		t.add(kindRole, name+".annotation.added", inPart(object{"annotation_index": k, "annotation": note}), 0)
	}
	done := object{key: text}
	if key == "text" {
		done["logprobs"] = []any{}
	}
	t.add(kindRole, name+".done", inPart(done), 0)
	t.add(kindRole, "response.content_part.done", inPart(object{"part": part}), 0)
}

func (t *typedStream) pieces(text string) []string {
	n := burst
	if t.c.asyncFilter() {
		n = 1
	}
	return pieces(text, n, t.c.step.shape.whole)
}

// summary adds the events of a reasoning's summary.
func (t *typedStream) summary(o object, at func(object) object) {
	parts, _ := o["summary"].([]object)
	for k, part := range parts {
		inPart := func(more object) object {
			more["summary_index"] = k
			return at(more)
		}
		text, _ := part["text"].(string)
		t.add(kindRole, "response.reasoning_summary_part.added", inPart(object{"part": object{"type": "summary_text", "text": ""}}), 0)
		for _, piece := range t.pieces(text) {
			t.add(kindRole, "response.reasoning_summary_text.delta", inPart(object{"delta": piece}), 0)
		}
		t.add(kindRole, "response.reasoning_summary_text.done", inPart(object{"text": text}), 0)
		t.add(kindRole, "response.reasoning_summary_part.done", inPart(object{"part": part}), 0)
	}
}

// deltas adds the value called key in three pieces, and then whole.
func (t *typedStream) deltas(name, key string, o object, at func(object) object) {
	text, _ := o[key].(string)
	for rest := text; rest != ""; {
		cut := min(len(rest), max(1, runeEnd(text, (len(text)+2)/3)))
		cut = runeEnd(rest, cut)
		t.add(kindContent, name+".delta", at(object{"delta": rest[:cut]}), cut)
		rest = rest[cut:]
	}
	done := at(object{key: text})
	if tool, ok := o["name"]; ok && key == "arguments" {
		done["name"] = tool
	}
	t.add(kindRole, name+".done", done, 0)
}

// builtin adds the events of a tool that runs at Azure.
func (t *typedStream) builtin(kind string, o object, at func(object) object) {
	for _, b := range builtins() {
		if b.item != kind {
			continue
		}
		for _, name := range b.events {
			switch name {
			case "code", "arguments":
				t.deltas("response."+kind+"_"+name, name, o, at)
			case "partial_image":
				t.add(kindContent, "response."+kind+".partial_image", at(object{"partial_image_index": 0, "partial_image_b64": o["result"]}), 0)
			default:
				t.add(kindRole, "response."+kind+"."+name, at(object{}), 0)
			}
		}
		return
	}
}

// errorForm is one of the shapes in which an error comes inside a stream of
// named events.
type errorForm int

const (
	errorNested errorForm = iota // as it is seen
	errorFlat                    // as it is specified
	errorBoth
)

// typedError is the error event that says what step's body says.
func typedError(step *Step, form errorForm, sequence int) string {
	var body struct{ Error object }
	if err := json.Unmarshal([]byte(step.Body), &body); err != nil {
		panic(fmt.Sprintf("azuresim: an error that is no JSON: %v", err))
	}
	e, inner := object{}, body.Error
	if form != errorNested {
		for _, name := range []string{"code", "message", "param"} {
			e[name] = inner[name]
		}
	}
	if form != errorFlat {
		e["error"] = inner
	}
	e["type"], e["sequence_number"] = "error", sequence
	return "event: error\ndata: " + strings.TrimSpace(encode(e)) + "\n\n"
}
