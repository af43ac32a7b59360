package redisquota

import (
	"context"
	"slices"
	"sync"
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
	dropped int64           // settlements that there was no room for
	owed    map[owing]*owed // used without Redis
	charges []*owed         // the same under their names: Redis may have heard them
}

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
