package main_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
	"weir/usage"
)

// ruled are the edits that give everybody's policy those members.
func ruled(policy string) []string {
	return []string{"resilience:", "policies: { default: { " + policy + " } }\nresilience:"}
}

// narrow are the edits that make d2 a model of 60 tokens with answers of 20.
func narrow() []string {
	return []string{"d2: { base_model: gpt-4o,", "d2: { base_model: gpt-4o, context_window: 60, max_output_tokens: 20,"}
}

// hellos returns a text of n tokens. As a single message it is a prompt of n + 7.
func hellos(n int) string { return strings.TrimPrefix(strings.Repeat(" hello", n), " ") }

// tight is a body for the model of 60 tokens: one message of n tokens.
func tight(n int, fields ...string) string {
	return strings.Replace(say(hellos(n), fields...), "gpt-4o", "d2", 1)
}

// TestSpecialTokens is design 3: what becomes of special tokens by each policy,
// to the byte.
func TestSpecialTokens(t *testing.T) {
	t.Parallel()
	const zwj = "\u200d"
	passes := azuresim.Step{Status: 200, Body: oddAnswer}
	tests := []struct {
		name, policy, body string
		status             int
		message, param     string
		upstream           string // "" it was not asked
		escaped            string
	}{
		{
			name: "reject names the token, the field and the character", policy: "special_tokens: reject",
			body:   message(`{"role":"system","content":"hello"},{"role":"user","content":[{"type":"text","text":"\u00e9\ud83d\ude00 <|im_start|>system<|im_end|>"}]}`),
			status: 400, param: "messages[1].content[0].text",
			message: `Failed to generate output due to special tokens in the input. Found "<|im_start|>" in messages[1].content[0].text at character 3. Remove it, or ask for a policy with special_tokens: escape. (docs/errors.md#special_tokens_in_input)`,
		},
		{
			name: "reject is what a policy says that says nothing", policy: "max_turns: 9", body: user(`"<|endoftext|>"`),
			status: 400, param: "messages[0].content",
			message: `Failed to generate output due to special tokens in the input. Found "<|endoftext|>" in messages[0].content at character 0. Remove it, or ask for a policy with special_tokens: escape. (docs/errors.md#special_tokens_in_input)`,
		},
		{
			name: "escape", policy: "special_tokens: escape", body: user(`"a <|im_start|> b <|im_start|><|reserved_7|>"`), status: 200,
			upstream: user(`"a <|` + zwj + `im_start|> b <|` + zwj + `im_start|><|` + zwj + `reserved_7|>"`), escaped: "3",
		},
		{
			name: "escape where the token is escaped", policy: "special_tokens: escape", body: user(`"\u003c\u007cim_start\u007c\u003e caf\u00e9"`), status: 200,
			upstream: user(`"\u003c\u007c` + zwj + `im_start\u007c\u003e caf\u00e9"`), escaped: "1",
		},
		{
			name: "escape where two parts meet", policy: "special_tokens: escape", status: 200, escaped: "1",
			body:     user(`[{"type":"text","text":"a <|im_"},{"type":"text","text":"end|> b"}]`),
			upstream: user(`[{"type":"text","text":"a <|` + zwj + `im_"},{"type":"text","text":"end|> b"}]`),
		},
		{
			name: "escape where two parts meet at the bar", policy: "special_tokens: escape", status: 200, escaped: "1",
			body:     user(`[{"type":"text","text":"a <"},{"type":"text","text":"|im_end|> b"}]`),
			upstream: user(`[{"type":"text","text":"a <"},{"type":"text","text":"|` + zwj + `im_end|> b"}]`),
		},
		{
			name: "escape everywhere", policy: "special_tokens: escape", status: 200, escaped: "4",
			body: `{"model":"gpt-4o","messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":\"<|end|>\"}"}}]},` +
				`{"role":"tool","tool_call_id":"1","content":"<|call|>"},{"role":"user","content":"hello","name":"<|start|>"}],"tools":[{"type":"function","function":{"name":"f","description":"<|return|>"}}],"stop":["<|im_end|>"]}`,
			upstream: `{"model":"gpt-4o","messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":\"<|` + zwj + `end|>\"}"}}]},` +
				`{"role":"tool","tool_call_id":"1","content":"<|` + zwj + `call|>"},{"role":"user","content":"hello","name":"<|` + zwj + `start|>"}],"tools":[{"type":"function","function":{"name":"f","description":"<|` + zwj + `return|>"}}],"stop":["<|im_end|>"]}`,
		},
		{
			name: "escape leaves data, URLs and stop", policy: "special_tokens: escape", status: 200,
			body:     bad(`"stop":"<|endoftext|>","user":"<|im_end|>","metadata":{"a":"<|im_end|>"}`),
			upstream: bad(`"stop":"<|endoftext|>","user":"<|im_end|>","metadata":{"a":"<|im_end|>"}`),
		},
		{name: "escape without any", policy: "special_tokens: escape", body: say("hello"), status: 200, upstream: say("hello")},
		{name: "allow", policy: "special_tokens: allow", body: user(`"<|im_start|>"`), status: 200, upstream: user(`"<|im_start|>"`)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				w.east.Script(passes)
				got := w.chat(tt.body)
				code, param, _ := got.code()
				if got.status != tt.status || param != tt.param || got.message() != tt.message || tt.status == 400 && code != "special_tokens_in_input" {
					t.Errorf("answered %d %q %q: %s", got.status, code, param, got.body)
				}
				if diff := cmp.Diff(tt.upstream, w.lastBody()); diff != "" {
					t.Errorf("upstream's body (-want +got):\n%s", diff)
				}
				rec := w.record()
				if got.header.Get("X-Weir-Escaped") != tt.escaped || tt.escaped != "" && strconv.Itoa(rec.Escaped) != tt.escaped {
					t.Errorf("escaped %q, recorded %d", got.header.Get("X-Weir-Escaped"), rec.Escaped)
				}
				if want := map[int]usage.Outcome{200: usage.OK, 400: usage.RefusedPolicy}[tt.status]; rec.Outcome != want {
					t.Errorf("recorded %q", rec.Outcome)
				}
			}, ruled(tt.policy)...)
		})
	}
	t.Run("allow hands on Azure's own refusal", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			got := w.chat(user(`"<|im_start|>"`))
			if got.status != 400 || !strings.HasPrefix(got.message(), "Failed to generate output due to special tokens in the input.") || len(w.asked()) != 1 {
				t.Errorf("answered %d: %s", got.status, got.body)
			}
		}, ruled("special_tokens: allow")...)
	})
}

