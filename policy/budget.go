package policy

import "time"

// What a Budget holds and earns. In a storm a tenth of the requests is what counts;
// the rest is for quiet times, where the few faults there are have nothing to do
// with load: a hundred in a row are tried again, and one every ten seconds.
const (
	fullBudget  = 100.0
	earnRequest = 0.1
	earnSecond  = 0.1
	costRetry   = 1.0
)

// Budget says how many requests may be tried again for those that come: retries of
// a deployment that has too much to do only give it more. It is not safe for
// concurrent use.
type Budget struct {
	left float64
	at   time.Time
}

// NewBudget returns a Budget that is full.
func NewBudget(now time.Time) Budget { return Budget{left: fullBudget, at: now} }

// Request counts a request.
func (b *Budget) Request(now time.Time) {
	b.earn(now)
	b.left = min(fullBudget, b.left+earnRequest)
}

// Retry takes a retry out of the budget, where it holds one.
func (b *Budget) Retry(now time.Time) bool {
	b.earn(now)
	if b.left < costRetry {
		return false
	}
	b.left -= costRetry
	return true
}

// earn adds what time alone brings. Time that runs backward brings nothing.
func (b *Budget) earn(now time.Time) {
	if passed := now.Sub(b.at); passed > 0 {
		b.left, b.at = min(fullBudget, b.left+earnSecond*passed.Seconds()), now
	}
}
