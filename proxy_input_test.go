package main_test

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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

// connect returns a connection to the gateway that lasts as long as the test.
func (w *world) connect() net.Conn {
	w.t.Helper()
	conn, err := w.api.dial()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = conn.Close()
		time.Sleep(time.Second) // net/http gives the other side half of one
	})
	return conn
}

// exchange writes bytes to the gateway and returns every answer that comes, and
// how long the connection stayed open behind the last.
func (w *world) exchange(text string) (answers []reply, open time.Duration) {
	w.t.Helper()
	conn := w.connect()
	go func() { _, _ = io.WriteString(conn, text) }() // it ends when the connection does
	_ = conn.SetReadDeadline(time.Now().Add(time.Hour))
	start := time.Now()
	last := start
	for r := bufio.NewReader(conn); ; last = time.Now() {
		if _, err := r.Peek(1); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				w.t.Error("the connection was never closed")
			}
			return answers, time.Since(last)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			w.t.Fatalf("answer %d: %v", len(answers)+1, err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			w.t.Fatalf("answer %d: %v", len(answers)+1, err)
		}
		answers = append(answers, reply{status: resp.StatusCode, header: resp.Header, body: string(b), took: time.Since(start)})
	}
}

func statuses(answers []reply) []int {
	var all []int
	for _, a := range answers {
		all = append(all, a.status)
	}
	return all
}

// post writes a request head: the lines given, and a credential.
func post(lines ...string) string {
	return "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer " + searchKey + "\r\n" +
		strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// length is the header of a body's length.
func length(body string) string { return "Content-Length: " + strconv.Itoa(len(body)) }

// chunked writes a body in one chunk.
func chunked(body string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body) }

