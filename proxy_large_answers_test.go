package main_test

import (
	"net/http"
	"strings"
	"testing"

	"weir/azuresim"
)

// TestLargeAnswersAreAskedForOnce: an answer that a client has made larger than may be
// held is not asked for again, and no deployment is blamed for it.
func TestLargeAnswersAreAskedForOnce(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		w.east.Script(azuresim.Step{Status: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"data":[` + strings.Repeat(" ", 64<<20) + "]}"})
		got := w.do(w.t.Context(), http.MethodPost, "/v1/embeddings", `{"model":"gpt-4o","input":"hello"}`)
		if code, _, _ := got.code(); got.status != http.StatusBadGateway || code != "upstream_bad_answer" || len(w.asked()) != 1 {
			t.Errorf("%d requests: %d %.200s", len(w.asked()), got.status, got.body)
		}
		if bad := w.unwell(); len(bad) > 0 {
			t.Errorf("deployments: %v", bad)
		}
	}, "resilience:\n", "resilience:\n  breaker: { consecutive_failures: 1 }\n")
}
