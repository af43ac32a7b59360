package main_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"weir/azuresim"
)

// TestWordsOfUpstreamAreNames: what upstream says of its answer is in logs, spans and
// the dashboard where it is a name, and nothing of it where it is a text.
func TestWordsOfUpstreamAreNames(t *testing.T) {
	t.Parallel()
	const canary = "CANARY the answer, said as a name"
	text, err := json.Marshal(canary + strings.Repeat(".", 64<<10))
	if err != nil {
		t.Fatal(err)
	}
	said := strings.NewReplacer("TEXT", string(text)).Replace
	head := http.Header{"Apim-Request-Id": {canary}, "X-Request-Id": {canary}, "X-Ms-Region": {canary + strings.Repeat(".", 8<<10)}}
	plainly, streamed := head.Clone(), head.Clone()
	plainly.Set("Content-Type", "application/json")
	streamed.Set("Content-Type", "text/event-stream")
	tests := []struct {
		name string
		step azuresim.Step
		path string
		body string
	}{
		{
			name: "an answer", path: chatPath, body: say("hello"),
			step: azuresim.Step{Status: http.StatusOK, Header: plainly, Body: said(`{"id":TEXT,"object":"chat.completion","model":TEXT,"service_tier":TEXT,"system_fingerprint":TEXT,
				"choices":[{"index":0,"finish_reason":TEXT,"message":{"role":"assistant","content":"hi"}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)},
		},
		{
			name: "a stream", path: chatPath, body: say("hello", `"stream":true`),
			step: azuresim.Step{Status: http.StatusOK, Header: streamed, Chunks: []string{
				said(`data: {"id":TEXT,"object":"chat.completion.chunk","model":TEXT,"service_tier":TEXT,"system_fingerprint":TEXT,"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":TEXT}]}`) + "\n\n",
				"data: [DONE]\n\n",
			}},
		},
		{
			name: "a response", path: "/v1/responses", body: `{"model":"gpt-4o","input":"hello","store":false}`,
			step: azuresim.Step{Status: http.StatusOK, Header: plainly, Body: said(`{"id":"resp_1","object":"response","model":TEXT,"service_tier":TEXT,"status":"incomplete",
				"incomplete_details":{"reason":TEXT},"output":[],"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2}}`)},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			traced(t, func(w *world, kept *tracetest.InMemoryExporter) {
				w.east.Script(tt.step)
				if got := w.do(w.t.Context(), http.MethodPost, tt.path, tt.body); got.status != http.StatusOK {
					t.Fatalf("%d %.200s", got.status, got.body)
				}
				spans, err := json.Marshal(ended(kept))
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				shown := map[string]string{"spans": string(spans), "the log": w.log.String(), "metrics": w.metrics()}
				for _, path := range []string{"/admin/v1/requests", "/admin/v1/deployments", "/readyz?verbose"} {
					shown[path] = w.overview(path)
				}
				for where, text := range shown {
					if at := strings.Index(text, "CANARY"); at >= 0 {
						t.Errorf("%s hold %.300q", where, text[max(0, at-100):])
					}
				}
			}, "version: 1\n", "version: 1\ntelemetry: { capture_content: always }\n")
		})
	}
}

// overview returns what the admin port says at a path.
func (w *world) overview(path string) string {
	w.t.Helper()
	answer := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(w.t.Context(), http.MethodGet, path, http.NoBody)
	r.RemoteAddr, r.Host = "127.0.0.1:1", "127.0.0.1"
	w.gateway.Admin.ServeHTTP(answer, r)
	if answer.Code != http.StatusOK {
		w.t.Fatalf("%s answers %d: %s", path, answer.Code, answer.Body)
	}
	return answer.Body.String()
}
