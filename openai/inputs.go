package openai

import "fmt"

// maxPrompts is how many prompts, or texts to embed, one request may have, by
// Azure's own bound.
const maxPrompts = 2048

// impliedTokens is the bound on the answer of a completions request that names
// none.
const impliedTokens = 16

// impliedPrompt is the prompt of a completions request that has none.
const impliedPrompt = "<|endoftext|>"

// embedded reads the texts of an embeddings request.
func (r *Request) embedded() error {
	_, err := inputs(r.Root.Get("input"), "input")
	return err
}

// spoken reads how speech is to come: as bytes, or as a stream of events.
func (r *Request) spoken() error {
	format, err := kind(r.Root, "stream_format", String, "a string")
	r.Stream = format.Is("sse")
	return err
}

// prompts reads the prompts of a completions request, each of which is answered
// apart, and the bounds on its answers. One without a prompt has one.
func (r *Request) prompts() error {
	n := int64(1)
	if v := r.Root.Get("prompt"); v.Kind() != Missing && v.Kind() != Null {
		var err error
		if n, err = inputs(v, "prompt"); err != nil {
			return err
		}
	}
	if err := r.choices(); err != nil {
		return err
	}
	best, err := r.count("best_of")
	if err != nil {
		return err
	}
	r.Choices = max(r.Choices, best) * n
	if none, ok := r.Root.Get("max_tokens").Int(); ok && none == 0 { // the prompt alone is wanted, with its logprobs
		r.Implied = 1
		return nil
	}
	bound, given, err := r.positive("max_tokens")
	if err != nil {
		return err
	}
	if given {
		r.MaxTokens, r.MaxTokensField = bound, "max_tokens"
	} else {
		r.Implied = impliedTokens
	}
	return nil
}

// choices reads how many answers there are to be.
func (r *Request) choices() error {
	n, err := r.count("n")
	r.Choices = max(1, n)
	return err
}

// count returns a field that says how many answers are made; 0 where it is not
// there.
func (r *Request) count(name string) (int64, error) {
	n, _, err := r.positive(name)
	if err == nil && n > maxChoices {
		err = BadRequest(CodeInvalidValue, name, fmt.Sprintf("%s must be at most %d.", name, maxChoices))
	}
	return n, err
}

// inputs returns how many texts, or arrays of tokens, a field holds that takes one
// or many. It is an error where v is neither.
func inputs(v Value, field string) (int64, error) {
	switch v.Kind() {
	case Missing, Null:
		return 0, BadRequest(CodeMissingParameter, field, field+" is missing. Send a text, or an array of texts.")
	case String:
		return 1, nil
	case Array:
	default:
		return 0, noInputs(field)
	}
	n := v.Len()
	if n == 0 {
		return 0, BadRequest(CodeEmptyArray, field, field+" is empty. Send at least one text.")
	}
	switch {
	case all(v, Number):
		return 1, nil
	case !all(v, String) && !tokenLists(v):
		return 0, noInputs(field)
	case n > maxPrompts:
		return 0, BadRequest(CodeInvalidValue, field, fmt.Sprintf("%s has %d elements, and at most %d may be sent. Send several requests.", field, n, maxPrompts))
	}
	return int64(n), nil
}

func noInputs(field string) error {
	return BadRequest(CodeInvalidType, field, field+" must be a string, an array of strings, an array of token numbers, or an array of such arrays.")
}

// all reports whether the elements of an array are of one kind.
func all(v Value, k Kind) bool {
	for _, e := range v.Elements() {
		if e.Kind() != k {
			return false
		}
	}
	return true
}

// tokenLists reports whether the elements of an array are arrays of numbers.
func tokenLists(v Value) bool {
	for _, e := range v.Elements() {
		if e.Kind() != Array || !all(e, Number) {
			return false
		}
	}
	return true
}

// inputs returns the names of the fields that hold the texts of a request that is
// no conversation.
func (o Operation) inputs() []string {
	switch o {
	case Completions:
		return []string{"prompt", "suffix"}
	case Embeddings, Moderations:
		return []string{"input"}
	case Images, ImageEdits, Transcriptions, Translations:
		return []string{"prompt"}
	case Speech:
		return []string{"instructions", "input"}
	default:
		return nil
	}
}

// Inputs calls visit with every text of a request that is no conversation, and
// with the length of every array of token numbers, beside the zero Value. A
// conversation has none.
func (r *Request) Inputs(visit func(text Value, tokens int64)) {
	for _, name := range r.Operation.inputs() {
		eachInput(r.Root.Get(name), visit)
	}
}

// Tokens calls visit with every token that is sent as its number to be read by a model
// that answers, until it returns false: those of the prompt of a completion.
func (r *Request) Tokens(visit func(token Value) bool) {
	if r.Operation == Completions {
		eachToken(r.Root.Get("prompt"), visit)
	}
}

func eachToken(v Value, visit func(token Value) bool) bool {
	if v.Kind() != Array || v.At(0).Kind() == String {
		return v.Kind() != Number || visit(v)
	}
	for _, e := range v.Elements() {
		if !eachToken(e, visit) {
			return false
		}
	}
	return true
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
