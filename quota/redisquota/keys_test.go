package redisquota

import (
	"strings"
	"testing"
)

// TestKeysOfAGroupShareASlot holds that names cannot break the slot of a cluster:
// it is chosen by what is in the first pair of braces.
func TestKeysOfAGroupShareASlot(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name           string
		group, account string
		hash           string
	}{
		{"plain", "search", "team:search", "weir:{search}:team%3Asearch"},
		{"no group", "", "team:search", "weir:{-}:team%3Asearch"},
		{"braces", "}{a}", "key:{b}", "weir:{%7D%7Ba%7D}:key%3A%7Bb%7D"},
		{"what looks like leases", "g", "a:leases", "weir:{g}:a%3Aleases"},
		{"bytes", "\x00\xff", "é ", "weir:{%00%FF}:%C3%A9+"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			hash, leases := keys(tt.group, tt.account)
			if hash != tt.hash || leases != tt.hash+":leases" {
				t.Errorf("keys(%q, %q) = %q, %q, want %q", tt.group, tt.account, hash, leases, tt.hash)
			}
			if strings.Count(hash, "{") != 1 || strings.Count(hash, "}") != 1 || strings.Contains(hash, "{}") {
				t.Errorf("%q has not one slot", hash)
			}
		})
	}
}
