package usage_test

import (
	"testing"
	"time"

	"weir/usage"
)

// TestOnce holds that a name is new once, over all ledgers of one database, until
// it is forgotten.
func TestOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store) {
		now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
		l := s.ledger(t, usage.LedgerConfig{Now: func() time.Time { return now }})
		for i, tt := range []struct {
			name string
			want bool
		}{{"a", true}, {"a", false}, {"b \x00\xff", true}, {"b \x00\xff", false}} {
			if got, err := l.Once(t.Context(), tt.name); err != nil || got != tt.want {
				t.Errorf("%d: Once(%q) = %t, %v, want %t", i, tt.name, got, err, tt.want)
			}
		}
		now = now.Add(401 * 24 * time.Hour)
		if got, err := l.Once(t.Context(), "a"); err != nil || !got {
			t.Errorf("after 401 days: %t, %v, want it to be forgotten", got, err)
		}
	})
}
