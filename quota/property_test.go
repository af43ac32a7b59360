package quota_test

import (
	"fmt"
	"testing"

	"weir/quota"
	"weir/quota/quotatest"
)

// TestMemoryDoesAsTheOracle drives memories at random: 10,000 runs.
func TestMemoryDoesAsTheOracle(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		t.Run(fmt.Sprintf("part %d", i), func(t *testing.T) {
			t.Parallel()
			quotatest.Explore(t, 25, func(spent quota.Spent) quotatest.Explorable {
				c := newClock()
				return quotatest.Explorable{Store: quotatest.Store{
					Limiter: quota.NewMemory(quota.MemoryConfig{Now: c.Now, Spent: spent}), Advance: c.Advance, Now: c.Now,
				}}
			})
		})
	}
}
