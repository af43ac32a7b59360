package quotatest

import "weir/quota"

// with returns a under new limits: the same rate for each token of burst.
func (c *trial) with(a quota.Account, burst int64) quota.Account {
	a.Limits.TokensPerMinute, a.Limits.BurstTokens = c.perMinute*burst/10, burst
	return a
}

func reloadKeepsFraction(c *trial) {
	a := c.with(quota.Account{ID: "team:reload"}, 10)
	c.reserve(tokens(5), a)
	for _, tt := range []struct{ burst, left int64 }{{10, 5}, {20, 10}, {8, 4}, {80, 40}, {2, 1}, {10, 5}} {
		lease := c.reserve(tokens(0), c.with(a, tt.burst))
		level := lease.Snapshot().Tokens
		if slop := (tt.burst + 9) / 10; c.Resolution == 0 && level.Remaining != tt.left ||
			level.Remaining < tt.left || level.Remaining > tt.left+slop {
			c.Errorf("half of a burst of %d: %d left, want %d", tt.burst, level.Remaining, tt.left)
		}
		lease.Settle(tokens(0))
	}

	full := c.with(quota.Account{ID: "team:full"}, 10)
	c.look(full)
	c.remain("a full bucket made smaller", c.look(c.with(full, 4)).Tokens, 4)
	c.remain("a full bucket made larger", c.look(c.with(full, 40)).Tokens, 40)

	debt := c.with(quota.Account{ID: "team:debt"}, 10)
	c.reserve(tokens(1), debt).Settle(tokens(20))
	c.lasts("a debt under new limits", c.look(c.with(debt, 20)).Tokens.Reset, c.flow(20))
}

func reloadWithLease(c *trial) {
	for _, tt := range []struct {
		name                 string
		to                   int64 // the burst after the reload, from 10
		actual, other, after int64
	}{
		{"larger, all used", 20, 5, 0, 10},
		{"larger, nothing used", 20, 0, 0, 20},
		{"larger, some used", 40, 2, 0, 32},
		{"smaller, nothing used", 5, 0, 0, 5},
		{"smaller, nothing used of one of two", 5, 0, 4, 3},
		{"smaller, all used", 4, 5, 0, 2},
		{"the same, more used", 10, 7, 0, 3},
	} {
		a := c.with(quota.Account{ID: "team:" + tt.name}, 10)
		lease := c.reserve(tokens(5), a)
		c.reserve(tokens(tt.other), a)
		b := c.with(a, tt.to)
		c.look(b)
		lease.Settle(tokens(tt.actual))
		got := c.look(b).Tokens.Remaining
		if slop := tt.to / 10; got < tt.after || got > tt.after+slop || c.Resolution == 0 && got != tt.after {
			c.Errorf("%s: %d left, want %d", tt.name, got, tt.after)
		}
	}
}

func reloadOffAndOn(c *trial) {
	a := c.with(quota.Account{ID: "team:off"}, 10)
	a.Limits.Concurrency = 5
	lease := c.reserve(tokens(8), a)
	off := a
	off.Limits.TokensPerMinute = 0
	free := c.reserve(tokens(1000), off)
	if got := free.Snapshot().Tokens; got != (quota.Level{}) {
		c.Errorf("level without a limit: %+v", got)
	}
	free.Settle(tokens(2000))
	none := quota.Account{ID: a.ID}
	c.reserve(tokens(1000), none).Settle(tokens(2000))

	c.remain("when the limit returned", c.look(a).Tokens, 2)
	lease.Settle(tokens(3))
	c.remain("when the first lease was settled", c.look(a).Tokens, 7)
}

func reloadSlots(c *trial) {
	wide := quota.Account{ID: "team:narrow", Limits: quota.Limits{Concurrency: 4}}
	narrow := quota.Account{ID: "team:narrow", Limits: quota.Limits{Concurrency: 2}}
	leases := make([]*quota.Lease, 0, 4)
	for range 4 {
		leases = append(leases, c.reserve(tokens(1), wide))
	}
	for i, l := range leases {
		if i < 3 {
			c.refuse(quota.Concurrency, tokens(1), narrow)
		}
		l.Settle(tokens(1))
	}
	c.reserve(tokens(1), narrow)
	c.reserve(tokens(1), narrow)
	c.refuse(quota.Concurrency, tokens(1), narrow)

	counted := quota.Account{ID: "team:late", Limits: quota.Limits{TokensPerMinute: 10}}
	lease := c.reserve(tokens(1), counted)
	counted.Limits.Concurrency = 1
	c.refuse(quota.Concurrency, tokens(1), counted)
	lease.Settle(tokens(1))
	c.reserve(tokens(1), counted)
}
