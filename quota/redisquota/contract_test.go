package redisquota_test

import (
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

// TestRedisIsALimiter runs the suite on the server's own clock.
func TestRedisIsALimiter(t *testing.T) {
	t.Parallel()
	s := start(t, "--databases", databases)
	quotatest.Run(t, func(t *testing.T, spent quota.Spent) quotatest.Store {
		t.Helper()
		l := s.open(t, redisquota.Config{URL: s.next(), Spent: spent, Slice: redisquota.Slice{Rate: -1}})
		return quotatest.Store{
			Limiter: l, Resolution: 100 * time.Millisecond, Now: s.now,
			Advance: func(d time.Duration) {
				due := s.now().Add(d)
				<-time.After(d)
				s.until("the server's clock goes on", func() bool { return !s.now().Before(due) })
			},
		}
	})
}

// TestScriptsAreALimiter runs the suite on a clock that stands still, as that
// of Memory does: to the token, and to the millisecond.
func TestScriptsAreALimiter(t *testing.T) {
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
