package main_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
)

// said returns what the gateway has logged beside the lines of requests: each
// message, the deployment it is about, and what it has become.
func (w *world) said() []string {
	w.t.Helper()
	synctest.Wait()
	lines := []string{}
	for text := range strings.Lines(w.log.String()) {
		var line struct{ Level, Msg, Deployment, Breaker, Was, For, Reason string }
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			w.t.Fatal(err)
		}
		if line.Msg != "request" {
			lines = append(lines, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s %s %s %s", line.Level, line.Msg, line.Deployment, line.Was, line.Breaker, line.For, line.Reason)), " "))
		}
	}
	return lines
}

// together are steps of which none is answered before all that come at once are sent.
func together(faults ...string) []azuresim.Step {
	all := steps(faults...)
	for i := range all {
		all[i].Delay = time.Second
	}
	return all
}

// TestStateIsSaidOnce holds that a change of a deployment's state is one line,
// however many requests see it, and that a request that changes none is its own
// line alone.
func TestStateIsSaidOnce(t *testing.T) {
	t.Parallel()
	lone := of("gpt-35-turbo", say("hello"))
	many := func(w *world) {
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { w.chat(lone) })
		}
		all.Wait()
	}
	tests := []struct {
		name  string
		edits []string
		run   func(w *world)
		want  []string
	}{
		{"answers", nil, many, []string{}},
		{"a rest, and another", nil, func(w *world) {
			w.east.Script(together("rate-limit 20 s", "rate-limit 20 s", "rate-limit 20 s", "rate-limit 20 s", "rate-limit 30 s")...)
			many(w)
			time.Sleep(21 * time.Second)
			w.chat(lone)
		}, []string{"INFO deployment rests east/gpt-35-turbo 20s 429", "INFO deployment rests east/gpt-35-turbo 30s 429"}},
		{"a key that is refused", nil, func(w *world) {
			w.east.Script(together("bad-key", "bad-key", "bad-key", "bad-key")...)
			many(w)
		}, []string{"ERROR deployment is misconfigured east/gpt-35-turbo"}},
		{"a breaker that opens and closes", []string{"retry: {", "breaker: { consecutive_failures: 2, open_for: 5s }\n  retry: { max_attempts: 1,"}, func(w *world) {
			w.east.Script(together("server-error", "server-error", "server-error", "server-error")...)
			many(w)
			time.Sleep(6 * time.Second)
			w.chat(lone)
		}, []string{
			"WARN deployment east/gpt-35-turbo closed open", "WARN deployment east/gpt-35-turbo open half_open", "WARN deployment east/gpt-35-turbo half_open closed",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				tt.run(w)
				if diff := cmp.Diff(tt.want, w.said()); diff != "" {
					t.Errorf("logged (-want +got):\n%s", diff)
				}
			}, tt.edits...)
		})
	}
}
