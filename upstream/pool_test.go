package upstream_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
	"weir/openai"
	"weir/usage"
)

// TestRetryBudget holds how many calls of a model are tried again at a time (R4).
func TestRetryBudget(t *testing.T) {
	t.Parallel()
	for n, again := range map[int]int{1: 1, 2: 2, 5: 3, 15: 3, 20: 4, 100: 20} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				alone(w)
				w.cfg.Retry.Attempts = 2
				w.cfg.Breaker.Consecutive, w.cfg.Breaker.MinRequests = 0, 0
			}, func(w *world) {
				w.east.Script(repeat(azuresim.Step{Status: 503, Delay: time.Second}, 2*n)...)
				for _, r := range w.all(n, "") {
					if r.Status != 503 || !r.NoRetry {
						t.Errorf("a call comes to %+v", r)
					}
				}
				if got := len(w.east.Requests()); got != n+again {
					t.Errorf("of %d failing calls %d were tried again, want %d", n, got-n, again)
				}
			})
		})
	}
}

// TestRetriesOverTime holds how many calls are tried again for those that come:
// a few faults always, many in a row while the budget lasts, and cures whatever it
// says.
func TestRetriesOverTime(t *testing.T) {
	t.Parallel()
	down, bad := azuresim.Step{Status: 503, Body: "{}"}, azuresim.Step{Fault: "unicode-500*1"}
	tests := []struct {
		name  string
		fault azuresim.Step
		of    int           // each so many'th call meets it at first
		gap   time.Duration // between calls
		calls int
		again int // of those that met it
	}{
		{"one in ten, for long", down, 10, 50 * time.Millisecond, 5000, 500},
		{"one in five, for a while", down, 5, 50 * time.Millisecond, 500, 100},
		{"each, a hundred", down, 1, 0, 100, 100},
		{"each, a thousand", down, 1, 0, 1000, 199},
		{"each, but seldom", down, 1, 10 * time.Second, 1000, 1000},
		{"cures, a thousand", bad, 1, 0, 1000, 1000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				alone(w)
				w.cfg.Jitter = func() float64 { return 0 }
				w.cfg.Breaker.Consecutive, w.cfg.Breaker.MinRequests = 0, 0
			}, func(w *world) {
				answered, met := 0, 0
				for i := range tt.calls {
					hit := i%tt.of == 0
					w.east.Reset()
					if hit {
						w.east.Script(tt.fault)
						met++
					}
					if got := w.do(w.ask("")); got.Status == 200 && hit {
						answered++
					}
					time.Sleep(tt.gap)
				}
				if answered < tt.again || answered > tt.again+1 || met < answered {
					t.Errorf("of %d calls that met a fault %d were answered, want %d", met, answered, tt.again)
				}
			})
		})
	}
}

// TestMovingOnIsNoRetry holds that calls that a deployment had no room for go to
// another whatever the retry budget says.
func TestMovingOnIsNoRetry(t *testing.T) {
	t.Parallel()
	bubble(t, tiered, func(w *world) {
		w.east.Script(repeat(azuresim.Step{Fault: "rate-limit 7", Delay: time.Second}, 100)...)
		w.west.Script(repeat(azuresim.Step{Delay: 10 * time.Second}, 100)...)
		for _, r := range w.all(100, "") {
			if r.Status != 200 {
				t.Fatalf("a call comes to %+v, want it answered by west", r)
			}
		}
		if got := w.requests(); got != [2]int{100, 100} {
			t.Errorf("they are asked %v", got)
		}
	})
}

// TestDeadline holds that no attempt is begun that could not end in time (R15).
func TestDeadline(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		delay  time.Duration
		within time.Duration
		trace  string
		status int
		took   time.Duration
	}{
		{"a second left", time.Second, 2 * time.Second, "east, west", 200, time.Second},
		{"less than a second left", 1001 * time.Millisecond, 2 * time.Second, "east", 503, 1001 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, nil, func(w *world) {
				w.east.Script(azuresim.Step{Status: 503, Delay: tt.delay})
				call := w.ask("")
				call.Within = tt.within
				if got := w.do(call); got.Trace != tt.trace || got.Status != tt.status || got.Took != tt.took {
					t.Errorf("came to %+v, want %d by %q after %v", got, tt.status, tt.trace, tt.took)
				}
			})
		})
	}
}

// TestLeavingInBackoff holds that a caller that goes while a call waits is the
// end of it (R14).
func TestLeavingInBackoff(t *testing.T) {
	t.Parallel()
	bubble(t, alone, func(w *world) {
		w.east.Script(fault("rate-limit 7", 5)...)
		ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Second)
		defer cancel()
		got := w.doIn(ctx, w.ask(""))
		if got.Status != 429 || got.Took != 3*time.Second || got.Trace != "east" {
			t.Errorf("came to %+v, want the 429 after 3 s and one attempt", got)
		}
		time.Sleep(time.Minute)
		if n := w.requests(); n != [2]int{1, 0} {
			t.Errorf("they were asked %v", n)
		}
	})
}

