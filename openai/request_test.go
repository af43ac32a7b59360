package openai_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"weir/openai"
)

// withFields returns a chat request with more fields.
func withFields(fields string) string {
	return `{"model":"m","messages":[{"role":"user","content":"hi"}],` + fields + `}`
}

// withMessages returns a chat request with those messages.
func withMessages(messages string) string { return `{"model":"m","messages":` + messages + `}` }

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	const long = "9223372036854775808"
	for _, tt := range []struct{ name, body, param, code string }{
		{"nothing", "", "", openai.CodeInvalidJSON},
		{"no JSON", "model=m", "", openai.CodeInvalidJSON},
		{"an array", `[{"messages":[]}]`, "", openai.CodeInvalidJSON},
		{"null", "null", "", openai.CodeInvalidJSON},
		{"a string", `"hi"`, "", openai.CodeInvalidJSON},
		{"two documents", withFields(`"n":1`) + "{}", "", openai.CodeInvalidJSON},
		{"a byte order mark", "\ufeff" + withFields(`"n":1`), "", openai.CodeInvalidJSON},
		{"a field twice", withFields(`"max_tokens":1,"max_tokens":100000`), "", openai.CodeInvalidJSON},
		{"a field twice, once escaped", withFields(`"n":1,"\u006e":100`), "", openai.CodeInvalidJSON},
		{"a role twice", withMessages(`[{"role":"user","role":"system"}]`), "", openai.CodeInvalidJSON},
		{"a lone surrogate in a message", withMessages(`[{"role":"user","content":"\ud800"}]`), "", openai.CodeInvalidJSON},

		{"a model that is a number", `{"model":4,"messages":[{"role":"user"}]}`, "model", openai.CodeInvalidType},
		{"a model that is an array", `{"model":["m"],"messages":[{"role":"user"}]}`, "model", openai.CodeInvalidType},
		{"stream that is a string", withFields(`"stream":"true"`), "stream", openai.CodeInvalidType},
		{"stream that is a number", withFields(`"stream":1`), "stream", openai.CodeInvalidType},
		{"stream_options that is true", withFields(`"stream_options":true`), "stream_options", openai.CodeInvalidType},
		{"include_usage that is a number", withFields(`"stream_options":{"include_usage":1}`), "stream_options.include_usage", openai.CodeInvalidType},
		{"include_usage in capitals", withFields(`"stream_options":{"Include_Usage":true}`), "stream_options.Include_Usage", openai.CodeInvalidValue},
		{"a temperature that is a string", withFields(`"temperature":"1"`), "temperature", openai.CodeInvalidType},
		{"a temperature that no float64 holds", withFields(`"temperature":1e400`), "temperature", openai.CodeInvalidValue},

		{"max_tokens below zero", withFields(`"max_tokens":-1`), "max_tokens", openai.CodeBelowMinimum},
		{"max_tokens zero", withFields(`"max_tokens":0`), "max_tokens", openai.CodeBelowMinimum},
		{"max_tokens minus zero", withFields(`"max_tokens":-0`), "max_tokens", openai.CodeBelowMinimum},
		{"max_tokens with an exponent", withFields(`"max_tokens":1e3`), "max_tokens", openai.CodeInvalidType},
		{"max_tokens with a point", withFields(`"max_tokens":1.0`), "max_tokens", openai.CodeInvalidType},
		{"max_tokens of 2^63", withFields(`"max_tokens":` + long), "max_tokens", openai.CodeInvalidType},
		{"max_tokens of -2^63-1", withFields(`"max_tokens":-9223372036854775809`), "max_tokens", openai.CodeInvalidType},
		{"max_tokens of 400 digits", withFields(`"max_tokens":` + strings.Repeat("9", 400)), "max_tokens", openai.CodeInvalidType},
		{"max_tokens as a string", withFields(`"max_tokens":"5"`), "max_tokens", openai.CodeInvalidType},
		{"max_tokens as an array", withFields(`"max_tokens":[5]`), "max_tokens", openai.CodeInvalidType},
		{"max_tokens true", withFields(`"max_tokens":true`), "max_tokens", openai.CodeInvalidType},
		{"max_completion_tokens below zero", withFields(`"max_completion_tokens":-5`), "max_completion_tokens", openai.CodeBelowMinimum},
		{"max_completion_tokens with an exponent", withFields(`"max_completion_tokens":1E2`), "max_completion_tokens", openai.CodeInvalidType},
		{"both bounds", withFields(`"max_tokens":5,"max_completion_tokens":5`), "max_completion_tokens", openai.CodeInvalidValue},
		{"both bounds the other way around", withFields(`"max_completion_tokens":5,"max_tokens":6`), "max_completion_tokens", openai.CodeInvalidValue},
		{"n zero", withFields(`"n":0`), "n", openai.CodeBelowMinimum},
		{"n below zero", withFields(`"n":-1`), "n", openai.CodeBelowMinimum},
		{"n of 129", withFields(`"n":129`), "n", openai.CodeInvalidValue},
		{"n of a billion", withFields(`"n":1000000000`), "n", openai.CodeInvalidValue},
		{"n of 1e9", withFields(`"n":1e9`), "n", openai.CodeInvalidType},
		{"n as a string", withFields(`"n":"2"`), "n", openai.CodeInvalidType},

		{"no messages", `{"model":"m"}`, "messages", openai.CodeMissingParameter},
		{"messages null", withMessages("null"), "messages", openai.CodeInvalidType},
		{"messages an object", withMessages(`{"0":{"role":"user"}}`), "messages", openai.CodeInvalidType},
		{"messages a string", withMessages(`"hi"`), "messages", openai.CodeInvalidType},
		{"messages empty", withMessages("[]"), "messages", openai.CodeEmptyArray},
		{"too many messages", withMessages("[" + strings.Repeat(`{"role":"user"},`, 2048) + `{"role":"user"}]`), "messages", openai.CodeInvalidValue},
		{"a message that is a string", withMessages(`[{"role":"user"},"hi"]`), "messages[1]", openai.CodeInvalidType},
		{"a message that is null", withMessages(`[null]`), "messages[0]", openai.CodeInvalidType},
		{"a message that is an array", withMessages(`[[]]`), "messages[0]", openai.CodeInvalidType},
		{"a message without a role", withMessages(`[{"role":"user"},{"content":"hi"}]`), "messages[1].role", openai.CodeInvalidType},
		{"a role that is null", withMessages(`[{"role":null}]`), "messages[0].role", openai.CodeInvalidType},
		{"a role that is a number", withMessages(`[{"role":1}]`), "messages[0].role", openai.CodeInvalidType},

		{"Messages", `{"model":"m","messages":[{"role":"user"}],"Messages":[]}`, "Messages", openai.CodeInvalidValue},
		{"Messages alone", `{"model":"m","Messages":[{"role":"user"}]}`, "Messages", openai.CodeInvalidValue},
		{"MAX_TOKENS", withFields(`"MAX_TOKENS":100000`), "MAX_TOKENS", openai.CodeInvalidValue},
		{"max_toKens with a Kelvin sign", withFields("\"max_to\u212aens\":100000"), "max_to\u212aens", openai.CodeInvalidValue},
		{"the same, escaped", withFields(`"max_to\u212Aens":100000`), "max_to\u212aens", openai.CodeInvalidValue},
		{"stream with a long s", withFields("\"\u017ftream\":true"), "\u017ftream", openai.CodeInvalidValue},
		{"N", withFields(`"N":100`), "N", openai.CodeInvalidValue},
		{"Data_Sources", withFields(`"Data_Sources":[]`), "Data_Sources", openai.CodeInvalidValue},
		{"Role", withMessages(`[{"role":"user"},{"role":"user","Role":"system"}]`), "messages[1].Role", openai.CodeInvalidValue},
		{"CONTENT", withMessages(`[{"role":"user","CONTENT":"x"}]`), "messages[0].CONTENT", openai.CodeInvalidValue},
		{"tool_calls with a long s", withMessages("[{\"role\":\"user\",\"Tool_Call\u017f\":[]}]"), "messages[0].Tool_Call\u017f", openai.CodeInvalidValue},
		{"Text in a part", withMessages(`[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","Text":"b"}]}]`), "messages[0].content[1].Text", openai.CodeInvalidValue},
		{"Image_URL in a part", withMessages(`[{"role":"user","content":[{"type":"image_url","Image_URL":{}}]}]`), "messages[0].content[0].Image_URL", openai.CodeInvalidValue},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := openai.Parse([]byte(tt.body))
			fault, ok := errors.AsType[*openai.Error](err)
			if !ok {
				t.Fatalf("Parse(%.200s) = %v, %v, want an *Error", tt.body, r, err)
			}
			want := &openai.Error{Status: 400, Param: tt.param, Code: tt.code}
			if diff := cmp.Diff(want, fault, cmpopts.IgnoreFields(openai.Error{}, "Message")); diff != "" {
				t.Errorf("Parse(%.200s) (-want +got):\n%s", tt.body, diff)
			}
			if fault.Message == "" || !strings.Contains(fault.Message, tt.param) {
				t.Errorf("the message %q does not name %q", fault.Message, tt.param)
			}
			if r != nil {
				t.Errorf("Parse returns a request beside its error")
			}
		})
	}
}

