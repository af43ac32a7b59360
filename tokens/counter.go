package tokens

import (
	"math"

	"weir/openai"
)

// Counter counts for one model. It is safe for concurrent use.
type Counter struct {
	model Model
	vocab func() *vocabulary
}

// Counter returns the counter of a model. Its encoding is built when it is first
// used, or by Warm.
func (e *Encodings) Counter(m Model) *Counter {
	return &Counter{model: m, vocab: func() *vocabulary { return e.vocabulary(m.Encoding) }}
}

// Count is what a chat request costs, in tokens of its prompt. The parts add up
// to Total.
type Count struct {
	Total          int
	Messages       []int // one a message, with its overhead and its parts
	Tools          int   // declarations and what choosing one adds; may lower a system message's share
	ResponseFormat int   // the schema of the answer
	Prediction     int   // the text predicted
	Overhead       int   // what begins the answer

	Images int // the share of images, which Messages includes

	// Estimated says that a part has no public rule and was charged by a bound.
	Estimated bool
}

// Model returns the model that the counter counts for.
func (c *Counter) Model() Model { return c.model }

// Text returns the tokens of a text. Literals of special tokens are counted as
// the ordinary text they are, and each byte that is not UTF-8 as a replacement
// character.
func (c *Counter) Text(b []byte) int { return c.vocab().count(b, math.MaxInt) }

// Special reports whether a token's number stands for no text: for a special token, or
// for nothing.
//
// Source: the vocabularies of tiktoken 0.14.
func (c *Counter) Special(token int64) bool {
	end, hole := int64(199_998), int64(-1)
	switch c.model.Encoding {
	case R50K:
		end = 50_256
	case P50K:
		end, hole = 50_281, 50_256
	case CL100K:
		end = 100_256
	default:
	}
	return token < 0 || token >= end || token == hole
}

// CountLimit returns the tokens of a text and true; or, where there are more than
// limit, some number above it and false, without reading the whole text.
func (c *Counter) CountLimit(b []byte, limit int) (int, bool) {
	n := c.vocab().count(b, limit)
	return n, n <= limit
}

// Request returns the tokens of a chat request.
func (c *Counter) Request(r *openai.Request) Count {
	w := walk{Counter: c, vocabulary: c.vocab(), calls: make(map[string]openai.Value)}
	w.hasTools = r.Root.Get("tools").Len() > 0 || r.Root.Get("functions").Len() > 0
	for _, m := range r.Messages() {
		n := w.message(m)
		w.Messages = append(w.Messages, n)
		w.Total += n
	}
	w.Tools = w.tools(r.Root)
	w.ResponseFormat = w.responseFormat(r.Root.Get("response_format"))
	w.Prediction = w.prediction(r.Root.Get("prediction").Get("content"))
	w.Overhead = c.model.Overhead.Priming
	if sources := r.Root.Get("data_sources"); sources.Len() > 0 {
		w.Estimated = true // what is found there is added behind our back
		for _, source := range sources.Elements() {
			w.Overhead += w.text(source.Get("parameters").Get("role_information"))
		}
	}
	w.Total += w.Tools + w.ResponseFormat + w.Prediction + w.Overhead
	return w.Count
}

// walk counts one request.
type walk struct {
	*Counter
	*vocabulary
	Count

	hasTools bool
	padded   bool // the first system message was seen
	calls    map[string]openai.Value
	scratch  []byte
}

func (w *walk) bytes(b []byte) int { return w.count(b, math.MaxInt) }

// text returns the tokens of a string, 0 of any other kind.
func (w *walk) text(v openai.Value) int { return w.bytes(v.Bytes()) }

// role returns the tokens of a role.
func (w *walk) role(name string) int {
	if n, ok := w.roles[name]; ok {
		return n
	}
	return w.bytes([]byte(name))
}

// raw returns the tokens of a value's JSON text, which is the charge for what no
// rule covers: a model is shown no more than was sent.
func (w *walk) raw(v openai.Value) int {
	w.Estimated = true
	return w.bytes(v.Raw())
}
