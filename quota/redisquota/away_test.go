package redisquota_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weir/quota"
	"weir/quota/quotatest"
	"weir/quota/redisquota"
)

// TestNobodyWaitsForRedis takes Redis away under 200 reservations a second. No
// caller sees an error, hardly any waits, and what is admitted stays within the
// bound and a burst for each absence (I1, I7, I8).
func TestNobodyWaitsForRedis(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		away func(*server, *quotatest.Road)
		back func(*server, *quotatest.Road)
		lost int // states that the event loses
	}{
		{
			"frozen", func(s *server, _ *quotatest.Road) { s.signal(syscall.SIGSTOP) },
			func(s *server, _ *quotatest.Road) { s.signal(syscall.SIGCONT) }, 0,
		},
		{"killed", func(s *server, _ *quotatest.Road) { s.kill() }, func(s *server, _ *quotatest.Road) { s.run() }, 1},
		{
			"slow", func(_ *server, p *quotatest.Road) { p.Delay.Store(int64(100 * time.Millisecond)) },
			func(_ *server, p *quotatest.Road) { p.Delay.Store(0) }, 0,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			p, url := s.slowed(t)
			w := s.load(t, url)
			w.calls()
			before := w.limiter.State().Paid
			tt.away(s, p)
			s.until("Redis is known to be away", func() bool { return w.limiter.State().Away })
			w.calls()
			paid := w.limiter.State().Paid - before
			tt.back(s, p)
			healed := time.Now()
			s.until("Redis is known to be back", func() bool { return !w.limiter.State().Away })
			t.Logf("back after %v", time.Since(healed))
			w.calls()
			w.end(tt.lost)
			if most := 10 + w.most.Load(); paid > most {
				t.Errorf("%d reservations waited for Redis in vain, want a handful and at most those that were made at once, %d", paid, most)
			}
			t.Logf("%d paid, %v", paid, w.limiter.State())
		})
	}
}

// TestRedisThatForgetsIsOneBurst empties Redis under load.
func TestRedisThatForgetsIsOneBurst(t *testing.T) {
	t.Parallel()
	s := start(t)
	w := s.load(t, s.url())
	w.calls()
	s.flush(t)
	if err := s.client.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	w.calls()
	w.end(1)
}

// The limits that the load presses against: 60 a second, and 200 are asked for.
const (
	loadBurst  = 100
	loadSecond = 60
)

// load is 200 reservations a second until its end.
type load struct {
	t       *testing.T
	s       *server
	limiter *redisquota.Limiter
	account quota.Account
	began   time.Time
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	count, admitted, absences atomic.Int64
	inside, most              atomic.Int64 // calls at once: now, and ever
	mu                        sync.Mutex
	took                      []time.Duration
	wrong                     []error
}

func (s *server) load(t *testing.T, url string) *load {
	t.Helper()
	w := &load{t: t, s: s, began: time.Now(), account: quota.Account{
		ID: "team:load", Group: "load",
		Limits: quota.Limits{TokensPerMinute: 60 * loadSecond, BurstTokens: loadBurst, Concurrency: 1000},
	}}
	w.limiter = s.open(t, redisquota.Config{URL: url, Timeout: 25 * time.Millisecond, Log: slog.New(absences{slog.DiscardHandler, &w.absences})})
	ctx, cancel := context.WithCancel(t.Context())
	w.cancel = cancel
	w.wg.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				w.wg.Go(w.call)
			}
		}
	})
	t.Cleanup(func() { cancel(); w.wg.Wait() })
	return w
}

func (w *load) call() {
	now := w.inside.Add(1)
	defer w.inside.Add(-1)
	for most := w.most.Load(); now > most && !w.most.CompareAndSwap(most, now); most = w.most.Load() {
	}
	began := time.Now()
	lease, err := w.limiter.Reserve(context.Background(), []quota.Account{w.account}, quota.Cost{Requests: 1, Tokens: 1})
	took := time.Since(began)
	if err == nil {
		w.admitted.Add(1)
		lease.Settle(quota.Cost{Requests: 1, Tokens: 1})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.took = append(w.took, took)
	if _, refused := errors.AsType[*quota.ExceededError](err); err != nil && !refused {
		w.wrong = append(w.wrong, err)
	}
	w.count.Add(1)
}

// calls waits for 200 more calls, a second's.
func (w *load) calls() {
	w.t.Helper()
	until := w.count.Load() + 200
	w.s.until("200 calls are done", func() bool { return w.count.Load() >= until })
}

// end ends the load and judges it; lost is how often all levels were lost.
func (w *load) end(lost int) {
	w.t.Helper()
	w.cancel()
	w.wg.Wait()
	state := w.limiter.State()
	bursts := 1 + int64(lost) + w.absences.Load()
	bound := float64(bursts*loadBurst) + time.Since(w.began).Seconds()*loadSecond + float64(state.Paid)
	got := float64(w.admitted.Load())
	slices.Sort(w.took)
	w.t.Logf("%v of %d admitted, the bound is %.0f with %d bursts; p50 %v, p99 %v, longest %v",
		got, len(w.took), bound, bursts, w.took[len(w.took)/2], w.took[len(w.took)*99/100], w.took[len(w.took)-1])
	if got > bound {
		w.t.Errorf("%v admitted, want at most %v", got, bound)
	}
	for _, err := range w.wrong {
		w.t.Errorf("a caller saw %v", err)
	}
	w.s.until("Redis has heard all settlements", func() bool {
		state := w.limiter.State()
		return state.Waiting == 0 && state.Leases == 0
	})
	w.s.until("no slot is taken", func() bool { return w.s.slots(w.t, "weir:{load}:team%3Aload:leases") == 0 })
	if dropped := w.limiter.State().Dropped; dropped > 0 {
		w.t.Errorf("%d settlements were dropped", dropped)
	}
}

// slots returns how many leases hold a slot.
func (s *server) slots(t *testing.T, key string) int64 {
	t.Helper()
	n, err := s.client.ZCount(t.Context(), key, strconv.FormatInt(s.now().UnixMilli(), 10), "+inf").Result()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// absences is a log that counts how often Redis went away.
type absences struct {
	slog.Handler
	count *atomic.Int64
}

func (absences) Enabled(context.Context, slog.Level) bool { return true }

func (a absences) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelWarn {
		a.count.Add(1)
	}
	return nil
}
