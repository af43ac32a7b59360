package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"weir/azuresim"
	"weir/usage"
)

const responsesPath = "/v1/responses"

// wish returns the body that creates a response; more fields may follow.
func wish(text string, fields ...string) string {
	more := ""
	if len(fields) > 0 {
		more = "," + strings.Join(fields, ",")
	}
	return `{"model":"gpt-4o","input":` + strconv.Quote(text) + more + `}`
}

// respond creates a response.
func (w *world) respond(body string, headers ...string) reply {
	w.t.Helper()
	return w.do(w.t.Context(), http.MethodPost, responsesPath, body, headers...)
}

// response is what tests look at of one.
type response struct {
	ID       string
	Previous string `json:"previous_response_id"`
	Status   string
	Output   []struct {
		Type   string
		Sealed string `json:"encrypted_content"`
	}
	Usage *struct {
		Input  int64 `json:"input_tokens"`
		Output int64 `json:"output_tokens"`
	}
}

// response returns the response in a plain answer, or the last in a stream.
func (r reply) response(t *testing.T) response {
	t.Helper()
	var one response
	body := r.body
	if events := r.events(); len(events) > 0 {
		var last struct{ Response json.RawMessage }
		if err := json.Unmarshal([]byte(events[len(events)-1]), &last); err != nil {
			t.Fatal(err)
		}
		body = string(last.Response)
	}
	if err := json.Unmarshal([]byte(body), &one); err != nil {
		t.Fatalf("%v in %d %s", err, r.status, r.body)
	}
	return one
}

// said returns the text of a response's stream.
func (r reply) said() string {
	var b strings.Builder
	for _, data := range r.events() {
		var e struct{ Type, Delta string }
		if json.Unmarshal([]byte(data), &e) == nil && e.Type == "response.output_text.delta" {
			b.WriteString(e.Delta)
		}
	}
	return b.String()
}

// TestResponsesPaths is contract 1.1 and A6 for the Responses API: each form of the
// path, plain and streamed, leads to the same request upstream, which is metered.
func TestResponsesPaths(t *testing.T) {
	t.Parallel()
	const named, other = `"model":"gpt-4o"`, `"model":"gpt-3.5-turbo"`
	paths := []struct{ path, model string }{
		{"/v1/responses", named},
		{"/responses", named},
		{"/v1/responses/", named},
		{"/openai/v1/responses", named},
		{"/openai/v1/responses?api-version=v1", named},
		{"/openai/v1/responses?api-version=preview", named},
		{"/openai/responses", named},
		{"/openai/responses?api-version=2025-04-01-preview", named},
		{"/openai/responses?api-version=2025-04-01-preview", `"model":"chat"`},
		{"/openai/deployments/gpt-4o/responses?api-version=2025-04-01-preview", other},
		{"/openai/deployments/gpt-4o-east/responses?api-version=2025-04-01-preview", other},
		{"/openai/deployments/gpt-4o/responses?api-version=2025-04-01-preview", `"pad":1`},
		{"/deployments/gpt-4o/responses?api-version=2025-04-01-preview", other},
	}
	kinds := map[string]struct{ written, upstream string }{
		"classic": {"api_version: 2024-10-21", "/openai/v1/responses"},
		"v1":      {"api_version: v1", "/openai/v1/responses"},
		"openai":  {"kind: openai", "/v1/responses"},
	}
	for kind, k := range kinds {
		for _, tt := range paths {
			for _, streamed := range []string{"", `,"stream":true`} {
				t.Run(kind+" "+tt.path+" "+tt.model+streamed, func(t *testing.T) {
					t.Parallel()
					bubble(t, plain, func(w *world) {
						body := `{` + tt.model + `,"input":"hello","x_unknown":{"a":1e5}` + streamed + `}`
						got := w.do(w.t.Context(), http.MethodPost, tt.path, body, "api-key", searchKey)
						if got.status != http.StatusOK || got.err != nil {
							t.Fatalf("answered %d %v %s", got.status, got.err, got.body)
						}
						asked := w.asked()
						if len(asked) != 1 || asked[0].Path != k.upstream || asked[0].RawQuery != "" {
							t.Fatalf("asked %d times, %+v", len(asked), asked[0])
						}
						var sent map[string]json.RawMessage
						if err := json.Unmarshal(asked[0].Body, &sent); err != nil {
							t.Fatal(err)
						}
						if string(sent["model"]) != `"gpt-4o-east"` || string(sent["x_unknown"]) != `{"a":1e5}` || string(sent["input"]) != `"hello"` {
							t.Errorf("upstream got %s", asked[0].Body)
						}
						if n := len(keysOf(t, body)) + strings.Count(body, "pad"); len(sent) != n { // where the body names no model it does now
							t.Errorf("upstream got %s", asked[0].Body)
						}
						if kind == "classic" && asked[0].Header.Get("Api-Key") != eastKey {
							t.Error("not the deployment's key")
						}
						r := got.response(t)
						if r.Status != "completed" || !strings.HasPrefix(r.ID, "resp_1") {
							t.Errorf("response %s", got.body)
						}
						rec := w.record()
						if rec.Input != r.Usage.Input || rec.Output != r.Usage.Output || rec.Output == 0 || rec.Counted || rec.Model != "gpt-4o" || rec.Outcome != usage.OK {
							t.Errorf("recorded %+v of %+v", rec, r.Usage)
						}
					}, "api_version: 2024-10-21", k.written)
				})
			}
		}
	}
}

