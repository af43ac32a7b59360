package azuresim

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// readTexts decodes a prompt or an input in its four forms: a text or many, the
// tokens of one or of many. Each text becomes a message; tokens are their own
// text, a number each, and cost one apiece.
func (q *chatRequest) readTexts(raw json.RawMessage) bool {
	if text, ok := decoded[string](raw); ok {
		q.messages = []message{{Role: "user", text: text}}
		return true
	}
	if texts, ok := decoded[[]string](raw); ok {
		for _, text := range texts {
			q.messages = append(q.messages, message{Role: "user", text: text})
		}
		return true
	}
	many, ok := decoded[[][]int](raw)
	if one, single := decoded[[]int](raw); single {
		many, ok = [][]int{one}, true
	}
	for _, tokens := range many {
		text := strings.Trim(fmt.Sprint(tokens), "[]")
		q.messages = append(q.messages, message{Role: "user", text: text})
		q.tokens += len(tokens) - textTokens(len(text))
	}
	return ok
}

// decoded is raw as a T, whole, and whether it is one.
func decoded[T any](raw json.RawMessage) (T, bool) {
	var v, none T
	if json.Unmarshal(raw, &v) != nil {
		return none, false
	}
	return v, true
}

func (c *call) readEmbeddings() *Step {
	q := &chatRequest{n: 1, plain: true, mute: true}
	var input json.RawMessage
	if refused := c.readFields(q, map[string]any{"input": &input}); refused != nil {
		return refused
	}
	c.chat = q
	if q.has("input") && !q.readTexts(input) {
		return invalidInput()
	}
	return nil
}

// invalidInput is OpenAI's answer to an input of no known form.
func invalidInput() *Step {
	return invalid("'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.", "", "")
}

// checkEmbeddings refuses with OpenAI's texts; what Azure says is guessed to be
// the same.
func (c *call) checkEmbeddings() *Step {
	const most = 2048
	q := c.chat
	format := q.text("encoding_format")
	switch n := len(q.messages); {
	case !q.has("input"):
		return invalid("Missing required parameter: 'input'.", "input", "missing_required_parameter")
	case n == 0 || slices.ContainsFunc(q.messages, func(m message) bool { return m.text == "" }):
		return invalidInput()
	case n > most:
		return invalid(fmt.Sprintf("Invalid 'input': array too long. Expected an array with maximum length %d, but got an array with length %d instead.", most, n),
			"input", "array_above_max_length")
	case format != "" && format != "float" && format != "base64":
		return invalid("Invalid value: '"+format+"'. Supported values are: 'float' and 'base64'.", "encoding_format", "invalid_value")
	}
	return c.checkDimensions()
}

// mostDimensions keeps a vector within reason.
const mostDimensions = 4096

func (c *call) checkDimensions() *Step {
	q := c.chat
	switch asked := q.float("dimensions", 1); {
	case q.has("dimensions") && strings.Contains(c.dep.Model, "ada"):
		return invalid("This model does not support specifying dimensions.", "", "")
	case asked < 1:
		return outOfRange("dimensions", "integer below minimum value", ">= 1", asked)
	case asked > mostDimensions:
		return outOfRange("dimensions", "integer above maximum value", "<= "+strconv.Itoa(mostDimensions), asked)
	}
	if w := c.dep.ContextWindow; w > 0 {
		for _, m := range q.messages {
			if n := textTokens(len(m.text)); n > w {
				return promptLength(w, n, 0)
			}
		}
	}
	return nil
}

// promptLength is wording 4, of prompts that are no messages.
func promptLength(window, prompt, completion int) *Step {
	return invalid(fmt.Sprintf("This model's maximum context length is %d tokens, however you requested %d tokens (%d in your prompt; %d for the completion). Please reduce your prompt; or completion length.",
		window, prompt+completion, prompt, completion), "", "")
}

// text is the string called name, "" where there is none.
func (q *chatRequest) text(name string) string {
	var s string
	_ = json.Unmarshal(q.fields[name], &s) // What is no string is not this field.
	return s
}

func (c *call) composeEmbeddings() (*Step, []event) {
	c.bill(0)
	return c.embeddings(), nil
}

func (c *call) embeddings() *Step {
	q := c.chat
	data := make([]any, len(q.messages))
	for i, m := range q.messages {
		v := vector(m.text, c.dimensions())
		one := object{"object": "embedding", "index": i, "embedding": v}
		if q.text("encoding_format") == "base64" {
			b := make([]byte, 0, 4*len(v))
			for _, x := range v {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
			}
			one["embedding"] = base64.StdEncoding.EncodeToString(b)
		}
		data[i] = one
	}
	o := object{"object": "list", "model": c.dep.Model, "data": data}
	if n := q.promptTokens(); !c.step.shape.noUsage {
		o["usage"] = object{"prompt_tokens": n, "total_tokens": n}
	}
	return answer(http.StatusOK, c.adorn(o))
}

// dimensions is what is asked for, or else what the model has.
func (c *call) dimensions() int {
	own := 1536.0
	if strings.Contains(c.dep.Model, "large") {
		own = 3072
	}
	return int(c.chat.float("dimensions", own))
}

// vector is a vector of length one that depends on text alone.
func vector(text string, n int) []float32 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	x := h.Sum64() | 1
	raw, sum := make([]float64, n), 0.0
	for i := range raw {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		raw[i] = float64(int64(x)) / (1 << 63) //nolint:gosec // Any 64 bits will do.
		sum += raw[i] * raw[i]
	}
	list := make([]float32, n)
	for i := range list {
		list[i] = float32(raw[i] / math.Sqrt(sum))
	}
	return list
}
