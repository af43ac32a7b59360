// Package quotatest is what every quota.Limiter must do, as a test that each
// implementation runs on itself.
//
// A case says nothing about how a store works: it reserves, settles, moves
// the store's clock and looks at the answers. What one store needs beyond the
// others belongs in that store's own tests.
package quotatest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"weir/quota"
)

// Store is a limiter under test and its clock.
type Store struct {
	Limiter quota.Limiter

	// Advance moves the limiter's clock on, by waiting or otherwise. It
	// returns when the limiter sees the new time.
	Advance func(time.Duration)

	// Resolution is how far the limiter's clock may run ahead of the sum of
	// all Advances within one case. Zero means that it stands still between
	// them, and all is checked exactly. The larger it is the longer the cases
	// take: none advances by more than 60 times 10 ms, or 120 times it.
	Resolution time.Duration

	// Now returns the limiter's time, as near as Resolution.
	Now func() time.Time
}

// Run runs every case as a parallel subtest on a store of its own. The store that open
// returns has never seen an account, and asks spent what accounts have spent
// before.
func Run(t *testing.T, open func(t *testing.T, spent quota.Spent) Store) {
	t.Helper()
	cases := []struct {
		name string
		test func(*trial)
	}{
		{"a full bucket admits its burst", fullBucket},
		{"admissions stay within the bound", bound},
		{"use stays within the bound and the overuse", realUse},
		{"what is reserved is settled, refunded or outstanding", conservation},
		{"a refund never passes the burst", refundIsCapped},
		{"overuse is a debt", overuseIsADebt},
		{"a refund pays a debt", refundPaysADebt},
		{"a debt larger than anything is kept", hugeDebt},
		{"a lease settles once", settlesOnce},
		{"the wait of a refusal is honest", honestWait},
		{"the longest wait is told", longestWait},
		{"what never fits is permanent", permanent},
		{"a refusal takes nothing", allOrNothing},
		{"concurrency is bounded", concurrency},
		{"a further cost takes no slot", further},
		{"contention admits no more than the bound", contention},
		{"a reload keeps the used fraction", reloadKeepsFraction},
		{"a lease outlives a reload", reloadWithLease},
		{"a limit that returns is as it was left", reloadOffAndOn},
		{"fewer slots than leases admit none", reloadSlots},
		{"the snapshot is of the decision", snapshotOfDecision},
		{"the snapshot shows the binding account", snapshotBinds},
		{"a budget admits its amount", budgetBound},
		{"a budget and a rate refuse for each other", budgetAllOrNothing},
		{"a budget that is overspent admits nothing", budgetOverspent},
		{"contention spends no more than a budget", budgetContention},
		{"a lease is charged to its window", budgetWindow},
		{"what was spent before counts", budgetHistory},
		{"an amount that changes keeps what was spent", budgetChange},
		{"levels are told and nothing is taken", levels},
		{"no limits, no count", unlimited},
		{"a done context takes nothing", doneContext},
		{"wrong arguments take nothing", wrongArguments},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := &trial{T: t, history: map[string]int64{}}
			c.Store = open(t, c.spent)
			tick := max(10*time.Millisecond, 2*c.Resolution)
			c.perMinute = int64(time.Minute / tick)
			tt.test(c)
		})
	}
}

// trial is one case on one store.
type trial struct {
	*testing.T
	Store
	perMinute int64 // a rate so slow that the resolution is less than one

	mu      sync.Mutex
	history map[string]int64 // what each account spent before
	asked   []time.Time      // since when
}

// spent is the ledger of the trial.
func (c *trial) spent(_ context.Context, account string, from time.Time) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, from)
	return c.history[account], nil
}

// limits returns limits for tokens alone.
func (c *trial) limits(burst int64) quota.Limits {
	return quota.Limits{TokensPerMinute: c.perMinute, BurstTokens: burst}
}

// flow returns how long n take to flow in at the rate of limits.
func (c *trial) flow(n int64) time.Duration {
	return time.Duration(n) * time.Minute / time.Duration(c.perMinute)
}

// inflow returns the most that flows in during d, and while the clock runs
// ahead.
func (c *trial) inflow(d time.Duration) float64 {
	return (d + c.Resolution).Minutes() * float64(c.perMinute)
}

// ask reserves and returns the lease or the refusal; the other one is nil.
func (c *trial) ask(cost quota.Cost, accounts ...quota.Account) (*quota.Lease, *quota.ExceededError) {
	c.Helper()
	lease, err := c.Limiter.Reserve(c.Context(), accounts, cost)
	if err == nil {
		if lease == nil {
			c.Fatalf("Reserve(%+v) = nil, nil", cost)
		}
		return lease, nil
	}
	no, ok := errors.AsType[*quota.ExceededError](err)
	if !ok || lease != nil {
		c.Fatalf("Reserve(%+v) = %v, %v, want a lease or an ExceededError", cost, lease, err)
	}
	return nil, no
}

// reserve is ask where a lease is due.
func (c *trial) reserve(cost quota.Cost, accounts ...quota.Account) *quota.Lease {
	c.Helper()
	lease, no := c.ask(cost, accounts...)
	if no != nil {
		c.Fatalf("Reserve(%+v) refused: %v", cost, no)
	}
	return lease
}

// refuse is ask where a refusal by dimension is due.
func (c *trial) refuse(dimension quota.Dimension, cost quota.Cost, accounts ...quota.Account) quota.ExceededError {
	c.Helper()
	lease, no := c.ask(cost, accounts...)
	if no == nil {
		c.Fatalf("Reserve(%+v) admitted with %+v, want a refusal by %s", cost, lease.Snapshot(), dimension)
	}
	if no.Dimension != dimension {
		c.Errorf("Reserve(%+v): %v, want a refusal by %s", cost, no, dimension)
	}
	if no.Permanent != (no.Wait == 0) || no.Wait < 0 || no.Wait%time.Millisecond != 0 {
		c.Errorf("Reserve(%+v): Permanent %t, Wait %v: want whole milliseconds, zero only if permanent",
			cost, no.Permanent, no.Wait)
	}
	return *no
}

// look returns the levels without a change to them.
func (c *trial) look(accounts ...quota.Account) quota.Snapshot {
	c.Helper()
	lease, no := c.ask(quota.Cost{}, accounts...)
	if no != nil {
		return no.Snapshot
	}
	lease.Settle(quota.Cost{})
	return lease.Snapshot()
}

// remain fails unless want is what level has left.
func (c *trial) remain(when string, level quota.Level, want int64) {
	c.Helper()
	most := want
	if c.Resolution > 0 {
		most++
	}
	if level.Remaining < want || level.Remaining > most {
		c.Errorf("%s: %s has %d left, want %d", when, level.Account, level.Remaining, want)
	}
}

// lasts fails unless got is want rounded up to a millisecond, less what the
// clock has run ahead.
func (c *trial) lasts(when string, got, want time.Duration) {
	c.Helper()
	if got < want-c.Resolution || got >= want+time.Millisecond {
		c.Errorf("%s: %v, want %v", when, got, want)
	}
}

// tokens and requests are costs in one dimension.
func tokens(n int64) quota.Cost   { return quota.Cost{Tokens: n} }
func requests(n int64) quota.Cost { return quota.Cost{Requests: n} }
