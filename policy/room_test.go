package policy_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/policy"
)

// TestRoom holds what a twin takes to be left beside what headers say.
func TestRoom(t *testing.T) {
	t.Parallel()
	header := func(values map[string]string) func(string) string {
		return func(name string) string { return values[name] }
	}
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name    string
		headers map[string]string
		told    policy.Room
		twin    policy.Room // of a quota of 1,000 tokens, 300 of which were sent
	}{
		{
			name: "nothing is said",
			twin: policy.Room{Tokens: policy.Share{Known: true, Left: 700, Limit: 1000}},
		},
		{
			name:    "limits and what is left",
			headers: map[string]string{"X-Ratelimit-Limit-Tokens": "800", "X-Ratelimit-Remaining-Tokens": "200", "X-Ratelimit-Limit-Requests": "60", "X-Ratelimit-Remaining-Requests": "59"},
			told:    policy.Room{Tokens: policy.Share{Known: true, Left: 200, Limit: 800}, Requests: policy.Share{Known: true, Left: 59, Limit: 60}},
			twin:    policy.Room{Tokens: policy.Share{Known: true, Left: 200, Limit: 800}, Requests: policy.Share{Known: true, Left: 59, Limit: 60}},
		},
		{
			name:    "what is left alone",
			headers: map[string]string{"X-Ratelimit-Remaining-Tokens": "42"},
			told:    policy.Room{Tokens: policy.Share{Known: true, Left: 42}},
			twin:    policy.Room{Tokens: policy.Share{Known: true, Left: 700, Limit: 1000}},
		},
		{
			name:    "no number",
			headers: map[string]string{"X-Ratelimit-Remaining-Tokens": "-1", "X-Ratelimit-Remaining-Requests": "NaN"},
			twin:    policy.Room{Tokens: policy.Share{Known: true, Left: 700, Limit: 1000}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			twin := policy.NewTwin(policy.Quota{Tokens: 1000})
			twin.Send(300, now)
			twin.Observe(header(tt.headers), now, now.Add(time.Second))
			if diff := cmp.Diff(tt.told, policy.Told(header(tt.headers))); diff != "" {
				t.Errorf("Told (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.twin, twin.Room(now.Add(time.Second))); diff != "" {
				t.Errorf("Room (-want +got):\n%s", diff)
			}
		})
	}
	earlier := policy.Room{Tokens: policy.Share{Known: true, Left: 1}, Requests: policy.Share{Known: true, Left: 2}}
	later := policy.Room{Tokens: policy.Share{Known: true, Left: 3, Limit: 4}}
	if diff := cmp.Diff(policy.Room{Tokens: later.Tokens, Requests: earlier.Requests}, earlier.And(later)); diff != "" {
		t.Errorf("And (-want +got):\n%s", diff)
	}
}
