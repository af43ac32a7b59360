package main

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"time"

	"weir/policy"
	"weir/quota"
	"weir/usage"
)

// strategy is a way of setting tokens aside.
type strategy struct {
	name string

	// reserve returns the tokens to reserve for a request of a team that has so
	// much at once.
	reserve func(o *usage.Outputs, t *team, r request) int64
}

// strategies returns those that are compared. The last is none that can be had: it
// knows what nobody does.
func strategies() []strategy {
	window := policy.Window{MaxOutput: modelOutput}
	usual := func(t *team, r request, usual int64) int64 {
		return window.Reserve(policy.Fitted{Prompt: r.prompt, Output: r.bound}, usual, 1, t.perMinute)
	}
	return []strategy{
		{"learned (P90)", func(o *usage.Outputs, t *team, r request) int64 {
			n, _ := o.Quantile(t.name, model, 0.9)
			return usual(t, r, n)
		}},
		{"flat 1,024", func(_ *usage.Outputs, t *team, r request) int64 { return usual(t, r, 1024) }},
		{"full max_tokens", func(_ *usage.Outputs, t *team, r request) int64 { return usual(t, r, modelOutput) }},
		{"charged afterwards", func(*usage.Outputs, *team, request) int64 { return 0 }},
		{"(known beforehand)", func(_ *usage.Outputs, _ *team, r request) int64 { return r.prompt + r.used() }},
	}
}

const model = "gpt-4o"

// running is a request that was admitted.
type running struct {
	request
	ends  time.Duration
	lease *quota.Lease
}

// queue holds what runs, the first to end first.
type queue []running

func (q *queue) Len() int           { return len(*q) }
func (q *queue) Less(i, j int) bool { return (*q)[i].ends < (*q)[j].ends }
func (q *queue) Swap(i, j int)      { (*q)[i], (*q)[j] = (*q)[j], (*q)[i] }

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	if r, ok := x.(running); ok {
		*q = append(*q, r)
	}
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	r := (*q)[last]
	*q = (*q)[:last]
	return r
}

// replay sends the trace through a strategy and returns what became of it, by team.
// A request that is refused does not come again.
func replay(ctx context.Context, s strategy, teams []team, all []request, length time.Duration) ([]result, error) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := start
	limiter := quota.NewMemory(quota.MemoryConfig{Now: func() time.Time { return now }})
	outputs := new(usage.Outputs)
	meters := make([]meter, len(teams))
	for i := range meters {
		meters[i] = newMeter(teams[i].perMinute, length)
	}
	var open queue
	end := func(until time.Duration) {
		for len(open) > 0 && open[0].ends <= until {
			r, _ := heap.Pop(&open).(running)
			now = start.Add(r.ends)
			r.lease.Settle(quota.Cost{Requests: 1, Tokens: r.prompt + r.used()})
			outputs.Take(ctx, &usage.Record{Team: teams[r.team].name, Model: model, Outcome: usage.OK, Output: r.used(), Bound: r.bound})
		}
	}
	for _, r := range all {
		end(r.at)
		now = start.Add(r.at)
		t := &teams[r.team]
		accounts := []quota.Account{{ID: "team:" + t.name, Limits: quota.Limits{TokensPerMinute: t.perMinute}}}
		lease, err := limiter.Reserve(ctx, accounts, quota.Cost{Requests: 1, Tokens: s.reserve(outputs, t, r)})
		if _, refused := errors.AsType[*quota.ExceededError](err); refused {
			meters[r.team].refuse(r.at)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("replaying %s: %w", s.name, err)
		}
		meters[r.team].admit(r)
		heap.Push(&open, running{r, r.at + r.lasts(), lease})
	}
	end(1 << 62)
	results := make([]result, len(teams))
	for i := range meters {
		results[i] = meters[i].result()
	}
	return results, nil
}
