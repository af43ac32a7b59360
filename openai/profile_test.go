package openai_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/openai"
)

// rewrite returns what a client of that profile is shown of a stream.
func rewrite(t testing.TB, p openai.Profile, src string) string {
	t.Helper()
	s := openai.NewStream(strings.NewReader(src))
	w := openai.NewRewriter(p)
	var out []byte
	for {
		e, err := s.Next()
		if err != nil {
			return string(out)
		}
		out = w.Append(out, e)
	}
}

// without returns chunk without its usage:null.
func without(chunk string) string { return strings.Replace(chunk, `,"usage":null`, "", 1) }

func TestRewriter(t *testing.T) {
	t.Parallel()
	const (
		filter      = `[{"prompt_index":0,"content_filter_results":{}}]`
		asyncFinish = `{"id":"","object":"","created":0,"model":"","choices":[{"index":0,"finish_reason":"content_filter","content_filter_results":{"hate":{"filtered":true}}}],"usage":null}`
		second      = `{"id":"chatcmpl-1","choices":[{"index":1,"delta":{"content":"b"}}]}`
		both        = `{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`
	)
	carried := `{"prompt_filter_results":` + filter + `,` + chunkRole[1:]
	filled := `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"gpt-4o-2024-08-06","choices":[{"delta":{},"index":0,"finish_reason":"content_filter","content_filter_results":{"hate":{"filtered":true}}}],"usage":null}`
	azureAll := sse(chunkPrompt, chunkRole, chunkContent, chunkFinish, chunkAsync, chunkUsage, "[DONE]")
	for _, tt := range []struct {
		name, src                                   string
		azure, azureHidden, openAI, openAIAndHidden string
	}{
		{
			"a whole stream", azureAll,
			azureAll,
			sse(without(chunkPrompt), without(chunkRole), without(chunkContent), without(chunkFinish), without(chunkAsync), "[DONE]"),
			sse(carried, chunkContent, chunkFinish, chunkUsage, "[DONE]"),
			sse(without(carried), without(chunkContent), without(chunkFinish), "[DONE]"),
		},
		{
			"a filtered one", sse(chunkRole, asyncFinish, "[DONE]"),
			sse(chunkRole, asyncFinish, "[DONE]"),
			sse(without(chunkRole), without(asyncFinish), "[DONE]"),
			sse(chunkRole, filled, "[DONE]"),
			sse(without(chunkRole), without(filled), "[DONE]"),
		},
		{
			"an empty id before any other", sse(`{"id":"","object":"","model":"","choices":[{"index":0,"delta":{"content":"a"}}]}`),
			sse(`{"id":"","object":"","model":"","choices":[{"index":0,"delta":{"content":"a"}}]}`),
			sse(`{"id":"","object":"","model":"","choices":[{"index":0,"delta":{"content":"a"}}]}`),
			sse(`{"id":"","object":"chat.completion.chunk","model":"","choices":[{"index":0,"delta":{"content":"a"}}]}`),
			sse(`{"id":"","object":"chat.completion.chunk","model":"","choices":[{"index":0,"delta":{"content":"a"}}]}`),
		},
		{
			"an empty id in a stream that gives no time or model", sse(`{"id":"x","choices":[{"delta":{}}]}`, `{"id":"","choices":[{"delta":{}}]}`),
			sse(`{"id":"x","choices":[{"delta":{}}]}`, `{"id":"","choices":[{"delta":{}}]}`),
			sse(`{"id":"x","choices":[{"delta":{}}]}`, `{"id":"","choices":[{"delta":{}}]}`),
			sse(`{"id":"x","choices":[{"delta":{}}]}`, `{"id":"x","choices":[{"delta":{}}]}`),
			sse(`{"id":"x","choices":[{"delta":{}}]}`, `{"id":"x","choices":[{"delta":{}}]}`),
		},
		{
			"an id with escapes", sse(`{"id":"a\u002fb","choices":[{"delta":{}}]}`, `{"id":"","choices":[{"delta":{}}]}`),
			sse(`{"id":"a\u002fb","choices":[{"delta":{}}]}`, `{"id":"","choices":[{"delta":{}}]}`),
			sse(`{"id":"a\u002fb","choices":[{"delta":{}}]}`, `{"id":"","choices":[{"delta":{}}]}`),
			sse(`{"id":"a\u002fb","choices":[{"delta":{}}]}`, `{"id":"a\u002fb","choices":[{"delta":{}}]}`),
			sse(`{"id":"a\u002fb","choices":[{"delta":{}}]}`, `{"id":"a\u002fb","choices":[{"delta":{}}]}`),
		},
		{
			"usage:null first, alone, and last", sse(`{"usage":null,"id":"a","choices":[{"delta":{}}]}`, `{ "id":"a" , "usage" : null , "choices":[{"delta":{}}]}`, `{"id":"a","choices":[{"delta":{}}],"usage":null}`),
			sse(`{"usage":null,"id":"a","choices":[{"delta":{}}]}`, `{ "id":"a" , "usage" : null , "choices":[{"delta":{}}]}`, `{"id":"a","choices":[{"delta":{}}],"usage":null}`),
			sse(`{"id":"a","choices":[{"delta":{}}]}`, `{ "id":"a" , "choices":[{"delta":{}}]}`, `{"id":"a","choices":[{"delta":{}}]}`),
			sse(`{"usage":null,"id":"a","choices":[{"delta":{}}]}`, `{ "id":"a" , "usage" : null , "choices":[{"delta":{}}]}`, `{"id":"a","choices":[{"delta":{}}],"usage":null}`),
			sse(`{"id":"a","choices":[{"delta":{}}]}`, `{ "id":"a" , "choices":[{"delta":{}}]}`, `{"id":"a","choices":[{"delta":{}}]}`),
		},
		{
			"usage:null in a choice stays", sse(`{"id":"a","choices":[{"delta":{"usage":null}}]}`),
			sse(`{"id":"a","choices":[{"delta":{"usage":null}}]}`),
			sse(`{"id":"a","choices":[{"delta":{"usage":null}}]}`),
			sse(`{"id":"a","choices":[{"delta":{"usage":null}}]}`),
			sse(`{"id":"a","choices":[{"delta":{"usage":null}}]}`),
		},
		{
			"usage beside a choice", sse(both),
			sse(both),
			sse(`{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"a"}}]}`),
			sse(both),
			sse(`{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"a"}}]}`),
		},
		{
			"error:null", sse(`{"error":null,"id":"a","choices":[{"delta":{}}],"usage":null}`, `{"id":"a","error":null,"usage":null,"choices":[{"delta":{"error":null}}]}`),
			sse(`{"id":"a","choices":[{"delta":{}}],"usage":null}`, `{"id":"a","usage":null,"choices":[{"delta":{"error":null}}]}`),
			sse(`{"id":"a","choices":[{"delta":{}}]}`, `{"id":"a","choices":[{"delta":{"error":null}}]}`),
			sse(`{"id":"a","choices":[{"delta":{}}],"usage":null}`, `{"id":"a","usage":null,"choices":[{"delta":{"error":null}}]}`),
			sse(`{"id":"a","choices":[{"delta":{}}]}`, `{"id":"a","choices":[{"delta":{"error":null}}]}`),
		},
		{
			"two choices", sse(chunkContent, second, chunkFinish, second, "[DONE]"),
			sse(chunkContent, second, chunkFinish, second, "[DONE]"),
			sse(without(chunkContent), second, without(chunkFinish), second, "[DONE]"),
			sse(chunkContent, second, chunkFinish, second, "[DONE]"),
			sse(without(chunkContent), second, without(chunkFinish), second, "[DONE]"),
		},
		{
			"a choice with a delta beside one without", sse(`{"id":"a","choices":[{"index":0,"delta":{"content":"x"}},{"index":1},{}]}`),
			sse(`{"id":"a","choices":[{"index":0,"delta":{"content":"x"}},{"index":1},{}]}`),
			sse(`{"id":"a","choices":[{"index":0,"delta":{"content":"x"}},{"index":1},{}]}`),
			sse(`{"id":"a","choices":[{"index":0,"delta":{"content":"x"}},{"delta":{},"index":1},{"delta":{}}]}`),
			sse(`{"id":"a","choices":[{"index":0,"delta":{"content":"x"}},{"delta":{},"index":1},{"delta":{}}]}`),
		},
		{
			"a delta that is null, with a reason", sse(`{"id":"a","choices":[{"delta":null,"finish_reason":"stop"}]}`, `{"id":"a","choices":[{"delta":null,"finish_reason":null}]}`),
			sse(`{"id":"a","choices":[{"delta":null,"finish_reason":"stop"}]}`, `{"id":"a","choices":[{"delta":null,"finish_reason":null}]}`),
			sse(`{"id":"a","choices":[{"delta":null,"finish_reason":"stop"}]}`, `{"id":"a","choices":[{"delta":null,"finish_reason":null}]}`),
			sse(`{"id":"a","choices":[{"delta":{},"finish_reason":"stop"}]}`),
			sse(`{"id":"a","choices":[{"delta":{},"finish_reason":"stop"}]}`),
		},
		{
			"choices that are none", sse(`{"id":"a","choices":[null,1,"x",{"delta":{"content":"y"}}]}`, `{"id":"a","choices":[null]}`),
			sse(`{"id":"a","choices":[null,1,"x",{"delta":{"content":"y"}}]}`, `{"id":"a","choices":[null]}`),
			sse(`{"id":"a","choices":[null,1,"x",{"delta":{"content":"y"}}]}`, `{"id":"a","choices":[null]}`),
			sse(`{"id":"a","choices":[null,1,"x",{"delta":{"content":"y"}}]}`),
			sse(`{"id":"a","choices":[null,1,"x",{"delta":{"content":"y"}}]}`),
		},
		{
			"prompt_filter_results wait for a choice", sse(chunkPrompt, chunkUsage, chunkAsync, second, second),
			sse(chunkPrompt, chunkUsage, chunkAsync, second, second),
			sse(without(chunkPrompt), without(chunkAsync), second, second),
			sse(chunkUsage, `{"prompt_filter_results":`+filter+`,`+second[1:], second),
			sse(`{"prompt_filter_results":`+filter+`,`+second[1:], second),
		},
		{
			"what is unknown keeps its bytes", sse(`{ "id":"a","choices" : [{"delta":{"content":"\u00e9\/é"},"n":1e400}], "obfuscation":"xYz","service_tier":null,"big":9223372036854775808 }`),
			sse(`{ "id":"a","choices" : [{"delta":{"content":"\u00e9\/é"},"n":1e400}], "obfuscation":"xYz","service_tier":null,"big":9223372036854775808 }`),
			sse(`{ "id":"a","choices" : [{"delta":{"content":"\u00e9\/é"},"n":1e400}], "obfuscation":"xYz","service_tier":null,"big":9223372036854775808 }`),
			sse(`{ "id":"a","choices" : [{"delta":{"content":"\u00e9\/é"},"n":1e400}], "obfuscation":"xYz","service_tier":null,"big":9223372036854775808 }`),
			sse(`{ "id":"a","choices" : [{"delta":{"content":"\u00e9\/é"},"n":1e400}], "obfuscation":"xYz","service_tier":null,"big":9223372036854775808 }`),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range []struct {
				p    openai.Profile
				want string
			}{
				{openai.Profile{}, tt.azure},
				{openai.Profile{HideUsage: true}, tt.azureHidden},
				{openai.Profile{OpenAI: true}, tt.openAI},
				{openai.Profile{OpenAI: true, HideUsage: true}, tt.openAIAndHidden},
			} {
				got := rewrite(t, c.p, tt.src)
				if diff := cmp.Diff(strings.Split(c.want, "\n"), strings.Split(got, "\n")); diff != "" {
					t.Errorf("%+v (-want +got):\n%s", c.p, diff)
				}
			}
		})
	}
}