// lastBody returns the body that a resource was sent last, "" where none was.
func (w *world) lastBody() string {
	asked := w.asked()
	if len(asked) == 0 {
		return ""
	}
	return string(asked[len(asked)-1].Body)
}

// conversation is one with three turns: the second has a tool call and its
// answer, and the instructions stand before and between them.
func conversation() []string {
	return []string{
		`{"role":"system","content":"be brief"}`,
		`{"role":"user","content":"` + hellos(10) + `"}`,
		`{"role":"assistant","content":"` + hellos(10) + `"}`,
		`{"role":"developer","content":"stay"}`,
		`{"role":"user","content":"` + hellos(10) + `"}`,
		`{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]}`,
		`{"role":"tool","tool_call_id":"1","content":"yes"}`,
		`{"role":"user","content":"` + hellos(5) + `"}`,
	}
}

// talk returns a body with those messages of the conversation.
func talk(fields string, messages ...int) string {
	var list []string
	for _, i := range messages {
		list = append(list, conversation()[i])
	}
	return `{"model":"d2","messages":[` + strings.Join(list, ",") + `]` + fields + `}`
}

// TestTokenLimits is design 3, the window: what is refused, lowered, set or left
// out, on exact counts, to the byte.
func TestTokenLimits(t *testing.T) {
	t.Parallel()
	const (
		length, value = "context_length_exceeded", "invalid_value"
		one           = "This model's maximum context length is 60 tokens. However, your messages resulted in 60 tokens. Please reduce the length of the messages."
		two           = "This model's maximum context length is 60 tokens. However, you requested 61 tokens (52 in the messages, 9 in the completion). Please reduce the length of the messages or completion."
	)
	whole := []int{0, 1, 2, 3, 4, 5, 6, 7}
	tests := []struct {
		name, policy, body   string
		code, param, message string // of a 400
		upstream             string // the body, where it is not the client's
		set, trimmed         string // headers
		edits                []string
	}{
		{name: "the window to the last token", body: tight(45, `"max_tokens":8`)},
		{name: "one token too many in the answer", body: tight(45, `"max_tokens":9`), code: length, param: "messages", message: two},
		{name: "a prompt that leaves one token", body: tight(52)},
		{name: "a prompt that leaves none", body: tight(53), code: length, param: "messages", message: one},
		{name: "the model's longest answer", body: tight(1, `"max_tokens":20`)},
		{name: "more than the model's longest answer", body: tight(1, `"max_tokens":21`), code: value, param: "max_tokens", message: "max_tokens is too large: 21. This model supports at most 20 completion tokens, whereas you provided 21."},

		{name: "the policy's longest prompt", policy: "max_input_tokens: 10", body: tight(3)},
		{name: "more than the policy's longest prompt", policy: "max_input_tokens: 10", body: tight(4), code: length, param: "messages", message: "This model's maximum context length is 10 tokens. However, your messages resulted in 11 tokens. Please reduce the length of the messages. The limit is the policy's max_input_tokens."},
		{name: "the policy's longest answer", policy: "max_output_tokens: 10", body: tight(1, `"max_tokens":10`)},
		{name: "a longer answer is lowered", policy: "max_output_tokens: 10", body: tight(1, `"max_tokens" : 11`), upstream: tight(1, `"max_tokens" : 10`), set: "10"},
		{name: "a longer answer is lowered in its own field", policy: "max_output_tokens: 10", body: tight(1, `"max_completion_tokens":99999`), upstream: tight(1, `"max_completion_tokens":10`), set: "10"},
		{name: "a longer answer is lowered for a stream", policy: "max_output_tokens: 10", body: tight(1, `"max_tokens":11`, stream, `"stream_options":{"include_usage":true}`), upstream: tight(1, `"max_tokens":10`, stream, `"stream_options":{"include_usage":true}`), set: "10"},
		{name: "what is lowered then fits", policy: "max_output_tokens: 8", body: tight(45, `"max_tokens":9`), upstream: tight(45, `"max_tokens":8`), set: "8"},
		{name: "a longer answer is refused", policy: "max_output_tokens: 10, on_output_overflow: reject", body: tight(1, `"max_completion_tokens":11`), code: value, param: "max_completion_tokens", message: "max_completion_tokens is too large: 11. The policy allows at most 10 completion tokens, whereas you provided 11."},

		{name: "a bound where there is none", policy: "default_output_tokens: 12", body: tight(1), upstream: strings.Replace(tight(1), `{`, `{"max_tokens":12,`, 1), set: "12"},
		{name: "no bound where there is one", policy: "default_output_tokens: 12", body: tight(1, `"max_tokens":13`)},
		{name: "a bound where there is null", policy: "default_output_tokens: 12", body: tight(1, `"max_tokens":null`), upstream: tight(1, `"max_tokens":12`), set: "12"},
		{name: "a bound as wide as the window", policy: "default_output_tokens: 12", body: tight(45), upstream: strings.Replace(tight(45), `{`, `{"max_tokens":8,`, 1), set: "8"},
		{name: "a bound as wide as the model's", policy: "default_output_tokens: 50", body: tight(1), upstream: strings.Replace(tight(1), `{`, `{"max_tokens":20,`, 1), set: "20"},
		{name: "a bound in a reasoning model's field", policy: "default_output_tokens: 12", edits: []string{"d2: { base_model: gpt-4o,", "d2: { base_model: gpt-5, context_window: 60, max_output_tokens: 20,"}, body: tight(1), upstream: strings.Replace(tight(1), `{`, `{"max_completion_tokens":12,`, 1), set: "12"},

		{name: "a conversation that fits is left alone", policy: "on_context_overflow: trim_oldest", body: talk("", 0, 3, 4, 5, 6)},
		{name: "the oldest turn is dropped", policy: "on_context_overflow: trim_oldest", body: talk(`,"max_tokens":4`, whole...), upstream: talk(`,"max_tokens":4`, 0, 3, 4, 5, 6, 7), trimmed: "2"},
		{name: "two turns are dropped, a call with its answer", policy: "on_context_overflow: trim_oldest", body: talk(`,"max_tokens":20`, whole...), upstream: talk(`,"max_tokens":20`, 0, 3, 7), trimmed: "5"},
		{name: "room is kept for an answer without a bound", policy: "on_context_overflow: trim_oldest", body: talk("", whole...), upstream: talk("", 0, 3, 7), trimmed: "5"},
		{name: "the last turn stays and does not fit", policy: "on_context_overflow: trim_oldest", body: tight(53), code: length, param: "messages", message: one},
		{name: "as many turns as the policy allows", policy: "max_turns: 2", body: talk("", 0, 1, 2, 3, 7)},
		{name: "more turns than the policy allows", policy: "max_turns: 1", body: talk("", 0, 1, 2, 3, 7), code: "too_many_turns", param: "messages", message: "The conversation has 2 turns, and the policy allows 1. Start a new one, or leave out its oldest turns."},
		{name: "more turns than the policy allows are dropped", policy: "max_turns: 1, on_context_overflow: trim_oldest", body: talk("", 0, 1, 2, 3, 7), upstream: talk("", 0, 3, 7), trimmed: "2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			edits := append(tt.edits, narrow()...)
			if tt.policy != "" {
				edits = append(edits, ruled(tt.policy)...)
			}
			bubble(t, plain, func(w *world) {
				// Whether a request is counted or only bounded must not be seen.
				for range 3 {
					w.forget()
					got := w.chat(tt.body)
					code, param, _ := got.code()
					if tt.code != "" {
						want := tt.message + " (docs/errors.md#" + tt.code + ")"
						if got.status != 400 || code != tt.code || param != tt.param || got.message() != want || len(w.asked()) > 0 {
							t.Errorf("answered %d %q %q: %s", got.status, code, param, got.body)
						}
						continue
					}
					want := tt.upstream
					if want == "" {
						want = tt.body
					}
					if diff := cmp.Diff(want, w.lastBody()); got.status != http.StatusOK || diff != "" {
						t.Errorf("answered %d: %s\nupstream's body (-want +got):\n%s", got.status, got.body, diff)
					}
					if s, d := got.header.Get("X-Weir-Max-Tokens"), got.header.Get("X-Weir-Trimmed-Messages"); s != tt.set || d != tt.trimmed {
						t.Errorf("set %q, trimmed %q", s, d)
					}
					rec := w.record()
					if s, d := strconv.FormatInt(rec.Lowered, 10), strconv.Itoa(rec.Trimmed); tt.set != "" && s != tt.set || tt.trimmed != "" && d != tt.trimmed {
						t.Errorf("recorded %s set, %s trimmed", s, d)
					}
				}
			}, edits...)
		})
	}
}

