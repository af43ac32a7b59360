package policy

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Quota is what a deployment admits. A zero is not known.
type Quota struct {
	Tokens   int64         // a minute, by Azure's estimate
	Requests int64         // a minute
	Slice    time.Duration // in each of which only its part of Requests is admitted; 0 is ten seconds
}

// Never is the wait for a request that is larger than a deployment's quota.
const Never = longest

// The windows that Azure looks back over, and the grain in which a Twin keeps
// them. What was admitted counts until its whole grain has left the window, which
// makes up for the time that requests are on their way.
const (
	twinMinute = time.Minute
	twinSlice  = 10 * time.Second
	twinGrain  = 100 * time.Millisecond
	twinLate   = 10 * time.Second // answers that took longer correct nothing: what was before them is forgotten
	twinGrains = int64((twinMinute+twinLate)/twinGrain) + 2
)

// Twin models the admission of one deployment: a sliding minute of estimated
// tokens, and a sliding slice of requests. It learns the limits that it was not
// given from the answers' headers, and what others use of the same quota. It is
// not for concurrent use. The zero value admits everything until it learns better.
type Twin struct {
	own Quota

	tokens   float64 // the minute's limit that the headers name; 0 none
	requests float64 // the limit of requests in the headers, of whichever window
	burst    float64 // of requests in a slice, as refusals have shown; 0 unknown
	shut     time.Time
	past     []grain
}

// grain is what was admitted in one stretch of time.
type grain struct {
	number   int64
	tokens   float64 // by us
	foreign  float64 // tokens that Azure counts, and we did not send
	requests float64
	others   float64 // requests, as foreign
}

func (g *grain) allTokens() float64   { return g.tokens + g.foreign }
func (g *grain) ownTokens() float64   { return g.tokens }
func (g *grain) allRequests() float64 { return g.requests + g.others }

// NewTwin returns the twin of a deployment of which q is known.
func NewTwin(q Quota) Twin {
	if q.Slice <= 0 {
		q.Slice = twinSlice
	}
	return Twin{own: q}
}

// Estimate is what Azure takes a request for when it arrives: a quarter of its
// prompt's characters, and the bound on its output for each choice, or 16 tokens
// where it names none.
func Estimate(characters, choices, output int64) int64 {
	const quarter, unbounded = 4, 16
	if output <= 0 {
		output = unbounded
	}
	return (characters+quarter-1)/quarter + max(1, choices)*output
}

// Wait returns how long it is until the deployment admits a request of so many
// tokens: 0 now, and Never where the request is larger than the quota.
func (t *Twin) Wait(cost int64, now time.Time) time.Duration {
	wait := max(0, t.shut.Sub(now))
	wait = max(wait, t.room(float64(t.own.Tokens), float64(cost), now, (*grain).ownTokens))
	wait = max(wait, t.room(t.tokens, float64(cost), now, (*grain).allTokens))
	if t.own.Requests > 0 {
		part := math.Floor(float64(t.own.Requests) * float64(t.own.Slice) / float64(twinMinute))
		wait = max(wait, t.until(now, t.own.Slice, max(1, part)-1, (*grain).allRequests))
	}
	if t.burst > 0 {
		wait = max(wait, t.until(now, twinSlice, t.burst-1, (*grain).allRequests))
	}
	return wait
}

// Send counts a request as sent, whatever the deployment makes of it. One that is
// larger than the quota takes no tokens: it is refused.
func (t *Twin) Send(cost int64, now time.Time) {
	g := t.grain(now)
	g.requests++
	if tokens := float64(cost); !above(tokens, t.tokens) && !above(tokens, float64(t.own.Tokens)) {
		g.tokens += tokens
	}
}

func above(cost, limit float64) bool { return limit > 0 && cost > limit }

// Observe corrects the twin by the headers of an answer to a request that was
// sent at a time. What was sent by then has been counted by Azure, and what was
// sent since may have been.
func (t *Twin) Observe(header func(string) string, sent, now time.Time) {
	limit, remaining, ok := levels(header, "Tokens")
	if ok {
		t.tokens = limit
	}
	if ok && now.Sub(sent) <= twinLate {
		t.correct(limit-remaining, remaining > 0, sent, now)
	}
	if limit, remaining, ok = levels(header, "Requests"); !ok {
		return
	}
	t.requests = limit
	used := limit - remaining
	if t.own.Requests > 0 && limit == float64(t.own.Requests) && remaining > 0 {
		if more := used - t.sum(now, twinMinute, now, (*grain).allRequests); more > 0 {
			t.spread(now, func(g *grain, part float64) { g.others += more * part })
		}
	}
}

