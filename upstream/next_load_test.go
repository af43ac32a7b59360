package upstream_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"weir/azuresim"
	"weir/openai"
	"weir/policy"
	"weir/upstream"
	"weir/usage"
)

// changed returns the configuration of the n'th reload: each differs from the one
// before it in about everything that may, but for what it is called.
func (w *world) changed(n int) upstream.Config {
	cfg := w.cfg
	all := []upstream.Deployment{deployment("east"), deployment("west")}
	for i := range all {
		d := &all[i]
		d.Weight, d.Priority, d.MaxInFlight = 1+n%3, (n+i)%2, 2+n%3
		d.Quota = policy.Quota{Tokens: int64(1+n%4) * 10_000_000, Requests: int64(1+n%5) * 1_000_000}
		d.Credential = upstream.NewAPIKey(key)
	}
	third := deployment("west")
	third.Name = fmt.Sprint("d", n/10)
	if n%2 == 0 {
		all = append(all, third)
	}
	cfg.Models = map[string]upstream.Model{"m": {Deployments: all, Temperature: upstream.Adjustable}}
	if n%7 == 0 {
		cfg.Models["other"] = upstream.Model{Deployments: all[:1]}
	}
	if n%5 > 0 {
		cfg.Any = &third
	}
	cfg.Breaker.Window, cfg.Breaker.Open = time.Duration(10+n%50)*time.Second, time.Duration(5+n%20)*time.Second
	cfg.Twin = n%11 > 0
	cfg.Retry.Attempts = 2 + n%2
	return cfg
}

// TestNextUnderLoad is O3 for the pool: a thousand reloads while clients ask, of
// which none fails, and which leave nothing behind but the last.
func TestNextUnderLoad(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		w.cfg.Queue = upstream.Queue{MaxWait: 20 * time.Second, MaxLength: 1000}
	}, func(w *world) {
		const reloads, clients = 1000, 16
		var pool atomic.Pointer[upstream.Pool]
		pool.Store(w.pool)
		ctx, stop := context.WithCancel(w.t.Context())
		var all sync.WaitGroup
		var answered atomic.Int32
		for i := range clients {
			all.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					call := w.ask([]string{"", streamed}[(n+i)%2])
					call.Share = openai.Share{ID: strconv.Itoa(i % 4), Priority: i % 3}
					if err := send(w.t.Context(), pool.Load(), call); err != nil {
						w.t.Errorf("a call comes to %v", err)
						return
					}
					answered.Add(1)
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		w.east.Script(repeat(azuresim.Step{Delay: 7 * time.Millisecond}, 2000)...)
		pools := make([]weak.Pointer[upstream.Pool], 0, reloads)
		for n := range reloads {
			pools = append(pools, weak.Make(pool.Load()))
			pool.Store(pool.Load().Next(w.changed(n)))
			pool.Load().States()
			time.Sleep(time.Millisecond)
		}
		stop()
		all.Wait()
		synctest.Wait()
		w.pool = pool.Load()
		for _, s := range w.pool.States() {
			if s.InFlight != 0 || s.Breaker != "closed" {
				w.t.Errorf("in the end there is %+v", s)
			}
		}
		if answered.Load() < reloads || w.pool.Live() != 0 {
			w.t.Errorf("%d calls were answered, %d are live", answered.Load(), w.pool.Live())
		}
		time.Sleep(time.Hour) // the runtime keeps some timers that were stopped until then
		if n := alive(pools); n > 0 {
			w.t.Errorf("%d of %d old pools are still there", n, reloads)
		}
	})
}

// send makes a call and reads its answer to the end. A failure is an error.
func send(ctx context.Context, p *upstream.Pool, call *openai.Call) error {
	answer, err := p.Do(ctx, call, &usage.Record{})
	if err != nil {
		return err
	}
	if answer.Stream != nil {
		_, err = read(answer.Stream)
	}
	answer.Close(err)
	if answer.Status != 200 {
		return fmt.Errorf("status %d: %s", answer.Status, answer.Body)
	}
	return err
}

