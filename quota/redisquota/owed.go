package redisquota

import (
	"context"
	"strconv"

	"weir/quota"
)

// owed is what an account has used without Redis in a window of its budget,
// until Redis hears it.
//
// Money counts once: where the window was opened again meanwhile, the ledger has
// told of all requests that had ended, and what ran then is missing alone.
type owed struct {
	hold   hold
	rates  quota.Cost
	spend  int64  // where the window is the one that is known
	lost   int64  // where it was opened again
	after  *owed  // had the estimates which this replaces; nil: there were none
	named  string // under which Redis hears it once; empty: it may still change
	opener string // of the window that it was charged to
}

// owing is a sum in the making.
type owing struct {
	group, account, window string
	after                  *owed
}

// sum returns the sum that may still change.
func (d *debts) sum(h hold, after *owed) *owed {
	key := owing{h.Group, h.ID, h.window(), after}
	e := d.owed[key]
	if e == nil {
		e = &owed{after: after}
		d.owed[key] = e
	}
	e.hold = h
	return e
}

// owe notes a cost that is reserved without Redis.
func (d *debts) owe(h hold, cost quota.Cost) *owed {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.sum(h, nil)
	e.add(cost, quota.Cost{})
	e.lost += cost.Spend
	return e
}

// settle replaces a cost in e by what was used.
func (d *debts) settle(e *owed, cost, used quota.Cost) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e.named == "" {
		e.add(used, cost)
		e.lost -= cost.Spend
		return
	}
	next := d.sum(e.hold, e)
	next.add(used, cost)
	next.lost += used.Spend
}

func (e *owed) add(used, back quota.Cost) {
	e.rates.Requests += used.Requests - back.Requests
	e.rates.Tokens += used.Tokens - back.Tokens
	e.spend += used.Spend - back.Spend
}

// collect names all sums, so that Redis hears each once.
func (d *debts) collect(l *Limiter) []*owed {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.charges) > 0 {
		return d.charges
	}
	for _, e := range d.owed {
		e.named = l.prefix + strconv.FormatUint(l.last.Add(1), 36)
		d.charges = append(d.charges, e)
	}
	clear(d.owed)
	return d.charges
}

// charged drops the first charge.
func (d *debts) charged(opener string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.charges[0].opener, d.charges[0].after = opener, nil
	d.charges = d.charges[1:]
}

// payOwed tells Redis what was used without it, and reports whether it knows it
// now. The share of the next absence is reckoned anew then.
func (l *Limiter) payOwed(ctx context.Context) bool {
	all := l.debts.collect(l)
	for _, e := range all {
		missing, opener, err := l.charge(ctx, e, l.opener(e))
		if err == nil && missing {
			missing, opener, err = l.openAndCharge(ctx, e)
		}
		if err != nil || missing {
			return false
		}
		l.ledger.add(e.hold.ID, e.hold.window(), e.spend)
		l.debts.charged(opener)
	}
	if len(all) > 0 {
		l.local.renew()
	}
	return true
}

// opener returns who must have opened the window for the spend of e to be due;
// anyone, where the ledger has told nobody of it.
func (l *Limiter) opener(e *owed) string {
	if l.cfg.Spent == nil {
		return "*"
	}
	if e.after != nil {
		return e.after.opener
	}
	if b, ok := l.ledger.book(e.hold.ID, e.hold.window()); ok && b.opener != "" {
		return b.opener
	}
	return "*" // never heard of it: better charged twice than not at all
}

// openAndCharge opens the window of e, in which the ledger tells of what has
// ended, and charges the rest.
func (l *Limiter) openAndCharge(ctx context.Context, e *owed) (missing bool, opener string, err error) {
	t := l.lease([]quota.Account{e.hold.Account}, quota.Cost{}, 1)
	d, err := l.decide(ctx, t)
	if err != nil {
		return false, "", err
	}
	if d.admitted {
		l.settle(ctx, settlement{lease: t})
	}
	due := "-" // nobody
	if l.cfg.Spent == nil {
		due = "*"
	}
	return l.charge(ctx, e, due)
}

// charge tells Redis of e, and reports whether its window is missing there.
func (l *Limiter) charge(ctx context.Context, e *owed, due string) (missing bool, opener string, err error) {
	h := &e.hold
	args := []any{
		1, h.requests.perMinute, h.requests.burst, h.tokens.perMinute, h.tokens.burst, h.window(), "", due,
		charge, e.named, 0, 0, 0, max(0, e.rates.Requests), max(0, e.rates.Tokens), e.spend, e.lost, 0,
	}
	reply, err := l.run(ctx, l.settling, []string{h.hash, h.leases}, args)
	if err != nil {
		return false, "", err
	}
	fields, _ := reply.([]any)
	if len(fields) != 2 {
		return true, "", nil
	}
	opener, _ = fields[1].(string)
	return fields[0] == int64(1), opener, nil
}
