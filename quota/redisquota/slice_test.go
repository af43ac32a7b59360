package redisquota_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/quota"
	"weir/quota/redisquota"
)

// TestHotTeamsLeaseSlices holds that a hot team makes few trips, and that not a
// token, a slot or a cent is lost over them (I3, I4, I8).
func TestHotTeamsLeaseSlices(t *testing.T) {
	t.Parallel()
	s := start(t)
	l := s.open(t, redisquota.Config{Slice: redisquota.Slice{Rate: 1}})
	began := s.now()
	const full = 1 << 40
	limits := quota.Limits{ // hardly anything flows in
		RequestsPerMinute: 1, BurstRequests: full, TokensPerMinute: 1, BurstTokens: full,
		Concurrency: 1 << 20, Budget: quota.Budget{Amount: full},
	}
	team := quota.Account{ID: "team:hot", Group: "hot", Limits: limits}
	key := quota.Account{ID: "key:hot", Group: "hot", Limits: limits}
	var leases, tokens, spend, number atomic.Int64
	press := func(ctx context.Context) {
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for ctx.Err() == nil {
					n := number.Add(1)
					lease, err := l.Reserve(context.Background(), []quota.Account{team, key}, quota.Cost{Requests: 1, Tokens: 50 + n%100, Spend: 1000})
					if err != nil {
						t.Error(err)
						return
					}
					lease.Settle(quota.Cost{Requests: 1, Tokens: n % 200, Spend: n % 1500})
					leases.Add(1)
					tokens.Add(n % 200)
					spend.Add(n % 1500)
				}
			})
		}
		wg.Wait()
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); press(ctx) }()
	// A busy machine makes few leases in the time after which settlements are told.
	var before, calls int64
	since := began
	s.until("200 leases make fewer than 20 trips, or 6 in 50 ms", func() bool {
		n, c, now := leases.Load(), int64(s.calls(t)), s.now()
		if n-before < 200 {
			return false
		}
		few := 10*(c-calls) < n-before || c-calls < 6*int64(now.Sub(since)/(50*time.Millisecond))
		before, calls, since = n, c, now
		return few && l.State().Slices > 2
	})
	cancel()
	<-done
	s.until("all slices are given back", func() bool { return l.State().Leases == 0 && s.slots(t, "weir:{hot}:team%3Ahot:leases") == 0 })
	want := quota.Snapshot{
		Requests: quota.Level{Remaining: full - leases.Load()},
		Tokens:   quota.Level{Remaining: full - tokens.Load()},
		Budget:   quota.Level{Remaining: full - spend.Load()},
	}
	other := s.open(t, redisquota.Config{})
	for _, a := range []quota.Account{team, key} {
		var got quota.Snapshot
		s.until("what was used is what is charged", func() bool {
			look, err := other.Reserve(t.Context(), []quota.Account{a}, quota.Cost{})
			if err != nil {
				t.Fatal(err)
			}
			look.Settle(quota.Cost{})
			got = look.Snapshot()
			flowed := 1 + int64(s.now().Sub(began).Minutes())
			return got.Requests.Remaining-want.Requests.Remaining <= flowed && got.Tokens.Remaining-want.Tokens.Remaining <= flowed &&
				got.Budget.Remaining == want.Budget.Remaining
		})
		if got.Requests.Remaining < want.Requests.Remaining || got.Tokens.Remaining < want.Tokens.Remaining {
			t.Errorf("%s: %+v, want %+v", a.ID, got, want)
		}
	}
	t.Logf("%d leases in %d scripts", leases.Load(), s.calls(t))
}

// TestSlicesKeepToTheLimits presses against every limit while slices are taken:
// what one process admits is never more than the limits hold (I1, I8, I11).
func TestSlicesKeepToTheLimits(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		limits quota.Limits
		most   int64 // admitted in all, of which none is settled below its cost
	}{
		{"requests", quota.Limits{RequestsPerMinute: 1, BurstRequests: 3000}, 3000},
		{"tokens", quota.Limits{TokensPerMinute: 1, BurstTokens: 3000 * 10}, 3000},
		{"money", quota.Limits{Budget: quota.Budget{Amount: 3000 * 7}}, 3000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			limits := tt.limits
			limits.Concurrency = 100
			a := quota.Account{ID: "team:hot", Group: "hot", Limits: limits}
			cost := quota.Cost{Requests: 1, Tokens: 10, Spend: 7}
			began := s.now()
			var admitted, open, full atomic.Int64
			var limiters []*redisquota.Limiter
			var wg sync.WaitGroup
			for range 2 {
				l := s.open(t, redisquota.Config{Slice: redisquota.Slice{Rate: 20}, Replicas: 2})
				limiters = append(limiters, l)
				for range 64 {
					wg.Go(func() {
						for pause := time.NewTicker(100 * time.Millisecond); full.Load() < 200; <-pause.C {
							lease, err := l.Reserve(t.Context(), []quota.Account{a}, cost)
							no, ok := errors.AsType[*quota.ExceededError](err)
							switch {
							case err == nil:
								admitted.Add(1)
								if n := open.Add(1); n > 100 {
									t.Errorf("%d leases are open, want at most 100", n)
								}
								open.Add(-1)
								lease.Settle(cost)
							case !ok:
								t.Error(err)
								return
							case no.Dimension != quota.Concurrency:
								full.Add(1)
							}
						}
					})
				}
			}
			wg.Wait()
			// One flows in each minute.
			if got := admitted.Load(); got > tt.most+1+int64(s.now().Sub(began).Minutes()) || got < tt.most-3000/5 {
				t.Errorf("%d admitted, want %d", got, tt.most)
			}
			for _, l := range limiters {
				if l.State().Slices == 0 {
					t.Error("no slices were taken")
				}
			}
		})
	}
}
