package redisquota_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"weir/quota"
	"weir/quota/redisquota"
)

// BenchmarkReserveAndSettle measures a request of a team and its key, limited in
// every dimension, on a Redis on this machine, until Redis has heard all.
func BenchmarkReserveAndSettle(b *testing.B) {
	limits := quota.Limits{
		RequestsPerMinute: 1 << 40, TokensPerMinute: 1 << 50, Concurrency: 1 << 20,
		Budget: quota.Budget{Amount: 1 << 50},
	}
	accounts := []quota.Account{
		{ID: "team:search", Group: "search", Limits: limits},
		{ID: "key:search-prod", Group: "search", Limits: limits},
	}
	for _, bb := range []struct {
		name   string
		slice  redisquota.Slice
		at     int // a time
		warmUp time.Duration
	}{
		{"one at a time", redisquota.Slice{Rate: -1}, 1, 0},
		{"16 at a time", redisquota.Slice{Rate: -1}, 16, 0},
		{"16 at a time in slices", redisquota.Slice{Rate: 1}, 16, 2 * time.Second},
	} {
		b.Run(bb.name, func(b *testing.B) {
			s := start(b)
			l := s.open(b, redisquota.Config{Slice: bb.slice})
			request := func() time.Duration {
				began := time.Now()
				lease, err := l.Reserve(b.Context(), accounts, quota.Cost{Requests: 1, Tokens: 1000, Spend: 1000})
				took := time.Since(began)
				if err != nil {
					b.Error(err)
					return took
				}
				lease.Settle(quota.Cost{Requests: 1, Tokens: 700, Spend: 700})
				return took
			}
			for began := time.Now(); time.Since(began) < bb.warmUp; {
				request()
			}
			b.ReportAllocs()
			b.ResetTimer()
			var mu sync.Mutex
			var all []time.Duration
			var wg sync.WaitGroup
			for i := range bb.at {
				wg.Go(func() {
					took := make([]time.Duration, 0, b.N/bb.at+1)
					for n := i; n < b.N; n += bb.at {
						took = append(took, request())
					}
					mu.Lock()
					defer mu.Unlock()
					all = append(all, took...)
				})
			}
			wg.Wait()
			s.until("Redis has heard all settlements", func() bool { return l.State().Waiting == 0 })
			b.StopTimer()
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}
