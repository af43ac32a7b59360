package azuresim

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// chatRequest is what the simulator reads of a request's body. Names are
// matched exactly and unknown ones ignored.
type chatRequest struct {
	fields     map[string]json.RawMessage
	messages   []message
	stream     bool
	usage      bool // stream_options.include_usage
	n          int
	limit      *int     // max_tokens
	completion *int     // max_completion_tokens
	heat       *float64 // temperature
	stop       []string
	tools      []tool
	choice     toolChoice
	format     responseFormat
	effort     string
	plain      bool // of bare texts, which cost no more than they are
	mute       bool // the answer costs no tokens
	tokens     int  // of the prompt besides its texts
}

type message struct {
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	Name      string          `json:"name"`
	ToolCalls json.RawMessage `json:"tool_calls"`
	text      string          // of all text parts
	images    int
	sound     int // tokens of all parts of sound
}

type tool struct {
	Type     string `json:"type"`
	Function struct {
		Name       string          `json:"name"`
		Parameters json.RawMessage `json:"parameters"`
	} `json:"function"`
	Custom struct {
		Name string `json:"name"`
	} `json:"custom"`
	Name       string          `json:"name"`       // of the Responses API
	Parameters json.RawMessage `json:"parameters"` // of the Responses API
	Label      string          `json:"server_label"`
}

// name is what the tool is called by: a built-in one by its type.
func (t tool) name() string {
	if t.builtin() {
		return t.Type
	}
	return t.Function.Name + t.Custom.Name + t.Name
}

func (t tool) builtin() bool { return builtins()[t.Type].item != "" }

// toolChoice is none, auto, required, or the name of a tool that must be called.
type toolChoice struct {
	mode string
	name string
}

func (t *toolChoice) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, &t.mode) == nil {
		return nil
	}
	var named tool
	if err := json.Unmarshal(b, &named); err != nil {
		return err
	}
	t.mode, t.name = named.Type, named.name()
	return nil
}

type responseFormat struct {
	Type       string `json:"type"`
	JSONSchema struct {
		Schema json.RawMessage `json:"schema"`
	} `json:"json_schema"`
}

// readChat decodes the body, or returns the 400 that says why not.
func (c *call) readChat() *Step {
	q := &chatRequest{n: 1}
	var options struct {
		Usage bool `json:"include_usage"`
	}
	var stop any
	if refused := c.readFields(q, map[string]any{
		"messages": &q.messages, "stream": &q.stream, "stream_options": &options, "n": &q.n,
		"max_tokens": &q.limit, "max_completion_tokens": &q.completion, "temperature": &q.heat,
		"stop": &stop, "tools": &q.tools, "tool_choice": &q.choice, "response_format": &q.format,
		"reasoning_effort": &q.effort,
	}); refused != nil {
		return refused
	}
	q.usage = options.Usage
	switch stop := stop.(type) {
	case string:
		q.stop = []string{stop}
	case []any:
		for _, s := range stop {
			if text, ok := s.(string); ok {
				q.stop = append(q.stop, text)
			}
		}
	}
	for i := range q.messages {
		q.messages[i].read()
	}
	c.chat = q
	return nil
}

// readFields decodes the body of q, and the fields named, in place.
func (c *call) readFields(q *chatRequest, into map[string]any) *Step {
	if err := json.Unmarshal(c.raw, &q.fields); err != nil || q.fields == nil {
		return invalid("We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly.)", "", "")
	}
	for _, name := range slices.Sorted(maps.Keys(into)) {
		if raw, ok := q.fields[name]; ok && json.Unmarshal(raw, into[name]) != nil {
			return invalid("Invalid type for '"+name+"'.", name, "invalid_type")
		}
	}
	return nil
}

