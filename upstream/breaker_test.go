package upstream_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/azuresim"
	"weir/openai"
)

// single makes every failure final, so that a call is one attempt.
func single(w *world) {
	alone(w)
	w.cfg.Retry.Attempts = 1
}

// all makes n calls at once and returns what became of them, when all have ended.
func (w *world) all(n int, members string) []result {
	results := make([]result, n)
	var group sync.WaitGroup
	for i := range n {
		call := w.ask(members)
		group.Go(func() { results[i] = w.do(call) })
	}
	group.Wait()
	return results
}

// TestBreakerOpensOnLongFaults holds that faults are counted when they show: ones
// that take longer than any window open the breaker as fast ones do (R5).
func TestBreakerOpensOnLongFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		step azuresim.Step
	}{
		{"at once", azuresim.Step{Status: 503}},
		{"12 s", azuresim.Step{Status: 503, Delay: 12 * time.Second}},
		{"70 s", azuresim.Step{Status: 503, Delay: 70 * time.Second}},
		{"no connection", azuresim.Step{CloseAfterRead: true, Delay: 70 * time.Second}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, single, func(w *world) {
				w.east.Script(repeat(tt.step, 10)...)
				for i := range 5 {
					if s := w.state(); s.Breaker != "closed" {
						t.Fatalf("the breaker is %s after %d faults", s.Breaker, i)
					}
					w.do(w.ask(""))
				}
				if s := w.state(); s.Breaker != "open" {
					t.Fatalf("the breaker is %s after 5 faults", s.Breaker)
				}
				got := w.do(w.ask(""))
				if got.Status != 503 || got.Code != "no_healthy_deployment" || got.Took != 0 || got.Wait != 15*time.Second {
					t.Errorf("while it is open a call comes to %+v, want a 503 at once", got)
				}
				if n := len(w.east.Requests()); n != 5 {
					t.Errorf("east was asked %d times, want 5", n)
				}
			})
		})
	}
}

// TestBreakerOpensOnShare holds the other rule: half of at least 20 calls.
func TestBreakerOpensOnShare(t *testing.T) {
	t.Parallel()
	bubble(t, single, func(w *world) {
		for i := range 20 {
			if s := w.state(); s.Breaker != "closed" {
				t.Fatalf("the breaker is %s after %d calls", s.Breaker, i)
			}
			if i%2 == 1 {
				w.east.Script(azuresim.Step{Status: 502})
			}
			w.do(w.ask(""))
			time.Sleep(2 * time.Second)
		}
		if s := w.state(); s.Breaker != "open" {
			t.Errorf("the breaker is %s after 10 faults of 20 calls in 40 s", s.Breaker)
		}
	})
}

// TestBreakerForgets holds that what is older than the window does not count.
func TestBreakerForgets(t *testing.T) {
	t.Parallel()
	bubble(t, single, func(w *world) {
		for i := range 40 {
			if i%2 == 1 {
				w.east.Script(azuresim.Step{Status: 502})
			}
			w.do(w.ask(""))
			time.Sleep(4 * time.Second)
		}
		if s := w.state(); s.Breaker != "closed" {
			t.Errorf("the breaker is %s, though there are never 20 calls in a minute", s.Breaker)
		}
	})
}

// broke opens the breaker of east.
func (w *world) broke() {
	w.east.Script(repeat(azuresim.Step{Status: 503}, 5)...)
	for range 5 {
		w.do(w.ask(""))
	}
	if s := w.state(); s.Breaker != "open" {
		w.t.Fatalf("the breaker is %s, want it open", s.Breaker)
	}
	w.east.Reset()
}

