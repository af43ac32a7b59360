package main_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"weir/azuresim"
	"weir/usage"
)

// exchange is one request through the whole gateway: what the resources do, and
// what comes of it.
type exchange struct {
	name       string
	edits      []string // of the configuration
	body       string
	header     []string
	east, west []azuresim.Step // what each resource answers first

	status      int
	code, param string
	relayed     string // the fault whose body the client sees to the byte; "" any
	calls       []string
	took        time.Duration
	after       string // retry-after-ms
	noRetry     bool   // x-should-retry is false
	outcome     usage.Outcome
	unwell      map[string]string
}

// steps are answers with faults, one after another.
func steps(names ...string) []azuresim.Step {
	list := make([]azuresim.Step, len(names))
	for i, name := range names {
		list[i].Fault = name
	}
	return list
}

// spoken returns the body that a resource sends with a fault.
func spoken(fault string) string {
	s := azuresim.New(azuresim.Config{})
	s.Script(azuresim.Step{Fault: fault})
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/openai/v1/chat/completions", strings.NewReader("{}")))
	return rec.Body.String()
}

func (x exchange) run(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		w.east.Script(x.east...)
		w.west.Script(x.west...)
		got := w.chat(x.body, x.header...)
		x.checkAnswer(w, got)
		x.checkCalls(w, got)
		rec := w.record()
		if rec.Status != x.status || rec.Outcome != x.outcome {
			w.t.Errorf("recorded %d %s %q", rec.Status, rec.Outcome, rec.Code)
		}
		if code, _, _ := got.code(); rec.Code != code {
			w.t.Errorf("recorded code %q, sent %q", rec.Code, code)
		}
		if diff := cmp.Diff(x.unwell, w.unwell(), cmpopts.EquateEmpty()); diff != "" {
			w.t.Errorf("deployments (-want +got):\n%s", diff)
		}
	}, x.edits...)
}

func (x exchange) checkAnswer(w *world, got reply) {
	w.t.Helper()
	code, param, kind := got.code()
	if got.status != x.status || code != x.code || param != x.param || got.err != nil {
		w.t.Errorf("answered %d %q %q (%v): %s", got.status, code, param, got.err, got.body)
	}
	if got.took != x.took {
		w.t.Errorf("took %v, want %v", got.took, x.took)
	}
	if got.status >= 400 {
		for _, name := range []string{"message", "type", "param", "code"} {
			if !strings.Contains(strings.Join(errorKeys(w.t, got), " "), name) {
				w.t.Errorf("the error has no %s: %s", name, got.body)
			}
		}
		if got.header.Get("Content-Type") != "application/json" || kind == "" && !strings.Contains(got.body, `"type":null`) {
			w.t.Errorf("Content-Type %q, type %q", got.header.Get("Content-Type"), kind)
		}
	}
	if x.relayed != "" && got.body != spoken(x.relayed) {
		w.t.Errorf("answered %s, upstream sent %s", got.body, spoken(x.relayed))
	}
	want := ""
	if x.noRetry {
		want = "false"
	}
	if got.header.Get("X-Should-Retry") != want || got.header.Get("Retry-After-Ms") != x.after || (x.after == "") != (got.header.Get("Retry-After") == "") {
		w.t.Errorf("x-should-retry %q, retry-after-ms %q, retry-after %q", got.header.Get("X-Should-Retry"), got.header.Get("Retry-After-Ms"), got.header.Get("Retry-After"))
	}
}

// checkCalls compares what was asked with what was wanted, with the record and
// with the header, and every body with the client's: nothing but the temperature
// and what the gateway adds may differ.
func (x exchange) checkCalls(w *world, got reply) {
	w.t.Helper()
	if diff := cmp.Diff(x.calls, w.calls(), cmpopts.EquateEmpty()); diff != "" {
		w.t.Errorf("asked (-want +got):\n%s", diff)
	}
	attempts := ""
	if len(x.calls) > 0 {
		attempts = strconv.Itoa(len(x.calls))
	}
	if rec := w.record(); len(rec.Attempts) != len(x.calls) || got.header.Get("X-Weir-Attempts") != attempts {
		w.t.Errorf("recorded %+v, x-weir-attempts %q", rec.Attempts, got.header.Get("X-Weir-Attempts"))
	}
	for _, r := range w.asked() {
		if diff := cmp.Diff(rest(w.t, []byte(x.body)), rest(w.t, r.Body)); diff != "" {
			w.t.Errorf("the body asked with (-client's +upstream's):\n%s", diff)
		}
	}
}

// rest returns the members of a request that the gateway never changes here.
func rest(t *testing.T, body []byte) map[string]string {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for name, v := range m {
		if name != "model" && name != "temperature" && name != "stream_options" {
			all[name] = string(v)
		}
	}
	return all
}

// of returns a chat body for another model.
func of(model, body string) string { return strings.Replace(body, `"gpt-4o"`, `"`+model+`"`, 1) }

