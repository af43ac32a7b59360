package policy_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/policy"
)

// retries returns how often in a row a budget lets something be tried again.
func retries(b *policy.Budget, now time.Time) int {
	n := 0
	for b.Retry(now) {
		n++
	}
	return n
}

// TestBudget holds what a budget begins with and what it earns.
func TestBudget(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		requests int
		passed   time.Duration
		want     int // retries, of a budget that was spent before
	}{
		{"nothing", 0, 0, 0},
		{"nine requests", 9, 0, 0},
		{"eleven requests", 11, 0, 1},
		{"a thousand and one", 1001, 0, 100},
		{"no more than it holds", 5000, 0, 100},
		{"nine seconds", 0, 9 * time.Second, 0},
		{"ten seconds", 0, 10 * time.Second, 1},
		{"an hour", 0, time.Hour, 100},
		{"time that runs backward", 0, -time.Hour, 0},
		{"both", 5, 6 * time.Second, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			now := time.Unix(1e9, 0)
			b := policy.NewBudget(now)
			if n := retries(&b, now); n != 100 {
				t.Errorf("a new budget holds %d retries, want 100", n)
			}
			now = now.Add(tt.passed)
			for range tt.requests {
				b.Request(now)
			}
			if n := retries(&b, now); n != tt.want {
				t.Errorf("it holds %d retries, want %d", n, tt.want)
			}
		})
	}
}

// TestBudgetBound holds that there are never more retries than what a budget began
// with and has earned.
func TestBudgetBound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		begin := time.Unix(1e9, 0)
		now, b := begin, policy.NewBudget(begin)
		requests, retries := 0, 0
		for range rapid.IntRange(1, 500).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				now = now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms")) * time.Millisecond)
			case 1:
				requests++
				b.Request(now)
			default:
				if b.Retry(now) {
					retries++
				}
			}
		}
		const rounding = 1e-6
		if most := 100 + 0.1*float64(requests) + 0.1*now.Sub(begin).Seconds(); float64(retries) > most+rounding {
			t.Errorf("%d retries of %d requests in %v", retries, requests, now.Sub(begin))
		}
	})
}
