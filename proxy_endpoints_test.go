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

// all are the edits that add models of every kind, on the deployment mystery and,
// for what Azure has not, on a backend that speaks as OpenAI does.
func all(more ...string) []string {
	return append([]string{
		"models:\n", `models:
  text-embedding-3-small: { price: { input: 20, output: 0 }, deployments: [{ backend: east, deployment: mystery }] }
  gpt-35-turbo-instruct: { price: { input: 20, output: 40 }, deployments: [{ backend: east, deployment: gpt-35-turbo }, { backend: west, deployment: d2, priority: 1 }] }
  gpt-image-1: { price: { input: 20, output: 40 }, deployments: [{ backend: east, deployment: mystery }] }
  gpt-4o-mini-tts: { price: { input: 20, output: 40 }, deployments: [{ backend: east, deployment: mystery }] }
  omni-moderation-latest: { price: { input: 20, output: 0 }, deployments: [{ backend: away, deployment: mystery }] }
`,
		"backends:\n", "backends:\n  away: { kind: openai, endpoint: \"http://127.0.0.1:81\", auth: { api_key: \"${EAST_KEY}\" } }\n",
		"mystery: { deployments", "mystery: { price: { input: 1, output: 1 }, deployments",
	}, more...)
}

// endpoint is an endpoint with a request that it serves.
type endpoint struct {
	name, path, model string
	body              string // behind the model
	upstream          string // where the request arrives
	stream            bool   // it can
	binary            bool   // the answer is no JSON
	free              bool   // of tokens
}

func (e endpoint) request(model string, more ...string) string {
	return `{"model":"` + model + `",` + strings.Join(append([]string{e.body}, more...), ",") + `}`
}

func endpoints() []endpoint {
	const deployment = "/openai/deployments/"
	return []endpoint{
		{name: "responses", path: "responses", model: "gpt-4o", body: `"input":"hello"`, upstream: "/openai/v1/responses", stream: true},
		{name: "compact", path: "responses/compact", model: "gpt-4o", body: `"input":"hello"`, upstream: "/openai/v1/responses/compact"},
		{name: "embeddings", path: "embeddings", model: "text-embedding-3-small", body: `"input":"hello"`, upstream: deployment + "mystery/embeddings"},
		{name: "completions", path: "completions", model: "gpt-35-turbo-instruct", body: `"prompt":"hello"`, upstream: deployment + "gpt-35-turbo/completions", stream: true},
		{name: "images", path: "images/generations", model: "gpt-image-1", body: `"prompt":"a cat"`, upstream: deployment + "mystery/images/generations", stream: true},
		{name: "speech", path: "audio/speech", model: "gpt-4o-mini-tts", body: `"input":"hello","voice":"alloy"`, upstream: deployment + "mystery/audio/speech", binary: true},
		{name: "moderations", path: "moderations", model: "omni-moderation-latest", body: `"input":"hello"`, upstream: "/v1/moderations", free: true},
	}
}

// TestEndpoints: every endpoint is served by each form of its path, under the keys,
// the limits and the accounts that chat is served under.
func TestEndpoints(t *testing.T) {
	t.Parallel()
	const canary = `"user":"\u0061","x_unknown":[1.0,{"b":null}]`
	for _, e := range endpoints() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				forms := []string{"/v1/", "/", "/openai/v1/", "/openai/"}
				if e.name != "moderations" {
					forms = append(forms, "/openai/deployments/"+e.model+"/", "/deployments/"+e.model+"/")
				}
				for i, form := range forms {
					model := e.model
					if strings.Contains(form, "deployments") {
						model = "anything"
					}
					got := w.do(w.t.Context(), http.MethodPost, form+e.path+"?api-version=2025-04-01-preview", e.request(model, canary), "api-key", searchKey)
					if got.status != http.StatusOK || got.err != nil || !e.binary && !json.Valid([]byte(got.body)) || got.body == "" {
						t.Fatalf("%s: %d %v %s", form, got.status, got.err, got.body)
					}
					asked := w.asked()
					if len(asked) != i+1 || asked[i].Path != e.upstream || !strings.Contains(string(asked[i].Body), canary) {
						t.Errorf("%s: asked %d times, %s %s", form, len(asked), asked[i].Path, asked[i].Body)
					}
					rec := w.record()
					if rec.Model != e.model || rec.Outcome != usage.OK || rec.Input == 0 || rec.Cost == 0 && !e.free && e.name != "responses" && e.name != "compact" {
						t.Errorf("%s: recorded %+v", form, rec)
					}
				}
			}, all()...)
		})
	}
}

