package upstream_test

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"weir/azuresim"
	"weir/upstream"
)

// storm is what clients and deployments saw of a time of faults.
type storm struct {
	sync.Mutex
	calls         int       // that clients made, their own retries included
	requests, met int       // that clients wanted answered, and those that were
	asked, served int       // of those: from fifteen seconds after the end on
	failed        time.Time // when the last call failed
}

// The times of a storm.
const (
	stormRate  = 200 // calls a second
	stormIll   = 10 * time.Second
	stormWhole = 27 * time.Second
	stormHeals = 15 * time.Second
)

// TestStorm is R4: deployments fail while 200 clients a second ask, who try again
// as the official libraries do. Whether breakers open or not, the deployments get
// at most 1.25 calls for each of the clients', and soon after the end all is well.
func TestStorm(t *testing.T) {
	t.Parallel()
	down := azuresim.Step{Status: 503, Body: `{"error":{"message":"down"}}`}
	slow := func(s azuresim.Step) azuresim.Step { s.Delay = 400 * time.Millisecond; return s }
	dull := func(w *world) { w.cfg.Breaker.Consecutive, w.cfg.Breaker.MinRequests = 0, 0 }
	many := func(w *world) {
		var all []upstream.Deployment
		for i := range 20 {
			d := deployment([]string{"east", "west"}[i%2])
			d.Name = "d" + strconv.Itoa(i)
			all = append(all, d)
		}
		w.deployments(all...)
	}
	tests := []struct {
		name   string
		change func(*world)
		steps  []azuresim.Step // over and over
	}{
		{"all fail", func(*world) {}, []azuresim.Step{down}},
		{"all fail, slowly", func(*world) {}, []azuresim.Step{slow(down)}},
		{"all fail, breakers stay closed", dull, []azuresim.Step{down}},
		{"all fail, slowly, breakers stay closed", dull, []azuresim.Step{slow(down)}},
		{"all of 20 deployments fail", many, []azuresim.Step{slow(down)}},
		{"two of five fail, breakers stay closed", dull, []azuresim.Step{slow(down), slow(azuresim.Step{}), slow(down), slow(azuresim.Step{}), slow(azuresim.Step{})}},
	}
	for _, tt := range tests {
		t.Run("R4 "+tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				w.cfg.Twin, w.cfg.Queue = true, upstream.Queue{MaxWait: 2 * time.Second, MaxLength: 1000}
				tt.change(w)
			}, func(w *world) { w.storm(tt.steps) })
		})
	}
}

// storm lets both resources answer with the steps for a time, over and over, and
// holds what they and the clients saw to what is promised.
func (w *world) storm(steps []azuresim.Step) {
	w.t.Helper()
	var s storm
	for range 20_000 / len(steps) {
		w.east.Script(steps...)
		w.west.Script(steps...)
	}
	begin := time.Now()
	var all sync.WaitGroup
	for healed := false; time.Since(begin) < stormWhole; time.Sleep(time.Second / stormRate) {
		if !healed && time.Since(begin) >= stormIll {
			healed = true
			w.checkStorm(&s)
			w.east.Reset()
			w.west.Reset()
		}
		all.Go(func() { w.client(&s, begin.Add(stormIll+stormHeals)) })
	}
	all.Wait()
	w.t.Logf("the last failure is seen %.1f s after the end; from %v after it %d of %d are answered",
		s.failed.Sub(begin.Add(stormIll)).Seconds(), stormHeals, s.served, s.asked)
	if s.asked == 0 || s.served < s.asked*99/100 {
		w.t.Errorf("%d of %d were served from %v after the end on", s.served, s.asked, stormHeals)
	}
}

// checkStorm holds the deployments to 1.25 calls for each that clients made.
func (w *world) checkStorm(s *storm) {
	w.t.Helper()
	n := len(w.east.Requests()) + len(w.west.Requests())
	s.Lock()
	defer s.Unlock()
	share := float64(n) / float64(s.calls)
	w.t.Logf("%d calls of clients, %d upstream: %.3f a call; %d of %d requests answered meanwhile", s.calls, n, share, s.met, s.requests)
	if share > 1.25 {
		w.t.Errorf("%d upstream calls for %d of clients", n, s.calls)
	}
}

// client asks, and twice again where that is what the answer leaves to it.
func (w *world) client(s *storm, counts time.Time) {
	late := !time.Now().Before(counts)
	s.Lock()
	s.requests++
	s.Unlock()
	backoff, ok := 500*time.Millisecond, false
	for retry := range 3 {
		s.Lock()
		s.calls++
		s.Unlock()
		call := w.ask("")
		call.Retries = retry
		got := w.do(call)
		if ok = got.Status == 200; ok {
			break
		}
		s.Lock()
		s.failed = time.Now()
		s.Unlock()
		if got.NoRetry {
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
	if ok {
		s.met++
	}
	if late {
		s.asked++
	}
	if late && ok {
		s.served++
	}
}
