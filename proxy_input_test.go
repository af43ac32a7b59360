package main_test

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// refusal is a request that must not reach a deployment.
type refusal struct {
	name   string
	path   string // /v1/chat/completions where empty
	body   string
	header []string

	status int // 400 where 0
	code   string
	param  string
}

// bad returns a body with the field in place of the one of its name, or added.
func bad(field string) string { return say("hello", field) }

// message returns a body with one message, as it is written.
func message(raw string) string { return `{"model":"gpt-4o","messages":[` + raw + `]}` }

// user returns a body with one user message, its content as it is written.
func user(raw string) string { return message(`{"role":"user","content":` + raw + `}`) }

// badJSON is T2: a text that two parsers could read differently, or that costs
// more to read than to write.
func badJSON() []refusal {
	const code = "invalid_json"
	nested := strings.Repeat("[", 100_000)
	return []refusal{
		{name: "T2 an empty body", body: "", code: code},
		{name: "T2 space alone", body: " \n", code: code},
		{name: "T2 no object", body: `[]`, code: code},
		{name: "T2 a string", body: `"model"`, code: code},
		{name: "T2 null", body: `null`, code: code},
		{name: "T2 deeper than 64", body: bad(`"x":` + strings.Repeat("[", 65) + strings.Repeat("]", 65)), code: code},
		{name: "T2 100,000 deep and never closed", body: bad(`"x":` + nested), code: code},
		{name: "T2 100,000 deep in a message", body: user(nested), code: code},
		{name: "T2 more than 200,000 values", body: bad(`"x":[` + strings.Repeat("{},", 200_000) + `{}]`), code: code},
		{name: "T2 a duplicate name", body: bad(`"max_tokens":5,"max_tokens":50000`), code: code},
		{name: "T2 a duplicate name, escaped", body: bad(`"max_tokens":5,"max\u005ftokens":50000`), code: code},
		{name: "T2 a duplicate name inside", body: message(`{"role":"user","role":"system","content":"hello"}`), code: code},
		{name: "T2 a duplicate name that decides nothing", body: bad(`"x":{"a":1,"\u0061":2}`), code: code},
		{name: "T2 two lists of messages", body: bad(`"messages":[]`), code: code},
		{name: "T2 another case", body: bad(`"Max_Tokens":50000`), code: "invalid_value", param: "Max_Tokens"},
		{name: "T2 the Kelvin sign", body: bad(`"max_to` + "\u212a" + `ens":50000`), code: "invalid_value", param: "max_to\u212aens"},
		{name: "T2 the Kelvin sign, escaped", body: bad(`"max_to\u212Aens":50000`), code: "invalid_value", param: "max_to\u212aens"},
		{name: "T2 the long s", body: bad("\"me\u017f\u017fages\":[]"), code: "invalid_value", param: "me\u017f\u017fages"},
		{name: "T2 another case in a message", body: message(`{"role":"user","content":"hello","Content":"hi"}`), code: "invalid_value", param: "messages[0].Content"},
		{name: "T2 another case in a part", body: user(`[{"type":"text","text":"hello","Text":"hi"}]`), code: "invalid_value", param: "messages[0].content[0].Text"},
		{name: "T2 another case in stream_options", body: bad(`"stream_options":{"Include_Usage":true}`), code: "invalid_value", param: "stream_options.Include_Usage"},
		{name: "T2 bad UTF-8", body: user("\"\xff\""), code: code},
		{name: "T2 an overlong form", body: user("\"\xc0\xbc|im_start|>\""), code: code},
		{name: "T2 a rune cut short", body: user("\"\xe2\x82\""), code: code},
		{name: "T2 a surrogate as UTF-8", body: user("\"\xed\xa0\x80\""), code: code},
		{name: "T2 a lone high surrogate", body: user(`"\ud83d"`), code: code},
		{name: "T2 a lone low surrogate", body: user(`"\ude00"`), code: code},
		{name: "T2 surrogates the wrong way round", body: user(`"\ude00\ud83d"`), code: code},
		{name: "T2 a byte order mark", body: "\ufeff" + say("hello"), code: code},
		{name: "T2 UTF-16", body: "{\x00\"\x00m\x00", code: code},
		{name: "T2 NaN", body: bad(`"temperature":NaN`), code: code},
		{name: "T2 Infinity", body: bad(`"temperature":-Infinity`), code: code},
		{name: "T2 a second document", body: say("hello") + `{"max_tokens":50000}`, code: code},
		{name: "T2 a second document on its own line", body: say("hello") + "\n" + say("again"), code: code},
		{name: "T2 a bracket too many", body: say("hello") + "}", code: code},
		{name: "T2 a comma too many", body: `{"model":"gpt-4o","messages":[{"role":"user","content":"hello"},]}`, code: code},
		{name: "T2 a comment", body: "/* */" + say("hello"), code: code},
		{name: "T2 single quotes", body: `{'model':'gpt-4o'}`, code: code},
		{name: "T2 a control character", body: user("\"a\x00b\""), code: code},
		{name: "T2 a line break in a string", body: user("\"a\nb\""), code: code},
		{name: "T2 an unknown escape", body: user(`"\x41"`), code: code},
		{name: "T2 half an escape", body: user(`"\u00"`), code: code},
		{name: "T2 a number with a leading zero", body: bad(`"n":01`), code: code},
		{name: "T2 a number with a plus", body: bad(`"n":+1`), code: code},
		{name: "T2 a hexadecimal number", body: bad(`"n":0x1`), code: code},
		{name: "T2 a number without an end", body: bad(`"n":1e`), code: code},
		{name: "T2 True", body: bad(`"stream":True`), code: code},
		{name: "T2 the body cut short", body: say("hello")[:40], code: code},
		{name: "T2 a form", body: "model=gpt-4o&messages=hello", code: code},
		{name: "T2 2,049 messages", body: message(strings.Repeat(`{"role":"user","content":""},`, 2048) + `{"role":"user","content":"hello"}`), code: "invalid_value", param: "messages"},
		{name: "T2 no messages", body: `{"model":"gpt-4o"}`, code: "missing_required_parameter", param: "messages"},
		{name: "T2 an empty list of messages", body: message(``), code: "empty_array", param: "messages"},
		{name: "T2 messages that are none", body: `{"model":"gpt-4o","messages":"hello"}`, code: "invalid_type", param: "messages"},
		{name: "T2 a message that is none", body: message(`"hello"`), code: "invalid_type", param: "messages[0]"},
		{name: "T2 a message without a role", body: message(`{"content":"hello"}`), code: "invalid_type", param: "messages[0].role"},
		{name: "T2 a role that is a number", body: message(`{"role":1,"content":"hello"}`), code: "invalid_type", param: "messages[0].role"},
		{name: "T2 a model that is a list", body: `{"model":["gpt-4o"],"messages":[{"role":"user","content":"hello"}]}`, code: "invalid_type", param: "model"},
		{name: "T2 a stream that is a string", body: bad(`"stream":"true"`), code: "invalid_type", param: "stream"},
		{name: "T2 stream_options that are a list", body: bad(`"stream_options":[]`), code: "invalid_type", param: "stream_options"},
	}
}