// TestRewriterOfWhatIsNoChunk has the events that every profile shows alike.
func TestRewriterOfWhatIsNoChunk(t *testing.T) {
	t.Parallel()
	const complete = `{"error":{"message":"m","type":"server_error","param":null,"code":null}}`
	for _, tt := range []struct{ name, src, want string }{
		{"[DONE]", sse("[DONE]"), "data: [DONE]\n\n"},
		{"[DONE] with space", "data:  [DONE]\t \r\n\r\n", "data: [DONE]\n\n"},
		{"a comment", ": who knows\n: what\n\n", ": keep-alive\n\n"},
		{"id and retry lines", "id: 1\nretry: 5\n\n", ""},
		{"an error", sse(complete), sse(complete)},
		{"an error with extras", sse(`{"error":{"message":"m","type":null,"param":null,"code":"c","status":400},"id":"x"}`), sse(`{"error":{"message":"m","type":null,"param":null,"code":"c","status":400},"id":"x"}`)},
		{"an error that is not first", sse(`{"id":"x","error":{"message":"m","type":null,"param":null,"code":"c"}}`), sse(`{"error":{"message":"m","type":null,"param":null,"code":"c"}}`)},
		{"an error with space before it", sse(`{ "error" : {"message":"m","type":null,"param":null,"code":"c"} }`), sse(`{"error":{"message":"m","type":null,"param":null,"code":"c"}}`)},
		{"an error that lacks members", sse(`{"id":"x","error":{"message":"m"}}`), sse(`{"error":{"type":"server_error","param":null,"code":null,"message":"m"}}`)},
		{"an error that is empty", sse(`{"error":{}}`), sse(`{"error":{"message":"The upstream sent no message.","type":"server_error","param":null,"code":null}}`)},
		{"an error that is a string", sse(`{"error":"m"}`), sse(`{"error":{"message":"m","type":"server_error","param":null,"code":"internal_server_error"}}`)},
		{"an error by its event's name", "event: error\n" + sse(`{"message":"m","code":"c"}`), sse(`{"error":{"message":"m","type":"server_error","param":null,"code":"c"}}`)},
		{"an error by its event's name, null beside", "event: error\n" + sse(`{"error":null,"message":"m"}`), sse(`{"error":{"message":"m","type":"server_error","param":null,"code":"internal_server_error"}}`)},
		{"an error by its event's name, no object", "event: error\n" + sse(`"m"`), sse(`{"error":{"message":"The upstream answered 500 without a message.","type":"server_error","param":null,"code":"internal_server_error"}}`)},
		{"an error on many lines", "data: {\"error\":\ndata: {\"message\":\"m\",\"type\":null,\ndata: \"param\":null,\"code\":\"c\"}}\n\n", "data: {\"error\": {\"message\":\"m\",\"type\":null, \"param\":null,\"code\":\"c\"}}\n\n"},
		{"a chunk on many lines", "data: {\"id\":\"a\",\ndata: \"choices\":[{\"delta\":\ndata: {}}]}\n\n", "data: {\"id\":\"a\", \"choices\":[{\"delta\": {}}]}\n\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, p := range []openai.Profile{{}, {HideUsage: true}, {OpenAI: true}, {OpenAI: true, HideUsage: true}} {
				if diff := cmp.Diff(tt.want, rewrite(t, p, tt.src)); diff != "" {
					t.Errorf("%+v (-want +got):\n%s", p, diff)
				}
			}
		})
	}
}

