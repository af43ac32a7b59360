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
// failed one. Its rules may change at any time; while it is open, it stays so for
// as long as they said when it opened.
type breaker struct {
	name    string
	changed func(was, is string) // is told of each change of its state; nil: nobody is

	rules atomic.Pointer[Breaker]
	step  atomic.Pointer[circuit]
	past  window

	until   atomic.Int64 // when a probe may go, in nanoseconds; of the last time it opened
	longest atomic.Int64 // how long good calls take at most, of late, in nanoseconds
}

type circuit = gobreaker.TwoStepCircuitBreaker[any]

func newBreaker(name string, rules Breaker) *breaker {
	b := &breaker{name: name, past: window{length: rules.Window}}
	b.rules.Store(&rules)
	b.step.Store(b.circuit(rules.Open, false))
	return b
}

// circuit returns a circuit breaker that stays open for so long. Ill is that its
// first call opens it where that is a bad one.
func (b *breaker) circuit(open time.Duration, ill bool) *circuit {
	return gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		Name:        b.name,
		MaxRequests: 1,
		Timeout:     open - 1, // it wants more than its Timeout to pass
		ReadyToTrip: func(gobreaker.Counts) bool { return ill || b.past.trips(*b.rules.Load()) },
		IsExcluded:  func(err error) bool { return errors.Is(err, errNeutral) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			if ill {
				ill = false // it takes the place of one that has said so
				return
			}
			switch to {
			case gobreaker.StateClosed:
				b.past.reset()
			case gobreaker.StateOpen:
				b.opened(open)
			case gobreaker.StateHalfOpen:
			}
			if b.changed != nil {
				b.changed(named(from), named(to))
			}
		},
	})
}

// opened notes that the circuit has opened, which stays so for so long. Where the
// rules have come to say another time, one that does what they say takes its place:
// what was begun before a circuit opened counts for nothing after it.
func (b *breaker) opened(open time.Duration) {
	rules := b.rules.Load()
	b.until.Store(time.Now().Add(rules.Open).UnixNano())
	if rules.Open == open {
		return
	}
	next := b.circuit(rules.Open, true)
	if done, err := next.Allow(); err == nil {
		done(errBad)
	}
	b.step.Store(next)
}

// follow makes rules the breaker's from now on.
func (b *breaker) follow(rules Breaker) {
	b.rules.Store(&rules)
	b.past.resize(rules.Window)
}

// allow asks for leave to call. Where it is given, report must be called when it
// is known what the call says of the deployment; calls after the first count for
// nothing.
func (b *breaker) allow() (report func(verdict), ok bool) {
	step := b.step.Load()
	done, err := step.Allow()
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
	watch := b.rules.Load().Watchdog
	if watch <= 0 || step.State() != gobreaker.StateHalfOpen {
		return tell, true
	}
	patience := max(watch, 2*time.Duration(b.longest.Load()))
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
	step := b.step.Load()
	switch step.State() {
	case gobreaker.StateOpen:
		return false
	case gobreaker.StateHalfOpen:
		c := step.Counts()
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
	if b.step.Load().State() != gobreaker.StateClosed {
		return
	}
	if report, ok := b.allow(); ok {
		report(bad)
	}
}

// state returns the state's name, as logs and metrics have it.
func (b *breaker) state() string { return named(b.step.Load().State()) }

func named(s gobreaker.State) string {
	switch s {
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
	return max(0, time.Until(time.Unix(0, b.until.Load())))
}
