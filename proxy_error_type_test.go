package main_test

import (
	"net/http"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"weir/azuresim"
)

// TestErrorTypesAgree: the metrics of the conventions say of what failed what its spans
// say, and of what did not fail nothing.
func TestErrorTypesAgree(t *testing.T) {
	t.Parallel()
	const streamed = `"stream":true`
	tests := []struct {
		name            string
		step            azuresim.Step
		fields          []string
		attempt, answer string
	}{
		{name: "an answer"},
		{name: "refused", step: azuresim.Step{Status: http.StatusBadRequest, Body: `{"error":{"message":"no"}}`}, attempt: "400", answer: "400"},
		{name: "failed", step: azuresim.Step{Fault: "server-error"}, attempt: "500", answer: "500"},
		{name: "no connection", step: azuresim.Step{CloseAfterRead: true}, attempt: "interrupted", answer: "502"},
		{name: "nonsense", step: azuresim.Step{Status: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: "{"}, attempt: "502", answer: "502"},
		{name: "cut behind the commit point", step: azuresim.Step{CutEvents: 4}, fields: []string{streamed}, attempt: "cut_stream", answer: "upstream_stream_interrupted"},
		{name: "a stream", fields: []string{streamed}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			traced(t, func(w *world, kept *tracetest.InMemoryExporter) {
				w.east.Script(tt.step)
				w.chat(of("gpt-35-turbo", say("hello", tt.fields...)))
				spans := ended(kept)
				if len(spans) != 2 {
					t.Fatalf("%d spans", len(spans))
				}
				label := regexp.MustCompile(`\{(?:error_type="([^"]*)")?`)
				measured := func(name string) string {
					lines := samples(w.metrics(), name)
					if len(lines) != 1 {
						t.Fatalf("there are %q", lines)
					}
					return label.FindStringSubmatch(lines[0])[1]
				}
				got := map[string]string{
					"the attempt's span": told(spans[1])["error.type"].AsString(), "the request's span": told(spans[0])["error.type"].AsString(),
					"the attempt": measured("gen_ai_client_operation_duration_seconds_count"), "the request": measured("gen_ai_server_request_duration_seconds_count"),
				}
				want := map[string]string{"the attempt's span": tt.attempt, "the request's span": tt.answer, "the attempt": tt.attempt, "the request": tt.answer}
				if tt.answer == "400" {
					want["the request's span"] = "" // of a refusal the conventions of HTTP say nothing, for a server
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("error.type (-want +got):\n%s", diff)
				}
			}, "retry: {", "retry: { max_attempts: 1,")
		})
	}
}
