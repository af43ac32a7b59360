package azuresim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// responseRequest is what the simulator reads of a request to the Responses API
// besides what a chat has too.
type responseRequest struct {
	items        []object // of the input, each with an id
	include      []string
	store        *bool // nil is true
	background   bool
	previous     string
	conversation string
	reasoning    struct {
		Effort  string `json:"effort"`
		Summary string `json:"summary"`
	}
	limit   *int      // max_output_tokens
	earlier int       // tokens of what came before the input
	context []message // of what came before the input
}

func (q *responseRequest) stored() bool { return q.store == nil || *q.store }

// background reports whether the answer is made while nobody waits for it.
func (c *call) background() bool { return c.resp != nil && c.resp.background }

// readResponse decodes the body as a chat, so that it is answered like one.
func (c *call) readResponse() *Step {
	q, p := &chatRequest{n: 1}, &responseRequest{}
	var input, conversation json.RawMessage
	var instructions string
	var text struct {
		Format struct {
			Type   string          `json:"type"`
			Schema json.RawMessage `json:"schema"`
		} `json:"format"`
	}
	if refused := c.readFields(q, map[string]any{
		"input": &input, "instructions": &instructions, "stream": &q.stream, "max_output_tokens": &p.limit,
		"temperature": &q.heat, "tools": &q.tools, "tool_choice": &q.choice, "text": &text, "reasoning": &p.reasoning,
		"include": &p.include, "store": &p.store, "background": &p.background,
		"previous_response_id": &p.previous, "conversation": &conversation,
	}); refused != nil {
		return refused
	}
	q.completion, q.effort = p.limit, p.reasoning.Effort
	q.format.Type, q.format.JSONSchema.Schema = text.Format.Type, text.Format.Schema
	if instructions != "" {
		q.messages = append(q.messages, message{Role: "developer", text: instructions})
	}
	c.chat, c.resp = q, p
	p.conversation = conversationID(conversation)
	return c.readInput(input)
}

// conversationID reads a conversation, which is an id or an object with one.
func conversationID(raw json.RawMessage) string {
	var id string
	var named struct{ ID string }
	if json.Unmarshal(raw, &id) != nil {
		_ = json.Unmarshal(raw, &named) // Anything else names none.
	}
	return cmp.Or(id, named.ID)
}

// readInput reads a text or a list of items.
func (c *call) readInput(raw json.RawMessage) *Step {
	var said string
	var list []json.RawMessage
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return nil
	case json.Unmarshal(raw, &said) == nil:
		content := encode([]object{{"type": "input_text", "text": said}})
		list = []json.RawMessage{json.RawMessage(encode(object{"type": "message", "role": "user", "content": json.RawMessage(content)}))}
	case json.Unmarshal(raw, &list) != nil:
		return invalid("Invalid type for 'input': expected one of an array or a string.", "input", "invalid_type")
	}
	for i, one := range list {
		if refused := c.readItem(i, one); refused != nil {
			return refused
		}
	}
	return nil
}

// readItem adds an item of the input to the messages, as far as it is one.
func (c *call) readItem(i int, raw json.RawMessage) *Step {
	var o object
	var read struct {
		Type, Role       string
		Content          json.RawMessage
		CallID           string `json:"call_id"`
		Name             string
		Arguments, Input string
		Output           json.RawMessage
	}
	if json.Unmarshal(raw, &o) != nil || o == nil || json.Unmarshal(raw, &read) != nil {
		at := fmt.Sprintf("input[%d]", i)
		return invalid("Invalid type for '"+at+"'.", at, "invalid_type")
	}
	switch kind := cmp.Or(read.Type, "message"); kind {
	case "message":
		m := message{Role: read.Role, Content: read.Content}
		m.read()
		c.chat.messages = append(c.chat.messages, m)
		o["type"], o["status"] = kind, "completed"
		if m.text != "" && len(read.Content) > 0 && read.Content[0] == '"' {
			o["content"] = []object{{"type": "input_text", "text": m.text}}
		}
	case "function_call", "custom_tool_call":
		c.chat.messages = append(c.chat.messages, message{Role: "assistant", ToolCalls: raw})
	case "function_call_output", "custom_tool_call_output", "local_shell_call_output", "shell_call_output", "computer_call_output":
		m := message{Role: "tool", Content: read.Output, Name: read.CallID}
		m.read()
		c.chat.messages = append(c.chat.messages, m)
	}
	c.resp.items = append(c.resp.items, o)
	return nil
}

// hasInput reports whether there is anything to answer.
func (c *call) hasInput() bool {
	return c.chat.has("input") || c.chat.has("prompt") || c.resp.previous+c.resp.conversation != ""
}

