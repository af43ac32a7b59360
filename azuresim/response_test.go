package azuresim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
)

const responsesPath = "/openai/v1/responses"

// typed is one event of a stream whose events have names.
type typed struct {
	name string // of the event line
	data object
}

type object = map[string]any

// typedEvents decodes a stream, and checks what every event of it must have.
func typedEvents(t *testing.T, body string) []typed {
	t.Helper()
	var list []typed
	for frame := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		name, data, _ := strings.Cut(frame, "\ndata: ")
		e := typed{name: strings.TrimPrefix(name, "event: ")}
		if err := json.Unmarshal([]byte(data), &e.data); err != nil {
			t.Fatalf("event %q: %v", frame, err)
		}
		if e.data["type"] != e.name || e.data["sequence_number"] != float64(len(list)) {
			t.Errorf("event %d is %s with type %v and number %v", len(list), e.name, e.data["type"], e.data["sequence_number"])
		}
		list = append(list, e)
	}
	return list
}

// outline is the names of events, without their prefix, repeats as a plus.
func outline(list []typed) string {
	var names []string
	for _, e := range list {
		name := strings.TrimPrefix(e.name, "response.")
		if n := len(names); n > 0 && strings.TrimSuffix(names[n-1], "+") == name {
			names[n-1] = name + "+"
			continue
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func TestResponseHasAzuresShape(t *testing.T) {
	t.Parallel()
	sim := azuresim.New(azuresim.Config{Name: "r"})
	w := call(t, sim, http.MethodPost, responsesPath, `{"model":"gpt-4o","input":"!echo one two three","metadata":{"k":"v"}}`)
	var got object
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for _, name := range []string{"id", "created_at", "completed_at"} {
		if got[name] == nil {
			t.Errorf("no %s", name)
		}
		delete(got, name)
	}
	if n := len(got["content_filters"].([]any)); n != 2 {
		t.Errorf("%d content filters", n)
	}
	delete(got, "content_filters")
	item := got["output"].([]any)[0].(object)
	if !strings.HasPrefix(item["id"].(string), "msg_") {
		t.Errorf("item %v", item["id"])
	}
	delete(item, "id")
	want := object{
		"object": "response", "status": "completed", "model": "gpt-4o", "error": nil, "incomplete_details": nil,
		"instructions": nil, "max_output_tokens": nil, "max_tool_calls": nil, "metadata": object{"k": "v"},
		"parallel_tool_calls": true, "previous_response_id": nil, "safety_identifier": nil, "prompt_cache_key": nil,
		"service_tier": "default", "temperature": 1.0, "text": object{"format": object{"type": "text"}, "verbosity": "medium"},
		"tool_choice": "auto", "tools": []any{}, "top_logprobs": 0.0, "top_p": 1.0, "truncation": "disabled", "user": nil,
		"store": true, "background": false, "reasoning": object{"effort": nil, "summary": nil},
		"output": []any{object{"type": "message", "role": "assistant", "status": "completed", "content": []any{
			object{"type": "output_text", "text": "one two three", "annotations": []any{}, "logprobs": []any{}},
		}}},
		"usage": object{
			"input_tokens": 11.0, "output_tokens": 4.0, "total_tokens": 15.0,
			"input_tokens_details": object{"cached_tokens": 0.0}, "output_tokens_details": object{"reasoning_tokens": 0.0},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("response (-want +got):\n%s", diff)
	}
	if seen := sim.Requests()[0]; seen.PromptTokens != 11 || seen.CompletionTokens != 4 {
		t.Errorf("record: %d and %d tokens", seen.PromptTokens, seen.CompletionTokens)
	}
	if w := call(t, sim, http.MethodPost, "/v1/responses", `{"model":"m","input":"hi"}`); strings.Contains(w.Body.String(), "content_filters") {
		t.Error("OpenAI has no content filters")
	}
}

func TestResponseStreamHasEveryEventInOrder(t *testing.T) {
	t.Parallel()
	cfg := azuresim.Config{Deployments: map[string]azuresim.Deployment{"m": {}, "o": {Reasoning: true}}}
	const begin, text, done = "created in_progress ", "output_item.added content_part.added output_text.delta+ output_text.done content_part.done output_item.done ", "completed"
	tool := func(kind string) string {
		return `,"tools":[{"type":"` + kind + `","server_label":"mine"}]`
	}
	for _, tt := range []struct{ name, body, want string }{
		{"text", `"model":"m","input":"hello"`, begin + text + done},
		{"messages", `"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"hello"}]}]`, begin + text + done},
		{"background", `"model":"m","background":true,"input":"hello"`, "created queued in_progress " + text + done},
		{"refusal", `"model":"m","input":"!refusal"`, begin + "output_item.added content_part.added refusal.delta+ refusal.done content_part.done output_item.done " + done},
		{"function", `"model":"m","input":"!tool f","tools":[{"type":"function","name":"f","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}]`, begin + "output_item.added function_call_arguments.delta+ function_call_arguments.done output_item.done " + done},
		{"custom tool", `"model":"m","input":"hi","tool_choice":{"type":"custom","name":"f"},"tools":[{"type":"custom","name":"f"}]`, begin + "output_item.added custom_tool_call_input.delta+ custom_tool_call_input.done output_item.done " + done},
		{"reasoning", `"model":"o","input":"hello","reasoning":{"effort":"low"}`, begin + "output_item.added output_item.done " + text + done},
		{"summary", `"model":"o","input":"hello","reasoning":{"summary":"auto"}`, begin + "output_item.added reasoning_summary_part.added reasoning_summary_text.delta+ reasoning_summary_text.done reasoning_summary_part.done output_item.done " + text + done},
		{"web search", `"model":"m","input":"!tool web_search"` + tool("web_search"), begin + "output_item.added web_search_call.in_progress web_search_call.searching web_search_call.completed output_item.done " + strings.Replace(text, "output_text.done", "output_text.annotation.added output_text.done", 1) + done},
		{"file search", `"model":"m","input":"!tool file_search"` + tool("file_search"), begin + "output_item.added file_search_call.in_progress file_search_call.searching file_search_call.completed output_item.done " + strings.Replace(text, "output_text.done", "output_text.annotation.added output_text.done", 1) + done},
		{"code interpreter", `"model":"m","input":"!tool code_interpreter"` + tool("code_interpreter"), begin + "output_item.added code_interpreter_call.in_progress code_interpreter_call_code.delta+ code_interpreter_call_code.done code_interpreter_call.interpreting code_interpreter_call.completed output_item.done " + text + done},
		{"image generation", `"model":"m","input":"!tool image_generation"` + tool("image_generation"), begin + "output_item.added image_generation_call.in_progress image_generation_call.generating image_generation_call.partial_image image_generation_call.completed output_item.done " + text + done},
		{"mcp", `"model":"m","input":"hi","tool_choice":{"type":"mcp"}` + tool("mcp"), begin + "output_item.added mcp_list_tools.in_progress mcp_list_tools.completed output_item.done output_item.added mcp_call.in_progress mcp_call_arguments.delta+ mcp_call_arguments.done mcp_call.completed output_item.done " + text + done},
		{"failed", `"model":"m","input":"!response-failed"`, begin + "output_item.added content_part.added output_text.delta failed"},
		{"too long", `"model":"m","max_output_tokens":16,"input":"!words 90"`, begin + text + "incomplete"},
		{"filtered", `"model":"m","input":"!output-filter"`, begin + text + "incomplete"},
		{"missing completed", `"model":"m","input":"!no-finish"`, strings.TrimSpace(begin + text)},
		{"cut", `"model":"m","input":"!cut-stream"`, begin + "output_item.added content_part.added output_text.delta"},
		{"error first", `"model":"m","input":"!server-error-stream"`, "error"},
		{"invalid Unicode first", `"model":"m","input":"!unicode-stream"`, "error"},
		{"error late", `"model":"m","input":"!error-late"`, begin + "output_item.added content_part.added output_text.delta error"},
		{"invalid Unicode late", `"model":"m","input":"!unicode-late"`, begin + "output_item.added content_part.added output_text.delta error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := call(t, azuresim.New(cfg), http.MethodPost, responsesPath, `{"stream":true,`+tt.body+`}`)
			if diff := cmp.Diff(strings.TrimSpace(tt.want), outline(typedEvents(t, w.Body.String()))); diff != "" {
				t.Errorf("events (-want +got):\n%s\n%.3000s", diff, w.Body)
			}
		})
	}
}

func TestResponseErrorEventHasItsShape(t *testing.T) {
	t.Parallel()
	const nested = `"error":{"code":null,"message":"The server had an error while processing your request.","param":null,"type":"server_error"}`
	const flat = `"code":null,`
	const message = `"message":"The server had an error while processing your request.","param":null,`
	const tail = `"sequence_number":5,"type":"error"}`
	for name, want := range map[string]string{
		"error-late": `{` + nested + `,` + tail, "error-event": `{` + nested + `,` + tail,
		"error-flat": `{` + flat + message + tail, "error-both": `{` + flat + nested + `,` + message + tail,
	} {
		w := call(t, azuresim.New(azuresim.Config{}), http.MethodPost, responsesPath, `{"model":"m","stream":true,"input":"!`+name+`"}`)
		if !strings.HasSuffix(w.Body.String(), "\n\nevent: error\ndata: "+want+"\n\n") {
			t.Errorf("%s: %.2000s", name, w.Body)
		}
	}
}

func TestResponseEndsAsItMust(t *testing.T) {
	t.Parallel()
	cfg := azuresim.Config{Deployments: map[string]azuresim.Deployment{"m": {ContextWindow: 100, MaxOutput: 40}, "o": {Reasoning: true}}}
	for _, tt := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"max_output_tokens", `"model":"m","max_output_tokens":16,"input":"!words 50"`, 200, `"incomplete_details":{"reason":"max_output_tokens"}`},
		{"all of it reasoning", `"model":"o","max_output_tokens":64,"input":"hi"`, 200, `"incomplete_details":{"reason":"max_output_tokens"}`},
		{"content filter", `"model":"m","input":"!output-filter"`, 200, `"incomplete_details":{"reason":"content_filter"}`},
		{"blocked by the filter", `"model":"m","input":"!output-filter"`, 200, `"blocked":true`},
		{"failed", `"model":"m","input":"!response-failed"`, 200, `"error":{"code":"server_error",`},
		{"invalid Unicode", `"model":"m","input":"!unicode-500"`, 500, `"message":"Failed to create completion as the model generated invalid Unicode output.`},
		{"invalid Unicode, cooled", `"model":"m","temperature":0.7,"input":"!unicode-500"`, 200, `"status":"completed"`},
		{"JSON schema", `"model":"m","input":"hi","text":{"format":{"type":"json_schema","name":"n","schema":{"properties":{"a":{"const":7}}}}}`, 200, `"text":"{\"a\":7}"`},
		{"instructions", `"model":"m","instructions":"Be brief.","input":"hi"`, 200, `"input_tokens":13`},
		{"sealed reasoning", `"model":"o","input":"hi","include":["reasoning.encrypted_content"]`, 200, `"encrypted_content":"gAAAA`},
		{"too few tokens", `"model":"m","max_output_tokens":15,"input":"hi"`, 400, `"message":"Invalid 'max_output_tokens': integer below minimum value. Expected a value \u003e= 16, but got 15 instead."`},
		{"too many tokens", `"model":"m","max_output_tokens":41,"input":"hi"`, 400, `"param":"max_output_tokens"`},
		{"window", `"model":"m","input":"` + strings.Repeat("a", 400) + `"`, 400, `"code":"context_length_exceeded","message":"Your input exceeds the context window of this model.`},
		{"no input", `"model":"m"`, 400, `"code":"missing_required_parameter"`},
		{"input of no kind", `"model":"m","input":7`, 400, `"param":"input"`},
		{"item of no kind", `"model":"m","input":[7]`, 400, `"param":"input[0]"`},
		{"item of nothing", `"model":"m","input":[null]`, 400, `"param":"input[0]"`},
		{"role", `"model":"m","input":[{"role":"x","content":"y"}]`, 400, `"param":"input[0]"`},
		{"special tokens", `"model":"m","input":"<|im_start|>"`, 400, "special tokens in the input."},
		{"reasoning, temperature", `"model":"o","temperature":0.5,"input":"hi"`, 400, `"code":"unsupported_value"`},
		{"background without store", `"model":"m","background":true,"store":false,"input":"hi"`, 400, `"param":"store"`},
		{"both references", `"model":"m","previous_response_id":"a","conversation":"b","input":"hi"`, 400, "mutually_exclusive_parameters"},
		{"result of no call", `"model":"m","input":[{"type":"function_call_output","call_id":"call_1","output":"x"}]`, 400, "No tool call found for function call output with call_id call_1."},
		{"result of a call", `"model":"m","input":[{"type":"function_call","call_id":"call_1","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"call_1","output":"sunny"}]`, 200, "The tool answered: sunny"},
		{"previous of nobody", `"model":"m","previous_response_id":"resp_x","input":"hi"`, 400, `"code":"previous_response_not_found","message":"Previous response with id 'resp_x' not found.","param":"previous_response_id"`},
		{"conversation of nobody", `"model":"m","conversation":"conv_x","input":"hi"`, 404, "Conversation with id 'conv_x' not found."},
		{"item of nobody", `"model":"m","input":[{"type":"item_reference","id":"msg_x"}]`, 404, "Item with id 'msg_x' not found."},
		{"reasoning of nobody", `"model":"m","input":[{"type":"reasoning","summary":[],"encrypted_content":"gAAAAABx.y"}]`, 400, `"code":"invalid_encrypted_content"`},
		{"deployment of nobody", `"model":"x","input":"hi"`, 404, "DeploymentNotFound"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := call(t, azuresim.New(cfg), http.MethodPost, responsesPath, `{`+tt.body+`}`)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("status %d, want %d with %s:\n%s", w.Code, tt.status, tt.want, w.Body)
			}
		})
	}
}

func TestReasoningIsKnownOnlyWhereItWasMade(t *testing.T) {
	t.Parallel()
	cfg := azuresim.Config{Deployments: map[string]azuresim.Deployment{"o": {Reasoning: true}}}
	here, there := azuresim.New(cfg), azuresim.New(cfg)
	w := call(t, here, http.MethodPost, responsesPath, `{"model":"o","input":"hi","store":false,"include":["reasoning.encrypted_content"]}`)
	var made struct{ Output []json.RawMessage }
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || len(made.Output) != 2 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	again := fmt.Sprintf(`{"model":"o","input":[%s,{"role":"user","content":"go on"}]}`, made.Output[0])
	if w := call(t, here, http.MethodPost, responsesPath, again); w.Code != 200 {
		t.Errorf("here: %d %s", w.Code, w.Body)
	}
	if w := call(t, there, http.MethodPost, responsesPath, again); w.Code != 400 || !strings.Contains(w.Body.String(), "could not be verified") {
		t.Errorf("there: %d %s", w.Code, w.Body)
	}
}
