package openai

import (
	"bytes"
	"strconv"
	"strings"
)

// readTyped fills in what a typed event means: that of the Responses API, or of a
// stream of images, of speech or of a transcript. One that nobody here knows is
// taken for content.
func (e *Event) readTyped() {
	kind := e.kind()
	switch kind {
	case "response.completed", "response.incomplete", "response.cancelled", "speech.audio.done", "transcript.text.done":
		e.Done, e.Finish, e.Content = true, true, true
	case "image_generation.completed", "image_edit.completed":
		e.Finish, e.Content = true, true // another image may follow
	case "response.created", "response.queued", "response.in_progress", "keepalive", "ping",
		"response.content_part.added", "response.reasoning_summary_part.added":
	case "response.output_item.added":
		item := e.Root.Get("item").Get("type")
		e.Content = !item.Is("message") && !item.Is("reasoning") // those come empty
	default:
		delta, more := e.Root.Get("delta"), strings.HasSuffix(kind, ".delta")
		e.Content = !more || delta.Kind() != String || len(delta.inner()) > 0
		e.piece = e.Content && (more || strings.HasSuffix(kind, ".partial_image"))
	}
}

// kind returns the type of a typed event.
func (e *Event) kind() string {
	if kind := e.Root.Get("type"); kind.Kind() == String {
		return kind.Text()
	}
	return e.Name
}

// fails tells whether the event is a response that failed: the end of its stream,
// which its client is shown as any other.
func (e *Event) fails() bool { return e.kind() == "response.failed" }

// forgive makes of the end of a response that failed one like any other.
func (e *Event) forgive() {
	if e.Done && e.Err.Kind() != Missing {
		e.Err, e.Content = Value{}, true
	}
}

// failure returns the event's error, the zero Value where it has none. One whose
// name or type is error is one as a whole.
func (e *Event) failure(typed bool) Value {
	if err := e.Root.Get("error"); err.Kind() == Object || err.Kind() == String {
		return err
	}
	if e.Name == "error" || e.Root.Get("type").Is("error") {
		return e.Root
	}
	if typed && e.fails() {
		if err := e.Root.Get("response").Get("error"); err.Kind() == Object {
			return err
		}
		return e.Root
	}
	return Value{}
}

// body returns what an error event says in the form of the body of an answer that
// is an error. Typed events have forms of their own, without what tells whose
// fault it is.
func (e *Event) body(typed bool) []byte {
	outer := e.Root.Get("error")
	if !typed || outer.Kind() == String {
		return bytes.Clone(e.Data)
	}
	kind := e.Err.Get("type")
	blame := typeOfCode(e.Err.Get("code").Text())
	if outer.Kind() == Object {
		if kind.Kind() == String {
			return bytes.Clone(e.Data)
		}
		return Apply(e.Root.doc.src, outer.Set("type", quoteOrNull(blame))) // Data may have been edited since
	}
	message := e.Err.Get("message").Text()
	if message == "" {
		message = e.Err.Text()
	}
	if message == "" {
		message = "The upstream ended the stream with an error, and gave no reason."
	}
	if kind.Kind() == String && !kind.Is("error") && !kind.Is("response.failed") {
		blame = kind.Text()
	}
	return envelope(message, blame, rawOrNull(e.Err.Get("param")), rawOrNull(e.Err.Get("code")))
}

func rawOrNull(v Value) string {
	if v.Kind() == Missing {
		return "null"
	}
	return string(v.Raw())
}

// typeOfCode returns the type that belongs to the code of a response's error,
// which has none: whether its sender or upstream is to blame.
func typeOfCode(code string) string {
	switch {
	case code == "rate_limit_exceeded":
		return "rate_limit_error"
	case code == "invalid_model_output":
		return "server_error"
	case strings.HasPrefix(code, "invalid_"), strings.Contains(code, "image"), strings.Contains(code, "_policy"),
		code == "content_filter", code == "context_length_exceeded", code == "data_residency_mismatch":
		return "invalid_request_error"
	default:
		return "server_error"
	}
}

// appendFailure appends the event that ends a typed stream in an error, in both
// of the forms that clients look for: some raise the inner object alone, some the
// event's own members. Body is an envelope; the number is left out below 0.
func appendFailure(dst, body []byte, number int64) []byte {
	root, err := ReadValue(body)
	if err != nil {
		return appendEvent(dst, "error", body)
	}
	inner := root.Get("error")
	data := append([]byte(nil), `{"type":"error","error":`...)
	data = append(data, inner.Raw()...)
	for _, name := range [...]string{"code", "message", "param"} {
		data = append(data, `,"`+name+`":`...)
		data = append(data, rawOrNull(inner.Get(name))...)
	}
	if number >= 0 {
		data = append(data, `,"sequence_number":`...)
		data = strconv.AppendInt(data, number, 10)
	}
	return appendEvent(dst, "error", append(data, '}'))
}

// generatedTyped visits the texts that the model generated in a typed event, in a
// whole answer of the Responses API, or in a transcript. What an event repeats when
// a part is done is left out, and so is what tools have answered.
func generatedTyped(root Value, visit func(Value)) {
	kind := root.Get("type")
	if kind.Kind() != String {
		if root.Get("choices").Kind() == Missing {
			eachString(root, visit, "text")
		}
		for _, item := range root.Get("output").Elements() {
			generatedItem(item, visit)
		}
		return
	}
	switch delta := root.Get("delta"); {
	case kind.Is("response.output_item.added"):
		eachString(root.Get("item"), visit, "name")
	case delta.Kind() == String && bytes.HasSuffix(kind.Bytes(), []byte(".delta")) && !bytes.HasSuffix(kind.Bytes(), []byte("audio.delta")):
		visit(delta)
	}
}

// generatedItem visits the texts of an output item that the model generated.
func generatedItem(item Value, visit func(Value)) {
	if role := item.Get("role"); role.Kind() == String && !role.Is("assistant") {
		return // a compacted conversation has the user's messages too
	}
	for _, list := range [...]string{"summary", "content"} {
		for _, part := range item.Get(list).Elements() {
			eachString(part, visit, "text", "refusal", "transcript")
		}
	}
	eachString(item, visit, "name", "arguments", "input", "code")
}

// eachString visits those members of an object that are strings.
func eachString(in Value, visit func(Value), names ...string) {
	for _, name := range names {
		if v := in.Get(name); v.Kind() == String {
			visit(v)
		}
	}
}