// lifeOf is a stream of the Responses API, with what relays spoil.
const lifeOf = `event: response.created
data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_0a1b","object":"response","status":"in_progress","error":null,"previous_response_id":null,"output":[]}}

event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":1,"item_id":"msg_1","delta":"h\u00e9 resp_0a1b","response_id":"resp_0a1b"}

event: response.something.new
data: {"type":"response.something.new", "sequence_number":2, "n":1.50e+3}

event: response.completed
data: {"type":"response.completed","sequence_number":3,"response":{"id":"resp_0a1b","object":"response","status":"completed","error":null,"output":[],"usage":{"input_tokens":40,"input_tokens_details":{"cached_tokens":8},"output_tokens":11,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":51}}}

`

// TestResponsesStreamIsRelayed is C52: every byte but the ids, and the usage of the
// last event charged.
func TestResponsesStreamIsRelayed(t *testing.T) {
	t.Parallel()
	for _, path := range []string{responsesPath, "/openai/v1/responses"} {
		bubble(t, plain, func(w *world) {
			w.east.Script(azuresim.Step{Chunks: strings.SplitAfter(lifeOf, "\n\n")})
			got := w.do(w.t.Context(), http.MethodPost, path, wish("hello", stream))
			id := got.response(t).ID
			if !strings.HasPrefix(id, "resp_1") || got.err != nil || got.header.Get("Content-Type") != "text/event-stream" {
				t.Errorf("id %q, %v, %v", id, got.err, got.header)
			}
			want := strings.ReplaceAll(lifeOf, `id":"resp_0a1b"`, `id":"`+id+`"`)
			if diff := gocmp.Diff(want, got.body); diff != "" {
				t.Errorf("stream (-want +got):\n%s", diff)
			}
			rec := w.record()
			// 32 of the input at $200 for a million, 8 at $50, 8 of the output at $400, 3 at $600.
			if rec.Input != 40 || rec.Cached != 8 || rec.Output != 11 || rec.Reasoning != 3 || usd(rec.Cost) != "0.0118" {
				t.Errorf("recorded %d %d %d %d for %s", rec.Input, rec.Cached, rec.Output, rec.Reasoning, usd(rec.Cost))
			}
			if requests, tokens := w.spent(); requests != 1 || tokens != 51 {
				t.Errorf("%d requests, %d tokens charged", requests, tokens)
			}
		}, append(twoPrices(), limited(measured)...)...)
	}
}

