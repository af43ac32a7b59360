package upstream_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
	"weir/openai"
	"weir/upstream"
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
// open or is full, and not any longer (R8).
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
// with the shortest wait (R10).
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

// TestStates holds what is told of the deployments.
func TestStates(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(w *world) {
		w.east.Script(fault("rate-limit 10", 1)...)
		w.west.Script(azuresim.Step{Delay: time.Second})
		go w.do(w.ask(""))
		synctest.Wait()
		want := []upstream.State{
			{Deployment: "east/gpt-4o", Breaker: "closed", Rest: 10500 * time.Millisecond, Why: "429", Throttled: time.Now()},
			{Deployment: "west/gpt-4o", Breaker: "closed", InFlight: 1},
		}
		if diff := cmp.Diff(want, w.pool.States()); diff != "" {
			t.Errorf("States (-want +got):\n%s", diff)
		}
		time.Sleep(time.Second)
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
