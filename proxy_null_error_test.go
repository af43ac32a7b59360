package main_test

import (
	"net/http"
	"strings"
	"testing"

	"weir/azuresim"
)

// TestNoTypedEventHasANullError is contract C50 and C52 for streams of typed events:
// an error that is null stays inside a response, and is taken out of the event itself,
// where openai-go takes its mere name for an error.
func TestNoTypedEventHasANullError(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/v1/responses", "/openai/responses?api-version=2025-04-01-preview"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				w.east.Script(azuresim.Step{}, azuresim.Step{Fault: "error-null"})
				want := w.do(w.t.Context(), http.MethodPost, path, wish("hello", stream))
				got := w.do(w.t.Context(), http.MethodPost, path, wish("hello", stream))
				sent := w.asked()
				if len(sent) != 2 || !strings.Contains(want.body, `"error":null`) || got.err != nil {
					t.Fatalf("%d calls, %v, %s", len(sent), got.err, want.body)
				}
				if n, m := strings.Count(got.body, `"error":null`), strings.Count(want.body, `"error":null`); n != m || got.said() != want.said() || len(got.events()) != len(want.events()) {
					t.Errorf("%d of %d: %s", n, m, got.body)
				}
			})
		})
	}
}
