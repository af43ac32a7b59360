package main_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
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
	rests := map[string]string{"east/gpt-4o-east": "rests 1m6s"}
	rest2 := map[string]string{"east/gpt-4o-east": "rests 1m6s", "west/gpt-4o-west": "rests 1m6s"}
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

// TestRetries is contract E: how often, where and how a request is tried again.
func TestRetries(t *testing.T) {
	t.Parallel()
	hello := say("hello")
	lone, five, mystery := of("gpt-35-turbo", hello), of("gpt-5", hello), of("mystery", hello)
	hot := func(body, degrees string) string {
		return strings.TrimSuffix(body, "}") + `,"temperature":` + degrees + "}"
	}
	twice := func(name string) []string { return []string{name, name} }
	client2 := []string{"X-Stainless-Retry-Count", "2"}
	slow := func(name string, d time.Duration) azuresim.Step { return azuresim.Step{Fault: name, Delay: d} }
	current := []string{"2024-10-21", "2025-04-01-preview"}
	const failed, sec = usage.UpstreamError, time.Second
	tests := []exchange{
		{name: "E63 a cured request", body: hot(hello, "1.2"), east: steps("unicode-500"), status: 200, calls: []string{"gpt-4o-east 1.2", "gpt-4o-east 0.8"}, outcome: usage.OK},
		{name: "E63 cured at the second try", body: hot(hello, "2"), east: steps("unicode-500", "unicode-500-null"), status: 200, calls: []string{"gpt-4o-east 2", "gpt-4o-east 0.8", "gpt-4o-west 0.6"}, outcome: usage.OK},
		{name: "E63 an unexpected special token", body: hot(hello, "1"), east: steps("special-token-500"), status: 200, calls: []string{"gpt-4o-east 1", "gpt-4o-east 0.75"}, outcome: usage.OK},
		{name: "E64 no temperature, a model known to take one", body: hello, east: steps("unicode-500"), status: 200, calls: []string{"gpt-4o-east", "gpt-4o-east 0.75"}, outcome: usage.OK},
		{name: "E64 no temperature, a reasoning model", edits: current, body: five, east: steps("unicode-500"), status: 200, calls: twice("gpt-5"), outcome: usage.OK},
		{name: "E64 no temperature, an unknown model", body: mystery, east: steps("unicode-500"), status: 200, calls: twice("mystery"), outcome: usage.OK},
		{name: "E64 an unknown model that was sent one", body: hot(mystery, "1"), east: steps("unicode-500"), status: 200, calls: []string{"mystery 1", "mystery 0.75"}, outcome: usage.OK},
		{name: "E65 a low temperature is not raised", body: hot(hello, "0.2"), east: steps("unicode-500"), status: 200, calls: []string{"gpt-4o-east 0.2", "gpt-4o-east 0.15"}, outcome: usage.OK},
		{name: "E65 nor the lowest", body: hot(hello, "0"), east: steps("unicode-500"), status: 200, calls: []string{"gpt-4o-east 0", "gpt-4o-east 0"}, outcome: usage.OK},
		{name: "E66 invalid Unicode as a stream's first event", body: hot(say("hello", stream), "1.2"), east: steps("unicode-stream"), status: 200, calls: []string{"gpt-4o-east 1.2", "gpt-4o-east 0.8"}, outcome: usage.OK},

		{name: "E67 500 three times", body: lone, east: steps("server-error", "server-error", "server-error"), status: 500, relayed: "server-error", noRetry: true, calls: []string{"gpt-35-turbo", "gpt-35-turbo 0.75", "gpt-35-turbo 0.5625"}, took: 300 * time.Millisecond, outcome: failed},
		{name: "E67 as many tries as are configured", edits: []string{"retry: {", "retry: { max_attempts: 2,"}, body: lone, east: steps("server-error", "server-error"), status: 500, relayed: "server-error", noRetry: true, calls: []string{"gpt-35-turbo", "gpt-35-turbo 0.75"}, took: 100 * time.Millisecond, outcome: failed},
		{
			name: "E67 no try that would end behind the client's time", body: lone, header: []string{"X-Stainless-Read-Timeout", "2"},
			east:   []azuresim.Step{slow("server-error", 800*time.Millisecond), slow("server-error", 300*time.Millisecond)},
			status: 500, relayed: "server-error", noRetry: true, calls: []string{"gpt-35-turbo", "gpt-35-turbo 0.75"}, took: 1200 * time.Millisecond, outcome: failed,
		},
		{name: "E67 a try ends with the client's time", body: lone, header: []string{"X-Stainless-Read-Timeout", "2"}, east: []azuresim.Step{{Delay: 5 * sec}}, status: 504, code: "upstream_timeout", noRetry: true, calls: []string{"gpt-35-turbo"}, took: 2 * sec, outcome: failed},

		{name: "E68 429, and another deployment", body: hello, east: steps("rate-limit 40ms"), status: 200, calls: []string{"gpt-4o-east", "gpt-4o-west"}, outcome: usage.OK, unwell: map[string]string{"east/gpt-4o-east": "rests 44ms"}},
		{name: "E68 429 of a lone deployment", body: lone, east: steps("rate-limit 40ms"), status: 200, calls: twice("gpt-35-turbo"), took: 44 * time.Millisecond, outcome: usage.OK},
		{name: "E68 provisioned throughput", body: lone, east: steps("provisioned-full"), status: 200, calls: twice("gpt-35-turbo"), took: 47300 * time.Microsecond, outcome: usage.OK},
		{name: "E69 429 for a day", body: lone, east: steps("rate-limit-never"), status: 429, code: "429", noRetry: true, calls: []string{"gpt-35-turbo"}, outcome: failed, unwell: map[string]string{"east/gpt-35-turbo": "rests 1m6s"}},
		{name: "E69 429 for longer than a request waits", body: lone, east: steps("rate-limit 20 s"), status: 429, code: "429", after: "20000", calls: []string{"gpt-35-turbo"}, outcome: failed, unwell: map[string]string{"east/gpt-35-turbo": "rests 22s"}},

		{name: "E72 a client that tries again itself: 503", body: hello, header: client2, east: steps("unavailable"), status: 503, code: "service_unavailable", noRetry: true, calls: []string{"gpt-4o-east"}, outcome: failed},
		{name: "E72 a client that tries again itself: no connection", body: lone, header: client2, east: steps("close-after-read"), status: 502, code: "upstream_unreachable", noRetry: true, calls: []string{"gpt-35-turbo"}, outcome: failed},
		{name: "E72 its first retry", body: hello, header: []string{"X-Stainless-Retry-Count", "1"}, east: steps("unavailable"), status: 200, calls: []string{"gpt-4o-east", "gpt-4o-west"}, outcome: usage.OK},
		{name: "E72 a cure is still tried", body: hello, header: client2, east: steps("unicode-500"), status: 200, calls: []string{"gpt-4o-east", "gpt-4o-east 0.75"}, outcome: usage.OK},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.run)
	}
}