func TestRewriterOfWhatHasNoChoices(t *testing.T) {
	t.Parallel()
	for _, data := range []string{`{}`, `[]`, `1`, `{"choices":null}`, `{"choices":{}}`, `{"choices":[],"usage":null}`} {
		if got := rewrite(t, openai.Profile{}, sse(data)); got != sse(data) {
			t.Errorf("a client of Azure is shown %q of %s", got, data)
		}
		if got := rewrite(t, openai.Profile{OpenAI: true}, sse(data)); got != "" {
			t.Errorf("a client of OpenAI is shown %q of %s", got, data)
		}
	}
	if got := rewrite(t, openai.Profile{HideUsage: true}, sse(`{"usage":null}`)); got != sse("{}") {
		t.Errorf("of usage:null alone, %q is shown", got)
	}
}

// TestRewriterShowsEveryProfileAStream makes sure, for streams of every order of
// chunks, of what no profile may ever send: conformance cases 30, 32 and 50.
func TestRewriterShowsEveryProfileAStream(t *testing.T) {
	t.Parallel()
	chunks := []string{
		chunkPrompt, chunkRole, chunkContent, chunkAsync, chunkFinish, chunkUsage,
		`{"error":null,"id":"","choices":[{"index":0,"finish_reason":"length"}],"usage":{"prompt_tokens":1}}`,
	}
	for a := range chunks {
		for b := range chunks {
			for c := range chunks {
				src := sse(chunks[a], chunks[b], chunks[c], "[DONE]")
				for _, p := range []openai.Profile{{}, {HideUsage: true}, {OpenAI: true}, {OpenAI: true, HideUsage: true}} {
					if fault := faults(p, rewrite(t, p, src)); fault != "" {
						t.Fatalf("%+v of %s: %s", p, src, fault)
					}
				}
			}
		}
	}
}

