package upstream_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
	"weir/policy"
	"weir/upstream"
)

// TestRoomOfDeployments holds what is told of a deployment's quota: what its answers
// say, and what its twin reckons.
func TestRoomOfDeployments(t *testing.T) {
	t.Parallel()
	headers := http.Header{
		"X-Ratelimit-Limit-Tokens": {"1000"}, "X-Ratelimit-Remaining-Tokens": {"700"},
		"X-Ratelimit-Limit-Requests": {"60"}, "X-Ratelimit-Remaining-Requests": {"59"},
	}
	bubble(t, func(w *world) { w.cfg.Twin = true }, func(w *world) {
		state := func() upstream.State {
			s := w.pool.States()[0]
			return upstream.State{Deployment: s.Deployment, Told: s.Told, Twin: s.Twin}
		}
		want := upstream.State{Deployment: "east/gpt-4o"}
		if diff := cmp.Diff(want, state()); diff != "" {
			t.Errorf("before anything (-want +got):\n%s", diff)
		}
		w.east.Script(azuresim.Step{Header: headers})
		w.do(w.ask(""))
		want.Told = policy.Room{Tokens: policy.Share{Known: true, Left: 700, Limit: 1000}, Requests: policy.Share{Known: true, Left: 59, Limit: 60}}
		want.Twin = want.Told
		if diff := cmp.Diff(want, state()); diff != "" {
			t.Errorf("after an answer (-want +got):\n%s", diff)
		}
	})
}

// TestAvailable holds when a model takes requests: while any of its deployments
// neither rests nor is shut out.
func TestAvailable(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(w *world) {
		check := func(when string, want bool) {
			t.Helper()
			if got := w.pool.Available()["m"]; got != want {
				t.Errorf("%s it is available: %t, want %t", when, got, want)
			}
		}
		check("at first", true)
		w.east.Script(fault("rate-limit 60", 1)...)
		w.do(w.ask(""))
		check("while one rests", true)
		w.west.Script(fault("rate-limit 90", 1)...)
		w.do(w.ask(""))
		check("while both rest", false)
		time.Sleep(70 * time.Second)
		check("when one has rested", true)
	})
}
