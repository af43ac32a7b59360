package azuresim

import (
	"fmt"
	"strings"
)

// checkWindow refuses what does not fit the model.
func (c *call) checkWindow() *Step {
	q, d := c.chat, c.dep
	asked := q.maxTokens()
	param := "max_tokens"
	if q.completion != nil {
		param = "max_completion_tokens"
	}
	switch {
	case d.MaxOutput > 0 && asked > d.MaxOutput:
		return tooLarge(param, asked, d.MaxOutput)
	case d.ContextWindow > 0 && d.Reasoning && q.promptTokens() > d.ContextWindow:
		return inputLimit(d.ContextWindow, q.promptTokens())
	case d.ContextWindow > 0 && q.promptTokens()+asked > d.ContextWindow:
		return contextLength(d.ContextWindow, q.messageTokens(), q.toolTokens(), asked)
	case asked > 0 && asked <= c.reasoningTokens():
		return reasoningExhausted()
	default:
		return nil
	}
}

// checkChat refuses what no model takes.
func (c *call) checkChat() *Step {
	q := c.chat
	switch {
	case !q.has("messages"):
		return invalid("Missing required parameter: 'messages'.", "messages", "missing_required_parameter")
	case len(q.messages) == 0:
		return emptyMessages()
	case q.has("stream_options") && !q.stream:
		return invalid("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options", "")
	}
	for _, check := range []func() *Step{q.checkDecimals, q.checkIntegers, q.checkMessages} {
		if answer := check(); answer != nil {
			return answer
		}
	}
	return nil
}

func (q *chatRequest) checkDecimals() *Step {
	for _, p := range []struct {
		name     string
		low, top float64
	}{{"temperature", 0, 2}, {"top_p", 0, 1}, {"frequency_penalty", -2, 2}, {"presence_penalty", -2, 2}} {
		switch v := q.float(p.name, p.top); {
		case v > p.top:
			return outOfRange(p.name, "decimal above maximum value", "<= "+number(p.top), v)
		case v < p.low:
			return outOfRange(p.name, "decimal below minimum value", ">= "+number(p.low), v)
		}
	}
	return nil
}

func (q *chatRequest) checkIntegers() *Step {
	if q.n > 128 {
		return outOfRange("n", "integer above maximum value", "<= 128", float64(q.n))
	}
	for _, name := range []string{"n", "max_tokens", "max_completion_tokens"} {
		if v := q.float(name, 1); v < 1 && (v < 0 || !q.plain || name != "max_tokens") { // a legacy completion may be of no token
			return outOfRange(name, "integer below minimum value", ">= 1", v)
		}
	}
	return nil
}

// outOfRange is the 400 for a number; its code is the fault in snake case.
func outOfRange(name, fault, bound string, got float64) *Step {
	code := strings.NewReplacer(" ", "_", "maximum", "max", "minimum", "min").Replace(fault)
	return invalid(fmt.Sprintf("Invalid '%s': %s. Expected a value %s, but got %s instead.", name, fault, bound, number(got)),
		name, code)
}

func emptyMessages() *Step {
	return invalid("Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
		"messages", "empty_array")
}

// checkMessages refuses unknown roles, tool results without a call, and special
// tokens in any text.
func (q *chatRequest) checkMessages() *Step {
	called := false
	for i, m := range q.messages {
		role := fmt.Sprintf("messages[%d].role", i)
		switch m.Role {
		case "assistant":
			called = len(m.ToolCalls) > 2
		case "tool":
			if !called {
				return invalid("Invalid parameter: messages with role 'tool' must be a response to a preceding message with 'tool_calls'.", role, "")
			}
		case "system", "developer", "user", "function":
			called = false
		default:
			return invalid("Invalid value: '"+m.Role+"'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'.", role, "invalid_value")
		}
		for _, special := range specials() {
			if strings.Contains(m.text, special) {
				return specialTokens()
			}
		}
	}
	return nil
}

func specials() []string {
	return []string{
		"<|im_start|>", "<|im_end|>", "<|im_sep|>", "<|endoftext|>", "<|endofprompt|>",
		"<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|startoftext|>", "<|return|>",
		"<|constrain|>", "<|channel|>", "<|start|>", "<|end|>", "<|message|>", "<|call|>",
	}
}

// checkParameters refuses what this api-version or this deployment does not
// know.
func (c *call) checkParameters() *Step {
	q := c.chat
	if q.has("stream_options") && c.dep.NoStreamOptions {
		return unknownArgument("stream_options")
	}
	floors := []struct {
		used                 bool
		date, thing, version string
	}{
		{q.format.Type == "json_schema", "2024-08-01", "response_format value as json_schema", "2024-08-01-preview"},
		{q.choice.mode == "required", "2024-06-01", "tool_choice value as required", "2024-06-01"},
		{c.dep.Reasoning, "2024-12-01", "Model " + c.dep.Model, "2024-12-01-preview"},
		{q.has("stream_options"), "2024-09-01", "stream_options", "2024-09-01-preview"},
		{q.has("max_completion_tokens"), "2024-09-01", "max_completion_tokens", "2024-09-01-preview"},
		{q.has("parallel_tool_calls"), "2024-09-01", "parallel_tool_calls", "2024-09-01-preview"},
	}
	for _, f := range floors {
		if f.used && c.route.before(f.date) {
			return onlyFrom(f.thing, f.version)
		}
	}
	if c.dep.Reasoning {
		return q.checkReasoning()
	}
	return nil
}

// checkReasoning refuses what a reasoning model does not take. The defaults,
// said aloud, it does take.
func (q *chatRequest) checkReasoning() *Step {
	for _, name := range []string{"max_tokens", "logprobs", "top_logprobs", "logit_bias", "stop"} {
		if q.has(name) && string(q.fields[name]) != "false" {
			return unsupportedParameter(name)
		}
	}
	for _, name := range []string{"temperature", "top_p", "frequency_penalty", "presence_penalty"} {
		if v := q.float(name, fixedValue(name)); v != fixedValue(name) {
			return unsupportedValue(name, v)
		}
	}
	return nil
}