// faults returns what is wrong with a stream that a client of that profile is shown.
func faults(p openai.Profile, out string) string {
	if out == "" {
		return ""
	}
	for block := range strings.SplitSeq(strings.TrimSuffix(out, "\n\n"), "\n\n") {
		if block == ": keep-alive" {
			continue
		}
		data, ok := strings.CutPrefix(block, "data: ")
		if !ok || strings.Contains(data, "\n") {
			return fmt.Sprintf("the event %q", block)
		}
		if data == "[DONE]" {
			continue
		}
		v, err := openai.ReadValue([]byte(data))
		if err != nil {
			return fmt.Sprintf("%s: %v", data, err)
		}
		if v.Get("error").Kind() == openai.Null {
			return "error is null in " + data
		}
		if p.HideUsage && v.Get("error").Kind() != openai.Object && v.Get("usage").Kind() != openai.Missing {
			return "there is usage in " + data
		}
		if !p.OpenAI || v.Get("error").Kind() == openai.Object {
			continue
		}
		if v.Get("choices").Len() == 0 && v.Get("usage").Kind() != openai.Object {
			return "there is no choice in " + data
		}
		for _, c := range v.Get("choices").Elements() {
			if c.Kind() == openai.Object && c.Get("delta").Kind() != openai.Object {
				return "there is no delta in " + data
			}
		}
	}
	return ""
}
