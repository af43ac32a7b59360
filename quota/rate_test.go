package quota_test

import (
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// TestReservationsOfRateCanBeNegative holds what the buckets need of
// x/time/rate and its documentation does not promise.
func TestReservationsOfRateCanBeNegative(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	type step struct {
		n     int     // reserved, or deposited if negative
		ok    bool    // whether the limiter took it
		after float64 // its level then
	}
	tests := []struct {
		name  string
		steps []step // all at one moment, in a bucket of 100
	}{
		{"a deposit gives back", []step{{90, true, 10}, {-40, true, 50}}},
		{"a deposit is capped at the burst", []step{{30, true, 70}, {-1000, true, 100}, {1, true, 99}}},
		{"a deposit pays a debt", []step{{100, true, 0}, {100, true, -100}, {-30, true, -70}, {-80, true, 10}}},
		{"a deposit into a debt is capped too", []step{{100, true, 0}, {60, true, -60}, {-1000, true, 100}}},
		{"a reservation above the burst is refused whole", []step{{10, true, 90}, {101, false, 90}}},
		{"nothing changes nothing", []step{{100, true, 0}, {20, true, -20}, {0, true, -20}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			lim := rate.NewLimiter(10, 100)
			for i, s := range tt.steps {
				ok := lim.ReserveN(now, s.n).OK()
				if got := lim.TokensAt(now); ok != s.ok || got != s.after {
					t.Fatalf("step %d: ReserveN(%d) = %t and leaves %v, want %t and %v", i, s.n, ok, got, s.ok, s.after)
				}
			}
		})
	}

	t.Run("a burst raised and lowered at one moment grants nothing", func(t *testing.T) {
		t.Parallel()
		lim := rate.NewLimiter(10, 100)
		lim.ReserveN(now, 50)
		lim.SetBurstAt(now.Add(time.Hour), 1<<53)
		if !lim.ReserveN(now.Add(time.Hour), 1<<53).OK() {
			t.Fatal("a reservation of the raised burst is refused")
		}
		lim.SetBurstAt(now.Add(time.Hour), 100)
		if got := lim.TokensAt(now.Add(time.Hour)); got != 100-1<<53 {
			t.Errorf("level %v, want %v", got, float64(100-1<<53))
		}
		lim.ReserveN(now.Add(time.Hour), -1<<53)
		if got := lim.TokensAt(now.Add(time.Hour)); got != 100 {
			t.Errorf("level %v after the deposit, want 100", got)
		}
	})
}
