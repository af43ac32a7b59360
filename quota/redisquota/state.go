package redisquota

import (
	"fmt"
	"time"
)

// State is how a Limiter fares.
type State struct {
	Away     bool          // Redis is away
	Since    time.Time     // since when; zero if it is not
	Median   time.Duration // of the latest round trips
	Errors   int64         // round trips that failed, ever
	Paid     int64         // reservations that waited for Redis in vain, ever
	Slices   int64         // taken ahead, ever
	Leases   int           // open in Redis by this process
	Waiting  int           // settlements that Redis has not heard yet
	Dropped  int64         // settlements that stay at their estimates, ever
	Replicas int           // among which a limit is divided while Redis is away
	Bound    Bound         // how far over a limit replicas may come
}

// State returns how the limiter fares now.
func (l *Limiter) State() State {
	s := State{
		Away: l.health.away(), Median: l.health.median(), Errors: l.health.errors.Load(), Paid: l.health.paid.Load(), Slices: l.slicer.taken.Load(),
		Replicas: l.cfg.Replicas, Bound: l.Bound(),
	}
	if s.Away {
		l.health.mu.Lock()
		s.Since = l.health.since
		l.health.mu.Unlock()
	}
	s.Waiting, s.Dropped = l.debts.pending()
	l.slicer.mu.Lock()
	s.Waiting += len(l.slicer.settled)
	l.slicer.mu.Unlock()
	s.Waiting += int(l.flying.Load())
	l.mu.Lock()
	s.Leases = len(l.open)
	l.mu.Unlock()
	return s
}

// String returns the state in one line.
func (s State) String() string {
	where := "redis"
	if s.Away {
		where = "local since " + s.Since.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("%s; round trip %v; %d errors; %d leases; %d settlements wait, %d dropped; %v",
		where, s.Median.Round(time.Microsecond), s.Errors, s.Leases, s.Waiting, s.Dropped, s.Bound)
}

// Bound is how far the replicas together may come over a limit.
type Bound struct {
	Replicas int           // how many there are
	Slice    float64       // the part of a burst that each may lease ahead; 0: none
	For      time.Duration // how long it may spend that
}

// Bound returns how far the replicas together may come over a limit. A minute's
// allowance and the burst hold exactly at the moment that Redis is asked.
func (l *Limiter) Bound() Bound {
	b := Bound{Replicas: l.cfg.Replicas}
	if l.cfg.Slice.Rate > 0 {
		b.Slice, b.For = l.cfg.Slice.Part, l.cfg.Slice.Lasts
	}
	return b
}

// String returns the bound in one line.
func (b Bound) String() string {
	text := "no interval admits more than its limit"
	if b.Slice > 0 {
		text += fmt.Sprintf(" and %.3g %% of the burst while a team is hot (%d replicas with %.3g %% for %v)",
			100*b.Slice*float64(b.Replicas), b.Replicas, 100*b.Slice, b.For)
	}
	return text + fmt.Sprintf(", and one burst divided by %d from each replica when Redis goes away", b.Replicas)
}
