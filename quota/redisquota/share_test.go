package redisquota_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"weir/quota"
	"weir/quota/redisquota"
)

// away takes Redis away and waits until a limiter knows it.
func (s *server) away(t *testing.T, l *redisquota.Limiter) {
	t.Helper()
	s.kill()
	other := quota.Account{ID: "other", Group: "other", Limits: quota.Limits{Concurrency: 1000}}
	s.until("Redis is known to be away", func() bool {
		reserve(t, l, quota.Cost{}, other).Settle(quota.Cost{})
		return l.State().Away
	})
}

// back brings Redis back and waits until a limiter knows it.
func (s *server) back(l *redisquota.Limiter) {
	s.t.Helper()
	s.run()
	s.until("Redis is known to be back", func() bool { return !l.State().Away })
}

// admits returns how often a cost is admitted until it is refused.
func admits(t *testing.T, l quota.Limiter, cost quota.Cost, a quota.Account) (leases []*quota.Lease, refusal error) {
	t.Helper()
	for {
		lease, err := l.Reserve(t.Context(), []quota.Account{a}, cost)
		if err != nil {
			return leases, err
		}
		leases = append(leases, lease)
	}
}

// TestAwayMeansWhatTheAccountSays holds what each account admits while Redis is
// away: a share, all, or nothing, and of a budget always a share.
func TestAwayMeansWhatTheAccountSays(t *testing.T) {
	t.Parallel()
	s := start(t)
	l := s.open(t, redisquota.Config{Replicas: 4, Timeout: patience})
	money := quota.Account{ID: "money", Group: "g", Limits: quota.Limits{Budget: quota.Budget{Amount: 1000}}}
	reserve(t, l, quota.Cost{Spend: 200}, money).Settle(quota.Cost{Spend: 200})
	s.away(t, l)
	both := tokens("both", 40)
	both.Limits.Budget.Amount = 400
	if _, err := l.Reserve(t.Context(), []quota.Account{both}, quota.Cost{Tokens: 11, Spend: 100}); err == nil {
		t.Error("11 tokens of a share of 10 are admitted")
	}
	if lease := reserve(t, l, quota.Cost{Tokens: 10, Spend: 100}, both); lease.Snapshot().Budget.Remaining != 0 || lease.Snapshot().Tokens.Remaining != 0 {
		t.Errorf("%+v is left of the share, want nothing", lease.Snapshot())
	}
	open, closed, one := tokens("open", 100), tokens("closed", 100), tokens("one", 3)
	open.Away, closed.Away = quota.AwayOpen, quota.AwayClosed
	open.Limits.Budget.Amount, money.Away = 40_000, quota.AwayOpen
	tests := []struct {
		name      string
		account   quota.Account
		cost      quota.Cost
		want      int
		dimension quota.Dimension
		permanent bool
	}{
		{"a share of the burst", tokens("local", 100), quota.Cost{Tokens: 5}, 5, quota.Tokens, false},
		{"at least one", one, quota.Cost{Tokens: 1}, 1, quota.Tokens, false},
		{"more than the share, not than the limit", tokens("large", 100), quota.Cost{Tokens: 26}, 0, quota.Tokens, false},
		{"more than the limit", tokens("huge", 100), quota.Cost{Tokens: 101}, 0, quota.Tokens, true},
		{"a share of what was left of the budget", money, quota.Cost{Spend: 20}, 10, quota.Spend, false},
		{"open but for the budget", open, quota.Cost{Tokens: 1, Spend: 50}, 200, quota.Spend, false},
	}
	for _, tt := range tests {
		leases, err := admits(t, l, tt.cost, tt.account)
		no, ok := errors.AsType[*quota.ExceededError](err)
		if !ok || no.Dimension != tt.dimension || no.Permanent != tt.permanent || no.Permanent != (no.Wait == 0) {
			t.Errorf("%s: refused with %v", tt.name, err)
		}
		if len(leases) != tt.want {
			t.Errorf("%s: %d admitted, want %d", tt.name, len(leases), tt.want)
		}
		for _, lease := range leases {
			lease.Settle(tt.cost)
		}
	}
	if _, err := l.Reserve(t.Context(), []quota.Account{tokens("local", 100), closed}, quota.Cost{}); !errors.Is(err, quota.ErrAway) {
		t.Errorf("closed: %v, want ErrAway", err)
	}
}

