package quotatest

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/quota"
)

func honestWait(c *trial) {
	for _, tt := range []struct {
		name      string
		dimension quota.Dimension
		rate      int64 // a minute
		burst     int64 // all taken
		need      int64 // asked for then
	}{
		{"tokens", quota.Tokens, c.perMinute, 10, 6},
		{"requests", quota.Requests, c.perMinute, 10, 5},
		{"a slow rate", quota.Tokens, c.perMinute / 7, 3, 1},
		{"a fast rate", quota.Tokens, c.perMinute * 31, 1000, 310},
	} {
		a := quota.Account{ID: "team:" + tt.name}
		all, cost := tokens(tt.burst), tokens(tt.need)
		a.Limits.TokensPerMinute, a.Limits.BurstTokens = tt.rate, tt.burst
		if tt.dimension == quota.Requests {
			all, cost = requests(tt.burst), requests(tt.need)
			a.Limits = quota.Limits{RequestsPerMinute: tt.rate, BurstRequests: tt.burst}
		}
		c.reserve(all, a)
		wait := c.refuse(tt.dimension, cost, a).Wait
		c.lasts("wait for "+tt.name, wait, time.Duration(tt.need)*time.Minute/time.Duration(tt.rate))
		early := wait * 8 / 10
		c.Advance(early)
		c.refuse(tt.dimension, cost, a)
		c.Advance(wait - early)
		if s := c.look(a); max(s.Tokens.Remaining, s.Requests.Remaining) < tt.need {
			c.Errorf("%s: %+v after its wait, want %d", tt.name, s, tt.need)
		}
		if lease, no := c.ask(cost, a); lease == nil {
			c.Errorf("%s: refused after its wait of %v: %v", tt.name, wait, no)
		}
	}
}

func longestWait(c *trial) {
	slow := quota.Account{ID: "team:slow", Limits: quota.Limits{
		RequestsPerMinute: c.perMinute, BurstRequests: 4,
		TokensPerMinute: c.perMinute, BurstTokens: 10,
	}}
	fast := quota.Account{ID: "key:fast", Limits: quota.Limits{TokensPerMinute: 2 * c.perMinute, BurstTokens: 20}}
	c.reserve(quota.Cost{Requests: 4, Tokens: 10}, slow)
	c.reserve(tokens(20), fast)

	no := c.refuse(quota.Tokens, quota.Cost{Requests: 1, Tokens: 3}, fast, slow)
	c.lasts("tokens of the slow one", no.Wait, c.flow(3))
	c.says(no, quota.ExceededError{Account: slow.ID, Dimension: quota.Tokens, Limit: c.perMinute, Need: 3})

	no = c.refuse(quota.Requests, quota.Cost{Requests: 4, Tokens: 1}, fast, slow)
	c.lasts("requests", no.Wait, c.flow(4))
	c.says(no, quota.ExceededError{Account: slow.ID, Dimension: quota.Requests, Limit: c.perMinute, Need: 4})

	no = c.refuse(quota.Tokens, tokens(16), fast)
	c.lasts("tokens of the fast one", no.Wait, c.flow(8))
	c.Advance(no.Wait)
	c.reserve(tokens(16), fast)
}

// says fails unless got is want in what does not depend on the clock.
func (c *trial) says(got, want quota.ExceededError) {
	c.Helper()
	g := got
	g.Wait, g.Snapshot, g.Remaining = 0, quota.Snapshot{}, want.Remaining
	if diff := cmp.Diff(want, g); diff != "" {
		c.Errorf("refusal (-want +got):\n%s", diff)
	}
	if left := got.Remaining; left < want.Remaining || left > want.Remaining+1 {
		c.Errorf("%v: %d remain, want %d", &got, left, want.Remaining)
	}
}

func permanent(c *trial) {
	team := quota.Account{ID: "team:small", Limits: quota.Limits{
		RequestsPerMinute: 5, BurstRequests: 2, TokensPerMinute: 100, BurstTokens: 10, Concurrency: 1,
	}}
	key := quota.Account{ID: "key:large", Limits: quota.Limits{TokensPerMinute: 20}}
	c.says(c.refuse(quota.Tokens, tokens(11), team, key),
		quota.ExceededError{Account: team.ID, Dimension: quota.Tokens, Limit: 10, Need: 11, Remaining: 10, Permanent: true})
	c.says(c.refuse(quota.Requests, requests(3), team, key),
		quota.ExceededError{Account: team.ID, Dimension: quota.Requests, Limit: 2, Need: 3, Remaining: 2, Permanent: true})
	c.says(c.refuse(quota.Tokens, tokens(1<<62), key),
		quota.ExceededError{Account: key.ID, Dimension: quota.Tokens, Limit: 20, Need: 1 << 53, Remaining: 20, Permanent: true})

	c.reserve(quota.Cost{Requests: 2, Tokens: 10}, team, key)
	no := c.refuse(quota.Tokens, quota.Cost{Requests: 1, Tokens: 21}, team)
	c.says(no, quota.ExceededError{Account: team.ID, Dimension: quota.Tokens, Limit: 10, Need: 21, Permanent: true})
	if no := c.refuse(quota.Tokens, tokens(20), key); no.Permanent {
		c.Errorf("the whole burst is said never to fit: %v", &no)
	}
}

