// Package quota keeps each account within its allowance: a request reserves
// the most it may cost before it starts and settles for what it used.
//
// Every Lease is settled exactly once, whatever became of the request: what
// was reserved and not used goes back, what was used beyond it is a debt that
// later requests wait for. Nothing in this package sleeps, starts a goroutine
// or knows what a request is.
package quota

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Limits are what an account may use. Zero means no limit in that dimension.
//
// A minute's allowance flows in evenly and is kept up to the burst, so any
// interval admits at most the burst and what flowed in meanwhile. A burst
// without its allowance means nothing.
type Limits struct {
	RequestsPerMinute int64 // how many requests flow in each minute
	TokensPerMinute   int64 // how many tokens flow in each minute
	Concurrency       int64 // most leases open at a time
	BurstRequests     int64 // most requests at once; 0: one minute's allowance
	BurstTokens       int64 // most tokens at once; 0: one minute's allowance
	Budget            Budget
}

// limited reports whether l restrains anything.
func (l Limits) limited() bool {
	return l.RequestsPerMinute > 0 || l.TokensPerMinute > 0 || l.Concurrency > 0 || l.Budget.Amount > 0
}

// negative reports whether a number of l is below zero.
func (l Limits) negative() bool {
	return min(l.RequestsPerMinute, l.TokensPerMinute, l.Concurrency, l.BurstRequests, l.BurstTokens, l.Budget.Amount) < 0
}

// Account is one holder of an allowance: a team, or a key.
type Account struct {
	ID     string // its identity over reloads, such as "team:search" or "key:search-prod"
	Limits Limits // what it may use from now on

	// Group is whose account it is: the team, for the team's own and for those of
	// its keys. Accounts that are reserved together share it, so that a store
	// that is spread over machines can keep them on one.
	Group string

	// Away is what becomes of the account while a store that replicas share
	// cannot be reached. A store in memory is never away.
	Away Away
}

// Away says what becomes of an account while the store that counts it is away.
type Away int8

// What becomes of an account while its store is away.
const (
	AwayLocal  Away = iota // this process's share of the limits holds
	AwayOpen               // only the budget's share holds
	AwayClosed             // nothing is admitted
)

// ErrAway is the error of a reservation that nothing could count.
var ErrAway = errors.New("quota: the store of the limits cannot be reached")

// Cost is what a request takes, or took, from each of its accounts. Amounts
// above 1<<53 count as 1<<53.
type Cost struct {
	Requests int64
	Tokens   int64
	Spend    int64 // in billionths of a US dollar

	// Further says that the request has its slot of concurrency already, with
	// another lease: this one neither needs nor takes any. Settling heeds it not.
	Further bool
}

// Limiter hands out leases. It is safe for concurrent use.
type Limiter interface {
	// Reserve takes cost and, unless it is Further, a slot of concurrency from
	// every account in one step, all or nothing, and returns the lease to
	// settle. It never waits for an allowance: a refusal is an *ExceededError
	// and has taken nothing.
	//
	// An account is known by its ID, and no ID may occur twice in one call.
	// Where its limits differ from those of the call before, the new ones
	// hold from now on, the used fraction of each allowance is kept, and a
	// lease opened before settles the fraction it took. An account
	// whose limits are all zero is not counted. An account in debt admits
	// nothing, not even a cost of zero.
	//
	// A budget belongs to a window of the calendar: a lease is charged to the
	// window that it was reserved in, and what was spent in a window is kept
	// over a change of its amount.
	//
	// A negative cost or limit, a context that is done, and a store that is
	// away (ErrAway) are errors of another type; they take nothing either.
	Reserve(ctx context.Context, accounts []Account, cost Cost) (*Lease, error)
}

// Lease is what one request has reserved. It is safe for concurrent use.
type Lease struct {
	level Snapshot
	store settler
	once  sync.Once
}

// settler is what a Lease settles with. Memory implements it on the lease's
// own memory, which spares an allocation.
type settler interface{ settle(actual Cost) }

type settleFunc func(Cost)

func (f settleFunc) settle(actual Cost) { f(actual) }

// NewLease returns the lease of a store. The first Settle calls settle, with
// no negative amount in it; nil means that there is nothing to settle.
func NewLease(level Snapshot, settle func(Cost)) *Lease {
	if settle == nil {
		settle = func(Cost) {}
	}
	return &Lease{level: level, store: settleFunc(settle)}
}

// Settle replaces what was reserved by what was used and frees the slot of
// concurrency. Use beyond the reservation is charged whole and may leave the
// account in debt; what comes back never raises it above its burst. A
// negative amount counts as zero. The first call alone counts; another waits
// for it and does nothing.
func (l *Lease) Settle(actual Cost) {
	l.once.Do(func() { l.store.settle(actual.clamped()) })
}

// Snapshot returns the levels at the decision, this lease's cost taken off.
func (l *Lease) Snapshot() Snapshot { return l.level }

// Snapshot is the state of the binding account of each dimension: the one
// with the least of its burst left, the first of several such.
type Snapshot struct {
	Requests Level
	Tokens   Level
	Budget   Level // in billionths of a US dollar; Reset is until the next window
}

// Level is how much of one allowance is left.
type Level struct {
	Account   string        // whose allowance; empty if no account is limited
	Limit     int64         // a minute's allowance, or a window's budget; 0: the dimension is not limited
	Remaining int64         // what a request may take now; 0 in debt; more than Limit only if the burst is
	Reset     time.Duration // until the allowance is full again, if nothing more is taken
}

// Dimension names what a limit counts, in the words of OpenAI's error types.
type Dimension string

// The dimensions of a limit.
const (
	Requests    Dimension = "requests"
	Tokens      Dimension = "tokens"
	Concurrency Dimension = "concurrency"
	Spend       Dimension = "budget"
)

// ExceededError says which limit refused a reservation: of several, the one
// that will never admit it, or else the one to wait for longest.
type ExceededError struct {
	Account   string    // whose limit
	Dimension Dimension // which limit
	Limit     int64     // a minute's allowance, or the slots; if Permanent, the most at once
	Need      int64     // what was asked
	Remaining int64     // what was left, never negative

	// Wait is how long until every limit of rate admits the request, in whole
	// milliseconds, if nothing else is taken. When a slot of concurrency
	// comes free nobody knows: its wait is a second. A budget's is until its
	// next window. Zero if Permanent.
	Wait time.Duration

	Permanent bool     // the request can never fit
	Snapshot  Snapshot // the levels at the decision
}

// Error returns the refusal in one line.
func (e *ExceededError) Error() string {
	what := string(e.Dimension)
	if e.Dimension == Requests || e.Dimension == Tokens {
		what += " per minute"
	}
	if e.Permanent {
		return fmt.Sprintf("quota: %s: %s: need %d, never more than %d at once", e.Account, what, e.Need, e.Limit)
	}
	return fmt.Sprintf("quota: %s: %s: need %d, have %d of %d, wait %v", e.Account, what, e.Need, e.Remaining, e.Limit, e.Wait)
}

// most is the largest amount a float64 counts exactly.
const most = 1 << 53

// clamped returns c with every amount in what the buckets can count.
func (c Cost) clamped() Cost {
	c.Requests, c.Tokens, c.Spend = clamp(c.Requests), clamp(c.Tokens), clamp(c.Spend)
	return c
}

func clamp(n int64) int64 { return min(max(n, 0), most) }
