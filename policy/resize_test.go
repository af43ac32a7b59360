package policy_test

import (
	"testing"
	"time"

	"weir/policy"
)

// TestResize holds that a quota that changes is used up to the same share.
func TestResize(t *testing.T) {
	t.Parallel()
	begin := time.Unix(1_800_000_000, 0)
	tests := []struct {
		name       string
		from, to   policy.Quota
		tell       [2]int // limit and remaining tokens of the answers, before
		calls      int
		cost       int64 // of each
		room, more int64 // what is admitted at once then, and what is not
		full       bool  // nothing is
	}{
		{name: "as before", from: policy.Quota{Tokens: 100}, to: policy.Quota{Tokens: 100}, calls: 1, cost: 60, room: 40, more: 41},
		{name: "twice the tokens", from: policy.Quota{Tokens: 100}, to: policy.Quota{Tokens: 200}, calls: 1, cost: 60, room: 80, more: 81},
		{name: "half the tokens", from: policy.Quota{Tokens: 100}, to: policy.Quota{Tokens: 50}, calls: 1, cost: 60, room: 20, more: 21},
		{name: "with what answers said of it", from: policy.Quota{Tokens: 100}, to: policy.Quota{Tokens: 200}, tell: [2]int{100, 20}, calls: 1, cost: 60, room: 40, more: 41},
		{name: "not known before", to: policy.Quota{Tokens: 100}, calls: 1, cost: 60, room: 40, more: 41},
		{name: "not known any more", from: policy.Quota{Tokens: 100}, calls: 1, cost: 60, room: 1 << 40},
		{name: "twice the requests", from: policy.Quota{Requests: 12}, to: policy.Quota{Requests: 24}, calls: 1, room: 1 << 40},
		{name: "twice the requests, all used", from: policy.Quota{Requests: 12}, to: policy.Quota{Requests: 24}, calls: 2, full: true},
		{name: "half the requests", from: policy.Quota{Requests: 24}, to: policy.Quota{Requests: 12}, calls: 2, room: 1 << 40},
		{name: "half the requests, all used", from: policy.Quota{Requests: 24}, to: policy.Quota{Requests: 12}, calls: 4, full: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			twin := policy.NewTwin(tt.from)
			for range tt.calls {
				twin.Send(tt.cost, begin)
			}
			if tt.tell != [2]int{} {
				twin.Observe(limits("Tokens", tt.tell), begin, begin)
			}
			twin.Resize(tt.to)
			now := begin.Add(time.Second)
			if wait := twin.Wait(tt.room, now); (wait > 0) != tt.full {
				t.Errorf("a request of %d waits %v", tt.room, wait)
			}
			if wait := twin.Wait(tt.more, now); tt.more > 0 && (wait <= 0 || wait > time.Minute) {
				t.Errorf("a request of %d waits %v, want until some have left the minute", tt.more, wait)
			}
		})
	}
}
