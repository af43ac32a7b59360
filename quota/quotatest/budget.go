package quotatest

import (
	"sync"
	"sync/atomic"
	"time"

	"weir/quota"
)

// budget returns an account with a budget of amount for the month.
func budget(id string, amount int64) quota.Account {
	return quota.Account{ID: id, Group: "g", Limits: quota.Limits{Budget: quota.Budget{Amount: amount}}}
}

func spend(n int64) quota.Cost { return quota.Cost{Requests: 1, Spend: n} }

func budgetBound(c *trial) {
	a := budget("a", 10)
	first := c.reserve(spend(4), a)
	c.reserve(spend(4), a)
	c.refusedUntilNext(a)
	if no := c.refuse(quota.Spend, spend(11), a); !no.Permanent {
		c.Errorf("more than the whole budget is refused with %+v, want permanently", no)
	}
	first.Settle(spend(1))
	if got := c.look(a).Budget; got.Remaining != 5 || got.Limit != 10 || got.Account != "a" {
		c.Errorf("4 + 4 reserved and one of them settled at 1 leave %+v of 10, want 5", got)
	}
	c.reserve(spend(5), a)
	if got := c.reserve(spend(0), a).Snapshot().Budget; got.Remaining != 0 || got.Reset <= 0 {
		c.Errorf("a spent budget shows %+v", got)
	}
}

// refusedUntilNext demands a refusal of 3 where 2 of 10 are left.
func (c *trial) refusedUntilNext(a quota.Account) {
	c.Helper()
	no := c.refuse(quota.Spend, spend(3), a)
	from, until := a.Limits.Budget.Window(c.Now())
	c.says(no, quota.ExceededError{Account: a.ID, Dimension: quota.Spend, Limit: 10, Need: 3, Remaining: 2})
	left := until.Sub(c.Now())
	if no.Wait > left+c.Resolution+time.Millisecond || no.Wait < left-c.Resolution-time.Minute {
		c.Errorf("the wait is %v, want until the next window, %v", no.Wait, left)
	}
	if now := c.Now(); now.Before(from) || !now.Before(until) {
		c.Errorf("the window of %v is from %v until %v", now, from, until)
	}
}

// budgetAllOrNothing holds that money and the rest refuse for each other.
func budgetAllOrNothing(c *trial) {
	a := budget("b", 10)
	a.Limits.TokensPerMinute, a.Limits.BurstTokens = c.perMinute, 10
	c.refuse(quota.Spend, quota.Cost{Tokens: 1, Spend: 11}, a)
	c.refuse(quota.Tokens, quota.Cost{Tokens: 11, Spend: 1}, a)
	c.reserve(quota.Cost{Tokens: 10, Spend: 10}, a)
}

func budgetOverspent(c *trial) {
	a := budget("a", 10)
	c.reserve(spend(4), a).Settle(spend(12))
	if no := c.refuse(quota.Spend, spend(0), a); no.Remaining != 0 || no.Snapshot.Budget.Remaining != 0 {
		c.Errorf("an overspent budget refuses with %+v", no)
	}
}

func budgetContention(c *trial) {
	const cents = 10_000_000
	a := budget("a", 100*cents)
	var admitted atomic.Int64
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			lease, err := c.Limiter.Reserve(c.Context(), []quota.Account{a}, spend(5*cents))
			if err != nil {
				return
			}
			admitted.Add(1)
			lease.Settle(spend(5 * cents))
		})
	}
	group.Wait()
	if got := admitted.Load(); got != 20 {
		c.Errorf("%d of 100 requests of $0.05 were admitted to $1.00, want 20", got)
	}
}

// budgetWindow puts midnight two seconds from now by the choice of the zone, or so
// far that the clock does not come there by itself.
func budgetWindow(c *trial) {
	near := max(2*time.Second, 100*c.Resolution)
	now := c.Now().UTC()
	passed := now.Hour()*3600 + now.Minute()*60 + now.Second()
	zone := time.FixedZone("near", (24*3600-passed-int(near.Seconds()))%(24*3600))
	a := quota.Account{ID: "a", Group: "g", Limits: quota.Limits{Budget: quota.Budget{Amount: 10, Period: quota.Day, Zone: zone}}}
	old := c.reserve(spend(8), a)
	no := c.refuse(quota.Spend, spend(3), a)
	if no.Wait <= 0 || no.Wait > near {
		c.Fatalf("the wait is %v, want until midnight in at most %v", no.Wait, near)
	}
	c.Advance(no.Wait)
	c.reserve(spend(3), a)
	old.Settle(spend(20))
	if got := c.look(a).Budget.Remaining; got != 7 {
		c.Errorf("a lease of yesterday that settled today leaves %d of 10, want 7", got)
	}
}

func budgetHistory(c *trial) {
	c.history["a"] = 7
	a := budget("a", 10)
	c.refuse(quota.Spend, spend(4), a)
	c.reserve(spend(3), a)
	c.reserve(spend(10), budget("b", 10))
	from, _ := a.Limits.Budget.Window(c.Now())
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.asked) != 2 || !c.asked[0].Equal(from) || !c.asked[1].Equal(from) {
		c.Errorf("the ledger was asked about %v, want twice since %v", c.asked, from)
	}
}

func budgetChange(c *trial) {
	lease := c.reserve(spend(6), budget("a", 10))
	c.refuse(quota.Spend, spend(1), budget("a", 5))
	c.reserve(spend(4), budget("a", 12))
	lease.Settle(spend(1))
	if got := c.look(budget("a", 12)).Budget.Remaining; got != 7 {
		c.Errorf("1 and 4 of 12 leave %d, want 7", got)
	}
	a := budget("a", 12)
	a.Limits.Budget.Amount = 0
	c.reserve(spend(100), quota.Account{ID: "a", Group: "g", Limits: quota.Limits{Concurrency: 100}})
	if got := c.look(budget("a", 12)).Budget.Remaining; got != 7 {
		c.Errorf("after a while without a budget %d are left, want 7", got)
	}
}
