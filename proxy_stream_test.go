package main_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
	"weir/tokens"
	"weir/usage"
)

const (
	openAIPath = "/v1/chat/completions"
	azurePath  = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
)

// readable returns the data of a stream's events and the number of its comments.
// Every client can read it: each event is one line of data, with nothing before
// it and an empty line behind it.
func readable(t *testing.T, body string) (data []string, comments int) {
	t.Helper()
	body, whole := strings.CutSuffix(body, "\n\n")
	if !whole {
		t.Fatalf("the last event is not whole: %q", body)
	}
	for event := range strings.SplitSeq(body, "\n\n") {
		text, ok := strings.CutPrefix(event, "data: ")
		switch {
		case event == ": keep-alive":
			comments++
		case !ok, strings.ContainsAny(text, "\r\n"), text != "[DONE]" && !json.Valid([]byte(text)):
			t.Fatalf("not an event: %q", event)
		default:
			data = append(data, text)
		}
	}
	return data, comments
}

// chunk is an event as the openai profile promises it.
type chunk struct {
	ID, Object, Model string
	Choices           []struct {
		Index        int
		Delta        *struct{ Role, Content string }
		FinishReason *string `json:"finish_reason"`
	}
	Usage, Error, Prompt json.RawMessage
}

// checkEnd holds a stream to one of the two ways to end: [DONE] and a clean end,
// or an error event and a broken connection. It returns the chunks before that.
func checkEnd(t *testing.T, got reply, broken bool) []string {
	t.Helper()
	data, _ := readable(t, got.body)
	last := data[len(data)-1]
	if !broken && (last != "[DONE]" || got.err != nil) {
		t.Errorf("ended in %s, %v", last, got.err)
	}
	if broken && (!strings.HasPrefix(last, `{"error":{`) || !errors.Is(got.err, io.ErrUnexpectedEOF)) {
		t.Errorf("ended in %s, %v", last, got.err)
	}
	for _, d := range data[:len(data)-1] {
		if d == "[DONE]" || strings.Contains(d, `"error":`) {
			t.Errorf("an end before the end: %s", d)
		}
	}
	return data[:len(data)-1]
}

// checkChunks holds chunks to what a client of OpenAI expects.
func checkChunks(t *testing.T, data []string) {
	t.Helper()
	for _, d := range data {
		var c chunk
		if err := json.Unmarshal([]byte(d), &c); err != nil {
			t.Fatal(err)
		}
		if c.ID == "" || c.Object != "chat.completion.chunk" || c.Model == "" || c.Error != nil || len(c.Choices) == 0 && len(c.Usage) < 5 {
			t.Errorf("not a chunk of OpenAI's: %s", d)
		}
		for _, choice := range c.Choices {
			if choice.Delta == nil {
				t.Errorf("a choice without delta: %s", d)
			}
		}
	}
}

// sent returns the events that upstream answers a request with, as an azure
// client is to see them: nothing is missing but what the gateway asked for
// itself.
func (w *world) sent(r azuresim.Request, step azuresim.Step, usage bool) []string {
	w.t.Helper()
	twin := azuresim.New(azuresim.Config{Deployments: map[string]azuresim.Deployment{"gpt-4o-east": {Model: "gpt-4o-2024-11-20"}}})
	step.Fault = strings.Replace(step.Fault, "gzip", "", 1)
	twin.Script(step)
	req := httptest.NewRequestWithContext(w.t.Context(), http.MethodPost, r.Path+"?"+r.RawQuery, strings.NewReader(string(r.Body)))
	rec := httptest.NewRecorder()
	twin.ServeHTTP(rec, req)
	var data []string
	for line := range strings.Lines(rec.Body.String()) {
		text, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "data:")
		text = strings.TrimSpace(text)
		if !ok || text == "" || text == "[DONE]" || !usage && strings.Contains(text, `"usage":{`) {
			continue
		}
		if !usage {
			text = strings.Replace(text, `,"usage":null`, "", 1)
		}
		data = append(data, strings.Replace(text, `"error":null,`, "", 1))
	}
	return data
}

