package usage

import (
	"math"
	"strconv"
)

// USD is an amount of money in billionths of a US dollar, so that the price of
// one token is a whole number. An int64 holds nine milliards of dollars.
type USD int64

// Dollar is one US dollar.
const Dollar USD = 1e9

// Dollars returns the amount in dollars, for those who show it; sums are made of
// the amounts themselves.
func (u USD) Dollars() float64 { return float64(u) / float64(Dollar) }

// Plus returns the sum of two amounts that are not negative, or the most that there
// is.
func (u USD) Plus(v USD) USD {
	if u > math.MaxInt64-v {
		return math.MaxInt64
	}
	return u + v
}

// String returns the amount with its sign and as many decimals as it has, two at
// least: $12.50, $0.0000025.
func (u USD) String() string {
	sign, n := "$", uint64(u) //nolint:gosec // a negative amount is negated below
	if u < 0 {
		sign, n = "-$", -n
	}
	whole, rest := n/uint64(Dollar), strconv.FormatUint(n%uint64(Dollar)+uint64(Dollar), 10)[1:]
	for len(rest) > 2 && rest[len(rest)-1] == '0' {
		rest = rest[:len(rest)-1]
	}
	return sign + strconv.FormatUint(whole, 10) + "." + rest
}
