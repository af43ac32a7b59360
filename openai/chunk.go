package openai

import "bytes"

// Facts are what the gateway takes note of in a plain answer or in the chunks of
// a stream. Its names are such as Word returns, but for the ID.
type Facts struct {
	ID, Model    string
	FinishReason string // the last one that a choice gave; a response's status, or why it is incomplete
	Usage        Usage
	HasUsage     bool
	Filtered     bool // a content filter ended or withheld a choice
	Filters      Filters
	ServiceTier  string // that it was answered in
	Fingerprint  string // of the system that answered
}

// ReadAnswer returns the facts of a plain answer. A body that is no JSON object
// is an error.
func ReadAnswer(body []byte) (Facts, error) {
	root, err := ReadValue(body)
	if err != nil {
		return Facts{}, err
	}
	if root.Kind() != Object {
		return Facts{}, &SyntaxError{Message: "the answer is no object"}
	}
	var f Facts
	f.note(root)
	return f, nil
}

// note takes note of one chunk, of one typed event, or of a whole answer.
func (f *Facts) note(root Value) {
	whole := root.Get("object").Is("response")
	if response := root.Get("response"); response.Kind() == Object {
		root, whole = response, true
	}
	if f.ID == "" {
		f.ID = root.Get("id").Text()
		f.beginning(root)
	}
	if f.Model == "" {
		f.Model = Word(root.Get("model").Text())
	}
	for _, c := range root.Get("choices").Elements() {
		if reason := Word(c.Get("finish_reason").Text()); reason != "" {
			f.FinishReason = reason
			f.Filtered = f.Filtered || f.FinishReason == "content_filter"
		}
		f.Filters.note(ofCompletion, c.Get("content_filter_results"))
	}
	if whole {
		f.response(root)
	}
	f.used(root)
}

// beginning takes note of what a plain answer says, and a stream in its first
// chunks.
func (f *Facts) beginning(root Value) {
	f.ServiceTier, f.Fingerprint = Word(root.Get("service_tier").Text()), Word(root.Get("system_fingerprint").Text())
	for _, p := range root.Get("prompt_filter_results").Elements() {
		f.Filters.note(ofPrompt, p.Get("content_filter_results"))
	}
}

// response takes note of how a response has ended, once it has.
func (f *Facts) response(root Value) {
	status := root.Get("status").Text()
	if status == "" || status == "queued" || status == "in_progress" {
		return
	}
	f.FinishReason = Word(status)
	if tier := Word(root.Get("service_tier").Text()); tier != "" {
		f.ServiceTier = tier
	}
	if reason := Word(root.Get("incomplete_details").Get("reason").Text()); reason != "" {
		f.FinishReason = reason
	}
	f.Filtered = f.Filtered || f.FinishReason == "content_filter" || root.Get("error").Get("code").Is("content_filter")
	for _, filter := range root.Get("content_filters").Elements() {
		f.Filtered = f.Filtered || filter.Get("blocked").IsTrue()
		source := ofCompletion
		if filter.Get("source_type").Is("prompt") {
			source = ofPrompt
		}
		f.Filters.note(source, filter.Get("content_filter_results"))
	}
}

// used takes note of what was used. In a stream of images each says what it took
// of itself; the prompt is the same one.
func (f *Facts) used(root Value) {
	u, ok := readUsage(root.Get("usage"))
	if !ok && root.Get("text").Kind() == String { // a transcript may tell how long it is, and no more
		u.Seconds, ok = root.Get("duration").Float()
	}
	if !ok {
		return
	}
	if kind := root.Get("type"); f.HasUsage && (kind.Is("image_generation.completed") || kind.Is("image_edit.completed")) {
		u = u.more(f.Usage)
	}
	f.Usage, f.HasUsage = u, true
}

// Event is one event of a stream. Its bytes are good until the next one is read.
type Event struct {
	Name    string // of the event: line; "" as a rule
	Data    []byte // what stood behind data:
	Root    Value  // Data's object; the zero Value for [DONE] and comments
	Comment bool   // a comment alone: a sign of life
	Done    bool   // [DONE], or the typed event that ends a stream; response.failed is, and has an Err
	Content bool   // it bears output that a client would show or act on
	Finish  bool   // a choice has ended, or an image, or all of a typed stream
	Err     Value  // what an error event says, an object as a rule; else the zero Value

	piece bool // it bears more of the output, and does not only sum it up or end it
}

// read fills in what the event means, in a stream of typed events or of chunks.
func (e *Event) read(typed bool) error {
	if bytes.Equal(bytes.TrimSpace(e.Data), []byte("[DONE]")) {
		e.Done = true
		return nil
	}
	root, err := ReadValue(e.Data)
	if err != nil {
		return err
	}
	e.Root = root
	if e.Err = e.failure(typed); e.Err.Kind() != Missing {
		e.Done = typed && e.fails()
		e.Finish = e.Done
		return nil
	}
	if typed {
		e.readTyped()
		return nil
	}
	for _, c := range root.Get("choices").Elements() {
		e.Finish = e.Finish || ends(c)
		e.piece = e.piece || bears(c.Get("delta")) || len(c.Get("text").inner()) > 0
	}
	e.Content = e.piece || e.Finish
	return nil
}

// tokens returns how many tokens an event bears, roughly.
func (e *Event) tokens() int64 {
	if !e.Content {
		return 0
	}
	size := len(e.Root.Get("delta").Raw())
	for _, c := range e.Root.Get("choices").Elements() {
		for name, v := range c.Get("delta").pairs() {
			if !name.Is("role") {
				size += len(v.Raw())
			}
		}
		size += len(c.Get("text").Raw())
	}
	const each = 4 // bytes
	return max(1, int64(size/each))
}

// ends reports whether a choice gives its finish reason. Some servers send an
// empty one until then.
func ends(choice Value) bool { return len(choice.Get("finish_reason").inner()) > 0 }

// bears reports whether a delta holds more than a role.
func bears(delta Value) bool {
	for name, v := range delta.pairs() {
		if name.Is("role") {
			continue
		}
		switch v.Kind() {
		case String:
			if len(v.inner()) > 0 {
				return true
			}
		case Array, Object:
			if v.Len() > 0 {
				return true
			}
		case Missing, Null, Bool, Number:
		}
	}
	return false
}

// Generated calls visit with every piece of text that the model generated in a
// chunk or in a whole answer, and the index of the choice it belongs to.
func Generated(root Value, visit func(choice int64, text Value)) {
	generatedTyped(root, func(v Value) { visit(0, v) })
	for _, c := range root.Get("choices").Elements() {
		index, _ := c.Get("index").Int()
		for _, name := range [...]string{"delta", "message", "text"} {
			deltas(c.Get(name), func(v Value) { visit(index, v) })
		}
	}
}

// deltas visits the strings of a delta that were generated, token by token.
func deltas(v Value, visit func(Value)) {
	if v.Kind() == String { // a completion's own
		visit(v)
	}
	for name, e := range v.pairs() {
		switch {
		case name.Is("role"), name.Is("id"), name.Is("type"):
		case name.Is("audio") && e.Kind() == Object: // its data is no text
			eachString(e, visit, "transcript")
		case e.Kind() == String:
			visit(e)
		default:
			deltas(e, visit)
		}
	}
	for _, e := range v.Elements() {
		deltas(e, visit)
	}
}