// read finds the text, the images and the sound of the content.
func (m *message) read() {
	var parts []struct {
		Type    string `json:"type"`
		Text    string `json:"text"`
		Refusal string `json:"refusal"`
		Audio   struct {
			Data string `json:"data"`
		} `json:"input_audio"`
	}
	if json.Unmarshal(m.Content, &m.text) == nil || json.Unmarshal(m.Content, &parts) != nil {
		return
	}
	var texts []string
	for _, p := range parts {
		switch p.Type {
		case "text", "refusal", "input_text", "output_text":
			texts = append(texts, p.Text+p.Refusal)
		case "image_url", "input_image":
			m.images++
		case "input_audio":
			m.sound += base64.StdEncoding.DecodedLen(len(p.Audio.Data)) * secondTokens / secondBytes
		}
	}
	m.text = strings.Join(texts, "\n")
}

// has reports whether the request sets name to anything but null.
func (q *chatRequest) has(name string) bool {
	raw, ok := q.fields[name]
	return ok && string(raw) != "null"
}

// float returns the number called name, or its default where it is absent.
func (q *chatRequest) float(name string, otherwise float64) float64 {
	var v *float64
	if json.Unmarshal(q.fields[name], &v) != nil || v == nil {
		return otherwise
	}
	return *v
}

// lastUser returns the text of the last user message.
func (q *chatRequest) lastUser() string {
	for _, m := range slices.Backward(q.messages) {
		if m.Role == "user" {
			return strings.TrimSpace(m.text)
		}
	}
	return ""
}

// last returns the last message.
func (q *chatRequest) last() message {
	if len(q.messages) == 0 {
		return message{}
	}
	return q.messages[len(q.messages)-1]
}

// maxTokens is what the request allows for one choice, 0 where it does not say.
func (q *chatRequest) maxTokens() int {
	switch {
	case q.completion != nil:
		return *q.completion
	case q.limit != nil:
		return *q.limit
	default:
		return 0
	}
}

// temperature is 1 where the request does not say.
func (q *chatRequest) temperature() float64 {
	if q.heat == nil {
		return 1
	}
	return *q.heat
}

func textTokens(bytes int) int { return (bytes + 3) / 4 }

// messageTokens and toolTokens are the two parts of a prompt.
func (q *chatRequest) messageTokens() int {
	sum, each := 3, 3
	if q.plain {
		sum, each = 0, 0
	}
	for _, m := range q.messages {
		sum += each + textTokens(len(m.text)) + textTokens(len(m.Name)) + textTokens(len(m.ToolCalls)) + 85*m.images + m.sound
	}
	return sum + q.tokens + textTokens(len(q.format.JSONSchema.Schema))
}

// soundTokens are those of the prompt that are of sound.
func (q *chatRequest) soundTokens() int {
	sum := 0
	for _, m := range q.messages {
		sum += m.sound
	}
	return sum
}

func (q *chatRequest) toolTokens() int { return textTokens(len(q.fields["tools"])) }

func (q *chatRequest) promptTokens() int { return q.messageTokens() + q.toolTokens() }

// reasoningTokens is what a reasoning model spends before it answers.
func (c *call) reasoningTokens() int {
	if !c.dep.Reasoning || c.chat.plain {
		return 0
	}
	switch c.chat.effort {
	case "none", "minimal":
		return 0
	case "low":
		return 32
	case "", "medium":
		return 64
	default:
		return 128
	}
}

// askedFault applies the faults that the request itself asks for.
func (c *call) askedFault() *Step {
	for _, asked := range c.r.Header.Values("x-azuresim-fault") {
		c.strike(asked, "")
	}
	c.strikeText()
	if !c.step.whole() {
		return nil
	}
	if c.chat != nil {
		c.admit() // A request that fails counts all the same.
	}
	answer := c.step
	answer.Delay = 0 // serve adds it again.
	c.step = Step{Delay: c.step.Delay}
	return &answer
}

// strikeText applies the fault that the last user message asks for.
func (c *call) strikeText() {
	if c.chat == nil {
		return
	}
	if text := c.chat.lastUser(); strings.HasPrefix(text, "!") {
		word, argument, _ := strings.Cut(text[1:], " ")
		c.strike(word, strings.TrimSpace(argument))
	}
}
