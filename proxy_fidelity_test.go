package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
	"weir/usage"
)

// odd is a body in which every liberty is taken that JSON leaves, with fields
// that nobody knows. Whoever decodes it and encodes it again changes it.
const odd = "{ \"messages\" :\t[\n" +
	`  {"role":"system","content":"caf\u00e9 \/ \ud83d\ude00 \u2028 <b>&amp;</b> ` + "\u2028\u00e9\U0001f600" + `"},` + "\r\n" +
	`  {"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":1,\"a\":2,}"}}]},` +
	`{"role":"tool","tool_call_id":"call_1","content":"NaN"},
	{"role":"user","content":[{"type":"text","text":"hello","prompt_cache_breakpoint":{"mode":"explicit"}}]}],` +
	`"model":"gpt-4o","seed": 9223372036854775807,"user":"\u0061","temperature":1.0E-0,"top_p":0.10000000000000000555,` +
	`"logit_bias":{"50256":-100},"metadata":{"z":"1","a":"2"},"new_2027":{"deep":[[[{}]],-0,1e400,12345678901234567890,"\u0000"]},` +
	`"stop":["<|endoftext|>"],"max_tokens":16,"stream":null,"stream_options":null,"data_sources":[{"type":"azure_search","parameters":{"key":"k"}}] }`

// TestRequestFidelity is contract B19 and B27: upstream gets what the client
// wrote, byte for byte, but for the edits that have a name, each in its place.
func TestRequestFidelity(t *testing.T) {
	t.Parallel()
	const (
		onClassic = "/openai/deployments/gpt-4o/chat/completions"
		onV1      = "/openai/deployments/d2/chat/completions"
	)
	streamed := strings.Replace(odd, `"stream":null`, `"stream" : true`, 1)
	tests := []struct {
		name, path, body string
		old, new         string // the one edit; none where both are empty
	}{
		{name: "classic", path: onClassic, body: odd},
		{name: "classic, plain", path: onClassic, body: say("hello")},
		{name: "classic, stream false", path: onClassic, body: say("hello", `"stream":false`)},
		{name: "classic, another model", path: onClassic, body: strings.Replace(odd, `"gpt-4o"`, `"gpt-3.5-turbo"`, 1)},
		{name: "v1", path: onV1, body: odd, old: `"model":"gpt-4o"`, new: `"model":"d2"`},
		{name: "v1, its own name already", path: onV1, body: strings.Replace(odd, `"gpt-4o"`, `"d2"`, 1)},
		{name: "v1, an escaped model", path: onV1, body: strings.Replace(odd, `"model":"gpt-4o"`, `"m\u006fdel" : "gpt\u002d4o"`, 1), old: `"gpt\u002d4o"`, new: `"d2"`},
		{name: "v1, no model", path: onV1, body: strings.Replace(odd, `"model":"gpt-4o",`, "", 1), old: `{ "messages"`, new: `{"model":"d2", "messages"`},
		{name: "classic stream, options null", path: onClassic, body: streamed, old: `"stream_options":null`, new: `"stream_options":{"include_usage":true}`},
		{name: "classic stream, no options", path: onClassic, body: say("hello", stream), old: `{"model"`, new: `{"stream_options":{"include_usage":true},"model"`},
		{name: "classic stream, other options", path: onClassic, body: say("hello", stream, `"stream_options":{"include_obfuscation" : false}`), old: `{"include_obfuscation"`, new: `{"include_usage":true,"include_obfuscation"`},
		{name: "classic stream, usage not wanted", path: onClassic, body: say("hello", stream, `"stream_options":{ "include_usage" : false }`), old: `"include_usage" : false`, new: `"include_usage" : true`},
		{name: "classic stream, usage null", path: onClassic, body: say("hello", stream, `"stream_options":{"include_usage":null}`), old: `"include_usage":null`, new: `"include_usage":true`},
		{name: "classic stream, usage wanted", path: onClassic, body: say("hello", stream, `"stream_options":{ "include_usage" : true }`)},
	}
	bubble(t, plain, func(w *world) {
		for _, tt := range tests {
			w.forget()
			got := w.do(w.t.Context(), http.MethodPost, tt.path, tt.body)
			asked := w.asked()
			if got.status != http.StatusOK || len(asked) != 1 {
				w.t.Errorf("%s: answered %d, upstream was asked %d times: %s", tt.name, got.status, len(asked), got.body)
				continue
			}
			if strings.Count(tt.body, tt.old) != 1 && tt.old != "" {
				w.t.Fatalf("%s: the row is wrong", tt.name)
			}
			want := tt.body
			if tt.old != "" {
				want = strings.Replace(tt.body, tt.old, tt.new, 1)
			}
			if diff := cmp.Diff(want, string(asked[0].Body)); diff != "" {
				w.t.Errorf("%s: body (-want +got):\n%s", tt.name, diff)
			}
			if isStream := len(got.events()) > 0; isStream != strings.Contains(tt.body, "true") || strings.Contains(got.body, "include_usage") {
				w.t.Errorf("%s: answered with a stream: %v", tt.name, isStream)
			}
		}
	})
}