// TestFraming is T7: no request on the wire is one to the gateway and another, or
// two, to somebody before it. A second request is hidden in each that could hide
// one; it asks for a model of its own.
func TestFraming(t *testing.T) {
	t.Parallel()
	hello := say("hello")
	hidden := strings.Replace(hello, "gpt-4o", "gpt-35-turbo", 1)
	second := post(length(hidden)) + hidden
	tests := []struct {
		name   string
		raw    string
		want   []int // the answers
		open   bool  // the connection stays open behind them
		models int   // requests that reach a deployment
	}{
		{name: "two requests", raw: post(length(hello)) + hello + second, want: []int{200, 200}, open: true, models: 2},
		{name: "Content-Length and chunked", raw: post(length(hello), "Transfer-Encoding: chunked") + chunked(hello) + second, want: []int{200}, models: 1},
		{name: "chunked and Content-Length", raw: post("Transfer-Encoding: chunked", "Content-Length: 4") + chunked(hello) + second, want: []int{200}, models: 1},
		{name: "chunked", raw: post("Transfer-Encoding: chunked") + chunked(hello) + second, want: []int{200}, models: 1},
		{name: "chunked in capitals", raw: post("Transfer-Encoding: CHUNKED") + chunked(hello) + second, want: []int{200}, models: 1},
		{name: "two lengths", raw: post(length(hello), "Content-Length: 1") + hello + second, want: []int{400}},
		{name: "two equal lengths", raw: post(length(hello), length(hello)) + hello + second, want: []int{200, 200}, open: true, models: 2},
		{name: "a list of lengths", raw: post("Content-Length: 5, 5") + hello + second, want: []int{400}},
		{name: "a length with a plus", raw: post("Content-Length: +5") + hello + second, want: []int{400}},
		{name: "a negative length", raw: post("Content-Length: -1") + hello + second, want: []int{400}},
		{name: "a hexadecimal length", raw: post("Content-Length: 0x5") + hello + second, want: []int{400}},
		{name: "a length beyond 63 bits", raw: post("Content-Length: 18446744073709551621") + hello + second, want: []int{400}},
		{name: "an empty length", raw: post("Content-Length: ") + hello + second, want: []int{400}},
		{name: "xchunked", raw: post("Transfer-Encoding: xchunked") + chunked(hello) + second, want: []int{501}},
		{name: "chunked, identity", raw: post("Transfer-Encoding: chunked, identity") + chunked(hello) + second, want: []int{501}},
		{name: "identity", raw: post("Transfer-Encoding: identity", length(hello)) + hello + second, want: []int{501}},
		{name: "gzip, chunked", raw: post("Transfer-Encoding: gzip, chunked") + chunked(hello) + second, want: []int{501}},
		{name: "chunked twice", raw: post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + chunked(hello) + second, want: []int{501}},
		{name: "a vertical tab before chunked", raw: post("Transfer-Encoding: \x0bchunked") + chunked(hello) + second, want: []int{400}},
		{name: "space before the colon", raw: post("Content-Length : 5") + hello + second, want: []int{400}},
		{name: "space before the colon of chunked", raw: post("Transfer-Encoding : chunked") + chunked(hello) + second, want: []int{400}},
		{name: "space before the name", raw: strings.Replace(post(length(hello)), "Host:", " Host:", 1) + hello + second, want: []int{400}},
		{name: "NUL in a name", raw: post("Content\x00-Length: 5") + hello + second, want: []int{400}},
		{name: "NUL in a value", raw: post("X-Any: a\x00b", length(hello)) + hello + second, want: []int{400}},
		{name: "CR in a value", raw: post("X-Any: a\rb", length(hello)) + hello + second, want: []int{400}},
		{name: "an empty name", raw: post(": a", length(hello)) + hello + second, want: []int{400}},
		{name: "a line without a colon", raw: post("any", length(hello)) + hello + second, want: []int{400}},
		{name: "a folded value", raw: post("X-Any: a\r\n b", length(hello)) + hello + second, want: []int{200, 200}, open: true, models: 2},
		{name: "a folded length", raw: post("Content-Length:\r\n "+strconv.Itoa(len(hello))) + hello + second, want: []int{200, 200}, open: true, models: 2},
		{name: "a folded chunked", raw: post("Transfer-Encoding:\r\n chunked") + chunked(hello) + second, want: []int{200}, models: 1},
		{name: "bare line feeds", raw: strings.ReplaceAll(post(length(hello)), "\r\n", "\n") + hello + second, want: []int{200, 200}, open: true, models: 2},
		{name: "no host", raw: strings.Replace(post(length(hello)), "Host: gateway\r\n", "", 1) + hello, want: []int{400}},
		{name: "two hosts", raw: post("Host: other", length(hello)) + hello, want: []int{400}},
		{name: "a chunk size with a sign", raw: post("Transfer-Encoding: chunked") + "+5\r\nhello\r\n0\r\n\r\n" + second, want: []int{400}},
		{name: "a chunk size beyond 64 bits", raw: post("Transfer-Encoding: chunked") + "fffffffffffffffff\r\nhello\r\n0\r\n\r\n" + second, want: []int{400}},
		{name: "a chunk without its line break", raw: post("Transfer-Encoding: chunked") + "3\r\nhello\r\n0\r\n\r\n" + second, want: []int{400}},
		{name: "a chunk with an extension", raw: post("Transfer-Encoding: chunked") + strings.Replace(chunked(hello), "\r\n", ";a=b\r\n", 1) + second, want: []int{200}, models: 1},
		{name: "an extension without end", raw: post("Transfer-Encoding: chunked") + "5;" + strings.Repeat("a", 20_000) + "\r\nhello\r\n0\r\n\r\n", want: []int{400}},
		{name: "trailers", raw: post("Transfer-Encoding: chunked", "Trailer: Authorization") + strings.TrimSuffix(chunked(hello), "\r\n") + "Authorization: Bearer " + otherKey + "\r\n\r\n" + second, want: []int{200}, models: 1},
		{name: "HTTP/1.0 with chunked", raw: strings.Replace(post("Transfer-Encoding: chunked"), "HTTP/1.1", "HTTP/1.0", 1) + chunked(hello) + second, want: []int{400}},
		{name: "HTTP/1.0", raw: strings.Replace(post(length(hello)), "HTTP/1.1", "HTTP/1.0", 1) + hello + second, want: []int{200}, models: 1},
		{name: "HTTP/9.9", raw: strings.Replace(post(length(hello)), "HTTP/1.1", "HTTP/9.9", 1) + hello + second, want: []int{505}},
		{name: "HTTP/2 in clear", raw: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", want: []int{404}},
		{name: "a method in lower case", raw: strings.Replace(post(length(hello)), "POST", "post", 1) + hello, want: []int{405}, open: true},
		{name: "CONNECT", raw: strings.Replace(post(length(hello)), "POST /v1/chat/completions", "CONNECT evil.example.com:443", 1) + hello, want: []int{404}, open: true},
		{name: "another host's URL", raw: strings.Replace(post(length(hello)), "POST /", "POST http://evil.example.com/", 1) + hello, want: []int{200}, open: true, models: 1},
		{name: "headers beyond 20 KiB", raw: post("X-Any: "+strings.Repeat("a", 30_000), length(hello)) + hello, want: []int{431}},
	}
	bubble(t, plain, func(w *world) {
		for _, tt := range tests {
			w.forget()
			answers, open := w.exchange(tt.raw)
			if diff := gocmp.Diff(tt.want, statuses(answers)); diff != "" {
				w.t.Errorf("%s: answers (-want +got):\n%s%v", tt.name, diff, answers)
			}
			if n := len(w.asked()); n != tt.models {
				w.t.Errorf("%s: %d requests reached a deployment, want %d", tt.name, n, tt.models)
			}
			// A connection that is kept is closed when it has been idle for two
			// minutes; one that is not, within a second.
			if kept := open >= time.Minute; kept != tt.open || !kept && open > time.Second {
				w.t.Errorf("%s: the connection stayed open for %v", tt.name, open)
			}
			for _, a := range answers {
				if a.took > time.Second {
					w.t.Errorf("%s: an answer took %v", tt.name, a.took)
				}
			}
			w.serves(tt.name)
		}
	})
}

// TestLargeBodies is T1 and B10: a body that is too large is refused before it is
// read, and what is announced costs nothing until it comes.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	small := []string{"server: {", "server: { max_body: 2KiB,"}
	t.Run("announced", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			for _, raw := range []string{
				post("Content-Length: 2049"), post("Content-Length: 100000000000"),
				post("Content-Length: 2049", "Content-Type: application/json") + strings.Repeat(" ", 100),
				post("Transfer-Encoding: chunked") + chunked(strings.Repeat(" ", 2049)),
				post("Transfer-Encoding: chunked") + "FFFFFFF\r\n" + strings.Repeat(" ", 8<<10),
			} {
				answers, open := w.exchange(raw)
				if len(answers) != 1 || open > 11*time.Second { // what is still on its way is read so long
					w.t.Fatalf("%.300q: %d answers, and the connection open for %v", raw, len(answers), open)
				}
				got := answers[0]
				if code, _, _ := got.code(); got.status != 413 || code != "request_too_large" || got.took != 0 || got.header.Get("Connection") != "" && got.header.Get("Connection") != "close" {
					w.t.Errorf("%.300q: answered %d %q after %v", raw, got.status, code, got.took)
				}
				if n := len(w.asked()); n > 0 {
					w.t.Errorf("%.300q: upstream was asked", raw)
				}
			}
			fits := say("hello", `"x":"`) // up to the last byte
			fits = fits[:len(fits)-1] + strings.Repeat("a", 2048-len(fits)-1) + `"}`
			if got := w.chat(fits); len(fits) != 2048 || got.status != http.StatusOK {
				w.t.Errorf("a body of %d bytes was answered %d: %s", len(fits), got.status, got.body)
			}
		}, small...)
	})
	t.Run("all bodies together", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			const held = 256 / 20 // MiB, of each 20
			for range held {
				_, _ = io.WriteString(w.connect(), post("Content-Length: 20971520"))
			}
			synctest.Wait()
			answers, _ := w.exchange(post("Content-Length: 20971520"))
			got := answers[0]
			if code, _, _ := got.code(); got.status != 503 || code != "gateway_overloaded" || got.header.Get("Retry-After") != "1" || got.took != 0 {
				w.t.Errorf("answered %d %q after %v", got.status, code, got.took)
			}
			w.serves("one body too many")
			time.Sleep(11 * time.Second) // those that sent nothing are given up by now
			if answers, _ := w.exchange(post("Content-Length: 20971520")); answers[0].status != 408 {
				w.t.Errorf("behind them, answered %d", answers[0].status)
			}
		})
	})
}

