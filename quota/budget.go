package quota

import (
	"context"
	"time"
)

// Budget is how much money an account may spend in each window of the calendar.
type Budget struct {
	Amount int64          // in billionths of a US dollar; 0: no budget
	Period Period         // how long a window is
	Zone   *time.Location // whose days and months they are; nil: UTC
}

// Period is how long a budget's window is.
type Period int8

// The periods of a budget.
const (
	Month Period = iota // from the first of a month to the next
	Day                 // from midnight to midnight
)

// Window returns the window that holds at: from its first moment until the first
// of the next.
func (b Budget) Window(at time.Time) (from, until time.Time) {
	if b.Zone == nil {
		at = at.UTC()
	} else {
		at = at.In(b.Zone)
	}
	year, month, day := at.Date()
	if b.Period == Day {
		return b.midnight(at, day), b.midnight(at, day+1)
	}
	from = time.Date(year, month, 1, 0, 0, 0, 0, at.Location())
	return from, time.Date(year, month+1, 1, 0, 0, 0, 0, at.Location())
}

// midnight returns when a day of at's month begins.
func (Budget) midnight(at time.Time, day int) time.Time {
	return time.Date(at.Year(), at.Month(), day, 0, 0, 0, 0, at.Location())
}

// Spent returns what an account has spent since a time, as a ledger knows it, in
// billionths of a US dollar. It is asked once for each window of an account, when
// the window is first seen.
type Spent func(ctx context.Context, account string, from time.Time) (int64, error)

// purse is the budget of one account in its present window.
type purse struct {
	budget      Budget
	from, until time.Time // of the window; zero: none was seen
	used        int64     // spent and reserved, in that window
	opening     int       // which time a window was opened
}

// opened reports whether the purse knows what was spent in the window of now.
func (p *purse) opened(now time.Time) bool {
	return !p.from.IsZero() && !now.Before(p.from) && now.Before(p.until)
}

// on reports whether there is a budget.
func (p *purse) on() bool { return p.budget.Amount > 0 }

// configure makes b the budget from now on. What was spent is kept where the
// window is the same.
func (p *purse) configure(now time.Time, b Budget) {
	p.budget = b
	if !p.on() || p.from.IsZero() {
		return
	}
	if from, until := b.Window(now); !from.Equal(p.from) || !until.Equal(p.until) {
		p.from, p.until, p.used = time.Time{}, time.Time{}, 0
	}
}

// open begins the window of now, in which spent is gone already.
func (p *purse) open(now time.Time, spent int64) {
	p.from, p.until = p.budget.Window(now)
	p.used = clamp(spent)
	p.opening++
}

// coin is what a hold must know of the purse that it took from. The zero value is
// of one that was not limited.
type coin struct {
	from, until time.Time
	opening     int
}

// coin returns what a hold must know of the purse now.
func (p *purse) coin() coin { return coin{p.from, p.until, p.opening} }

// settle replaces a reservation of taken by actual, if its window is still the
// present one. Where that was opened again since, on what the ledger knew, taken
// is not in it.
func (p *purse) settle(c coin, taken, actual int64) {
	if c.opening == 0 || !c.from.Equal(p.from) || !c.until.Equal(p.until) {
		return
	}
	if c.opening != p.opening {
		taken = 0
	}
	p.used = clamp(p.used - taken + actual)
}

// idle reports whether forgetting the purse loses nothing.
func (p *purse) idle(now time.Time) bool {
	return p.used == 0 || !now.Before(p.until)
}

// left returns what may still be spent.
func (p *purse) left() int64 { return max(0, p.budget.Amount-p.used) }

// fraction returns the part of the budget that is left.
func (p *purse) fraction() float64 {
	return float64(p.budget.Amount-p.used) / float64(p.budget.Amount)
}

// snapshot returns the level for the account named.
func (p *purse) snapshot(now time.Time, account string) Level {
	return Level{Account: account, Limit: p.budget.Amount, Remaining: p.left(), Reset: roundUp(p.until.Sub(now))}
}

// ask adds to r what the purse says to a cost.
func (p *purse) ask(r *refusal, now time.Time, account string, cost int64) {
	if !p.on() || cost <= p.budget.Amount-p.used {
		return
	}
	e := ExceededError{Account: account, Dimension: Spend, Limit: p.budget.Amount, Need: cost, Remaining: p.left()}
	if cost > p.budget.Amount {
		e.Permanent = true
	} else {
		e.Wait = roundUp(p.until.Sub(now))
	}
	r.add(e)
}
