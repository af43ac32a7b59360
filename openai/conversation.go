package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Conversation returns the request as the chat request with the same prompt, for
// counting: instructions become a developer message, items become messages, and
// tools are written as chat writes them. Data that the model does not read as text
// is left out, but for images and files. A chat request is its own. It is an error
// where there is nothing to read, and of every request that is no conversation.
func (r *Request) Conversation() (*Request, error) {
	switch r.Operation {
	case Chat:
		return r, nil
	case Responses, Compact:
	default:
		return nil, fmt.Errorf("openai: a request of %s is no conversation", r.Operation.Path())
	}
	chat := chatBody{Model: r.Model}
	if err := chat.read(r.Root); err != nil {
		return nil, err
	}
	b, err := json.Marshal(chat)
	if err != nil {
		return nil, invalidJSON(err)
	}
	return Parse(b)
}

// chatBody is a chat request that is made of a Responses request.
type chatBody struct {
	Model    string        `json:"model,omitempty"`
	Messages []chatMessage `json:"messages"`
	Tools    []any         `json:"tools,omitempty"`
	Format   any           `json:"response_format,omitempty"`
}

type chatMessage struct {
	Role    string           `json:"role"`
	Content any              `json:"content"`
	Calls   []map[string]any `json:"tool_calls,omitempty"`
	CallID  string           `json:"tool_call_id,omitempty"`
}

func raw(v Value) json.RawMessage { return json.RawMessage(v.Raw()) }

// spelled returns v as a text in which every character stands for itself that
// may: a string's own, or else JSON, without data.
func spelled(v Value) string {
	if v.Kind() == String {
		return v.Text()
	}
	var decoded any
	d := json.NewDecoder(bytes.NewReader(v.Raw()))
	d.UseNumber()
	if err := d.Decode(&decoded); err != nil {
		return string(v.Raw())
	}
	strip(decoded)
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(decoded); err != nil {
		return string(v.Raw())
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// strip takes out of a decoded value what holds data.
func strip(decoded any) {
	switch v := decoded.(type) {
	case []any:
		for _, e := range v {
			strip(e)
		}
	case map[string]any:
		for name, e := range v {
			_, text := e.(string)
			if text && (isData([]byte(name)) || name == "encrypted_content" || name == "result" && v["type"] == "image_generation_call") {
				delete(v, name)
				continue
			}
			strip(e)
		}
	}
}

func (c *chatBody) say(role string, content any) {
	c.Messages = append(c.Messages, chatMessage{Role: role, Content: content})
}

// read adds everything in a request that the model reads.
func (c *chatBody) read(root Value) error {
	if text := root.Get("instructions"); text.Kind() == String {
		c.say("developer", raw(text))
	}
	if variables := root.Get("prompt").Get("variables"); variables.Kind() == Object {
		c.say("developer", spelled(variables))
	}
	switch input := root.Get("input"); input.Kind() {
	case String:
		c.say("user", raw(input))
	default:
		for _, item := range input.Elements() {
			c.item(item)
		}
	}
	for _, tool := range root.Get("tools").Elements() {
		c.Tools = append(c.Tools, nested(tool))
	}
	if format := root.Get("text").Get("format"); format.Get("type").Is("json_schema") {
		c.Format = map[string]any{"type": "json_schema", "json_schema": raw(format)}
	}
	if len(c.Messages) > 0 {
		return nil
	}
	for _, name := range [...]string{"previous_response_id", "conversation", "prompt"} {
		if k := root.Get(name).Kind(); k == String || k == Object {
			c.say("user", "") // all there is to read is with upstream
			return nil
		}
	}
	return BadRequest(CodeMissingParameter, "input", "input is missing. Send a text, or an array of items.")
}

// item adds an input item.
func (c *chatBody) item(item Value) {
	switch item.Get("type").Text() {
	case "function_call":
		c.call(item, "function", "arguments")
	case "custom_tool_call":
		c.call(item, "custom", "input")
	case "function_call_output", "custom_tool_call_output", "computer_call_output":
		c.Messages = append(c.Messages, chatMessage{Role: "tool", Content: content(item.Get("output")), CallID: item.Get("call_id").Text()})
	case "", "message":
		if item.Kind() != Object {
			c.say("user", spelled(item))
			return
		}
		c.say(item.Get("role").Text(), content(item.Get("content")))
	default:
		// Reasoning and the calls of built-in tools: what the model is shown of
		// them is no more than was sent.
		c.say("assistant", spelled(item))
	}
}

// call adds a call of a tool. Those that follow one another are one message's.
func (c *chatBody) call(item Value, kind, argument string) {
	call := map[string]any{"id": item.Get("call_id").Text(), "type": kind, kind: map[string]any{
		"name": item.Get("name").Text(), argument: spelled(item.Get(argument)),
	}}
	if n := len(c.Messages); n > 0 && len(c.Messages[n-1].Calls) > 0 {
		c.Messages[n-1].Calls = append(c.Messages[n-1].Calls, call)
		return
	}
	c.Messages = append(c.Messages, chatMessage{Role: "assistant", Calls: []map[string]any{call}})
}

// content returns a content, or a tool's output, with its parts named as chat
// names them.
func content(v Value) any {
	switch v.Kind() {
	case Object:
		return []any{part(v)}
	case Array:
		out := []any{}
		for _, p := range v.Elements() {
			out = append(out, part(p))
		}
		return out
	default:
		return raw(v)
	}
}

func part(p Value) any {
	switch p.Get("type").Text() {
	case "input_text", "output_text", "text":
		return map[string]any{"type": "text", "text": raw(p.Get("text"))}
	case "input_image", "computer_screenshot":
		image := map[string]any{"url": p.Get("image_url").Text()}
		if d := p.Get("detail"); d.Kind() == String {
			image["detail"] = d.Text()
		}
		return map[string]any{"type": "image_url", "image_url": image}
	case "input_file":
		return map[string]any{"type": "file", "file": raw(p)}
	default:
		return raw(p)
	}
}

// nested returns a tool as chat writes it: the fields of a function, or of a tool
// of the caller's own, in an object of their own.
func nested(tool Value) any {
	for _, kind := range [...]string{"function", "custom"} {
		if tool.Get("type").Is(kind) && tool.Get(kind).Kind() != Object {
			return map[string]any{"type": kind, kind: raw(tool)}
		}
	}
	return raw(tool)
}