// oddAnswer is an answer as nobody's encoder would write it.
const oddAnswer = "{\n \"id\" : \"chatcmpl-1\", \"routing\":{\"serving_pipereplica\":\"x-1\"},\"object\":\"chat.completion\",\"created\":1.791231864E9," +
	`"choices":[{"content_filter_results":{},"finish_reason":"stop","index":0,"message":{"content":"caf\u00e9 \/ \ud83d\ude00","role":"assistant","annotations":[]},"logprobs":null}],` +
	`"usage":{"prompt_tokens":19,"completion_tokens":5,"total_tokens":24,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":2},"latency_checkpoint":{"engine_ttft_ms":84}},` +
	"\"error\":null,\"new_2027\":12345678901234567890}\n"

// TestAnswerFidelity is contract B20 to B24: the client gets what upstream wrote,
// byte for byte, or an error, and never a part of it.
func TestAnswerFidelity(t *testing.T) {
	t.Parallel()
	filtered := strings.NewReplacer(`"stop"`, `"content_filter"`, `"content":"caf\u00e9 \/ \ud83d\ude00"`, `"content":null`).Replace(oddAnswer)
	tests := []struct {
		name   string
		step   azuresim.Step
		header []string
		body   string // what must arrive; "" an error
		status int
		code   string
		finish string
		asked  int
	}{
		{name: "B20 fields that nobody knows", step: azuresim.Step{Status: 200, Body: oddAnswer}, body: oddAnswer, status: 200, finish: "stop", asked: 1},
		{name: "B22 a filtered answer", step: azuresim.Step{Status: 200, Body: filtered}, body: filtered, status: 200, finish: "content_filter", asked: 1},
		{name: "B23 gzip that nobody asked for", step: azuresim.Step{Status: 200, Body: oddAnswer, Gzip: true}, body: oddAnswer, status: 200, finish: "stop", asked: 1},
		{name: "B23 gzip that the client offered", step: azuresim.Step{Status: 200, Body: oddAnswer, Gzip: true}, header: []string{"Accept-Encoding", "gzip"}, body: oddAnswer, status: 200, finish: "stop", asked: 1},
		{name: "B24 less than it said", step: azuresim.Step{Fault: "truncated-json"}, status: 502, code: "upstream_unreachable", asked: 3},
		{name: "B24 half an answer", step: azuresim.Step{Fault: "short-json"}, status: 502, code: "upstream_bad_answer", asked: 3},
		{name: "B24 no answer at all", step: azuresim.Step{Fault: "empty-200"}, status: 502, code: "upstream_bad_answer", asked: 3},
		{name: "B24 gzip that is none", step: azuresim.Step{Status: 200, Body: oddAnswer, Header: http.Header{"Content-Encoding": {"gzip"}}}, status: 502, code: "upstream_unreachable", asked: 3},
		{name: "B24 an encoding that nobody asked for", step: azuresim.Step{Status: 200, Body: oddAnswer, Header: http.Header{"Content-Encoding": {"br"}}}, status: 502, code: "upstream_unreachable", asked: 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				w.east.Script(tt.step, tt.step, tt.step)
				w.west.Script(tt.step, tt.step, tt.step)
				got := w.chat(say("hello"), tt.header...)
				if code, _, _ := got.code(); got.status != tt.status || code != tt.code || got.err != nil {
					t.Errorf("answered %d %q, %v: %s", got.status, code, got.err, got.body)
				}
				if diff := cmp.Diff(tt.body, got.body); tt.body != "" && diff != "" {
					t.Errorf("body (-want +got):\n%s", diff)
				}
				if got.header.Get("Content-Encoding") != "" || got.header.Get("Content-Type") != "application/json" {
					t.Errorf("header %v", got.header)
				}
				if n := len(w.asked()); n != tt.asked {
					t.Errorf("upstream was asked %d times, want %d", n, tt.asked)
				}
				rec := w.record()
				if tt.body == "" {
					if rec.Outcome != usage.UpstreamError || rec.Input != 0 {
						t.Errorf("recorded %q, input %d", rec.Outcome, rec.Input)
					}
					return
				}
				used := [4]int64{rec.Input, rec.Output, rec.Cached, rec.Reasoning}
				if used != [4]int64{19, 5, 3, 2} || rec.Counted || rec.FinishReason != tt.finish || rec.Outcome != usage.OK {
					t.Errorf("recorded %v, finish %q, outcome %q", used, rec.FinishReason, rec.Outcome)
				}
			})
		})
	}
}