// alive returns how many of the pools are still held by something.
func alive(pools []weak.Pointer[upstream.Pool]) (n int) {
	for range 2 {
		runtime.GC()
	}
	for _, p := range pools {
		if p.Value() != nil {
			n++
		}
	}
	return n
}

// TestNextLeavesNothingBehind holds that an old pool is held by what it began
// alone, and none by those before or after it.
func TestNextLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	bubble(t, one, func(w *world) {
		var pools []weak.Pointer[upstream.Pool]
		w.east.Script(azuresim.Step{Fault: "silence 50"})
		ctx, leave := context.WithCancel(w.t.Context())
		stream, waiting := w.ask(streamed), w.ask("")
		go func(p *upstream.Pool) { _ = send(ctx, p, stream) }(w.pool)
		synctest.Wait()
		go func(p *upstream.Pool) { _ = send(w.t.Context(), p, waiting) }(w.pool)
		synctest.Wait()
		var before, after runtime.MemStats
		for n := range 1000 {
			pools = append(pools, weak.Make(w.pool))
			w.reload(nil)
			if n == 100 {
				runtime.GC()
				runtime.ReadMemStats(&before)
			}
		}
		if n := alive(pools); n > 1 {
			w.t.Errorf("beside a stream %d old pools are still there, want the one that began it", n)
		}
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 { // others are tested at the same time
			w.t.Errorf("900 reloads take %d bytes", grown)
		}
		leave()
		synctest.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := alive(pools); n > 0 {
			w.t.Errorf("in the end %d old pools are still there", n)
		}
		if s := w.state(); s.InFlight != 0 {
			w.t.Errorf("in the end there is %+v", s)
		}
	})
}

// TestNextKeepsModelsOfAny holds that models which nobody configured keep what is
// known of their deployments, also when they are configured, and when they no
// longer are.
func TestNextKeepsModelsOfAny(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		single(w)
		d := deployment("east")
		w.cfg.Any = &d
		delete(w.cfg.Models, "m")
		w.cfg.Steady = true
	}, func(w *world) {
		call := func() *openai.Call { c := w.ask(""); c.Model = "gpt-4o"; return c }
		w.east.Script(azuresim.Step{Fault: "rate-limit 60"})
		w.do(call())
		for i, change := range []func(*upstream.Config){
			nil,
			func(cfg *upstream.Config) {
				cfg.Models["gpt-4o"] = upstream.Model{Deployments: []upstream.Deployment{deployment("east")}}
			},
			func(cfg *upstream.Config) { delete(cfg.Models, "gpt-4o") },
		} {
			w.reload(change)
			if got := w.do(call()); got.Status != 429 || got.Wait != time.Minute || got.Trace != "" {
				w.t.Errorf("after reload %d a call comes to %+v, want it told of the rest", i, got)
			}
		}
		w.reload(func(cfg *upstream.Config) { cfg.Any = nil })
		if got := w.do(call()); got.Status != 404 {
			w.t.Errorf("when no model is served any more a call comes to %+v", got)
		}
	})
}

// TestNamesOfClientsLeaveNothing holds that a deployment which models of clients'
// own naming share with a configured one does not collect them.
func TestNamesOfClientsLeaveNothing(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) { alone(w); d := deployment("east"); w.cfg.Any = &d }, func(w *world) {
		for range 3 {
			for i := range 257 {
				c := w.ask("")
				if c.Model = "gpt-4o"; i > 0 {
					c.Model = fmt.Sprint("model-", i)
				}
				w.pool.Candidates(c)
			}
		}
		if n := w.pool.Served("east/gpt-4o"); n > 2 || w.pool.Remembered() != 257 {
			w.t.Errorf("east/gpt-4o serves %d models, and %d are remembered", n, w.pool.Remembered())
		}
		if n := len(w.pool.States()); n > 257 {
			w.t.Errorf("%d deployments are known", n)
		}
	})
}
