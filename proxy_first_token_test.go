package main_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
)

// ofStreams are the metrics of streams alone.
func ofStreams() []string {
	return []string{
		"weir_time_to_first_token_seconds_count", "weir_time_per_output_token_seconds_count",
		"gen_ai_client_operation_time_to_first_chunk_seconds_count",
		"gen_ai_server_time_to_first_token_seconds_count", "gen_ai_server_time_per_output_token_seconds_count",
	}
}

// TestRefusalsHaveNoFirstToken: what upstream refuses or fails has no content, so that
// nothing is told of when it came.
func TestRefusalsHaveNoFirstToken(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		steps  []azuresim.Step
		status int
	}{
		{"refused", []azuresim.Step{{Status: http.StatusBadRequest, Body: `{"error":{"message":"no","code":"unknown_parameter"}}`}}, http.StatusBadRequest},
		{"failed", steps("server-error", "server-error", "server-error"), http.StatusInternalServerError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				w.east.Script(tt.steps...)
				if got := w.chat(of("gpt-35-turbo", say("hello", `"stream":true`))); got.status != tt.status {
					t.Fatalf("%d %s", got.status, got.body)
				}
				if rec := w.record(); rec.FirstToken != 0 {
					t.Errorf("the first token came after %v", rec.FirstToken)
				}
				if diff := cmp.Diff([]string{}, samples(w.metrics(), ofStreams()...)); diff != "" {
					t.Errorf("metrics of streams (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestSessionsAreNoStreams: a realtime session lasts for as long as somebody talks and
// is silent, which says nothing of how quickly a model writes.
func TestSessionsAreNoStreams(t *testing.T) {
	t.Parallel()
	before(t, func(f *far) {
		f.say(`{"type":"session.created","session":{"id":"s"}}`)
		f.hear()
		f.say(responded("a", 100, 20))
		f.hear()
	}, func(w *world) {
		s := w.session()
		s.last("session.created")
		time.Sleep(10 * time.Second)
		s.say(`{"type":"response.create"}`)
		s.last("response.done")
		s.leave()
		w.record()
		if diff := cmp.Diff([]string{}, samples(w.metrics(), ofStreams()...)); diff != "" {
			t.Errorf("metrics of streams (-want +got):\n%s", diff)
		}
	})
}
