package quota

import "time"

// memoryLease is a Lease and what Memory needs to settle it.
type memoryLease struct {
	Lease
	memory *Memory
	cost   Cost
	holds  []hold
	room   [2]hold // where holds begins: a team and a key
}

// hold is what a lease has of one account besides its slot: the bursts at the
// reservation, zero where the dimension was not limited.
type hold struct {
	account  *account
	requests int64
	tokens   int64
	spend    coin
}

// take opens a lease over accounts, which admit it. The caller holds mu.
func (m *Memory) take(now time.Time, accounts []*account, cost Cost) *Lease {
	l := &memoryLease{memory: m, cost: cost}
	l.store = l
	l.holds = l.room[:0]
	for _, a := range accounts {
		a.leases++
		if !cost.Further {
			a.open++
		}
		h := hold{account: a}
		if a.requests.on {
			a.requests.force(now, cost.Requests)
			h.requests = a.requests.burst
		}
		if a.tokens.on {
			a.tokens.force(now, cost.Tokens)
			h.tokens = a.tokens.burst
		}
		if a.purse.on() {
			a.purse.used = clamp(a.purse.used + cost.Spend)
			h.spend = a.purse.coin()
		}
		l.holds = append(l.holds, h)
	}
	l.level = snapshot(now, accounts)
	return &l.Lease
}

// settle replaces the cost of l by actual and frees its slots.
func (l *memoryLease) settle(actual Cost) {
	m := l.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.tick()
	for _, h := range l.holds {
		h.account.leases--
		if !l.cost.Further {
			h.account.open--
		}
		if h.requests > 0 {
			h.account.requests.settle(now, l.cost.Requests, h.requests, actual.Requests)
		}
		if h.tokens > 0 {
			h.account.tokens.settle(now, l.cost.Tokens, h.tokens, actual.Tokens)
		}
		h.account.purse.settle(h.spend, l.cost.Spend, actual.Spend)
	}
}

// snapshot returns the binding levels over accounts.
func snapshot(now time.Time, accounts []*account) Snapshot {
	var s Snapshot
	requests, tokens, budget := 2.0, 2.0, 2.0 // the least fraction yet: more than a full one's
	for _, a := range accounts {
		if f := a.requests.fraction(now); f < requests {
			requests, s.Requests = f, a.requests.snapshot(now, a.id)
		}
		if f := a.tokens.fraction(now); f < tokens {
			tokens, s.Tokens = f, a.tokens.snapshot(now, a.id)
		}
		if !a.purse.on() {
			continue
		}
		if f := a.purse.fraction(); f < budget {
			budget, s.Budget = f, a.purse.snapshot(now, a.id)
		}
	}
	return s
}

// refusal collects what refuses a reservation and keeps the worst of it.
type refusal struct {
	refused bool
	err     ExceededError
}

// ask adds what a says to cost.
func (r *refusal) ask(now time.Time, a *account, cost Cost) {
	r.askBucket(now, &a.requests, ExceededError{Account: a.id, Dimension: Requests, Need: cost.Requests})
	r.askBucket(now, &a.tokens, ExceededError{Account: a.id, Dimension: Tokens, Need: cost.Tokens})
	if slots := a.limits.Concurrency; slots > 0 && !cost.Further && a.open >= slots {
		r.add(ExceededError{Account: a.id, Dimension: Concurrency, Limit: slots, Need: 1, Wait: slotWait})
	}
	a.purse.ask(r, now, a.id, cost.Spend)
}

// askBucket completes e and adds it if b does not admit its need.
func (r *refusal) askBucket(now time.Time, b *bucket, e ExceededError) {
	if !b.on {
		return
	}
	switch {
	case e.Need > b.burst:
		e.Permanent, e.Limit = true, b.burst
	case b.short(now, e.Need) > 0:
		e.Limit, e.Wait = b.perMinute, b.wait(now, e.Need)
	default:
		return
	}
	e.Remaining = b.remaining(now)
	r.add(e)
}

// add keeps e if it is worse than what is kept.
func (r *refusal) add(e ExceededError) {
	if r.refused && (r.err.Permanent || !e.Permanent && e.Wait <= r.err.Wait) {
		return
	}
	r.refused, r.err = true, e
}
