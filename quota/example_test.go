package quota_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weir/quota"
)

func ExampleMemory() {
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	limiter := quota.NewMemory(quota.MemoryConfig{Now: func() time.Time { return noon }})
	team := []quota.Account{{ID: "team:search", Limits: quota.Limits{TokensPerMinute: 6000}}}
	ctx := context.Background()

	// A prompt of 1,000 tokens that may be answered by 4,000.
	lease, err := limiter.Reserve(ctx, team, quota.Cost{Requests: 1, Tokens: 5000})
	fmt.Println(lease.Snapshot().Tokens.Remaining, err)

	_, err = limiter.Reserve(ctx, team, quota.Cost{Requests: 1, Tokens: 3000})
	if no, ok := errors.AsType[*quota.ExceededError](err); ok {
		fmt.Println(no.Dimension, no.Wait)
	}

	// The answer had 500, so the next fits at once.
	lease.Settle(quota.Cost{Requests: 1, Tokens: 1500})
	lease, err = limiter.Reserve(ctx, team, quota.Cost{Requests: 1, Tokens: 3000})
	fmt.Println(lease.Snapshot().Tokens.Remaining, err)
	// Output:
	// 1000 <nil>
	// tokens 20s
	// 1500 <nil>
}
