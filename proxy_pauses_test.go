package main_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
	"weir/usage"
)

// TestPauses holds which pauses a record has: those between the chunks of a stream's
// content as they arrived, be it whole or cut, and whoever reads it.
func TestPauses(t *testing.T) {
	t.Parallel()
	four, responses := strings.Repeat("four words a burst ", 4), "/v1/responses"
	const piece = `data: {"choices":[{"index":0,"delta":{"content":"so"}}]}` + "\n\n"
	body := say("hello", stream)
	off := []string{"resilience:", "telemetry: { metrics: { gen_ai: false } }\nresilience:"}
	counts := func(of map[int]uint64) (c [15]uint64) {
		for at, n := range of {
			c[at] = n
		}
		return c
	}
	even := &usage.Pauses{Counts: counts(map[int]uint64{7: 3}), Total: 3, Sum: 3 * time.Second, Least: time.Second, Most: time.Second}
	tests := []struct {
		name, path, body string
		step             azuresim.Step
		edits            []string
		want             *usage.Pauses
	}{
		{name: "a second each", step: azuresim.Step{Content: four, Delay: time.Second, Gap: time.Second}, want: even},
		{
			name: "a long one among them", step: azuresim.Step{Content: four, OfContent: true, PauseAt: 2, Pause: 3 * time.Second},
			want: &usage.Pauses{Counts: counts(map[int]uint64{0: 2, 9: 1}), Total: 3, Sum: 3 * time.Second, Most: 3 * time.Second},
		},
		{name: "all at once", step: azuresim.Step{Content: four}, want: &usage.Pauses{Counts: counts(map[int]uint64{0: 3}), Total: 3}},
		{name: "one chunk", step: azuresim.Step{Content: "one", Gap: time.Second}, want: &usage.Pauses{}},
		{name: "typed events", path: responses, body: `{"model":"gpt-4o","input":"hello","stream":true}`, step: azuresim.Step{Content: four, Gap: time.Second}, want: even},
		{
			name: "several in one piece of the wire", step: azuresim.Step{Chunks: []string{piece + piece, piece + piece + "data: [DONE]\n\n"}, Gap: 5 * time.Second},
			want: &usage.Pauses{Counts: counts(map[int]uint64{0: 2, 9: 1}), Total: 3, Sum: 5 * time.Second, Most: 5 * time.Second},
		},
		{name: "no stream", body: say("hello"), step: azuresim.Step{Content: four}},
		{name: "nobody wants to know", step: azuresim.Step{Content: four, Gap: time.Second}, edits: off},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.path == "" {
				tt.path = "/v1/chat/completions"
			}
			if tt.body == "" {
				tt.body = body
			}
			bubble(t, plain, func(w *world) {
				w.east.Script(tt.step)
				if got := w.do(w.t.Context(), http.MethodPost, tt.path, tt.body); got.status != http.StatusOK || got.err != nil {
					t.Fatalf("answered %d %v: %s", got.status, got.err, got.body)
				}
				if diff := cmp.Diff(tt.want, w.record().Pauses); diff != "" {
					t.Errorf("the pauses (-want +got):\n%s", diff)
				}
			}, tt.edits...)
		})
	}
}

// TestPausesOfTheAnswer holds that what came of a stream before it was cut counts, and
// that only the attempt is measured that answered.
func TestPausesOfTheAnswer(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		w.east.Script(azuresim.Step{Fault: "unavailable"})
		w.west.Script(azuresim.Step{Content: strings.Repeat("four words a burst ", 6), Gap: time.Second, OfContent: true, CutEvents: 3})
		cut := w.chat(say("hello", stream))
		rec := w.record()
		if cut.err == nil || len(rec.Attempts) != 2 || rec.Pauses == nil || rec.Pauses.Total != 2 || rec.Pauses.Sum != 2*time.Second {
			t.Fatalf("%v, recorded %+v with pauses %+v", cut.err, rec, rec.Pauses)
		}
		const labels = `{gen_ai_operation_name="chat",gen_ai_provider_name="azure.ai.openai",gen_ai_request_model="gpt-4o",gen_ai_response_model="gpt-4o-2024-11-20",server_address="127.0.0.1",server_port="82"} `
		want := []string{"gen_ai_client_operation_time_per_output_chunk_seconds_count" + labels + "2", "gen_ai_client_operation_time_to_first_chunk_seconds_count" + labels + "1"}
		got := samples(w.metrics(), "gen_ai_client_operation_time_per_output_chunk_seconds_count", "gen_ai_client_operation_time_to_first_chunk_seconds_count")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("what is measured (-want +got):\n%s", diff)
		}
	})
}

// TestFloorOfSound holds that the floor of a stream's tokens is none of sound, which
// has no tokens that could be counted.
func TestFloorOfSound(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		body := `{"model":"gpt-4o","voice":"alloy","response_format":"wav","input":"` + strings.Repeat("hello ", 100) + `"}`
		got := w.do(w.t.Context(), http.MethodPost, "/v1/audio/speech", body)
		synctest.Wait()
		if rec := w.record(); got.status != http.StatusOK || got.err != nil || len(got.body) != 44+200*600 || rec.Outcome != usage.OK {
			t.Errorf("%d %v, %d bytes, recorded %s %s", got.status, got.err, len(got.body), rec.Outcome, rec.Code)
		}
	}, "resilience:", "resilience:\n  timeout: { min_tokens_per_second: 1 }")
}
