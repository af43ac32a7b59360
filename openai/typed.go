package openai

import (
	"bytes"
	"strings"
)

// readTyped fills in what a typed event means: that of the Responses API, or of a
// stream of images, of speech or of a transcript.
func (e *Event) readTyped() {
	kind := e.Root.Get("type").Text()
	switch kind {
	case "response.completed", "response.incomplete", "response.cancelled":
		e.Done = true
	case "response.created", "response.queued", "response.in_progress":
		return
	case "image_generation.completed", "image_edit.completed", "speech.audio.done", "transcript.text.done":
		e.Finish = true
	}
	e.Content = true
	if strings.HasPrefix(kind, "response.") && !e.Done {
		e.Content = strings.Contains(kind, ".delta") || strings.HasPrefix(kind, "response.output_item.")
	}
}

// generatedTyped visits the texts that the model generated in a typed event, or in
// a whole answer of the Responses API.
func generatedTyped(root Value, visit func(Value)) {
	if kind := root.Get("type"); kind.Kind() == String {
		if delta := root.Get("delta"); delta.Kind() == String && bytes.HasSuffix(kind.Bytes(), []byte(".delta")) && !kind.Is("response.audio.delta") {
			visit(delta)
		}
		return
	}
	strings := func(in Value, names ...string) {
		for _, name := range names {
			if v := in.Get(name); v.Kind() == String {
				visit(v)
			}
		}
	}
	for _, item := range root.Get("output").Elements() {
		for _, part := range item.Get("content").Elements() {
			strings(part, "text", "refusal")
		}
		strings(item, "arguments", "input")
	}
}
