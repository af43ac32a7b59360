package redisquota_test

import (
	"testing"

	"weir/quota"
	"weir/quota/redisquota"
)

// TestGivenUpIsDead gives a reservation up before it comes to Redis: it takes
// nothing when it comes (I3, I8).
func TestGivenUpIsDead(t *testing.T) {
	t.Parallel()
	s := start(t)
	l := s.open(t, redisquota.Config{})
	a := tokens("team:a", 100)
	a.Limits.Concurrency = 1
	status, err := l.GiveUpThenAsk(t.Context(), []quota.Account{a}, quota.Cost{Tokens: 50})
	if err != nil || status != "dead" {
		t.Errorf("the script answers %q, %v, want dead", status, err)
	}
	if got := look(t, l, a).Tokens.Remaining; got != 100 {
		t.Errorf("%d are left, want 100", got)
	}
}

// TestUnheardIsGivenBack gives up a reservation that Redis has made, which told
// nobody: all of it comes back, once (I3, I4).
func TestUnheardIsGivenBack(t *testing.T) {
	t.Parallel()
	s := start(t)
	l := s.open(t, redisquota.Config{})
	a := tokens("team:a", 100)
	a.Limits.Concurrency, a.Limits.Budget.Amount = 2, 1000
	reserve(t, l, quota.Cost{Tokens: 20, Spend: 300}, a)
	status, err := l.AskThenGiveUp(t.Context(), []quota.Account{a}, quota.Cost{Tokens: 50, Spend: 500})
	if err != nil || status != "admitted" {
		t.Fatalf("the script answers %q, %v, want admitted", status, err)
	}
	if got := look(t, l, a); got.Tokens.Remaining != 80 || got.Budget.Remaining != 700 {
		t.Errorf("%+v is left, want 80 tokens and 700 of money", got)
	}
}

// TestChargesCountOnce tells Redis twice of what was used without it, as where
// its first answer was lost. Its buckets pay what they have, and owe nothing; its
// budgets pay all (I4).
func TestChargesCountOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	l := s.open(t, redisquota.Config{})
	a := tokens("team:a", 100)
	a.Limits.Budget.Amount = 1000
	reserve(t, l, quota.Cost{Tokens: 10, Spend: 400}, a)
	charge := func(cost quota.Cost) {
		t.Helper()
		if err := l.ChargeTwice(t.Context(), a, cost); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		cost          quota.Cost
		tokens, money int64 // left
	}{
		{quota.Cost{Tokens: 30, Spend: 100}, 60, 500},
		{quota.Cost{Tokens: 70, Spend: 100}, 0, 400},
		{quota.Cost{Tokens: 5, Spend: 500}, 0, 0},
	} {
		charge(step.cost)
		got := look(t, l, a)
		if got.Tokens.Remaining != step.tokens || got.Budget.Remaining != step.money {
			t.Errorf("after %+v: %+v, want %d tokens and %d of money", step.cost, got, step.tokens, step.money)
		}
	}
	rate := tokens("team:a", 100)
	reserve(t, l, quota.Cost{}, rate) // not in debt
}
