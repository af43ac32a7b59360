package redisquota

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/quota"
)

// Slice is what a process leases ahead for teams that are hot, so that they do
// not make one key of Redis hot. It is taken off before it is spent.
type Slice struct {
	Rate  int           // reservations a second from which a team is hot; 0: 200; below: never
	Part  float64       // the most of each allowance that a process takes at a time; 0: 0.05
	Lasts time.Duration // how long it may spend that; 0: 200 ms
}

func (s Slice) withDefaults() Slice {
	if s.Rate == 0 {
		s.Rate = 200
	}
	if s.Part <= 0 || s.Part > 1 {
		s.Part = 0.05
	}
	if s.Lasts <= 0 {
		s.Lasts = 200 * time.Millisecond
	}
	return s
}

// slicer has the slices of this process.
type slicer struct {
	Slice
	taken   atomic.Int64
	mu      sync.Mutex
	groups  map[string]*heat
	slices  map[string]*slice // by the accounts that are reserved together
	settled []settlement      // of leases in slices, for the next trip
}

// heat is what was asked for in this second and the one before.
type heat struct {
	second    int64
	now, past demand
}

// demand is how much was asked for.
type demand struct {
	count int64
	quota.Cost
}

// slice is what is left of a lease that many requests share.
type slice struct {
	heat   heat
	held   []quota.Account
	lease  *lease // nil: there is none
	left   quota.Cost
	used   int64 // slots
	seen   quota.Snapshot
	until  time.Time // by our clock
	window time.Time // when the first window of a budget ends, by Redis's
	taking bool      // somebody fetches a slice
	pause  time.Time // until when nobody does: there was not enough for one
}

func (s *slicer) start(cfg Slice) {
	s.Slice = cfg
	s.groups, s.slices = make(map[string]*heat), make(map[string]*slice)
}

// add notes a cost.
func (h *heat) add(now time.Time, cost quota.Cost) {
	switch second := now.Unix(); second {
	case h.second:
	case h.second + 1:
		h.second, h.past, h.now = second, h.now, demand{}
	default:
		h.second, h.past, h.now = second, demand{}, demand{}
	}
	h.now.count++
	h.now.Requests += cost.Requests
	h.now.Tokens += cost.Tokens
	h.now.Spend += cost.Spend
}