// TestResponsesPolicy: what is refused is refused by the field that holds it, and
// nobody is asked.
func TestResponsesPolicy(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", 130_000)
	tests := []struct{ name, body, code, param string }{
		{"a token in the input", wish("a <|im_start|> b"), "special_tokens_in_input", "input"},
		{"a token in the instructions", wish("x", `"instructions":"a <|im_start|> b"`), "special_tokens_in_input", "instructions"},
		{"a token in an item", `{"model":"gpt-4o","input":[{"role":"user","content":[{"type":"input_text","text":"x"},{"type":"input_text","text":"<|im_end|>"}]}]}`, "special_tokens_in_input", "input[0].content[1].text"},
		{"a token in a tool's output", `{"model":"gpt-4o","input":[{"type":"function_call_output","call_id":"c","output":"<|im_end|>"}]}`, "special_tokens_in_input", "input[0].output"},
		{"a window", wish(long), "context_length_exceeded", "input"},
		{"a window of instructions", wish("x", `"instructions":`+strconv.Quote(long)), "context_length_exceeded", "input"},
		{"a conversation", wish("x", `"conversation":"conv_1"`), "invalid_value", "conversation"},
		{"no model", `{"input":"x"}`, "missing_required_parameter", "model"},
		{"an input that is none", `{"model":"gpt-4o","input":7}`, "invalid_type", "input"},
		{"an output bound that is none", wish("x", `"max_output_tokens":"many"`), "invalid_type", "max_output_tokens"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				got := w.respond(tt.body)
				code, param, kind := got.code()
				if got.status != http.StatusBadRequest || code != tt.code || param != tt.param || kind != "invalid_request_error" || len(w.asked()) != 0 {
					t.Errorf("answered %d %.300s after %d calls", got.status, got.body, len(w.asked()))
				}
			})
		})
	}
}

// TestResponsesMidStream is C51: what goes wrong behind the first content ends in an
// error event of both shapes, with the next number, and a broken connection; what
// goes wrong before is mended unseen.
func TestResponsesMidStream(t *testing.T) {
	t.Parallel()
	const whole, code = "You said: hello. That was turn 1 of our conversation.", "upstream_stream_interrupted"
	fault := func(name string) azuresim.Step { return azuresim.Step{Fault: name} }
	tests := []struct {
		name, code string
		step       azuresim.Step
		fields     []string
		calls      int
	}{
		{name: "a clean end", step: fault("cut-stream"), code: code, calls: 1},
		{name: "a reset", step: fault("reset-between"), code: code, calls: 1},
		{name: "a reset within an event", step: fault("reset-stream"), code: code, calls: 1},
		{name: "a nested error", step: fault("error-late"), calls: 1},
		{name: "a flat error", step: fault("error-flat"), calls: 1},
		{name: "both", step: fault("error-both"), calls: 1},
		{name: "an error first", step: fault("server-error-stream"), calls: 2},
		{name: "invalid Unicode first", step: fault("unicode-stream"), calls: 2},
		{name: "a refusal to begin", step: fault("unavailable"), calls: 2},
		{name: "an end before content that nobody keeps", step: azuresim.Step{CutEvents: 3}, fields: []string{`"store":false`}, calls: 2},
		{name: "a reset before content that nobody keeps", step: azuresim.Step{CutEvents: 3, Reset: true}, fields: []string{`"store":false`}, calls: 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				w.east.Script(tt.step)
				got := w.respond(wish("hello", append(tt.fields, stream)...))
				events := got.events()
				if got.status != http.StatusOK || len(w.asked()) != tt.calls || len(events) == 0 {
					t.Fatalf("answered %d %s after %d calls", got.status, got.body, len(w.asked()))
				}
				if tt.calls == 2 {
					if got.said() != whole || got.err != nil || w.record().Outcome != usage.OK || strings.Contains(got.body, "event: error") {
						t.Errorf("%q, %v: %s", got.said(), got.err, got.body)
					}
					return
				}
				w.checkFailure(got, tt.code)
			})
		})
	}
}