// TestEndpointsAreGuarded: an endpoint is no hole in the keys, models and limits.
func TestEndpointsAreGuarded(t *testing.T) {
	t.Parallel()
	for _, e := range endpoints() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			post := func(w *world, model string, headers ...string) reply {
				return w.do(w.t.Context(), http.MethodPost, "/v1/"+e.path, e.request(model), headers...)
			}
			check := func(w *world, got reply, status int, code string, calls int) {
				w.t.Helper()
				if c, _, _ := got.code(); got.status != status || c != code || len(w.asked()) != calls {
					w.t.Errorf("answered %d %s after %d calls, want %d %s after %d", got.status, got.body, len(w.asked()), status, code, calls)
				}
				if diff := gocmp.Diff([]string{"code", "message", "param", "type"}, errorKeys(w.t, got)); diff != "" {
					w.t.Error(diff)
				}
			}
			bubble(t, plain, func(w *world) {
				check(w, post(w, e.model, "Authorization", "Bearer sk-nobody"), 401, "invalid_api_key", 0)
				check(w, post(w, "no-such-model"), 404, "model_not_found", 0)
				check(w, post(w, e.model, asOther()...), 403, "model_not_allowed", 0)
				check(w, w.do(w.t.Context(), http.MethodPost, "/v1/"+e.path, `{"model":`), 400, "invalid_json", 0)
			}, all()...)
			bubble(t, plain, func(w *world) {
				if got := post(w, e.model); got.status != http.StatusOK {
					t.Fatal(got.status, got.body)
				}
				check(w, post(w, e.model), 429, "rate_limit_exceeded", 1)
			}, all(limited("rpm: 1, burst_requests: 1")...)...)
			bubble(t, plain, func(w *world) {
				calls := 0
				got := post(w, e.model)
				for ; got.status == http.StatusOK && calls < 30; got = post(w, e.model) {
					calls++
				}
				if calls == 0 {
					t.Error("none was served")
				}
				check(w, got, 429, "rate_limit_exceeded", calls)
			}, all(limited("tpm: 1, burst_tokens: 24")...)...)
			bubble(t, plain, func(w *world) {
				w.east.Script(azuresim.Step{Fault: "special-tokens"})
				got := post(w, e.model)
				if got.status != http.StatusBadRequest || w.record().Outcome != usage.ClientError || len(w.asked()) != 1 {
					t.Errorf("upstream's refusal: %d %s", got.status, got.body)
				}
			}, all()...)
		})
	}
}

// TestEndpointsStream: what can be streamed comes event by event, ends as its API
// ends, and is metered.
func TestEndpointsStream(t *testing.T) {
	t.Parallel()
	for _, e := range endpoints() {
		if !e.stream {
			continue
		}
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				got := w.do(w.t.Context(), http.MethodPost, "/v1/"+e.path, e.request(e.model, stream))
				if got.status != http.StatusOK || got.err != nil || got.header.Get("Content-Type") != "text/event-stream" {
					t.Fatal(got.status, got.err, got.body)
				}
				if done := strings.HasSuffix(got.body, "\n\ndata: [DONE]\n\n"); done != (e.name == "completions") {
					t.Errorf("ended in %q", got.body[max(0, len(got.body)-100):])
				}
				asked := w.asked()
				rec := w.record()
				if rec.Input != int64(asked[0].PromptTokens) || rec.Output != int64(asked[0].CompletionTokens) || rec.Output == 0 || rec.Counted {
					t.Errorf("recorded %d and %d of %d and %d", rec.Input, rec.Output, asked[0].PromptTokens, asked[0].CompletionTokens)
				}
				if e.name == "completions" && strings.Contains(got.body, `"usage"`) {
					t.Errorf("a usage that nobody asked for: %s", got.body)
				}
				w.east.Script(azuresim.Step{Fault: "cut-stream"})
				got = w.do(w.t.Context(), http.MethodPost, "/v1/"+e.path, e.request(e.model, stream, `"partial_images":2`))
				if !errors.Is(got.err, io.ErrUnexpectedEOF) || !strings.Contains(got.body, "upstream_stream_interrupted") || strings.Contains(got.body, "[DONE]") {
					t.Errorf("cut: %v %.300s", got.err, got.body)
				}
				w.east.Script(azuresim.Step{Fault: "server-error-stream"})
				if e.name != "images" { // it has one deployment, which is asked again
					got = w.do(w.t.Context(), http.MethodPost, "/v1/"+e.path, e.request(e.model, stream))
					if rec := w.record(); got.status != http.StatusOK || got.err != nil || len(rec.Attempts) != 2 {
						t.Errorf("failed before content: %d %v after %d attempts", got.status, got.err, len(rec.Attempts))
					}
				}
			}, all()...)
		})
	}
}

