package redisquota

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/quota"
)

// How a settlement is meant, in the words of settle.lua.
const (
	plain  = "settle"
	cancel = "cancel"
	charge = "charge"
)

// patience is how long what is done behind an answer may take.
const patience = 2 * time.Second

// settlement is what a lease used.
type settlement struct {
	lease *lease
	how   string // empty: plain
	used  quota.Cost
	known []string // who is known to have opened each budget's window
	first int64    // of the slots of a slice that nobody has used
}

// slotName is the name of a slot of a slice, counting from 1.
func slotName(id string, n int64) string { return id + ":" + strconv.FormatInt(n, 10) }

// brief is the part of the longest trip's time that an answer waits for its
// settlement to be heard, which takes far less as a rule. It goes on behind the
// answer.
const brief = 8

// settle settles a lease. What Redis does not hear is kept until it does.
func (l *Limiter) settle(ctx context.Context, s settlement) {
	l.release(s.lease)
	l.sights.settle(s.lease, less(s.lease.cost, s.used), s.lease.slots)
	s.known = l.ledger.openers(s.lease, l.cfg.Spent == nil)
	if l.health.away() {
		l.debts.keep(s)
		return
	}
	l.flying.Add(1)
	heard := make(chan struct{})
	l.settlers.Go(func() {
		defer close(heard)
		defer l.flying.Add(-1)
		if l.send(context.WithoutCancel(ctx), []settlement{s}) != nil {
			l.debts.keep(s)
		}
	})
	timer := time.NewTimer(l.cfg.Timeout / brief)
	defer timer.Stop()
	select {
	case <-heard:
	case <-timer.C:
	}
}

// cancel gives up a reservation of which nobody knows whether Redis has it.
func (l *Limiter) cancel(t *lease) {
	l.debts.keep(settlement{lease: t, how: cancel, first: 1, known: l.ledger.openers(t, false)})
}

// send tells Redis of settlements of the same accounts under the same limits.
func (l *Limiter) send(ctx context.Context, all []settlement) error {
	first := all[0]
	args := make([]any, 0, 1+7*len(first.lease.holds)+10*len(all))
	args = append(args, len(all))
	for i := range first.lease.holds {
		h := &first.lease.holds[i]
		args = append(args, h.requests.perMinute, h.requests.burst, h.tokens.perMinute, h.tokens.burst,
			h.window(), h.opener, first.known[i])
	}
	for _, s := range all {
		how, t := s.how, s.lease
		if how == "" {
			how = plain
		}
		args = append(args, how, t.id, t.cost.Requests, t.cost.Tokens, t.cost.Spend, s.used.Requests, s.used.Tokens, s.used.Spend)
		if s.first > 0 && t.slots > 1 {
			args = append(args, s.first, t.slots)
		} else {
			args = append(args, 1, 0)
		}
	}
	_, err := l.run(ctx, l.settling, first.lease.names(), args)
	return err
}

// sendAll sends settlements that are on their way, as many of the same terms in
// a trip as are due, and reports whether Redis has heard them. Those that it has
// not are kept.
func (l *Limiter) sendAll(ctx context.Context, all []settlement) bool {
	defer l.flying.Add(-int64(len(all)))
	terms := make(map[string][]settlement)
	for _, s := range all {
		key := s.terms()
		terms[key] = append(terms[key], s)
	}
	heard := true
	for _, same := range terms {
		for some := range slices.Chunk(same, batch) {
			if !l.health.away() && l.send(ctx, some) == nil {
				continue
			}
			heard = false
			for _, s := range some {
				l.debts.keep(s)
			}
		}
	}
	return heard
}

// terms is what settlements that go together have in common.
func (s settlement) terms() string {
	var b strings.Builder
	for i := range s.lease.holds {
		h := &s.lease.holds[i]
		fmt.Fprintf(&b, "%q %v %v %s %s %s\n", h.hash, h.requests, h.tokens, h.window(), h.opener, s.known[i])
	}
	return b.String()
}

// hold remembers an open lease, which is to be renewed.
func (l *Limiter) hold(t *lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[t.id] = t
}

func (l *Limiter) release(t *lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, t.id)
}

// renew lets all open leases last on.
func (l *Limiter) renew(ctx context.Context) {
	groups := make(map[string][]*lease)
	l.mu.Lock()
	for _, t := range l.open {
		groups[t.holds[0].Group] = append(groups[t.holds[0].Group], t)
	}
	l.mu.Unlock()
	for _, leases := range groups {
		for len(leases) > 0 {
			n := min(batch, len(leases))
			if l.renewSome(ctx, leases[:n]) != nil {
				return // as they last thrice as long, there is another time
			}
			leases = leases[n:]
		}
	}
}

// renewSome lets leases of one group last on.
func (l *Limiter) renewSome(ctx context.Context, leases []*lease) error {
	var keys []string
	number := make(map[string]int)
	args := []any{l.cfg.TTL.Milliseconds()}
	for _, t := range leases {
		for i := range t.holds {
			key := t.holds[i].leases
			if number[key] == 0 {
				keys = append(keys, key)
				number[key] = len(keys)
			}
			args = append(args, number[key], t.id, t.slots)
		}
	}
	_, err := l.run(ctx, l.renewing, keys, args)
	return err
}
