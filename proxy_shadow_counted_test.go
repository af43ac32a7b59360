package main_test

import (
	"net/http"
	"slices"
	"testing"

	"weir/usage"
)

// TestShadowOfInputTokens holds that limits in shadow mode say what they would have
// refused also of a count, which takes a request of them.
func TestShadowOfInputTokens(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		for i, want := range []string{"", "shadow: rate_limit_exceeded"} {
			got := w.do(w.t.Context(), http.MethodPost, "/v1/responses/input_tokens", wish("hello"))
			if policy := got.header.Get("X-Weir-Policy"); got.status != http.StatusOK || policy != want {
				t.Errorf("%d: %d %q %s", i, got.status, policy, got.body)
			}
			noted, limit := []string(nil), usage.Limit("")
			if want != "" {
				noted, limit = []string{"rate_limit_exceeded"}, usage.RequestLimit
			}
			if rec := w.record(); !slices.Equal(rec.Shadowed, noted) || rec.ShadowLimit != limit {
				t.Errorf("%d: recorded %v of %q", i, rec.Shadowed, rec.ShadowLimit)
			}
		}
	}, accountable("limits: { rpm: 1, mode: shadow }", "")...)
}