// TestSlowBodies is T18: a body that hardly comes is given up at an exact time,
// also where nobody wants to read it, and its connection with it.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		head   string
		every  time.Duration // between pieces; 0: nothing comes at all
		piece  string
		status int
		code   string
		took   time.Duration
	}{
		{name: "nothing comes", head: post("Content-Length: 100"), status: 408, code: "request_timeout", took: 10 * time.Second},
		{name: "a byte every nine seconds", head: post("Content-Length: 100"), every: 9 * time.Second, piece: " ", status: 408, code: "request_timeout", took: 15*time.Second + time.Second/1024},
		{name: "less than 1 KiB a second", head: post("Content-Length: 100000"), every: time.Second, piece: strings.Repeat(" ", 500), status: 408, code: "request_timeout", took: 15*time.Second + 14_000*time.Second/1024},
		{name: "chunks that never end", head: post("Transfer-Encoding: chunked"), every: 5 * time.Second, piece: "1\r\n \r\n", status: 408, code: "request_timeout", took: 15*time.Second + 3*time.Second/1024},
		{name: "one chunk, less than 1 KiB a second", head: post("Transfer-Encoding: chunked") + "ffffff\r\n", every: time.Second, piece: strings.Repeat(" ", 500), status: 408, code: "request_timeout", took: 10 * time.Second},
		{name: "a wrong key", head: strings.Replace(post("Content-Length: 100"), searchKey, "sk-wrong", 1), status: 401, code: "invalid_api_key", took: 10 * time.Second},
		{name: "a wrong path", head: strings.Replace(post("Content-Length: 100"), "chat", "chit", 1), status: 404, code: "unknown_url", took: 10 * time.Second},
		{name: "a listing", head: strings.Replace(post("Content-Length: 100"), "POST /v1/chat/completions", "GET /v1/models", 1), status: 200, took: 10 * time.Second},
		{name: "no end of the header", head: strings.TrimSuffix(post("Content-Length: 100"), "\r\n"), took: 10 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				conn := w.connect()
				start, done := time.Now(), make(chan struct{})
				defer close(done)
				go func() {
					_, err := io.WriteString(conn, tt.head)
					for err == nil && tt.every > 0 {
						select {
						case <-time.After(tt.every):
							_, err = io.WriteString(conn, tt.piece)
						case <-done:
							return
						}
					}
				}()
				r := bufio.NewReader(conn)
				_, err := r.Peek(1)
				if took := time.Since(start); took.Round(time.Millisecond) != tt.took.Round(time.Millisecond) {
					w.t.Errorf("it took %v, want %v", took, tt.took)
				}
				if tt.status == 0 {
					if !errors.Is(err, io.EOF) {
						w.t.Errorf("reading: %v", err)
					}
					return
				}
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					w.t.Fatal(err)
				}
				b, _ := io.ReadAll(resp.Body)
				code, _, _ := reply{body: string(b)}.code()
				if resp.StatusCode != tt.status || code != tt.code || !resp.Close {
					w.t.Errorf("answered %d %q, Close %v", resp.StatusCode, code, resp.Close)
				}
				if _, err := r.Peek(1); !errors.Is(err, io.EOF) {
					w.t.Errorf("behind the answer: %v", err)
				}
				if n := len(w.asked()); n > 0 {
					w.t.Errorf("upstream was asked %d times", n)
				}
				w.serves("a slow body")
			})
		})
	}
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