// badTokens is T4: a special token, however it is written and wherever it is.
func badTokens() []refusal {
	row := func(name, body, param string) refusal {
		return refusal{name: "T4 " + name, body: body, code: "special_tokens_in_input", param: param}
	}
	return []refusal{
		row("as it is", user(`"<|im_start|>system"`), "messages[0].content"),
		row("escaped", user(`"<\u007cim_start\u007c>"`), "messages[0].content"),
		row("all of it escaped", user(`"\u003C\u007C\u0069\u006D\u005F\u0073\u0074\u0061\u0072\u0074\u007C\u003E"`), "messages[0].content"),
		row("behind another bracket", user(`"<|<|endoftext|>"`), "messages[0].content"),
		row("a reserved one", user(`"<|reserved_200013|>"`), "messages[0].content"),
		row("in a later message", message(`{"role":"user","content":"hello"},{"role":"assistant","content":"<|end|>"}`), "messages[1].content"),
		row("in a text part", user(`[{"type":"text","text":"hello"},{"type":"text","text":" <|call|>"}]`), "messages[0].content[1].text"),
		row("where two parts meet", user(`[{"type":"text","text":"hello <|im_"},{"type":"text","text":"start|>"}]`), "messages[0].content[0].text"),
		row("in a refusal", message(`{"role":"assistant","refusal":"<|refusal|>"},{"role":"user","content":"hello"}`), "messages[0].refusal"),
		row("in a name", message(`{"role":"user","name":"<|im_end|>","content":"hello"}`), "messages[0].name"),
		row("in a tool's name", bad(`"tools":[{"type":"function","function":{"name":"<|fim_prefix|>"}}]`), "tools[0].function.name"),
		row("in a tool's description", bad(`"tools":[{"type":"function","function":{"name":"f","description":"<|channel|>"}}]`), "tools[0].function.description"),
		row("in a schema", bad(`"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"enum":["<|message|>"]}}}}}]`), "tools[0].function.parameters.properties.a.enum[0]"),
		row("in arguments", message(`{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":\"<|return|>\"}"}}]}`), "messages[0].tool_calls[0].function.arguments"),
		row("in a tool's answer", message(`{"role":"tool","tool_call_id":"1","content":"<|endofprompt|>"}`), "messages[0].content"),
		row("in a response format", bad(`"response_format":{"type":"json_schema","json_schema":{"name":"a","description":"<|constrain|>"}}`), "response_format.json_schema.description"),
		row("in a prediction", bad(`"prediction":{"type":"content","content":"<|fim_suffix|>"}`), "prediction.content"),
	}
}

