package redisquota

import (
	"context"
	"slices"
	"strconv"
	"sync"

	"weir/quota"
)

// mostKept is how many settlements are kept for Redis. What is more stays at
// its estimate.
const mostKept = 1 << 16

// batch is how many settlements go in a trip: they hold up all others.
const batch = 250

// debts is what Redis does not know yet.
type debts struct {
	mu      sync.Mutex
	kept    []settlement
	dropped int64                // settlements that there was no room for
	owed    map[owing]quota.Cost // used without Redis
	holds   map[owing]hold       // whose windows those are
	charges []settlement         // what was owed, under a name: Redis may have heard it
}

// owing is an account in a window of its budget.
type owing struct{ group, account, window string }

// keep keeps a settlement until Redis hears it.
func (d *debts) keep(s settlement) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.kept) >= mostKept {
		d.dropped++
		return
	}
	d.kept = append(d.kept, s)
}

// owe notes what was used without Redis, or given back.
func (d *debts) owe(h hold, used, back quota.Cost) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.holds == nil {
		d.holds = make(map[owing]hold)
	}
	o := owing{h.Group, h.ID, h.window()}
	sum := d.owed[o]
	sum.Requests += used.Requests - back.Requests
	sum.Tokens += used.Tokens - back.Tokens
	sum.Spend += used.Spend - back.Spend
	d.owed[o] = sum
	d.holds[o] = h
}

// pending returns how many settlements wait, and how many were dropped.
func (d *debts) pending() (waiting int, dropped int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.kept) + len(d.charges) + len(d.owed), d.dropped
}

// pay tells Redis all that it does not know. The keeper alone calls it.
func (l *Limiter) pay(ctx context.Context) {
	if !l.payOwed(ctx) {
		return
	}
	for !l.health.away() {
		some := l.debts.take(l)
		if len(some) == 0 || !l.sendAll(ctx, some) {
			return
		}
	}
}

// take returns the settlements that have waited longest, which are on their way
// from now on.
func (d *debts) take(l *Limiter) []settlement {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := min(len(d.kept), batch)
	some := slices.Clone(d.kept[:n])
	d.kept = slices.Delete(d.kept, 0, n)
	l.flying.Add(int64(n))
	return some
}

// payOwed tells Redis what was used without it, and reports whether it knows
// it now. The share of the next absence is reckoned anew then.
func (l *Limiter) payOwed(ctx context.Context) bool {
	all := l.debts.collect(l)
	for _, s := range all {
		if l.send(ctx, []settlement{s}) != nil {
			return false
		}
		h := &s.lease.holds[0]
		l.ledger.add(h.ID, h.window(), s.used.Spend-s.lease.cost.Spend)
		l.debts.charged()
	}
	if len(all) > 0 {
		l.local.renew()
	}
	return true
}

// collect gives each amount owed the name under which Redis hears it once.
func (d *debts) collect(l *Limiter) []settlement {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.charges) > 0 {
		return d.charges
	}
	for o, n := range d.owed {
		t := &lease{
			id:    l.prefix + strconv.FormatUint(l.last.Add(1), 36),
			cost:  quota.Cost{Requests: max(0, -n.Requests), Tokens: max(0, -n.Tokens), Spend: max(0, -n.Spend)},
			holds: []hold{d.holds[o]},
		}
		s := settlement{lease: t, how: charge, known: l.ledger.openers(t, l.cfg.Spent == nil)}
		s.used = quota.Cost{Requests: max(0, n.Requests), Tokens: max(0, n.Tokens), Spend: max(0, n.Spend)}
		if s.known[0] == "" {
			s.known[0] = "*" // never heard of it: better charged twice than not at all
		}
		d.charges = append(d.charges, s)
	}
	clear(d.owed)
	clear(d.holds)
	return d.charges
}

// charged drops the first charge.
func (d *debts) charged() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.charges = d.charges[1:]
}
