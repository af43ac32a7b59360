package tokens

import (
	"weir/openai"
)

const (
	// functionCall is what function_call adds to its name and arguments, and
	// what a function's answer has less than another message.
	functionCall   = 3
	functionAnswer = 2

	// callFrame and answerFrame are what a tool call and its answer add to their
	// texts, as ten recorded requests of gpt-4o, gpt-4o-mini and gpt-4.1 have it.
	callFrame   = 2
	answerFrame = 6

	// unknownPart is the charge for a part that says nothing of its size: a file
	// or an audio answer that is named by an id.
	unknownPart = 4096

	// fileDensity is how many bytes of a file are charged as one token: 4096
	// tokens, some pages, in 64 kilobytes. It is a charge and no bound.
	fileDensity = 16
)

// message returns the tokens of one message. Fields that the API does not name
// are not shown to the model and cost nothing.
func (w *walk) message(m openai.Message) int {
	if m.Role == "tool" {
		return w.answer(m)
	}
	n := w.content(m) + w.text(m.Get("refusal"))
	if call := m.Get("function_call"); call.Kind() == openai.Object {
		n += w.text(call.Get("name")) + w.text(call.Get("arguments")) + functionCall
	}
	if m.Get("audio").Kind() == openai.Object {
		w.Estimated = true
		n += unknownPart
	}
	calls := 0
	if list := m.Get("tool_calls"); list.Len() > 0 {
		calls = w.toolCalls(list)
	}
	if n == 0 && calls > 0 {
		return calls
	}
	return n + calls + w.model.Overhead.PerMessage + w.role(m.Role) + w.name(m)
}

// name returns what a message's name adds.
func (w *walk) name(m openai.Message) int {
	name := m.Get("name")
	if name.Kind() != openai.String {
		return 0
	}
	n := w.text(name) + w.model.Overhead.PerName
	if m.Role == "function" {
		n -= functionAnswer
	}
	return n
}

// content returns the tokens of a message's content. Where there are tools, the
// first system message gets a line break behind it.
func (w *walk) content(m openai.Message) int {
	content := m.Get("content")
	pad := w.hasTools && !w.padded && isSystem(m.Role)
	w.padded = w.padded || isSystem(m.Role)
	if content.Kind() == openai.String {
		if !pad {
			return w.text(content)
		}
		w.scratch = append(content.AppendText(w.scratch[:0]), '\n')
		return w.bytes(w.scratch)
	}
	n := 0
	for _, part := range content.Elements() {
		n += w.part(part)
	}
	if pad {
		n++
	}
	return n
}

func isSystem(role string) bool { return role == "system" || role == "developer" }

// part returns the tokens of a content part.
func (w *walk) part(part openai.Value) int {
	switch kind := part.Get("type"); {
	case part.Kind() == openai.String:
		return w.text(part)
	case kind.Is("text"), kind.Is("input_text"), kind.Is("output_text"):
		return w.text(part.Get("text"))
	case kind.Is("refusal"):
		return w.text(part.Get("refusal"))
	case kind.Is("image_url"):
		n := w.image(part.Get("image_url"))
		w.Images += n
		return n
	case kind.Is("input_audio"):
		n, exact := audioTokens(part.Get("input_audio").Get("data").Bytes())
		w.Estimated = w.Estimated || !exact
		return n
	case kind.Is("file"):
		return w.file(part.Get("file"))
	default:
		return w.raw(part)
	}
}

// image returns the tokens of an image: by its size where it is in the request,
// else the most that one may cost.
func (w *walk) image(image openai.Value) int {
	url, detail := image.Get("url"), image.Get("detail").Text()
	if image.Kind() == openai.String {
		url = image
	}
	if text, ok := dataURL(url.Bytes()); ok {
		if width, height, ok := imageSize(text); ok {
			return w.model.Image.Tokens(width, height, detail)
		}
	}
	w.Estimated = true
	return w.model.Image.Max(detail)
}

// file returns a charge for a file, whose text and pages only Azure knows.
func (w *walk) file(file openai.Value) int {
	w.Estimated = true
	n := w.text(file.Get("filename")) + unknownPart
	data := file.Get("file_data").Bytes()
	if text, ok := dataURL(data); ok {
		data = text
	}
	return n + decodedLen(data)/fileDensity
}

// toolCalls returns the tokens of an assistant's tool calls. One call is a
// message to its function; several are one message to a function that has them
// as its argument.
func (w *walk) toolCalls(calls openai.Value) int {
	for _, call := range calls.Elements() {
		w.calls[call.Get("id").Text()] = callName(call)
	}
	if calls.Len() == 1 {
		call := calls.At(0)
		w.scratch = append(w.scratch[:0], "assistant to=functions."...)
		w.scratch = callName(call).AppendText(w.scratch)
		return callFrame + w.bytes(w.scratch) + w.text(arguments(call))
	}
	w.scratch = append(w.scratch[:0], `{"tool_uses":[`...)
	for i, call := range calls.Elements() {
		if i > 0 {
			w.scratch = append(w.scratch, ',')
		}
		w.scratch = append(w.scratch, `{"recipient_name":"functions.`...)
		w.scratch = callName(call).AppendText(w.scratch)
		w.scratch = append(w.scratch, `","parameters":`...)
		w.scratch = appendCompact(w.scratch, arguments(call).Bytes())
		w.scratch = append(w.scratch, '}')
	}
	w.scratch = append(w.scratch, "]}"...)
	return w.model.Overhead.PerMessage + w.bytes(w.scratch) + w.bytes([]byte("assistant to=multi_tool_use.parallel"))
}

// appendCompact appends JSON text without the space between its parts.
func appendCompact(dst, text []byte) []byte {
	quoted, escaped := false, false
	for _, c := range text {
		if !quoted && (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
			continue
		}
		if c == '"' && !escaped {
			quoted = !quoted
		}
		escaped = c == '\\' && !escaped
		dst = append(dst, c)
	}
	return dst
}

func callName(call openai.Value) openai.Value {
	if f := call.Get("custom"); f.Kind() == openai.Object {
		return f.Get("name")
	}
	return call.Get("function").Get("name")
}

func arguments(call openai.Value) openai.Value {
	if f := call.Get("custom"); f.Kind() == openai.Object {
		return f.Get("input")
	}
	return call.Get("function").Get("arguments")
}

// answer returns the tokens of a tool's answer, which goes by the name that the
// call with its id had.
func (w *walk) answer(m openai.Message) int {
	name, ok := w.calls[m.Get("tool_call_id").Text()]
	if !ok {
		name = m.Get("name")
	}
	n := w.content(m)
	w.scratch = append(w.scratch[:0], "functions."...)
	w.scratch = name.AppendText(w.scratch)
	return answerFrame + w.bytes(w.scratch) + n
}