// TestAnswerHeaders is contract B21: which of upstream's headers reach the client,
// and which are the gateway's.
func TestAnswerHeaders(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		w.east.Script(azuresim.Step{Header: http.Header{
			"Set-Cookie": {"ARRAffinity=1"}, "Server": {"Kestrel"}, "Alt-Svc": {"h3"}, "X-Envoy-Upstream-Service-Time": {"1"}, "Via": {"1.1 x"},
			"X-Ratelimit-Remaining-Tokens": {"17"}, "X-Ratelimit-Remaining-Requests": {"3"}, "X-Ratelimit-Reset-Tokens": {"4"}, "Retry-After": {"7"},
			"Azure-Openai-Deployment-Utilization": {"12%"}, "X-Should-Retry": {"true"}, "Connection": {"X-Ms-Region"}, "Keep-Alive": {"timeout=1"},
			"Openai-Organization": {"org-of-the-key"}, "Access-Control-Allow-Origin": {"*"}, "Www-Authenticate": {"Bearer"}, "X-Weir-Attempts": {"9"},
		}})
		got := w.chat(say("hello"), "X-Request-Id", "mine-1")
		want := http.Header{
			"Apim-Request-Id": {"00000001-0000-4000-8000-000000000001"}, "Azure-Openai-Deployment-Utilization": {"12%"},
			"Azureml-Model-Session": {"sim-session"}, "Content-Length": got.header["Content-Length"], "Content-Type": {"application/json"},
			"Date": got.header["Date"], "X-Content-Type-Options": {"nosniff"}, "X-Ms-Deployment-Name": {"gpt-4o-east"}, "X-Ms-Rai-Invoked": {"true"},
			"X-Ms-Region": {"East US 2"}, "X-Request-Id": {"mine-1"}, "X-Weir-Upstream-Request-Id": {"00000001-0000-4000-8000-000000000001"},
			"X-Weir-Attempts": {"1"}, "X-Weir-Cost-Usd": {"0.00016"}, "X-Weir-Deployment": {"east/gpt-4o-east"}, "X-Weir-Overhead-Ms": {"0.000"},
		}
		if diff := cmp.Diff(want, got.header); diff != "" {
			t.Errorf("header (-want +got):\n%s", diff)
		}
		rec := w.record()
		if rec.RequestID != "mine-1" || rec.AzureRequestID != "00000001-0000-4000-8000-000000000001" || rec.AzureRegion != "East US 2" {
			t.Errorf("recorded %q, %q, %q", rec.RequestID, rec.AzureRequestID, rec.AzureRegion)
		}
		for _, id := range []string{"", "with space", strings.Repeat("x", 129), "caf\u00e9"} {
			got := w.chat(say("hello"), "X-Request-Id", id, "X-Ms-Client-Request-Id", id)
			if own := got.header.Get("X-Request-Id"); !strings.HasPrefix(own, "req_") || len(own) != 30 {
				t.Errorf("the request id %q was answered with %q", id, own)
			}
			if back := got.header.Get("X-Ms-Client-Request-Id"); back == id && id != "" {
				t.Errorf("the client's id %q came back", id)
			}
		}
	})
}