// checkResponse refuses what no model takes. Where contract and documentation
// are silent the texts are OpenAI's.
func (c *call) checkResponse() *Step {
	q, p := c.chat, c.resp
	switch {
	case !c.hasInput():
		return invalid("Missing required parameter: 'input'.", "input", "missing_required_parameter")
	case p.limit != nil && *p.limit < 16:
		return outOfRange("max_output_tokens", "integer below minimum value", ">= 16", float64(*p.limit))
	case p.previous != "" && p.conversation != "":
		return invalid("Mutually exclusive parameters: ['conversation', 'previous_response_id'].", "", "mutually_exclusive_parameters")
	case p.background && !p.stored():
		return invalid("Background mode requires 'store' to be true.", "store", "invalid_value")
	case q.has("stream_options") && !q.stream:
		return invalid("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options", "")
	default:
		return c.checkResponseModel()
	}
}

// checkResponseModel refuses what this deployment does not take.
func (c *call) checkResponseModel() *Step {
	q := c.chat
	if c.dep.MaxOutput > 0 && q.maxTokens() > c.dep.MaxOutput {
		return tooLarge("max_output_tokens", q.maxTokens(), c.dep.MaxOutput)
	}
	for _, check := range []func() *Step{q.checkDecimals, q.checkInputTexts} {
		if refused := check(); refused != nil {
			return refused
		}
	}
	if c.dep.Reasoning {
		return q.checkReasoning()
	}
	return nil
}

// checkInputTexts refuses unknown roles and special tokens.
func (q *chatRequest) checkInputTexts() *Step {
	for i, m := range q.messages {
		if !slices.Contains([]string{"user", "assistant", "system", "developer", "tool"}, m.Role) {
			return invalid("Invalid value: '"+m.Role+"'. Supported values are: 'assistant', 'system', 'developer', and 'user'.",
				fmt.Sprintf("input[%d]", i), "invalid_value")
		}
		for _, special := range specials() {
			if strings.Contains(m.text, special) {
				return specialTokens()
			}
		}
	}
	return nil
}

// checkReferences looks up everything the request refers to in this resource,
// and puts what came before in front of the messages.
func (c *call) checkReferences() *Step {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	p := c.resp
	if p.previous != "" {
		before, ok := c.srv.kept.responses.get(p.previous)
		if !ok {
			return invalid("Previous response with id '"+p.previous+"' not found.", "previous_response_id", "previous_response_not_found")
		}
		p.context = before.context
	}
	if p.conversation != "" {
		talk, ok := c.srv.kept.conversations.get(p.conversation)
		if !ok {
			return missing("Conversation with id '"+p.conversation+"' not found.", "conversation")
		}
		p.context = talk.context
	}
	for _, o := range p.items {
		if refused := c.checkItem(o); refused != nil {
			return refused
		}
		if id, _ := o["id"].(string); id == "" {
			o["id"] = c.srv.newID(itemPrefix(o), 48)
		}
	}
	p.earlier = (&chatRequest{messages: p.context}).messageTokens()
	c.chat.messages = slices.Concat(p.context, c.chat.messages)
	return c.checkCalls()
}

// checkItem refuses an item that another resource made.
func (c *call) checkItem(o object) *Step {
	if sealed, ok := o["encrypted_content"].(string); ok && !c.srv.sealed(sealed) {
		short := sealed[:min(4, len(sealed))] + "..." + sealed[max(0, len(sealed)-4):]
		return invalid("The encrypted content "+short+" could not be verified. Reason: Encrypted content could not be decrypted or parsed.", "", "invalid_encrypted_content")
	}
	if o["type"] != "item_reference" {
		return nil
	}
	id, _ := o["id"].(string)
	for _, r := range c.srv.kept.responses.all() {
		if slices.ContainsFunc(r.items, func(x object) bool { return x["id"] == id }) {
			return nil
		}
	}
	return modelError(http.StatusNotFound, "Item with id '"+id+"' not found.", "invalid_request_error", "input", "")
}

// checkCalls refuses the result of a call that was not made.
func (c *call) checkCalls() *Step {
	var calls strings.Builder
	for _, m := range c.chat.messages {
		calls.Write(m.ToolCalls)
		if m.Role == "tool" && !strings.Contains(calls.String(), encode(m.Name)) {
			return invalid("No tool call found for function call output with call_id "+m.Name+".", "input", "")
		}
	}
	return nil
}

// checkInputWindow refuses, by wording 5, what does not fit the model.
func (c *call) checkInputWindow() *Step {
	if w := c.dep.ContextWindow; w > 0 && c.chat.promptTokens()+c.chat.maxTokens() > w {
		return invalid("Your input exceeds the context window of this model. Please adjust your input and try again.", "input", "context_length_exceeded")
	}
	return nil
}
