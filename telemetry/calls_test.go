package telemetry_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/usage"
)

// TestSeveralCallsAreNoRetries holds that a request that takes several calls, as a
// listing does, is not measured as one that was tried again, unless one has failed.
func TestSeveralCallsAreNoRetries(t *testing.T) {
	t.Parallel()
	page := func(reason string) usage.Attempt {
		a := usage.Attempt{Deployment: "east/gpt-4o", Status: 200, Duration: time.Second}
		if reason != "" {
			a.Status, a.Reason = 503, reason
		}
		return a
	}
	names := []string{"weir_upstream_attempts_total", "weir_retries_total", "weir_retry_rescued_total"}
	for _, tt := range []struct {
		attempts []usage.Attempt
		want     []string
	}{
		{[]usage.Attempt{page(""), page(""), page("")}, []string{
			`weir_upstream_attempts_total{deployment="east/gpt-4o",reason="",result="ok"} 3`,
		}},
		{[]usage.Attempt{page(""), page("503"), page("")}, []string{
			`weir_retries_total{model="gpt-4o",reason="503"} 1`,
			`weir_retry_rescued_total{model="gpt-4o"} 1`,
			`weir_upstream_attempts_total{deployment="east/gpt-4o",reason="",result="ok"} 2`,
			`weir_upstream_attempts_total{deployment="east/gpt-4o",reason="503",result="error"} 1`,
		}},
	} {
		m := measured(t, nil)
		m.Take(t.Context(), &usage.Record{
			Route: "/v1/files", Team: "search", Model: "gpt-4o", Deployment: "east/gpt-4o", Status: 200, Outcome: usage.OK, Attempts: tt.attempts,
		})
		if diff := cmp.Diff(tt.want, series(exposed(t, m), names...)); diff != "" {
			t.Errorf("%d calls (-want +got):\n%s", len(tt.attempts), diff)
		}
	}
}
