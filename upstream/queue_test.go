package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/azuresim"
	"weir/openai"
	"weir/policy"
	"weir/upstream"
	"weir/usage"
)

// crowd is a number of clients of one share that each ask again as soon as they
// are answered, or as they are told to.
type crowd struct {
	share   openai.Share
	clients int
	tokens  int // that each request may use

	mu   sync.Mutex
	used int // tokens of answered requests, in the time that counts
}

// run lets the clients ask for so long, of which the first warm does not count.
func (w *world) run(warm, long time.Duration, crowds ...*crowd) {
	ctx, stop := context.WithTimeout(w.t.Context(), warm+long)
	defer stop()
	counts := time.Now().Add(warm)
	var all sync.WaitGroup
	for _, c := range crowds {
		for range c.clients {
			all.Go(func() {
				for ctx.Err() == nil {
					w.turn(ctx, c, counts)
				}
			})
		}
	}
	all.Wait()
}

func (w *world) turn(ctx context.Context, c *crowd, counts time.Time) {
	call := w.ask(fmt.Sprintf(`"max_tokens":%d,`, c.tokens))
	call.Share = c.share
	got := w.doIn(ctx, call)
	switch {
	case got.Status == 200 && !time.Now().Before(counts):
		c.mu.Lock()
		c.used += c.tokens
		c.mu.Unlock()
	case got.Status != 200:
		select {
		case <-time.After(max(got.Wait, 100*time.Millisecond)):
		case <-ctx.Done():
		}
	}
}

// saturated lets east alone serve, eight requests at a time of a second each,
// which may be waited for.
func saturated(w *world) {
	w.east = azuresim.New(azuresim.Config{Key: key, Deployments: map[string]azuresim.Deployment{"gpt-4o": {Latency: time.Second}}})
	d := deployment("east")
	d.MaxInFlight = 8
	w.deployments(d)
	w.cfg.Queue = upstream.Queue{MaxWait: 5 * time.Second, MaxLength: 200}
	w.cfg.Twin = true
}

// limited lets east alone serve so many requests a minute, a sixth of them in
// any ten seconds.
func limited(w *world) {
	w.east = azuresim.New(azuresim.Config{Key: key, Deployments: map[string]azuresim.Deployment{"gpt-4o": {RPM: 1200}}})
	d := deployment("east")
	d.Quota = policy.Quota{Requests: 1200}
	w.deployments(d)
	w.cfg.Queue = upstream.Queue{MaxWait: 12 * time.Second, MaxLength: 400}
	w.cfg.Twin = true
}

func TestDeploymentIsSharedFairly(t *testing.T) {
	t.Parallel()
	const normal = 1
	tests := []struct {
		name   string
		change func(*world)
		crowds []*crowd
		want   []float64 // each crowd's part of the tokens
	}{
		{name: "four equal shares, in tokens", change: saturated, want: []float64{0.25, 0.25, 0.25, 0.25}, crowds: []*crowd{
			{share: openai.Share{ID: "a", Priority: normal}, clients: 20, tokens: 400},
			{share: openai.Share{ID: "b", Priority: normal}, clients: 20, tokens: 100},
			{share: openai.Share{ID: "c", Priority: normal}, clients: 12, tokens: 200},
			{share: openai.Share{ID: "d", Priority: normal}, clients: 40, tokens: 200},
		}},
		{name: "four to one", change: saturated, want: []float64{0.8, 0.2}, crowds: []*crowd{
			{share: openai.Share{ID: "a", Weight: 4, Priority: normal}, clients: 30, tokens: 100},
			{share: openai.Share{ID: "b", Weight: 1, Priority: normal}, clients: 30, tokens: 100},
		}},
		{name: "equal shares of a quota of requests", change: limited, want: []float64{0.25, 0.25, 0.25, 0.25}, crowds: []*crowd{
			{share: openai.Share{ID: "a", Priority: normal}, clients: 60, tokens: 100},
			{share: openai.Share{ID: "b", Priority: normal}, clients: 80, tokens: 100},
			{share: openai.Share{ID: "c", Priority: normal}, clients: 60, tokens: 100},
			{share: openai.Share{ID: "d", Priority: normal}, clients: 120, tokens: 100},
		}},
		{name: "one that asks alone has all of it", change: saturated, want: []float64{1}, crowds: []*crowd{
			{share: openai.Share{ID: "a", Priority: normal}, clients: 20, tokens: 100},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, tt.change, func(w *world) {
				w.run(15*time.Second, 30*time.Second, tt.crowds...)
				sum := 0
				for _, c := range tt.crowds {
					sum += c.used
				}
				for i, c := range tt.crowds {
					part := float64(c.used) / float64(sum)
					t.Logf("%s: %d tokens, %.3f of all, for a share of %.3f", c.share.ID, c.used, part, tt.want[i])
					if math.Abs(part-tt.want[i]) > 0.1*tt.want[i] {
						t.Errorf("%s had %.3f of the tokens, want %.3f", c.share.ID, part, tt.want[i])
					}
				}
			})
		})
	}
}