// TestEmbeddings is B25: vectors come as they are sent, each form of input is
// counted, and one of too many is refused.
func TestEmbeddings(t *testing.T) {
	t.Parallel()
	many := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat(`"a",`, n), ",") + "]" }
	tests := []struct {
		name, input string
		tokens      int64 // by our own count
		code, param string
	}{
		{name: "a text", input: `"hello world"`, tokens: 2},
		{name: "texts", input: `["hello world","hello"]`, tokens: 3},
		{name: "tokens", input: `[15339,1917]`, tokens: 2},
		{name: "lists of tokens", input: `[[15339,1917],[15339]]`, tokens: 3},
		{name: "as many as may be", input: many(2048), tokens: 2048},
		{name: "too many", input: many(2049), code: "invalid_value", param: "input"},
		{name: "a special token, which is text here", input: `"<|endoftext|>"`, tokens: 7},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				body := `{"model":"text-embedding-3-small","encoding_format":"base64","dimensions":8,"input":` + tt.input + `}`
				got := w.do(w.t.Context(), http.MethodPost, "/v1/embeddings", body)
				if tt.code != "" {
					if code, param, _ := got.code(); got.status != http.StatusBadRequest || code != tt.code || param != tt.param || len(w.asked()) != 0 {
						t.Errorf("%d %s after %d calls", got.status, got.body, len(w.asked()))
					}
					return
				}
				asked := w.asked()
				if got.status != http.StatusOK || len(asked) != 1 || !strings.Contains(string(asked[0].Body), `"input":`+tt.input) {
					t.Fatalf("%d %.300s", got.status, got.body)
				}
				rec := w.record()
				if rec.Input != int64(asked[0].PromptTokens) || rec.Output != 0 || rec.Counted {
					t.Errorf("recorded %d and %d of %d", rec.Input, rec.Output, asked[0].PromptTokens)
				}
				w.east.Script(azuresim.Step{Fault: "no-usage"})
				w.do(w.t.Context(), http.MethodPost, "/v1/embeddings", body)
				if rec := w.record(); rec.Input != tt.tokens || !rec.Counted {
					t.Errorf("counted %d, want %d", rec.Input, tt.tokens)
				}
				raw := `{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AACAPwAAgD8="}], "model":"m","usage":{"prompt_tokens":9,"total_tokens":9}}`
				w.east.Script(azuresim.Step{Status: http.StatusOK, Body: raw, Header: http.Header{"Content-Type": {"application/json"}}})
				if got := w.do(w.t.Context(), http.MethodPost, "/v1/embeddings", body); got.body != raw || w.record().Input != 9 {
					t.Errorf("answered %s, charged %d", got.body, w.record().Input)
				}
			}, all()...)
		})
	}
}