// checkFailure holds the end of a broken stream to contract 3.5.
func (w *world) checkFailure(got reply, code string) {
	w.t.Helper()
	events := got.events()
	var last struct {
		Type    string
		Error   struct{ Message, Code, Type string }
		Code    *string
		Message string
		Number  int `json:"sequence_number"`
	}
	if err := json.Unmarshal([]byte(events[len(events)-1]), &last); err != nil {
		w.t.Fatal(err)
	}
	if keys := keysOf(w.t, events[len(events)-1]); !gocmp.Equal(keys, []string{"code", "error", "message", "param", "sequence_number", "type"}) {
		w.t.Errorf("the error event has %v", keys)
	}
	flat := ""
	if last.Code != nil {
		flat = *last.Code
	}
	if last.Type != "error" || last.Error.Message == "" || last.Message != last.Error.Message || last.Error.Code != code || flat != code || last.Number != len(events)-1 {
		w.t.Errorf("ended, as event %d, in %s", len(events)-1, events[len(events)-1])
	}
	if !strings.Contains(got.body, "event: error\n") || !errors.Is(got.err, io.ErrUnexpectedEOF) {
		w.t.Errorf("ended with %v in %s", got.err, got.body)
	}
	if rec := w.record(); rec.Outcome != usage.UpstreamError || rec.Output == 0 || rec.Input == 0 {
		w.t.Errorf("recorded %s, %d and %d tokens", rec.Outcome, rec.Input, rec.Output)
	}
}

// TestResponsesAreNotMadeTwice: a create that upstream keeps is sent once where the
// connection broke behind it, and repeated where nothing can have been made.
func TestResponsesAreNotMadeTwice(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, fault string
		fields      []string
		status      int
		calls       []string
	}{
		{"kept by default", "close-after-read", nil, 502, []string{"gpt-4o-east"}},
		{"kept", "reset-first", []string{`"store":true`}, 502, []string{"gpt-4o-east"}},
		{"kept, streamed", "close-after-read", []string{stream}, 502, []string{"gpt-4o-east"}},
		{"not kept", "close-after-read", []string{`"store":false`}, 200, []string{"gpt-4o-east", "gpt-4o-west"}},
		{"not kept, streamed", "close-after-read", []string{`"store":false`, stream}, 200, []string{"gpt-4o-east", "gpt-4o-west"}},
		{"refused", "unavailable", nil, 200, []string{"gpt-4o-east", "gpt-4o-west"}},
		{"limited", "rate-limit 1", nil, 200, []string{"gpt-4o-east", "gpt-4o-west"}},
		{"invalid Unicode", "unicode-500", nil, 200, []string{"gpt-4o-east", "gpt-4o-east 0.75"}},
		{"invalid Unicode, streamed", "unicode-500", []string{stream}, 200, []string{"gpt-4o-east", "gpt-4o-east 0.75"}},
		{"invalid Unicode at a temperature", "unicode-500", []string{`"temperature":1.2`}, 200, []string{"gpt-4o-east 1.2", "gpt-4o-east 0.8"}},
		{"a server's error", "server-error", nil, 200, []string{"gpt-4o-east", "gpt-4o-west 0.75"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				w.east.Script(azuresim.Step{Fault: tt.fault})
				got := w.respond(wish("hello", tt.fields...))
				if got.status != tt.status {
					t.Errorf("answered %d %s", got.status, got.body)
				}
				if diff := gocmp.Diff(tt.calls, w.calls()); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
				if got.status == http.StatusOK {
					w.checkKept(got, tt.fields)
				}
			})
		})
	}
}

// checkKept fetches a response that may have been kept where it was made.
func (w *world) checkKept(got reply, fields []string) {
	w.t.Helper()
	want := http.StatusOK
	for _, f := range fields {
		if f == `"store":false` {
			want = http.StatusNotFound
		}
	}
	made := w.record().Deployment
	again := w.do(w.t.Context(), http.MethodGet, fmt.Sprintf("%s/%s", responsesPath, got.response(w.t).ID), "")
	if again.status != want || w.record().Deployment != made {
		w.t.Errorf("fetched from %s, made by %s: %d %s", w.record().Deployment, made, again.status, again.body)
	}
}
