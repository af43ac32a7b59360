package upstream

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// Breaker says when a deployment is left alone for its faults. A zero switches a
// rule off.
type Breaker struct {
	Window      time.Duration // over which faults are counted
	Consecutive int           // so many in a row open it
	MinRequests int           // or, of at least so many in the window,
	Ratio       float64       // this share
	Open        time.Duration // how long it stays open before one request may probe
	Watchdog    time.Duration // how long that probe may take, or twice as long as good calls do
}

// verdict is what an attempt says of its deployment.
type verdict uint8

const (
	neutral verdict = iota // nothing: the fault was somebody else's
	begun                  // so far so good: it streams, and how that ends is told apart
	good
	bad
)

var (
	errBad     = errors.New("upstream: the deployment failed")
	errNeutral = errors.New("upstream: nothing learned")
)

// breaker is a circuit breaker for calls that last longer than its window: it
// counts by the time a call ends, each call once, and a probe that hangs is a
// failed one.
type breaker struct {
	cfg  Breaker
	step *gobreaker.TwoStepCircuitBreaker[any]
	past window

	opened  atomic.Int64 // when it last opened, in nanoseconds
	longest atomic.Int64 // how long good calls take at most, of late, in nanoseconds
}

func newBreaker(name string, cfg Breaker) *breaker {
	b := &breaker{cfg: cfg, past: window{length: cfg.Window}}
	b.step = gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		Name:        name,
		MaxRequests: 1,
		Timeout:     cfg.Open - 1, // it wants more than its Timeout to pass
		ReadyToTrip: func(gobreaker.Counts) bool { return b.past.trips(cfg) },
		IsExcluded:  func(err error) bool { return errors.Is(err, errNeutral) },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			switch to {
			case gobreaker.StateClosed:
				b.past.reset()
			case gobreaker.StateOpen:
				b.opened.Store(time.Now().UnixNano())
			case gobreaker.StateHalfOpen:
			}
		},
	})
	return b
}

// allow asks for leave to call. Where it is given, report must be called when it
// is known what the call says of the deployment; calls after the first count for
// nothing.
func (b *breaker) allow() (report func(verdict), ok bool) {
	done, err := b.step.Allow()
	if err != nil {
		return nil, false
	}
	start := time.Now()
	var once sync.Once
	tell := func(v verdict) {
		once.Do(func() {
			if v == good || v == begun {
				b.took(time.Since(start))
			}
			b.past.add(time.Now(), v)
			done(v.err())
		})
	}
	if b.cfg.Watchdog <= 0 || b.step.State() != gobreaker.StateHalfOpen {
		return tell, true
	}
	patience := max(b.cfg.Watchdog, 2*time.Duration(b.longest.Load()))
	watchdog := time.AfterFunc(patience, func() { tell(bad) })
	return func(v verdict) {
		watchdog.Stop()
		tell(v)
	}, true
}

// took notes how long a good call took. Long answers are forgotten slowly, so
// that a probe among them is given the time that it needs.
func (b *breaker) took(d time.Duration) {
	before := b.longest.Load()
	b.longest.Store(max(int64(d), before-before/16))
}

// admits reports whether allow would give leave now.
func (b *breaker) admits() bool {
	switch b.step.State() {
	case gobreaker.StateOpen:
		return false
	case gobreaker.StateHalfOpen:
		c := b.step.Counts()
		return c.Requests == c.TotalExclusions
	case gobreaker.StateClosed:
	}
	return true
}

func (v verdict) err() error {
	switch v {
	case bad:
		return errBad
	case neutral:
		return errNeutral
	case good, begun:
	}
	return nil
}

// praise books that a call that was reported begun has ended well.
func (b *breaker) praise() { b.past.add(time.Now(), good) }

// blame books that a call that was reported begun has broken off.
func (b *breaker) blame() {
	if b.step.State() != gobreaker.StateClosed {
		return
	}
	if report, ok := b.allow(); ok {
		report(bad)
	}
}

// state returns the state's name, as logs and metrics have it.
func (b *breaker) state() string {
	switch b.step.State() {
	case gobreaker.StateOpen:
		return "open"
	case gobreaker.StateHalfOpen:
		return "half_open"
	case gobreaker.StateClosed:
	}
	return "closed"
}

// opens returns how long it is until a probe may go, where the breaker is open.
func (b *breaker) opens() time.Duration {
	return max(0, time.Until(time.Unix(0, b.opened.Load()).Add(b.cfg.Open)))
}

// window counts the calls that ended in the last so long.
type window struct {
	length time.Duration

	mu    sync.Mutex
	slots [slots]slot
	inRow int
}

// slots is how many parts a window is counted in.
const slots = 12

type slot struct {
	number    int64 // which stretch of time it counts
	good, bad int
}

func (w *window) add(now time.Time, v verdict) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.number(now)
	s := &w.slots[n%slots]
	if s.number != n {
		*s = slot{number: n}
	}
	switch v {
	case bad:
		s.bad++
		w.inRow++
	case good:
		s.good++
		w.inRow = 0
	case neutral, begun:
	}
}

func (w *window) number(now time.Time) int64 {
	return now.UnixNano() / max(1, int64(w.length)/slots)
}

// trips reports whether what the window holds opens a breaker.
func (w *window) trips(cfg Breaker) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if cfg.Consecutive > 0 && w.inRow >= cfg.Consecutive {
		return true
	}
	oldest := w.number(time.Now()) - slots
	var total, failed int
	for _, s := range w.slots {
		if s.number > oldest {
			total += s.good + s.bad
			failed += s.bad
		}
	}
	return cfg.MinRequests > 0 && total >= cfg.MinRequests && float64(failed) >= cfg.Ratio*float64(total)
}

func (w *window) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slots, w.inRow = [slots]slot{}, 0
}
