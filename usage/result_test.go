package usage_test

import (
	"testing"

	"weir/usage"
)

// TestResults is how attempts end.
func TestResults(t *testing.T) {
	t.Parallel()
	first := usage.Attempt{Status: 500, Reason: "unicode_500"}
	tests := []struct {
		name    string
		outcome usage.Outcome
		last    usage.Attempt
		result  usage.Result
		why     string
	}{
		{"answered", usage.OK, usage.Attempt{Status: 200}, usage.Answered, ""},
		{"behind its answer the gateway failed", usage.GatewayError, usage.Attempt{Status: 200}, usage.Answered, ""},
		{"broken off", usage.UpstreamError, usage.Attempt{Status: 200}, usage.Failed, "cut_stream"},
		{"left", usage.ClientGone, usage.Attempt{Status: 200}, usage.Abandoned, "client_gone"},
		{"left before it", usage.ClientGone, usage.Attempt{Reason: "client_gone"}, usage.Abandoned, "client_gone"},
		{"left while waiting for another", usage.ClientGone, usage.Attempt{Status: 500, Reason: "500"}, usage.Failed, "500"},
		{"stopped", usage.UpstreamError, usage.Attempt{Reason: "stopped"}, usage.Abandoned, "stopped"},
		{"no room", usage.UpstreamError, usage.Attempt{Status: 429, Reason: "429"}, usage.Throttled, "429"},
		{"no money", usage.UpstreamError, usage.Attempt{Status: 429, Reason: "insufficient_quota"}, usage.Throttled, "insufficient_quota"},
		{"refused", usage.ClientError, usage.Attempt{Status: 400, Reason: "400"}, usage.Refused, "400"},
		{"too slow", usage.UpstreamError, usage.Attempt{Status: 408, Reason: "408"}, usage.Failed, "408"},
		{"unreachable", usage.UpstreamError, usage.Attempt{Reason: "connect"}, usage.Failed, "connect"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := &usage.Record{Outcome: tt.outcome, Attempts: []usage.Attempt{first, tt.last}}
			if result, why := r.Result(1), r.Failure(1); result != tt.result || why != tt.why {
				t.Errorf("it ended %s for %q, want %s for %q", result, why, tt.result, tt.why)
			}
			if result, why := r.Result(0), r.Failure(0); result != usage.Failed || why != first.Reason {
				t.Errorf("the first ended %s for %q", result, why)
			}
		})
	}
}
