package openai

import (
	"fmt"
	"iter"
	"strings"
)

// maxMessages is how many messages a request may have.
const maxMessages = 2048

// maxChoices is the largest n that the API takes.
const maxChoices = 128

// Request is a request as its sender wrote it: the few fields that decide
// something, and the text itself, in which every other field stays as it is. It
// is not changed once made, so that any number of goroutines may read it.
type Request struct {
	Operation Operation

	Model        string // "" where the body names none
	Stream       bool
	IncludeUsage bool  // the client asked for a usage chunk
	Choices      int64 // n, at least 1

	// MaxTokens is the bound on the output that the client named, in
	// MaxTokensField; 0 and "" where it named none.
	MaxTokens      int64
	MaxTokensField string

	// Implied is the bound that holds upstream where the client named none; 0
	// none does.
	Implied int64

	// Stored is set for a request of which upstream keeps what it makes, so that the
	// same one sent once more makes another.
	Stored bool

	// Temperature is the client's; nil where it named none.
	Temperature *float64

	// Attached is roughly what the files of a form come to, in tokens and, where
	// they are sound, in seconds.
	Attached Usage

	// Root is the body's object, or that of the fields of a form that decide
	// something.
	Root Value
}

// Message is one message of a request.
type Message struct {
	Value
	Role string
}

// Parse returns the view of a chat request, as ParseAs does.
func Parse(body []byte) (*Request, error) { return ParseAs(Chat, body) }

func invalidJSON(err error) error {
	return BadRequest(CodeInvalidJSON, "", fmt.Sprintf("The body is not valid JSON: %v. Send one UTF-8 JSON object without duplicate names.", err))
}

// Body returns the request's text with the edits made in it.
func (r *Request) Body(edits ...Edit) []byte { return Apply(r.Root.doc.src, edits...) }

// With returns the request that the edits make of this one.
func (r *Request) With(edits ...Edit) (*Request, error) {
	if len(edits) == 0 {
		return r, nil
	}
	return ParseAs(r.Operation, r.Body(edits...))
}

// Messages iterates over the conversation.
func (r *Request) Messages() iter.Seq2[int, Message] {
	return func(yield func(int, Message) bool) {
		for i, m := range r.Root.Get("messages").Elements() {
			if !yield(i, Message{Value: m, Role: role(m)}) {
				return
			}
		}
	}
}

// role returns the message's role, for the known ones without allocating.
func role(m Value) string {
	r := m.Get("role")
	for _, known := range [...]string{"user", "assistant", "system", "tool", "developer", "function"} {
		if r.Is(known) {
			return known
		}
	}
	return r.Text()
}

// names refuses names that only a careless parser would take for one that
// decides: max_toKens, or the same with a Kelvin sign.
func (r *Request) names() error {
	if err := exactNames(r.Root, "model messages stream stream_options max_tokens max_completion_tokens n temperature "+
		"tools tool_choice functions function_call response_format stop prediction logit_bias data_sources store metadata modalities"); err != nil {
		return err
	}
	if err := exactNames(r.Root.Get("stream_options"), "include_usage"); err != nil {
		return err
	}
	for _, m := range r.Root.Get("messages").Elements() {
		if err := exactNames(m, "role content name refusal tool_calls tool_call_id function_call audio"); err != nil {
			return err
		}
		for _, part := range m.Get("content").Elements() {
			if err := exactNames(part, "type text refusal image_url input_audio file"); err != nil {
				return err
			}
			if err := exactNames(part.Get("file"), "file_id file_data filename"); err != nil {
				return err
			}
		}
	}
	return nil
}

// exactNames refuses a member of v whose name is one of known but for its case.
func exactNames(v Value, known string) error {
	for name := range v.pairs() {
		if lower(name) {
			continue
		}
		folded := fold(name.Text())
		if folded != name.Text() && hasWord(known, folded) {
			return BadRequest(CodeInvalidValue, name.Path(), fmt.Sprintf("%s differs from %q only in its case. Spell it so.", name.Path(), folded))
		}
	}
	return nil
}