// TestProbe holds the half-open breaker: one call goes, and what becomes of it
// decides.
func TestProbe(t *testing.T) {
	t.Parallel()
	bubble(t, single, func(w *world) {
		w.broke()
		time.Sleep(15*time.Second - 1)
		if got := w.do(w.ask("")); got.Status != 503 || got.Trace != "" {
			t.Errorf("before the breaker's time is over a call comes to %+v", got)
		}
		time.Sleep(time.Nanosecond)
		w.east.Script(azuresim.Step{Delay: time.Second})
		ok := 0
		for _, r := range w.all(10, "") {
			if r.Status == 200 {
				ok++
			}
		}
		if n := len(w.east.Requests()); ok != 1 || n != 1 {
			t.Errorf("of 10 calls %d were sent and %d answered, want one probe", n, ok)
		}
		if s := w.state(); s.Breaker != "closed" {
			t.Errorf("after a good probe the breaker is %s", s.Breaker)
		}

		w.broke()
		time.Sleep(15 * time.Second)
		w.east.Script(azuresim.Step{Status: 503})
		w.do(w.ask(""))
		if s := w.state(); s.Breaker != "open" {
			t.Errorf("after a bad probe the breaker is %s", s.Breaker)
		}
	})
}

// TestHungProbe holds that a probe that never ends does not keep the breaker from
// closing (R6).
func TestHungProbe(t *testing.T) {
	t.Parallel()
	bubble(t, single, func(w *world) {
		w.broke()
		time.Sleep(15 * time.Second)
		w.east.Script(azuresim.Step{Hang: true})
		hung := w.ask("")
		go w.do(hung)
		synctest.Wait()
		if s := w.state(); s.Breaker != "half_open" {
			t.Errorf("with a probe under way the breaker is %s", s.Breaker)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if s := w.state(); s.Breaker != "open" {
			t.Errorf("after the watchdog the breaker is %s", s.Breaker)
		}
		time.Sleep(15 * time.Second)
		if got := w.do(w.ask("")); got.Status != 200 {
			t.Errorf("the next probe comes to %+v, want it answered", got)
		}
		if s := w.state(); s.Breaker != "closed" {
			t.Errorf("after the next probe the breaker is %s", s.Breaker)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if s := w.state(); s.InFlight != 0 || w.pool.Live() != 0 {
			t.Errorf("%d calls are in flight in the end, %d attempts live", s.InFlight, w.pool.Live())
		}
	})
}

// TestProbeOfASlowDeployment holds that a probe gets the time that good answers
// of the deployment take.
func TestProbeOfASlowDeployment(t *testing.T) {
	t.Parallel()
	bubble(t, single, func(w *world) {
		slow := azuresim.Step{Delay: 90 * time.Second}
		w.east.Script(slow)
		w.do(w.ask(""))
		w.broke()
		time.Sleep(15 * time.Second)
		w.east.Script(slow)
		if got := w.do(w.ask("")); got.Status != 200 {
			t.Errorf("the probe comes to %+v", got)
		}
		if s := w.state(); s.Breaker != "closed" {
			t.Errorf("after a good but slow probe the breaker is %s", s.Breaker)
		}
	})
}

// TestCallersAreNotFaults holds that what callers do is not held against a
// deployment, but for one that gives up on a stream that has hung.
func TestCallersAreNotFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		members string
		step    azuresim.Step
		within  time.Duration // the client's own timeout, in the call
		leaves  time.Duration // when the client hangs up; 0 never
		status  int           // 0: its own context's error
		took    time.Duration
		bad     int
	}{
		{"leaves", "", azuresim.Step{Hang: true}, 0, time.Second, 0, time.Second, 0},
		{"leaves after long", "", azuresim.Step{Hang: true}, 0, 5 * time.Minute, 0, 5 * time.Minute, 0},
		{"leaves a stream", streamed, azuresim.Step{Hang: true}, 0, 30*time.Second - 1, 0, 30*time.Second - 1, 0},
		{"leaves a stream that hung", streamed, azuresim.Step{Hang: true}, 0, 30 * time.Second, 0, 30 * time.Second, 1},
		{"leaves a stream that hung, though it had said it would wait", streamed, azuresim.Step{Hang: true}, 10 * time.Minute, 30 * time.Second, 0, 30 * time.Second, 1},
		{"leaves a stream that hung, in its own time", streamed, azuresim.Step{Hang: true}, 45 * time.Second, 40 * time.Second, 0, 40 * time.Second, 0},
		{"leaves a stream that has begun", streamed, azuresim.Step{Pause: time.Minute, PauseAt: 1}, 0, 14 * time.Second, 0, 14 * time.Second, 0},
		{"waits for 2 s", "", azuresim.Step{Delay: 5 * time.Second}, 2 * time.Second, 0, 504, 2 * time.Second, 0},
		{"waits for 2 s for a stream", streamed, azuresim.Step{Delay: 5 * time.Second}, 2 * time.Second, 0, 504, 2 * time.Second, 0},
		{"waits longer than the first byte may take", streamed, azuresim.Step{Hang: true}, 2 * time.Minute, 0, 504, time.Minute, 1},
		{"waits as long as the gateway", "", azuresim.Step{Hang: true}, 10 * time.Minute, 0, 504, 10 * time.Minute, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, alone, func(w *world) {
				w.east.Script(tt.step)
				ctx, cancel := context.WithCancel(w.t.Context())
				defer cancel()
				if tt.leaves > 0 {
					time.AfterFunc(tt.leaves, cancel)
				}
				call := w.ask(tt.members)
				call.Within = tt.within
				got := w.doIn(ctx, call)
				if got.Status != tt.status || got.Took != tt.took || got.Trace != "east" {
					t.Errorf("came to %+v, want %d after %v and one attempt", got, tt.status, tt.took)
				}
				if tt.status == 0 && !errors.Is(got.Err, context.Canceled) {
					t.Errorf("the error is %v, want that of the context", got.Err)
				}
				if _, bad := w.pool.Counted("east/gpt-4o"); bad != tt.bad {
					t.Errorf("%d faults are counted, want %d", bad, tt.bad)
				}
				synctest.Wait()
				if seen := w.east.Requests(); !seen[0].Done || !seen[0].Cancelled {
					t.Errorf("upstream is not told: %+v", seen[0])
				}
				if s := w.state(); s.InFlight != 0 || w.pool.Live() != 0 {
					t.Errorf("%d in flight, %d live", s.InFlight, w.pool.Live())
				}
			})
		})
	}
}

