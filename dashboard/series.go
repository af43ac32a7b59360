package dashboard

import (
	"time"

	"weir/usage"
)

// How time is told. An hour is kept.
const (
	step   = 10 * time.Second
	minute = time.Minute
	coarse = 5 * time.Minute
	span   = time.Hour

	steps   = int(span / step)
	minutes = int(span / minute)
	coarses = int(span / coarse)
)

// window is an hour in pieces of equal length, of which the oldest make room.
type window[T any] struct {
	piece  int64 // how long each is, in seconds
	epochs []int64
	pieces []T
}

func newWindow[T any](piece time.Duration, n int) window[T] {
	return window[T]{piece: int64(piece / time.Second), epochs: make([]int64, n), pieces: make([]T, n)}
}

// of returns the piece that a time lies in, nil for one before 1970. What another
// time has left in its place makes room, also a later one: the clock was put back.
func (w *window[T]) of(t time.Time) *T {
	epoch := t.Unix() / w.piece
	if epoch < 1 {
		return nil
	}
	i := epoch % int64(len(w.pieces))
	if w.epochs[i] != epoch {
		var none T
		w.epochs[i], w.pieces[i] = epoch, none
	}
	return &w.pieces[i]
}

// last calls f with the pieces of the time before and with now, the oldest first:
// nil for one in which nothing happened. The present piece is the last.
func (w *window[T]) last(now time.Time, n int, f func(*T)) {
	epoch := now.Unix() / w.piece
	for e := epoch - int64(n) + 1; e <= epoch; e++ {
		i := ((e % int64(len(w.pieces))) + int64(len(w.pieces))) % int64(len(w.pieces))
		if e < 1 || w.epochs[i] != e {
			f(nil)
			continue
		}
		f(&w.pieces[i])
	}
}

// The kinds of outcomes that plots tell apart.
const (
	served = iota
	turnedAway
	broken
	left
	kinds
)

// kind returns which an outcome is of.
func kind(o usage.Outcome) int {
	switch {
	case refused(o):
		return turnedAway
	case failed(o):
		return broken
	case o == usage.ClientGone:
		return left
	default:
		return served
	}
}

// totals are those of all requests.
type totals struct {
	steps window[total]
}

// total is what happened in one step.
type total struct {
	requests        [kinds]uint32
	tokens          uint64
	first, overhead histogram
}

func newTotals() totals { return totals{newWindow[total](step, steps)} }

func (t *totals) add(end time.Time, r *usage.Record) {
	p := t.steps.of(end)
	if p == nil {
		return
	}
	p.requests[kind(r.Outcome)]++
	p.tokens += tokens(r)
	if r.FirstToken > 0 {
		p.first.observe(r.FirstToken, shortestWait)
	}
	if len(r.Attempts) > 0 {
		p.overhead.observe(r.Overhead(), shortestOverhead)
	}
}

// tokens returns how many tokens a request used.
func tokens(r *usage.Record) uint64 { return uint64(max(0, r.Input) + max(0, r.Output)) }

// sums are what requests add up to.
type sums struct {
	requests [kinds]uint32
	input    uint64
	output   uint64
	cost     usage.USD
	refused  [reasons]uint32
}

func (s *sums) add(r *usage.Record) {
	s.requests[kind(r.Outcome)]++
	s.input += uint64(max(0, r.Input))
	s.output += uint64(max(0, r.Output))
	s.cost += r.Cost
	if refused(r.Outcome) {
		s.refused[reason(r)]++
	}
}

func (s *sums) plus(o *sums) {
	for i := range s.requests {
		s.requests[i] += o.requests[i]
	}
	for i := range s.refused {
		s.refused[i] += o.refused[i]
	}
	s.input += o.input
	s.output += o.output
	s.cost += o.cost
}

// The reasons for a refusal that are told apart.
const (
	reasons    = 9
	byPolicy   = 6
	byUpstream = 7
	byRequest  = 8
)

// reasonNames returns what the reasons are called, in their order.
func reasonNames() [reasons]string {
	return [reasons]string{"rpm", "tpm", "concurrency", "budget", "special_tokens", "context", "policy", "upstream", "request"}
}

// reason returns why a request was refused.
func reason(r *usage.Record) int {
	switch r.Limit {
	case usage.RequestLimit:
		return 0
	case usage.TokenLimit:
		return 1
	case usage.ConcurrencyLimit:
		return 2
	case usage.BudgetLimit:
		return 3
	}
	switch r.Code {
	case "special_tokens_in_input":
		return 4
	case "context_length_exceeded":
		return 5
	}
	switch {
	case r.Outcome == usage.RefusedPolicy:
		return byPolicy
	case r.Status == throttling: // and no limit of ours
		return byUpstream
	}
	return byRequest
}

// teamSeries is what a team has done.
type teamSeries struct {
	steps window[sums]
	first window[histogram]
}

func newTeamSeries() *teamSeries {
	return &teamSeries{newWindow[sums](step, steps), newWindow[histogram](coarse, coarses)}
}

func (t *teamSeries) add(end time.Time, r *usage.Record) {
	if p := t.steps.of(end); p != nil {
		p.add(r)
	}
	if h := t.first.of(end); h != nil && r.FirstToken > 0 {
		h.observe(r.FirstToken, shortestWait)
	}
}

// holder is whose a key is.
type holder struct{ team, key string }

// holding is what one key has done.
type holding struct {
	sums window[sums]
}

func (h *holding) add(end time.Time, r *usage.Record) {
	if p := h.sums.of(end); p != nil {
		p.add(r)
	}
}

// hour returns what the requests of the last hour add up to.
func (h *holding) hour(now time.Time) (all sums) {
	h.sums.last(now, coarses, func(s *sums) {
		if s != nil {
			all.plus(s)
		}
	})
	return all
}

// others is the name of what is one too many to have a name of its own.
const others = "other"

// team returns the series of a team. The caller holds mu.
func (d *Dashboard) team(name string) *teamSeries {
	if t := d.teams[name]; t != nil {
		return t
	}
	if len(d.teams) >= maxNames && name != others {
		return d.team(others)
	}
	t := newTeamSeries()
	d.teams[name] = t
	return t
}

// place returns the series of a deployment. The caller holds mu.
func (d *Dashboard) place(name string) *placeSeries {
	if p := d.places[name]; p != nil {
		return p
	}
	if len(d.places) >= maxNames && name != others {
		return d.place(others)
	}
	p := newPlaceSeries()
	d.places[name] = p
	return p
}

// holder returns the sums of a key. The caller holds mu.
func (d *Dashboard) holder(of holder) *holding {
	if h := d.holders[of]; h != nil {
		return h
	}
	if rest := (holder{"", others}); len(d.holders) >= maxKeys && of != rest {
		return d.holder(rest)
	}
	h := &holding{newWindow[sums](coarse, coarses)}
	d.holders[of] = h
	return h
}
