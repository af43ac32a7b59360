package openai

// Texts calls visit with every text of the request that the model reads, each as
// the run of strings that stand together: adjacent text parts of one message are
// one run, since the model may see them as one text; every other run is a single
// string. What the model does not read as text (stop, logit_bias, base64 data and
// URLs) is left out. Visit must not keep the slice; false ends the walk.
func (r *Request) Texts(visit func(run []Value) bool) {
	w := texts{visit: visit}
	switch r.Operation {
	case Chat:
		w.chat(r)
	case Responses, Compact:
		w.responses(r.Root)
	default:
		// The spec's own default of a prompt is a special token, and nothing else.
		if !r.Root.Get("prompt").Is(impliedPrompt) {
			r.Inputs(func(text Value, _ int64) { w.single(text) })
		}
	}
}

// impliedPrompt is the prompt of a completions request that has none.
const impliedPrompt = "<|endoftext|>"

// chat visits a chat request.
func (w *texts) chat(r *Request) {
	for _, m := range r.Messages() {
		w.message(m)
	}
	for _, name := range [...]string{"tools", "functions", "tool_choice", "function_call", "response_format", "web_search_options"} {
		w.all(r.Root.Get(name))
	}
	w.content(r.Root.Get("prediction").Get("content"))
	for _, source := range r.Root.Get("data_sources").Elements() {
		w.single(source.Get("parameters").Get("role_information"))
	}
}

// responses visits a Responses request.
func (w *texts) responses(root Value) {
	w.single(root.Get("instructions"))
	w.all(root.Get("prompt").Get("variables"))
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
	for name, v := range item.pairs() {
		switch {
		case name.Is("content"), name.Is("output"):
			w.content(v)
		case name.Is("encrypted_content"):
		default:
			w.member(name, v)
		}
	}
}

// texts walks a request.
type texts struct {
	visit func([]Value) bool
	run   []Value
	done  bool
}

func (w *texts) flush() {
	if len(w.run) > 0 && !w.done {
		w.done = !w.visit(w.run)
	}
	w.run = w.run[:0]
}

func (w *texts) single(v Value) {
	if v.Kind() == String {
		w.run = append(w.run, v)
		w.flush()
	}
}

// message visits every string of a message but data and URLs.
func (w *texts) message(m Message) {
	for name, v := range m.pairs() {
		if name.Is("content") {
			w.content(v)
		} else {
			w.but(v)
		}
	}
}

// content visits a message's content; text parts that touch make one run.
func (w *texts) content(v Value) {
	if v.Kind() != Array {
		w.but(v)
		return
	}
	var run []Value
	for _, part := range v.Elements() {
		text := partText(part)
		if text.Kind() == String {
			run = append(run, text)
		} else {
			w.emit(&run)
		}
		w.rest(part, text)
	}
	w.emit(&run)
}

// partText returns the text of a content part, the zero Value where it has none.
func partText(part Value) Value {
	if part.Kind() == String {
		return part
	}
	for _, name := range [...]string{"text", "refusal"} {
		if v := part.Get(name); v.Kind() == String {
			return v
		}
	}
	return Value{}
}

// rest visits what a content part holds besides its text.
func (w *texts) rest(part, text Value) {
	if part.Kind() == Array {
		w.but(part)
	}
	for name, v := range part.pairs() {
		if v.at != text.at && !name.Is("type") {
			w.member(name, v)
		}
	}
}

func (w *texts) emit(run *[]Value) {
	w.run = append(w.run[:0], *run...)
	*run = (*run)[:0]
	w.flush()
}

// but visits every string in v but those that hold data or a URL.
func (w *texts) but(v Value) {
	w.single(v)
	for _, e := range v.Elements() {
		w.but(e)
	}
	for name, e := range v.pairs() {
		w.member(name, e)
	}
}

func (w *texts) member(name, v Value) {
	if v.Kind() != String || !isData(name) {
		w.but(v)
	}
}

func isData(name Value) bool {
	return name.Is("url") || name.Is("image_url") || name.Is("data") || name.Is("file_data") || name.Is("file_url") || name.Is("b64_json")
}

// all visits every string in v, names of members included: a schema's names are
// text that the model reads.
func (w *texts) all(v Value) {
	w.single(v)
	for _, e := range v.Elements() {
		w.all(e)
	}
	for name, e := range v.pairs() {
		w.single(name)
		w.all(e)
	}
}
