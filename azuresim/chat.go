package azuresim

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// completion is one choice of an answer.
type completion struct {
	text    string
	refusal bool
	calls   []toolCall
	finish  string
}

// bytes is what the choice costs as output.
func (m completion) bytes() int {
	sum := len(m.text)
	for _, t := range m.calls {
		sum += len(t.name) + len(t.arguments)
	}
	return sum
}

// completions composes every choice.
func (c *call) completions() []completion {
	all := make([]completion, c.chat.n)
	for i := range all {
		m := completion{finish: "stop", refusal: c.step.shape.refusal}
		m.calls = c.toolCalls(i)
		if m.calls != nil && m.calls[0].builtin == "" {
			m.finish = "tool_calls"
		} else {
			m.text = c.text(i)
			c.bound(&m)
		}
		m.finish = cmp.Or(c.step.FinishReason, m.finish)
		all[i] = m
	}
	return all
}

// text is the answer before stop and max_tokens are looked at.
func (c *call) text(choice int) string {
	q := c.chat
	said := q.lastUser()
	var text string
	switch {
	case c.step.Content != "":
		text = c.step.Content
	case q.format.Type == "json_schema":
		return instance(q.format.JSONSchema.Schema)
	case q.format.Type == "json_object":
		return encode(object{"answer": firstWords(said, 24)})
	case q.last().Role == "tool":
		text = "The tool answered: " + firstWords(q.last().text, 24)
	default:
		text = c.reply(said, fmt.Sprintf(". That was turn %d of our conversation.", q.turns()))
	}
	if choice > 0 {
		text = fmt.Sprintf("(%d) %s", choice, text)
	}
	return text
}

// reply is what is answered to words said, with tail behind them.
func (c *call) reply(said, tail string) string {
	word, rest, _ := strings.Cut(said, " ")
	if word == "!words" {
		return manyWords(rest)
	}
	return cmp.Or(c.step.Content, "You said: "+firstWords(said, 24)+tail)
}

// turns counts the user's messages.
func (q *chatRequest) turns() int {
	n := 0
	for _, m := range q.messages {
		if m.Role == "user" {
			n++
		}
	}
	return n
}

func firstWords(text string, n int) string {
	words := strings.Fields(text)
	return strings.TrimRight(strings.Join(words[:min(n, len(words))], " "), ".")
}

func manyWords(count string) string {
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 {
		n = 100
	}
	words := make([]string, min(n, 1_000_000))
	for i := range words {
		words[i] = "word" + strconv.Itoa(i+1)
	}
	return strings.Join(words, " ")
}

// bound cuts the text at a stop sequence and at the tokens allowed.
func (c *call) bound(m *completion) {
	for _, stop := range c.chat.stop {
		if i := strings.Index(m.text, stop); i >= 0 && stop != "" {
			m.text = m.text[:i]
		}
	}
	limit := c.chat.maxTokens()
	if c.dep.MaxOutput > 0 && (limit == 0 || limit > c.dep.MaxOutput) {
		limit = c.dep.MaxOutput
	}
	if limit == 0 {
		return
	}
	if bytes := 4 * max(1, limit-c.reasoningTokens()); bytes < len(m.text) {
		for bytes > 0 && !utf8.RuneStart(m.text[bytes]) {
			bytes--
		}
		m.text, m.finish = m.text[:bytes], "length"
	}
}

// envelope is what a whole answer and a chunk have in common.
func (c *call) envelope(kind string) object {
	o := object{
		"id": c.id(), "object": kind, "created": c.now.Unix(), "model": c.dep.Model,
		"system_fingerprint": c.fingerprint(), "service_tier": "default",
	}
	return o
}

func (c *call) id() string { return cmp.Or(c.unique, fmt.Sprintf("chatcmpl-sim%06d", c.number)) }

func (c *call) fingerprint() any {
	if c.dep.Reasoning {
		return nil
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(c.dep.Model))
	return fmt.Sprintf("fp_%08x", h.Sum32())
}

// azure reports whether the answer has what only Azure adds.
func (c *call) azure() bool { return c.route.family != familyOpenAI }

