package openai

import "fmt"

// Operation is what a request asks for, by the endpoint that it is sent to.
type Operation uint8

// The operations whose requests are JSON.
const (
	Chat Operation = iota
	Responses
	Compact // of a conversation, by the Responses API
	Completions
	Embeddings
	Moderations
	Images
	Speech
)

// Path returns the operation's path below a base URL, without a slash around it.
func (o Operation) Path() string {
	switch o {
	case Chat:
		return "chat/completions"
	case Responses:
		return "responses"
	case Compact:
		return "responses/compact"
	case Completions:
		return "completions"
	case Embeddings:
		return "embeddings"
	case Moderations:
		return "moderations"
	case Images:
		return "images/generations"
	case Speech:
		return "audio/speech"
	default:
		return ""
	}
}

// Generates reports whether a model answers the request's text with text of its
// own, so that what it reads must hold no special tokens.
func (o Operation) Generates() bool {
	return o == Chat || o == Responses || o == Compact || o == Completions
}

// Typed reports whether each event of the operation's streams says its type, as
// those of the Responses API do. The others' are chunks.
func (o Operation) Typed() bool { return o != Chat && o != Completions }

// ParseAs returns the view of a request for an operation. The error is an *Error
// that names the field at fault; what does not decide anything here is left for
// upstream to judge. The body must not change while the request is used.
func ParseAs(op Operation, body []byte) (*Request, error) {
	root, err := ParseValue(body)
	if err != nil {
		return nil, invalidJSON(err)
	}
	if root.Kind() != Object {
		return nil, BadRequest(CodeInvalidJSON, "", "The body must be a JSON object.")
	}
	r := &Request{Operation: op, Root: root, Choices: 1}
	for _, read := range op.readers() {
		if err := read(r); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// readers returns what reads the fields of an operation that decide something.
func (o Operation) readers() []func(*Request) error {
	switch o {
	case Chat:
		return []func(*Request) error{(*Request).names, (*Request).scalars, (*Request).bounds, (*Request).messages}
	case Responses, Compact:
		return []func(*Request) error{(*Request).responsesNames, (*Request).scalars, (*Request).responsesFields}
	case Completions:
		return []func(*Request) error{
			exact("model prompt suffix stream stream_options max_tokens n best_of temperature"),
			(*Request).scalars, (*Request).bounds, (*Request).prompts,
		}
	case Embeddings:
		return []func(*Request) error{exact("model input"), (*Request).scalars, (*Request).embedded}
	case Images:
		return []func(*Request) error{exact("model prompt n stream"), (*Request).scalars, (*Request).choices}
	case Moderations, Speech:
		return []func(*Request) error{exact("model input"), (*Request).scalars}
	default:
		return nil
	}
}

// exact returns what refuses the known names in another case.
func exact(known string) func(*Request) error {
	return func(r *Request) error { return exactNames(r.Root, known) }
}

// maxPrompts is how many prompts, or texts to embed, one request may have, by
// Azure's own bound.
const maxPrompts = 2048

// inputs returns the texts, or the arrays of tokens, of a field that takes one or
// many, and how many there are. It is an error where v is neither.
func inputs(v Value, field string) (n int64, err error) {
	wrong := BadRequest(CodeInvalidType, field, field+" must be a string, an array of strings, an array of token numbers, or an array of such arrays.")
	switch v.Kind() {
	case Missing, Null:
		return 0, BadRequest(CodeMissingParameter, field, field+" is missing. Send a text, or an array of texts.")
	case String:
		return 1, nil
	case Array:
	default:
		return 0, wrong
	}
	if v.Len() == 0 {
		return 0, BadRequest(CodeEmptyArray, field, field+" is empty. Send at least one text.")
	}
	first := v.At(0).Kind()
	for _, e := range v.Elements() {
		if k := e.Kind(); k != first || k != String && k != Number && k != Array {
			return 0, wrong
		}
	}
	if first == Number {
		return 1, nil
	}
	if v.Len() > maxPrompts {
		return 0, BadRequest(CodeInvalidValue, field, fmt.Sprintf("%s has %d elements, and at most %d may be sent. Send several requests.", field, v.Len(), maxPrompts))
	}
	return int64(v.Len()), nil
}

// embedded reads the texts of an embeddings request.
func (r *Request) embedded() error {
	_, err := inputs(r.Root.Get("input"), "input")
	return err
}

// impliedTokens is the bound on the answer of a completions request that names
// none.
const impliedTokens = 16

// prompts reads the prompts of a completions request, each of which is answered
// apart. One without a prompt has one.
func (r *Request) prompts() error {
	n := int64(1)
	if v := r.Root.Get("prompt"); v.Kind() != Missing && v.Kind() != Null {
		var err error
		if n, err = inputs(v, "prompt"); err != nil {
			return err
		}
	}
	best, given, err := r.positive("best_of")
	if err != nil {
		return err
	}
	if best > maxChoices {
		return BadRequest(CodeInvalidValue, "best_of", fmt.Sprintf("best_of must be at most %d.", maxChoices))
	}
	if given {
		r.Choices = max(r.Choices, best)
	}
	r.Choices *= n
	if r.MaxTokens == 0 {
		r.Implied = impliedTokens
	}
	return nil
}

// choices reads how many answers there are to be.
func (r *Request) choices() error {
	n, given, err := r.positive("n")
	if err != nil {
		return err
	}
	if n > maxChoices {
		return BadRequest(CodeInvalidValue, "n", fmt.Sprintf("n must be at most %d.", maxChoices))
	}
	if given {
		r.Choices = n
	}
	return nil
}

// Inputs calls visit with every text of a request that is no conversation, and
// with the length of every array of token numbers.
func (r *Request) Inputs(visit func(text Value, tokens int64)) {
	for _, name := range [...]string{"input", "prompt", "suffix"} {
		eachInput(r.Root.Get(name), visit)
	}
}

func eachInput(v Value, visit func(text Value, tokens int64)) {
	switch v.Kind() {
	case String:
		visit(v, 0)
	case Array:
		if v.At(0).Kind() == Number {
			visit(Value{}, int64(v.Len()))
			return
		}
		for _, e := range v.Elements() {
			eachInput(e, visit)
		}
	case Object: // a part of an input to moderate
		eachInput(v.Get("text"), visit)
	case Missing, Null, Bool, Number:
	}
}