func TestLowPriorityIsNotStarved(t *testing.T) {
	t.Parallel()
	bubble(t, saturated, func(w *world) {
		crowds := []*crowd{
			{share: openai.Share{ID: "a", Priority: 0}, clients: 30, tokens: 100},
			{share: openai.Share{ID: "a", Priority: 1}, clients: 30, tokens: 100},
			{share: openai.Share{ID: "b", Priority: 2}, clients: 30, tokens: 100},
		}
		w.run(5*time.Second, 30*time.Second, crowds...)
		sum := crowds[0].used + crowds[1].used + crowds[2].used
		for i, c := range crowds {
			part := float64(c.used) / float64(sum)
			t.Logf("priority %d: %.3f", i, part)
			if part < 0.1 || i == 0 && part < 0.7 {
				t.Errorf("priority %d had %.3f of the tokens", i, part)
			}
		}
	})
}

func TestWaitingIsBounded(t *testing.T) {
	t.Parallel()
	full := func(w *world) {
		saturated(w)
		w.deployments(func() upstream.Deployment { d := deployment("east"); d.MaxInFlight = 1; return d }())
		w.cfg.Queue = upstream.Queue{MaxWait: 2500 * time.Millisecond, MaxLength: 3}
	}
	bubble(t, full, func(w *world) {
		got := make([]result, 6)
		var all sync.WaitGroup
		for i := range got {
			all.Go(func() { got[i] = w.do(w.ask("")) })
			synctest.Wait()
		}
		all.Wait()
		for i, want := range []result{
			{Status: 200, Took: time.Second}, // and each waits for those before it
			{Status: 200, Took: 2 * time.Second},
			{Status: 200, Took: 3 * time.Second},
			{Status: 503, Took: 2500 * time.Millisecond}, // longer than may be waited
			{Status: 503}, // there were three
			{Status: 503},
		} {
			if got[i].Status != want.Status || got[i].Took != want.Took {
				t.Errorf("request %d: %d after %v, want %d after %v", i, got[i].Status, got[i].Took, want.Status, want.Took)
			}
		}
	})
}

func TestFullQueueTakesFromTheLongest(t *testing.T) {
	t.Parallel()
	full := func(w *world) {
		saturated(w)
		w.deployments(func() upstream.Deployment { d := deployment("east"); d.MaxInFlight = 1; return d }())
		w.cfg.Queue.MaxLength = 3
	}
	bubble(t, full, func(w *world) {
		shares := []openai.Share{
			{ID: "a", Priority: 1},
			{ID: "a", Priority: 1},
			{ID: "a", Priority: 1},
			{ID: "a", Priority: 1},
			{ID: "b", Priority: 1}, // takes the place of the fourth
			{ID: "c", Priority: 2}, // does not take the place of a better one
			{ID: "c", Priority: 0}, // takes the third's
		}
		got := make([]result, len(shares))
		var all sync.WaitGroup
		for i, s := range shares {
			all.Go(func() {
				call := w.ask("")
				call.Share = s
				got[i] = w.do(call)
			})
			synctest.Wait()
		}
		all.Wait()
		var statuses []string
		for _, r := range got {
			statuses = append(statuses, fmt.Sprintf("%d after %v", r.Status, r.Took))
		}
		const want = "200 after 1s, 200 after 3s, 503 after 0s, 503 after 0s, 200 after 4s, 503 after 0s, 200 after 2s"
		if s := strings.Join(statuses, ", "); s != want {
			t.Errorf("got  %s\nwant %s", s, want)
		}
	})
}