// composeChat answers a chat, and keeps the answer where it is asked to.
func (c *call) composeChat() (*Step, []event) {
	all := c.completions()
	body, output := c.body(all)
	c.keepChat(body)
	if c.wantsStream() {
		return nil, c.events(all)
	}
	c.bill(output)
	return answer(http.StatusOK, body), nil
}

// body composes the whole answer and returns it with its tokens of output.
func (c *call) body(all []completion) (object, int) {
	o := c.envelope("chat.completion")
	choices := make([]any, len(all))
	output := c.answerTokens(all)
	for i, m := range all {
		message := object{"role": "assistant", "content": m.text, "refusal": nil, "annotations": []any{}}
		switch {
		case m.refusal:
			message["content"], message["refusal"] = nil, m.text
		case m.calls != nil:
			calls := make([]any, len(m.calls))
			for k, t := range m.calls {
				calls[k] = t.object()
			}
			message["content"], message["tool_calls"] = nil, calls
		case c.speaks(m):
			message["content"], message["audio"] = nil, c.aloud(i, m)
		}
		choice := object{"index": i, "finish_reason": m.finish, "logprobs": nil, "message": message}
		if c.azure() {
			choice["content_filter_results"] = c.outputFilter()
		}
		choices[i] = choice
	}
	o["choices"] = choices
	if !c.step.shape.noUsage {
		o["usage"] = c.usage(output)
	}
	if c.azure() {
		o["prompt_filter_results"] = promptFilter()
		o["routing"] = object{"serving_pipereplica": "sim-0"}
	}
	return c.adorn(o), output
}

// adorn adds and renames what the step asks for.
func (c *call) adorn(o object) object {
	maps.Copy(o, c.step.shape.extra)
	for from, to := range c.step.shape.rename {
		if value, ok := o[from]; ok {
			delete(o, from)
			o[to] = value
		}
	}
	return o
}

func (c *call) usage(output int) object {
	prompt := c.chat.promptTokens()
	u := object{
		"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output,
		"prompt_tokens_details": object{"cached_tokens": 0, "audio_tokens": c.chat.soundTokens()},
		"completion_tokens_details": object{
			"reasoning_tokens": min(c.reasoningTokens(), output), "audio_tokens": c.spoken,
			"accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
		},
	}
	if c.azure() {
		first, each := c.dep.Latency.Milliseconds(), c.dep.Gap.Milliseconds()
		last := first + each*int64(output)
		u["latency_checkpoint"] = object{
			"engine_tbt_ms": each, "engine_ttft_ms": first, "engine_ttlt_ms": last, "pre_inference_ms": 0,
			"service_tbt_ms": each, "service_ttft_ms": first, "service_ttlt_ms": last, "user_visible_ttft_ms": first,
		}
	}
	return u
}

func promptFilter() []any {
	results := severities()
	results["jailbreak"] = object{"filtered": false, "detected": false}
	return []any{object{"prompt_index": 0, "content_filter_results": results}}
}

func (c *call) outputFilter() object {
	if c.step.shape.filter != nil {
		return c.step.shape.filter
	}
	results := severities()
	results["protected_material_code"] = object{"filtered": false, "detected": false}
	results["protected_material_text"] = object{"filtered": false, "detected": false}
	return results
}

func severities() object {
	results := object{}
	for _, category := range []string{"hate", "self_harm", "sexual", "violence"} {
		results[category] = object{"filtered": false, "severity": "safe"}
	}
	return results
}

// successHeaders are those of an answer by the model.
func (c *call) successHeaders(h http.Header) {
	if !c.azure() {
		h.Set("openai-processing-ms", strconv.FormatInt(c.dep.Latency.Milliseconds(), 10))
		h.Set("openai-version", "2020-10-01")
		return
	}
	h.Set("azureml-model-session", "sim-session")
	h.Set("x-ms-deployment-name", c.route.deployment)
	h.Set("x-ms-rai-invoked", "true")
	if c.number%2 == 1 {
		h.Add("Set-Cookie", "ARRAffinity=sim; Path=/; HttpOnly; Secure")
	}
}
