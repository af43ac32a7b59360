package quotatest

import (
	"context"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/quota"
)

// Explorable is a store to be driven at random.
type Explorable struct {
	Store
	Grain  time.Duration // the clock's; 0: a nanosecond
	Steady bool          // the clock does not go back
}

// Explore drives a store and an oracle through the same random reservations,
// settlements, reloads and clock steps, in 100 times as many runs as rounds.
// Each run has accounts of its own. It holds of I1, I2, I3, I4, I5, I6, I8, I9,
// I10, I11 and I13 what a single process can show:
//
//   - I1, I2 and I5 in every step, of all intervals until then (pot);
//   - I3, I4, I10, I11 and I13 in that all levels are the oracle's in every step,
//     whatever was refused, settled twice or reloaded before;
//   - I6 in that the clock goes to and fro, I8 in that no slot is taken at the
//     end, I9 in that waits are obeyed, and not obeyed.
func Explore(t *testing.T, rounds int, open func(quota.Spent) Explorable) {
	t.Helper()
	e := &explorer{before: make(map[string]int64)}
	e.Explorable = open(e.spent)
	e.start = e.Now()
	for range rounds {
		rapid.Check(t, func(t *rapid.T) {
			m := e.machine(t)
			t.Repeat(map[string]func(*rapid.T){
				"":        m.check,
				"reserve": m.reserve,
				"settle":  m.settle,
				"retry":   m.retry,
				"advance": m.advance,
				"reload":  m.reload,
			})
			m.drain(t)
		})
	}
}

// explorer is a store over all runs on it.
type explorer struct {
	Explorable
	start time.Time     // what the clock showed first
	raw   time.Duration // what the clock shows since then
	now   time.Duration // the latest of it
	runs  int

	mu     sync.Mutex
	before map[string]int64 // what each account spent before
}

// spent is the ledger.
func (e *explorer) spent(_ context.Context, account string, _ time.Time) (int64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.before[account], nil
}
