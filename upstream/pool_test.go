package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
	"weir/openai"
	"weir/upstream"
	"weir/usage"
)

// requests returns how often east and west were asked since the last time.
func (w *world) requests() [2]int {
	n := [2]int{len(w.east.Requests()), len(w.west.Requests())}
	w.east.Reset()
	w.west.Reset()
	return n
}

// TestWeights holds the shares of deployments of one priority, one call after
// another and all at once.
func TestWeights(t *testing.T) {
	t.Parallel()
	heavy := deployment("east")
	heavy.Weight = 3
	bubble(t, func(w *world) { w.deployments(heavy, deployment("west")) }, func(w *world) {
		var order []string
		for range 8 {
			order = append(order, w.do(w.ask("")).Trace[:1])
		}
		if want := strings.Split("eewe"+"eewe", ""); !cmp.Equal(want, order) {
			t.Errorf("one after another they are asked %v, want %v", order, want)
		}
		w.requests()
		w.east.Script(repeat(azuresim.Step{Delay: time.Second}, 40)...)
		w.west.Script(repeat(azuresim.Step{Delay: time.Second}, 40)...)
		w.all(40, "")
		if got := w.requests(); got != [2]int{30, 10} {
			t.Errorf("40 calls at once are shared %v, want 30 and 10", got)
		}
	})
}

// TestWeightZero holds that a deployment without weight is never asked.
func TestWeightZero(t *testing.T) {
	t.Parallel()
	off := deployment("east")
	off.Weight = 0
	bubble(t, func(w *world) { w.deployments(off, deployment("west")) }, func(w *world) {
		w.west.Script(fault("unavailable", 3)...)
		if got := w.do(w.ask("")); got.Status != 503 || w.requests()[0] != 0 {
			t.Errorf("came to %+v, want west alone asked", got)
		}
	})
	bubble(t, func(w *world) { w.deployments(off) }, func(w *world) {
		if got := w.do(w.ask("")); got.Status != 503 || got.Code != "no_healthy_deployment" {
			t.Errorf("with no weight at all a call comes to %+v", got)
		}
	})
}

// tiered asks east first, and west where east cannot be asked.
func tiered(w *world) {
	second := deployment("west")
	second.Priority = 1
	w.deployments(deployment("east"), second)
}

// TestPriorities holds that the next priority is asked while the first rests, is
// open or is full, and not any longer.
func TestPriorities(t *testing.T) {
	t.Parallel()
	bubble(t, tiered, func(w *world) {
		for range 5 {
			w.do(w.ask(""))
		}
		if got := w.requests(); got != [2]int{5, 0} {
			t.Errorf("healthy, they are asked %v, want east alone", got)
		}

		w.east.Script(fault("rate-limit 7", 1)...)
		if got := w.do(w.ask("")); got.Trace != "east, west" || got.Took != 0 || got.Status != 200 {
			t.Errorf("the call that east has no room for comes to %+v", got)
		}
		w.requests()
		for range 7 {
			w.do(w.ask(""))
			time.Sleep(time.Second)
		}
		if got := w.requests(); got != [2]int{0, 7} {
			t.Errorf("while east rests they are asked %v, want west alone", got)
		}
		time.Sleep(time.Second)
		w.do(w.ask(""))
		if got := w.requests(); got != [2]int{1, 0} {
			t.Errorf("8 s after its 429 they are asked %v, want east again", got)
		}

		w.east.Script(fault("unavailable", 5)...)
		for range 5 {
			w.do(w.ask(""))
		}
		w.requests()
		w.do(w.ask(""))
		if got := w.requests(); got != [2]int{0, 1} {
			t.Errorf("while east is open they are asked %v", got)
		}
		time.Sleep(15 * time.Second)
		w.do(w.ask(""))
		w.do(w.ask(""))
		if got := w.requests(); got != [2]int{2, 0} {
			t.Errorf("after east's time they are asked %v, want east", got)
		}
	})
	bubble(t, func(w *world) {
		tiered(w)
		narrow := w.cfg.Models["m"].Deployments[0]
		narrow.MaxInFlight = 2
		w.deployments(narrow, w.cfg.Models["m"].Deployments[1])
	}, func(w *world) {
		w.east.Script(repeat(azuresim.Step{Delay: time.Second}, 5)...)
		w.west.Script(repeat(azuresim.Step{Delay: time.Second}, 5)...)
		w.all(5, "")
		if got := w.requests(); got != [2]int{2, 3} {
			t.Errorf("where east takes 2 at once, 5 calls are shared %v", got)
		}
		w.all(1, "")
		if got := w.requests(); got != [2]int{1, 0} {
			t.Errorf("when it has room again they are asked %v", got)
		}
	})
}