// TestStreams is contract C29 to C37, C47, C49 and C50: what a client sees of a
// stream that is whole. A client of an Azure path sees what upstream sent; one of
// an OpenAI path what it expects.
func TestStreams(t *testing.T) {
	t.Parallel()
	const hello = "You said: hello. That was turn 1 of our conversation."
	const odd = "naïve — 日本語 🙂 done"
	asks := []string{stream, `"stream_options":{"include_usage":true}`}
	type view struct{ has, lacks []string }
	tests := []struct {
		name          string
		fields        []string // of the request
		step          azuresim.Step
		text          string
		openai, azure view
	}{
		{
			name: "C29 the prompt's annotation comes first", text: hello,
			openai: view{has: []string{`"prompt_filter_results":[{`}, lacks: []string{`"choices":[],`}},
			azure:  view{has: []string{`data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[`}},
		},
		{
			name: "C30 asynchronous annotations", step: azuresim.Step{Fault: "async-filter"}, text: hello,
			openai: view{lacks: []string{"content_filter_offsets"}},
			azure:  view{has: []string{"content_filter_offsets"}},
		},
		{
			name: "C31 a finish without delta", step: azuresim.Step{Fault: "async-filter;output-filter"}, text: "This answer was going to be",
			openai: view{has: []string{`"finish_reason":"content_filter"`, `"delta":{}`}},
			azure:  view{has: []string{`"finish_reason":"content_filter"`}, lacks: []string{`"delta":{}`}},
		},
		{
			name: "C32 usage that the client did not ask for", text: hello,
			openai: view{lacks: []string{`"usage"`}}, azure: view{lacks: []string{`"usage"`}},
		},
		{
			name: "C33 usage that the client asked for", fields: asks, text: hello,
			openai: view{has: []string{`"usage":{`, `"usage":null`, `"choices":[]`}}, azure: view{has: []string{`"usage":{`, `"usage":null`, `"choices":[]`}},
		},
		{name: "C34 bytes in threes", step: azuresim.Step{Fault: "split"}, text: odd},
		{name: "C34 CRLF", step: azuresim.Step{Fault: "crlf", Content: odd}, text: odd},
		{name: "C34 no space", step: azuresim.Step{Fault: "no-space", Content: odd}, text: odd},
		{name: "C34 all of it", step: azuresim.Step{Fault: "split;crlf;no-space"}, text: odd},
		{name: "C35 id lines", step: azuresim.Step{Fault: "id-lines"}, text: hello},
		{name: "C35 retry lines", step: azuresim.Step{Fault: "retry-lines"}, text: hello},
		{name: "C35 empty data", step: azuresim.Step{Fault: "empty-data"}, text: hello},
		{name: "C37 no [DONE]", step: azuresim.Step{Fault: "no-done"}, text: hello},
		{name: "C37 a space behind [DONE]", step: azuresim.Step{Fault: "done-space"}, text: hello},
		{name: "C47 one mebibyte in a line", step: azuresim.Step{Fault: "huge-chunk"}, text: strings.Repeat("0123456789abcdef", 1<<16)},
		{name: "C50 error null", step: azuresim.Step{Fault: "error-null"}, text: hello},
		{name: "a refusal", step: azuresim.Step{Fault: "refusal"}, text: "", openai: view{has: []string{`"refusal":"I cannot help`}}},
		{name: "gzip", step: azuresim.Step{Fault: "gzip"}, text: hello},
		{name: "a charset", step: azuresim.Step{Fault: "charset"}, text: hello},
		{name: "padding", step: azuresim.Step{Fault: "obfuscation"}, text: hello, openai: view{has: []string{`"obfuscation":"a1b2c3d4"`}}},
	}
	for _, tt := range tests {
		for path, v := range map[string]view{openAIPath: tt.openai, azurePath: tt.azure} {
			t.Run(tt.name+" "+path, func(t *testing.T) {
				t.Parallel()
				bubble(t, plain, func(w *world) {
					fields := tt.fields
					if fields == nil {
						fields = []string{stream}
					}
					w.east.Script(tt.step)
					got := w.do(w.t.Context(), http.MethodPost, path, say("hello", fields...), "Accept-Encoding", "gzip, deflate")
					if got.status != http.StatusOK || got.header.Get("Content-Type") != "text/event-stream" || got.header.Get("Content-Encoding") != "" || got.header.Get("X-Accel-Buffering") != "no" {
						w.t.Fatalf("%d %v %s", got.status, got.header, got.body)
					}
					data := checkEnd(w.t, got, false)
					if got.text() != tt.text {
						w.t.Errorf("text %.200q", got.text())
					}
					for _, text := range v.has {
						if !strings.Contains(got.body, text) {
							w.t.Errorf("%s is not in %.2000s", text, got.body)
						}
					}
					for _, text := range v.lacks {
						if strings.Contains(got.body, text) {
							w.t.Errorf("%s is in %.2000s", text, got.body)
						}
					}
					asked := w.asked()[0]
					if path == openAIPath {
						checkChunks(w.t, data)
					} else if diff := cmp.Diff(w.sent(asked, tt.step, len(fields) > 1), data); diff != "" {
						w.t.Errorf("events (-upstream's +client's):\n%s", diff)
					}
					if !strings.Contains(string(asked.Body), `"stream_options":{"include_usage":true}`) {
						w.t.Errorf("asked %s", asked.Body)
					}
					w.checkCharged(asked)
				})
			})
		}
	}
}

