package redisquota_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/quota"
	"weir/quota/redisquota"
)

// tokens returns an account with a bucket of tokens into which hardly anything
// flows.
func tokens(id string, burst int64) quota.Account {
	return quota.Account{ID: id, Group: "g", Limits: quota.Limits{TokensPerMinute: 1, BurstTokens: burst}}
}

// reserve reserves and fails if that is refused.
func reserve(t *testing.T, l quota.Limiter, cost quota.Cost, accounts ...quota.Account) *quota.Lease {
	t.Helper()
	lease, err := l.Reserve(t.Context(), accounts, cost)
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

// look returns the levels without a change to them.
func look(t *testing.T, l quota.Limiter, accounts ...quota.Account) quota.Snapshot {
	t.Helper()
	lease, err := l.Reserve(t.Context(), accounts, quota.Cost{})
	if no, ok := errors.AsType[*quota.ExceededError](err); ok {
		return no.Snapshot
	}
	if err != nil {
		t.Fatal(err)
	}
	lease.Settle(quota.Cost{})
	return lease.Snapshot()
}

// TestContentionNeverPassesTheBound presses against one bucket from 256
// goroutines for a while: not one too many is admitted (I1).
func TestContentionNeverPassesTheBound(t *testing.T) {
	t.Parallel()
	s := start(t)
	l := s.open(t, redisquota.Config{Slice: redisquota.Slice{Rate: -1}})
	const perSecond, burst = 300, 100
	a := quota.Account{ID: "team:a", Limits: quota.Limits{TokensPerMinute: 60 * perSecond, BurstTokens: burst}}
	began := s.now()
	var admitted, calls atomic.Int64
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for calls.Add(1) < 10_000 {
				lease, err := l.Reserve(t.Context(), []quota.Account{a}, quota.Cost{Tokens: 3})
				if err == nil {
					admitted.Add(3)
					lease.Settle(quota.Cost{Tokens: 3})
				} else if _, refused := errors.AsType[*quota.ExceededError](err); !refused {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got, most := float64(admitted.Load()), burst+perSecond*s.now().Sub(began).Seconds(); got > most {
		t.Errorf("%v admitted, want at most %v", got, most)
	}
}

// TestClusterKeepsAGroupTogether runs against a server that refuses a script
// whose keys are in several slots.
func TestClusterKeepsAGroupTogether(t *testing.T) {
	t.Parallel()
	// The members of a cluster have a port of their own, and this process an address.
	pid := os.Getpid()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+pid>>16%254, pid>>8%256, 1+pid%254))
	if err != nil {
		t.Fatal(err)
	}
	address, port, _ := strings.Cut(listener.Addr().String(), ":")
	_ = listener.Close()
	s := start(t, "--cluster-enabled", "yes", "--bind", address, "--cluster-port", port)
	if err := s.client.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	s.until("the cluster is up", func() bool {
		info, err := s.client.ClusterInfo(t.Context()).Result()
		return err == nil && strings.Contains(info, "cluster_state:ok")
	})
	l := s.open(t, redisquota.Config{})
	for _, group := range []string{"search", "}{", ""} {
		team, key := tokens("team:}{", 10), tokens("key:{a}{b}", 10)
		team.Group, key.Group = group, group
		reserve(t, l, quota.Cost{Tokens: 4}, team, key).Settle(quota.Cost{Tokens: 3})
		if got := look(t, l, key, team).Tokens.Remaining; got != 7 {
			t.Errorf("%q: %d are left, want 7", group, got)
		}
	}
	if _, err := l.Reserve(t.Context(), []quota.Account{tokens("a", 1), {ID: "b", Group: "h", Limits: quota.Limits{Concurrency: 1}}}, quota.Cost{}); err == nil {
		t.Error("accounts of two groups are reserved together")
	}
}

// TestLeasesOfTheDeadExpire kills a process that holds all slots: they come
// back, what it took stays taken, and a settlement that is late still counts,
// once (I3, I4, I8).
func TestLeasesOfTheDeadExpire(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := newClock(t, s.url())
	cfg := redisquota.Virtual(redisquota.Config{TTL: 30 * time.Second}, clockKey)
	dead, alive := s.open(t, cfg), s.open(t, cfg)
	a := tokens("team:a", 100)
	a.Limits.Concurrency = 2
	late := reserve(t, dead, quota.Cost{Tokens: 10}, a)
	reserve(t, dead, quota.Cost{Tokens: 10}, a)
	c.Advance(30*time.Second - time.Millisecond)
	_, err := alive.Reserve(t.Context(), []quota.Account{a}, quota.Cost{})
	if no, ok := errors.AsType[*quota.ExceededError](err); !ok || no.Dimension != quota.Concurrency {
		t.Fatalf("before the leases expire: %v, want a refusal by concurrency", err)
	}
	c.Advance(time.Millisecond)
	first, second := reserve(t, alive, quota.Cost{}, a), reserve(t, alive, quota.Cost{}, a)
	if got := first.Snapshot().Tokens.Remaining; got != 80 {
		t.Errorf("%d are left, want 80: what the dead took stays taken", got)
	}
	late.Settle(quota.Cost{Tokens: 25})
	first.Settle(quota.Cost{})
	second.Settle(quota.Cost{})
	if got := look(t, alive, a).Tokens.Remaining; got != 65 {
		t.Errorf("%d are left, want 65: 25 of the late one and 10 of the other", got)
	}
}

// TestOpenLeasesAreRenewed holds that a long answer keeps its slot, and that what was
// taken further is kept without one: whenever the keeper comes by, they last for
// their whole life again.
func TestOpenLeasesAreRenewed(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := newClock(t, s.url())
	const life = 300 * time.Millisecond
	cfg := redisquota.Virtual(redisquota.Config{TTL: life}, clockKey)
	l, other := s.open(t, cfg), s.open(t, cfg)
	a := quota.Account{ID: "team:a", Group: "g", Limits: quota.Limits{Concurrency: 1}}
	lease, more := reserve(t, l, quota.Cost{}, a), reserve(t, l, quota.Cost{Further: true}, a)
	for range 5 {
		c.Advance(2 * life / 3)
		end := float64(c.Now().Add(life).UnixMilli())
		s.until("both are renewed", func() bool {
			known, err := s.client.ZRangeWithScores(t.Context(), "weir:{g}:team%3Aa:leases", 0, -1).Result()
			return err == nil && len(known) == 2 && known[0].Score == -end && known[1].Score == end
		})
		if _, err := other.Reserve(t.Context(), []quota.Account{a}, quota.Cost{}); err == nil {
			t.Fatal("a slot that is taken is given to another")
		}
	}
	lease.Settle(quota.Cost{})
	more.Settle(quota.Cost{})
	if n := s.client.ZCard(t.Context(), "weir:{g}:team%3Aa:leases").Val(); n != 0 {
		t.Errorf("%d leases are known, want none", n)
	}
}

// TestClockThatGoesBackAddsNothing steps Redis's clock to and fro (I6).
func TestClockThatGoesBackAddsNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := newClock(t, s.url())
	l := s.open(t, redisquota.Virtual(redisquota.Config{}, clockKey))
	a := quota.Account{ID: "team:a", Limits: quota.Limits{TokensPerMinute: 60, BurstTokens: 100}}
	reserve(t, l, quota.Cost{Tokens: 100}, a)
	for _, step := range []struct {
		by   time.Duration
		want int64
	}{{-time.Hour, 0}, {time.Hour, 0}, {10 * time.Second, 10}, {-10 * time.Second, 10}, {10 * time.Second, 10}, {-5 * time.Second, 10}, {8 * time.Second, 13}, {1000 * time.Hour, 100}} {
		c.Advance(step.by)
		if got := look(t, l, a).Tokens.Remaining; got != step.want {
			t.Errorf("after %v: %d are left, want %d", step.by, got, step.want)
		}
	}
}

