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
	case Realtime:
		w.sound = true
		w.realtimeTexts(r.Root)
	default:
		r.Inputs(func(text Value, _ int64) {
			// The spec's own default of a prompt is a special token, and nothing else.
			if text.at != r.Root.Get("prompt").at || !text.Is(impliedPrompt) {
				w.single(text)
			}
		})
	}
}

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

// texts walks a request.
type texts struct {
	visit func([]Value) bool
	run   []Value
	done  bool
	sound bool // what a part of a message calls audio is sound
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
		if v.at != text.at && !name.Is("type") && (!w.sound || !name.Is("audio")) {
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
	if v.Kind() != String || !isData(name.Bytes()) {
		w.but(v)
	}
}

// isData reports whether a member of that name holds data, or says where it is.
func isData(name []byte) bool {
	switch string(name) {
	case "url", "image_url", "data", "file_data", "file_url", "b64_json":
		return true
	default:
		return false
	}
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
