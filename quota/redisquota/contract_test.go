package redisquota_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"weir/quota"
	"weir/quota/quotatest"
	"weir/quota/redisquota"
)

// databases is how many stores the suite opens at most on one server.
const databases = "64"

// TestRedisIsALimiter runs the suite on a clock that stands still, as that of
// Memory does: to the token, and to the millisecond.
func TestRedisIsALimiter(t *testing.T) {
	t.Parallel()
	s := start(t, "--databases", databases)
	quotatest.Run(t, func(t *testing.T, spent quota.Spent) quotatest.Store {
		t.Helper()
		url := s.next()
		c := newClock(t, url)
		cfg := redisquota.Config{URL: url, Spent: spent, TTL: 1000 * time.Hour, Slice: redisquota.Slice{Rate: -1}}
		l := s.open(t, redisquota.Virtual(cfg, clockKey))
		return quotatest.Store{Limiter: l, Advance: c.Advance, Now: c.Now}
	})
}

// TestServersClockDecides holds, on the clock that the server has, that what flows in
// and how long a refusal lasts go by it, however long the trips take.
func TestServersClockDecides(t *testing.T) {
	t.Parallel()
	const perSecond, burst, part = 100, 50, 40
	s := start(t)
	l := s.open(t, redisquota.Config{Slice: redisquota.Slice{Rate: -1}})
	refused := 0
	s.until("three refusals were obeyed", func() bool {
		a := quota.Account{ID: "team:" + s.now().String(), Group: "g", Limits: quota.Limits{TokensPerMinute: 60 * perSecond, BurstTokens: burst}}
		began := s.now()
		reserve(t, l, quota.Cost{Tokens: burst}, a)
		emptied := s.now()
		lease, err := l.Reserve(t.Context(), []quota.Account{a}, quota.Cost{Tokens: part})
		passed := s.now().Sub(began)
		no, ok := errors.AsType[*quota.ExceededError](err)
		const whole = part * time.Second / perSecond
		if lease != nil && passed < whole || err != nil && !ok || ok && (no.Wait > whole+time.Millisecond || no.Wait < whole-passed) {
			t.Fatalf("%v after it was emptied %v are wanted of it: %v", passed, part, err)
		}
		if !ok {
			return false // a busy machine took as long as they took to flow in
		}
		due := s.now().Add(no.Wait)
		s.until("the server's clock goes on", func() bool { return !s.now().Before(due) })
		least := s.now().Sub(emptied).Seconds() * perSecond
		left := float64(look(t, l, a).Tokens.Remaining)
		if most := s.now().Sub(began).Seconds() * perSecond; left < min(least, burst)-1 || left > most {
			t.Fatalf("%v are left of %v to %v", left, least, most)
		}
		reserve(t, l, quota.Cost{Tokens: part}, a)
		refused++
		return refused == 3
	})
}

// clockKey is where a virtual clock is.
const clockKey = "clock"

// clock is a time in Redis that moves when told to.
type clock struct {
	t      *testing.T
	client *redis.Client
	mu     sync.Mutex
	now    time.Time
}

// newClock puts a clock into a database.
func newClock(t *testing.T, url string) *clock {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{t: t, client: redis.NewClient(o), now: time.Date(2026, 11, 22, 23, 59, 59, 0, time.UTC)}
	t.Cleanup(func() { c.client.Close() })
	c.Advance(0)
	return c
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	if err := c.client.Set(c.t.Context(), clockKey, c.now.UnixMicro(), 0).Err(); err != nil {
		c.t.Fatal(err)
	}
}

// TestScriptsDoAsTheOracle drives the scripts at random on a clock that moves
// when told to: 400 runs, or 10,000 with -rapid.checks=2500.
func TestScriptsDoAsTheOracle(t *testing.T) {
	t.Parallel()
	s := start(t, "--databases", databases)
	for i := range 2 {
		t.Run(fmt.Sprintf("part %d", i), func(t *testing.T) {
			t.Parallel()
			quotatest.Explore(t, 2, func(spent quota.Spent) quotatest.Explorable {
				url := s.next()
				c := newClock(t, url)
				cfg := redisquota.Config{URL: url, Spent: spent, TTL: 1 << 60, Slice: redisquota.Slice{Rate: -1}}
				l := s.open(t, redisquota.Virtual(cfg, clockKey))
				return quotatest.Explorable{
					Store: quotatest.Store{Limiter: l, Advance: c.Advance, Now: c.Now},
					Grain: time.Microsecond, Steady: true,
				}
			})
		})
	}
}