// TestErrors is contract D: what a client sees of what goes wrong.
func TestErrors(t *testing.T) {
	t.Parallel()
	hello := say("hello")
	lone := of("gpt-35-turbo", hello)
	picture := `{"model":"gpt-4o","messages":[{"role":"user","content":[{"type":"text","text":"hi"},` +
		`{"type":"image_url","image_url":{"url":"data:image/png;base64,<|endoftext|>"}}]}]}`
	first, both := []string{"gpt-4o-east"}, []string{"gpt-4o-east", "gpt-4o-west"}
	tight := []string{"resilience:\n", "policies: { default: { max_input_tokens: 4 } }\nresilience:\n"}
	small := []string{"gpt-35-turbo: {", "gpt-35-turbo: { context_window: 100,"}
	rests := map[string]string{"east/gpt-4o-east": "rests 1m0s"}
	rest2 := map[string]string{"east/gpt-4o-east": "rests 1m0s", "west/gpt-4o-west": "rests 1m0s"}
	const tokens, auth = "special_tokens_in_input", "upstream_auth_failed"
	const long = "context_length_exceeded"
	tests := []exchange{
		{name: "D53 a special token in a user message", body: say("a <|im_start|> b"), status: 400, code: tokens, param: "messages[0].content", outcome: usage.RefusedPolicy},
		{name: "D53 a special token that JSON hides", body: strings.Replace(say("X"), "X", `<\u007cendoftext\u007c>`, 1), status: 400, code: tokens, param: "messages[0].content", outcome: usage.RefusedPolicy},
		{name: "D53 a special token of a stream request", body: say("<|endoftext|>", stream), status: 400, code: tokens, param: "messages[0].content", outcome: usage.RefusedPolicy},
		{name: "D53 stop alone is allowed", body: say("hello", `"stop":["<|endoftext|>"]`), status: 200, calls: first, outcome: usage.OK},
		{name: "D53 base64 is allowed", body: picture, status: 200, calls: first, outcome: usage.OK},

		{name: "D54 upstream's special tokens", body: hello, east: steps("special-tokens"), status: 400, relayed: "special-tokens", calls: first, outcome: usage.ClientError},
		{name: "D55 content filter, innererror", body: hello, east: steps("content-filter"), status: 400, code: "content_filter", param: "prompt", relayed: "content-filter", calls: first, outcome: usage.ClientError},
		{name: "D55 content filter, inner_error", body: hello, east: steps("content-filter-inner"), status: 400, code: "content_filter", param: "prompt", relayed: "content-filter-inner", calls: first, outcome: usage.ClientError},
		{name: "D55 content filter of a stream request", body: say("hello", stream), east: steps("content-filter"), status: 400, code: "content_filter", param: "prompt", relayed: "content-filter", calls: first, outcome: usage.ClientError},
		{name: "D56 context length, wording 1", body: hello, east: steps("context-length"), status: 400, code: long, param: "messages", relayed: "context-length", calls: first, outcome: usage.ClientError},
		{name: "D56 context length, wording 2", body: hello, east: steps("context-length-completion"), status: 400, code: long, param: "messages", relayed: "context-length-completion", calls: first, outcome: usage.ClientError},
		{name: "D56 context length, wording 2 with functions", body: hello, east: steps("context-length-functions"), status: 400, code: long, param: "messages", relayed: "context-length-functions", calls: first, outcome: usage.ClientError},
		{name: "D56 context length, wording 3", body: hello, east: steps("context-length-input"), status: 400, code: long, param: "messages", relayed: "context-length-input", calls: first, outcome: usage.ClientError},
		{name: "D57 over the policy's prompt", edits: tight, body: hello, status: 400, code: long, param: "messages", outcome: usage.RefusedPolicy},
		{name: "D57 over the window with its answer", edits: small, body: of("gpt-35-turbo", say("hello", `"max_tokens":95`)), status: 400, code: long, param: "messages", outcome: usage.RefusedPolicy},

		{name: "D58 one flat 401", body: hello, east: steps("bad-token"), status: 200, calls: both, outcome: usage.OK, unwell: rests},
		{name: "D58 the front door's 401", body: hello, east: steps("bad-key"), status: 200, calls: both, outcome: usage.OK, unwell: rests},
		{name: "D58 flat 401s", body: hello, east: steps("bad-token"), west: steps("bad-token"), status: 502, code: auth, noRetry: true, calls: both, outcome: usage.UpstreamError, unwell: rest2},
		{name: "D58 the front door's 401s", body: hello, east: steps("bad-key"), west: steps("bad-key"), status: 502, code: auth, noRetry: true, calls: both, outcome: usage.UpstreamError, unwell: rest2},
		{name: "D58 principals without a role", body: hello, east: steps("no-role"), west: steps("no-access"), status: 502, code: auth, noRetry: true, calls: both, outcome: usage.UpstreamError, unwell: rest2},
		{name: "D58 403s", body: say("hello", stream), east: steps("key-disabled"), west: steps("network-rule"), status: 502, code: auth, noRetry: true, calls: both, outcome: usage.UpstreamError, unwell: rest2},
		{name: "D59 one deployment is missing", body: hello, east: steps("deployment-missing"), status: 200, calls: both, outcome: usage.OK, unwell: rests},
		{name: "D59 all are missing", body: hello, east: steps("deployment-missing"), west: steps("deployment-missing"), status: 404, code: "DeploymentNotFound", calls: both, outcome: usage.ClientError, unwell: rest2},
		{name: "D60 HTML", body: lone, east: steps("bad-gateway", "bad-gateway", "bad-gateway"), status: 502, code: "bad_gateway", noRetry: true, calls: []string{"gpt-35-turbo", "gpt-35-turbo", "gpt-35-turbo"}, took: 300 * time.Millisecond, outcome: usage.UpstreamError},
		{name: "D60 HTML of a stream request", body: of("gpt-35-turbo", say("hello", stream)), east: steps("bad-gateway", "bad-gateway", "bad-gateway"), status: 502, code: "bad_gateway", noRetry: true, calls: []string{"gpt-35-turbo", "gpt-35-turbo", "gpt-35-turbo"}, took: 300 * time.Millisecond, outcome: usage.UpstreamError},
		{name: "D60 HTML, and another deployment", body: hello, east: steps("bad-gateway"), status: 200, calls: both, outcome: usage.OK},
		{name: "D61 one 408", body: hello, east: steps("timeout"), status: 200, calls: both, outcome: usage.OK},
		{name: "D61 a second 408 is the last", body: hello, east: steps("timeout"), west: steps("timeout"), status: 408, code: "Timeout", noRetry: true, calls: both, outcome: usage.UpstreamError},
		{name: "D61 a lone deployment's 408s", body: lone, east: steps("timeout", "timeout"), status: 408, code: "Timeout", noRetry: true, calls: []string{"gpt-35-turbo", "gpt-35-turbo"}, took: 100 * time.Millisecond, outcome: usage.UpstreamError},
		{
			name: "D62 a 400 that our temperature caused", body: lone, east: steps("server-error", "unsupported-value", "server-error"),
			status: 500, relayed: "server-error", noRetry: true, took: 100 * time.Millisecond, outcome: usage.UpstreamError,
			calls: []string{"gpt-35-turbo", "gpt-35-turbo 0.75", "gpt-35-turbo"},
		},
		{
			name: "D62 and then an answer", body: lone, east: steps("unicode-500", "unsupported-temperature"), status: 200, outcome: usage.OK,
			calls: []string{"gpt-35-turbo", "gpt-35-turbo 0.75", "gpt-35-turbo"},
		},
		{
			name: "D62 where no attempt is left", edits: []string{"retry: {", "retry: { max_attempts: 2,"}, body: lone, east: steps("unicode-500", "unsupported-value"),
			status: 500, relayed: "unicode-500", noRetry: true, outcome: usage.UpstreamError, calls: []string{"gpt-35-turbo", "gpt-35-turbo 0.75"},
		},
		{name: "D62 a 400 that the client caused", edits: []string{"2024-10-21", "2025-04-01-preview"}, body: of("gpt-5", say("hello", `"temperature":0.7`)), status: 400, code: "unsupported_value", param: "temperature", calls: []string{"gpt-5 0.7"}, outcome: usage.ClientError},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.run)
	}
}