// checkCharged holds the record of a stream that was whole to what upstream says
// it used.
func (w *world) checkCharged(asked azuresim.Request) {
	w.t.Helper()
	rec := w.record()
	if rec.Outcome != usage.OK || rec.Status != http.StatusOK || rec.Code != "" || rec.Counted || !rec.Stream {
		w.t.Errorf("recorded %d %s %q, counted %v", rec.Status, rec.Outcome, rec.Code, rec.Counted)
	}
	if rec.Input != int64(asked.PromptTokens) || rec.Output != int64(asked.CompletionTokens) || rec.FinishReason == "" {
		w.t.Errorf("charged %d + %d, upstream used %d + %d", rec.Input, rec.Output, asked.PromptTokens, asked.CompletionTokens)
	}
	if len(w.asked()) != 1 || len(w.unwell()) > 0 {
		w.t.Errorf("%d calls, %v", len(w.asked()), w.unwell())
	}
}

// TestInterleavedChoices is contract C49.
func TestInterleavedChoices(t *testing.T) {
	t.Parallel()
	t.Run("C49 two choices by turns", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			got := w.chat(say("one two three four five", stream, `"n":2`))
			var order []int
			texts := map[int]string{}
			for _, d := range checkEnd(w.t, got, false) {
				var c chunk
				if err := json.Unmarshal([]byte(d), &c); err != nil {
					w.t.Fatal(err)
				}
				for _, choice := range c.Choices {
					order = append(order, choice.Index)
					texts[choice.Index] += choice.Delta.Content
				}
			}
			const text = "You said: one two three four five. That was turn 1 of our conversation."
			if diff := cmp.Diff(map[int]string{0: text, 1: "(1) " + text}, texts); diff != "" {
				w.t.Error(diff)
			}
			if diff := cmp.Diff([]int{0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1}, order); diff != "" {
				w.t.Errorf("order (-want +got):\n%s", diff)
			}
			w.checkCharged(w.asked()[0])
		})
	})
}

// TestBrokenStreams is contract C38, C39 and C41: a stream that ends before it is
// whole ends in one error event and a broken connection, and is never sent again.
func TestBrokenStreams(t *testing.T) {
	t.Parallel()
	const interrupted, failed = "upstream_stream_interrupted", ""
	tests := []struct {
		name, fault string
		code        string // of the error event
		blamed      bool
	}{
		{"C38 a clean end before the finish", "cut-stream", interrupted, true},
		{"C38 an event that is no JSON", "garbage", interrupted, true},
		{"C39 a broken connection", "reset-between", interrupted, true},
		{"C39 a broken connection within an event", "reset-stream", interrupted, true},
		{"C41 an error event", "error-late", failed, true},
		{"C41 an error event with a name", "error-event", failed, true},
		{"C41 an error event and [DONE]", "error-done", failed, true},
		{"C41 an error that is not the first key", "error-last-key", failed, true},
		{"C41 invalid Unicode", "unicode-late", failed, false},
	}
	for _, tt := range tests {
		for _, path := range []string{openAIPath, azurePath} {
			t.Run(tt.name+" "+path, func(t *testing.T) {
				t.Parallel()
				bubble(t, plain, func(w *world) {
					w.east.Script(azuresim.Step{Fault: tt.fault})
					got := w.do(w.t.Context(), http.MethodPost, path, say("hello", stream))
					data := checkEnd(w.t, got, true)
					if path == openAIPath {
						checkChunks(w.t, data)
					}
					events := got.events()
					last := reply{body: events[len(events)-1]}
					code, _, kind := last.code()
					if got.status != http.StatusOK || code != tt.code || kind != "server_error" || got.text() != "You said: hello. That " {
						w.t.Errorf("%d %q %q %q", got.status, code, kind, got.text())
					}
					if diff := cmp.Diff([]string{"code", "message", "param", "type"}, errorKeys(w.t, last)); diff != "" {
						w.t.Error(diff)
					}
					rec := w.record()
					if rec.Outcome != usage.UpstreamError || rec.Status != http.StatusOK || rec.Code != interrupted {
						w.t.Errorf("recorded %d %s %q", rec.Status, rec.Outcome, rec.Code)
					}
					if !rec.Counted || rec.Input != 8 || rec.Output != textTokens("You said: hello. That ") {
						w.t.Errorf("charged %d + %d", rec.Input, rec.Output)
					}
					unwell := map[string]string{}
					if tt.blamed {
						unwell["east/gpt-4o-east"] = "open"
					}
					if diff := cmp.Diff(unwell, w.unwell()); diff != "" || len(w.asked()) != 1 {
						w.t.Errorf("%d calls, deployments (-want +got):\n%s", len(w.asked()), diff)
					}
				}, "resilience:\n", "resilience:\n  breaker: { consecutive_failures: 1 }\n")
			})
		}
	}
}