// TestWhatIsSpentAwayIsChargedOnce lets three processes spend while Redis is
// away: together no more than the budget, and all of it counts when it is back,
// also what is settled later (I3, I4, I7, I13).
func TestWhatIsSpentAwayIsChargedOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	p, url := s.slowed(t)
	a := quota.Account{ID: "money", Group: "g", Limits: quota.Limits{Budget: quota.Budget{Amount: 1000}}}
	var limiters []*redisquota.Limiter
	for range 3 {
		limiters = append(limiters, s.open(t, redisquota.Config{URL: url, Replicas: 3, Timeout: 50 * time.Millisecond}))
	}
	reserve(t, limiters[0], quota.Cost{Spend: 100}, a).Settle(quota.Cost{Spend: 100})
	before := reserve(t, limiters[0], quota.Cost{Spend: 50}, a)
	for _, l := range limiters {
		s.until("Redis has told what is left", func() bool { return look(t, l, a).Budget.Remaining == 850 })
	}
	p.Delay.Store(int64(time.Second))
	other := quota.Account{ID: "other", Group: "other", Limits: quota.Limits{Concurrency: 1000}}
	for _, l := range limiters {
		s.until("Redis is known to be away", func() bool {
			reserve(t, l, quota.Cost{}, other).Settle(quota.Cost{})
			return l.State().Away
		})
	}
	before.Settle(quota.Cost{Spend: 40})
	var open []*quota.Lease
	spent := 0
	for _, l := range limiters {
		leases, err := admits(t, l, quota.Cost{Spend: 9}, a)
		if no, ok := errors.AsType[*quota.ExceededError](err); !ok || no.Dimension != quota.Spend {
			t.Errorf("refused with %v", err)
		}
		if len(leases) != 850/3/9 {
			t.Errorf("%d admitted, want %d: a third of 850", len(leases), 850/3/9)
		}
		for i, lease := range leases {
			if i%2 == 0 {
				lease.Settle(quota.Cost{Spend: 4})
				spent += 4
			} else {
				open = append(open, lease)
			}
		}
	}
	p.Delay.Store(0)
	for _, l := range limiters {
		s.until("Redis is back and knows all", func() bool { state := l.State(); return !state.Away && state.Waiting == 0 })
	}
	want := int64(1000 - 140 - spent - 9*len(open))
	calm := s.open(t, redisquota.Config{})
	if got := look(t, calm, a).Budget.Remaining; got != want {
		t.Errorf("%d are left, want %d: what was reserved while Redis was away counts", got, want)
	}
	for _, lease := range open {
		lease.Settle(quota.Cost{Spend: 10})
	}
	want -= int64(len(open))
	s.until("what is settled later counts", func() bool { return look(t, calm, a).Budget.Remaining == want })
}

// TestLostBudgetsComeFromTheLedger empties Redis while a request runs: what the
// ledger knows counts, and what it cannot know yet is charged when it ends.
func TestLostBudgetsComeFromTheLedger(t *testing.T) {
	t.Parallel()
	s := start(t)
	var rows atomic.Int64
	l := s.open(t, redisquota.Config{Spent: func(context.Context, string, time.Time) (int64, error) { return rows.Load(), nil }})
	a := quota.Account{ID: "money", Group: "g", Limits: quota.Limits{Budget: quota.Budget{Amount: 1000}}}
	ended, runs, quick := reserve(t, l, quota.Cost{Spend: 100}, a), reserve(t, l, quota.Cost{Spend: 100}, a), reserve(t, l, quota.Cost{Spend: 10}, a)
	ended.Settle(quota.Cost{Spend: 70})
	rows.Add(70)
	s.flush(t)
	quick.Settle(quota.Cost{Spend: 5}) // before anyone asks the ledger, which knows it then
	rows.Add(5)
	if got := look(t, l, a).Budget.Remaining; got != 925 {
		t.Errorf("%d are left, want 925", got)
	}
	runs.Settle(quota.Cost{Spend: 60})
	if got := look(t, l, a).Budget.Remaining; got != 865 {
		t.Errorf("%d are left, want 865", got)
	}
}

