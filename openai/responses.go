package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// responsesNames refuses the names of a Responses request in another case.
func (r *Request) responsesNames() error {
	err := exactNames(r.Root, "model input instructions prompt tools tool_choice text stream max_output_tokens temperature store previous_response_id conversation background")
	if err != nil {
		return err
	}
	for _, item := range r.Root.Get("input").Elements() {
		if err := exactNames(item, "type role content name arguments output id encrypted_content"); err != nil {
			return err
		}
		for _, part := range item.Get("content").Elements() {
			if err := exactNames(part, "type text refusal image_url file_data file_url file_id"); err != nil {
				return err
			}
		}
	}
	return nil
}

// responsesFields reads the fields of a Responses request that decide something.
func (r *Request) responsesFields() error {
	n, given, err := r.positive("max_output_tokens")
	if err != nil {
		return err
	}
	if given {
		r.MaxTokens, r.MaxTokensField = n, "max_output_tokens"
	}
	store, err := kind(r.Root, "store", Bool, "true or false")
	if err != nil {
		return err
	}
	r.Stored = r.Operation == Responses && (store.Kind() != Bool || store.IsTrue())
	for _, field := range []struct {
		name string
		kind Kind
		noun string
	}{{"instructions", String, "a string"}, {"previous_response_id", String, "a string"}, {"background", Bool, "true or false"}, {"tools", Array, "an array"}} {
		if _, err := kind(r.Root, field.name, field.kind, field.noun); err != nil {
			return err
		}
	}
	switch input := r.Root.Get("input"); input.Kind() {
	case String, Missing, Null:
	case Array:
		if n := input.Len(); n > maxMessages {
			return BadRequest(CodeInvalidValue, "input", fmt.Sprintf("There are %d input items, and at most %d may be sent.", n, maxMessages))
		}
	default:
		return BadRequest(CodeInvalidType, "input", "input must be a string or an array of items.")
	}
	return nil
}

// Conversation returns the request as the chat request with the same prompt, for
// counting: instructions become a developer message, items become messages, and
// tools are written as chat writes them. A chat request is its own. It is an error
// where there is nothing to read.
func (r *Request) Conversation() (*Request, error) {
	if r.Operation == Chat {
		return r, nil
	}
	chat := chatBody{Model: r.Model, Tools: []any{}}
	if err := chat.read(r.Root); err != nil {
		return nil, err
	}
	b, err := json.Marshal(chat)
	if err != nil {
		return nil, invalidJSON(err)
	}
	return Parse(b)
}

// ParseResponses returns the view of a Responses request as the chat request
// with the same prompt.
func ParseResponses(body []byte) (*Request, error) {
	r, err := ParseAs(Responses, body)
	if err != nil {
		return nil, err
	}
	return r.Conversation()
}

// chatBody is a chat request that is made of a Responses request.
type chatBody struct {
	Model    string           `json:"model,omitempty"`
	Messages []map[string]any `json:"messages"`
	Tools    []any            `json:"tools,omitempty"`
	Format   any              `json:"response_format,omitempty"`
}

func raw(v Value) json.RawMessage { return json.RawMessage(v.Raw()) }

// spelled returns v's JSON as a text in which every character stands for itself
// that may: a marker in it can be found, however it was escaped.
func spelled(v Value) string {
	var decoded any
	d := json.NewDecoder(bytes.NewReader(v.Raw()))
	d.UseNumber()
	if err := d.Decode(&decoded); err != nil {
		return string(v.Raw())
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(decoded); err != nil {
		return string(v.Raw())
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

func (c *chatBody) say(role string, content any) {
	c.Messages = append(c.Messages, map[string]any{"role": role, "content": content})
}

// read adds everything in a request that the model reads.
func (c *chatBody) read(root Value) error {
	if text := root.Get("instructions"); text.Kind() == String {
		c.say("developer", raw(text))
	}
	if variables := root.Get("prompt").Get("variables"); variables.Kind() == Object {
		c.say("developer", spelled(variables))
	}
	if err := c.input(root.Get("input")); err != nil {
		return err
	}
	for _, tool := range root.Get("tools").Elements() {
		c.Tools = append(c.Tools, nested(tool))
	}
	if format := root.Get("text").Get("format"); format.Get("type").Is("json_schema") {
		c.Format = map[string]any{"type": "json_schema", "json_schema": raw(format)}
	}
	if len(c.Messages) == 0 {
		return BadRequest(CodeMissingParameter, "input", "input is missing. Send a text, or an array of items.")
	}
	return nil
}

// input adds what a request's input holds.
func (c *chatBody) input(v Value) error {
	switch v.Kind() {
	case String:
		c.say("user", raw(v))
	case Array:
		for _, item := range v.Elements() {
			c.item(item)
		}
	case Missing, Null:
	default:
		return BadRequest(CodeInvalidType, "input", "input must be a string or an array of items.")
	}
	return nil
}

// item adds an input item.
func (c *chatBody) item(item Value) {
	if item.Kind() != Object {
		c.say("user", spelled(item))
		return
	}
	switch item.Get("type").Text() {
	case "function_call":
		call := map[string]any{"id": "", "type": "function", "function": map[string]any{
			"name": item.Get("name").Text(), "arguments": item.Get("arguments").Text(),
		}}
		c.Messages = append(c.Messages, map[string]any{"role": "assistant", "content": nil, "tool_calls": []any{call}})
	case "function_call_output":
		c.say("tool", raw(item.Get("output")))
	case "", "message":
		if content := item.Get("content"); content.Kind() == Array {
			c.say(item.Get("role").Text(), parts(content))
		} else {
			c.say(item.Get("role").Text(), raw(content))
		}
	default:
		// Reasoning and the calls of built-in tools: what the model is shown of
		// them is no more than was sent.
		c.say("assistant", spelled(item))
	}
}

// parts returns a content array with its parts named as chat names them.
func parts(content Value) []any {
	out := []any{}
	for _, p := range content.Elements() {
		switch p.Get("type").Text() {
		case "input_text", "output_text", "text":
			out = append(out, map[string]any{"type": "text", "text": raw(p.Get("text"))})
		case "input_image":
			image := map[string]any{"url": p.Get("image_url").Text()}
			if d := p.Get("detail"); d.Kind() == String {
				image["detail"] = d.Text()
			}
			out = append(out, map[string]any{"type": "image_url", "image_url": image})
		case "input_file":
			out = append(out, map[string]any{"type": "file", "file": raw(p)})
		default:
			out = append(out, raw(p))
		}
	}
	return out
}

// nested returns a tool as chat writes it: a function's fields in an object of
// their own.
func nested(tool Value) any {
	if !tool.Get("type").Is("function") || tool.Get("function").Kind() == Object {
		return raw(tool)
	}
	return map[string]any{"type": "function", "function": raw(tool)}
}
