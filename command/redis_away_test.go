package command

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The limits that the load presses against: a hundred a second, and two hundred are
// asked for.
const (
	pressed       = "teams: { a: { limits: { rpm: 6000, burst_requests: 50, concurrency: 1000 } } }"
	pressedBurst  = 50
	pressedSecond = 100
)

// TestRedisMayFail is reliability L11 through the whole gateway: under two hundred
// requests a second Redis is frozen, killed, emptied and slowed. No client sees an
// error, hardly one waits, and no more than the bound and a burst is admitted.
func TestRedisMayFail(t *testing.T) {
	tests := []struct {
		name       string
		away, back func(s *store)
		stays      bool // Redis answers all the time
		lost       int  // how often it forgets
	}{
		{name: "frozen", away: func(s *store) { s.signal(syscall.SIGSTOP) }, back: func(s *store) { s.signal(syscall.SIGCONT) }},
		{name: "killed", away: (*store).kill, back: (*store).run, lost: 1},
		{name: "emptied", away: (*store).flush, back: func(*store) {}, stays: true, lost: 1},
		{name: "slow", away: func(s *store) { s.road.Delay.Store(int64(100 * time.Millisecond)) }, back: func(s *store) { s.road.Delay.Store(0) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			redis := newStore(t)
			_, endpoint := newAzure(t)
			r := newReplica(t, sharing(endpoint, redis.url(), "on_error: local", pressed))
			w := newLoad(t, r)
			w.calls(150)
			usual, before := w.mark(), r.fares().Paid
			tt.away(redis)
			if !tt.stays {
				r.at(t, onOwn)
			}
			w.calls(150)
			during, paid := w.mark(), r.fares().Paid-before
			tt.back(redis)
			healed := time.Now()
			r.at(t, onRedis)
			healing := time.Since(healed)
			w.calls(50)
			w.end(tt.lost)
			if most := 10 + w.most.Load(); paid > most {
				t.Errorf("%d requests waited for Redis in vain, want a handful and at most those that were made at once, %d", paid, most)
			}
			t.Logf("p99 %v before, %v meanwhile (p50 %v, %v; longest %v, %v); %d waited in vain; back after %v",
				usual.at(99), during.at(99), usual.at(50), during.at(50), usual.at(100), during.at(100), paid, healing)
			r.told(t)
			if s := r.fares(); s.Dropped > 0 {
				t.Errorf("settlements were dropped: %v", s)
			}
		})
	}
}

// load is two hundred requests a second of one replica.
type load struct {
	t     *testing.T
	r     *replica
	began time.Time
	stop  chan struct{}
	all   sync.WaitGroup

	inside, most, count, admitted atomic.Int64 // most is how many were inside at once

	mu   sync.Mutex
	took times // since the last mark
}

// times are how long requests took.
type times []time.Duration

// at returns the time that so many percent of requests took at most.
func (d times) at(percent int) time.Duration {
	slices.Sort(d)
	return d[max(0, len(d)*percent/100-1)].Round(10 * time.Microsecond)
}

func newLoad(t *testing.T, r *replica) *load {
	t.Helper()
	w := &load{t: t, r: r, began: time.Now(), stop: make(chan struct{})}
	w.all.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-w.stop:
				return
			case <-tick.C:
				if now := w.inside.Add(1); now <= 64 { // more is what a busy machine does not do
					w.most.Store(max(now, w.most.Load()))
					w.all.Go(w.call)
				} else {
					w.inside.Add(-1)
				}
			}
		}
	})
	return w
}

func (w *load) call() {
	defer w.inside.Add(-1)
	began := time.Now()
	got := w.r.ask(w.t, "")
	took := time.Since(began)
	switch got.status {
	case http.StatusOK:
		w.admitted.Add(1)
	case http.StatusTooManyRequests:
	default:
		w.t.Errorf("a client saw %d %s", got.status, got.body)
	}
	w.mu.Lock()
	w.took = append(w.took, took)
	w.mu.Unlock()
	w.count.Add(1)
}

// calls waits until so many more requests were answered.
func (w *load) calls(n int64) {
	w.t.Helper()
	most := w.count.Load() + n
	until(w.t, "so many requests are answered", func() bool { return w.count.Load() >= most })
}

// mark returns how long the requests since the last mark took.
func (w *load) mark() times {
	w.mu.Lock()
	defer w.mu.Unlock()
	took := w.took
	w.took = nil
	return took
}

// end ends the load and judges it; lost is how often all levels were lost.
func (w *load) end(lost int) {
	w.t.Helper()
	close(w.stop)
	w.all.Wait()
	bursts := 1 + lost + strings.Count(w.r.log.String(), `"msg":"Redis is away`)
	bound := float64(bursts*pressedBurst) + pressedSecond*time.Since(w.began).Seconds() + float64(w.r.fares().Paid)
	got := w.admitted.Load()
	if float64(got) > bound {
		w.t.Errorf("%d of %d were admitted, want at most %.0f", got, w.count.Load(), bound)
	}
	w.t.Logf("%d of %d were admitted, the bound is %.0f with %d bursts", got, w.count.Load(), bound, bursts)
}

// gone waits until the replica has seen that Redis is away, by requests of a team
// whose limits never refuse.
func (r *replica) gone(t *testing.T, key string) {
	t.Helper()
	until(t, "Redis is known to be away", func() bool {
		r.ask(t, key)
		return strings.HasPrefix(r.limits(t), onOwn)
	})
}

