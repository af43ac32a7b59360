package openai_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/openai"
)

// parseResponses returns a Responses request as the chat request with the same
// prompt.
func parseResponses(body []byte) (*openai.Request, error) {
	r, err := openai.ParseAs(openai.Responses, body)
	if err != nil {
		return nil, err
	}
	return r.Conversation()
}

// TestParseResponses reads every text that the model would, in any order.
func TestParseResponses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body string
		want       []string
	}{
		{"input as a text", `{"model":"m","input":"\u003c|a|>"}`, []string{"user", "<|a|>"}},
		{"instructions", `{"instructions":"be brief","input":"hi"}`, []string{"developer", "be brief", "user", "hi"}},
		{"a prompt's variables", `{"prompt":{"id":"p","variables":{"city":"\u003c|a|>"}},"input":"hi"}`, []string{"developer", `{"city":"<|a|>"}`, "user", "hi"}},
		{"a message", `{"input":[{"role":"user","content":"a"},{"type":"message","role":"assistant","content":"b"}]}`, []string{"user", "a", "assistant", "b"}},
		{"parts that touch", `{"input":[{"role":"user","content":[{"type":"input_text","text":"<|im_"},{"type":"output_text","text":"start|>"}]}]}`, []string{"user", "<|im_+start|>"}},
		{"images and files", `{"input":[{"role":"user","content":[{"type":"input_image","image_url":"data:x","detail":"low"},{"type":"input_file","filename":"f","file_data":"x"}]}]}`, []string{"user", "low", "input_file", "f"}},
		{"a text that is none", `{"input":[{"role":"user","content":[{"type":"input_text","text":{"x":"<|a|>"}}]}]}`, []string{"user", "<|a|>"}},
		{"a part nobody knows", `{"input":[{"role":"user","content":[{"type":"future","deep":["\u003c|a|>"]}]}]}`, []string{"user", "<|a|>"}},
		{"an item that is a text", `{"input":["\u003c|a|>"]}`, []string{"user", "<|a|>"}},
		{"a function's call and output", `{"input":[{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"\u003c|a|>"}]}`, []string{"assistant", "c", "function", "f", "{}", "tool", "c", "<|a|>"}},
		{"an output in parts", `{"input":[{"type":"function_call_output","output":[{"type":"input_text","text":"a"}]}]}`, []string{"tool", "a"}},
		{"an item nobody knows, escaped", `{"input":[{"type":"future_call_output","output":"\u003c\u007ca|\u003e","n":1e400}]}`, []string{"assistant", `{"n":1e400,"output":"<|a|>","type":"future_call_output"}`}},
		{"tools", `{"input":"hi","tools":[{"type":"function","name":"f","description":"\u003c|a|>"},{"type":"web_search"}]}`, []string{"user", "hi", "type", "function", "function", "type", "function", "name", "f", "description", "<|a|>", "type", "web_search"}},
		{"a schema", `{"input":"hi","text":{"format":{"type":"json_schema","name":"n","schema":{"a":1}}}}`, []string{"user", "hi", "json_schema", "type", "json_schema", "name", "n", "schema", "a", "type", "json_schema"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := parseResponses([]byte(tt.body))
			if err != nil {
				t.Fatalf("ParseResponses(%s): %v", tt.body, err)
			}
			got := runs(t, string(r.Body()))
			slices.Sort(got)
			slices.Sort(tt.want)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("the texts of %s (-want +got):\n%s", tt.body, diff)
			}
			if strings.Contains(tt.body, `"model":"m"`) != (r.Model == "m") {
				t.Errorf("the model of %s is %q", tt.body, r.Model)
			}
		})
	}
}

func TestParseResponsesRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, body, param, code string }{
		{"no JSON", "x", "", openai.CodeInvalidJSON},
		{"no object", "[]", "", openai.CodeInvalidJSON},
		{"a model that is a number", `{"model":1,"input":"x"}`, "model", openai.CodeInvalidType},
		{"no input", `{"model":"m"}`, "input", openai.CodeMissingParameter},
		{"input null", `{"input":null}`, "input", openai.CodeMissingParameter},
		{"input empty", `{"input":[]}`, "input", openai.CodeMissingParameter},
		{"input an object", `{"input":{}}`, "input", openai.CodeInvalidType},
		{"input a number", `{"input":1}`, "input", openai.CodeInvalidType},
		{"Input", `{"input":"x","Input":"y"}`, "Input", openai.CodeInvalidValue},
		{"inſtructions", "{\"input\":\"x\",\"in\u017ftructions\":\"y\"}", "in\u017ftructions", openai.CodeInvalidValue},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := parseResponses([]byte(tt.body))
			fault, ok := errors.AsType[*openai.Error](err)
			if !ok || fault.Status != 400 || fault.Param != tt.param || fault.Code != tt.code {
				t.Errorf("ParseResponses(%s) = %#v, want a 400 %s of %q", tt.body, err, tt.code, tt.param)
			}
		})
	}
}

// FuzzParseResponses makes of any request a chat request that is JSON, or a 400.
func FuzzParseResponses(f *testing.F) {
	for _, s := range documents() {
		f.Add([]byte(`{"input":` + s + `}`))
	}
	f.Add([]byte(`{"instructions":"a","input":[{"type":"reasoning","summary":[{"text":"a"}]},"x",{"role":"user","content":[{"type":"input_text","text":"t"}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := parseResponses(body)
		if err != nil {
			if fault, ok := errors.AsType[*openai.Error](err); !ok || fault.Status != 400 {
				t.Fatalf("ParseResponses(%q): %v, want a 400", body, err)
			}
			return
		}
		if !json.Valid(r.Body()) {
			t.Fatalf("ParseResponses(%q) makes %q", body, r.Body())
		}
	})
}