// correct makes the minute's tokens what Azure has counted. Exactly is whether
// that is used, and not more than can be said.
func (t *Twin) correct(used float64, exactly bool, sent, now time.Time) {
	most, least := t.bounds(sent, now)
	if more := used - most; more > 0 {
		// Some deployments say that nothing remains when that is not so.
		if exactly || most >= used/2 {
			t.spread(now, func(g *grain, part float64) { g.foreign += more * part })
		}
		return
	}
	if !exactly || least <= used {
		return
	}
	factor := used / least
	t.each(now, twinMinute, func(g *grain) bool {
		g.tokens, g.foreign = g.tokens*factor, g.foreign*factor
		return true
	})
}

// bounds returns between what Azure's count for a request must lie that was sent
// at a time and has been answered by now.
func (t *Twin) bounds(sent, now time.Time) (most, least float64) {
	first, own := sent.Add(-twinMinute).UnixNano()/int64(twinGrain), sent.UnixNano()/int64(twinGrain)
	t.each(now, now.Sub(sent)+twinMinute, func(g *grain) bool {
		most += g.allTokens()
		if g.number > first && g.number < own {
			least += g.allTokens()
		}
		return true
	})
	return most, least
}

// Refused notes a 429 that asked to be left alone for so long. Where tokens do
// not explain it, it shows how many requests a slice admits.
func (t *Twin) Refused(retryAfter time.Duration, now time.Time) {
	if until := now.Add(min(retryAfter, twinMinute)); until.After(t.shut) {
		t.shut = until
	}
	const nearly = 0.9
	if t.own.Requests > 0 || t.requests == 0 || t.tokens > 0 && t.sum(now, twinMinute, now, (*grain).allTokens) > nearly*t.tokens {
		return
	}
	before := t.sum(now, twinSlice, now, (*grain).allRequests) - 1
	part := max(1, math.Floor(t.requests*float64(twinSlice)/float64(twinMinute)))
	switch {
	case before >= t.requests: // the header names the slice's limit, not the minute's
		t.burst = t.requests
	case before >= part:
		t.burst = part
	}
}

// room returns how long it is until a minute's limit has room for cost.
func (t *Twin) room(limit, cost float64, now time.Time, of func(*grain) float64) time.Duration {
	switch {
	case limit == 0:
		return 0
	case cost > limit:
		return Never
	default:
		return t.until(now, twinMinute, limit-cost, of)
	}
}

// until returns how long it is until no more than most are left in the window.
func (t *Twin) until(now time.Time, window time.Duration, most float64, of func(*grain) float64) (wait time.Duration) {
	over := t.sum(now, window, now, of) - most
	if over <= 0 {
		return 0
	}
	t.each(now, window, func(g *grain) bool {
		over -= of(g)
		wait = time.Unix(0, (g.number+1)*int64(twinGrain)).Add(window).Sub(now)
		return over > 0
	})
	return max(wait, time.Nanosecond)
}

// sum adds up what the window holds of what was sent by a time.
func (t *Twin) sum(now time.Time, window time.Duration, sent time.Time, of func(*grain) float64) (sum float64) {
	last := sent.UnixNano() / int64(twinGrain)
	t.each(now, window, func(g *grain) bool {
		if g.number <= last {
			sum += of(g)
		}
		return true
	})
	return sum
}

// each visits the grains in a window, the oldest first, until visit says false.
func (t *Twin) each(now time.Time, window time.Duration, visit func(*grain) bool) {
	if t.past == nil {
		return
	}
	last := now.UnixNano() / int64(twinGrain)
	for n := now.Add(-window).UnixNano() / int64(twinGrain); n <= last; n++ {
		if g := &t.past[n%twinGrains]; g.number == n && !visit(g) {
			return
		}
	}
}

// grain returns the grain of a time.
func (t *Twin) grain(at time.Time) *grain {
	if t.past == nil {
		t.past = make([]grain, twinGrains)
	}
	n := at.UnixNano() / int64(twinGrain)
	g := &t.past[n%twinGrains]
	if g.number != n {
		*g = grain{number: n}
	}
	return g
}

// spread puts what others did, nobody knows when, evenly into the last minute.
func (t *Twin) spread(now time.Time, add func(g *grain, part float64)) {
	const parts = 12
	for i := range parts {
		add(t.grain(now.Add(-time.Duration(i)*twinMinute/parts)), 1.0/parts)
	}
}

// levels reads a limit and what remains of it.
func levels(header func(string) string, kind string) (limit, remaining float64, ok bool) {
	limit, err := strconv.ParseFloat(strings.TrimSpace(header("X-Ratelimit-Limit-"+kind)), 64)
	if err != nil || !(limit >= 1 && limit < math.MaxInt64) {
		return 0, 0, false
	}
	remaining, err = strconv.ParseFloat(strings.TrimSpace(header("X-Ratelimit-Remaining-"+kind)), 64)
	return limit, remaining, err == nil && remaining >= 0 && remaining <= limit
}