// TestRequestIsSentOnceEach holds that nothing but the pool sends a request
// again, whatever its header says and however warm its connections are (R11).
func TestRequestIsSentOnceEach(t *testing.T) {
	t.Parallel()
	bubble(t, alone, func(w *world) {
		w.east.Script(repeat(azuresim.Step{Delay: time.Second}, 4)...)
		w.all(4, "")
		w.requests()
		w.east.Script(repeat(azuresim.Step{CloseAfterRead: true}, 20)...)
		call := w.ask("")
		call.Header = map[string][]string{"Idempotency-Key": {"k"}, "X-Idempotency-Key": {"k"}}
		got := w.do(call)
		if n := w.requests(); got.Trace != "east, east" || n != [2]int{2, 0} {
			t.Errorf("%d requests for %q", n, got.Trace)
		}
	})
}

// TestRedirect holds that a redirect is not followed: neither key nor prompt
// leaves for another host.
func TestRedirect(t *testing.T) {
	t.Parallel()
	bubble(t, alone, func(w *world) {
		w.east.Script(fault("redirect", 3)...)
		w.do(w.ask(""))
		for _, address := range w.dials {
			if address != "east.example:80" {
				t.Errorf("a connection to %s was asked for", address)
			}
		}
	})
}

// TestStop holds that stopping ends what is under way, blames nobody for it, and
// lets nothing begin.
func TestStop(t *testing.T) {
	t.Parallel()
	bubble(t, alone, func(w *world) {
		w.east.Script(azuresim.Step{Hang: true}, azuresim.Step{Fault: "silence 50"}, azuresim.Step{Fault: "rate-limit 7"})
		results := make(chan result, 3)
		for _, members := range []string{"", streamed, ""} {
			call := w.ask(members)
			go func() { results <- w.do(call) }()
			time.Sleep(time.Second)
		}
		stopped := time.Now()
		w.pool.Stop()
		w.pool.Stop()
		for range 3 {
			r := <-results
			_, cut := errors.AsType[*openai.CutError](r.Err)
			if r.Status == 200 && !cut || r.Status != 200 && r.Code != "shutting_down" {
				t.Errorf("a call that is broken off comes to %+v", r)
			}
		}
		if took := time.Since(stopped); took != 0 {
			t.Errorf("stopping takes %v", took)
		}
		if got := w.do(w.ask("")); got.Code != "shutting_down" || got.Status != 503 || got.NoRetry {
			t.Errorf("a call after that comes to %+v", got)
		}
		synctest.Wait()
		if _, bad := w.pool.Counted("east/gpt-4o"); bad != 0 || w.pool.Live() != 0 {
			t.Errorf("%d faults are counted, %d attempts live", bad, w.pool.Live())
		}
		if n := len(w.east.Requests()); n != 3 {
			t.Errorf("east was asked %d times, want 3", n)
		}
	})
}

// TestRecord holds what is noted of each attempt.
func TestRecord(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(w *world) {
		w.east.Script(azuresim.Step{Fault: "server-error", Delay: time.Second})
		w.west.Script(azuresim.Step{Delay: 2 * time.Second})
		rec := &usage.Record{Start: time.Now()}
		answer, err := w.pool.Do(w.t.Context(), w.ask(""), rec)
		if err != nil {
			t.Fatal(err)
		}
		answer.Close(nil)
		answer.Close(nil)
		cooled := 0.75
		want := []usage.Attempt{
			{Deployment: "east/gpt-4o", Status: 500, Reason: "500", Sent: true, Duration: time.Second},
			{Deployment: "west/gpt-4o", Status: 200, Sent: true, Temperature: &cooled, Began: time.Second, Duration: 2 * time.Second},
		}
		if diff := cmp.Diff(want, rec.Attempts); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
		if rec.Deployment != "west/gpt-4o" || rec.Upstream != 3*time.Second || rec.AzureRegion != "East US 2" || rec.AzureRequestID == "" {
			t.Errorf("the record is %+v", rec)
		}
		if s := w.pool.States()[1]; s.InFlight != 0 {
			t.Errorf("after it was let go of twice, %d calls are in flight", s.InFlight)
		}
		if !strings.Contains(answer.Facts.Model, "gpt-4o") || !answer.Facts.HasUsage {
			t.Errorf("the answer's facts are %+v", answer.Facts)
		}
	})
}

// TestLog holds that changes of state are logged, and what is wrong with our own
// configuration.
func TestLog(t *testing.T) {
	t.Parallel()
	bubble(t, single, func(w *world) {
		w.broke()
		time.Sleep(15 * time.Second)
		w.do(w.ask(""))
		w.east.Script(fault("bad-key", 1)...)
		w.do(w.ask(""))
		log := w.log.String()
		for _, want := range []string{"breaker=open was=closed", "breaker=closed was=half_open", `msg="deployment is misconfigured" deployment=east/gpt-4o status=401`} {
			if !strings.Contains(log, want) {
				t.Errorf("the log does not say %q:\n%s", want, log)
			}
		}
		if strings.Contains(log, key) || strings.Contains(log, "hello") {
			t.Errorf("the log holds a key or a prompt:\n%s", log)
		}
	})
}