// TestCuredBytes is contract E63: the second request is the first but for the one
// number, and the answer says how often was tried.
func TestCuredBytes(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		body := `{"seed":9223372036854775807, "temperature" : 1.20,"messages":[{"role":"user","content":"h\u00e9"}],"model":"gpt-4o","new_field":[1.0,{}]}`
		w.east.Script(steps("unicode-500")...)
		got := w.chat(body)
		if got.status != http.StatusOK || got.header.Get("X-Weir-Attempts") != "2" {
			t.Errorf("%d, x-weir-attempts %q", got.status, got.header.Get("X-Weir-Attempts"))
		}
		asked := w.asked()
		if len(asked) != 2 || string(asked[0].Body) != body || string(asked[1].Body) != strings.Replace(body, "1.20", "0.8", 1) {
			t.Errorf("asked %+v", asked)
		}
		rec := w.record()
		if a := rec.Attempts; len(a) != 2 || a[0].Reason != "unicode_500" || a[1].Temperature == nil || *a[1].Temperature != 0.8 {
			t.Errorf("recorded %+v", a)
		}
	})
}

// TestBreaker is contract E70: what opens a breaker, what does not, and what an
// open one lets through.
func TestBreaker(t *testing.T) {
	t.Parallel()
	lone := of("gpt-35-turbo", say("hello"))
	const d = "east/gpt-35-turbo"
	retrying := []string{"X-Stainless-Retry-Count", "2"}
	t.Run("E70 five 429s leave it closed", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			for range 6 {
				w.east.Script(steps("rate-limit 20 s")...)
				if got := w.chat(lone); got.status != http.StatusTooManyRequests {
					t.Errorf("%d %s", got.status, got.body)
				}
				time.Sleep(22 * time.Second)
			}
			if got := w.chat(lone); got.status != http.StatusOK || len(w.asked()) != 7 || len(w.unwell()) > 0 {
				t.Errorf("%d after %d calls, %v", got.status, len(w.asked()), w.unwell())
			}
		})
	})
	t.Run("E70 five 503s open it", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			w.east.Script(steps("unavailable", "unavailable", "unavailable", "unavailable", "unavailable")...)
			for i := range 5 {
				if len(w.unwell()) > 0 {
					t.Errorf("after %d faults: %v", i, w.unwell())
				}
				if got := w.chat(lone, retrying...); got.status != http.StatusServiceUnavailable || got.body == "" {
					t.Errorf("%d %s", got.status, got.body)
				}
			}
			if diff := cmp.Diff(map[string]string{d: "open"}, w.unwell()); diff != "" {
				t.Fatal(diff)
			}
			time.Sleep(10 * time.Second)
			got := w.chat(lone)
			if code, _, _ := got.code(); got.status != http.StatusServiceUnavailable || code != "no_healthy_deployment" || got.header.Get("Retry-After-Ms") != "5000" || got.header.Get("Retry-After") != "5" {
				t.Errorf("%d %q, retry-after-ms %q", got.status, code, got.header.Get("Retry-After-Ms"))
			}
			if len(w.asked()) != 5 {
				t.Errorf("an open breaker let %d calls through", len(w.asked())-5)
			}
			time.Sleep(5 * time.Second)
			w.east.Script(azuresim.Step{Delay: time.Second})
			probe := make(chan reply)
			go func() { probe <- w.chat(lone) }()
			synctest.Wait()
			if got := w.chat(lone); got.status != http.StatusServiceUnavailable || len(w.asked()) != 6 {
				t.Errorf("beside the probe: %d after %d calls", got.status, len(w.asked()))
			}
			if got := <-probe; got.status != http.StatusOK || got.took != time.Second {
				t.Errorf("the probe: %d after %v", got.status, got.took)
			}
			if len(w.unwell()) > 0 {
				t.Errorf("after the probe: %v", w.unwell())
			}
		})
	})
	t.Run("E70 a request's own tries count", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			w.east.Script(steps("unavailable", "unavailable", "unavailable", "unavailable", "unavailable", "unavailable")...)
			first, second := w.chat(lone), w.chat(lone)
			if first.took != 300*time.Millisecond || second.took != 100*time.Millisecond+200*time.Millisecond || len(w.asked()) != 5 {
				t.Errorf("%v and %v, %d calls", first.took, second.took, len(w.asked()))
			}
			if diff := cmp.Diff(map[string]string{d: "open"}, w.unwell()); diff != "" {
				t.Error(diff)
			}
		})
	})
}

