package proxy

import (
	"context"
	"maps"
	"slices"

	"weir/openai"
	"weir/quota"
)

// tab is what a session has taken of the allowances, and not settled yet: its slot of
// concurrency from its beginning to its end, and further what each of its responses may
// use. The session's mu guards it.
type tab struct {
	slots []*reservation  // for the session alone: that of its beginning, and of accounts that have had limits since
	held  map[string]bool // the accounts that have one of them
	terms *terms          // by which all that have limits are among these; nil: some are not
	owed  quota.Cost      // what was used for which no lease was to be had
	doubt bool            // what was paid of that may have left a debt

	waiting []*utterance // asked for, in order, and not begun yet
	open    map[string]*utterance
}

// take takes of the allowances what a response may use. The caller holds mu.
func (s *session) take(ctx context.Context, a asking) (*reservation, error) {
	s.tab.follow(ctx, s)
	a.cost.Further, a.shadowed.Further = true, true
	lease, err := s.g.draw(ctx, a)
	if err != nil {
		return nil, refused(ctx, s.team, s.rec, s.d, err)
	}
	if lease.no != nil {
		s.shadow(refusal(s.team, s.d, lease.no).Code)
		s.rec.ShadowLimit = limitOf(lease.no.Dimension)
	}
	return lease, nil
}

// asks returns of whose allowances the session takes, by the terms of the moment, and
// no more than that it goes on.
func (s *session) asks() asking {
	further := quota.Cost{Further: true}
	return asking{
		accounts: s.team.accounts(s.rec.Key, "", enforced), cost: further,
		shadows: s.team.rehearsed(s.rec.Key), shadowed: further,
	}
}

// newTab returns the tab of a session that has its slot.
func newTab(slot *reservation, t *terms, key string) tab {
	out := tab{terms: t, held: map[string]bool{}, open: map[string]*utterance{}}
	out.hold(slot, asking{accounts: t.team.accounts(key, "", enforced), shadows: t.team.rehearsed(key)})
	return out
}

// hold notes a slot, and the accounts that it was taken of.
func (t *tab) hold(slot *reservation, of asking) {
	t.slots = append(t.slots, slot)
	if slot.shadow == nil {
		of.shadows = nil
	}
	for _, a := range append(of.accounts, of.shadows...) {
		if counts(a) {
			t.held[a.ID] = true
		}
	}
}

// counts reports whether an account has a limit, and so counts who has a slot.
func counts(a quota.Account) bool {
	held, _, err := quota.Counted([]quota.Account{a}, quota.Cost{})
	return err == nil && len(held) > 0
}

// follow takes slots of the accounts that have limits by the terms of the moment and
// had none before. No slot is given up for it, which somebody else might get. Where
// there is none to be had the session goes on without, and asks again.
func (t *tab) follow(ctx context.Context, s *session) {
	if t.terms == s.terms {
		return
	}
	old := func(a quota.Account) bool { return t.held[a.ID] || !counts(a) }
	more := asking{
		accounts: slices.DeleteFunc(s.team.accounts(s.rec.Key, "", enforced), old),
		shadows:  slices.DeleteFunc(s.team.rehearsed(s.rec.Key), old),
	}
	if len(more.accounts)+len(more.shadows) > 0 {
		slot, err := s.g.draw(ctx, more)
		if err != nil {
			t.terms = nil
			return
		}
		t.hold(slot, more)
	}
	t.terms = s.terms
}

// busy reports whether a response is under way.
func (t *tab) busy() bool { return len(t.waiting)+len(t.open) > 0 }

// wait notes a response that was asked for.
func (t *tab) wait(u *utterance) { t.waiting = append(t.waiting, u) }

// add notes a response that has begun by itself.
func (t *tab) add(id string, u *utterance) { t.open[id] = u }

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

// end charges a response that is over, and is none of the tab's any more.
func (t *tab) end(ctx context.Context, s *session, u *utterance, used openai.Usage, counted bool) {
	cost := s.charge(used, counted)
	if u.lease != nil {
		u.lease.Settle(cost)
		return
	}
	t.owe(ctx, s, cost)
}

// owe adds to what is owed, and pays it where that can be done.
func (t *tab) owe(ctx context.Context, s *session, cost quota.Cost) {
	t.owed.Tokens += cost.Tokens
	t.owed.Spend += cost.Spend
	_ = t.pay(ctx, s) // it is tried again
}

// pay pays what is owed. The error is the limiter's: an account is in debt and admits
// nothing, be it by what was paid before.
func (t *tab) pay(ctx context.Context, s *session) error {
	owes := t.owed != (quota.Cost{})
	if !owes && !t.doubt {
		return nil
	}
	lease, err := s.g.draw(ctx, s.asks())
	if err != nil {
		return err
	}
	lease.Settle(t.owed)
	t.owed, t.doubt = quota.Cost{}, owes
	return nil
}

// settle pays everything when the session is over: what was heard of responses that
// have not ended is charged.
func (t *tab) settle(s *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range append(slices.Collect(maps.Values(t.open)), t.waiting...) {
		cost := s.charge(s.counted(u), true)
		if u.lease != nil {
			u.lease.Settle(cost)
			continue
		}
		t.owed.Tokens += cost.Tokens
		t.owed.Spend += cost.Spend
	}
	if sent(s.rec) {
		t.owed.Requests = 1
	}
	for _, slot := range t.slots {
		slot.Settle(t.owed) // no account is of two
		t.owed.Requests = 0 // which are counted when they come
	}
	t.open, t.waiting = nil, nil
}
