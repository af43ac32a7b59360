package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"weir/azuresim"
	"weir/command"
)

// canary is a text that must be in nothing that the gateway tells of a request.
func canary(where string) string { return "canary-" + where + "-7f3a" }

// TestNothingIsTold holds that neither prompts nor answers nor keys, nor what an error
// says or a client makes up, is in spans, logs, metrics or what the admin port
// shows, even where as much of content is asked for as there is (R8).
func TestNothingIsTold(t *testing.T) {
	t.Parallel()
	kept := tracetest.NewInMemoryExporter()
	bubbleOf(t, plain, func(p *command.Parts) { p.Spans = kept }, func(w *world) {
		w.sing()
		time.Sleep(time.Hour) // sums of usage are of whole minutes
		synctest.Wait()
		out := map[string]string{"the log": w.log.String(), "spans": dump(w.t, kept)}
		for _, path := range []string{
			"/metrics", "/readyz?verbose", "/admin/v1/usage", "/admin/v1/usage?by=key", "/admin/v1/stats", "/admin/v1/requests",
			"/admin/v1/teams", "/admin/v1/deployments", "/admin/v1/config",
		} {
			r := httptest.NewRequestWithContext(w.t.Context(), http.MethodGet, path, nil)
			r.Host, r.RemoteAddr = "127.0.0.1:8081", "127.0.0.1:5"
			answer := httptest.NewRecorder()
			w.gateway.Admin.ServeHTTP(answer, r)
			out[path] = answer.Body.String()
			if answer.Code != http.StatusOK {
				w.t.Errorf("%s answers %d: %s", path, answer.Code, answer.Body)
			}
		}
		for from, text := range out {
			for _, secret := range []string{"canary", searchKey, otherKey, eastKey, westKey} {
				if at := strings.Index(text, secret); at >= 0 {
					w.t.Errorf("%s holds %q: …%s…", from, secret, text[max(0, at-80):min(len(text), at+80)])
				}
			}
		}
		if len(kept.GetSpans()) <= len(w.records) || !strings.Contains(out["the log"], "special_tokens_in_input") {
			w.t.Errorf("%d spans of %d requests, and the log:\n%s", len(kept.GetSpans()), len(w.records), out["the log"])
		}
	}, "resilience:", "telemetry: { capture_content: always, traces: { propagate_to_azure: true } }\nresilience:")
}

// sing sends requests that hold canaries wherever there is room for one.
func (w *world) sing() {
	w.t.Helper()
	raw := func(status int) azuresim.Step {
		e := `{"error":{"message":"` + canary("error") + `","type":"` + canary("type") + `","param":"` + canary("param") + `","code":"` + canary("code") + `"}}`
		return azuresim.Step{Status: status, Header: http.Header{"Content-Type": {"application/json"}, "X-Canary": {canary("header")}}, Body: e}
	}
	answer := azuresim.Step{Content: canary("answer")}
	full := `{"model":"gpt-4o","user":"` + canary("user") + `","stop":["` + canary("stop") + `"],"metadata":{"` + canary("name") + `":"` + canary("value") + `"},` +
		`"service_tier":"` + canary("tier") + `","reasoning_effort":"` + canary("effort") + `","response_format":{"type":"` + canary("format") + `"},` +
		`"messages":[{"role":"system","content":"` + canary("system") + `"},{"role":"user","name":"` + canary("speaker") + `","content":[{"type":"text","text":"` + canary("part") + `"}]},` +
		`{"role":"assistant","tool_calls":[{"id":"` + canary("id") + `","type":"function","function":{"name":"` + canary("function") + `","arguments":"` + canary("arguments") + `"}}]},` +
		`{"role":"tool","tool_call_id":"` + canary("id") + `","content":"` + canary("result") + `"}],` +
		`"tools":[{"type":"function","function":{"name":"` + canary("function") + `","description":"` + canary("description") + `","parameters":{"type":"object"}}}]}`
	const chat = "/v1/chat/completions"
	for _, s := range []struct {
		path    string
		body    string
		step    *azuresim.Step
		headers []string
	}{
		{path: chat, body: full, step: &answer},
		{path: chat, body: say(canary("prompt"), stream), step: &answer},
		{path: chat, body: say(canary("prompt"), stream), step: &azuresim.Step{Content: canary("answer"), CutEvents: 3, Reset: true}},
		{path: chat, body: say(canary("prompt"), `"n":2`), step: &answer},
		{path: chat, body: of("gpt-35-turbo", say(canary("prompt"))), step: new(raw(400))},
		{path: chat, body: of("gpt-35-turbo", say(canary("prompt"))), step: new(raw(401))},
		{path: chat, body: say(canary("prompt")), step: new(raw(429))},
		{path: chat, body: of("d2", say(canary("prompt")))},
		{path: chat, body: say(canary("prompt")), step: new(raw(500))},
		{path: chat, body: of("gpt-5", say(canary("prompt"), stream)), step: &azuresim.Step{Fault: "error-late", Content: canary("answer")}},
		{path: chat, body: say(canary("prompt") + "<|im_start|>")},
		{path: chat, body: say(canary("prompt")), headers: []string{"api-key", canary("key")}},
		{path: chat, body: say(canary("prompt")), headers: []string{"Authorization", "Bearer " + canary("key")}},
		{path: chat, body: of(canary("model"), say("hello"))},
		{path: chat, body: `{"` + canary("garbage")},
		{path: chat, body: say("hello"), headers: []string{"Baggage", "a=" + canary("baggage"), "Cookie", canary("cookie"), "X-Forwarded-For", canary("address")}},
		{path: chat, body: say("hello"), headers: []string{"Traceparent", canary("trace"), "Tracestate", "a=" + canary("state")}},
		{path: chat + "?" + canary("query"), body: say("hello")},
		{path: "/v1/" + canary("path"), body: say("hello")},
		{path: "/openai/deployments/" + canary("deployment") + "/chat/completions?api-version=2024-10-21", body: say("hello")},
		{path: "/v1/models/" + canary("model")},
		{path: "/v1/responses/" + canary("response")},
	} {
		if s.step != nil {
			w.east.Script(*s.step)
		}
		w.do(w.t.Context(), http.MethodPost, s.path, s.body, s.headers...)
		w.do(w.t.Context(), http.MethodGet, s.path, "", s.headers...)
	}
}

// dump returns all that spans say.
func dump(t *testing.T, kept *tracetest.InMemoryExporter) string {
	t.Helper()
	var b strings.Builder
	for _, s := range kept.GetSpans() {
		attributes, err := json.Marshal(s.Attributes)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %s %+v %+v %s\n", s.Name, attributes, s.Status, s.Events, s.SpanContext.TraceState())
	}
	return b.String()
}
