package upstream

import (
	"encoding/json"
	"unicode/utf8"

	"weir/openai"
)

// Content says when spans tell of messages. What they tell is who speaks and how
// long each part is, never a text.
type Content uint8

// When spans tell of messages.
const (
	Never  Content = iota
	Errors         // of attempts that failed
	Always
)

// maxTold is how many parts a span tells of at most, so that it stays small.
const maxTold = 256

// told is a message as spans tell of it.
type told struct {
	Role   string     `json:"role"`
	Parts  []toldPart `json:"parts"`
	Finish string     `json:"finish_reason,omitempty"`
}

// toldPart is a part of one. Its length is in characters, as a person counts them.
type toldPart struct {
	Type   string `json:"type"`
	Length int    `json:"length,omitempty"`
	Tokens int64  `json:"tokens,omitempty"` // where these are known, and the characters are not
	Count  int    `json:"count,omitempty"`  // of the parts that are not told one by one
}

// tellInput returns what is told of a request, "" where nothing is.
func (a *attempt) tellInput() string {
	if a.cfg.Tracing.Content == Never || a.call.Passage != nil {
		return ""
	}
	var t teller
	if a.call.Request.Operation == openai.Chat {
		for _, m := range a.call.Request.Messages() {
			t.begin(knownRole(m.Role))
			t.message(m)
		}
		return t.text()
	}
	t.begin("user")
	a.call.Request.Texts(func(run []openai.Value) bool {
		for _, v := range run {
			t.add("text", length(v))
		}
		return true
	})
	return t.text()
}

// tellOutput returns what is told of an answer, "" where nothing is known of it.
func (s *span) tellOutput() string {
	if s.stream != nil {
		tokens := s.stream.Produced()
		if s.facts.HasUsage {
			tokens = s.facts.Usage.Completion
		}
		t := teller{messages: []told{{Role: "assistant", Parts: []toldPart{{Type: "text", Tokens: tokens}}, Finish: s.facts.FinishReason}}}
		return t.text()
	}
	root, err := openai.ReadValue(s.body)
	if s.body == nil || err != nil {
		return ""
	}
	var t teller
	switch {
	case root.Get("choices").Kind() == openai.Array:
		for _, c := range root.Get("choices").Elements() {
			t.begin("assistant")
			t.message(openai.Message{Value: c.Get("message")})
			if text := c.Get("text"); text.Kind() == openai.String {
				t.add("text", length(text))
			}
			t.last().Finish = openai.Word(c.Get("finish_reason").Text())
		}
	default:
		t.begin("assistant")
		openai.Generated(root, func(_ int64, text openai.Value) { t.add("text", length(text)) })
	}
	return t.text()
}

// teller gathers what is told of messages.
type teller struct {
	messages []told
	parts    int
	left     int // parts that are too many
}

func (t *teller) begin(role string) {
	if t.parts < maxTold {
		t.parts++
		t.messages = append(t.messages, told{Role: role, Parts: []toldPart{}})
	}
}

func (t *teller) last() *told { return &t.messages[len(t.messages)-1] }

// add tells of a part.
func (t *teller) add(kind string, length int) {
	if t.parts >= maxTold {
		t.left++
		return
	}
	t.parts++
	t.last().Parts = append(t.last().Parts, toldPart{Type: kind, Length: length})
}

// message tells of the parts of a message.
func (t *teller) message(m openai.Message) {
	kind := "text"
	if m.Role == "tool" || m.Role == "function" {
		kind = "tool_call_response"
	}
	content := m.Get("content")
	if content.Kind() == openai.String {
		t.add(kind, length(content))
	}
	for _, part := range content.Elements() {
		switch {
		case part.Get("text").Kind() == openai.String:
			t.add(kind, length(part.Get("text")))
		case part.Get("refusal").Kind() == openai.String:
			t.add("refusal", length(part.Get("refusal")))
		default:
			t.add("blob", len(part.Raw()))
		}
	}
	if refusal := m.Get("refusal"); refusal.Kind() == openai.String {
		t.add("refusal", length(refusal))
	}
	for _, call := range m.Get("tool_calls").Elements() {
		t.add("tool_call", length(call.Get("function").Get("arguments")))
	}
}

// text returns what was gathered as JSON.
func (t *teller) text() string {
	if len(t.messages) == 0 {
		return ""
	}
	if t.left > 0 {
		t.last().Parts = append(t.last().Parts, toldPart{Type: "more", Count: t.left})
	}
	text, _ := json.Marshal(t.messages) // words and numbers always encode
	return string(text)
}

// length returns how many characters a string has.
func length(v openai.Value) int { return utf8.RuneCount(v.Bytes()) }

// knownRole returns a role that there is, or the word for any other.
func knownRole(role string) string {
	switch role {
	case "user", "assistant", "system", "tool", "developer", "function":
		return role
	default:
		return "other"
	}
}