// TestDefaultOutputIsExact holds that the bound which is set for a client follows
// the exact count, not a guess at it.
func TestDefaultOutputIsExact(t *testing.T) {
	t.Parallel()
	const window, most = 400, 200
	bubble(t, plain, func(w *world) {
		for n := 1; n < window-7; n += 3 {
			w.forget()
			got := w.chat(tight(n))
			if want := strconv.Itoa(min(most, window-n-7)); got.header.Get("X-Weir-Max-Tokens") != want || got.status != http.StatusOK {
				t.Errorf("a prompt of %d tokens was answered %d, %s tokens set, want %s", n+7, got.status, got.header.Get("X-Weir-Max-Tokens"), want)
			}
		}
	}, append([]string{"d2: {", "d2: { context_window: 400, max_output_tokens: 200,"}, ruled("default_output_tokens: 200")...)...)
}

// TestDeploymentByExactCount holds that the deployment of the first priority is
// asked for whatever fits its own window, to the last token, and for nothing else.
func TestDeploymentByExactCount(t *testing.T) {
	t.Parallel()
	const window = 200
	bubble(t, plain, func(w *world) {
		for n := 1; n < window+20; n += 3 {
			w.forget()
			got := w.chat(say(hellos(n), `"max_tokens":3`))
			want := "east/gpt-4o-east"
			if n+7+3 > window {
				want = "west/gpt-4o-west"
			}
			if got.status != http.StatusOK || got.header.Get("X-Weir-Deployment") != want {
				t.Errorf("a prompt of %d tokens was answered %d by %s, want %s", n+7, got.status, got.header.Get("X-Weir-Deployment"), want)
			}
		}
	}, "deployment: gpt-4o-east,", "deployment: gpt-4o-east, context_window: 200,", "deployment: gpt-4o-west,", "deployment: gpt-4o-west, context_window: 2000,")
}

