package usage_test

import (
	"math"
	"testing"

	"weir/usage"
)

// TestUSD holds how amounts are shown.
func TestUSD(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		amount  usage.USD
		text    string
		dollars float64
	}{
		{"nothing", 0, "$0.00", 0},
		{"a dollar", usage.Dollar, "$1.00", 1},
		{"two decimals", 12*usage.Dollar + usage.Dollar/2, "$12.50", 12.5},
		{"a cent", usage.Dollar / 100, "$0.01", 0.01},
		{"as many decimals as it has", 2500, "$0.0000025", 0.0000025},
		{"the smallest", 1, "$0.000000001", 1e-9},
		{"no zeros behind", 1_230_000_000, "$1.23", 1.23},
		{"a debt", -1_500_000_001, "-$1.500000001", -1.500000001},
		{"the largest", math.MaxInt64, "$9223372036.854775807", 9223372036.854775807},
		{"the smallest of all", math.MinInt64, "-$9223372036.854775808", -9223372036.854775808},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.amount.String(); got != tt.text {
				t.Errorf("String() = %q, want %q", got, tt.text)
			}
			if got := tt.amount.Dollars(); got != tt.dollars {
				t.Errorf("Dollars() = %v, want %v", got, tt.dollars)
			}
		})
	}
}
