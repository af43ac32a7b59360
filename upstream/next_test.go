package upstream_test

import (
	"maps"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"weir/azuresim"
	"weir/policy"
	"weir/upstream"
)

// reload lets a pool follow that is configured as the one before but for change.
func (w *world) reload(change func(cfg *upstream.Config)) {
	w.cfg.Models = maps.Clone(w.cfg.Models)
	if change != nil {
		change(&w.cfg)
	}
	w.pool = w.pool.Next(w.cfg)
}

// serving makes all those of the model m.
func serving(all ...upstream.Deployment) func(*upstream.Config) {
	return func(cfg *upstream.Config) {
		cfg.Models["m"] = upstream.Model{Deployments: all, Temperature: upstream.Adjustable}
	}
}

// TestNextKeepsBreakers holds that a breaker outlives its configuration: what it
// has counted, how long it is still open, and the probe that is under way.
func TestNextKeepsBreakers(t *testing.T) {
	t.Parallel()
	opens := func(d time.Duration) func(*upstream.Config) {
		return func(cfg *upstream.Config) { cfg.Breaker.Open = d }
	}
	tests := []struct {
		name   string
		change func(*upstream.Config)
		left   time.Duration // that it is still open
		then   time.Duration // that it is open after the next bad probe
	}{
		{"nothing else changes", nil, 10 * time.Second, 15 * time.Second},
		{"weight, priority and limit change", func(cfg *upstream.Config) {
			d := deployment("east")
			d.Weight, d.Priority, d.MaxInFlight = 7, 3, 1
			serving(d)(cfg)
		}, 10 * time.Second, 15 * time.Second},
		{"it would open for longer", opens(time.Minute), 10 * time.Second, time.Minute},
		{"it would open for less", opens(2 * time.Second), 10 * time.Second, 2 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, single, func(w *world) {
				w.broke()
				time.Sleep(5 * time.Second)
				w.reload(tt.change)
				if got := w.do(w.ask("")); got.Status != 503 || got.Wait != tt.left || got.Trace != "" {
					t.Errorf("a call comes to %+v, want a wait of %v", got, tt.left)
				}
				time.Sleep(tt.left)
				w.east.Script(azuresim.Step{Status: 503})
				if got := w.do(w.ask("")); got.Trace != "east" {
					t.Errorf("the probe comes to %+v", got)
				}
				if got := w.do(w.ask("")); got.Status != 503 || got.Wait != tt.then || got.Trace != "" {
					t.Errorf("after a bad probe a call comes to %+v, want a wait of %v", got, tt.then)
				}
				time.Sleep(tt.then - time.Millisecond)
				if s := w.state(); s.Breaker != "open" {
					t.Errorf("before that is over it is %s", s.Breaker)
				}
				time.Sleep(time.Millisecond)
				if got := w.do(w.ask("")); got.Status != 200 || w.state().Breaker != "closed" {
					t.Errorf("a good probe comes to %+v, and the breaker is %s", got, w.state().Breaker)
				}
			})
		})
	}
}

// TestNextKeepsProbes holds that a probe that is under way decides, and is the only
// one.
func TestNextKeepsProbes(t *testing.T) {
	t.Parallel()
	for status, state := range map[int]string{200: "closed", 503: "open"} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			bubble(t, single, func(w *world) {
				w.broke()
				time.Sleep(15 * time.Second)
				w.east.Script(azuresim.Step{Status: status, Delay: time.Second, Body: `{"choices":[]}`})
				probe := w.ask("")
				go w.do(probe)
				synctest.Wait()
				w.reload(func(cfg *upstream.Config) { cfg.Breaker.Open = time.Minute })
				if got := w.do(w.ask("")); got.Status != 503 || got.Trace != "" || w.state().Breaker != "half_open" {
					t.Errorf("beside the probe a call comes to %+v, and the breaker is %s", got, w.state().Breaker)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if s := w.state(); s.Breaker != state || s.InFlight != 0 {
					t.Errorf("when the probe has ended it is %+v, want it %s", s, state)
				}
			})
		})
	}
}

// TestNextKeepsWindows holds that faults before and after count together, by the
// rules of the time when they are judged.
func TestNextKeepsWindows(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*upstream.Breaker)
		most   int // faults after which it opens
	}{
		{"five in a row", func(*upstream.Breaker) {}, 2},
		{"four in a row", func(b *upstream.Breaker) { b.Consecutive = 4 }, 1},
		{"seven in a row", func(b *upstream.Breaker) { b.Consecutive = 7 }, 4},
		{"half of twelve", func(b *upstream.Breaker) { b.Consecutive, b.MinRequests = 0, 12 }, 6},
		{"half of twelve in two minutes", func(b *upstream.Breaker) { b.Consecutive, b.MinRequests, b.Window = 0, 12, 2*time.Minute }, 6},
		{"half of twelve in half a minute", func(b *upstream.Breaker) { b.Consecutive, b.MinRequests, b.Window = 0, 12, 30*time.Second }, 9},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, single, func(w *world) {
				for range 3 {
					w.do(w.ask("")) // which are good
				}
				time.Sleep(35 * time.Second)
				w.east.Script(repeat(azuresim.Step{Status: 503}, 20)...)
				for range 3 {
					w.do(w.ask(""))
				}
				w.reload(func(cfg *upstream.Config) { tt.change(&cfg.Breaker) })
				n := 0
				for ; w.state().Breaker == "closed" && n < 10; n++ {
					w.do(w.ask(""))
				}
				if n != tt.most {
					t.Errorf("it opens after %d more faults, want %d", n, tt.most)
				}
			})
		})
	}
}

