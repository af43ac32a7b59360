package azuresim_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
)

// faultRow is what a client sees of one fault.
type faultRow struct {
	name    string
	stream  bool
	more    string // fields added to the body
	status  int    // 0 where the connection breaks before the head
	body    string // a part of it
	without string // what the body must not have
	header  [2]string
	err     string        // a part of the transport's error
	took    time.Duration // in virtual time, 0 for any
}

func faultRows() []faultRow {
	const tools = `,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"tool_choice":"required"`
	return []faultRow{
		{name: "unicode-500", status: 500, body: `{"error":{"code":null,"message":"Failed to create completion as the model generated invalid Unicode output`},
		{name: "unicode-500-bare", status: 500, body: `{"error":{"message":"Failed to create completion as the model generated invalid Unicode output."}}`},
		{name: "unicode-500-null", status: 500, body: `request ID`},
		{name: "unicode-500-code", status: 500, body: `"code":"invalid_model_output"`},
		{name: "unicode-stream", stream: true, status: 200, body: `data: {"error":{"code":null,"message":"Failed to create completion`, without: "[DONE]"},
		{name: "unicode-late", stream: true, status: 200, body: "\n\ndata: {\"error\":{\"code\":null,\"message\":\"Failed to create", without: "finish_reason\":\"stop"},
		{name: "special-token-500", status: 500, body: "Unexpected special token"},
		{name: "invalid-content", status: 500, body: `"type":"model_error"`},
		{name: "invalid-content-400", status: 400, body: "The model produced invalid content"},
		{name: "server-error", status: 500, body: "The server had an error while processing your request"},
		{name: "server-error-flat", status: 500, body: `"activityId":`},
		{name: "server-error-stream", stream: true, status: 200, body: `data: {"error":`},
		{name: "bad-gateway", status: 502, body: "<html>", header: [2]string{"Content-Type", "text/html"}},
		{name: "unavailable", status: 503},
		{name: "unavailable-retry 7", status: 503, header: [2]string{"Retry-After", "7"}},
		{name: "gateway-timeout", status: 504, body: "GatewayTimeout"},
		{name: "timeout", status: 408, body: `"code":"Timeout"`},
		{name: "special-tokens", status: 400, body: "Failed to generate output due to special tokens in the input."},
		{name: "context-length", status: 400, body: "This model's maximum context length is 8192 tokens. However, your messages resulted in 8227 tokens."},
		{name: "context-length-completion", status: 400, body: "you requested 4118 tokens (3118 in the messages, 1000 in the completion)"},
		{name: "context-length-functions", status: 400, body: "in the functions"},
		{name: "context-length-input", status: 400, body: "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300007 tokens."},
		{name: "context-length-limit", status: 400, body: "922000"},
		{name: "context-length-prompt", status: 400, body: "9000 in your prompt"},
		{name: "context-length-window", status: 400, body: `"param":"input"`},
		{name: "max-tokens", status: 400, body: "max_tokens is too large: 20000. This model supports at most 16384 completion tokens, whereas you provided 20000."},
		{name: "unsupported-parameter", status: 400, body: "Use 'max_completion_tokens' instead."},
		{name: "unsupported-value", status: 400, body: "does not support 0.7 with this model. Only the default (1) value is supported."},
		{name: "unsupported-temperature", status: 400, body: "Unsupported parameter: 'temperature' is not supported with this model."},
		{name: "no-temperature", more: `,"temperature":0.2`, status: 400, body: "does not support 0.2"},
		{name: "reasoning-exhausted", status: 400, body: "max_tokens or model output limit was reached"},
		{name: "empty-array", status: 400, body: "empty_array"},
		{name: "below-minimum", status: 400, body: "integer_below_min_value"},
		{name: "above-maximum", status: 400, body: "decimal_above_max_value"},
		{name: "no-stream-options", stream: true, more: `,"stream_options":{"include_usage":true}`, status: 400, body: "stream_options"},
		{name: "version-schema", status: 400, body: "response_format value as json_schema is enabled only for api versions 2024-08-01-preview and later"},
		{name: "version-required", status: 400, body: "tool_choice value as required"},
		{name: "version-model", status: 400, body: "Model {modelName} is enabled only"},
		{name: "wrong-operation", status: 400, body: "OperationNotSupported"},
		{name: "too-large", status: 413},
		{name: "media-type", status: 415},
		{name: "content-filter", status: 400, body: `"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{`},
		{name: "content-filter-inner", status: 400, body: `"inner_error":{"code":"ResponsibleAIPolicyViolation","content_filter_results":{`},
		{name: "content-filter-bare", status: 400, body: `"code":"content_filter"`, without: "inner"},
		{name: "content-filter-code", status: 400, body: `"code":400`},
		{name: "bad-key", status: 401, body: "Access denied due to invalid subscription key"},
		{name: "bad-token", status: 401, body: `"statusCode":401`},
		{name: "no-role", status: 401, body: "lacks the required data action"},
		{name: "no-access", status: 401, body: "Principal does not have access"},
		{name: "key-disabled", status: 403, body: "AuthenticationTypeDisabled"},
		{name: "network-rule", status: 403, body: "Firewall"},
		{name: "deployment-missing", status: 404, body: "DeploymentNotFound"},
		{name: "not-found", status: 404, body: `{"error":{"code":"404","message":"Resource not found"}}`},
		{name: "model-missing", status: 404, body: "model_not_found"},
		{name: "openai-bad-key", status: 401, body: "invalid_api_key"},
		{name: "string-error", status: 404, body: `{"error":"Not found"}`},
		{name: "rate-limit 7", status: 429, body: "have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 7 seconds.", header: [2]string{"Retry-After-Ms", "7000"}},
		{name: "rate-limit-calls", status: 429, body: "have exceeded call rate limit", header: [2]string{"Retry-After", "10"}},
		{name: "rate-limit-ai", status: 429, body: "AIServices S0 pricing tier"},
		{name: "rate-limit-never", status: 429, body: "86400", header: [2]string{"Retry-After", "86400"}},
		{name: "rate-limit-short", status: 429, body: "Rate limit is exceeded. Try again in 60 seconds.", header: [2]string{"Retry-After", ""}},
		{name: "peak-load", status: 429, body: "exceeds the maximum usage size allowed during peak load. Please retry after 20 seconds"},
		{name: "provisioned-full", status: 429, header: [2]string{"Retry-After-Ms", "43"}},
		{name: "apim-limit", status: 429, body: `"statusCode":429`},
		{name: "apim-quota", status: 403, body: `"statusCode":403`},
		{name: "openai-limit-tokens", status: 429, body: `"type":"tokens"`},
		{name: "openai-limit-requests", status: 429, body: `"type":"requests"`},
		{name: "insufficient-quota", status: 429, body: `"code":"insufficient_quota"`},
		{name: "echo the words", status: 200, body: `"content":"the words"`},
		{name: "output-filter", status: 200, body: `"finish_reason":"content_filter"`},
		{name: "filter-failed", status: 200, body: `"content_filter_results":{"error":{`},
		{name: "filter-empty", status: 200, body: `"content_filter_results":{},"finish_reason"`},
		{name: "async-filter", stream: true, status: 200, body: `"content_filter_offsets"`},
		{name: "prompt-annotations", stream: true, status: 200, body: `"prompt_annotations":[`, without: "prompt_filter_results"},
		{name: "refusal", status: 200, body: `"content":null,"refusal":"I cannot help with that."`},
		{name: "length", status: 200, body: `"finish_reason":"length"`},
		{name: "bad-arguments", more: tools, status: 200, body: `"arguments":"{\"unfinished\": "`},
		{name: "no-usage", status: 200, without: `"usage":`},
		{name: "obfuscation", stream: true, status: 200, body: `"obfuscation":"`},
		{name: "error-null", stream: true, status: 200, body: `"error":null`},
		{name: "huge-chunk", stream: true, status: 200, body: strings.Repeat("0123456789abcdef", 1<<16)},
		{name: "infinite", stream: true, status: 200, without: "[DONE]", err: "deadline", took: time.Minute},
		{name: "cut-stream", stream: true, status: 200, body: `"content":"You `, without: `"stop"`},
		{name: "cut-first", stream: true, status: 200, body: "prompt_filter_results", without: "assistant"},
		{name: "reset-stream", stream: true, status: 200, body: `"content":"You `, without: `"stop"`, err: "unexpected EOF"},
		{name: "reset-between", stream: true, status: 200, body: `"content":"You `, without: `"stop"`, err: "unexpected EOF"},
		{name: "reset-first", err: "EOF"},
		{name: "no-done", stream: true, status: 200, body: `"stop"`, without: "[DONE]"},
		{name: "no-finish", stream: true, status: 200, body: "[DONE]", without: `"stop"`},
		{name: "error-late", stream: true, status: 200, body: "\n\ndata: {\"error\":{", without: `"stop"`},
		{name: "error-event", stream: true, status: 200, body: "\n\nevent: error\ndata: {\"error\":{", without: `"stop"`},
		{name: "error-flat", stream: true, status: 200, body: "\n\nevent: error\ndata: {\"error\":{", without: `"stop"`},
		{name: "error-both", stream: true, status: 200, body: "\n\nevent: error\ndata: {\"error\":{", without: `"stop"`},
		{name: "response-failed", stream: true, status: 200, body: "\n\ndata: {\"error\":{", without: `"stop"`},
		{name: "error-done", stream: true, status: 200, body: "}}\n\ndata: [DONE]\n\n", without: `"stop"`},
		{name: "error-last-key", stream: true, status: 200, body: `data: {"choices":[],"error":{`},
		{name: "truncated-json", status: 200, err: "unexpected EOF"},
		{name: "short-json", status: 200, body: `{"choices":[{"index":0,"message":{"role":"assist`},
		{name: "unfinished-json", status: 200, body: `{"choices":`, err: "deadline", took: time.Minute},
		{name: "endless-json", status: 200, body: `}{"choices":`, err: "deadline", took: time.Minute},
		{name: "close-after-read", err: "EOF"},
		{name: "hang", err: "deadline", took: time.Minute},
		{name: "id-lines", stream: true, status: 200, body: "\n\nid: 7\ndata: {"},
		{name: "retry-lines", stream: true, status: 200, body: "\n\nretry: 1000\n\ndata: {"},
		{name: "comments", stream: true, status: 200, body: "\n\n: keep-alive\n\ndata: {"},
		{name: "empty-data", stream: true, status: 200, body: "\n\ndata:\n\n"},
		{name: "garbage", stream: true, status: 200, body: "\n\ndata: {not json\n\n"},
		{name: "crlf", stream: true, status: 200, body: "\r\n\r\ndata: [DONE]\r\n\r\n"},
		{name: "no-space", stream: true, status: 200, body: "\n\ndata:[DONE]\n\n"},
		{name: "done-space", stream: true, status: 200, body: "data: [DONE] \n\n"},
		{name: "split", stream: true, status: 200, body: "日本語 🙂"},
		{name: "silence", stream: true, status: 200, body: "[DONE]", took: 30 * time.Second},
		{name: "late-end", stream: true, status: 200, body: "[DONE]", took: 500 * time.Millisecond},
		{name: "slow 3s", status: 200, took: 3 * time.Second},
		{name: "json-for-stream", stream: true, status: 200, body: `"object":"chat.completion"`, header: [2]string{"Content-Type", "application/json"}},
		{name: "html-for-stream", stream: true, status: 200, body: "<html>"},
		{name: "empty-200", status: 200, without: "{"},
		{name: "charset", stream: true, status: 200, header: [2]string{"Content-Type", "text/event-stream; charset=utf-8"}},
		{name: "gzip", status: 200, body: "\x1f\x8b", header: [2]string{"Content-Encoding", "gzip"}},
		{name: "gzip-bomb", status: 200, body: "\x1f\x8b", header: [2]string{"Content-Encoding", "gzip"}},
		{name: "huge-headers", status: 200, header: [2]string{"X-Azuresim-Padding", strings.Repeat("x", 256<<10)}},
		{name: "redirect", status: 307, header: [2]string{"Location", "https://redirected.example.com/"}},
	}
}

