package policy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/openai"
	"weir/policy"
)

// parse returns the view of a request that must be one.
func parse(t *testing.T, body string) *openai.Request {
	t.Helper()
	r, err := openai.Parse([]byte(body))
	if err != nil {
		t.Fatalf("Parse(%s): %v", body, err)
	}
	return r
}

// refusal is what a client sees of an error, without its words.
type refusal struct {
	Status int
	Code   string
	Param  string
}

func refused(t *testing.T, err error) (refusal, string) {
	t.Helper()
	if err == nil {
		return refusal{}, ""
	}
	e, ok := errors.AsType[*openai.Error](err)
	if !ok {
		t.Fatalf("the error is a %T, want an *openai.Error: %v", err, err)
	}
	return refusal{e.Status, e.Code, e.Param}, e.Message
}

const marked = "Failed to generate output due to special tokens in the input. Found %q in %s at character %d. "

// TestScreenFindsMarkers says of each place of a request whether a marker there
// is one: where the model reads text it is, and is named with its field and the
// character at which it begins.
func TestScreenFindsMarkers(t *testing.T) {
	t.Parallel()
	user := func(content string) string { return `{"messages":[{"role":"user","content":` + content + `}]}` }
	more := func(member string) string { return `{"messages":[{"role":"user","content":"hi"}],` + member + `}` }
	part := func(texts ...string) string {
		parts := make([]string, len(texts))
		for i, s := range texts {
			parts[i] = `{"type":"text","text":"` + s + `"}`
		}
		return user(`[` + strings.Join(parts, ",") + `]`)
	}
	tests := []struct {
		name    string
		body    string
		literal string // "" finds nothing
		field   string
		at      int
	}{
		{"user message", user(`"a <|im_start|> b"`), "<|im_start|>", "messages[0].content", 2},
		{"system message", `{"messages":[{"role":"system","content":"<|im_end|>"},{"role":"user","content":"x"}]}`, "<|im_end|>", "messages[0].content", 0},
		{"assistant history", `{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y<|im_sep|>"}]}`, "<|im_sep|>", "messages[1].content", 1},
		{"tool result", `{"messages":[{"role":"tool","tool_call_id":"c","content":"<|end|>"}]}`, "<|end|>", "messages[0].content", 0},
		{"text part", part("<|endoftext|>"), "<|endoftext|>", "messages[0].content[0].text", 0},
		{"second text part", part("hello", "x<|endoftext|>"), "<|endoftext|>", "messages[0].content[1].text", 1},
		{"refusal part", `{"messages":[{"role":"assistant","content":[{"type":"refusal","refusal":"<|call|>"}]}]}`, "<|call|>", "messages[0].content[0].refusal", 0},
		{"refusal", `{"messages":[{"role":"assistant","refusal":"<|call|>","content":null}]}`, "<|call|>", "messages[0].refusal", 0},
		{"name", `{"messages":[{"role":"user","name":"<|start|>","content":"x"}]}`, "<|start|>", "messages[0].name", 0},
		{"tool call's name", `{"messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"<|end|>","arguments":"{}"}}]}]}`, "<|end|>", "messages[0].tool_calls[0].function.name", 0},
		{"tool call's arguments", `{"messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"q\":\"<|end|>\"}"}}]}]}`, "<|end|>", "messages[0].tool_calls[0].function.arguments", 6},
		{"function call's arguments", `{"messages":[{"role":"assistant","function_call":{"name":"f","arguments":"<|end|>"}}]}`, "<|end|>", "messages[0].function_call.arguments", 0},
		{"custom call's input", `{"messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"custom","custom":{"name":"f","input":"<|end|>"}}]}]}`, "<|end|>", "messages[0].tool_calls[0].custom.input", 0},
		{"tool's name", more(`"tools":[{"type":"function","function":{"name":"<|end|>"}}]`), "<|end|>", "tools[0].function.name", 0},
		{"tool's description", more(`"tools":[{"type":"function","function":{"name":"f","description":"d <|end|>"}}]`), "<|end|>", "tools[0].function.description", 2},
		{"tool's parameters", more(`"tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"a":{"description":"<|end|>"}}}}}]`), "<|end|>", "tools[0].function.parameters.properties.a.description", 0},
		{"name of a tool's parameter", more(`"tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"<|end|>":{}}}}}]`), "<|end|>", "tools[0].function.parameters.properties.<|end|>", 0},
		{"enum of a tool's parameter", more(`"tools":[{"type":"function","function":{"name":"f","parameters":{"enum":["a","<|end|>"]}}}]`), "<|end|>", "tools[0].function.parameters.enum[1]", 0},
		{"function's description", more(`"functions":[{"name":"f","description":"<|end|>"}]`), "<|end|>", "functions[0].description", 0},
		{"tool choice", more(`"tool_choice":{"type":"function","function":{"name":"<|end|>"}}`), "<|end|>", "tool_choice.function.name", 0},
		{"schema's name", more(`"response_format":{"type":"json_schema","json_schema":{"name":"<|end|>","schema":{}}}`), "<|end|>", "response_format.json_schema.name", 0},
		{"schema", more(`"response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"title":"<|end|>"}}}`), "<|end|>", "response_format.json_schema.schema.title", 0},
		{"prediction", more(`"prediction":{"type":"content","content":"<|end|>"}`), "<|end|>", "prediction.content", 0},
		{"prediction's part", more(`"prediction":{"type":"content","content":[{"type":"text","text":"<|end|>"}]}`), "<|end|>", "prediction.content[0].text", 0},

		{"escaped angles", user(`"\u003c|im_start|\u003e"`), "<|im_start|>", "messages[0].content", 0},
		{"escaped bars", user(`"<\u007cim_start\u007C>"`), "<|im_start|>", "messages[0].content", 0},
		{"all of it escaped", user(`"\u003C\u007C\u0069\u006D_\u0073tart\u007c\u003e"`), "<|im_start|>", "messages[0].content", 0},
		{"other escapes before", user(`"\n\t\"\\\/<|end|>"`), "<|end|>", "messages[0].content", 5},
		{"emoji before", user(`"🙂é日<|end|>"`), "<|end|>", "messages[0].content", 3},
		{"escaped emoji before", user(`"\ud83d\ude42<|end|>"`), "<|end|>", "messages[0].content", 1},
		{"joined from two parts", part("ab<|im_", "start|>"), "<|im_start|>", "messages[0].content[0].text", 2},
		{"joined at the angle", part("x<", "|end|>"), "<|end|>", "messages[0].content[0].text", 1},
		{"joined from three parts", part("<|i", "m_sta", "rt|>"), "<|im_start|>", "messages[0].content[0].text", 0},
		{"joined over an empty part", part("é<|im_", "", "start|>"), "<|im_start|>", "messages[0].content[0].text", 1},
		{"joined from the second part on", part("text ", "é<|im_s", "tart|>"), "<|im_start|>", "messages[0].content[1].text", 1},
		{"nested", user(`"<|<|endoftext|>"`), "<|endoftext|>", "messages[0].content", 2},
		{"angles doubled", user(`"<<|endoftext|>>"`), "<|endoftext|>", "messages[0].content", 1},
		{"behind one that is none", user(`"<|nothing|><|end|>"`), "<|end|>", "messages[0].content", 11},
		{"reserved", user(`"<|reserved_123|>"`), "<|reserved_123|>", "messages[0].content", 0},
		{"reserved, beyond the vocabulary", user(`"<|reserved_201087|>"`), "<|reserved_201087|>", "messages[0].content", 0},

		{"stop", more(`"stop":["<|endoftext|>"]`), "", "", 0},
		{"stop as a string", more(`"stop":"<|endoftext|>"`), "", "", 0},
		{"URL of an image", user(`[{"type":"image_url","image_url":{"url":"https://x/<|end|>"}}]`), "", "", 0},
		{"data of an image", user(`[{"type":"image_url","image_url":{"url":"data:image/png;base64,<|end|>"}}]`), "", "", 0},
		{"audio", user(`[{"type":"input_audio","input_audio":{"data":"<|end|>","format":"wav"}}]`), "", "", 0},
		{"file's data", user(`[{"type":"file","file":{"file_data":"<|end|>"}}]`), "", "", 0},
		{"logit bias", more(`"logit_bias":{"<|end|>":1}`), "", "", 0},
		{"user and metadata", more(`"user":"<|end|>","metadata":{"a":"<|end|>"}`), "", "", 0},
		{"model", more(`"model":"<|end|>"`), "", "", 0},
		{"parts with an image between", user(`[{"type":"text","text":"<|im_"},{"type":"image_url","image_url":{"url":"https://x"}},{"type":"text","text":"start|>"}]`), "", "", 0},
		{"two messages", `{"messages":[{"role":"user","content":"<|im_"},{"role":"user","content":"start|>"}]}`, "", "", 0},

		{"other case", user(`"<|IM_START|>"`), "", "", 0},
		{"spaces", user(`"<| im_start |>"`), "", "", 0},
		{"full width", user(`"＜｜im_start｜＞"`), "", "", 0},
		{"zero width", user(`"<|\u200dim_start|>"`), "", "", 0},
		{"as HTML", user(`"&lt;|im_start|&gt;"`), "", "", 0},
		{"escaped twice", user(`"\\u003c|im_start|>"`), "", "", 0},
		{"unterminated", user(`"<|im_start|"`), "", "", 0},
		{"unterminated at the bar", user(`"<|im_start"`), "", "", 0},
		{"only its head", user(`"<|"`), "", "", 0},
		{"without a name", user(`"<||>"`), "", "", 0},
		{"longer name", user(`"<|im_starts|>"`), "", "", 0},
		{"reserved without a number", user(`"<|reserved_|>"`), "", "", 0},
		{"reserved with a letter", user(`"<|reserved_1a|>"`), "", "", 0},
		{"bars of a table", user(`"a | b | c <|> d"`), "", "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			edits, err := policy.NewScreen(policy.Reject).Check(parse(t, tt.body))
			got, message := refused(t, err)
			if len(edits) > 0 {
				t.Errorf("Check(%s) has %d edits where it must reject", tt.body, len(edits))
			}
			if tt.literal == "" {
				if err != nil {
					t.Errorf("Check(%s) = %v, want nothing found", tt.body, err)
				}
				return
			}
			if diff := cmp.Diff(refusal{400, "special_tokens_in_input", tt.field}, got); diff != "" {
				t.Errorf("Check(%s) (-want +got):\n%s", tt.body, diff)
			}
			if want := fmt.Sprintf(marked, tt.literal, tt.field, tt.at); !strings.HasPrefix(message, want) {
				t.Errorf("Check(%s) says %q, want it to begin with %q", tt.body, message, want)
			}
		})
	}
}

