package usage_test

import (
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"weir/usage"
)

// cpu returns what this process has used, of all its threads.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkTake measures what a request costs: ns/op and allocations are the
// caller's, cpu-ns/op is of the whole process, the writing included, and of a
// server of its own nothing.
//
// At full speed batches are large; at 1,000 requests a second they are as large as
// the writer lets them become.
func BenchmarkTake(b *testing.B) {
	kinds := stores()
	kinds["disk"] = func(t testing.TB) *store {
		path := filepath.Join(t.TempDir(), "ledger.db")
		s := &store{dsn: usage.SQLiteDSN(path, false), path: path}
		s.db = s.open(t)
		return s
	}
	for _, kind := range []string{"memory", "disk", "postgres"} {
		for _, rate := range []int{0, 1000} {
			b.Run(kind+"/rate="+strconv.Itoa(rate), func(b *testing.B) {
				s := kinds[kind](b)
				l := s.ledger(b, usage.LedgerConfig{Queue: 1 << 30, MaxRows: 10_000})
				r := record()
				b.ReportAllocs()
				before, n, began := cpu(b), 0, time.Now()
				var waited time.Duration
				for b.Loop() {
					if rate > 0 {
						at := time.Now()
						time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(rate))))
						waited += time.Since(at)
					}
					l.Take(b.Context(), r)
					n++
				}
				if rate > 0 {
					b.ReportMetric(float64(b.Elapsed()-waited)/float64(n), "ns/op")
				}
				closeLedger(b, l)
				b.ReportMetric(float64(cpu(b)-before)/float64(n), "cpu-ns/op")
			})
		}
	}
}

// BenchmarkStrict measures how long an answer waits for its row to be on disk, 64
// answers at a time.
func BenchmarkStrict(b *testing.B) {
	for _, kind := range []string{"disk", "postgres"} {
		b.Run(kind, func(b *testing.B) {
			l := stores()[kind](b).ledger(b, usage.LedgerConfig{Strict: true})
			before := cpu(b)
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for r := record(); pb.Next(); {
					l.Take(b.Context(), r)
				}
			})
			closeLedger(b, l)
			b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}