// TestNextKeepsRests holds that a deployment that asked to be left alone is, but
// that one whose configuration was wrong is asked again.
func TestNextKeepsRests(t *testing.T) {
	t.Parallel()
	bubble(t, single, func(w *world) {
		w.cfg.Steady = true
		w.reload(nil)
		w.east.Script(azuresim.Step{Fault: "rate-limit 7"})
		w.do(w.ask(""))
		time.Sleep(2 * time.Second)
		w.reload(nil)
		if got := w.do(w.ask("")); got.Status != 429 || got.Wait != 5*time.Second || got.Trace != "" {
			t.Errorf("a call comes to %+v, want a wait of 5s", got)
		}
		time.Sleep(5 * time.Second)
		wrong := deployment("east")
		wrong.Credential = upstream.NewAPIKey("wrong")
		w.reload(serving(wrong))
		if got := w.do(w.ask("")); got.Status != 502 || w.state().Rest == 0 {
			t.Errorf("with a wrong key a call comes to %+v, and east is %+v", got, w.state())
		}
		w.reload(serving(deployment("east")))
		if got := w.do(w.ask("")); got.Status != 200 {
			t.Errorf("with the right key a call comes to %+v", got)
		}
	})
}

// TestNextKeepsQuotas holds that as large a share of a quota is used afterwards as
// before.
func TestNextKeepsQuotas(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		quota       policy.Quota
		room, above int // the output that still fits, and that does not
	}{
		{"the same", policy.Quota{Tokens: 1000}, 180, 210},
		{"twice as much", policy.Quota{Tokens: 2000}, 380, 410},
		{"half as much", policy.Quota{Tokens: 500}, 80, 110},
		{"as many requests besides", policy.Quota{Tokens: 1000, Requests: 600}, 180, 210},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := deployment("east")
			d.Quota = policy.Quota{Tokens: 1000}
			bubble(t, func(w *world) { w.deployments(d); w.cfg.Twin = true }, func(w *world) {
				for range 2 {
					w.do(w.sized("", 390)) // nearly 400 each, of 1,000
				}
				d := d
				d.Quota = tt.quota
				w.reload(serving(d))
				w.reload(nil)
				if c := w.pool.Candidates(w.sized("", tt.room))[0]; !c.Chosen {
					t.Errorf("%d tokens: %s", tt.room, c.Reason)
				}
				if c := w.pool.Candidates(w.sized("", tt.above))[0]; c.Chosen {
					t.Errorf("%d tokens have room", tt.above)
				}
			})
		})
	}
	bubble(t, func(w *world) {
		d := deployment("east")
		d.Quota = policy.Quota{Requests: 6}
		w.deployments(d)
		w.cfg.Twin = true
	}, func(w *world) {
		w.do(w.ask(""))
		w.reload(func(cfg *upstream.Config) { cfg.Twin = false })
		if got := w.do(w.ask("")); got.Status != 200 {
			t.Errorf("where quotas are not looked at a call comes to %+v", got)
		}
		w.reload(func(cfg *upstream.Config) { cfg.Twin = true })
		for _, want := range []int{200, 429} {
			if got := w.do(w.ask("")); got.Status != want {
				t.Errorf("where they are again a call comes to %+v, want %d", got, want)
			}
		}
	})
}

// TestNextForgetsWhatIsAnother holds that a deployment elsewhere is another one,
// and that what was removed is new when it comes back.
func TestNextForgetsWhatIsAnother(t *testing.T) {
	t.Parallel()
	moved, other, renamed := deployment("east"), deployment("east"), deployment("east")
	moved.Endpoint = &url.URL{Scheme: "http", Host: "west.example"}
	other.Kind = upstream.OpenAI
	renamed.Name = "gpt-4o-mini"
	tests := []struct {
		name string
		way  []upstream.Deployment // each the only one after a reload
	}{
		{"another endpoint", []upstream.Deployment{moved}},
		{"another kind", []upstream.Deployment{other}},
		{"another name", []upstream.Deployment{renamed}},
		{"removed and added", []upstream.Deployment{deployment("west"), deployment("east")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, single, func(w *world) {
				w.east.Script(azuresim.Step{Delay: 30 * time.Second})
				slow := w.ask("")
				go w.do(slow)
				synctest.Wait()
				w.broke()
				for _, d := range tt.way {
					w.reload(serving(d))
				}
				for range 2 {
					s := w.pool.States()
					if len(s) != 1 || s[0].Breaker != "closed" || s[0].InFlight != 0 {
						t.Errorf("there is %+v, want one that is new", s)
					}
					time.Sleep(time.Minute) // the slow one ends, which is not its business
					synctest.Wait()
				}
			})
		})
	}
}
