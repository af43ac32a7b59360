package openai_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/openai"
)

// TestConversation makes of each request the chat request with the same prompt.
func TestConversation(t *testing.T) {
	t.Parallel()
	const hi = `{"role":"user","content":"hi"}`
	for _, tt := range []struct{ name, body, messages, more string }{
		{"a text", `{"input":"hi"}`, hi, ""},
		{"instructions", `{"instructions":"be brief","input":"hi"}`, `{"role":"developer","content":"be brief"},` + hi, ""},
		{
			"messages", `{"input":[{"role":"system","content":"s"},{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]},{"role":"assistant","content":[{"type":"output_text","text":"yes"}]}]}`,
			`{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"hi"}]},{"role":"assistant","content":[{"type":"text","text":"yes"}]}`, "",
		},
		{
			"an image", `{"input":[{"role":"user","content":[{"type":"input_image","image_url":"data:x","detail":"low"},{"type":"input_image","file_id":"f"}]}]}`,
			`{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:x","detail":"low"}},{"type":"image_url","image_url":{"url":""}}]}`, "",
		},
		{
			"a file", `{"input":[{"role":"user","content":[{"type":"input_file","filename":"f","file_data":"x"}]}]}`,
			`{"role":"user","content":[{"type":"file","file":{"type":"input_file","filename":"f","file_data":"x"}}]}`, "",
		},
		{"a part that chat has too", `{"input":[{"role":"user","content":[{"type":"refusal","refusal":"no"}]}]}`, `{"role":"user","content":[{"type":"refusal","refusal":"no"}]}`, ""},
		{
			"a call and its output", `{"input":[{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"o"}]}`,
			`{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","content":"o","tool_call_id":"c"}`, "",
		},
		{
			"calls at once", `{"input":[{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"custom_tool_call","call_id":"d","name":"g","input":"i"},{"role":"user","content":"hi"},{"type":"function_call","name":"h","arguments":{"a":1}}]}`,
			`{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"d","type":"custom","custom":{"name":"g","input":"i"}}]},` + hi +
				`,{"role":"assistant","content":null,"tool_calls":[{"id":"","type":"function","function":{"name":"h","arguments":"{\"a\":1}"}}]}`, "",
		},
		{"an output in parts", `{"input":[{"type":"custom_tool_call_output","call_id":"c","output":[{"type":"input_text","text":"a"}]}]}`, `{"role":"tool","content":[{"type":"text","text":"a"}],"tool_call_id":"c"}`, ""},
		{"a screenshot", `{"input":[{"type":"computer_call_output","call_id":"c","output":{"type":"computer_screenshot","image_url":"data:x"}}]}`, `{"role":"tool","content":[{"type":"image_url","image_url":{"url":"data:x"}}],"tool_call_id":"c"}`, ""},
		{"an output that is not there", `{"input":[{"type":"function_call_output"}]}`, `{"role":"tool","content":null}`, ""},
		{"reasoning without what is encrypted", `{"input":[{"type":"reasoning","encrypted_content":"gAAA","summary":[{"text":"<a>"}]}]}`, `{"role":"assistant","content":"{\"summary\":[{\"text\":\"<a>\"}],\"type\":\"reasoning\"}"}`, ""},
		{"a made image without its data", `{"input":[{"type":"image_generation_call","result":"base64","n":[{"url":"u","data":1}]}]}`, `{"role":"assistant","content":"{\"n\":[{\"data\":1}],\"type\":\"image_generation_call\"}"}`, ""},
		{"an item that is none", `{"input":["hi",7]}`, hi + `,{"role":"user","content":"7"}`, ""},
		{"variables", `{"prompt":{"id":"p","variables":{"a":"b","c":{"image_url":"data:x"}}}}`, `{"role":"developer","content":"{\"a\":\"b\",\"c\":{}}"}`, ""},
		{"nothing but what upstream has", `{"previous_response_id":"r"}`, `{"role":"user","content":""}`, ""},
		{"nothing but a conversation", `{"conversation":{"id":"c"}}`, `{"role":"user","content":""}`, ""},
		{"nothing but a prompt", `{"prompt":{"id":"p"}}`, `{"role":"user","content":""}`, ""},
		{
			"tools", `{"input":"hi","tools":[{"type":"function","name":"f","parameters":{}},{"type":"custom","name":"g"},{"type":"function","function":{"name":"h"}},{"type":"web_search"}]}`, hi,
			`,"tools":[{"type":"function","function":{"type":"function","name":"f","parameters":{}}},{"type":"custom","custom":{"type":"custom","name":"g"}},{"type":"function","function":{"name":"h"}},{"type":"web_search"}]`,
		},
		{
			"a schema", `{"input":"hi","text":{"format":{"type":"json_schema","name":"n","schema":{"a":1}}}}`, hi,
			`,"response_format":{"type":"json_schema","json_schema":{"type":"json_schema","name":"n","schema":{"a":1}}}`,
		},
		{"a format that is no schema", `{"input":"hi","text":{"format":{"type":"text"}}}`, hi, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, op := range []openai.Operation{openai.Responses, openai.Compact} {
				r, err := openai.ParseAs(op, []byte(tt.body))
				if err != nil {
					t.Fatal(err)
				}
				chat, err := r.Conversation()
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(decoded(t, `{"messages":[`+tt.messages+`]`+tt.more+`}`), decoded(t, string(chat.Body()))); diff != "" {
					t.Errorf("the conversation of %s (-want +got):\n%s", tt.body, diff)
				}
				if same, err := chat.Conversation(); same != chat || err != nil {
					t.Errorf("the conversation of a conversation is %v, %v", same, err)
				}
			}
		})
	}
}

func decoded(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestNoConversation(t *testing.T) {
	t.Parallel()
	for _, op := range []openai.Operation{openai.Completions, openai.Embeddings, openai.Moderations, openai.Images, openai.Speech} {
		r, err := openai.ParseAs(op, []byte(`{"input":"hi","prompt":"hi"}`))
		if err != nil {
			t.Fatal(err)
		}
		if chat, err := r.Conversation(); err == nil {
			t.Errorf("the conversation of %s is %s", op.Path(), chat.Body())
		}
	}
}
