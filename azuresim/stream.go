package azuresim

import (
	"slices"
	"strings"
)

// The kinds of a stream's events.
const (
	kindPrompt  = "prompt"  // the annotation of the prompt
	kindRole    = "role"    //
	kindContent = "content" // text, refusal or tool calls
	kindFilter  = "filter"  // an asynchronous annotation
	kindFinish  = "finish"
	kindUsage   = "usage"
	kindDone    = "done"
)

// event is one event of a stream before it is framed.
type event struct {
	kind   string
	name   string // of a named event, "" for none
	data   string
	choice int
	bytes  int // of output that this event carries
}

// burst is how many words Azure's default filter lets through at a time.
const burst = 4

// events composes the stream of a request: every choice's events by turns.
func (c *call) events(all []completion) []event {
	var list []event
	if c.azure() {
		list = append(list, c.bare(kindPrompt, object{"choices": []any{}, "prompt_filter_results": promptFilter()}))
	}
	lines := make([][]event, len(all))
	longest, output := 0, c.answerTokens(all)
	for i, m := range all {
		lines[i] = c.line(i, m)
		longest = max(longest, len(lines[i]))
	}
	for k := range longest {
		for _, line := range lines {
			if k < len(line) {
				list = append(list, line[k])
			}
		}
	}
	if c.chat.usage && !c.step.shape.noUsage {
		o := c.envelope("chat.completion.chunk")
		o["choices"], o["usage"] = []any{}, c.usage(output)
		list = append(list, event{kind: kindUsage, data: encode(c.adorn(o))})
	}
	if !c.step.NoDone {
		done := c.step.shape.done
		if done == "" {
			done = "[DONE]"
		}
		list = append(list, event{kind: kindDone, data: done})
	}
	return c.hide(list)
}

// hide leaves out what the step hides.
func (c *call) hide(list []event) []event {
	return slices.DeleteFunc(list, func(e event) bool { return slices.Contains(c.step.shape.hidden, e.kind) })
}

// line is the stream of one choice, from its role to its finish.
func (c *call) line(i int, m completion) []event {
	role := object{"role": "assistant", "content": "", "refusal": nil}
	if m.calls != nil {
		role["content"] = nil
	}
	list := []event{c.chunk(kindRole, i, role, object{})}
	if c.asyncFilter() {
		list[0] = c.chunk(kindRole, i, role, nil)
	}
	if m.calls != nil {
		list = append(list, c.callEvents(i, m.calls)...)
	} else {
		list = append(list, c.textEvents(i, m)...)
	}
	if c.asyncFilter() && m.finish == "content_filter" {
		return append(list, c.annotation(i, m.finish, len(m.text)))
	}
	finish := c.finishEvent(i, m.finish)
	list = append(list, finish)
	if c.asyncFilter() {
		list = append(list, c.annotation(i, nil, len(m.text)))
	}
	return list
}

func (c *call) finishEvent(i int, reason string) event {
	o := c.chunkObject(i, object{}, object{})
	if c.asyncFilter() || c.step.shape.filter != nil {
		o = c.chunkObject(i, object{}, c.step.shape.filter)
	}
	choice, _ := o["choices"].([]any)[0].(object)
	choice["finish_reason"] = reason
	return event{kind: kindFinish, data: encode(o), choice: i}
}

func (c *call) textEvents(i int, m completion) []event {
	var list []event
	key := "content"
	if m.refusal {
		key = "refusal"
	}
	filter, n := c.outputFilter(), burst
	if c.asyncFilter() {
		filter, n = nil, 1
	}
	if c.speaks(m) {
		return c.soundEvents(i, m)
	}
	for _, piece := range pieces(m.text, n, c.step.shape.whole) {
		e := c.chunk(kindContent, i, object{key: piece}, filter)
		e.bytes = len(piece)
		list = append(list, e)
	}
	if c.asyncFilter() && len(list) > 2 {
		list = slices.Insert(list, len(list)/2, c.annotation(i, nil, len(m.text)/2))
	}
	return list
}

// callEvents opens each call and then sends its arguments in three pieces.
func (c *call) callEvents(i int, calls []toolCall) []event {
	var list []event
	for k, t := range calls {
		arguments, inner, key := t.arguments, "function", "arguments"
		if t.custom {
			inner, key = "custom", "input"
		}
		t.arguments = ""
		head := t.object()
		head["index"] = k
		e := c.chunk(kindContent, i, object{"tool_calls": []any{head}}, object{})
		e.bytes = len(t.name)
		list = append(list, e)
		for arguments != "" {
			cut := len(arguments)
			if third := (cut + 2) / 3; len(list) < 3 && cut > 3 {
				cut = runeEnd(arguments, third)
			}
			piece := object{"index": k, inner: object{key: arguments[:cut]}}
			e := c.chunk(kindContent, i, object{"tool_calls": []any{piece}}, object{})
			e.bytes = cut
			list = append(list, e)
			arguments = arguments[cut:]
		}
	}
	return list
}

// chunk is an event with a delta, and with filter results unless filter is nil.
func (c *call) chunk(kind string, i int, delta, filter object) event {
	return event{kind: kind, choice: i, data: encode(c.chunkObject(i, delta, filter))}
}

func (c *call) chunkObject(i int, delta, filter object) object {
	o := c.envelope("chat.completion.chunk")
	choice := object{"index": i, "delta": delta, "finish_reason": nil, "logprobs": nil}
	if c.azure() && filter != nil {
		choice["content_filter_results"] = filter
	}
	o["choices"] = []any{choice}
	if c.chat.usage {
		o["usage"] = nil
	}
	return c.adorn(o)
}

// annotation is an asynchronous filter's event: a choice without delta.
func (c *call) annotation(i int, finish any, end int) event {
	filter := severities()
	if c.step.shape.filter != nil {
		filter = c.step.shape.filter
	}
	start := 4 * c.chat.promptTokens()
	return c.bare(kindFilter, object{"choices": []any{object{
		"index": i, "finish_reason": finish, "content_filter_results": filter,
		"content_filter_offsets": object{"check_offset": start + end, "start_offset": start, "end_offset": start + end},
	}}})
}

// bare is a chunk that names neither answer nor model.
func (c *call) bare(kind string, o object) event {
	o["id"], o["object"], o["created"], o["model"] = "", "", 0, ""
	if c.chat.usage {
		o["usage"] = nil
	}
	return event{kind: kind, data: encode(c.adorn(o))}
}

func (c *call) asyncFilter() bool {
	return c.azure() && (c.dep.AsyncFilter || c.srv.cfg.AsyncFilter || c.step.shape.async)
}

// pieces cuts text behind every n words. Joined they are the text.
func pieces(text string, n int, whole bool) []string {
	if text == "" {
		return nil
	}
	if whole {
		return []string{text}
	}
	words := strings.SplitAfter(text, " ")
	var list []string
	for group := range slices.Chunk(words, n) {
		if piece := strings.Join(group, ""); piece != "" {
			list = append(list, piece)
		}
	}
	return list
}

// frame is the event as it stands on the wire.
func (s shape) frame(e event) string {
	line := "data: "
	if s.noSpace {
		line = "data:"
	}
	text := s.preface + line + e.data + "\n\n"
	if e.name != "" {
		text = "event: " + e.name + "\n" + text
	}
	if s.crlf {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return text
}

// runeEnd returns the end of the rune in which byte i of text lies.
func runeEnd(text string, i int) int {
	for i < len(text) && text[i]&0xC0 == 0x80 {
		i++
	}
	return i
}
