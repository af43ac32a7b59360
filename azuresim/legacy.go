package azuresim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
)

// legacyLimit is how many tokens a legacy completion has where the request does
// not say.
const legacyLimit = 16

// readLegacy decodes a legacy completion; each of its prompts is a message.
func (c *call) readLegacy() *Step {
	q := &chatRequest{n: 1, plain: true}
	var options struct {
		Usage bool `json:"include_usage"`
	}
	var prompt, stop json.RawMessage
	if refused := c.readFields(q, map[string]any{
		"prompt": &prompt, "stream": &q.stream, "stream_options": &options, "n": &q.n, "max_tokens": &q.limit,
		"temperature": &q.heat, "stop": &stop,
	}); refused != nil {
		return refused
	}
	q.usage = options.Usage
	if !q.has("prompt") {
		prompt = json.RawMessage(`"<|endoftext|>"`)
	}
	if !q.readTexts(prompt) {
		return invalid("Invalid type for 'prompt': expected one of a string, array of strings, array of integers, or array of integer arrays.", "prompt", "invalid_type")
	}
	var one string
	if json.Unmarshal(stop, &one) == nil && one != "" {
		q.stop = []string{one}
	} else {
		_ = json.Unmarshal(stop, &q.stop) // Anything else stops nothing.
	}
	if q.limit == nil {
		limit := legacyLimit
		q.limit = &limit
	}
	c.chat = q
	return nil
}

// bestOf is how many candidates are made of each prompt.
func (q *chatRequest) bestOf() int { return int(q.float("best_of", float64(q.n))) }

func (c *call) checkLegacy() *Step {
	q := c.chat
	switch {
	case q.bestOf() < q.n:
		return invalid("You requested that the server return more choices than it will generate (HINT: best_of must be at least n).", "best_of", "")
	case q.bestOf() > 20:
		return outOfRange("best_of", "integer above maximum value", "<= 20", float64(q.bestOf()))
	case q.float("logprobs", 0) > 5:
		return outOfRange("logprobs", "integer above maximum value", "<= 5", q.float("logprobs", 0))
	case q.stream && q.bestOf() > q.n:
		return invalid("You cannot stream with best_of greater than n.", "best_of", "")
	}
	for _, check := range []func() *Step{q.checkDecimals, q.checkIntegers} {
		if refused := check(); refused != nil {
			return refused
		}
	}
	for _, m := range q.messages {
		prompt := textTokens(len(m.text))
		if w := c.dep.ContextWindow; w > 0 && prompt+q.maxTokens() > w {
			return promptLength(w, prompt, q.maxTokens())
		}
	}
	return nil
}

// legacyChoices answers every prompt n times.
func (c *call) legacyChoices() []completion {
	var all []completion
	for _, m := range c.chat.messages {
		for k := range c.chat.n {
			one := completion{finish: "stop", text: c.reply(strings.TrimSpace(m.text), ".")}
			if k > 0 {
				one.text = fmt.Sprintf("(%d) %s", k, one.text)
			}
			c.bound(&one)
			if *c.chat.limit == 0 {
				one.text, one.finish = "", "length"
			}
			one.finish = cmp.Or(c.step.FinishReason, one.finish)
			if string(c.chat.fields["echo"]) == "true" {
				one.text = m.text + one.text
			}
			all = append(all, one)
		}
	}
	return all
}

func (c *call) composeLegacy() (*Step, []event) {
	all := c.legacyChoices()
	if c.wantsStream() {
		return nil, c.legacyEvents(all)
	}
	choices, output := make([]any, len(all)), 0
	for i, m := range all {
		output += textTokens(m.bytes())
		choices[i] = c.legacyChoice(i, m.text, m.finish)
	}
	output *= c.chat.bestOf() / c.chat.n
	o := c.legacyEnvelope(choices)
	if !c.step.shape.noUsage {
		o["usage"] = c.usage(output)
	}
	if c.azure() {
		o["prompt_filter_results"] = promptFilter()
	}
	c.bill(output)
	return answer(http.StatusOK, c.adorn(o)), nil
}

func (c *call) legacyEnvelope(choices []any) object {
	return object{
		"id": fmt.Sprintf("cmpl-sim%06d", c.number), "object": "text_completion", "created": c.now.Unix(),
		"model": c.dep.Model, "choices": choices,
	}
}

// legacyChoice is a choice with text; finish is nil inside a stream.
func (c *call) legacyChoice(i int, text string, finish any) object {
	o := object{"index": i, "text": text, "finish_reason": finish, "logprobs": nil}
	if c.chat.has("logprobs") {
		o["logprobs"] = logprobs(text)
	}
	if c.azure() && finish != nil {
		o["content_filter_results"] = c.outputFilter()
	}
	return o
}

// logprobs takes every word for a token, and every token for certain.
func logprobs(text string) object {
	tokens, offsets, certain, top := []string{}, []int{}, []float64{}, []object{}
	offset := 0
	for _, word := range pieces(text, 1, false) {
		tokens, offsets = append(tokens, word), append(offsets, offset)
		certain, top = append(certain, 0), append(top, object{word: 0.0})
		offset += len([]rune(word))
	}
	return object{"tokens": tokens, "text_offset": offsets, "token_logprobs": certain, "top_logprobs": top}
}

func (c *call) legacyEvents(all []completion) []event {
	var list []event
	chunk := func(kind string, choices []any, o object, bytes, choice int) {
		maps.Copy(o, c.legacyEnvelope(choices))
		if _, ok := o["usage"]; !ok && c.chat.usage {
			o["usage"] = nil
		}
		list = append(list, event{kind: kind, data: encode(c.adorn(o)), bytes: bytes, choice: choice})
	}
	if c.azure() {
		chunk(kindPrompt, []any{}, object{"prompt_filter_results": promptFilter()}, 0, 0)
	}
	output := 0
	for i, m := range all {
		output += textTokens(m.bytes())
		for _, piece := range pieces(m.text, burst, c.step.shape.whole) {
			chunk(kindContent, []any{c.legacyChoice(i, piece, nil)}, object{}, len(piece), i)
		}
		chunk(kindFinish, []any{c.legacyChoice(i, "", m.finish)}, object{}, 0, i)
	}
	if c.chat.usage && !c.step.shape.noUsage {
		chunk(kindUsage, []any{}, object{"usage": c.usage(output)}, 0, 0)
	}
	if !c.step.NoDone {
		list = append(list, event{kind: kindDone, data: cmp.Or(c.step.shape.done, "[DONE]")})
	}
	return c.hide(list)
}
