package dashboard

import (
	"math/bits"
	"time"
)

// histogram counts times in 80 bins, four to each doubling, so that a quantile is
// right to about a tenth.
type histogram [bins]uint32

const (
	bins     = 80
	perTwice = 4
)

// The shortest times that are told apart.
const (
	shortestWait     = time.Millisecond      // the longest is 17 minutes
	shortestOverhead = 10 * time.Microsecond // the longest is 10 seconds
)

// bin returns where a time is counted, in units of the shortest.
func bin(d, unit time.Duration) int {
	n := uint64(max(d, 0)) * perTwice / uint64(unit) //nolint:gosec // neither is negative
	if n < perTwice {
		return 0
	}
	shift := bits.Len64(n) - 3                                // n>>shift is 4 to 7
	return min(bins-1, shift*perTwice+int(n>>shift)-perTwice) //nolint:gosec // it is at most 7
}

// edge returns where a bin begins.
func edge(i int, unit time.Duration) float64 {
	if i <= 0 {
		return 0
	}
	return float64(unit) * float64(uint64(1)<<(i/perTwice)) * (1 + float64(i%perTwice)/perTwice)
}

func (h *histogram) observe(d, unit time.Duration) { h[bin(d, unit)]++ }

func (h *histogram) add(o *histogram) {
	for i := range h {
		h[i] += o[i]
	}
}

// quantile returns the time that the share q is not longer than, in milliseconds,
// and false where nothing was counted.
func (h *histogram) quantile(q float64, unit time.Duration) (ms float64, ok bool) {
	total := uint64(0)
	for _, n := range h {
		total += uint64(n)
	}
	if total == 0 {
		return 0, false
	}
	rank, below := q*float64(total), 0.
	for i, n := range h {
		if n == 0 {
			continue
		}
		if below+float64(n) >= rank {
			from, to := edge(i, unit), edge(i+1, unit)
			return (from + (to-from)*(rank-below)/float64(n)) / float64(time.Millisecond), true
		}
		below += float64(n)
	}
	return edge(bins, unit) / float64(time.Millisecond), true
}
