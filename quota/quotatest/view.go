package quotatest

import (
	"context"
	"errors"

	"github.com/google/go-cmp/cmp"

	"weir/quota"
)

func snapshotOfDecision(c *trial) {
	a := quota.Account{ID: "team:seen", Limits: quota.Limits{
		RequestsPerMinute: c.perMinute, BurstRequests: 5,
		TokensPerMinute: c.perMinute, BurstTokens: 20,
	}}
	lease := c.reserve(quota.Cost{Requests: 1, Tokens: 12}, a)
	check := func(when string, s quota.Snapshot, tokens int64) {
		c.Helper()
		c.remain(when+", requests", s.Requests, 4)
		c.remain(when+", tokens", s.Tokens, tokens)
		c.lasts(when+", reset of requests", s.Requests.Reset, c.flow(1))
		c.lasts(when+", reset of tokens", s.Tokens.Reset, c.flow(20-tokens))
		if s.Requests.Limit != c.perMinute || s.Tokens.Limit != c.perMinute ||
			s.Requests.Account != a.ID || s.Tokens.Account != a.ID {
			c.Errorf("%s: %+v, want %d a minute of %s", when, s, c.perMinute, a.ID)
		}
	}
	check("admitted", lease.Snapshot(), 8)
	no := c.refuse(quota.Tokens, quota.Cost{Requests: 1, Tokens: 15}, a)
	check("refused", no.Snapshot, 8)
	if c.Resolution == 0 && no.Remaining != no.Snapshot.Tokens.Remaining {
		c.Errorf("the refusal has %d remain, its snapshot %d", no.Remaining, no.Snapshot.Tokens.Remaining)
	}
	lease.Settle(quota.Cost{Requests: 1, Tokens: 2})
	check("after the settlement", c.look(a), 18)
	check("the lease's own, after the settlement", lease.Snapshot(), 8)
	c.reserve(tokens(18), a)
}

func snapshotBinds(c *trial) {
	team := quota.Account{ID: "team:wide", Limits: quota.Limits{
		TokensPerMinute: c.perMinute, BurstTokens: 100, RequestsPerMinute: c.perMinute, BurstRequests: 4,
	}}
	key := quota.Account{ID: "key:narrow", Limits: quota.Limits{
		TokensPerMinute: c.perMinute, BurstTokens: 20, RequestsPerMinute: c.perMinute, BurstRequests: 8,
	}}
	free := quota.Account{ID: "key:free", Limits: quota.Limits{Concurrency: 9}}
	for _, accounts := range [][]quota.Account{{team, key, free}, {free, key, team}} {
		lease := c.reserve(quota.Cost{Requests: 2, Tokens: 10}, accounts...)
		s := lease.Snapshot()
		if s.Tokens.Account != key.ID || s.Requests.Account != team.ID {
			c.Errorf("bound by %q and %q, want tokens by %q and requests by %q",
				s.Tokens.Account, s.Requests.Account, key.ID, team.ID)
		}
		c.remain("tokens", s.Tokens, 10)
		c.remain("requests", s.Requests, 2)
		lease.Settle(quota.Cost{})
	}
	first := c.look(team, key)
	if c.Resolution == 0 && (first.Tokens.Account != team.ID || first.Requests.Account != team.ID) {
		c.Errorf("of two full accounts %+v is shown, want the first", first)
	}
}

func unlimited(c *trial) {
	a := quota.Account{ID: "team:free"}
	for range 100 {
		lease := c.reserve(quota.Cost{Requests: 1 << 40, Tokens: 1 << 40}, a)
		if diff := cmp.Diff(quota.Snapshot{}, lease.Snapshot()); diff != "" {
			c.Fatalf("snapshot without limits (-want +got):\n%s", diff)
		}
		defer lease.Settle(tokens(1 << 41))
	}
	c.reserve(tokens(1)).Settle(tokens(1))

	burst := quota.Account{ID: "team:burst", Limits: quota.Limits{BurstTokens: 1, BurstRequests: 1}}
	c.reserve(quota.Cost{Requests: 5, Tokens: 5}, burst)

	// What was used without a limit is not held against the limit to come.
	a.Limits = quota.Limits{RequestsPerMinute: 1, TokensPerMinute: 10, Concurrency: 1}
	c.reserve(quota.Cost{Requests: 1, Tokens: 10}, a)
}

