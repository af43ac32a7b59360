package quotatest

import (
	"sync"
	"sync/atomic"

	"weir/quota"
)

func fullBucket(c *trial) {
	for _, limits := range []quota.Limits{
		{TokensPerMinute: 10, RequestsPerMinute: 10},
		{TokensPerMinute: 10, BurstTokens: 10, RequestsPerMinute: 1, BurstRequests: 10},
		{TokensPerMinute: 1, BurstTokens: 10, RequestsPerMinute: c.perMinute, BurstRequests: 10},
	} {
		a := quota.Account{ID: "team:full", Limits: limits}
		c.reserve(quota.Cost{Requests: 10, Tokens: 10}, a).Settle(quota.Cost{})
	}
	a := quota.Account{ID: "team:one", Limits: quota.Limits{TokensPerMinute: 1, RequestsPerMinute: 1}}
	c.reserve(quota.Cost{Requests: 1, Tokens: 1}, a)
}

func bound(c *trial) {
	a := quota.Account{ID: "team:bound", Limits: c.limits(10)}
	var admitted, elapsed float64
	start := c.Now()
	for i := range int64(30) {
		for range 3 {
			if lease, _ := c.ask(tokens(3), a); lease != nil {
				admitted += 3
			}
		}
		passed := c.Now().Sub(start)
		if most := 10 + c.inflow(passed); admitted > most {
			c.Fatalf("admitted %v in %v, want at most %v", admitted, passed, most)
		}
		c.Advance(c.flow(1))
		elapsed = float64(i)
	}
	if least := 10 + elapsed - 3; admitted < least {
		c.Errorf("admitted %v, want at least %v", admitted, least)
	}
}

func realUse(c *trial) {
	a := quota.Account{ID: "team:use", Limits: c.limits(10)}
	var used, over, leases float64
	start := c.Now()
	for i := range int64(30) {
		for k := range int64(2) {
			lease, _ := c.ask(tokens(4), a)
			if lease == nil {
				continue
			}
			actual := (i*5 + k*3) % 7 // from nothing to three too many
			lease.Settle(tokens(actual))
			used += float64(actual)
			over += float64(max(0, actual-4))
			leases++
		}
		passed := c.Now().Sub(start)
		if most := 10 + c.inflow(passed) + over; used > most {
			c.Fatalf("used %v in %v, want at most %v", used, passed, most)
		}
		c.Advance(c.flow(1))
	}
	if leases < 10 {
		c.Errorf("%v leases in %v, want more: what is not used goes back", leases, c.flow(30))
	}
}

func conservation(c *trial) {
	a := quota.Account{ID: "team:sum", Limits: quota.Limits{
		TokensPerMinute: c.perMinute, BurstTokens: 40,
		RequestsPerMinute: c.perMinute, BurstRequests: 10,
	}}
	steps := []struct {
		name             string
		actual           quota.Cost // of 2 requests and 10 tokens
		requests, tokens int64      // left after the settlement
	}{
		{"all used", quota.Cost{Requests: 2, Tokens: 10}, 8, 30},
		{"nothing used", quota.Cost{}, 8, 30},
		{"some used", quota.Cost{Requests: 1, Tokens: 4}, 7, 26},
		{"a negative amount counts as zero", quota.Cost{Requests: -3, Tokens: -30}, 7, 26},
		{"more used", quota.Cost{Requests: 3, Tokens: 15}, 4, 11},
	}
	left := quota.Cost{Requests: 10, Tokens: 40}
	for _, s := range steps {
		lease := c.reserve(quota.Cost{Requests: 2, Tokens: 10}, a)
		c.remain(s.name+", reserved, requests", lease.Snapshot().Requests, left.Requests-2)
		c.remain(s.name+", reserved, tokens", lease.Snapshot().Tokens, left.Tokens-10)
		lease.Settle(s.actual)
		got := c.look(a)
		c.remain(s.name+", settled, requests", got.Requests, s.requests)
		c.remain(s.name+", settled, tokens", got.Tokens, s.tokens)
		left = quota.Cost{Requests: s.requests, Tokens: s.tokens}
	}
}