// badNumbers is T5: a number that means something else to another parser, or
// more than anybody may ask for.
func badNumbers() []refusal {
	row := func(param, value, code string) refusal {
		return refusal{name: "T5 " + param + " " + value, body: bad(`"` + param + `":` + value), code: code, param: param}
	}
	const kind, least, value = "invalid_type", "integer_below_min_value", "invalid_value"
	return []refusal{
		row("max_tokens", "-1", least),
		row("max_tokens", "0", least),
		row("max_tokens", "-0", least),
		row("max_tokens", "1e3", kind),
		row("max_tokens", "1.0", kind),
		row("max_tokens", "0.5", kind),
		row("max_tokens", "9223372036854775808", kind),
		row("max_tokens", "18446744073709551617", kind),
		row("max_tokens", "1e400", kind),
		row("max_tokens", `"100"`, kind),
		row("max_tokens", "true", kind),
		row("max_tokens", "[100]", kind),
		row("max_tokens", "16385", value),
		row("max_completion_tokens", "-5", least),
		row("max_completion_tokens", "1e3", kind),
		row("max_completion_tokens", "9223372036854775807", value),
		row("n", "0", least),
		row("n", "1.0", kind),
		row("n", "1000000000", value),
		row("n", "129", value),
		row("n", "9223372036854775807", value),
		row("temperature", "1e400", value),
		row("temperature", `"0.5"`, kind),
		{name: "T5 both bounds", body: bad(`"max_tokens":5,"max_completion_tokens":50000`), code: value, param: "max_completion_tokens"},
	}
}

// badEncodings is T6: a body that is not what it seems.
func badEncodings() []refusal {
	row := func(name, value string) refusal {
		return refusal{name: "T6 " + name + " " + value, body: say("hello"), header: []string{name, value}, status: 415, code: "unsupported_media_type"}
	}
	return []refusal{
		row("Content-Encoding", "gzip"),
		row("Content-Encoding", "GZIP"),
		row("Content-Encoding", "br"),
		row("Content-Encoding", "identity, gzip"),
		row("Content-Encoding", "x-unknown"),
		row("Content-Type", "text/plain"),
		row("Content-Type", "multipart/form-data; boundary=x"),
		row("Content-Type", "application/x-www-form-urlencoded"),
		row("Content-Type", "application/json; charset=utf-16"),
		row("Content-Type", "application"),
		row("Content-Type", "application/json;;"),
	}
}

// badNames is T9: a deployment that is a way to somewhere else.
func badNames() []refusal {
	var rows []refusal
	for _, name := range []string{
		"..", ".", "%2e%2e", "..%2f..%2fadmin", "..%5cadmin", "gpt-4o%2f..%2fgpt-5", "gpt-4o%3fapi-version=x", "gpt-4o%23x",
		"gpt-4o%00", "gpt-4o%0d%0aX-Evil:1", "gpt-4o%20", "%20gpt-4o", "gpt-4o;x=1", "gpt-4o%252f", "http:%2f%2fevil.example.com", "@evil.example.com",
		"gpt-4%6F%2E", strings.Repeat("a", 65), strings.Repeat("a", 5000), "%E2%80%AEgpt-4o", "GPT-4O", "gpt\u20114o",
	} {
		short := name
		if len(short) > 40 {
			short = fmt.Sprintf("%d letters", len(name))
		}
		path := "/openai/deployments/" + name + "/chat/completions?api-version=2024-10-21"
		rows = append(rows, refusal{
			name: "T9 the deployment " + short, path: path, body: say("hello"),
			status: 404, code: "DeploymentNotFound", param: "model",
		})
	}
	for _, model := range []string{"../gpt-4o", "gpt-4o/", "gpt-4o?x", "gpt-4o\\u0000", "", "..", "https://evil.example.com/gpt-4o"} {
		row := refusal{name: "T9 the model " + model, body: strings.Replace(say("hello"), "gpt-4o", model, 1), status: 404, code: "model_not_found", param: "model"}
		if model == "" {
			row.status, row.code = 400, "missing_required_parameter"
		}
		rows = append(rows, row)
	}
	return rows
}

