package quota_test

import (
	"sync"
	"testing"
	"time"

	"weir/quota"
	"weir/quota/quotatest"
)

// clock is a time that moves when told to, forwards or backwards.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 22, 23, 59, 59, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestMemoryIsALimiter(t *testing.T) {
	t.Parallel()
	quotatest.Run(t, func(*testing.T) quotatest.Store {
		c := newClock()
		return quotatest.Store{Limiter: quota.NewMemory(quota.MemoryConfig{Now: c.Now}), Advance: c.Advance}
	})
}