// textTokens counts as gpt-4o does.
func textTokens(text string) int64 {
	return int64(vocabularies().Counter(tokens.Lookup("gpt-4o")).Text([]byte(text)))
}

// TestStreamHeads is contract C40, C42, C43 and E73: what is wrong with a stream
// before its first content is an answer like any other, or is never seen.
func TestStreamHeads(t *testing.T) {
	t.Parallel()
	hello := say("hello", stream)
	lone := of("gpt-35-turbo", hello)
	both := []string{"gpt-4o-east", "gpt-4o-west"}
	raw := func(chunks ...string) []azuresim.Step { return []azuresim.Step{{Chunks: chunks}} }
	const failed = usage.UpstreamError
	filtered := `data: {"error":{"message":"filtered","type":null,"param":"prompt","code":"content_filter"}}` + "\n\n"
	busy := `data: {"error":{"message":"Please retry after 2 seconds.","type":"rate_limit_error","param":null,"code":"429"}}` + "\n\n"
	plain500 := `data: {"error":{"message":"no","type":null,"param":null,"code":null}}` + "\n\n"
	tests := []exchange{
		{name: "C40 an error first, and another deployment", body: hello, east: steps("server-error-stream"), status: 200, calls: []string{"gpt-4o-east", "gpt-4o-west 0.75"}, outcome: usage.OK},
		{name: "C40 invalid Unicode first", body: lone, east: steps("unicode-stream"), status: 200, calls: []string{"gpt-35-turbo", "gpt-35-turbo 0.75"}, outcome: usage.OK},
		{name: "C40 invalid Unicode every time", body: lone, east: steps("unicode-stream", "unicode-stream", "unicode-stream"), status: 500, relayed: "unicode-500", noRetry: true, calls: []string{"gpt-35-turbo", "gpt-35-turbo 0.75", "gpt-35-turbo 0.5625"}, outcome: failed},
		{name: "C40 an error of no known kind", edits: []string{"retry: {", "retry: { max_attempts: 1,"}, body: lone, east: raw(plain500), status: 500, noRetry: true, calls: []string{"gpt-35-turbo"}, outcome: failed, relayed: ""},
		{name: "C40 an error that is the caller's", body: hello, east: raw(filtered), status: 400, code: "content_filter", param: "prompt", calls: []string{"gpt-4o-east"}, outcome: usage.ClientError},
		{name: "C40 a limit", body: hello, east: raw(busy), status: 200, calls: both, outcome: usage.OK, unwell: map[string]string{"east/gpt-4o-east": "rests 2s"}},
		{name: "C38 a cut before content is not seen", body: hello, east: steps("cut-first"), status: 200, calls: both, outcome: usage.OK},
		{name: "C39 a broken connection before content is not seen", body: hello, east: []azuresim.Step{{CutEvents: 2, CutMid: true, Reset: true}}, status: 200, calls: both, outcome: usage.OK},
		{name: "C42 JSON", body: hello, east: steps("json-for-stream"), status: 200, calls: both, outcome: usage.OK},
		{name: "C42 JSON every time", body: lone, east: steps("json-for-stream", "json-for-stream", "json-for-stream"), status: 502, code: "upstream_bad_answer", noRetry: true, calls: []string{"gpt-35-turbo", "gpt-35-turbo", "gpt-35-turbo"}, took: 300 * time.Millisecond, outcome: failed},
		{name: "C42 HTML", edits: []string{"retry: {", "retry: { max_attempts: 1,"}, body: lone, east: steps("html-for-stream"), status: 502, code: "upstream_bad_answer", noRetry: true, calls: []string{"gpt-35-turbo"}, outcome: failed},
		{name: "C42 nothing", edits: []string{"retry: {", "retry: { max_attempts: 1,"}, body: lone, east: steps("empty-200"), status: 502, code: "upstream_bad_answer", noRetry: true, calls: []string{"gpt-35-turbo"}, outcome: failed},
		{name: "C43 400", body: hello, east: steps("special-tokens"), status: 400, relayed: "special-tokens", calls: []string{"gpt-4o-east"}, outcome: usage.ClientError},
		{name: "C43 413", body: hello, east: steps("too-large"), status: 413, code: "413", calls: []string{"gpt-4o-east"}, outcome: usage.ClientError},
		{name: "C43 429", body: lone, east: steps("rate-limit 20 s"), status: 429, code: "429", after: "20000", calls: []string{"gpt-35-turbo"}, outcome: failed, unwell: map[string]string{"east/gpt-35-turbo": "rests 20s"}},
		{name: "C43 500", body: lone, east: steps("server-error", "server-error", "server-error"), status: 500, relayed: "server-error", noRetry: true, calls: []string{"gpt-35-turbo", "gpt-35-turbo 0.75", "gpt-35-turbo 0.5625"}, took: 300 * time.Millisecond, outcome: failed},
		{name: "C43 503", edits: []string{"retry: {", "retry: { max_attempts: 1,"}, body: lone, east: steps("unavailable"), status: 503, code: "service_unavailable", noRetry: true, calls: []string{"gpt-35-turbo"}, outcome: failed},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.run)
	}
}