// TestErrorTexts is contract D57, D58 and D60: what the messages say, and what
// they must not.
func TestErrorTexts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		edits      []string
		body       string
		fault      string
		has, lacks []string
	}{
		{
			name: "D57 wording 1", edits: []string{"resilience:\n", "policies: { default: { max_input_tokens: 4 } }\nresilience:\n"}, body: say("hello"),
			has: []string{"This model's maximum context length is 4 tokens. However, your messages resulted in 8 tokens. Please reduce the length of the messages."},
		},
		{
			name: "D57 wording 2", edits: []string{"gpt-35-turbo: {", "gpt-35-turbo: { context_window: 100,"}, body: of("gpt-35-turbo", say("hello", `"max_tokens":95`)),
			has: []string{"This model's maximum context length is 100 tokens. However, you requested 103 tokens (8 in the messages, 95 in the completion). Please reduce the length of the messages or completion."},
		},
		{name: "D58 no principal is named", body: say("hello"), fault: "no-role", has: []string{"credential"}, lacks: []string{"00000000", "principal", "Principal", "10000000"}},
		{name: "D60 no HTML", body: say("hello"), fault: "bad-gateway", has: []string{"502"}, lacks: []string{"<", "html"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				w.east.Script(steps(tt.fault, tt.fault, tt.fault)...)
				w.west.Script(steps(tt.fault, tt.fault, tt.fault)...)
				got := w.chat(tt.body)
				for _, text := range tt.has {
					if !strings.Contains(got.body, text) {
						t.Errorf("%q is not in %s", text, got.body)
					}
				}
				for _, text := range tt.lacks {
					if strings.Contains(got.body, text) {
						t.Errorf("%q is in %s", text, got.body)
					}
				}
			}, tt.edits...)
		})
	}
}
