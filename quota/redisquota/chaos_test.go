package redisquota_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/quota"
	"weir/quota/redisquota"
)

// TestMoneyIsExactWhateverIsLost settles while answers of Redis are lost again
// and again: reservations and settlements are done there of which nobody hears,
// and are given back, or told again. In the end all that was spent is charged, to
// the last billionth, and no slot is taken (I3, I4, I8, I13).
func TestMoneyIsExactWhateverIsLost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		slice redisquota.Slice
	}{
		{"each request for itself", redisquota.Slice{Rate: -1}},
		{"slices", redisquota.Slice{Rate: 20, Lasts: 50 * time.Millisecond}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			p, url := s.slowed(t)
			const amount = 1 << 40
			limits := quota.Limits{Budget: quota.Budget{Amount: amount}, Concurrency: 10_000, RequestsPerMinute: 1 << 30}
			team, key := quota.Account{ID: "team:a", Group: "g", Limits: limits}, quota.Account{ID: "key:a", Group: "g", Limits: limits}
			l := s.open(t, redisquota.Config{URL: url, Timeout: 100 * time.Millisecond, Slice: tt.slice})
			var spent, leases, done atomic.Int64
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					pause := time.NewTicker(3 * time.Millisecond)
					defer pause.Stop()
					for n := int64(0); done.Load() == 0; n++ {
						lease, err := l.Reserve(t.Context(), []quota.Account{team, key}, quota.Cost{Requests: 1, Spend: 100_000})
						if err != nil {
							t.Error(err)
							return
						}
						<-pause.C
						lease.Settle(quota.Cost{Requests: 1, Spend: 700 * n})
						spent.Add(700 * n)
						leases.Add(1)
					}
				})
			}
			for range 12 {
				n, before := leases.Load(), l.State().Slices
				s.until("Redis is there and 100 leases are settled", func() bool {
					state := l.State()
					return !state.Away && leases.Load() >= n+100 && (tt.slice.Rate < 0 || state.Slices > before)
				})
				p.Delay.Store(int64(250 * time.Millisecond))
				errors := l.State().Errors
				s.until("some answers are lost", func() bool { return l.State().Errors >= errors+2 })
				p.Delay.Store(0)
			}
			done.Store(1)
			wg.Wait()
			s.until("Redis has heard all settlements", func() bool {
				state := l.State()
				return !state.Away && state.Waiting == 0 && state.Leases == 0
			})
			var off int64
			defer func() { t.Logf("%d off", off) }()
			for _, a := range []quota.Account{team, key} {
				s.until("what is charged is what was spent", func() bool {
					off = look(t, l, a).Budget.Remaining - amount + spent.Load()
					return off == 0
				})
			}
			s.until("no slot is taken", func() bool {
				return s.slots(t, "weir:{g}:team%3Aa:leases")+s.slots(t, "weir:{g}:key%3Aa:leases") == 0
			})
			state := l.State()
			t.Logf("%d leases, %d errors, %d waited in vain, %d slices", leases.Load(), state.Errors, state.Paid, state.Slices)
		})
	}
}