// lower reports whether a name is written in the letters that the API's own
// names are written in, which fold to themselves.
func lower(name Value) bool {
	if name.node().escaped {
		return false
	}
	for _, c := range name.inner() {
		if c >= 0x80 || c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return true
}

// fold returns s as a parser that ignores case would compare it. The Kelvin sign
// and the long s fold into ASCII.
func fold(s string) string {
	return strings.ToLower(strings.NewReplacer("\u212a", "k", "\u017f", "s").Replace(s))
}

func hasWord(words, w string) bool {
	return strings.Contains(" "+words+" ", " "+w+" ") && !strings.Contains(w, " ")
}

// kind refuses a field that is there, is not null, and is of another kind.
func kind(in Value, name string, want Kind, noun string) (Value, error) {
	v := in.Get(name)
	if k := v.Kind(); k != Missing && k != Null && k != want {
		return v, BadRequest(CodeInvalidType, v.Path(), v.Path()+" must be "+noun+".")
	}
	return v, nil
}

// model reads the name of the model.
func (r *Request) model() error {
	model, err := kind(r.Root, "model", String, "a string")
	r.Model = model.Text()
	return err
}

// streamed reads whether the answer is to be a stream, and with its usage.
func (r *Request) streamed() error {
	stream, err := kind(r.Root, "stream", Bool, "true or false")
	if err != nil {
		return err
	}
	options, err := kind(r.Root, "stream_options", Object, "an object")
	if err != nil {
		return err
	}
	usage, err := kind(options, "include_usage", Bool, "true or false")
	r.Stream, r.IncludeUsage = stream.IsTrue(), usage.IsTrue()
	return err
}

// cooled reads the temperature.
func (r *Request) cooled() error {
	temperature, err := kind(r.Root, "temperature", Number, "a number")
	if err != nil {
		return err
	}
	if f, ok := temperature.Float(); ok {
		r.Temperature = &f
	} else if temperature.Kind() == Number {
		return BadRequest(CodeInvalidValue, "temperature", "temperature must be between 0 and 2.")
	}
	return nil
}

// bounds reads the numbers that decide what a chat request may cost.
func (r *Request) bounds() error {
	for _, name := range []string{"max_tokens", "max_completion_tokens"} {
		n, given, err := r.positive(name)
		switch {
		case err != nil:
			return err
		case given && r.MaxTokensField != "":
			return BadRequest(CodeInvalidValue, name, "max_tokens and max_completion_tokens cannot both be set. Send one of them.")
		case given:
			r.MaxTokens, r.MaxTokensField = n, name
		}
	}
	return r.choices()
}

// positive returns a top-level field that must be an integer from 1 on.
func (r *Request) positive(name string) (n int64, given bool, err error) {
	v := r.Root.Get(name)
	if k := v.Kind(); k == Missing || k == Null {
		return 0, false, nil
	}
	n, ok := v.Int()
	if !ok {
		return 0, false, BadRequest(CodeInvalidType, name, name+" must be an integer, written without a point or an exponent.")
	}
	if n < 1 {
		return 0, false, BadRequest(CodeBelowMinimum, name, name+" must be at least 1.")
	}
	return n, true, nil
}

func (r *Request) messages() error {
	list := r.Root.Get("messages")
	switch list.Kind() {
	case Missing:
		return BadRequest(CodeMissingParameter, "messages", "messages is missing. Send at least one message.")
	case Array:
	default:
		return BadRequest(CodeInvalidType, "messages", "messages must be an array.")
	}
	n := list.Len()
	if n == 0 {
		return BadRequest(CodeEmptyArray, "messages", "messages is empty. Send at least one message.")
	}
	if n > maxMessages {
		return BadRequest(CodeInvalidValue, "messages", fmt.Sprintf("There are %d messages, and at most %d may be sent.", n, maxMessages))
	}
	for _, m := range list.Elements() {
		if m.Kind() != Object {
			return BadRequest(CodeInvalidType, m.Path(), m.Path()+" must be an object.")
		}
		if m.Get("role").Kind() != String {
			return BadRequest(CodeInvalidType, m.Path()+".role", m.Path()+".role must be a string.")
		}
	}
	return nil
}