func doneContext(c *trial) {
	a := quota.Account{ID: "team:gone", Limits: c.limits(10)}
	a.Limits.Concurrency = 1
	ctx, cancel := context.WithCancel(c.Context())
	cancel()
	for range 3 {
		c.fails(ctx, tokens(4), context.Canceled, a)
	}
	c.remain("after it was canceled", c.look(a).Tokens, 10)
	c.reserve(tokens(10), a)
	c.fails(ctx, tokens(4), context.Canceled, a)
}

// fails demands an error of Reserve that is no refusal, and target if not nil.
func (c *trial) fails(ctx context.Context, cost quota.Cost, target error, accounts ...quota.Account) {
	c.Helper()
	lease, err := c.Limiter.Reserve(ctx, accounts, cost)
	if _, refused := errors.AsType[*quota.ExceededError](err); err == nil || refused || lease != nil {
		c.Errorf("Reserve(%+v) = %v, %v, want an error that is no refusal", cost, lease, err)
	}
	if target != nil && !errors.Is(err, target) {
		c.Errorf("Reserve(%+v): %v, want %v", cost, err, target)
	}
}

func wrongArguments(c *trial) {
	a := quota.Account{ID: "team:wrong", Limits: c.limits(10)}
	a.Limits.Concurrency = 1
	c.fails(c.Context(), tokens(-1), nil, a)
	c.fails(c.Context(), requests(-1), nil, a)
	c.fails(c.Context(), tokens(1), nil, a, quota.Account{ID: "key:other", Limits: c.limits(1)}, a)
	for _, l := range []quota.Limits{
		{RequestsPerMinute: -1},
		{TokensPerMinute: -1},
		{Concurrency: -1},
		{BurstRequests: -1},
		{BurstTokens: -1},
	} {
		c.fails(c.Context(), tokens(1), nil, a, quota.Account{ID: "key:negative", Limits: l})
	}
	c.remain("after wrong calls", c.look(a).Tokens, 10)
	c.reserve(tokens(10), a)
}

// levels is for a limiter that tells them. Hardly anything flows in meanwhile.
func levels(c *trial) {
	v, ok := c.Limiter.(quota.Viewer)
	if !ok {
		return
	}
	team := quota.Account{ID: "team:told", Limits: quota.Limits{
		TokensPerMinute: 1, BurstTokens: 100, RequestsPerMinute: 1, BurstRequests: 8, Concurrency: 3,
		Budget: quota.Budget{Amount: 1000},
	}}
	key := quota.Account{ID: "key:told", Limits: quota.Limits{TokensPerMinute: 1, BurstTokens: 20}}
	told := func(when string, tokens, requests, slots int64) {
		c.Helper()
		for range 3 { // asking takes nothing
			s := v.Levels([]quota.Account{key, team, {ID: "key:free"}})
			c.remain(when+", tokens", s[1].Tokens, tokens)
			c.remain(when+", requests", s[1].Requests, requests)
			if diff := cmp.Diff(quota.Level{Account: team.ID, Limit: 3, Remaining: slots}, s[1].Slots); diff != "" {
				c.Errorf("%s, slots (-want +got):\n%s", when, diff)
			}
			if diff := cmp.Diff(quota.Standing{}, s[2]); diff != "" {
				c.Errorf("%s, without limits (-want +got):\n%s", when, diff)
			}
			if s[0].Tokens.Account != key.ID || s[0].Requests.Limit != 0 || s[0].Slots.Limit != 0 {
				c.Errorf("%s: the key has %+v", when, s[0])
			}
		}
	}
	told("before anything", 100, 8, 3)
	lease := c.reserve(quota.Cost{Requests: 1, Tokens: 12, Spend: 300}, team, key)
	told("reserved", 88, 7, 2)
	s := v.Levels([]quota.Account{key, team})
	c.remain("reserved, of the key", s[0].Tokens, 8)
	c.remain("reserved, of the budget", s[1].Budget, 700)
	c.refuse(quota.Tokens, tokens(15), team, key)
	told("refused", 88, 7, 2)
	lease.Settle(quota.Cost{Requests: 1, Tokens: 2, Spend: 100})
	told("settled", 98, 7, 3)
	c.remain("settled, of the budget", v.Levels([]quota.Account{team})[0].Budget, 900)

	wide := team
	wide.Limits.BurstTokens = 1000
	c.remain("under another limit", v.Levels([]quota.Account{wide})[0].Tokens, 980)
	told("under its own again", 98, 7, 3)
}