func allOrNothing(c *trial) {
	team := quota.Account{ID: "team:atomic", Limits: quota.Limits{
		RequestsPerMinute: c.perMinute, BurstRequests: 10,
		TokensPerMinute: c.perMinute, BurstTokens: 10, Concurrency: 3,
	}}
	small := func(id string, l quota.Limits) quota.Account { return quota.Account{ID: id, Limits: l} }
	others := []struct {
		dimension quota.Dimension
		account   quota.Account
	}{
		{quota.Tokens, small("key:tokens", quota.Limits{TokensPerMinute: 1, BurstTokens: 5})},
		{quota.Requests, small("key:requests", quota.Limits{RequestsPerMinute: 1, BurstRequests: 5})},
		{quota.Concurrency, small("key:slots", quota.Limits{Concurrency: 1})},
		{quota.Tokens, small("key:never", quota.Limits{TokensPerMinute: 1})},
	}
	c.reserve(quota.Cost{Requests: 5, Tokens: 5}, others[0].account, others[1].account, others[2].account)
	cost := quota.Cost{Requests: 2, Tokens: 2}
	for _, o := range others {
		for range 4 {
			no := c.refuse(o.dimension, cost, team, o.account)
			c.remain("team, in the refusal", c.look(team).Tokens, 10)
			c.says(no, quota.ExceededError{
				Account: o.account.ID, Dimension: o.dimension, Need: no.Need,
				Limit: 1, Remaining: no.Remaining, Permanent: no.Permanent,
			})
			c.refuse(o.dimension, cost, o.account, team)
		}
	}
	for range 3 {
		c.reserve(cost, team)
	}
	got := c.look(team)
	c.remain("requests after three leases", got.Requests, 4)
	c.remain("tokens after three leases", got.Tokens, 4)
	c.refuse(quota.Concurrency, quota.Cost{}, team)
}

func concurrency(c *trial) {
	a := quota.Account{ID: "team:slots", Limits: quota.Limits{Concurrency: 3}}
	leases := []*quota.Lease{c.reserve(tokens(1), a), c.reserve(tokens(1), a), c.reserve(tokens(1), a)}
	no := c.refuse(quota.Concurrency, tokens(1), a)
	c.says(no, quota.ExceededError{Account: a.ID, Dimension: quota.Concurrency, Limit: 3, Need: 1})
	for _, l := range leases {
		l.Settle(tokens(1))
	}

	var open atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 10 {
				lease, err := c.Limiter.Reserve(c.Context(), []quota.Account{a}, tokens(1))
				if err != nil {
					continue
				}
				if n := open.Add(1); n > 3 {
					c.Errorf("%d leases open, want at most 3", n)
				}
				open.Add(-1)
				lease.Settle(tokens(1))
			}
		})
	}
	wg.Wait()
	for range 3 {
		c.reserve(tokens(1), a)
	}
}

func further(c *trial) {
	a := quota.Account{ID: "team:further", Limits: quota.Limits{Concurrency: 1, TokensPerMinute: 1, BurstTokens: 10}}
	first := c.reserve(requests(1), a)
	more := tokens(4)
	more.Further = true
	second := c.reserve(more, a)
	c.remain("with a further cost", second.Snapshot().Tokens, 6)
	c.refuse(quota.Concurrency, requests(1), a)
	more.Tokens = 7
	c.refuse(quota.Tokens, more, a)
	first.Settle(requests(1))
	next := c.reserve(tokens(0), a) // the further one has none
	a.Limits.Concurrency = 0
	c.reserve(quota.Cost{Further: true}, a).Settle(quota.Cost{})
	a.Limits.Concurrency = 1
	second.Settle(tokens(1))
	c.refuse(quota.Concurrency, requests(1), a)
	next.Settle(tokens(0))
	c.remain("when all is settled", c.look(a).Tokens, 9)
	lease := c.reserve(requests(1), a)
	c.refuse(quota.Concurrency, requests(1), a)
	lease.Settle(requests(1))
}
