package dashboard_test

import (
	"testing"
	"time"

	"weir/dashboard"
	"weir/usage"
)

// TestFailuresOfDeployments: a deployment whose answers break off has failed, as the
// metrics have it; one whose clients leave, or that refuses what they send, has not.
func TestFailuresOfDeployments(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		outcome usage.Outcome
		status  int
		reason  string
		failed  uint32
	}{
		{"answered", usage.OK, 200, "", 0},
		{"broken off", usage.UpstreamError, 200, "", 1},
		{"left", usage.ClientGone, 200, "", 0},
		{"left before it answered", usage.ClientGone, 0, "client_gone", 0},
		{"refused", usage.ClientError, 400, "400", 0},
		{"unreachable", usage.UpstreamError, 0, "connect", 1},
		{"the gateway's own fault", usage.GatewayError, 200, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := dashboard.New(dashboard.Config{Deployments: func() []dashboard.Deployment {
				return []dashboard.Deployment{{Name: "east/gpt-4o", State: "closed"}, {Name: "west/gpt-4o", State: "closed"}}
			}})
			d.Take(t.Context(), ended(func(r *usage.Record) {
				r.Stream, r.Outcome, r.Deployment = true, tt.outcome, "east/gpt-4o"
				r.Attempts = []usage.Attempt{
					{Deployment: "west/gpt-4o", Status: 500, Reason: "500", Sent: true, Duration: time.Second},
					{Deployment: "east/gpt-4o", Status: tt.status, Reason: tt.reason, Sent: true, Duration: time.Second},
				}
			}))
			got := read[struct{ Data []dashboard.PlaceRow }](t, d, "/admin/v1/deployments").Data
			if east, west := got[0], got[1]; east.Attempts != 1 || east.Failed != tt.failed || west.Failed != 1 {
				t.Errorf("%d of %d attempts failed, and %d of the other's; want %d of 1, and 1", east.Failed, east.Attempts, west.Failed, tt.failed)
			}
		})
	}
}
