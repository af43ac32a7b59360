package main_test

import (
	"testing"

	"weir/usage"
)

// TestRealtimeShadowTakesNothing: limits in shadow mode change nothing of what the limits
// that hold reserve for a response, and the record says which would have refused.
func TestRealtimeShadowTakesNothing(t *testing.T) {
	t.Parallel()
	const key = `"${SEARCH_KEY}", limits: { tpm: 100, mode: shadow }`
	for _, tt := range []struct {
		name  string
		edits []string
		limit usage.Limit
	}{
		{name: "alone", edits: limited("tpm: 3000")},
		{name: "beside a key's in shadow mode", edits: append(limited("tpm: 3000"), `"${SEARCH_KEY}"`, key), limit: usage.TokenLimit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			served := 0
			before(t, func(f *far) { // nothing ever begins
				for range 4 {
					f.hear()
					served++
				}
			}, func(w *world) {
				s, err := w.dial(realtimePath)
				if err != nil {
					w.t.Fatal(err)
				}
				for range 3 { // of 1,024 tokens each
					s.say(respondNow)
				}
				if e := s.last("error"); e.Error.Code != "rate_limit_exceeded" {
					w.t.Errorf("the third: %s", e.raw)
				}
				s.leave()
				if rec := w.record(); rec.ShadowLimit != tt.limit {
					w.t.Errorf("shadowed %v by %q", rec.Shadowed, rec.ShadowLimit)
				}
			}, tt.edits...)
		})
	}
}