func TestParseReads(t *testing.T) {
	t.Parallel()
	temperature := func(f float64) *float64 { return &f }
	for _, tt := range []struct {
		name, body string
		want       openai.Request
	}{
		{"the least", `{"messages":[{"role":"user"}]}`, openai.Request{Choices: 1}},
		{"a model", withFields(`"x":0`), openai.Request{Model: "m", Choices: 1}},
		{"an escaped model", `{"model":"gpt\u002d4o","messages":[{"role":"user"}]}`, openai.Request{Model: "gpt-4o", Choices: 1}},
		{"a model that is null", `{"model":null,"messages":[{"role":"user"}]}`, openai.Request{Choices: 1}},
		{"stream", withFields(`"stream":true`), openai.Request{Model: "m", Choices: 1, Stream: true}},
		{"an escaped name", withFields(`"\u0073tream":true`), openai.Request{Model: "m", Choices: 1, Stream: true}},
		{"stream false", withFields(`"stream":false`), openai.Request{Model: "m", Choices: 1}},
		{"stream null", withFields(`"stream":null`), openai.Request{Model: "m", Choices: 1}},
		{"include_usage", withFields(`"stream":true,"stream_options":{"include_usage":true}`), openai.Request{Model: "m", Choices: 1, Stream: true, IncludeUsage: true}},
		{"include_usage false", withFields(`"stream":true,"stream_options":{"include_usage":false}`), openai.Request{Model: "m", Choices: 1, Stream: true}},
		{"include_usage null", withFields(`"stream_options":{"include_usage":null}`), openai.Request{Model: "m", Choices: 1}},
		{"stream_options null", withFields(`"stream_options":null`), openai.Request{Model: "m", Choices: 1}},
		{"n", withFields(`"n":128`), openai.Request{Model: "m", Choices: 128}},
		{"n null", withFields(`"n":null`), openai.Request{Model: "m", Choices: 1}},
		{"max_tokens", withFields(`"max_tokens":1`), openai.Request{Model: "m", Choices: 1, MaxTokens: 1, MaxTokensField: "max_tokens"}},
		{"the largest max_completion_tokens", withFields(`"max_completion_tokens":9223372036854775807`), openai.Request{Model: "m", Choices: 1, MaxTokens: 9223372036854775807, MaxTokensField: "max_completion_tokens"}},
		{"both bounds, one null", withFields(`"max_tokens":null,"max_completion_tokens":7`), openai.Request{Model: "m", Choices: 1, MaxTokens: 7, MaxTokensField: "max_completion_tokens"}},
		{"temperature", withFields(`"temperature":0.7`), openai.Request{Model: "m", Choices: 1, Temperature: temperature(0.7)}},
		{"temperature zero", withFields(`"temperature":0`), openai.Request{Model: "m", Choices: 1, Temperature: temperature(0)}},
		{"temperature null", withFields(`"temperature":null`), openai.Request{Model: "m", Choices: 1}},
		{"a temperature for upstream to judge", withFields(`"temperature":2.5e0`), openai.Request{Model: "m", Choices: 1, Temperature: temperature(2.5)}},
		{"known names deeper down, in another case", withFields(`"metadata":{"Model":"x","MAX_TOKENS":1},"tools":[{"Type":"x"}]`), openai.Request{Model: "m", Choices: 1}},
		{"unknown names in capitals", withFields(`"X-Y":1,"Ünï":2,"Seed":3,"":4,"Model Messages":5`), openai.Request{Model: "m", Choices: 1}},
		{"2048 messages", withMessages("[" + strings.Repeat(`{"role":"user"},`, 2047) + `{"role":"user"}]`), openai.Request{Model: "m", Choices: 1}},
		{"a role nobody knows", withMessages(`[{"role":"critic","content":[1,null,"x",{}]}]`), openai.Request{Model: "m", Choices: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := openai.Parse([]byte(tt.body))
			if err != nil {
				t.Fatalf("Parse(%.200s): %v", tt.body, err)
			}
			if diff := cmp.Diff(tt.want, *r, cmpopts.IgnoreFields(openai.Request{}, "Root")); diff != "" {
				t.Errorf("Parse(%.200s) (-want +got):\n%s", tt.body, diff)
			}
			if got := string(r.Body()); got != tt.body {
				t.Errorf("Body() = %s, want %s", got, tt.body)
			}
		})
	}
}

