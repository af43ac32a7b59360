package quota

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// bucket is one allowance of one account. Its owner serializes the calls and
// never passes an older time than before: x/time/rate would credit the same
// interval twice.
type bucket struct {
	lim       *rate.Limiter
	perMinute int64
	burst     int64
	on        bool // false: not limited now; the level is kept for a limit to come
}

// configure makes the bucket hold perMinute and burst from now on and keeps
// the used fraction. A bucket that is new is full.
func (b *bucket) configure(now time.Time, perMinute, burst int64) {
	b.on = perMinute > 0
	if !b.on {
		return
	}
	if burst == 0 {
		burst = perMinute
	}
	perMinute, burst = min(perMinute, most), min(burst, most)
	if b.perMinute == perMinute && b.burst == burst {
		return
	}
	level := float64(burst)
	if b.lim != nil {
		level *= b.level(now) / float64(b.burst)
	}
	b.perMinute, b.burst = perMinute, burst
	b.set(now, level)
}

// set makes the level what is given, fractions included: the limiter counts
// in whole tokens only, so the fraction is let flow in from a little earlier.
func (b *bucket) set(now time.Time, level float64) {
	full := float64(b.burst)
	level = min(max(level, full-1<<62), full)
	taken := math.Ceil(full - level)
	fraction := max(0, level-(full-taken))
	b.lim = rate.NewLimiter(rate.Limit(b.perSecond()), int(b.burst))
	b.force(now.Add(-seconds(fraction/b.perSecond())), int64(taken))
}

// perSecond returns how much flows in each second.
func (b *bucket) perSecond() float64 { return float64(b.perMinute) / 60 }

// level returns what is in the bucket: negative in debt, at most the burst.
func (b *bucket) level(now time.Time) float64 { return b.lim.TokensAt(now) }

// full reports whether the bucket is as good as a new one.
func (b *bucket) full(now time.Time) bool {
	return b.lim == nil || b.level(now) >= float64(b.burst)
}

// force takes n whatever the level is. A negative n is a deposit, which is
// not a documented use of ReserveN; a test holds it. The limiter caps a
// deposit at its burst when it next looks at its level.
func (b *bucket) force(now time.Time, n int64) {
	if n <= b.burst {
		// AllowN does the same without an allocation, and nothing in debt.
		if n != 0 && !b.lim.AllowN(now, int(n)) {
			b.lim.ReserveN(now, int(n))
		}
		return
	}
	// ReserveN refuses more than the burst. At one and the same time nothing
	// flows in, so that raising the burst for it grants nothing.
	b.lim.SetBurstAt(now, int(n))
	b.lim.ReserveN(now, int(n))
	b.lim.SetBurstAt(now, int(b.burst))
}

// settle replaces a reservation of taken, made when the burst was that of
// the reservation, by actual. After a reload it does so in the same fraction.
func (b *bucket) settle(now time.Time, taken, burst, actual int64) {
	if b.burst == burst {
		b.force(now, actual-taken)
		return
	}
	scale := float64(b.burst) / float64(burst)
	b.set(now, b.level(now)-float64(actual-taken)*scale)
}

// fraction returns the part of the burst that is left, or infinity where
// nothing is limited.
func (b *bucket) fraction(now time.Time) float64 {
	if !b.on {
		return math.Inf(1)
	}
	return b.level(now) / float64(b.burst)
}

// short returns how long until n is in the bucket, in whole nanoseconds as
// the limiter reckons: zero admits.
func (b *bucket) short(now time.Time, n int64) time.Duration {
	lack := float64(n) - b.level(now)
	if lack <= 0 {
		return 0
	}
	return seconds(lack / b.perSecond())
}

// wait is short in whole milliseconds, rounded up, such that whoever waits
// for exactly so long is admitted.
func (b *bucket) wait(now time.Time, n int64) time.Duration {
	w := roundUp(b.short(now, n))
	if w < longest && b.short(now.Add(w), n) > 0 {
		w += time.Millisecond
	}
	return w
}

// remaining returns the largest whole amount the bucket admits now.
func (b *bucket) remaining(now time.Time) int64 {
	n := min(max(int64(math.Floor(b.level(now))), 0), b.burst)
	if n < b.burst && b.short(now, n+1) == 0 {
		n++
	}
	return n
}

// snapshot returns the level for the account named.
func (b *bucket) snapshot(now time.Time, account string) Level {
	return Level{
		Account: account, Limit: b.perMinute,
		Remaining: b.remaining(now), Reset: roundUp(b.short(now, b.burst)),
	}
}

// longest is the longest time spoken of: whole milliseconds that a Duration
// holds, about 146 years.
const longest = time.Duration(math.MaxInt64 / 2 / 1_000_000 * 1_000_000)

// seconds converts to a Duration without its overflow.
func seconds(s float64) time.Duration {
	return time.Duration(min(s*float64(time.Second), float64(longest)))
}

// roundUp returns d in whole milliseconds.
func roundUp(d time.Duration) time.Duration {
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}