func TestEveryFaultHasARow(t *testing.T) {
	t.Parallel()
	var rows []string
	for _, tt := range faultRows() {
		name, _, _ := strings.Cut(tt.name, " ")
		rows = append(rows, name)
		if azuresim.Explain(name) == "" {
			t.Errorf("Explain(%q) is empty", name)
		}
	}
	slices.Sort(rows)
	if diff := cmp.Diff(azuresim.Faults(), rows); diff != "" {
		t.Errorf("Faults() (-have +rows):\n%s", diff)
	}
}

func TestFaultIsAskedForByTheMessage(t *testing.T) {
	t.Parallel()
	for _, tt := range faultRows() {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				checkFault(t, tt, "!"+tt.name, azuresim.New(azuresim.Config{}))
				if took := time.Since(begun); tt.took != 0 && took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
			})
		})
	}
}

func TestFaultIsAskedForByTheHeader(t *testing.T) {
	t.Parallel()
	for _, tt := range faultRows() {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				checkFault(t, tt, "hello", azuresim.New(azuresim.Config{}), "x-azuresim-fault", tt.name)
			})
		})
	}
}

func TestFaultIsScripted(t *testing.T) {
	t.Parallel()
	for _, tt := range faultRows() {
		if tt.name == "no-temperature" || tt.name == "no-stream-options" {
			continue // They look at the request, which a script comes before.
		}
		if tt.name == "gzip-bomb" {
			continue // Twice is enough of 16 MiB.
		}
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sim := azuresim.New(azuresim.Config{})
				sim.Script(azuresim.Step{Fault: tt.name})
				checkFault(t, tt, "hello", sim)
			})
		})
	}
}

