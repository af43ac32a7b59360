package main_test

import (
	"net/http"
	"testing"

	"weir/azuresim"
	"weir/usage"
)

// TestSpeechThatCannotStream: a model that answers with sound where events were asked
// for has answered, and is neither asked nor blamed again and again.
func TestSpeechThatCannotStream(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		w.east.Script(azuresim.Step{Status: http.StatusOK, Header: http.Header{"Content-Type": {"audio/mpeg"}}, Body: "sound"})
		got := w.do(w.t.Context(), http.MethodPost, "/v1/audio/speech", `{"model":"gpt-4o","input":"hello","voice":"alloy","stream_format":"sse"}`)
		if got.status != http.StatusOK || got.body != "sound" || got.header.Get("Content-Type") != "audio/mpeg" || len(w.asked()) != 1 {
			t.Errorf("%d requests: %d %v %s", len(w.asked()), got.status, got.header, got.body)
		}
		if rec := w.record(); rec.Outcome != usage.OK || rec.Input == 0 {
			t.Errorf("recorded %+v", rec)
		}
		if bad := w.unwell(); len(bad) > 0 {
			t.Errorf("deployments: %v", bad)
		}
	})
}
