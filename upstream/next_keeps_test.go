package upstream_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
	"weir/openai"
	"weir/upstream"
)

// TestNextKeepsLessons holds that what answers and refusals have taught is known
// afterwards.
func TestNextKeepsLessons(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) { fixed(w); alone(w) }, func(w *world) {
		w.east.Script(fault("server-error", 1)...)
		w.do(w.ask(""))
		before := w.state()
		w.reload(nil)
		if diff := cmp.Diff(before, w.state()); diff != "" || before.Model == "" || len(before.Learned) != 1 {
			t.Errorf("known is %+v (-before +after):\n%s", before, diff)
		}
		w.east.Script(fault("server-error", 1)...)
		if got := w.do(w.ask("")); got.Trace != "east, east" {
			t.Errorf("the next 500 comes to %+v, want no temperature", got)
		}
	})
	bubble(t, alone, func(w *world) {
		w.east.Script(repeat(azuresim.Step{Delay: 5 * time.Second}, 5)...)
		for range 5 {
			w.do(w.ask(""))
		}
		w.reload(nil)
		w.east.Script(azuresim.Step{Status: 503, Body: "{}"})
		call := w.ask("")
		call.Within = 3 * time.Second
		if got := w.do(call); got.Status != 503 || got.Trace != "east" {
			t.Errorf("what is usually slow is tried again: %+v", got)
		}
	})
}

// TestNextKeepsTurns holds that deployments go on taking turns, however often the
// configuration changes.
func TestNextKeepsTurns(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(w *world) {
		var got []string
		for range 6 {
			got = append(got, w.do(w.ask("")).Trace)
			w.reload(nil)
		}
		if s := strings.Join(got, " "); s != "east west east west east west" {
			t.Errorf("asked are %s", s)
		}
	})
}

// TestNextKeepsRetryBudgets holds that a reload brings no retries.
func TestNextKeepsRetryBudgets(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		alone(w)
		w.cfg.Jitter = func() float64 { return 0 }
		w.cfg.Breaker.Consecutive, w.cfg.Breaker.MinRequests = 0, 0
	}, func(w *world) {
		again := 0
		for range 300 {
			w.east.Reset()
			w.east.Script(azuresim.Step{Status: 503, Body: "{}"})
			if w.do(w.ask("")).Status == 200 {
				again++
			}
			w.reload(nil)
		}
		if again < 120 || again > 131 { // a hundred, and one for every ten calls
			t.Errorf("%d of 300 calls were tried again", again)
		}
	})
}

// TestNextIsForWhatBeginsAfterIt holds that a request goes on by the configuration
// that it began under, that new ones go by the new one, whichever pool is asked for
// them, and that stopping the new pool breaks off what the old one began.
func TestNextIsForWhatBeginsAfterIt(t *testing.T) {
	t.Parallel()
	bubble(t, single, func(w *world) {
		w.cfg.Retry.Attempts, w.cfg.Jitter = 3, func() float64 { return 0.5 }
		w.reload(nil)
		old := w.pool
		results := make(chan result, 2)
		w.east.Script(azuresim.Step{Status: 503, Delay: time.Second}, azuresim.Step{Fault: "silence 50"})
		for _, members := range []string{"", streamed} {
			call := w.ask(members)
			go func() { results <- w.do(call) }()
			synctest.Wait()
		}
		w.reload(func(cfg *upstream.Config) {
			cfg.Retry.Attempts, cfg.Timeouts.Total = 1, 10*time.Second
			serving(deployment("west"))(cfg)
		})
		w.west.Script(append(fault("server-error", 2), azuresim.Step{Hang: true})...)
		newest := w.pool
		for _, p := range []*upstream.Pool{newest, old} {
			w.pool = p
			if got := w.do(w.ask("")); got.Status != 500 || got.Trace != "west 1" && got.Trace != "west" {
				t.Errorf("a new call comes to %+v, want one attempt at west", got)
			}
		}
		if got := w.do(w.ask("")); got.Status != 504 || got.Took != 10*time.Second {
			t.Errorf("one that hangs comes to %+v, want it ended as is configured now", got)
		}
		w.pool = newest
		if got := <-results; got.Status != 200 || got.Trace != "east, east" {
			t.Errorf("the old call comes to %+v, want a second attempt at east", got)
		}
		if w.pool.Live() != 1 {
			t.Errorf("%d attempts are live, want the stream", w.pool.Live())
		}
		w.pool.Stop()
		_, cut := errors.AsType[*openai.CutError]((<-results).Err)
		if !cut {
			t.Error("the old stream goes on")
		}
		w.reload(nil)
		if got := w.do(w.ask("")); got.Code != openai.CodeShuttingDown {
			t.Errorf("behind the end a call comes to %+v", got)
		}
	})
}

// paths counts the requests that go through it by their hosts.
type paths struct {
	via  http.RoundTripper
	seen map[string]int
	mu   sync.Mutex
}

func (p *paths) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.seen[r.Method+" "+r.URL.Host]++
	p.mu.Unlock()
	return p.via.RoundTrip(r)
}

// TestNextWarmsWhatIsNew holds that connections are made ahead to resources that
// were not there before, and by ways that were not.
func TestNextWarmsWhatIsNew(t *testing.T) {
	t.Parallel()
	bubble(t, alone, func(w *world) {
		first, second := &paths{via: w.transport, seen: map[string]int{}}, &paths{via: w.transport, seen: map[string]int{}}
		w.cfg.Transport = first
		w.pool = upstream.New(w.cfg)
		w.pool.Warm(w.t.Context())
		w.reload(serving(deployment("east"), deployment("west")))
		w.pool.Warm(w.t.Context())
		w.reload(nil)
		w.pool.Warm(w.t.Context())
		w.reload(func(cfg *upstream.Config) {
			d := deployment("west")
			d.Transport = second
			serving(deployment("east"), d)(cfg)
		})
		w.pool.Warm(w.t.Context())
		want := []map[string]int{{"HEAD east.example": 1, "HEAD west.example": 1}, {"HEAD west.example": 1}}
		if diff := cmp.Diff(want, []map[string]int{first.seen, second.seen}); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestWarmTellsWhoCannotBeReached holds that a resource that cannot be reached is told
// of, and that one is not which nobody wants to know of any longer.
func TestWarmTellsWhoCannotBeReached(t *testing.T) {
	t.Parallel()
	bubble(t, single, func(w *world) {
		w.cfg.Transport = dead{}
		w.pool = upstream.New(w.cfg)
		gone, cancel := context.WithCancel(w.t.Context())
		cancel()
		w.pool.Warm(gone)
		if log := w.log.String(); log != "" {
			t.Errorf("called off, it says %s", log)
		}
		w.pool.Warm(w.t.Context())
		if log := w.log.String(); !strings.Contains(log, `msg="resource cannot be reached" backend=east`) {
			t.Errorf("it says %q, want that east cannot be reached", log)
		}
	})
}

// dead reaches nobody.
type dead struct{}

func (dead) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return nil, io.ErrUnexpectedEOF
}