// TestAllIsLostInAnAbsence kills Redis, which keeps nothing: the ledger tells
// what was spent, here and elsewhere, and nothing of it is charged again. What
// still runs it cannot know.
func TestAllIsLostInAnAbsence(t *testing.T) {
	t.Parallel()
	s := start(t)
	var rows atomic.Int64
	l := s.open(t, redisquota.Config{
		Timeout: patience,
		Spent:   func(context.Context, string, time.Time) (int64, error) { return rows.Load(), nil },
	})
	a := quota.Account{ID: "money", Group: "g", Limits: quota.Limits{Budget: quota.Budget{Amount: 1000}}}
	reserve(t, l, quota.Cost{Spend: 100}, a).Settle(quota.Cost{Spend: 100})
	rows.Add(100)
	s.away(t, l)
	runs, longer := reserve(t, l, quota.Cost{Spend: 50}, a), reserve(t, l, quota.Cost{Spend: 70}, a)
	reserve(t, l, quota.Cost{Spend: 300}, a).Settle(quota.Cost{Spend: 300})
	rows.Add(300)
	s.back(l)
	if got := look(t, l, a).Budget.Remaining; got != 480 {
		t.Errorf("%d are left, want 480", got)
	}
	runs.Settle(quota.Cost{Spend: 20})
	rows.Add(20)
	s.until("30 come back of what ran", func() bool { return look(t, l, a).Budget.Remaining == 510 })
	s.flush(t)
	if got := look(t, l, a).Budget.Remaining; got != 580 {
		t.Errorf("%d are left, want 580: nobody knows of what runs", got)
	}
	longer.Settle(quota.Cost{Spend: 30})
	s.until("what ran is charged", func() bool { return look(t, l, a).Budget.Remaining == 550 })
}

// TestReservationThatComesLateIsDead freezes Redis with a reservation on its way.
// The caller went on without it, so that it must not hold a slot (I3, I8).
func TestReservationThatComesLateIsDead(t *testing.T) {
	t.Parallel()
	s := start(t)
	p, url := s.slowed(t)
	l := s.open(t, redisquota.Config{URL: url, Timeout: 50 * time.Millisecond})
	a := tokens("team:a", 1000)
	a.Limits.Concurrency, a.Limits.Budget.Amount = 1000, 1000
	reserve(t, l, quota.Cost{Tokens: 1}, a).Settle(quota.Cost{Tokens: 1})
	p.Delay.Store(int64(300 * time.Millisecond))
	var leases []*quota.Lease
	s.until("Redis is known to be away", func() bool {
		leases = append(leases, reserve(t, l, quota.Cost{Tokens: 10, Spend: 10}, a))
		return l.State().Away
	})
	p.Delay.Store(0)
	for _, lease := range leases {
		lease.Settle(quota.Cost{Tokens: 10, Spend: 10})
	}
	s.until("Redis is back and knows all", func() bool { state := l.State(); return !state.Away && state.Waiting == 0 })
	want := int64(999 - 10*len(leases))
	s.until("each is charged once", func() bool {
		got := look(t, l, a)
		return got.Tokens.Remaining == want && got.Budget.Remaining == want+1 && s.slots(t, "weir:{g}:team%3Aa:leases") == 0
	})
}

// TestNewcomerIsCharged starts a process that cannot reach Redis, which others
// can: what it spends on the word of the ledger counts there later.
func TestNewcomerIsCharged(t *testing.T) {
	t.Parallel()
	s := start(t)
	p, url := s.slowed(t)
	p.Delay.Store(int64(time.Second))
	spent := func(context.Context, string, time.Time) (int64, error) { return 100, nil }
	old := s.open(t, redisquota.Config{Replicas: 2, Spent: spent})
	a := quota.Account{ID: "money", Group: "g", Limits: quota.Limits{Budget: quota.Budget{Amount: 1000}}}
	reserve(t, old, quota.Cost{Spend: 100}, a)
	l := s.open(t, redisquota.Config{URL: url, Replicas: 2, Spent: spent, Timeout: 20 * time.Millisecond})
	leases, _ := admits(t, l, quota.Cost{Spend: 50}, a)
	if len(leases) != 9 {
		t.Errorf("%d of 50 admitted, want 9: half of what the ledger leaves of 1000", len(leases))
	}
	p.Delay.Store(0)
	s.until("Redis is back and knows all", func() bool { state := l.State(); return !state.Away && state.Waiting == 0 })
	if got := look(t, old, a).Budget.Remaining; got != 350 {
		t.Errorf("%d are left, want 350", got)
	}
}
