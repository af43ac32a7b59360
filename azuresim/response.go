package azuresim

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"time"
)

// response is one answer of the Responses API, whole; what a client sees of it
// depends on the time and on a cancel.
type response struct {
	id        string
	head      object // the fields that never change
	input     []object
	items     []object
	context   []message // all that was said, the answer included
	usage     object    // nil where there is none
	filters   []object  // nil where there are none
	status    string    // in the end
	finish    string
	made      time.Time
	ready     time.Time // when a background response has its end
	waits     bool      // it runs in the background
	cancelled bool
	output    int
}

// composeResponse answers a create, and keeps the answer unless told not to.
func (c *call) composeResponse() (*Step, []event) {
	m := c.completions()[0]
	c.srv.mu.Lock()
	r := c.newResponse(m)
	c.keepResponse(r)
	c.srv.mu.Unlock()
	switch {
	case c.wantsStream():
		return nil, c.responseEvents(r)
	case r.waits:
		return answer(http.StatusOK, c.adorn(r.object("queued"))), nil
	default:
		c.bill(r.output)
		return answer(http.StatusOK, c.adorn(r.object(r.status))), nil
	}
}

// newResponse composes the response that says m.
func (c *call) newResponse(m completion) *response {
	p := c.resp
	r := &response{
		id: c.srv.newID("resp_", 48), input: p.items, made: c.now, waits: p.background,
		status: "completed", finish: m.finish,
	}
	r.items = c.outputItems(m)
	r.context = append(slices.Clone(c.chat.messages), answered(m)...)
	r.output = c.reasoningTokens() + textTokens(m.bytes())
	switch {
	case c.step.shape.failed:
		r.status = "failed"
	case m.finish == "length" || m.finish == "content_filter":
		r.status = "incomplete"
	}
	r.ready = c.now.Add(c.dep.Latency + time.Duration(len(r.items))*c.gap())
	r.head = c.responseHead(r.id)
	if !c.step.shape.noUsage {
		r.usage = c.responseUsage(r.output)
	}
	if c.azure() {
		r.filters = c.contentFilters(len(m.text))
	}
	return r
}

// answered is what an answer adds to the conversation.
func answered(m completion) []message {
	var list []message
	for _, t := range m.calls {
		if t.builtin == "" {
			list = append(list, message{Role: "assistant", ToolCalls: json.RawMessage(encode(object{"call_id": t.id, "name": t.name, "arguments": t.arguments}))})
		}
	}
	if m.text != "" {
		list = append(list, message{Role: "assistant", text: m.text})
	}
	return list
}

// keepResponse keeps r, and what was said in its conversation.
func (c *call) keepResponse(r *response) {
	size := len(c.raw) + 4*r.output
	for _, m := range r.context {
		size += len(m.text)
	}
	if c.resp.stored() {
		c.srv.kept.responses.put(r.id, r, size)
	}
	if talk, ok := c.srv.kept.conversations.get(c.resp.conversation); ok {
		talk.context = r.context
	}
}

// responseHead is what a response repeats of its request.
func (c *call) responseHead(id string) object {
	o := object{
		"id": id, "object": "response", "created_at": c.now.Unix(), "model": c.dep.Model,
		"instructions": nil, "max_output_tokens": nil, "max_tool_calls": nil, "metadata": object{},
		"parallel_tool_calls": true, "previous_response_id": nil, "safety_identifier": nil, "prompt_cache_key": nil,
		"service_tier": "default", "temperature": 1.0, "text": object{"format": object{"type": "text"}, "verbosity": "medium"},
		"tool_choice": "auto", "tools": []any{}, "top_logprobs": 0, "top_p": 1.0, "truncation": "disabled", "user": nil,
		"store": true, "background": false, "reasoning": object{"effort": nil, "summary": nil},
	}
	for name := range o {
		if raw, ok := c.chat.fields[name]; ok && name != "model" && string(raw) != "null" {
			o[name] = raw
		}
	}
	if c.resp.conversation != "" {
		o["conversation"] = object{"id": c.resp.conversation}
	}
	return o
}

// responseUsage finds in the cache whatever came before the input, in whole
// blocks of 128 tokens.
func (c *call) responseUsage(output int) object {
	prompt := c.chat.promptTokens()
	return object{
		"input_tokens": prompt, "output_tokens": output, "total_tokens": prompt + output,
		"input_tokens_details":  object{"cached_tokens": c.resp.earlier / 128 * 128},
		"output_tokens_details": object{"reasoning_tokens": min(c.reasoningTokens(), output)},
	}
}

// contentFilters is what only Azure adds to a response.
func (c *call) contentFilters(end int) []object {
	start := 4 * c.chat.promptTokens()
	prompt := severities()
	prompt["jailbreak"] = object{"filtered": false, "detected": false}
	one := func(source string, results object, from, to int) object {
		return object{
			"blocked": false, "source_type": source, "content_filter_results": results, "content_filter_raw": []any{},
			"content_filter_offsets": object{"start_offset": from, "end_offset": to, "check_offset": from},
		}
	}
	completion := one("completion", c.outputFilter(), start, start+end)
	completion["blocked"] = c.step.FinishReason == "content_filter"
	return []object{one("prompt", prompt, 0, start), completion}
}

// object is the response in status.
func (r *response) object(status string) object {
	o := maps.Clone(r.head)
	o["status"], o["error"], o["incomplete_details"], o["completed_at"], o["usage"] = status, nil, nil, nil, nil
	o["output"] = []object{}
	switch status {
	case "completed", "incomplete", "failed":
		o["output"] = r.items
		if r.usage != nil {
			o["usage"] = r.usage
		} else {
			delete(o, "usage")
		}
		if r.filters != nil {
			o["content_filters"] = r.filters
		}
	}
	switch status {
	case "completed":
		o["completed_at"] = r.ready.Unix()
	case "failed":
		o["error"] = object{"code": "server_error", "message": "The model failed to generate a response."}
	case "incomplete":
		reason := map[string]string{"length": "max_output_tokens"}[r.finish]
		o["incomplete_details"] = object{"reason": cmp.Or(reason, r.finish)}
	}
	return o
}

// at is the response as it stands at a time.
func (r *response) at(now time.Time) string {
	switch {
	case r.cancelled:
		return "cancelled"
	case r.waits && now.Before(r.ready):
		return "in_progress"
	default:
		return r.status
	}
}