func refundIsCapped(c *trial) {
	a := quota.Account{ID: "team:refund", Limits: c.limits(10)}
	lease := c.reserve(tokens(8), a)
	c.Advance(c.flow(9))
	lease.Settle(tokens(0))
	full := c.look(a)
	c.remain("after a refund into a full bucket", full.Tokens, 10)
	c.lasts("reset of a full bucket", full.Tokens.Reset, 0)
	c.reserve(tokens(10), a)
	c.refuse(quota.Tokens, tokens(2), a)
}

func overuseIsADebt(c *trial) {
	a := quota.Account{ID: "team:debt", Limits: c.limits(10)}
	c.reserve(tokens(4), a).Settle(tokens(26)) // 16 below zero, more than the burst
	debt := c.look(a)
	c.remain("in debt", debt.Tokens, 0)
	c.lasts("reset in debt", debt.Tokens.Reset, c.flow(26))
	no := c.refuse(quota.Tokens, tokens(3), a)
	c.lasts("wait in debt", no.Wait, c.flow(19))
	if lease, _ := c.ask(quota.Cost{}, a); lease != nil {
		c.Error("an account in debt admits a cost of zero")
	}
	c.Advance(no.Wait)
	c.reserve(tokens(3), a)
	c.Advance(c.flow(20))
	c.reserve(tokens(10), a)
	c.refuse(quota.Tokens, tokens(2), a)
}

func refundPaysADebt(c *trial) {
	a := quota.Account{ID: "team:paid", Limits: c.limits(10)}
	first, second := c.reserve(tokens(8), a), c.reserve(tokens(2), a)
	second.Settle(tokens(7)) // 5 below zero
	c.remain("before the refund", c.look(a).Tokens, 0)
	first.Settle(tokens(1)) // 2 above
	c.remain("after the refund", c.look(a).Tokens, 2)
	c.reserve(tokens(2), a)
}

func hugeDebt(c *trial) {
	wide := quota.Account{ID: "key:wide", Limits: quota.Limits{TokensPerMinute: 1 << 53}}
	c.reserve(tokens(1<<53), wide).Settle(tokens(1 << 40))
	c.reserve(tokens(1<<52), wide)

	for _, tt := range []struct {
		dimension quota.Dimension
		limits    quota.Limits
		one, all  quota.Cost
	}{
		{quota.Tokens, quota.Limits{TokensPerMinute: 1}, tokens(1), tokens(1 << 62)},
		{quota.Requests, quota.Limits{RequestsPerMinute: 1}, requests(1), requests(1 << 62)},
	} {
		a := quota.Account{ID: "team:huge " + string(tt.dimension), Limits: tt.limits}
		c.reserve(tt.one, a).Settle(tt.all)
		no := c.refuse(tt.dimension, tt.one, a)
		if no.Wait < c.flow(1<<20) || no.Remaining != 0 {
			c.Errorf("%d remain and a wait of %v after a debt of 1<<53", no.Remaining, no.Wait)
		}
	}
}

func settlesOnce(c *trial) {
	a := quota.Account{ID: "team:once", Limits: c.limits(20)}
	a.Limits.Concurrency = 2
	lease, other := c.reserve(tokens(8), a), c.reserve(tokens(8), a)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() { lease.Settle(tokens(5)) })
	}
	wg.Wait()
	lease.Settle(tokens(0))

	third := c.reserve(tokens(0), a)
	c.remain("after 17 settlements", third.Snapshot().Tokens, 7)
	c.refuse(quota.Concurrency, tokens(0), a)
	third.Settle(tokens(0))
	other.Settle(tokens(0))
	c.remain("after all are settled", c.look(a).Tokens, 15)
}

func contention(c *trial) {
	a := quota.Account{ID: "team:busy", Limits: c.limits(50)}
	var admitted atomic.Int64
	var wg sync.WaitGroup
	start := c.Now()
	for range 32 {
		wg.Go(func() {
			for range 10 {
				lease, err := c.Limiter.Reserve(c.Context(), []quota.Account{a}, tokens(1))
				if err == nil {
					admitted.Add(1)
					lease.Settle(tokens(1))
				}
			}
		})
	}
	wg.Wait()
	if got, most := admitted.Load(), 50+int64(c.inflow(c.Now().Sub(start))); got < 50 || got > most {
		c.Errorf("admitted %d of 320 at one moment, want %d", got, most)
	}
}