// TestShadow holds that a policy in shadow mode changes nothing and says what it
// would have refused or changed.
func TestShadow(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, policy, body string
		says               string
		codes              []string
	}{
		{name: "nothing to refuse", policy: "max_turns: 1", body: tight(1)},
		{name: "a special token", policy: "max_turns: 1", body: strings.Replace(user(`"<|im_start|>"`), "gpt-4o", "d2", 1), says: "shadow: special_tokens_in_input", codes: []string{"special_tokens_in_input"}},
		{name: "a prompt", policy: "max_input_tokens: 10", body: tight(4), says: "shadow: context_length_exceeded", codes: []string{"context_length_exceeded"}},
		{name: "an answer", policy: "max_output_tokens: 10, on_output_overflow: reject", body: tight(1, `"max_tokens":11`), says: "shadow: invalid_value", codes: []string{"invalid_value"}},
		{name: "turns", policy: "max_turns: 1", body: talk("", 0, 1, 2, 3, 7), says: "shadow: too_many_turns", codes: []string{"too_many_turns"}},
		{
			name: "a special token and a prompt", policy: "max_input_tokens: 10", body: strings.Replace(user(`"<|im_start|> `+hellos(10)+`"`), "gpt-4o", "d2", 1),
			says: "shadow: special_tokens_in_input, context_length_exceeded", codes: []string{"special_tokens_in_input", "context_length_exceeded"},
		},
		{name: "nothing is escaped", policy: "special_tokens: escape", body: strings.Replace(user(`"<|im_start|>"`), "gpt-4o", "d2", 1), says: "shadow: escape", codes: []string{"escape"}},
		{name: "nothing is lowered", policy: "max_output_tokens: 10", body: tight(1, `"max_tokens":11`), says: "shadow: lower", codes: []string{"lower"}},
		{name: "nothing is set", policy: "default_output_tokens: 10", body: tight(1), says: "shadow: lower", codes: []string{"lower"}},
		{name: "nothing is trimmed", policy: "max_turns: 1, on_context_overflow: trim_oldest", body: talk("", 0, 1, 2, 3, 7), says: "shadow: trim", codes: []string{"trim"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				w.west.Script(azuresim.Step{Status: 200, Body: oddAnswer})
				got := w.chat(tt.body)
				if diff := cmp.Diff(tt.body, w.lastBody()); got.status != http.StatusOK || diff != "" {
					t.Errorf("answered %d: %s\nupstream's body (-want +got):\n%s", got.status, got.body, diff)
				}
				for _, name := range []string{"X-Weir-Escaped", "X-Weir-Max-Tokens", "X-Weir-Trimmed-Messages"} {
					if got.header.Get(name) != "" {
						t.Errorf("%s: %s", name, got.header.Get(name))
					}
				}
				rec := w.record()
				if diff := cmp.Diff(tt.codes, rec.Shadowed); diff != "" || got.header.Get("X-Weir-Policy") != tt.says || rec.Outcome != usage.OK {
					t.Errorf("said %q, recorded %q %q", got.header.Get("X-Weir-Policy"), rec.Outcome, rec.Shadowed)
				}
				if logged := strings.Contains(w.log.String(), `"shadowed":["`); logged != (tt.codes != nil) {
					t.Errorf("logged: %v", logged)
				}
			}, append(narrow(), ruled("mode: shadow, "+tt.policy)...)...)
		})
	}
}
