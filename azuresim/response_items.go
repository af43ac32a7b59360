package azuresim

import (
	"encoding/base64"
	"slices"
	"strings"
)

// builtin is a tool that runs at Azure: its item, and the events between those
// that add the item and finish it.
type builtin struct {
	item   string
	prefix string
	events []string // in order; "*_code" and "*_arguments" are deltas of that field
	fields func(query string) object
}

// builtins are the built-in tools by the type a request names them by.
func builtins() map[string]builtin {
	search := builtin{"web_search_call", "ws_", []string{"in_progress", "searching", "completed"}, func(query string) object {
		return object{"action": object{"type": "search", "query": query}}
	}}
	return map[string]builtin{
		"web_search": search, "web_search_preview": search,
		"file_search": {"file_search_call", "fs_", []string{"in_progress", "searching", "completed"}, func(query string) object {
			return object{"queries": []string{query}, "results": nil}
		}},
		"code_interpreter": {"code_interpreter_call", "ci_", []string{"in_progress", "code", "interpreting", "completed"}, func(query string) object {
			return object{"code": "print(" + encode(query) + ")", "container_id": "cntr_sim", "outputs": nil}
		}},
		"image_generation": {"image_generation_call", "ig_", []string{"in_progress", "generating", "partial_image", "completed"}, func(query string) object {
			return object{
				"result": picture(query), "revised_prompt": query, "size": "1024x1024", "quality": "high",
				"background": "opaque", "output_format": "png", "action": "generate",
			}
		}},
		"mcp": {"mcp_call", "mcp_", []string{"in_progress", "arguments", "completed"}, func(query string) object {
			return object{
				"name": "ask", "server_label": "sim", "arguments": encode(object{"question": query}),
				"output": "The server answered: " + query, "error": nil, "approval_request_id": nil,
			}
		}},
	}
}

// itemPrefix is how the id of an item begins.
func itemPrefix(o object) string {
	kind, _ := o["type"].(string)
	switch kind {
	case "function_call", "function_call_output":
		return "fc_"
	case "custom_tool_call", "custom_tool_call_output":
		return "ctc_"
	case "reasoning":
		return "rs_"
	case "mcp_list_tools":
		return "mcpl_"
	case "compaction":
		return "cmp_"
	}
	for _, b := range builtins() {
		if b.item == kind {
			return b.prefix
		}
	}
	return "msg_"
}

// outputItems composes the items of the answer m, each with its id. Call it with
// the server's mutex held.
func (c *call) outputItems(m completion) []object {
	var list []object
	if c.dep.Reasoning {
		list = append(list, c.reasoningItem())
	}
	cited := ""
	for _, t := range m.calls {
		list = append(list, c.callItems(t)...)
		cited = t.builtin
	}
	bound := m.finish == "length" && c.chat.maxTokens() > 0 && c.chat.maxTokens() <= c.reasoningTokens()
	if (len(m.calls) == 0 || cited != "") && !bound {
		list = append(list, c.messageItem(m, cited))
	}
	for _, o := range list {
		o["id"] = c.srv.newID(itemPrefix(o), 48)
	}
	return list
}

// reasoningItem has a summary and the sealed reasoning where they are asked for.
func (c *call) reasoningItem() object {
	o := object{"type": "reasoning", "summary": []object{}}
	if s := c.resp.reasoning.Summary; s != "" && s != "none" {
		o["summary"] = []object{{"type": "summary_text", "text": "**Reading** The user said: " + firstWords(c.chat.lastUser(), 8)}}
	}
	if slices.Contains(c.resp.include, "reasoning.encrypted_content") {
		o["encrypted_content"] = c.srv.seal("reasoning about " + c.chat.lastUser())
	}
	return o
}

// callItems is a tool's call. A call of MCP comes behind the listing of the
// server's tools.
func (c *call) callItems(t toolCall) []object {
	b := builtins()[t.builtin]
	switch {
	case t.custom:
		return []object{{"type": "custom_tool_call", "call_id": t.id, "name": t.name, "input": t.arguments, "status": "completed"}}
	case t.builtin == "":
		return []object{{"type": "function_call", "call_id": t.id, "name": t.name, "arguments": t.arguments, "status": "completed"}}
	}
	query := t.arguments
	if query == "" {
		query = firstWords(c.chat.lastUser(), 8)
	}
	o := b.fields(query)
	o["type"], o["status"] = b.item, "completed"
	if t.builtin != "mcp" {
		return []object{o}
	}
	for _, have := range c.chat.tools {
		if have.Label != "" {
			o["server_label"] = have.Label
		}
	}
	tools := []object{{"name": "ask", "description": "Asks.", "input_schema": object{"type": "object"}, "annotations": nil}}
	return []object{{"type": "mcp_list_tools", "server_label": o["server_label"], "tools": tools, "error": nil}, o}
}

// messageItem is the text or the refusal, with a citation of the search before
// it.
func (c *call) messageItem(m completion, cited string) object {
	part := object{"type": "output_text", "text": m.text, "annotations": []object{}, "logprobs": []object{}}
	if m.refusal {
		part = object{"type": "refusal", "refusal": m.text}
	}
	end := len([]rune(m.text))
	switch {
	case m.refusal:
	case strings.HasPrefix(cited, "web_search"):
		part["annotations"] = []object{{"type": "url_citation", "url": "https://example.com/", "title": "Example", "start_index": 0, "end_index": end}}
	case cited == "file_search":
		part["annotations"] = []object{{"type": "file_citation", "file_id": "assistant-sim", "filename": "sim.txt", "index": end}}
	}
	return object{"type": "message", "role": "assistant", "status": "completed", "content": []object{part}}
}

// seal returns text as only this resource can have made it.
func (s *Server) seal(text string) string {
	body := base64.RawURLEncoding.EncodeToString([]byte(text))
	return "gAAAAAB" + base64.RawURLEncoding.EncodeToString(s.sum("seal "+body)) + "." + body
}

// sealed reports whether this resource made text.
func (s *Server) sealed(text string) bool {
	mac, body, ok := strings.Cut(strings.TrimPrefix(text, "gAAAAAB"), ".")
	return ok && mac == base64.RawURLEncoding.EncodeToString(s.sum("seal "+body))
}
