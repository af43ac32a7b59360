package upstream_test

import (
	"sync"
	"testing"
	"time"

	"weir/azuresim"
	"weir/upstream"
)

// storm is what clients and deployments saw of a time of faults.
type storm struct {
	sync.Mutex
	calls         int // that clients made, their own retries included
	asked, served int // from fifteen seconds after the end on
}

// Everything answers 503 while 200 clients a second ask, who try again as the
// official libraries do (R4).
func TestStorm(t *testing.T) {
	t.Parallel()
	const (
		rate  = 200
		ill   = 20 * time.Second
		whole = 40 * time.Second
	)
	for _, latency := range []time.Duration{0, 400 * time.Millisecond} {
		t.Run(latency.String(), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				w.cfg.Twin, w.cfg.Queue = true, upstream.Queue{MaxWait: 2 * time.Second, MaxLength: 1000}
			}, func(w *world) {
				var s storm
				sick := repeat(azuresim.Step{Status: 503, Body: `{"error":{"message":"down"}}`, Delay: latency}, 10_000)
				w.east.Script(sick...)
				w.west.Script(sick...)
				begin := time.Now()
				var all sync.WaitGroup
				healed := false
				for time.Since(begin) < whole {
					if !healed && time.Since(begin) >= ill {
						healed = true
						upstreamCalls := len(w.east.Requests()) + len(w.west.Requests())
						s.Lock()
						t.Logf("%d calls, %d upstream: %.3f a call", s.calls, upstreamCalls, float64(upstreamCalls)/float64(s.calls))
						if float64(upstreamCalls) > 1.25*float64(s.calls) {
							t.Errorf("%d upstream calls for %d of clients", upstreamCalls, s.calls)
						}
						s.Unlock()
						w.east.Reset()
						w.west.Reset()
					}
					all.Go(func() { w.client(&s, begin.Add(ill+15*time.Second)) })
					time.Sleep(time.Second / rate)
				}
				all.Wait()
				t.Logf("afterwards %d of %d", s.served, s.asked)
				if s.asked == 0 || s.served < s.asked*99/100 {
					t.Errorf("%d of %d were served from 15 s after the end on", s.served, s.asked)
				}
			})
		})
	}
}

// client asks, and twice again where that is what the answer leaves to it.
func (w *world) client(s *storm, counts time.Time) {
	late := !time.Now().Before(counts)
	backoff, ok := 500*time.Millisecond, false
	for retry := range 3 {
		s.Lock()
		s.calls++
		s.Unlock()
		call := w.ask("")
		call.Retries = retry
		got := w.do(call)
		if ok = got.Status == 200; ok || got.NoRetry {
			break
		}
		wait := got.Wait
		if wait <= 0 || wait > time.Minute {
			wait = backoff
		}
		time.Sleep(wait)
		backoff = min(2*backoff, 8*time.Second)
	}
	s.Lock()
	defer s.Unlock()
	if late {
		s.asked++
		if ok {
			s.served++
		}
	}
}
