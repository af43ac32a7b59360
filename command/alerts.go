package command

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"weir/config"
	"weir/proxy"
	"weir/quota"
	"weir/telemetry"
	"weir/usage"
)

// glance is how often budgets are looked at.
const glance = 5 * time.Second

// attend looks at budgets until ctx is done.
func (g *Gateway) attend(ctx context.Context) {
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for {
		g.state.alerts.Check(ctx, g.budgets(ctx))
		select {
		case <-ctx.Done():
			return
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
			if level, ok := g.look(ctx, a); ok {
				from, _ := a.Limits.Budget.Window(time.Now())
				_, key := proxy.Holder(a.ID)
				all = append(all, telemetry.Budget{
					Team: name, Key: key, Amount: usage.USD(level.Limit), Spent: usage.USD(level.Limit - level.Remaining), From: from,
					At: alertsAt(now.file.Teams[name], key),
				})
			}
		}
	}
	return all
}

// look returns what is left of an account's budget.
func (g *Gateway) look(ctx context.Context, a quota.Account) (quota.Level, bool) {
	lease, err := g.state.limiter.Reserve(ctx, []quota.Account{a}, quota.Cost{})
	if err == nil {
		defer lease.Settle(quota.Cost{})
		return lease.Snapshot().Budget, true
	}
	exceeded, ok := errors.AsType[*quota.ExceededError](err)
	if !ok {
		return quota.Level{}, false
	}
	return exceeded.Snapshot.Budget, true
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
