package tokens

import (
	"weir/openai"
)

const (
	// namespaceFrame is what the declarations of functions cost beside their
	// text, and ownSystem what of it falls away where a system message is there
	// to hold them.
	namespaceFrame = 9
	ownSystem      = 4

	// chosen and noChoice are what naming the function to call, and forbidding
	// calls, adds.
	chosen   = 4
	noChoice = 1

	// schemaFrame is the bound on what the schema of an answer costs beside its
	// text, its name and its description. The recorded charges lie below it.
	schemaFrame = 8
)

// tools returns the tokens of the tools and functions of a request.
func (w *walk) tools(root openai.Value) int {
	if !w.hasTools {
		return 0
	}
	var functions []openai.Value
	n := 0
	for _, tool := range root.Get("tools").Elements() {
		if f := tool.Get("function"); f.Kind() == openai.Object {
			functions = append(functions, f)
		} else {
			n += w.raw(tool)
		}
	}
	for _, f := range root.Get("functions").Elements() {
		functions = append(functions, f)
	}
	s := schemas{out: w.scratch[:0], room: len(root.Get("tools").Raw()) + len(root.Get("functions").Raw())}
	s.namespace(functions)
	w.scratch = s.out
	n += w.bytes(s.out) + namespaceFrame
	if w.padded {
		n -= ownSystem
	}
	if w.model.Encoding != CL100K {
		n -= s.undescribed
	}
	// No usage of a reasoning model with tools is public.
	w.Estimated = w.Estimated || w.model.Reasoning
	return n + w.choice(root.Get("tool_choice")) + w.choice(root.Get("function_call"))
}

// choice returns what tool_choice or function_call adds.
func (w *walk) choice(v openai.Value) int {
	if v.Is("none") {
		return noChoice
	}
	if v.Kind() != openai.Object {
		return 0
	}
	for _, name := range [...]openai.Value{v.Get("name"), v.Get("function").Get("name"), v.Get("custom").Get("name")} {
		if name.Kind() == openai.String {
			return chosen + w.text(name)
		}
	}
	return w.raw(v)
}

// responseFormat returns a bound on the tokens of the schema of an answer. How
// the model is shown it is not public; it is no longer than the text.
func (w *walk) responseFormat(v openai.Value) int {
	schema := v.Get("json_schema")
	if schema.Kind() != openai.Object {
		return 0
	}
	return schemaFrame + w.text(schema.Get("name")) + w.text(schema.Get("description")) + w.raw(schema.Get("schema"))
}

// prediction returns a bound on the tokens of a predicted answer, of which it is
// not public how far they count as prompt.
func (w *walk) prediction(content openai.Value) int {
	n := w.text(content)
	for _, part := range content.Elements() {
		n += w.text(part.Get("text"))
	}
	w.Estimated = w.Estimated || n > 0
	return n
}