// TestUntriedFirst holds that a request goes to a deployment that has not failed
// it rather than to one that has.
func TestUntriedFirst(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		third, last := deployment("west"), deployment("west")
		third.Name, last.Name = "second", "third"
		last.Priority = 1
		w.deployments(deployment("east"), third, last)
	}, func(w *world) {
		w.east.Script(fault("unavailable", 1)...)
		w.west.ScriptDeployment("second", azuresim.Step{Status: 502})
		if got := w.do(w.ask("")); got.Trace != "east, west/second, west/third" || got.Status != 200 {
			t.Errorf("came to %+v, want each asked once", got)
		}
	})
}

// TestAllRest holds that a model whose deployments all rest is refused at once,
// with the shortest wait.
func TestAllRest(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(w *world) {
		w.east.Script(fault("rate-limit 40", 1)...)
		w.west.Script(fault("rate-limit 30", 1)...)
		if got := w.do(w.ask("")); got.Status != 429 || got.Took != 0 || got.Trace != "east, west" || got.Wait != 30*time.Second {
			t.Errorf("the call that finds out comes to %+v", got)
		}
		w.requests()
		time.Sleep(time.Second)
		got := w.do(w.ask(""))
		if got.Status != 429 || got.Code != "rate_limit_exceeded" || got.Took != 0 || got.Wait != 30500*time.Millisecond {
			t.Errorf("the next comes to %+v, want a 429 at once that says 30.5 s", got)
		}
		if n := w.requests(); n != [2]int{} {
			t.Errorf("they are asked %v while they rest", n)
		}
	})
}

// TestRetryBudget holds how many calls of a model are tried again at a time.
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

// TestDeadline holds that no attempt is begun that could not end in time.
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
// end of it.
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
// again, whatever its header says and however warm its connections are.
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

// TestAnyModel holds the deployments that are named by who calls them: there is a
// bound to how many are remembered.
func TestAnyModel(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(w *world) {
		call := w.ask("")
		call.Model = "other"
		if got := w.do(call); got.Status != 404 || got.Code != "model_not_found" || got.Trace != "" {
			t.Errorf("a model that is not there comes to %+v", got)
		}
	})
	bubble(t, func(w *world) { d := deployment("west"); w.cfg.Any = &d }, func(w *world) {
		for i := range 300 {
			call := w.ask("")
			call.Model = fmt.Sprintf("model-%d", i)
			if got := w.do(call); got.Status != 200 || got.Trace != "west/"+call.Model {
				t.Fatalf("model %d comes to %+v", i, got)
			}
		}
		if got := w.west.Requests()[7].Deployment; got != "model-7" {
			t.Errorf("model-7 is asked for as %q", got)
		}
		if n := w.pool.Remembered(); n != 257 {
			t.Errorf("%d models are remembered, want 256 and the configured one", n)
		}
	})
}

