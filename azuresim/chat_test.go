package azuresim_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
)

const safe = `"hate":{"filtered":false,"severity":"safe"},`

func outputFilter() string {
	return `"content_filter_results":{` + safe + `"protected_material_code":{"detected":false,"filtered":false},"protected_material_text":{"detected":false,"filtered":false},"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}`
}

const promptFilter = `"prompt_filter_results":[{"content_filter_results":{` + safe + `"jailbreak":{"detected":false,"filtered":false},"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}},"prompt_index":0}]`

const usage = `"usage":{"completion_tokens":3,"completion_tokens_details":{"accepted_prediction_tokens":0,"audio_tokens":0,"reasoning_tokens":0,"rejected_prediction_tokens":0},"latency_checkpoint":{"engine_tbt_ms":0,"engine_ttft_ms":0,"engine_ttlt_ms":0,"pre_inference_ms":0,"service_tbt_ms":0,"service_ttft_ms":0,"service_ttlt_ms":0,"user_visible_ttft_ms":0},"prompt_tokens":12,"prompt_tokens_details":{"audio_tokens":0,"cached_tokens":0},"total_tokens":15}`

func TestPlainAnswerHasAzuresShape(t *testing.T) {
	t.Parallel()
	r := ask(t, azuresim.Config{}, classicPath, user("!echo one two three"), "x-ms-client-request-id", "abc")
	want := `{"choices":[{` + outputFilter() + `,"finish_reason":"stop","index":0,"logprobs":null,"message":{"annotations":[],"content":"one two three","refusal":null,"role":"assistant"}}],` +
		`"created":946684800,"id":"chatcmpl-sim000001","model":"gpt-4o","object":"chat.completion",` + promptFilter +
		`,"routing":{"serving_pipereplica":"sim-0"},"service_tier":"default","system_fingerprint":"fp_15df15cc",` + strings.NewReplacer(`"completion_tokens":3`, `"completion_tokens":4`, `"prompt_tokens":12`, `"prompt_tokens":11`).Replace(usage) + `}`
	if diff := cmp.Diff(want, r.body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "X-Ms-Region": "East US 2", "X-Ms-Deployment-Name": "gpt-4o",
		"X-Ms-Rai-Invoked": "true", "X-Ms-Client-Request-Id": "abc", "Azureml-Model-Session": "sim-session",
		"Apim-Request-Id": "00000001-0000-4000-8000-000000000001", "X-Request-Id": "00000001-0000-4000-8000-000000000001",
		"Strict-Transport-Security": "max-age=31536000; includeSubDomains; preload",
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if r.header.Get("Set-Cookie") == "" {
		t.Error("no cookie")
	}
}

// chunk is a named chunk of a stream.
func chunk(choice, tail string) string {
	return `{"choices":[{` + choice + `}],"created":946684800,"id":"chatcmpl-sim000001","model":"gpt-4o","object":"chat.completion.chunk","service_tier":"default","system_fingerprint":"fp_15df15cc"` + tail + `}`
}

func TestStreamHasAzuresShape(t *testing.T) {
	t.Parallel()
	const role = `"delta":{"content":"","refusal":null,"role":"assistant"},"finish_reason":null,"index":0,"logprobs":null`
	delta := func(text string) string {
		return `"delta":{"content":"` + text + `"},"finish_reason":null,"index":0,"logprobs":null`
	}
	const finish = `"delta":{},"finish_reason":"stop","index":0,"logprobs":null`
	const empty = `"content_filter_results":{},`
	const null = `,"usage":null`
	annotation := func(tail string) string {
		return `{"choices":[],"created":0,"id":"","model":"","object":"",` + promptFilter + tail + `}`
	}
	async := func(end string) string {
		return `{"choices":[{"content_filter_offsets":{"check_offset":` + end + `,"end_offset":` + end + `,"start_offset":48},"content_filter_results":{` + safe +
			`"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}},"finish_reason":null,"index":0}],"created":0,"id":"","model":"","object":""}`
	}
	total := `{"choices":[],` + strings.TrimPrefix(chunk("", ""), `{"choices":[{}],`)
	total = strings.TrimSuffix(total, "}") + `,` + usage + `}`
	for _, tt := range []struct {
		name string
		cfg  azuresim.Config
		path string
		more string
		want []string
	}{
		{"without usage", azuresim.Config{}, classicPath, "", []string{
			annotation(""), chunk(empty+role, ""), chunk(outputFilter()+`,`+delta("a b c d "), ""), chunk(outputFilter()+`,`+delta("e f"), ""), chunk(empty+finish, ""), "[DONE]",
		}},
		{"with usage", azuresim.Config{}, v1Path, `,"stream_options":{"include_usage":true}`, []string{
			annotation(null), chunk(empty+role, null), chunk(outputFilter()+`,`+delta("a b c d "), null), chunk(outputFilter()+`,`+delta("e f"), null), chunk(empty+finish, null), total, "[DONE]",
		}},
		{"asynchronous filter", azuresim.Config{AsyncFilter: true}, classicPath, "", []string{
			annotation(""), chunk(role, ""), chunk(delta("a "), ""), chunk(delta("b "), ""), chunk(delta("c "), ""), async("53"),
			chunk(delta("d "), ""), chunk(delta("e "), ""), chunk(delta("f"), ""), chunk(finish, ""), async("59"), "[DONE]",
		}},
		{"OpenAI's own", azuresim.Config{}, openAIPath, "", []string{
			chunk(role, ""), chunk(delta("a b c d "), ""), chunk(delta("e f"), ""), chunk(finish, ""), "[DONE]",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := ask(t, tt.cfg, tt.path, user("!echo       a b c d e f", streamed, tt.more))
			if diff := cmp.Diff(tt.want, chunks(r.body)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if got := r.header.Get("Content-Type"); got != "text/event-stream" {
				t.Errorf("content type is %q", got)
			}
		})
	}
}

func TestAnswerFollowsTheRequest(t *testing.T) {
	t.Parallel()
	const tools = `,"tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer","minimum":3},"note":{"type":"string"}},"required":["city","days"]}}},{"type":"custom","custom":{"name":"shell"}}]`
	const schema = `,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"$defs":{"u":{"type":"object","properties":{"unit":{"enum":["C","F"]}},"required":["unit"]}},"type":"object","properties":{"t":{"$ref":"#/$defs/u"},"l":{"type":"array","minItems":2,"items":{"type":"boolean"}},"x":{"anyOf":[{"type":"null"},{"type":"string"}]}},"required":["t","l","x"]}}}`
	for _, tt := range []struct {
		name string
		body string
		want string
	}{
		{"echo of a sentence", user("hello there."), `"content":"You said: hello there. That was turn 1 of our conversation."`},
		{"many words", user("!words 3"), `"content":"word1 word2 word3"`},
		{"an unknown fault is text", user("!important"), `"content":"You said: !important.`},
		{"max_tokens", user("!words 50", `,"max_tokens":2`), `"content":"word1 wo"`},
		{"finish of max_tokens", user("!words 50", `,"max_completion_tokens":2`), `"finish_reason":"length"`},
		{"max_tokens never splits a character", user("!echo 日本語", `,"max_tokens":1`), `"content":"日"`},
		{"stop as text", user("!words 50", `,"stop":" word3"`), `"content":"word1 word2"`},
		{"stop as list", user("!words 50", `,"stop":["zzz"," word2"]`), `"content":"word1"`},
		{"two choices", user("!echo x", `,"n":2`), `"content":"(1) x"`},
		{"text parts", `{"messages":[{"role":"user","content":[{"type":"text","text":"!echo a"},{"type":"image_url","image_url":{"url":"data:"}},{"type":"text","text":"b"}]}]}`, `"content":"a\nb"`},
		{"tool by message", user("!tool weather", tools), `"tool_calls":[{"function":{"arguments":"{\"city\":\"city\",\"days\":3}","name":"weather"},"id":"call_00000100","type":"function"}]`},
		{"tool with arguments", user(`!tool weather {"a":1}`, tools), `"arguments":"{\"a\":1}"`},
		{"tool forced", user("hi", tools, `,"tool_choice":"required"`), `"finish_reason":"tool_calls"`},
		{"tool forced by name", user("hi", tools, `,"tool_choice":{"type":"custom","custom":{"name":"shell"}}`), `"custom":{"input":"input","name":"shell"}`},
		{"tool not forced", user("hi", tools), `"content":"You said: hi.`},
		{"tools forbidden", user("!tool weather", tools, `,"tool_choice":"none"`), `"finish_reason":"stop"`},
		{"after a tool's result", `{"messages":[{"role":"user","content":"!tool weather"},{"role":"assistant","tool_calls":[{"id":"a"}]},{"role":"tool","tool_call_id":"a","content":"sunny"}]` + tools + `,"tool_choice":"required"}`, `"content":"The tool answered: sunny"`},
		{"JSON object", user("hi", `,"response_format":{"type":"json_object"}`), `"content":"{\"answer\":\"hi\"}"`},
		{"JSON schema", user("hi", schema), `"content":"{\"l\":[true,true],\"t\":{\"unit\":\"C\"},\"x\":null}"`},
		{"JSON schema with formats", user("hi", `,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"properties":{"a":{"type":"string","format":"date"},"b":{"type":"string","format":"email"},"c":{"type":"string","minLength":3},"d":{"type":["string","null"],"maxLength":0},"e":{"const":7}}}}}`), `"content":"{\"a\":\"2026-01-02\",\"b\":\"someone@example.com\",\"c\":\"cxx\",\"d\":\"\",\"e\":7}"`},
		{"JSON schema that refers to itself", user("hi", `,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}}}`), `"content":"{\"a\":{\"a\":`},
		{"turns are counted", `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]}`, `"content":"You said: c. That was turn 2 of our conversation."`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := ask(t, azuresim.Config{}, classicPath, tt.body)
			if r.status != 200 || !strings.Contains(r.body, tt.want) {
				t.Errorf("status %d, body has no %s:\n%s", r.status, tt.want, r.body)
			}
		})
	}
}

func TestStreamOfToolCallsJoinsToTheCall(t *testing.T) {
	t.Parallel()
	r := ask(t, azuresim.Config{}, classicPath, user(`!tool f {"city":"Köln","days":3}`, streamed, `,"tools":[{"type":"function","function":{"name":"f"}}]`))
	var id, name, arguments string
	events := 0
	for _, data := range chunks(r.body) {
		var c struct {
			Choices []struct {
				Delta struct {
					ToolCalls []struct {
						ID       string
						Function struct{ Name, Arguments string }
					} `json:"tool_calls"`
				}
			}
		}
		if json.Unmarshal([]byte(data), &c) != nil {
			continue
		}
		for _, choice := range c.Choices {
			for _, call := range choice.Delta.ToolCalls {
				id, name, arguments = id+call.ID, name+call.Function.Name, arguments+call.Function.Arguments
				events++
			}
		}
	}
	if id != "call_00000100" || name != "f" || arguments != `{"city":"Köln","days":3}` || events != 4 {
		t.Errorf("got %q %q %q in %d events", id, name, arguments, events)
	}
}

func TestChoicesInterleave(t *testing.T) {
	t.Parallel()
	r := ask(t, azuresim.Config{}, classicPath, user("!echo x", streamed, `,"n":2`))
	var order []int
	for _, data := range chunks(r.body) {
		var c struct{ Choices []struct{ Index int } }
		if json.Unmarshal([]byte(data), &c) == nil && len(c.Choices) == 1 {
			order = append(order, c.Choices[0].Index)
		}
	}
	if diff := cmp.Diff([]int{0, 1, 0, 1, 0, 1}, order); diff != "" {
		t.Errorf("choices (-want +got):\n%s", diff)
	}
	if got := content(t, r.body); got != "x(1) x" {
		t.Errorf("content is %q", got)
	}
}

func TestRequestIsRefused(t *testing.T) {
	t.Parallel()
	cfg := azuresim.Config{
		Key: "key", Token: "token",
		Deployments: map[string]azuresim.Deployment{
			"GPT-4o": {Model: "gpt-4o-2024-11-20", ContextWindow: 100, MaxOutput: 40},
			"o4":     {Model: "o4-mini-2025-04-16", Reasoning: true, ContextWindow: 100},
			"old":    {NoStreamOptions: true},
		},
	}
	const o4 = "/openai/deployments/o4/chat/completions?api-version=2025-04-01-preview"
	classic := func(version string) string { return "/openai/deployments/gpt-4O/chat/completions" + version }
	for _, tt := range []struct {
		name   string
		path   string
		body   string
		auth   [2]string
		status int
		want   string
	}{
		{"right key", classicPath, user("hi"), [2]string{"api-key", "key"}, 200, `"model":"gpt-4o-2024-11-20"`},
		{"key as bearer", v1Path, user("hi"), [2]string{"Authorization", "Bearer key"}, 200, ""},
		{"token", v1Path + "?api-version=preview", user("hi"), [2]string{"Authorization", "bearer token"}, 200, ""},
		{"wrong key", classicPath, user("hi"), [2]string{"api-key", "no"}, 401, `{"error":{"code":"401","message":"Access denied due to invalid subscription key`},
		{"wrong token", classicPath, user("hi"), [2]string{"Authorization", "Bearer no"}, 401, `"statusCode":401}`},
		{"wrong key at OpenAI's path", openAIPath, user("hi"), [2]string{"Authorization", "Bearer no"}, 401, "invalid_api_key"},
		{"wrong path", "/openai/chat", user("hi"), [2]string{}, 404, `{"error":{"code":"404","message":"Resource not found"}}`},
		{"no version", classic(""), user("hi"), [2]string{}, 404, "Resource not found"},
		{"bad version", classic("?api-version=v1"), user("hi"), [2]string{}, 404, "Resource not found"},
		{"dated version on v1", v1Path + "?api-version=2024-10-21", user("hi"), [2]string{}, 400, "API version not supported"},
		{"unknown deployment", "/openai/deployments/x/chat/completions?api-version=2024-10-21", user("hi"), [2]string{}, 404, "DeploymentNotFound"},
		{"unknown deployment on v1", v1Path, `{"model":"x","messages":[]}`, [2]string{}, 404, "DeploymentNotFound"},
		{"unknown model", openAIPath, `{"model":"x","messages":[]}`, [2]string{}, 404, "model_not_found"},
		{"not JSON", classicPath, `{"messages":`, [2]string{}, 400, "could not parse the JSON body"},
		{"wrong type", classicPath, `{"messages":"x"}`, [2]string{}, 400, `"param":"messages"`},
		{"no messages", classicPath, `{}`, [2]string{}, 400, "missing_required_parameter"},
		{"empty messages", classicPath, `{"messages":[]}`, [2]string{}, 400, "empty_array"},
		{"unknown role", classicPath, `{"messages":[{"role":"x","content":""}]}`, [2]string{}, 400, `"param":"messages[0].role"`},
		{"tool result alone", classicPath, `{"messages":[{"role":"user","content":""},{"role":"tool","content":""}]}`, [2]string{}, 400, `"param":"messages[1].role"`},
		{"special tokens", classicPath, user("<|im_start|>system"), [2]string{}, 400, "special tokens in the input."},
		{"special tokens in a part", classicPath, `{"messages":[{"role":"user","content":[{"type":"text","text":"<|endoftext|>"}]}]}`, [2]string{}, 400, "special tokens in the input."},
		{"hot", classicPath, user("hi", `,"temperature":2.5`), [2]string{}, 400, `"code":"decimal_above_max_value"`},
		{"cold", classicPath, user("hi", `,"temperature":-1`), [2]string{}, 400, `"code":"decimal_below_min_value"`},
		{"no choice", classicPath, user("hi", `,"n":0`), [2]string{}, 400, `"code":"integer_below_min_value"`},
		{"too many choices", classicPath, user("hi", `,"n":129`), [2]string{}, 400, `"code":"integer_above_max_value"`},
		{"no tokens", classicPath, user("hi", `,"max_tokens":0`), [2]string{}, 400, "integer_below_min_value"},
		{"stream options alone", classicPath, user("hi", `,"stream_options":{}`), [2]string{}, 400, "only allowed when 'stream' is enabled"},
		{"output cap", classicPath, user("hi", `,"max_tokens":41`), [2]string{}, 400, "max_tokens is too large: 41. This model supports at most 40 completion tokens, whereas you provided 41."},
		{"context, messages", classicPath, user(strings.Repeat("a", 400)), [2]string{}, 400, "maximum context length is 100 tokens. However, your messages resulted in 106 tokens."},
		{"context, completion", classicPath, user(strings.Repeat("a", 300), `,"max_tokens":20`), [2]string{}, 400, "you requested 101 tokens (81 in the messages, 20 in the completion)"},
		{"context, reasoning", o4, user(strings.Repeat("a", 400)), [2]string{}, 400, "configured limit of 100 tokens"},
		{"reasoning, max_tokens", o4, user("hi", `,"max_tokens":90`), [2]string{}, 400, "Use 'max_completion_tokens' instead."},
		{"reasoning, temperature", o4, user("hi", `,"temperature":0.75`), [2]string{}, 400, "Unsupported value: 'temperature' does not support 0.75 with this model. Only the default (1) value is supported."},
		{"reasoning, default temperature", o4, user("hi", `,"temperature":1,"top_p":1,"presence_penalty":0`), [2]string{}, 200, `"reasoning_tokens":64`},
		{"reasoning, stop", o4, user("hi", `,"stop":"x"`), [2]string{}, 400, "unsupported_parameter"},
		{"reasoning, exhausted", o4, user("hi", `,"max_completion_tokens":64`), [2]string{}, 400, "model output limit was reached"},
		{"reasoning, effort", o4, user("hi", `,"max_completion_tokens":64,"reasoning_effort":"low"`), [2]string{}, 200, `"reasoning_tokens":32`},
		{"reasoning, old version", "/openai/deployments/o4/chat/completions?api-version=2024-10-21", user("hi"), [2]string{}, 400, "Model o4-mini-2025-04-16 is enabled only for api versions 2024-12-01-preview and later"},
		{"no stream options", "/openai/deployments/old/chat/completions?api-version=2024-10-21", user("hi", streamed, `,"stream_options":{"include_usage":true}`), [2]string{}, 400, "Unrecognized request argument supplied: stream_options"},
		{"old version, schema", classic("?api-version=2024-06-01"), user("hi", `,"response_format":{"type":"json_schema","json_schema":{"name":"x"}}`), [2]string{}, 400, `{"error":{"code":"BadRequest","message":"response_format value as json_schema is enabled only for api versions 2024-08-01-preview and later"}}`},
		{"old version, tool choice", classic("?api-version=2024-02-01"), user("hi", `,"tool_choice":"required"`), [2]string{}, 400, "tool_choice value as required is enabled only for api versions 2024-06-01 and later"},
		{"old version, stream options", classic("?api-version=2024-06-01"), user("hi", streamed, `,"stream_options":{}`), [2]string{}, 400, "stream_options is enabled only for api versions 2024-09-01-preview and later"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			auth := tt.auth
			if auth[0] == "" {
				auth = [2]string{"Authorization", "Bearer key"}
			}
			r := ask(t, cfg, tt.path, tt.body, auth[:]...)
			if r.status != tt.status || !strings.Contains(r.body, tt.want) {
				t.Errorf("status %d, want %d with %s:\n%s", r.status, tt.status, tt.want, r.body)
			}
		})
	}
}
