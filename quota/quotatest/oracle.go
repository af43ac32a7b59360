package quotatest

import (
	"math"
	"slices"
	"time"

	"weir/quota"
)

// pot is one allowance as the rules describe it, in floating point and with
// the whole history of its present limits: it shares nothing with the buckets.
type pot struct {
	perSecond, burst, level float64
	on                      bool
	epoch                   int // how often the limits have changed
	at                      time.Duration
	events                  []event // since the limits last changed
	used                    float64 // by leases opened since then
	over                    float64 // what they overused, and what earlier leases gave back
	inexact                 float64 // what roundings under earlier limits may make of the level
}

// event is what entered or left a pot at a time.
type event struct {
	at       time.Duration
	admitted float64
	refunded float64
}

// limit puts new limits into force.
func (p *pot) limit(at time.Duration, perMinute, burst int64) {
	p.flow(at)
	p.on = perMinute > 0
	if !p.on {
		return
	}
	if burst == 0 {
		burst = perMinute
	}
	if r, b := float64(perMinute)/60, float64(burst); r != p.perSecond || b != p.burst {
		fraction, inexact := 1.0, 0.0
		if p.burst > 0 {
			fraction, inexact = p.level/p.burst, p.slack()/p.burst
		}
		*p = pot{perSecond: r, burst: b, level: fraction * b, on: true, at: p.at, inexact: inexact * b, epoch: p.epoch + 1}
	}
}

// flow lets flow in what is due at a time.
func (p *pot) flow(at time.Duration) {
	if at > p.at {
		p.level = min(p.burst, p.level+(at-p.at).Seconds()*p.perSecond)
		p.at = at
	}
}

// slack is what rounding to nanoseconds and floats may make of a level.
func (p *pot) slack() float64 {
	return 1e-6 + 1e-9*p.burst + 1e-8*p.perSecond + p.inexact
}

// lack returns how much is missing for n: below zero if n fits.
func (p *pot) lack(n int64) float64 { return float64(n) - p.level }

// share is what a lease must know of a pot it took from. The zero value is
// of one that was not limited.
type share struct {
	burst float64
	epoch int
}

// take takes n for a lease.
func (p *pot) take(n int64) share {
	if !p.on {
		return share{}
	}
	p.level -= float64(n)
	p.events = append(p.events, event{at: p.at, admitted: float64(n)})
	return share{burst: p.burst, epoch: p.epoch}
}

// settle replaces taken, which was share then, by actual.
func (p *pot) settle(at time.Duration, taken, actual int64, s share) {
	p.flow(at)
	if s.burst == 0 {
		return
	}
	back := float64(taken-actual) * p.burst / s.burst
	p.level = min(p.burst, p.level+back)
	p.events = append(p.events, event{at: p.at, refunded: max(0, back)})
	if s.epoch != p.epoch {
		p.over += max(0, back)
		return
	}
	p.used += float64(actual)
	p.over += max(0, float64(actual-taken))
}

// excess returns how far the admissions of any interval that ends now are
// over the bound: the burst, what flowed in and what was refunded in it.
func (p *pot) excess() float64 {
	worst, sum := math.Inf(-1), 0.0
	for _, e := range slices.Backward(p.events) {
		sum += e.admitted - e.refunded
		worst = max(worst, sum-p.burst-(p.at-e.at).Seconds()*p.perSecond)
	}
	return worst
}

// shows reports whether got is a true view of the pot.
func (p *pot) shows(got quota.Level) bool {
	if !p.on {
		return got == quota.Level{}
	}
	slack := p.slack()
	least := max(0, math.Floor(p.level-slack))
	most := min(p.burst, max(0, math.Floor(p.level+slack)))
	left := float64(got.Remaining)
	reset := (p.burst - p.level) / p.perSecond
	late := slack/p.perSecond + 1e-9*reset
	return left >= least && left <= most &&
		got.Reset.Seconds() >= reset-late && got.Reset.Seconds() <= reset+late+0.001
}

// purse is the oracle of a budget.
type purse struct {
	budget      quota.Budget
	from, until time.Time // of the window; zero: none was seen
	opening     int       // which time a window was opened
	used        int64
}

// limit puts a budget into force.
func (p *purse) limit(b quota.Budget) { p.budget = b }

// open begins the window of a time, if another one was open.
func (p *purse) open(now time.Time, before int64) {
	if p.budget.Amount == 0 {
		return
	}
	if from, until := p.budget.Window(now); !from.Equal(p.from) || !until.Equal(p.until) {
		p.from, p.until, p.used = from, until, before
		p.opening++
	}
}

// coin is what a lease must know of a purse it took from. The zero value is of
// one that was not limited.
type coin struct {
	from, until time.Time
	opening     int
}

// take takes n for a lease.
func (p *purse) take(n int64) coin {
	if p.budget.Amount == 0 {
		return coin{}
	}
	p.used += n
	return coin{p.from, p.until, p.opening}
}

// settle replaces taken by actual in its own window alone. A window that was
// opened again knew nothing of the lease.
func (p *purse) settle(taken, actual int64, c coin) {
	switch {
	case c.opening == 0 || !c.from.Equal(p.from) || !c.until.Equal(p.until):
	case c.opening == p.opening:
		p.used += actual - taken
	default:
		p.used += actual
	}
}

// refuses reports whether n is more than is left.
func (p *purse) refuses(n int64) bool {
	return p.budget.Amount > 0 && (p.used > p.budget.Amount || n > p.budget.Amount-p.used)
}

// shows reports whether got is a true view of the purse.
func (p *purse) shows(got quota.Level, account string, now time.Time) bool {
	if p.budget.Amount == 0 {
		return got == quota.Level{}
	}
	return got == quota.Level{
		Account: account, Limit: p.budget.Amount, Remaining: max(0, p.budget.Amount-p.used),
		Reset: (p.until.Sub(now) + time.Millisecond - 1).Truncate(time.Millisecond),
	}
}