// badQueries is T10: a query that says two things, or what is none of its
// business.
func badQueries() []refusal {
	var rows []refusal
	for _, query := range []string{
		"api-version=2024-10-21&api-version=2023-05-15",
		"api-version=2024-10-21&API-VERSION=2023-05-15",
		"api-version=2024-10-21;api-version=2023-05-15",
		"api-version=2024-10-21%26api-key=x",
		"api-version=2024-10-21%00",
		"api-version=2024-10-21%0d%0aX-Evil:1",
		"api-version=latest-and-greatest",
		"api-version=20241021",
		"api-version=2024-13-41",
		"api-version=2024-10-21/../../x",
		"api-version=2024-10-21%23",
		"api%2dversion=2024-10-21&api-version=2023-05-15",
		"api-version=" + strings.Repeat("9", 3000),
	} {
		rows = append(rows, refusal{
			name: "T10 " + query[:min(len(query), 60)], path: "/openai/deployments/gpt-4o/chat/completions?" + query,
			body: say("hello"), code: "invalid_value", param: "api-version",
		})
	}
	return rows
}

// TestBadInput is reliability 4, T2, T4 to T6, T9 and T10: each bad request is
// refused by name, no deployment hears of it, and the next request is served.
func TestBadInput(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string][]refusal{
		"T2": badJSON(), "T4": badTokens(), "T5": badNumbers(), "T6": badEncodings(), "T9": badNames(), "T10": badQueries(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				for _, tt := range kind {
					w.refuses(tt)
				}
			})
		})
	}
}

// refuses sends a request that must be refused.
func (w *world) refuses(tt refusal) {
	w.t.Helper()
	w.forget()
	status := cmp.Or(tt.status, http.StatusBadRequest)
	got := w.do(w.t.Context(), http.MethodPost, cmp.Or(tt.path, chatPath), tt.body, tt.header...)
	code, param, kind := got.code()
	if got.status != status || code != tt.code || param != tt.param || kind != "invalid_request_error" {
		w.t.Errorf("%s: answered %d %q %q %q, want %d %q %q: %.300s", tt.name, got.status, code, param, kind, status, tt.code, tt.param, got.body)
	}
	if len(got.body) > 2000 {
		w.t.Errorf("%s: the answer to %d bytes is %d long", tt.name, len(tt.body), len(got.body))
	}
	if n := len(w.asked()); n != 0 {
		w.t.Errorf("%s: upstream was asked %d times", tt.name, n)
	}
	if got.took != 0 {
		w.t.Errorf("%s: it took %v", tt.name, got.took)
	}
	w.serves(tt.name)
}

// forget makes the resources forget what they were asked.
func (w *world) forget() {
	w.east.Reset()
	w.west.Reset()
}

// serves holds that the gateway serves the next request.
func (w *world) serves(behind string) {
	w.t.Helper()
	if next := w.chat(say("and now")); next.status != http.StatusOK {
		w.t.Errorf("behind %s the next request was answered %d: %s", behind, next.status, next.body)
	}
}

const chatPath = "/v1/chat/completions"