// reserve reserves from a slice where the team is hot. It returns nil and no
// error where Redis itself must be asked.
func (s *slicer) reserve(ctx context.Context, l *Limiter, held []quota.Account, cost quota.Cost) (*quota.Lease, error) {
	if s.Rate < 0 || cost.Further { // each lease in a slice has a slot of it
		return nil, nil
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.find(held)
	c.heat.add(now, cost)
	group := s.groups[held[0].Group]
	group.add(now, cost)
	if c.fits(now, l.now(), held, cost) {
		return c.take(l, cost), nil
	}
	t := s.next(l, c, held, cost)
	if t == nil || c.taking || now.Before(c.pause) || group.past.count < int64(s.Rate) {
		return nil, nil
	}
	s.end(l, c)
	c.taking = true
	s.mu.Unlock()
	d, err := l.ask(ctx, t)
	s.mu.Lock()
	c.taking = false
	if err != nil {
		return nil, err
	}
	if !d.admitted {
		if d.status == "refused" {
			c.pause = now.Add(s.Lasts)
		}
		return nil, nil
	}
	l.ledger.learn(t, d)
	l.sights.learn(t, d)
	s.taken.Add(1)
	c.begin(t, d, held, now.Add(s.Lasts))
	return c.take(l, cost), nil
}

// find returns the slice of accounts that are reserved together.
func (s *slicer) find(held []quota.Account) *slice {
	var key strings.Builder
	for _, a := range held {
		key.WriteString(a.ID)
		key.WriteByte(0)
	}
	c := s.slices[key.String()]
	if c == nil {
		c = &slice{}
		s.slices[key.String()] = c
	}
	if s.groups[held[0].Group] == nil {
		s.groups[held[0].Group] = &heat{}
	}
	return c
}

// next returns the slice to ask for, or nil where it would not hold the cost.
func (s *slicer) next(l *Limiter, c *slice, held []quota.Account, cost quota.Cost) *lease {
	few := func(past, now int64) int64 { // half as much again as was asked for lately
		return now + int64(1.5*s.Lasts.Seconds()*float64(past))
	}
	past := c.heat.past
	want := quota.Cost{Requests: few(past.Requests, cost.Requests), Tokens: few(past.Tokens, cost.Tokens), Spend: few(past.Spend, cost.Spend)}
	slots := min(few(past.count, 1), 500)
	part := func(want, of int64) int64 {
		if of == 0 {
			return want
		}
		return min(want, int64(s.Part*float64(of)))
	}
	for _, a := range held {
		want.Requests = part(want.Requests, limitOf(a.Limits.RequestsPerMinute, a.Limits.BurstRequests).burst)
		want.Tokens = part(want.Tokens, limitOf(a.Limits.TokensPerMinute, a.Limits.BurstTokens).burst)
		want.Spend = part(want.Spend, min(a.Limits.Budget.Amount, most))
		slots = part(slots, a.Limits.Concurrency)
	}
	if slots < 2 || want.Requests < cost.Requests || want.Tokens < cost.Tokens || want.Spend < cost.Spend {
		return nil
	}
	return l.lease(held, want, slots)
}

// begin makes a lease the slice.
func (c *slice) begin(t *lease, d decision, held []quota.Account, until time.Time) {
	c.lease, c.left, c.used = t, t.cost, 0
	c.held, c.until, c.seen = slices.Clone(held), until, d.snapshot()
	c.window = time.Time{}
	for i := range t.holds {
		if end := t.holds[i].until; !end.IsZero() && (c.window.IsZero() || end.Before(c.window)) {
			c.window = end
		}
	}
}

// fits reports whether the slice admits a cost of these accounts.
func (c *slice) fits(now, there time.Time, held []quota.Account, cost quota.Cost) bool {
	return c.lease != nil && c.used < c.lease.slots && now.Before(c.until) &&
		(c.window.IsZero() || there.Before(c.window)) &&
		cost.Requests <= c.left.Requests && cost.Tokens <= c.left.Tokens && cost.Spend <= c.left.Spend &&
		slices.Equal(held, c.held)
}

// take takes a cost that fits. Each lease has one of the slots in Redis.
func (c *slice) take(l *Limiter, cost quota.Cost) *quota.Lease {
	c.used++
	c.left.Requests -= cost.Requests
	c.left.Tokens -= cost.Tokens
	c.left.Spend -= cost.Spend
	t := &lease{id: slotName(c.lease.id, c.used), slots: 1, cost: cost, holds: c.lease.holds}
	l.hold(t)
	seen := c.seen
	for _, s := range []struct {
		level *quota.Level
		left  int64
	}{{&seen.Requests, c.left.Requests}, {&seen.Tokens, c.left.Tokens}, {&seen.Budget, c.left.Spend}} {
		if s.level.Limit > 0 {
			s.level.Remaining = min(s.level.Remaining, math.MaxInt64-s.left) + s.left
		}
	}
	return quota.NewLease(seen, func(actual quota.Cost) { l.slicer.settle(l, settlement{lease: t, used: actual}) })
}

// settle settles a lease in a slice with the next trip.
func (s *slicer) settle(l *Limiter, done settlement) {
	l.release(done.lease)
	l.sights.settle(done.lease, less(done.lease.cost, done.used), 1)
	done.known = l.ledger.openers(done.lease, l.cfg.Spent == nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled = append(s.settled, done)
}

// end gives back what is left of a slice with the next trip.
func (s *slicer) end(l *Limiter, c *slice) {
	t := c.lease
	if t == nil {
		return
	}
	c.lease = nil
	l.sights.settle(t, c.left, t.slots-c.used)
	s.settled = append(s.settled, settlement{
		lease: t, known: l.ledger.openers(t, l.cfg.Spent == nil), first: c.used + 1,
		used: quota.Cost{
			Requests: t.cost.Requests - c.left.Requests, Tokens: t.cost.Tokens - c.left.Tokens, Spend: t.cost.Spend - c.left.Spend,
		},
	})
}

// sweep ends the slices whose time is over, forgets who is no longer hot, and
// makes the trip that all settlements wait for.
func (s *slicer) sweep(ctx context.Context, l *Limiter, now time.Time) {
	s.mu.Lock()
	for key, c := range s.slices {
		if !now.Before(c.until) {
			s.end(l, c)
		}
		if c.lease == nil && !c.taking && now.Unix() > c.heat.second+1 {
			delete(s.slices, key)
		}
	}
	for group, h := range s.groups {
		if now.Unix() > h.second+1 {
			delete(s.groups, group)
		}
	}
	settled := s.settled
	s.settled = nil
	l.flying.Add(int64(len(settled)))
	s.mu.Unlock()
	l.sendAll(ctx, settled)
}
