package proxy

import (
	"context"
	"maps"
	"slices"

	"weir/openai"
	"weir/quota"
)

// tab is what a session has taken of the allowances, and not settled yet.
//
// At any time a session holds at least one lease, and so its slot of concurrency:
// one that is for nothing else between its responses, and those of its responses
// while there are any. What was used is settled with a lease. Who cannot get
// another one, because an account is in debt, keeps the old one with what it owes.
// The session's mu guards it.
type tab struct {
	slot     *reservation // for the slot alone; nil while there are others
	stale    bool         // slot holds more than that, or something is owed
	requests int64        // that are to be settled with the next lease
	owed     quota.Cost   // as well

	waiting []*utterance // asked for, in order, and not begun yet
	open    map[string]*utterance
}

// unbounded is more than any number of slots.
const unbounded = 1 << 40

// slotted returns accounts in which the session has its slot already.
func slotted(accounts []quota.Account) []quota.Account {
	for i := range accounts {
		if accounts[i].Limits.Concurrency > 0 {
			accounts[i].Limits.Concurrency = unbounded
		}
	}
	return accounts
}

// take takes a cost of the allowances, without a further slot. The caller holds mu.
func (s *session) take(ctx context.Context, cost quota.Cost) (*reservation, error) {
	lease, err := s.reserve(ctx, cost)
	if err != nil {
		return nil, refused(ctx, s.team, s.rec, s.d, err)
	}
	return lease, nil
}

// reserve is take, whose error is the limiter's.
func (s *session) reserve(ctx context.Context, cost quota.Cost) (*reservation, error) {
	out, err := s.g.draw(ctx, asking{
		accounts: slotted(s.team.accounts(s.rec.Key, "", enforced)), cost: cost,
		shadows: slotted(s.team.rehearsed(s.rec.Key)), shadowed: cost,
	})
	if err != nil {
		return nil, err
	}
	if out.no != nil && cost != (quota.Cost{}) {
		s.shadow(refusal(s.team, s.d, out.no).Code)
	}
	return out, nil
}

// busy reports whether a response is under way.
func (t *tab) busy() bool { return len(t.waiting)+len(t.open) > 0 }

// leased reports whether a response has a lease.
func (t *tab) leased() bool {
	has := func(u *utterance) bool { return u.lease != nil }
	if slices.ContainsFunc(t.waiting, has) {
		return true
	}
	for _, u := range t.open {
		if has(u) {
			return true
		}
	}
	return false
}

// wait notes a response that was asked for.
func (t *tab) wait(u *utterance) {
	t.waiting = append(t.waiting, u)
	t.yield()
}

// add notes a response that has begun by itself.
func (t *tab) add(id string, u *utterance) {
	t.open[id] = u
	t.yield()
}

// yield gives up the lease for the slot alone where a response has one.
func (t *tab) yield() {
	if t.slot != nil && t.leased() {
		t.pay(t.slot, quota.Cost{})
		t.slot, t.stale = nil, false
	}
}

// begin notes that the response that was asked for first has begun, and reports
// whether there was one.
func (t *tab) begin(id string) bool {
	if len(t.waiting) == 0 {
		return false
	}
	t.open[id] = t.waiting[0]
	t.waiting = t.waiting[1:]
	return true
}

// withdraw returns the response that a client's event asked for and that has not
// begun, which is no more to come; nil: there is none.
func (t *tab) withdraw(event string) *utterance {
	i := slices.IndexFunc(t.waiting, func(u *utterance) bool { return u.event == event && event != "" })
	if i < 0 {
		return nil
	}
	u := t.waiting[i]
	t.waiting = slices.Delete(t.waiting, i, i+1)
	return u
}

// pay settles a lease for what it was taken for and all that is owed.
func (t *tab) pay(lease *reservation, used quota.Cost) {
	used.Requests += t.requests
	used.Tokens += t.owed.Tokens
	used.Spend += t.owed.Spend
	t.requests, t.owed = 0, quota.Cost{}
	lease.Settle(used)
}

// end charges a response that is over, and is none of the tab's any more.
func (t *tab) end(ctx context.Context, s *session, u *utterance, used openai.Usage, counted bool) {
	cost := s.charge(used, counted)
	switch {
	case u.lease == nil:
		t.owe(ctx, s, cost)
	case t.slot != nil || t.leased():
		t.pay(u.lease, cost)
	default:
		t.slot = u.lease
		t.owe(ctx, s, cost)
	}
}

// owe adds to what is owed, and pays it where that can be done.
func (t *tab) owe(ctx context.Context, s *session, cost quota.Cost) {
	t.owed.Tokens += cost.Tokens
	t.owed.Spend += cost.Spend
	t.stale = true
	t.rotate(ctx, s)
}

// rotate pays what is owed with the lease for the slot, where another one is to be
// had in its place.
func (t *tab) rotate(ctx context.Context, s *session) {
	if t.slot == nil || !t.stale {
		return
	}
	next, err := s.reserve(ctx, quota.Cost{})
	if err != nil {
		return // an account is in debt, and admits nothing else meanwhile
	}
	t.pay(t.slot, quota.Cost{})
	t.slot, t.stale = next, false
}

// settle pays everything when the session is over: what was heard of responses that
// have not ended is charged.
func (t *tab) settle(s *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !sent(s.rec) {
		t.requests = 0
	}
	rest := append(slices.Collect(maps.Values(t.open)), t.waiting...)
	for _, u := range rest {
		cost := s.charge(s.counted(u), true)
		t.owed.Tokens += cost.Tokens
		t.owed.Spend += cost.Spend
	}
	for _, u := range rest {
		if u.lease != nil {
			t.pay(u.lease, quota.Cost{})
		}
	}
	if t.slot != nil {
		t.pay(t.slot, quota.Cost{})
	}
	t.open, t.waiting, t.slot = nil, nil, nil
}