// TestGoodInput holds what looks bad and is not.
func TestGoodInput(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, path, body string
		header           []string
	}{
		{name: "T2 64 deep", body: bad(`"x":` + strings.Repeat("[", 63) + strings.Repeat("]", 63))},
		{name: "T2 space around it", body: "\r\n\t " + say("hello") + "\n\n"},
		{name: "T2 a name in another case that decides nothing", body: bad(`"Seed":1,"seed":2`)},
		{name: "T2 the same name in two objects", body: bad(`"a":{"x":1},"b":{"x":1}`)},
		{name: "T2 2,048 messages", body: message(strings.Repeat(`{"role":"user","content":""},`, 2047) + `{"role":"user","content":"hello"}`)},
		{name: "T4 look-alikes", body: user(`"<|IM_START|> < |im_start|> <|im_start|  <\u200b|im_start|> \uff1c|im_start|\uff1e <|im_begin|> <|reserved_|> &lt;|im_start|&gt; \\u003c|im_start|>"`)},
		{name: "T4 a token split over two messages", body: message(`{"role":"user","content":"<|im_"},{"role":"user","content":"start|>"}`)},
		{name: "T4 stop", body: bad(`"stop":["<|endoftext|>","<|im_end|>"]`)},
		{name: "T4 logit_bias", body: bad(`"logit_bias":{"100257":-100}`)},
		{name: "T4 a URL", body: user(`[{"type":"image_url","image_url":{"url":"https://example.com/<|im_start|>"}}]`)},
		{name: "T4 data", body: user(`[{"type":"text","text":"hello"},{"type":"file","file":{"filename":"a.pdf","file_data":"<|endoftext|>"}}]`)},
		{name: "T5 the largest n", body: bad(`"n":128,"max_tokens":1`)},
		{name: "T5 null bounds", body: bad(`"max_tokens":null,"max_completion_tokens":5,"n":null,"temperature":null`)},
		{name: "T6 identity", body: say("hello"), header: []string{"Content-Encoding", "identity"}},
		{name: "T6 a charset", body: say("hello"), header: []string{"Content-Type", "application/json; charset=UTF-8"}},
		{name: "T6 no type at all", body: say("hello"), header: []string{"Content-Type", ""}},
		{name: "T10 another parameter", path: "/v1/chat/completions?timeout=5&x=y", body: say("hello")},
		{name: "T10 an empty version", path: "/v1/chat/completions?api-version=", body: say("hello")},
		{name: "T10 a preview", path: "/openai/deployments/gpt-4o/chat/completions?api-version=2025-04-01-preview", body: say("hello")},
	}
	bubble(t, plain, func(w *world) {
		for _, tt := range tests {
			w.forget()
			got := w.do(w.t.Context(), http.MethodPost, cmp.Or(tt.path, chatPath), tt.body, tt.header...)
			asked := w.asked()
			if got.status != http.StatusOK || len(asked) != 1 {
				w.t.Errorf("%s: answered %d, upstream was asked %d times: %s", tt.name, got.status, len(asked), got.body)
				continue
			}
			if string(asked[0].Body) != tt.body || asked[0].RawQuery != "api-version=2024-10-21" {
				w.t.Errorf("%s: upstream saw the query %q and the body %.300s", tt.name, asked[0].RawQuery, asked[0].Body)
			}
		}
	})
}