// TestScreenKnowsEveryMarker puts each marker into a message, in the ways that
// the modes treat it.
func TestScreenKnowsEveryMarker(t *testing.T) {
	t.Parallel()
	for _, name := range append(policy.Markers(), "reserved_0", "reserved_199998") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := `{"messages":[{"role":"user","content":"<|` + name + `|>"}]}`
			r := parse(t, body)
			for _, s := range []policy.Screen{policy.NewScreen(policy.Reject), policy.NewScreen(""), policy.NewScreen("no mode"), {}} {
				if _, err := s.Check(r); err == nil {
					t.Errorf("a screen of mode %q lets <|%s|> pass", s.Mode, name)
				}
			}
			if edits, err := policy.NewScreen(policy.Allow).Check(r); err != nil || edits != nil {
				t.Errorf("Check(%s) = %v, %v where it is allowed, want nothing", body, edits, err)
			}
			checkEscaped(t, r, 1)
		})
	}
}

// checkEscaped escapes a request and holds the result to what escaping promises:
// nothing is found in it, and it decodes to what it was with so many joiners put
// in.
func checkEscaped(t *testing.T, r *openai.Request, want int) {
	t.Helper()
	edits, err := policy.NewScreen(policy.Escape).Check(r)
	if err != nil {
		t.Fatalf("Check(%s) = %v where it must escape", r.Body(), err)
	}
	if len(edits) != want {
		t.Errorf("Check(%s) makes %d edits, want %d", r.Body(), len(edits), want)
	}
	escaped, err := r.With(edits...)
	if err != nil {
		t.Fatalf("the escaped request is none: %v\n%s", err, r.Body(edits...))
	}
	if _, err := policy.NewScreen(policy.Reject).Check(escaped); err != nil {
		t.Errorf("escaped to %s, which still has: %v", escaped.Body(), err)
	}
	var before, after any
	if err := json.Unmarshal(r.Body(), &before); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(escaped.Body(), &after); err != nil {
		t.Fatal(err)
	}
	joiners := 0
	if diff := cmp.Diff(before, strip(after, &joiners)); diff != "" {
		t.Errorf("escaping %s changed more than it put in (-want +got):\n%s", r.Body(), diff)
	}
	if joiners != want {
		t.Errorf("escaping %s put %d joiners in, want %d: %s", r.Body(), joiners, want, escaped.Body())
	}
}