// TestWindowsOfDeployments holds that a call goes only where it fits.
func TestWindowsOfDeployments(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		small, large := deployment("east"), deployment("west")
		small.ContextWindow, small.MaxOutput, large.ContextWindow = 1000, 100, 2000
		w.deployments(small, large)
	}, func(w *world) {
		for _, tt := range []struct {
			prompt, output int64
			want           [2]int // of two calls
		}{{900, 100, [2]int{1, 1}}, {901, 100, [2]int{0, 2}}, {1, 101, [2]int{0, 2}}, {0, 0, [2]int{1, 1}}} {
			for range 2 {
				call := w.ask("")
				call.Prompt, call.Output = tt.prompt, tt.output
				w.do(call)
			}
			if got := w.requests(); got != tt.want {
				t.Errorf("calls of %d and %d tokens go to %v, want %v", tt.prompt, tt.output, got, tt.want)
			}
		}
		call := w.ask("")
		call.Prompt = 2001
		if got := w.do(call); got.Status != 400 || got.Code != "context_length_exceeded" {
			t.Errorf("a call that fits nowhere comes to %+v", got)
		}
		w.west.Script(fault("rate-limit 40", 1)...)
		call.Prompt = 1500
		w.do(call)
		if got := w.do(call); got.Status != 429 || got.Wait != 42*time.Second {
			t.Errorf("while the only one that it fits rests, a call comes to %+v, want a 429 that says when that ends", got)
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

// TestStates holds what is told of the deployments.
func TestStates(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(w *world) {
		w.east.Script(fault("rate-limit 10", 1)...)
		w.west.Script(azuresim.Step{Delay: time.Second})
		go w.do(w.ask(""))
		synctest.Wait()
		want := []upstream.State{
			{Deployment: "east/gpt-4o", Breaker: "closed", Rest: 10500 * time.Millisecond},
			{Deployment: "west/gpt-4o", Breaker: "closed", InFlight: 1},
		}
		if diff := cmp.Diff(want, w.pool.States()); diff != "" {
			t.Errorf("States (-want +got):\n%s", diff)
		}
		time.Sleep(time.Second)
	})
}

// TestRecord holds what is noted of each attempt.
func TestRecord(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(w *world) {
		w.east.Script(azuresim.Step{Fault: "server-error", Delay: time.Second})
		w.west.Script(azuresim.Step{Delay: 2 * time.Second})
		rec := &usage.Record{}
		answer, err := w.pool.Do(w.t.Context(), w.ask(""), rec)
		if err != nil {
			t.Fatal(err)
		}
		answer.Close(nil)
		answer.Close(nil)
		cooled := 0.75
		want := []usage.Attempt{
			{Deployment: "east/gpt-4o", Status: 500, Reason: "500", Sent: true, Duration: time.Second},
			{Deployment: "west/gpt-4o", Status: 200, Sent: true, Temperature: &cooled, Duration: 2 * time.Second},
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

// TestCandidates holds what is said of each deployment, and that the one that is
// named is the one that is asked.
func TestCandidates(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(w *world) {
		call := w.ask("")
		call.Model = "other"
		if got := w.pool.Candidates(call); got != nil {
			t.Errorf("a model that is not there has candidates: %+v", got)
		}
	})
	bubble(t, func(w *world) {
		var all []upstream.Deployment
		for _, name := range []string{"first", "second", "rests", "open", "off", "small", "full", "last"} {
			d := deployment("east")
			d.Name = name
			all = append(all, d)
		}
		all[4].Weight, all[5].ContextWindow, all[6].MaxInFlight, all[7].Priority = 0, 10, 1, 1
		w.deployments(all...)
		w.cfg.Retry.Attempts = 1
	}, func(w *world) {
		call := w.ask("")
		call.Prompt = 11
		w.east.ScriptDeployment("rests", fault("rate-limit 7", 1)...)
		w.east.ScriptDeployment("full", azuresim.Step{Hang: true})
		w.east.ScriptDeployment("open", repeat(azuresim.Step{Status: 503}, 5)...)
		for range 40 { // each is asked in its turn, until it cannot be
			one := w.ask("")
			go w.do(one)
			synctest.Wait()
		}
		want := []openai.Candidate{
			{Deployment: "east/first", Chosen: true},
			{Deployment: "east/second", Reason: "another is less loaded for its weight, or it is its turn"},
			{Deployment: "east/rests", Reason: "it rests 7.35s (429)"},
			{Deployment: "east/open", Reason: "it failed too often and is left alone for 15s"},
			{Deployment: "east/off", Reason: "its weight is 0"},
			{Deployment: "east/small", Reason: "the request does not fit its window"},
			{Deployment: "east/full", Reason: "it has as many requests in flight as it may"},
			{Deployment: "east/last", Reason: "another has a better priority"},
		}
		if diff := cmp.Diff(want, w.pool.Candidates(call)); diff != "" {
			t.Errorf("Candidates (-want +got):\n%s", diff)
		}
		time.Sleep(10 * time.Minute)
	})
}

// TestAloneWhileTheOtherCannot holds that a short wait is waited for where the
// other deployment is open, or busy with its probe.
func TestAloneWhileTheOtherCannot(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		tiered(w)
		other := w.cfg.Models["m"].Deployments[1]
		w.cfg.Models["m"].Deployments[0].Priority, other.Priority = 2, 0
		w.deployments(w.cfg.Models["m"].Deployments[0], other)
		w.cfg.Retry.Attempts = 2
	}, func(w *world) {
		w.west.Script(repeat(azuresim.Step{Status: 503}, 5)...)
		for range 5 {
			w.do(w.ask(""))
		}
		w.east.Script(fault("provisioned-full 43ms", 1)...)
		if got := w.do(w.ask("")); got.Status != 200 || got.Trace != "east, east" {
			t.Errorf("while west is open a call comes to %+v", got)
		}
		time.Sleep(15 * time.Second)
		w.west.Script(azuresim.Step{Delay: 5 * time.Second})
		probe := w.ask("")
		go w.do(probe)
		synctest.Wait()
		w.east.Script(fault("provisioned-full 43ms", 1)...)
		if got := w.do(w.ask("")); got.Status != 200 || got.Trace != "east, east" {
			t.Errorf("while west is probed a call comes to %+v", got)
		}
		time.Sleep(time.Minute)
	})
}

// TestModelsShareADeployment holds that what is known of a deployment is known to
// every model that it serves.
func TestModelsShareADeployment(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		single(w)
		w.cfg.Models["n"] = upstream.Model{Deployments: []upstream.Deployment{deployment("east")}}
	}, func(w *world) {
		w.east.Script(fault("rate-limit 7", 1)...)
		w.do(w.ask(""))
		call := w.ask("")
		call.Model = "n"
		if got := w.do(call); got.Status != 429 || got.Trace != "" || got.Wait != 7350*time.Millisecond {
			t.Errorf("another model's call comes to %+v, want it told of the rest", got)
		}
		time.Sleep(8 * time.Second)
		w.broke()
		if got := w.do(call); got.Code != "no_healthy_deployment" || got.Trace != "" {
			t.Errorf("another model's call comes to %+v, want it told of the breaker", got)
		}
		if n := len(w.pool.States()); n != 1 {
			t.Errorf("%d deployments are told of, want one", n)
		}
	})
}