// TestUnknownFieldsKeepTheirBytes is conformance case 19 of the wire contract.
func TestUnknownFieldsKeepTheirBytes(t *testing.T) {
	t.Parallel()
	const body = "\n{ \"seed\" : 9223372036854775807 ,\"temperature\":1, \"big\":1e400,\"\\u0066oo\":\"\\u00e9\\/é\",\r\n" +
		`"future":{"Nested":[1.0,1e3,-0,{"b":1,"a":[]}]},"messages":[{"role":"assistant","content":null,"tool_calls":` +
		`[{"id":"c","type":"function","function":{"name":"f","arguments":"{not json \u0022"}}]}],"data_sources":[{"type":"azure_search"}] }` + "\t"
	r, err := openai.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(r.Body()); got != body {
		t.Errorf("Body() = %s\nwant %s", got, body)
	}
	got := string(r.Body(r.Root.Set("temperature", "0.75")))
	if want := strings.Replace(body, `"temperature":1`, `"temperature":0.75`, 1); got != want {
		t.Errorf("Body with a temperature = %s\nwant %s", got, want)
	}
}

func TestWith(t *testing.T) {
	t.Parallel()
	r, err := openai.Parse([]byte(withFields(`"max_tokens":50`)))
	if err != nil {
		t.Fatal(err)
	}
	if same, err := r.With(); same != r || err != nil {
		t.Errorf("With() = %p, %v, want the request itself, %p", same, err, r)
	}
	lower, err := r.With(r.Root.Set("max_tokens", "20"), r.Root.Set("stream", "true"))
	if err != nil {
		t.Fatal(err)
	}
	if lower.MaxTokens != 20 || !lower.Stream {
		t.Errorf("With(...) has max_tokens %d, stream %v, want 20, true", lower.MaxTokens, lower.Stream)
	}
	if r.MaxTokens != 50 || r.Stream || string(r.Body()) != withFields(`"max_tokens":50`) {
		t.Errorf("With changed the request it was called on to %s", r.Body())
	}
	if _, err := r.With(r.Root.Set("max_tokens", "-1")); err == nil {
		t.Error("With(max_tokens -1) succeeds")
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	r, err := openai.Parse([]byte(withMessages(`[{"role":"system","content":"a"},{"role":"\u0075ser"},{"role":"developer"},{"role":"assistant"},` +
		`{"role":"tool"},{"role":"function"},{"role":"critic"},{"role":""}]`)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, m := range r.Messages() {
		got = append(got, fmt.Sprintf("%d %s %s", i, m.Role, m.Path()))
	}
	want := []string{
		"0 system messages[0]", "1 user messages[1]", "2 developer messages[2]", "3 assistant messages[3]",
		"4 tool messages[4]", "5 function messages[5]", "6 critic messages[6]", "7  messages[7]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	for range r.Messages() {
		break
	}
}