// TestTeamsDecideWhatAnAbsenceMeans: while Redis is away a team has its share, all,
// or nothing, as it says itself or else as all do.
func TestTeamsDecideWhatAnAbsenceMeans(t *testing.T) {
	const (
		burst    = 30
		replicas = 3
	)
	redis := newStore(t)
	_, endpoint := newAzure(t)
	r := newReplica(t, sharing(endpoint, redis.url(), "on_error: closed, replicas: 3", `teams:
  probe: { on_error: local, limits: { concurrency: 900 }, keys: [{ id: p, value: key-of-probe }] }
  local: { on_error: local, limits: { rpm: 3, burst_requests: 30 }, keys: [{ id: l, value: key-of-local }] }
  open: { on_error: open, limits: { rpm: 3, burst_requests: 30 }, keys: [{ id: o, value: key-of-open }] }
  closed: { limits: { rpm: 3, burst_requests: 30 }, keys: [{ id: c, value: key-of-closed }] }
  free: { keys: [{ id: f, value: key-of-free }] }`))
	redis.signal(syscall.SIGSTOP)
	r.gone(t, "key-of-probe")

	admitted := 0
	began := time.Now()
	for {
		got := r.ask(t, "key-of-local")
		if got.status != http.StatusOK {
			if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
				t.Errorf("local: %d %v %s", got.status, got.header, got.body)
			}
			break
		}
		admitted++
	}
	if most := burst/replicas + int(time.Since(began).Minutes()); admitted < burst/replicas || admitted > most {
		t.Errorf("local: %d admitted, want %d", admitted, burst/replicas)
	}
	for i := range 2 * burst {
		if got := r.ask(t, "key-of-open"); got.status != http.StatusOK {
			t.Fatalf("open: request %d is answered %d %s", i, got.status, got.body)
		}
	}
	if got := r.ask(t, "key-of-free"); got.status != http.StatusOK {
		t.Errorf("without limits: %d %s", got.status, got.body)
	}
	got := r.ask(t, "key-of-closed")
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") != "1" || !strings.Contains(got.body, `"code":"limit_store_unavailable"`) {
		t.Errorf("closed: %d %v %s", got.status, got.header, got.body)
	}
	got = r.ask(t, "key-of-closed", "x-weir-explain", "1")
	if got.status != http.StatusOK || !strings.Contains(got.body, `"decision":"refuse","status":503`) || !strings.Contains(got.body, `"code":"limit_store_unavailable"`) {
		t.Errorf("closed, explained: %d %s", got.status, got.body)
	}

	redis.signal(syscall.SIGCONT)
	r.at(t, onRedis)
	r.told(t)
	until(t, "a closed team is served again", func() bool { return r.ask(t, "key-of-closed").status == http.StatusOK })
}

// TestBudgetsHoldWithoutRedis: while Redis is away each replica spends at most its
// part of what was left, and in the end no more than the budget is spent, whether
// Redis or the ledger remembers.
func TestBudgetsHoldWithoutRedis(t *testing.T) {
	const cents, early = 100, 30
	tests := []struct {
		name       string
		away, back func(s *store)
		replicas   int // one, where its ledger alone remembers
	}{
		{"frozen", func(s *store) { s.signal(syscall.SIGSTOP) }, func(s *store) { s.signal(syscall.SIGCONT) }, 3},
		{"killed", (*store).kill, (*store).run, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			redis := newStore(t)
			_, endpoint := newAzure(t)
			limits := "on_error: local, replicas: " + strconv.Itoa(tt.replicas)
			all := newReplicas(t, sharing(endpoint, redis.url(), limits, `teams:
  probe: { limits: { concurrency: 900 }, keys: [{ id: p, value: key-of-probe }] }
  money: { budget: { usd: 1 }, keys: [{ id: m, value: key-of-money }] }`))[:tt.replicas]
			for i := range early {
				if got := all[i%tt.replicas].ask(t, "key-of-money"); got.status != http.StatusOK {
					t.Fatalf("answered %d %s", got.status, got.body)
				}
			}
			tt.away(redis)
			spent := early * helloCents
			for _, r := range all {
				r.gone(t, "key-of-probe")
				n := r.spend(t)
				// What the others spent last it does not know.
				if most := (cents - early + tt.replicas) / tt.replicas; n > most {
					t.Errorf("a replica alone spent %d cents, want at most %d", n, most)
				}
				spent += n
			}
			tt.back(redis)
			for _, r := range all {
				r.at(t, onRedis)
			}
			for _, r := range all {
				r.told(t)
			}
			for _, r := range all {
				spent += r.spend(t)
			}
			if spent > cents || spent < 97*cents/100 {
				t.Errorf("%d cents were spent of %d", spent, cents)
			}
			t.Logf("%d of %d cents spent", spent, cents)
		})
	}
}

// spend spends until the budget refuses, and returns how many cents that were.
func (r *replica) spend(t *testing.T) (cents int) {
	t.Helper()
	for {
		switch got := r.ask(t, "key-of-money"); got.status {
		case http.StatusOK:
			cents += helloCents
		case http.StatusTooManyRequests:
			return cents
		default:
			t.Errorf("answered %d %s", got.status, got.body)
			return cents
		}
	}
}