// TestKeysExpireByThemselves holds that nothing is left of an account that is as
// good as new but its leases' names, for an hour.
func TestKeysExpireByThemselves(t *testing.T) {
	t.Parallel()
	s := start(t)
	l := s.open(t, redisquota.Config{})
	rate := quota.Account{ID: "rate", Group: "g", Limits: quota.Limits{TokensPerMinute: 60, BurstTokens: 100}}
	reserve(t, l, quota.Cost{Tokens: 30}, rate).Settle(quota.Cost{Tokens: 60})
	money := quota.Account{ID: "money", Group: "g", Limits: quota.Limits{Budget: quota.Budget{Amount: 10}}}
	reserve(t, l, quota.Cost{Spend: 3}, money)
	_, until := money.Limits.Budget.Window(s.now())
	for key, want := range map[string]time.Duration{
		"weir:{g}:rate": 70 * time.Second, "weir:{g}:money": until.Sub(s.now()) + time.Hour + 10*time.Second,
	} {
		got, err := s.client.PTTL(t.Context(), key).Result()
		if err != nil || got > want+time.Second || got < want-time.Minute {
			t.Errorf("%s lasts %v (%v), want %v", key, got, err, want)
		}
	}
	if got := s.client.PTTL(t.Context(), "weir:{g}:money:leases").Val(); got <= 0 || got > time.Hour+time.Minute {
		t.Errorf("the names of leases last %v, want an hour", got)
	}
}

// TestLedgerIsAskedOnce opens a window from many goroutines and two processes.
func TestLedgerIsAskedOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	var asked atomic.Int64
	release := make(chan struct{})
	spent := func(context.Context, string, time.Time) (int64, error) {
		asked.Add(1)
		<-release
		return 900, nil
	}
	one, two := s.open(t, redisquota.Config{Spent: spent}), s.open(t, redisquota.Config{Spent: spent})
	a := quota.Account{ID: "team:a", Limits: quota.Limits{Budget: quota.Budget{Amount: 1000}}}
	var admitted atomic.Int64
	var wg sync.WaitGroup
	for range 40 {
		for _, l := range []*redisquota.Limiter{one, two} {
			wg.Go(func() {
				if _, err := l.Reserve(t.Context(), []quota.Account{a}, quota.Cost{Spend: 5}); err == nil {
					admitted.Add(1)
				}
			})
		}
	}
	s.until("both ask the ledger", func() bool { return asked.Load() == 2 })
	close(release)
	wg.Wait()
	if got := admitted.Load(); got != 20 {
		t.Errorf("%d of 80 at 5 are admitted to what is left of 1000 after 900, want 20", got)
	}
	if got := asked.Load(); got != 2 {
		t.Errorf("the ledger was asked %d times, want once by each process", got)
	}
}