// TestSpeech: sound comes as it is, of the type that it has; one that breaks off ends
// in a broken connection.
func TestSpeech(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		body := `{"model":"gpt-4o-mini-tts","voice":"alloy","response_format":"wav","input":"` + strings.Repeat("hello ", 100) + `"}`
		got := w.do(w.t.Context(), http.MethodPost, "/v1/audio/speech", body, "Accept", "application/octet-stream")
		if got.status != http.StatusOK || got.err != nil || got.header.Get("Content-Type") != "audio/wav" || !strings.HasPrefix(got.body, "RIFF") || len(got.body) != 44+200*600 {
			t.Errorf("%d %v %v, %d bytes", got.status, got.err, got.header, len(got.body))
		}
		if rec := w.record(); rec.Outcome != usage.OK || !rec.Counted || rec.Input < 100 || rec.Cost == 0 {
			t.Errorf("recorded %+v", rec)
		}
		w.east.Script(azuresim.Step{CutBytes: 5000, Reset: true})
		got = w.do(w.t.Context(), http.MethodPost, "/v1/audio/speech", body)
		if rec := w.record(); got.err == nil || len(got.body) != 5000 || rec.Outcome != usage.UpstreamError || rec.Code != "upstream_stream_interrupted" {
			t.Errorf("cut: %d %v, %d bytes, recorded %s %s", got.status, got.err, len(got.body), rec.Outcome, rec.Code)
		}
		w.east.Script(azuresim.Step{Fault: "unavailable"})
		got = w.do(w.t.Context(), http.MethodPost, "/v1/audio/speech", body)
		if rec := w.record(); got.status != http.StatusOK || len(rec.Attempts) != 2 {
			t.Errorf("after a failure: %d %s", got.status, got.body)
		}
		events := w.do(w.t.Context(), http.MethodPost, "/v1/audio/speech", strings.Replace(body, `"voice"`, `"stream_format":"sse","voice"`, 1))
		if rec := w.record(); events.status != http.StatusOK || events.err != nil || !strings.Contains(events.body, "speech.audio.done") || rec.Counted || rec.Output == 0 {
			t.Errorf("events: %d %v, recorded %+v", events.status, events.err, rec)
		}
	}, all()...)
}

// TestCompletions: each form of a prompt, a screened one, the window, and several
// answers.
func TestCompletions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, prompt, fields string
		status               int
		code, param          string
	}{
		{"a text", `"hello"`, "", 200, "", ""},
		{"texts", `["hello","there"]`, `,"n":2`, 200, "", ""},
		{"tokens", `[9906,1917]`, "", 200, "", ""},
		{"lists of tokens", `[[9906],[1917]]`, "", 200, "", ""},
		{"the default", `"<|endoftext|>"`, "", 200, "", ""},
		{"a special token", `"a <|endoftext|> b"`, "", 400, "special_tokens_in_input", "prompt"},
		{"a special token of many", `["x","a <|im_start|> b"]`, "", 400, "special_tokens_in_input", "prompt[1]"},
		{"a special token by its number", `[9906,100257,1917]`, "", 400, "special_tokens_in_input", "prompt[1]"},
		{"a special token's number of many", `[[9906],[1917,100264]]`, "", 400, "special_tokens_in_input", "prompt[1][1]"},
		{"a number that is no token", `[9906,1e2]`, "", 400, "special_tokens_in_input", "prompt[1]"},
		{"a window", strconv.Quote(strings.Repeat("word ", 20_000)), "", 400, "context_length_exceeded", "prompt"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				for _, more := range []string{"", "," + stream} {
					body := fmt.Sprintf(`{"model":"gpt-35-turbo-instruct","prompt":%s%s%s}`, tt.prompt, tt.fields, more)
					before := len(w.asked())
					got := w.do(w.t.Context(), http.MethodPost, "/v1/completions", body)
					if code, param, _ := got.code(); got.status != tt.status || code != tt.code || param != tt.param {
						t.Errorf("%d %.400s", got.status, got.body)
					}
					asked := w.asked()[before:]
					if tt.status != http.StatusOK {
						if len(asked) != 0 {
							t.Errorf("%d calls", len(asked))
						}
						continue
					}
					rec := w.record()
					if len(asked) != 1 || rec.Input != int64(asked[0].PromptTokens) || rec.Output != int64(asked[0].CompletionTokens) || rec.Output == 0 {
						t.Errorf("recorded %d and %d of %+v", rec.Input, rec.Output, asked)
					}
				}
			}, all()...)
		})
	}
}