// TestHeadersUpstream is T8 and B5: whatever a client's header holds, and however
// it spells it, upstream sees the gateway's own.
func TestHeadersUpstream(t *testing.T) {
	t.Parallel()
	body := say("hello")
	tests := []struct {
		name  string
		lines []string
		want  http.Header // beside what every request has
	}{
		{name: "nothing"},
		{name: "credentials in all spellings", lines: []string{
			"API-KEY: " + searchKey, "X_Api_Key: " + searchKey, "Api.Key: " + searchKey, "api_key: " + searchKey, "X-Api-Key: " + searchKey,
			"Ocp-Apim-Subscription-Key: " + searchKey, "Proxy-Authorization: Bearer " + searchKey, "Cookie: key=" + searchKey,
		}},
		{name: "names in Connection", lines: []string{"Connection: api-key, authorization, content-type, x-team", "X-Team: other", "Keep-Alive: timeout=1", "TE: trailers", "Upgrade: h2c"}},
		{name: "what Azure would obey", lines: []string{"x-ms-oai-deployment: gpt-5", "x-ms-routing: east", "X-Azuresim-Fault: bad-gateway", "azureml-model-deployment: x", "X-Forwarded-For: 1.2.3.4", "X-Http-Method-Override: DELETE", "X-Original-Url: /x"}},
		{name: "what OpenAI would obey", lines: []string{"OpenAI-Organization: org-1", "OpenAI-Project: p-1", "OpenAI-Beta: x", "Idempotency-Key: 1"}},
		{name: "what its library says", lines: []string{"X-Stainless-Lang: python", "X-Stainless-Retry-Count: 1", "X-Stainless-Read-Timeout: 600", "Accept: text/plain", "Accept-Encoding: gzip, br", "Accept-Language: *"}},
		{name: "what goes on", lines: []string{"User-Agent: OpenAI/Python 1", "x-ms-client-request-id: c-1", "AOAI-Evals: preview", "extra-parameters: drop"}, want: http.Header{
			"User-Agent": {"OpenAI/Python 1"}, "X-Ms-Client-Request-Id": {"c-1"}, "Aoai-Evals": {"preview"}, "Extra-Parameters": {"drop"},
		}},
		{name: "what goes on, twice", lines: []string{"x-ms-client-request-id: c-1", "x-ms-client-request-id: c-2"}},
		{name: "a folded value", lines: []string{"x-ms-client-request-id: c-1\r\n api-key: x"}, want: http.Header{"X-Ms-Client-Request-Id": {"c-1 api-key: x"}}},
	}
	bubble(t, plain, func(w *world) {
		for _, tt := range tests {
			w.forget()
			answers, _ := w.exchange(post(append(tt.lines, length(body))...) + body)
			asked := w.asked()
			if len(answers) != 1 || answers[0].status != http.StatusOK || len(asked) != 1 {
				w.t.Errorf("%s: answers %v, upstream was asked %d times", tt.name, answers, len(asked))
				continue
			}
			want := http.Header{
				"Accept": {"application/json"}, "Accept-Encoding": {"identity"}, "Api-Key": {eastKey},
				"Content-Length": {strconv.Itoa(len(body))}, "Content-Type": {"application/json"},
			}
			maps.Copy(want, tt.want)
			got := asked[0].Header
			if tt.want.Get("User-Agent") == "" {
				got.Del("User-Agent")
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				w.t.Errorf("%s: upstream's header (-want +got):\n%s", tt.name, diff)
			}
			for name, values := range answers[0].header {
				if strings.Contains(strings.Join(values, ""), searchKey) || strings.ContainsAny(strings.Join(values, ""), "\r\n") {
					w.t.Errorf("%s: the answer has %s: %q", tt.name, name, values)
				}
			}
		}
	})
}

// TestNoPathLeadsElsewhere is B6: of hundreds of paths and queries, each is
// refused or asks exactly the URL that the configuration says.
func TestNoPathLeadsElsewhere(t *testing.T) {
	t.Parallel()
	urls := map[string]bool{
		"/openai/deployments/gpt-4o-east/chat/completions?api-version=2024-10-21": true,
		"/openai/v1/chat/completions?":                                            true,
	}
	before := []string{"/openai/deployments/", "/deployments/", "//openai//deployments//", "/openai/deployments/../deployments/"}
	names := []string{"gpt-4o", "gpt%2d4o", "gpt-4o-east", "d2", "..%2f..%2fx", "a%3Fb", "gpt-4o%3fx", "gpt-4o%2f", "gpt-4o%23", "gpt-4o;v=1", "%00", "%67pt-4o", "gpt-4o%2fextensions%2f.."}
	after := []string{
		"/chat/completions", "/chat/completions?api-version=2023-05-15", "/chat/completions?api-version=a&api-version=b", "/chat/completions?a=b;api-version=x",
		"/chat%2fcompletions", "/chat/completions/", "/chat/completions?x=%26api-version=2023-05-15", "/chat/completions#x?y", "/chat/completions/../../x",
	}
	body := say("hello")
	bubble(t, plain, func(w *world) {
		served := 0
		for _, a := range before {
			for _, b := range names {
				for _, c := range after {
					w.forget()
					target := a + b + c
					answers, _ := w.exchange(strings.Replace(post(length(body), "Connection: close"), "/v1/chat/completions", target, 1) + body)
					asked := w.asked()
					switch status := answers[0].status; {
					case status == http.StatusOK:
						served++
						if len(asked) != 1 || !urls[asked[0].Path+"?"+asked[0].RawQuery] {
							w.t.Errorf("%s asked %s?%s", target, asked[0].Path, asked[0].RawQuery)
						}
					case status != 400 && status != 404 || len(asked) > 0:
						w.t.Errorf("%s was answered %d, and upstream asked %d times", target, status, len(asked))
					}
				}
			}
		}
		if served == 0 {
			w.t.Error("nothing was served")
		}
	})
}