// strip returns v without zero-width joiners, and counts them.
func strip(v any, joiners *int) any {
	bare := func(s string) string {
		*joiners += strings.Count(s, "\u200d")
		return strings.ReplaceAll(s, "\u200d", "")
	}
	switch v := v.(type) {
	case string:
		return bare(v)
	case []any:
		for i := range v {
			v[i] = strip(v[i], joiners)
		}
	case map[string]any:
		for name, e := range v {
			delete(v, name)
			v[bare(name)] = strip(e, joiners)
		}
	}
	return v
}

// TestEscapePutsOneJoinerBehindTheBar holds the bytes that escaping makes.
func TestEscapePutsOneJoinerBehindTheBar(t *testing.T) {
	t.Parallel()
	r := parse(t, `{"messages":[{"role":"user","content":"a<|end|>b\u003c\u007cend|>"}]}`)
	edits, err := policy.NewScreen(policy.Escape).Check(r)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"messages":[{"role":"user","content":"a<|` + "\u200d" + `end|>b\u003c\u007c` + "\u200d" + `end|>"}]}`
	if got := string(r.Body(edits...)); got != want {
		t.Errorf("escaped to %q, want %q", got, want)
	}
}

// TestEscapeMakesMarkersText escapes markers wherever they may stand.
func TestEscapeMakesMarkersText(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		body  string
		count int
	}{
		{"none", `{"messages":[{"role":"user","content":"a | b <| c"}]}`, 0},
		{"two in one text", `{"messages":[{"role":"user","content":"<|im_start|>x<|im_end|>"}]}`, 2},
		{"touching", `{"messages":[{"role":"user","content":"<|end|><|end|><|end|>"}]}`, 3},
		{"nested", `{"messages":[{"role":"user","content":"<|<|end|>|end|>"}]}`, 1},
		{"escaped in JSON", `{"messages":[{"role":"user","content":"\ud83d\ude42\u003c\u007cend|\u003e"}]}`, 1},
		{"joined, bar in the first part", `{"messages":[{"role":"user","content":[{"type":"text","text":"<|"},{"type":"text","text":"end|>"}]}]}`, 1},
		{"joined, bar in the second part", `{"messages":[{"role":"user","content":[{"type":"text","text":"<"},{"type":"text","text":"|end|>"}]}]}`, 1},
		{"joined from three, and more behind", `{"messages":[{"role":"user","content":[{"type":"text","text":"<|e"},{"type":"text","text":"nd"},{"type":"text","text":"|><|end|>"}]}]}`, 2},
		{"every field", `{"messages":[{"role":"system","name":"<|end|>","content":"<|end|>"},{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{\"a\":\"<|end|>\"}"}}]}],` +
			`"tools":[{"function":{"name":"f","description":"<|end|>","parameters":{"<|end|>":"<|end|>"}}}],"stop":["stop"]}`, 6},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			checkEscaped(t, parse(t, tt.body), tt.count)
		})
	}
}

// parseAs returns the view of a request of an operation that must be one.
func parseAs(t *testing.T, op openai.Operation, body string) *openai.Request {
	t.Helper()
	r, err := openai.ParseAs(op, []byte(body))
	if err != nil {
		t.Fatalf("ParseAs(%s): %v", body, err)
	}
	return r
}

// TestScreenOfOtherOperations finds markers where a model reads them that answers
// with text, and nowhere else; what it finds it escapes where it stands.
func TestScreenOfOtherOperations(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		op      openai.Operation
		body    string
		literal string // "" finds nothing
		field   string
		at      int
	}{
		{"input", openai.Responses, `{"input":"é<|end|>"}`, "<|end|>", "input", 1},
		{"instructions", openai.Responses, `{"instructions":"<|im_start|>","input":"x"}`, "<|im_start|>", "instructions", 0},
		{"part of an item", openai.Responses, `{"input":[{},{},{"role":"user","content":[{"type":"input_text","text":"a\u003c|end|>"}]}]}`, "<|end|>", "input[2].content[0].text", 1},
		{"joined from two parts", openai.Responses, `{"input":[{"role":"user","content":[{"type":"input_text","text":"ab<|im_"},{"type":"input_text","text":"start|>"}]}]}`, "<|im_start|>", "input[0].content[0].text", 2},
		{"output of a tool", openai.Responses, `{"input":[{"type":"function_call_output","call_id":"c","output":"<|call|>"}]}`, "<|call|>", "input[0].output", 0},
		{"arguments", openai.Responses, `{"input":[{"type":"function_call","name":"f","arguments":"<|call|>"}]}`, "<|call|>", "input[0].arguments", 0},
		{"summary", openai.Responses, `{"input":[{"type":"reasoning","summary":[{"type":"summary_text","text":"<|"},{"type":"summary_text","text":"end|>"}]}]}`, "<|end|>", "input[0].summary[0].text", 0},
		{"variable", openai.Responses, `{"prompt":{"variables":{"url":"<|end|>"}}}`, "<|end|>", "prompt.variables.url", 0},
		{"tool", openai.Responses, `{"input":"x","tools":[{"type":"function","name":"f","description":"<|end|>"}]}`, "<|end|>", "tools[0].description", 0},
		{"schema", openai.Responses, `{"input":"x","text":{"format":{"type":"json_schema","schema":{"<|end|>":1}}}}`, "<|end|>", "text.format.schema.<|end|>", 0},
		{"conversation to compact", openai.Compact, `{"input":[{"role":"user","content":"<|end|>"}]}`, "<|end|>", "input[0].content", 0},
		{"encrypted reasoning", openai.Responses, `{"input":[{"type":"reasoning","encrypted_content":"<|end|>"}]}`, "", "", 0},
		{"image", openai.Responses, `{"input":[{"role":"user","content":[{"type":"input_image","image_url":"data:<|end|>"}]}]}`, "", "", 0},
		{"id", openai.Responses, `{"input":"x","previous_response_id":"<|end|>","metadata":{"a":"<|end|>"}}`, "", "", 0},

		{"prompt", openai.Completions, `{"prompt":"a<|endoftext|>"}`, "<|endoftext|>", "prompt", 1},
		{"one of some prompts", openai.Completions, `{"prompt":["a","<|fim_prefix|>"]}`, "<|fim_prefix|>", "prompt[1]", 0},
		{"suffix", openai.Completions, `{"prompt":"<|endoftext|>","suffix":"<|im_end|>"}`, "<|im_end|>", "suffix", 0},
		{"prompt that is implied", openai.Completions, `{"prompt":"<|endoftext|>","stop":"<|im_end|>"}`, "", "", 0},
		{"another marker alone", openai.Completions, `{"prompt":"<|im_start|>"}`, "<|im_start|>", "prompt", 0},

		{"text to embed", openai.Embeddings, `{"input":"<|end|>"}`, "", "", 0},
		{"text to moderate", openai.Moderations, `{"input":"<|end|>"}`, "", "", 0},
		{"image to make", openai.Images, `{"prompt":"<|end|>"}`, "", "", 0},
		{"text to say", openai.Speech, `{"input":"<|end|>"}`, "", "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.op.Path()+" "+tt.name, func(t *testing.T) {
			t.Parallel()
			r := parseAs(t, tt.op, tt.body)
			_, err := policy.NewScreen(policy.Reject).Check(r)
			if tt.literal == "" {
				if err != nil {
					t.Errorf("Check(%s) = %v, want nothing found", tt.body, err)
				}
				checkEscaped(t, r, 0)
				return
			}
			got, message := refused(t, err)
			if diff := cmp.Diff(refusal{400, "special_tokens_in_input", tt.field}, got); diff != "" {
				t.Errorf("Check(%s) (-want +got):\n%s", tt.body, diff)
			}
			if want := fmt.Sprintf(marked, tt.literal, tt.field, tt.at); !strings.HasPrefix(message, want) {
				t.Errorf("Check(%s) says %q, want it to begin with %q", tt.body, message, want)
			}
			checkEscaped(t, r, 1)
		})
	}
}

// TestScreenOfNumbers holds that tokens are found that are sent as numbers, where a
// model reads them that answers with text.
func TestScreenOfNumbers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		op    openai.Operation
		body  string
		field string // "" finds nothing
	}{
		{openai.Completions, `{"prompt":[1,2,99]}`, ""},
		{openai.Completions, `{"prompt":[1,100,2]}`, "prompt[1]"},
		{openai.Completions, `{"prompt":[[1],[2,3,100]]}`, "prompt[1][2]"},
		{openai.Completions, `{"prompt":[1.5]}`, "prompt[0]"},
		{openai.Completions, `{"prompt":[1e1]}`, "prompt[0]"},
		{openai.Completions, `{"prompt":["100","x"]}`, ""},
		{openai.Completions, `{"prompt":"100"}`, ""},
		{openai.Completions, `{}`, ""},
		{openai.Embeddings, `{"input":[100]}`, ""},
	}
	special := func(token int64) bool { return token >= 100 }
	for _, tt := range tests {
		r := parseAs(t, tt.op, tt.body)
		for _, mode := range []policy.SpecialTokens{"", policy.Reject, policy.Escape} {
			err := policy.NewScreen(mode).CheckNumbers(r, special)
			e, refused := errors.AsType[*openai.Error](err)
			if refused != (tt.field != "") || refused && (e.Code != openai.CodeSpecialTokens || e.Param != tt.field || !strings.Contains(e.Message, tt.field)) {
				t.Errorf("%s %q: %v, want %q", tt.body, mode, err, tt.field)
			}
		}
		if err := policy.NewScreen(policy.Allow).CheckNumbers(r, special); err != nil {
			t.Errorf("%s, allowed: %v", tt.body, err)
		}
	}
}
