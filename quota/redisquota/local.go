package redisquota

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"weir/quota"
)

// local is what holds while Redis is away: this process's share.
type local struct {
	now   func() time.Time
	spent func(context.Context, quota.Account, time.Time) (int64, error)

	mu       sync.Mutex
	rates    *quota.Memory            // lives on, that another absence is no other burst
	budgets  *quota.Memory            // of this absence
	accounts map[string]quota.Account // those with a budget in it
}

func (o *local) start(now func() time.Time, spent func(context.Context, quota.Account, time.Time) (int64, error)) {
	o.now, o.spent = now, spent
	o.rates = quota.NewMemory(quota.MemoryConfig{Now: now})
	o.renew()
}

// renew forgets what was spent in an absence, as Redis knows it.
func (o *local) renew() {
	o.mu.Lock()
	defer o.mu.Unlock()
	accounts := make(map[string]quota.Account)
	o.accounts = accounts
	o.budgets = quota.NewMemory(quota.MemoryConfig{
		Now: o.now,
		Spent: func(ctx context.Context, id string, from time.Time) (int64, error) {
			o.mu.Lock()
			a := accounts[id]
			o.mu.Unlock()
			return o.spent(ctx, a, from)
		},
	})
}

// with returns the budgets of this absence, which know the accounts now.
func (o *local) with(accounts []quota.Account) *quota.Memory {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, a := range accounts {
		o.accounts[a.ID] = a
	}
	return o.budgets
}

// alone reserves without Redis, as each account says.
func (l *Limiter) alone(ctx context.Context, held []quota.Account, cost quota.Cost) (*quota.Lease, error) {
	var money, rates []quota.Account
	for _, a := range held {
		if a.Away == quota.AwayClosed {
			return nil, fmt.Errorf("redisquota: reserving: %w", quota.ErrAway)
		}
		if a.Limits.Budget.Amount > 0 {
			only := a
			only.Limits = quota.Limits{Budget: a.Limits.Budget}
			money = append(money, only)
		}
		if a.Away == quota.AwayLocal {
			a.Limits = l.part(a.Limits)
			rates = append(rates, a)
		}
	}
	spending, err := l.local.with(money).Reserve(ctx, money, cost)
	if err != nil {
		return nil, l.explain(ctx, err, rates)
	}
	using, err := l.local.rates.Reserve(ctx, rates, cost)
	if err != nil {
		spending.Settle(quota.Cost{})
		return nil, soften(err, held, cost, spending.Snapshot().Budget)
	}
	holds := l.lease(held, cost, 1).holds
	owes := make([]*owed, len(holds))
	for i, h := range holds {
		owes[i] = l.debts.owe(h, cost)
	}
	snapshot := using.Snapshot()
	snapshot.Budget = spending.Snapshot().Budget
	return quota.NewLease(snapshot, func(actual quota.Cost) {
		spending.Settle(actual)
		using.Settle(actual)
		for _, e := range owes {
			l.debts.settle(e, cost, actual)
		}
	}), nil
}

// part returns this process's share of limits, at least one of each, without
// the budget.
func (l *Limiter) part(of quota.Limits) quota.Limits {
	share := func(n int64) int64 {
		if n == 0 {
			return 0
		}
		return max(1, n/int64(l.cfg.Replicas))
	}
	requests := limitOf(of.RequestsPerMinute, of.BurstRequests)
	tokens := limitOf(of.TokensPerMinute, of.BurstTokens)
	return quota.Limits{
		RequestsPerMinute: share(requests.perMinute), BurstRequests: share(requests.burst),
		TokensPerMinute: share(tokens.perMinute), BurstTokens: share(tokens.burst),
		Concurrency: share(of.Concurrency),
	}
}

// soften turns a refusal for ever by a share into one for now, if the limits
// themselves would admit the cost: Redis may be back in a second.
func soften(err error, held []quota.Account, cost quota.Cost, budget quota.Level) error {
	no, ok := errors.AsType[*quota.ExceededError](err)
	if !ok {
		return err
	}
	no.Snapshot.Budget = budget
	if !no.Permanent {
		return no
	}
	for _, a := range held {
		requests := limitOf(a.Limits.RequestsPerMinute, a.Limits.BurstRequests)
		tokens := limitOf(a.Limits.TokensPerMinute, a.Limits.BurstTokens)
		if requests.burst > 0 && cost.Requests > requests.burst || tokens.burst > 0 && cost.Tokens > tokens.burst {
			return no
		}
	}
	no.Permanent, no.Wait = false, slotWait
	return no
}

// explain adds the levels of rates to a refusal by a budget.
func (l *Limiter) explain(ctx context.Context, err error, rates []quota.Account) error {
	no, ok := errors.AsType[*quota.ExceededError](err)
	if !ok && ctx.Err() == nil {
		return fmt.Errorf("redisquota: %w: %w", quota.ErrAway, err) // nor can the ledger
	}
	if !ok {
		return err
	}
	budget := no.Snapshot.Budget
	look, err := l.local.rates.Reserve(ctx, rates, quota.Cost{})
	if err == nil {
		no.Snapshot = look.Snapshot()
		look.Settle(quota.Cost{})
	} else if full, ok := errors.AsType[*quota.ExceededError](err); ok {
		no.Snapshot = full.Snapshot
	}
	no.Snapshot.Budget = budget
	return no
}
