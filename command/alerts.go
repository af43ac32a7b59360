package command

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"weir/config"
	"weir/proxy"
	"weir/quota"
	"weir/telemetry"
	"weir/usage"
)

// glance is how often budgets are looked at.
const glance = 5 * time.Second

// attend looks at budgets until ctx is done: now and then, and when one refuses.
func (g *Gateway) attend(ctx context.Context) {
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for {
		g.state.alerts.Check(ctx, g.budgets(ctx))
		select {
		case <-ctx.Done():
			return
		case <-g.state.limiter.news:
		case <-ticker.C:
		}
	}
}

// budgets returns where the budgets stand, but those that cannot be asked now.
func (g *Gateway) budgets(ctx context.Context) []telemetry.Budget {
	now := g.now.Load()
	var all []telemetry.Budget
	for _, name := range slices.Sorted(maps.Keys(now.teams)) {
		team := now.teams[name]
		for _, a := range team.Accounts() {
			if a.Limits.Budget.Amount == 0 {
				continue
			}
			from, _ := a.Limits.Budget.Window(time.Now())
			spent, err := g.state.stands(ctx, a, from)
			if err != nil {
				continue
			}
			_, key := proxy.Holder(a.ID)
			all = append(all, telemetry.Budget{
				Team: name, Key: key, Amount: usage.USD(a.Limits.Budget.Amount), Spent: spent, From: from,
				At: alertsAt(now.file.Teams[name], key), Shadow: proxy.Rehearsed(a.ID), Refused: g.state.limiter.refused(a, from),
			})
		}
	}
	return all
}

// stands returns what an account has spent and reserved since its window began. The
// ledger knows: to ask the limits would take a slot for a moment, which a request
// might want. They alone know where replicas share them and not the ledger.
func (s *state) stands(ctx context.Context, a quota.Account, from time.Time) (usage.USD, error) {
	team, key := proxy.Holder(a.ID)
	spent, err := s.ledger.Spent(ctx, team, key, from)
	if s.shared == nil || s.dialect == usage.Postgres {
		return spent, err
	}
	var level quota.Level
	lease, err := s.shared.Reserve(ctx, []quota.Account{a}, quota.Cost{})
	exceeded, refused := errors.AsType[*quota.ExceededError](err)
	switch {
	case refused:
		level = exceeded.Snapshot.Budget
	case err != nil:
		return 0, err
	default:
		defer lease.Settle(quota.Cost{})
		level = lease.Snapshot().Budget
	}
	return max(spent, usage.USD(level.Limit-level.Remaining)), nil
}

// alertsAt returns the shares at which a budget is alerted of.
func alertsAt(t config.Team, key string) []float64 {
	b := t.Budget
	for _, k := range t.Keys {
		if k.ID == key && key != "" {
			b = k.Budget
		}
	}
	var at []float64
	for _, share := range b.AlertAt {
		at = append(at, float64(share))
	}
	return at
}

// refusals is a Limiter that notes which budgets have refused a request for which
// too little was left.
type refusals struct {
	quota.Limiter

	news chan struct{} // has one where a budget has refused for the first time in its window

	mu    sync.Mutex
	since map[string]spent // what an account last refused of
}

// spent is a budget in one of its windows, too little of which is left for a request.
type spent struct {
	amount int64
	from   time.Time
}

var _ quota.Limiter = (*refusals)(nil)

func newRefusals(l quota.Limiter) *refusals {
	return &refusals{Limiter: l, news: make(chan struct{}, 1), since: map[string]spent{}}
}

// Reserve implements quota.Limiter.
func (r *refusals) Reserve(ctx context.Context, accounts []quota.Account, cost quota.Cost) (*quota.Lease, error) {
	lease, err := r.Limiter.Reserve(ctx, accounts, cost)
	if err == nil {
		return lease, nil
	}
	// What never fits says nothing of what is left.
	if e, ok := errors.AsType[*quota.ExceededError](err); ok && e.Dimension == quota.Spend && !e.Permanent {
		for _, a := range accounts {
			if a.ID == e.Account {
				r.note(a, time.Now())
			}
		}
	}
	return nil, err
}

func (r *refusals) note(a quota.Account, at time.Time) {
	from, _ := a.Limits.Budget.Window(at)
	now := spent{a.Limits.Budget.Amount, from}
	r.mu.Lock()
	defer r.mu.Unlock()
	if was := r.since[a.ID]; was.amount == now.amount && was.from.Equal(from) {
		return
	}
	r.since[a.ID] = now
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// refused reports whether an account has refused a request in the window that
// began at from, and with the budget that it has now.
func (r *refusals) refused(a quota.Account, from time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.since[a.ID]
	return was.amount == a.Limits.Budget.Amount && was.from.Equal(from)
}