// TestNothingTwice is contract E73: what was held back of an attempt that failed
// is not in the answer of the next.
func TestNothingTwice(t *testing.T) {
	t.Parallel()
	for _, path := range []string{openAIPath, azurePath} {
		t.Run("E73 "+path, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				w.east.Script(azuresim.Step{Chunks: []string{
					`data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"first":true}]}` + "\n\n",
					`data: {"choices":[{"delta":{"content":"","role":"assistant"},"index":0}],"created":1,"id":"first","model":"m","object":"chat.completion.chunk"}` + "\n\n",
					`data: {"error":{"message":"the model generated invalid Unicode output","type":null,"param":null,"code":null}}` + "\n\n",
				}})
				got := w.do(w.t.Context(), http.MethodPost, path, say("hello", stream))
				checkEnd(w.t, got, false)
				if strings.Contains(got.body, "first") || strings.Count(got.body, `"role"`) != 1 || strings.Count(got.body, "prompt_filter_results") != 1 {
					w.t.Errorf("something of the first attempt is in %s", got.body)
				}
				if got.text() != "You said: hello. That was turn 1 of our conversation." || len(w.asked()) != 2 || got.header.Get("X-Weir-Attempts") != "2" {
					w.t.Errorf("%q after %d calls", got.text(), len(w.asked()))
				}
			})
		})
	}
}

// TestTruncation is the promise that no stream is silently truncated: a stream of
// three events is cut at every byte, cleanly or not, and its client sees all of it
// or an error. What it saw the beginning of is never asked for again (R13).
func TestTruncation(t *testing.T) {
	t.Parallel()
	const (
		content = `data: {"choices":[{"index":0,"delta":{"content":"Hé"}}]}` + "\n\n"
		finish  = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
		done    = "data: [DONE]\n\n"
		end     = len("\n\n") // a clean end stands in for it
	)
	for _, path := range []string{openAIPath, azurePath} {
		for _, reset := range []bool{false, true} {
			t.Run(path+" reset "+strconv.FormatBool(reset), func(t *testing.T) {
				t.Parallel()
				bubble(t, plain, func(w *world) {
					for cut := 1; cut <= len(content+finish+done); cut++ {
						begun, whole := cut >= len(content), cut >= len(content+finish+done)
						if !reset {
							// An event that is not whole is none, unless it is all there but for its end.
							begun = cut >= len(content)-end
							rest := cut - len(content+finish)
							whole = rest >= -end && rest <= len("data: ") || rest >= len(done)-end
						}
						w.east.Reset()
						w.west.Reset()
						w.east.Script(azuresim.Step{Chunks: []string{content, finish, done}, CutBytes: cut, Reset: reset})
						w.west.Script(azuresim.Step{Chunks: []string{content, finish, done}})
						got := w.do(w.t.Context(), http.MethodPost, path, say("hello", stream))
						data := checkEnd(w.t, got, begun && !whole)
						calls := 1
						if !begun {
							calls = 2
						}
						if got.status != http.StatusOK || got.text() != "Hé" || len(data) == 0 || len(w.asked()) != calls {
							w.t.Errorf("cut at %d: %d after %d calls: %s", cut, got.status, len(w.asked()), got.body)
						}
						rec := w.record()
						if ok := rec.Outcome == usage.OK; ok == (begun && !whole) || rec.Output != textTokens("Hé") {
							w.t.Errorf("cut at %d: recorded %s, charged %d", cut, rec.Outcome, rec.Output)
						}
					}
				}, "resilience:\n", "resilience:\n  breaker: { consecutive_failures: 1000, min_requests: 100000 }\n")
			})
		}
	}
}
