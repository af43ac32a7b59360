package quota

import (
	"strconv"
	"testing"
	"time"
)

func TestIdleAccountsAreForgotten(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	m := NewMemory(MemoryConfig{Now: func() time.Time { return now }})
	limits := Limits{RequestsPerMinute: 60, TokensPerMinute: 60, Concurrency: 2}
	reserve := func(id string, actual Cost) *Lease {
		t.Helper()
		lease, err := m.Reserve(t.Context(), []Account{{ID: "team:all"}, {ID: id, Limits: limits}}, Cost{Requests: 1})
		if err != nil {
			t.Fatal(err)
		}
		if actual.Requests > 0 {
			lease.Settle(actual)
		}
		return lease
	}
	held := reserve("team:held", Cost{})
	reserve("team:debt", Cost{Requests: 1 << 30})
	largest := 0
	for i := range 10_000 {
		now = now.Add(100 * time.Millisecond)
		reserve("key:"+strconv.Itoa(i), Cost{Requests: 1})
		largest = max(largest, len(m.accounts))
		if len(m.accounts) != len(m.order) {
			t.Fatalf("%d accounts, %d of them in order", len(m.accounts), len(m.order))
		}
	}
	// A hundred are in use at a time; as many again wait to be looked at.
	if largest > 250 {
		t.Errorf("%d of 10,000 accounts are kept at a time, want some 200", largest)
	}
	if m.accounts["team:held"] == nil || m.accounts["team:debt"] == nil || m.accounts["team:all"] != nil {
		t.Error("an account with a lease or a debt is forgotten, or one without limits is counted")
	}
	held.Settle(Cost{Requests: 1})
	now = now.Add(time.Hour)
	for range 3 * largest {
		now = now.Add(time.Second)
		reserve("team:last", Cost{Requests: 1})
	}
	if len(m.accounts) != 2 || m.accounts["team:held"] != nil {
		t.Errorf("%d accounts are left, want the last one and the debt", len(m.accounts))
	}
}