// TestWaiterLeaves holds that who leaves the queue is sent nowhere, and holds
// nobody up (R14).
func TestWaiterLeaves(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	one := func(w *world) {
		saturated(w)
		w.deployments(func() upstream.Deployment { d := deployment("east"); d.MaxInFlight = 1; return d }())
	}
	bubble(t, one, func(w *world) {
		var all sync.WaitGroup
		all.Go(func() { w.do(w.ask("")) })
		synctest.Wait()
		ctx, leave := context.WithCancelCause(w.t.Context())
		time.AfterFunc(300*time.Millisecond, func() { leave(gone) })
		var left, next result
		all.Go(func() { left = w.doIn(ctx, w.ask("")) })
		synctest.Wait()
		all.Go(func() { next = w.do(w.ask("")) })
		all.Wait()
		if !errors.Is(left.Err, gone) || left.Took != 300*time.Millisecond || left.Trace != "" {
			t.Errorf("who left got %+v", left)
		}
		if next.Status != 200 || next.Took != 2*time.Second {
			t.Errorf("who came after got %d after %v, want 200 after 2s", next.Status, next.Took)
		}
		if n := len(w.east.Requests()); n != 2 {
			t.Errorf("%d requests were sent, want 2", n)
		}
	})
}

func TestStopEndsTheWait(t *testing.T) {
	t.Parallel()
	one := func(w *world) {
		saturated(w)
		w.deployments(func() upstream.Deployment { d := deployment("east"); d.MaxInFlight = 1; return d }())
	}
	bubble(t, one, func(w *world) {
		var all sync.WaitGroup
		all.Go(func() { w.do(w.ask("")) })
		synctest.Wait()
		var waited result
		all.Go(func() { waited = w.do(w.ask("")) })
		synctest.Wait()
		w.pool.Stop()
		all.Wait()
		if waited.Code != openai.CodeShuttingDown || waited.Took != 0 {
			t.Errorf("got %+v", waited)
		}
	})
}

// A short throttle is waited for, and the record says how long; a longer one is
// refused at once with the shortest wait, and nobody is asked (R10).
func TestShortThrottleIsWaitedFor(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		east, west string // how long each asks to be left alone
		status     int
		took, wait time.Duration
		queued     time.Duration
	}{
		{name: "a short one is waited for", east: "700ms", west: "30s", status: 200, took: 700 * time.Millisecond, queued: 700 * time.Millisecond},
		{name: "a long one is not", east: "7s", west: "9s", status: 429, wait: 7 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				w.cfg.Queue, w.cfg.Twin, w.cfg.Steady = upstream.Queue{MaxWait: 2 * time.Second, MaxLength: 10}, true, true
				w.cfg.Retry.MaxRetryAfter = 0
			}, func(w *world) {
				w.east.Script(azuresim.Step{Fault: "rate-limit " + tt.east})
				w.west.Script(azuresim.Step{Fault: "rate-limit " + tt.west})
				if first := w.do(w.ask("")); first.Status != 429 {
					t.Fatalf("the first got %+v", first)
				}
				rec, start := &usage.Record{}, time.Now()
				answer, err := w.pool.Do(w.t.Context(), w.ask(""), rec)
				status, wait := 0, time.Duration(0)
				if e, ok := errors.AsType[*openai.Error](err); ok {
					status, wait = e.Status, e.RetryAfter
				} else if err == nil {
					status = answer.Status
					answer.Close(nil)
				}
				if status != tt.status || time.Since(start) != tt.took || wait != tt.wait || rec.Queued != tt.queued {
					t.Errorf("%d after %v, retry in %v, queued %v; want %d, %v, %v, %v",
						status, time.Since(start), wait, rec.Queued, tt.status, tt.took, tt.wait, tt.queued)
				}
				if n := len(w.east.Requests()) + len(w.west.Requests()); tt.status == 429 && n != 2 {
					t.Errorf("%d requests were sent, want 2", n)
				}
			})
		})
	}
}
