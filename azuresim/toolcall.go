package azuresim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// toolCall is a call of a tool that the answer makes.
type toolCall struct {
	id, name, arguments string
	custom              bool
	builtin             string // the type of a tool that runs at Azure, of the Responses API
}

func (t toolCall) object() object {
	if t.custom {
		return object{"id": t.id, "type": "custom", "custom": object{"name": t.name, "input": t.arguments}}
	}
	return object{"id": t.id, "type": "function", "function": object{"name": t.name, "arguments": t.arguments}}
}

// toolCalls returns the call that the request forces or asks for with "!tool
// NAME [ARGUMENTS]". After a tool's result there is none.
func (c *call) toolCalls(choice int) []toolCall {
	q := c.chat
	if len(q.tools) == 0 || q.last().Role != "user" || q.choice.mode == "none" {
		return nil
	}
	name, arguments := "", ""
	if rest, ok := strings.CutPrefix(q.lastUser(), "!tool"); ok {
		name, arguments, _ = strings.Cut(strings.TrimSpace(rest), " ")
		name = cmp.Or(name, q.tools[0].name())
	}
	if q.choice.mode == "required" || q.choice.name != "" {
		name = cmp.Or(q.choice.name, name, q.tools[0].name())
	}
	i := slices.IndexFunc(q.tools, func(t tool) bool { return t.name() == name })
	if i < 0 {
		return nil
	}
	t := q.tools[i]
	call := toolCall{id: fmt.Sprintf("call_%06d%02d", c.number, choice), name: name, custom: t.Type == "custom"}
	switch {
	case t.builtin():
		call.builtin, call.arguments = t.Type, arguments
	case c.step.shape.badCall:
		call.arguments = `{"unfinished": `
	case call.custom:
		call.arguments = cmp.Or(arguments, "input")
	default:
		call.arguments = cmp.Or(arguments, instance(slices.Concat(t.Function.Parameters, t.Parameters)))
	}
	return []toolCall{call}
}
