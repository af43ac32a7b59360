package quota

import (
	"testing"
	"time"
)

// TestFurtherLeaseKeepsItsAccount holds that an account is not forgotten before the
// last of its leases is settled, also where that one has no slot: what it used would
// be charged to nobody.
func TestFurtherLeaseKeepsItsAccount(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	m := NewMemory(MemoryConfig{Now: func() time.Time { return now }})
	a := []Account{{ID: "team:a", Limits: Limits{RequestsPerMinute: 60, TokensPerMinute: 60, Concurrency: 1}}}
	reserve := func(cost Cost) *Lease {
		t.Helper()
		lease, err := m.Reserve(t.Context(), a, cost)
		if err != nil {
			t.Fatal(err)
		}
		return lease
	}
	first, second := reserve(Cost{Requests: 1}), reserve(Cost{Tokens: 10, Further: true})
	now = now.Add(time.Hour)
	first.Settle(Cost{Requests: 1})
	now = now.Add(time.Hour)
	if _, err := m.Reserve(t.Context(), []Account{{ID: "team:b", Limits: a[0].Limits}}, Cost{}); err != nil { // which looks for idle ones
		t.Fatal(err)
	}
	second.Settle(Cost{Tokens: 50})
	if s := m.Levels(a)[0]; s.Tokens.Remaining != 20 || s.Slots.Remaining != 1 {
		t.Errorf("%d tokens and %d slots are left, want 20 and 1", s.Tokens.Remaining, s.Slots.Remaining)
	}
}
