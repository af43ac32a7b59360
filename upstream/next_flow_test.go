package upstream_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
	"weir/upstream"
)

// TestNextCountsWhatIsInFlight holds that requests which began before count where
// they go on, until they end, and that a lower limit waits for that.
func TestNextCountsWhatIsInFlight(t *testing.T) {
	t.Parallel()
	bubble(t, single, func(w *world) {
		for i := range 3 {
			w.east.Script(azuresim.Step{Delay: time.Duration(i+1) * time.Second})
			call := w.ask([]string{"", streamed, ""}[i])
			go w.do(call)
			synctest.Wait()
		}
		d := deployment("east")
		d.MaxInFlight = 2
		w.reload(serving(d))
		for i, want := range []int{503, 503, 200} { // after so many seconds
			if s := w.state(); s.InFlight != 3-i {
				t.Errorf("after %d s there are %d in flight, want %d", i, s.InFlight, 3-i)
			}
			if got := w.do(w.ask("")); got.Status != want {
				t.Errorf("after %d s a call comes to %+v, want %d", i, got, want)
			}
			w.reload(nil)
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if s := w.state(); s.InFlight != 0 || w.pool.Live() != 0 {
			t.Errorf("in the end there are %d in flight and %d live", s.InFlight, w.pool.Live())
		}
		if good, bad := w.pool.Counted("east/gpt-4o"); good != 4 || bad != 0 {
			t.Errorf("%d good and %d bad calls are counted, want each of 4 once", good, bad)
		}
	})
}

// one lets east alone serve, one request at a time of a second, which is waited for.
func one(w *world) {
	saturated(w)
	d := deployment("east")
	d.MaxInFlight, d.Quota.Tokens = 1, 100_000
	w.deployments(d)
}

// TestNextServesThoseWhoWait holds that whoever waits keeps the place in the line,
// and is served by what is configured now, as far as that can be.
func TestNextServesThoseWhoWait(t *testing.T) {
	t.Parallel()
	limited := func(n int) upstream.Deployment {
		d := deployment("east")
		d.MaxInFlight = n
		return d
	}
	narrow := func(host string) upstream.Deployment {
		d := deployment(host)
		d.MaxInFlight, d.MaxOutput = 1, 10
		return d
	}
	tests := []struct {
		name   string
		change func(*upstream.Config)
		want   []string // what becomes of the three who wait, half a second after the first began
	}{
		{"as before", serving(limited(1)), []string{"200 2s east", "200 3s east", "200 4s east"}},
		{"a higher limit", serving(limited(3)), []string{"200 1.5s east", "200 1.5s east", "200 2s east"}},
		{"no limit", serving(limited(0)), []string{"200 1.5s east", "200 1.5s east", "200 1.5s east"}},
		{"a deployment more", serving(limited(1), deployment("west")), []string{"200 500ms west", "200 500ms west", "200 500ms west"}},
		{"another deployment", serving(deployment("west")), []string{"200 500ms west", "200 500ms west", "200 500ms west"}},
		{"a deployment that they do not fit", serving(narrow("west")), []string{"400 500ms ", "400 500ms ", "400 500ms "}},
		{"no weight", serving(func() upstream.Deployment { d := limited(1); d.Weight = 0; return d }()), []string{"503 500ms ", "503 500ms ", "503 500ms "}},
		{"no queue", func(cfg *upstream.Config) { cfg.Queue = upstream.Queue{} }, []string{"200 2s east", "200 3s east", "200 4s east"}},
		{"no such model", func(cfg *upstream.Config) { delete(cfg.Models, "m") }, []string{"404 500ms ", "404 500ms ", "404 500ms "}},
		{"no such model, but any", func(cfg *upstream.Config) {
			d := deployment("west")
			cfg.Any = &d
			delete(cfg.Models, "m")
		}, []string{"200 500ms west/m", "200 500ms west/m", "200 500ms west/m"}},
		{"a quota that is too small for them", func(cfg *upstream.Config) {
			d := limited(1)
			d.Quota.Tokens = 20
			serving(d)(cfg)
		}, []string{"200 2s east", "200 3s east", "200 4s east"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, one, func(w *world) {
				got := make([]string, 4)
				var all sync.WaitGroup
				for i := range got {
					call := w.ask(`"max_tokens":100,`)
					call.Output = 100
					all.Go(func() {
						r := w.do(call)
						got[i] = fmt.Sprint(r.Status, " ", r.Took, " ", r.Trace)
					})
					synctest.Wait()
				}
				time.Sleep(500 * time.Millisecond)
				w.reload(nil)
				w.reload(tt.change)
				w.reload(nil)
				all.Wait()
				if diff := cmp.Diff(append([]string{"200 1s east"}, tt.want...), got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				synctest.Wait()
				for _, s := range w.pool.States() {
					if s.InFlight != 0 {
						t.Errorf("in the end %+v", s)
					}
				}
			})
		})
	}
}

// TestNextLetsWaitersGo holds that whoever leaves the line after a reload is sent
// nowhere, and that who comes later stands behind those who came before it.
func TestNextLetsWaitersGo(t *testing.T) {
	t.Parallel()
	bubble(t, one, func(w *world) {
		var all sync.WaitGroup
		var order []string
		var mu sync.Mutex
		send := func(name string, within time.Duration) {
			call := w.ask("")
			call.Within = within
			all.Go(func() {
				r := w.do(call)
				mu.Lock()
				defer mu.Unlock()
				order = append(order, fmt.Sprint(name, " ", r.Status, " ", r.Took))
			})
			synctest.Wait()
		}
		send("first", 0)
		send("second", 0)
		send("hasty", 2500*time.Millisecond)
		w.reload(nil)
		send("third", 0)
		all.Wait()
		want := []string{"first 200 1s", "hasty 503 1.5s", "second 200 2s", "third 200 3s"}
		if diff := cmp.Diff(want, order); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