// TestClientLeaves is contract E71 and what must hold wherever a client leaves:
// upstream is let go at once, nobody is asked again, and no deployment is blamed.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	lone := of("gpt-35-turbo", say("hello"))
	tests := []struct {
		name    string
		body    string
		east    []azuresim.Step
		leave   time.Duration
		pending bool  // upstream has a request then
		input   int64 // tokens that are charged
	}{
		{"before any header", lone, steps("hang"), 3 * time.Second, true, 8},
		{"before any header of a stream", of("gpt-35-turbo", say("hello", stream)), steps("hang"), 3 * time.Second, true, 8},
		{"before a stream's content", of("gpt-35-turbo", say("hello", stream)), []azuresim.Step{{Pause: time.Hour, PauseAt: 1}}, 3 * time.Second, true, 8},
		{"within an answer", lone, steps("unfinished-json"), 3 * time.Second, true, 8},
		{"E71 in the backoff behind a fault", lone, steps("unavailable"), 50 * time.Millisecond, false, 0},
		{"E71 in the backoff behind a 429", lone, steps("rate-limit 5 s"), 2 * time.Second, false, 0},
		{"E71 in the second try", lone, append(steps("unavailable"), azuresim.Step{Hang: true}), 3 * time.Second, true, 8},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				w.east.Script(tt.east...)
				ctx, leave := context.WithTimeout(w.t.Context(), tt.leave)
				defer leave()
				if got := w.do(ctx, http.MethodPost, "/v1/chat/completions", tt.body); got.err == nil || got.took != tt.leave {
					t.Errorf("%d after %v: %v", got.status, got.took, got.err)
				}
				rec := w.record()
				if rec.Duration != tt.leave || rec.Outcome != usage.ClientGone || rec.Status != 499 || rec.Code != "client_closed_request" {
					t.Errorf("recorded %d %s %q after %v", rec.Status, rec.Outcome, rec.Code, rec.Duration)
				}
				if rec.Input != tt.input || rec.Output != 0 {
					t.Errorf("charged %d + %d", rec.Input, rec.Output)
				}
				asked := w.asked()
				if len(asked) != len(tt.east) {
					t.Fatalf("%d calls", len(asked))
				}
				if last := asked[len(asked)-1]; !last.Done || last.Cancelled != tt.pending {
					t.Errorf("upstream's last request: done %v, cancelled %v", last.Done, last.Cancelled)
				}
				time.Sleep(time.Minute)
				if len(w.asked()) != len(tt.east) || len(w.unwell()) > 0 {
					t.Errorf("%d calls a minute later, %v", len(w.asked()), w.unwell())
				}
			})
		})
	}
}
