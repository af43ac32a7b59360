package openai

import "fmt"

// responsesNames refuses the names of a Responses request in another case.
func (r *Request) responsesNames() error {
	err := exactNames(r.Root, "model input instructions prompt tools tool_choice text stream stream_options max_output_tokens temperature store previous_response_id conversation background truncation modalities output_modalities")
	if err != nil {
		return err
	}
	for _, item := range r.Root.Get("input").Elements() {
		if err := exactNames(item, "type role content name arguments input output summary id call_id encrypted_content"); err != nil {
			return err
		}
		for _, list := range [...]string{"content", "output", "summary"} {
			for _, part := range item.Get(list).Elements() {
				if err := exactNames(part, "type text refusal image_url file_data file_url file_id"); err != nil {
					return err
				}
			}
		}
	}
	return exactNames(r.Root.Get("stream_options"), "include_usage")
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

// Truncates reports whether upstream is to leave out the oldest of a conversation that
// is too long, instead of refusing it.
func (r *Request) Truncates() bool {
	return r.Operation == Responses && r.Root.Get("truncation").Is("auto")
}

// responses visits a Responses request.
func (w *texts) responses(root Value) {
	w.single(root.Get("instructions"))
	for name, v := range root.Get("prompt").Get("variables").pairs() {
		w.single(name)
		w.but(v)
	}
	input := root.Get("input")
	w.single(input)
	for _, item := range input.Elements() {
		if item.Kind() == Object {
			w.item(item)
		} else {
			w.but(item)
		}
	}
	for _, name := range [...]string{"tools", "tool_choice", "text"} {
		w.all(root.Get(name))
	}
}

// item visits every string of an input item but data, URLs, and what only upstream
// can read.
func (w *texts) item(item Value) {
	image := item.Get("type").Is("image_generation_call")
	for name, v := range item.pairs() {
		switch {
		case name.Is("content"), name.Is("output"), name.Is("summary"):
			w.content(v)
		case name.Is("encrypted_content"), name.Is("result") && image:
		default:
			w.member(name, v)
		}
	}
}
