package openai

import "fmt"

// BatchLine is one request of a batch's file.
type BatchLine struct {
	CustomID string // as the client knows it; "" it has none
	Request  *Request

	body Value
}

// ParseBatchLine returns the view of a line of a batch's file, whose request is
// read as one that is sent by itself. The error is an *Error, and CustomID is there
// beside it as soon as it was read.
func ParseBatchLine(line []byte) (BatchLine, error) {
	var l BatchLine
	root, err := ParseValue(line)
	if err != nil || root.Kind() != Object {
		return l, BadRequest(CodeInvalidJSON, "", "It is not one JSON object in UTF-8, without duplicate names and without a byte order mark.")
	}
	l.CustomID = root.Get("custom_id").Text()
	if err := exactNames(root, "custom_id method url body"); err != nil {
		return l, err
	}
	url := root.Get("url")
	op, ok := batched(url.Text())
	switch {
	case !ok:
		return l, BadRequest(CodeInvalidValue, "url", fmt.Sprintf("url is %.100q, which no batch may ask for here. "+
			"Send /v1/chat/completions, /v1/responses, /v1/embeddings or /v1/completions.", url.Text()))
	case !root.Get("method").Is("POST"):
		return l, BadRequest(CodeInvalidValue, "method", "method must be POST.")
	case root.Get("body").Kind() != Object:
		return l, BadRequest(CodeInvalidType, "body", "body must be an object: the request.")
	}
	l.body = root.Get("body")
	l.Request, err = ParseAs(op, l.body.Raw())
	return l, err
}

// batched returns what a line's url asks for.
func batched(url string) (Operation, bool) {
	switch url {
	case "/v1/chat/completions", "/chat/completions":
		return Chat, true
	case "/v1/responses", "/responses":
		return Responses, true
	case "/v1/embeddings", "/embeddings":
		return Embeddings, true
	case "/v1/completions", "/completions":
		return Completions, true
	default:
		return 0, false
	}
}

// With returns the line with another request in it. It has no end of a line.
func (l BatchLine) With(r *Request, edits ...Edit) []byte {
	return Apply(l.body.doc.src, l.body.Replace(string(r.Body(edits...))))
}