// checkFault asks sim once and compares the answer with the row.
func checkFault(t *testing.T, tt faultRow, text string, sim *azuresim.Server, headers ...string) {
	t.Helper()
	more := tt.more
	if tt.stream {
		more += streamed
	}
	ctx, cancel := contextWithTimeout(t, time.Minute)
	defer cancel()
	r := post(ctx, serve(t, sim), classicPath, user(text, more), headers...)
	switch {
	case r.status != tt.status:
		t.Errorf("status is %d, want %d: %v %.300s", r.status, tt.status, r.err, r.body)
	case !strings.Contains(r.body, tt.body):
		t.Errorf("body has no %.200q: %.2000s", tt.body, r.body)
	case tt.without != "" && strings.Contains(r.body, tt.without):
		t.Errorf("body has %.200q: %.2000s", tt.without, r.body)
	case tt.header[0] != "" && r.header.Get(tt.header[0]) != tt.header[1]:
		t.Errorf("header %s is %.200q, want %.200q", tt.header[0], r.header.Get(tt.header[0]), tt.header[1])
	case tt.err == "" && r.err != nil:
		t.Errorf("error: %v", r.err)
	case tt.err != "" && (r.err == nil || !strings.Contains(r.err.Error(), tt.err)):
		t.Errorf("error is %v, want %q", r.err, tt.err)
	}
	synctest.Wait()
	for _, seen := range sim.Requests() {
		if gone := strings.Contains(tt.err, "deadline"); !seen.Done || seen.Cancelled != gone {
			t.Errorf("record has Done %t and Cancelled %t, want true and %t", seen.Done, seen.Cancelled, gone)
		}
	}
}