// TestCanaries is reliability B7: what a request, an answer, a key or an upstream
// error holds is in no log line and no record, and in no other team's answer.
func TestCanaries(t *testing.T) {
	t.Parallel()
	n := 0
	var canaries []string
	canary := func() string {
		n++
		c := fmt.Sprintf("canary-%03d-bird", n)
		canaries = append(canaries, c)
		return c
	}
	answer := func(text string) string { return strings.Replace(oddAnswer, "caf", text, 1) }
	fault := func(text string) string {
		return `{"error":{"message":"` + text + `","code":"` + text + `","param":"` + text + `"}}`
	}
	bubble(t, plain, func(w *world) {
		both := func(s azuresim.Step) {
			w.forget()
			w.east.Script(s, s, s)
			w.west.Script(s, s, s)
		}
		post := func(path, body string, header ...string) { w.do(w.t.Context(), http.MethodPost, path, body, header...) }
		both(azuresim.Step{Status: 200, Body: answer(canary())})
		post(chatPath, say(canary(), `"user":"`+canary()+`"`, `"`+canary()+`":1`, `"stop":"`+canary()+`"`))
		for _, name := range azuresim.Faults() {
			if azuresim.Explain(name) == "" || name == "hang" || name == "infinite" || strings.HasPrefix(name, "endless") || strings.HasSuffix(name, "bomb") || strings.HasPrefix(name, "huge") || strings.HasPrefix(name, "unfinished") {
				continue
			}
			both(azuresim.Step{Fault: name})
			post(chatPath, say(canary()))
			both(azuresim.Step{Fault: name})
			post(chatPath, say(canary(), stream))
		}
		for _, status := range []int{400, 401, 403, 404, 408, 409, 413, 429, 500, 502, 503} {
			both(azuresim.Step{Status: status, Body: fault(canary()), Header: http.Header{"X-Any": {canary()}}})
			post(chatPath, say(canary()))
			both(azuresim.Step{Status: status, Body: canary()})
			post(chatPath, say(canary()))
		}
		both(azuresim.Step{Chunks: []string{"data: " + canary() + "\n\n"}})
		post(chatPath, say(canary(), stream))
		both(azuresim.Step{Chunks: []string{`data: {"choices":[{"index":0,"delta":{"content":"` + canary() + `"}}]}` + "\n\ndata: " + fault(canary()) + "\n\n"}})
		post(chatPath, say(canary(), stream))
		both(azuresim.Step{Status: 307, Header: http.Header{"Location": {"https://" + canary() + ".example.com"}}})
		post(chatPath, say(canary()))

		w.forget()
		post(chatPath, say(canary()+" <|im_start|> "+canary()))
		post(chatPath, say(canary())+canary())
		post(chatPath, say(canary(), `"max_tokens":"`+canary()+`"`))
		post(chatPath, `{"model":"`+canary()+`","messages":[{"role":"user","content":"`+canary()+`"}]}`)
		post(chatPath+"?x="+canary(), say(canary()))
		post("/openai/deployments/"+canary()+"/chat/completions?api-version="+canary(), say(canary()))
		post("/"+canary(), canary())
		post(chatPath, say(canary()), "Authorization", "Bearer "+canary())
		post(chatPath, say(canary()), "api-key", canary(), "Cookie", canary(), "X-Any", canary(), "Content-Type", canary())
		canaries = append(canaries, searchKey, otherKey, eastKey, westKey)

		rec := w.record()
		if rec.Status == 0 || n < 300 {
			t.Errorf("%d canaries", n)
		}
		records, err := json.Marshal(w.records)
		if err != nil {
			t.Fatal(err)
		}
		w.forget()
		other := w.do(w.t.Context(), http.MethodPost, chatPath, strings.Replace(say("hello"), "gpt-4o", "gpt-35-turbo", 1), "api-key", otherKey)
		models := w.do(w.t.Context(), http.MethodGet, "/v1/models", "", "api-key", otherKey)
		if other.status != http.StatusOK || models.status != http.StatusOK {
			t.Errorf("the other team was answered %d and %d", other.status, models.status)
		}
		places := map[string]string{
			"the log": w.log.String(), "a record": string(records),
			"another team's answer": fmt.Sprint(other.header, other.body), "another team's listing": fmt.Sprint(models.header, models.body),
		}
		for place, text := range places {
			for _, c := range canaries {
				if i := strings.Index(text, c); i >= 0 {
					t.Errorf("%s holds %s: %.200s", place, c, text[max(0, i-100):])
				}
			}
		}
		if !strings.Contains(w.log.String(), `"request_id"`) {
			t.Error("nothing was logged")
		}
	})
}