// TestCancelledProbe holds that a probe whose caller leaves frees its place, and
// decides nothing.
func TestCancelledProbe(t *testing.T) {
	t.Parallel()
	bubble(t, single, func(w *world) {
		w.broke()
		time.Sleep(15 * time.Second)
		for range 3 {
			w.east.Script(azuresim.Step{Hang: true})
			ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
			w.doIn(ctx, w.ask(""))
			cancel()
			if s := w.state(); s.Breaker != "half_open" {
				t.Fatalf("after a probe that was left the breaker is %s", s.Breaker)
			}
		}
		if got := w.do(w.ask("")); got.Status != 200 {
			t.Errorf("the next probe comes to %+v", got)
		}
	})
}

// TestCutStreamsAreFaults holds that streams that break are counted, in the same
// share as other faults, and those that their readers leave are not.
func TestCutStreamsAreFaults(t *testing.T) {
	t.Parallel()
	bubble(t, single, func(w *world) {
		w.east.Script(fault("cut-stream", 20)...)
		n := 0
		for ; w.state().Breaker == "closed"; n++ {
			if got := w.do(w.ask(streamed)); got.Err == nil || got.Trace != "east" {
				t.Fatalf("a cut stream came to %+v", got)
			}
		}
		if n != 5 {
			t.Errorf("the breaker opens after %d cut streams in a row, want 5", n)
		}
	})
	bubble(t, single, func(w *world) {
		for range 30 {
			ctx, cancel := context.WithCancel(w.t.Context())
			w.east.Script(azuresim.Step{Fault: "silence 50"})
			time.AfterFunc(time.Second, cancel)
			got := w.doIn(ctx, w.ask(streamed))
			if _, cut := errors.AsType[*openai.CutError](got.Err); !cut {
				t.Fatalf("a stream that was left came to %+v", got)
			}
		}
		if good, bad := w.pool.Counted("east/gpt-4o"); good != 0 || bad != 0 {
			t.Errorf("%d good and %d bad calls are counted, want none", good, bad)
		}
		if got := w.do(w.ask(streamed)); got.Err != nil {
			t.Fatalf("a stream came to %+v", got)
		}
		if good, bad := w.pool.Counted("east/gpt-4o"); good != 1 || bad != 0 {
			t.Errorf("%d good and %d bad calls are counted, want the one stream that was whole", good, bad)
		}
	})
}
