package usage

import (
	"context"
	"math"
	"strings"
	"sync"
)

const (
	maxPairs   = 4096 // of team and model that Outputs tells apart
	fewest     = 20   // answers from which a quantile is told
	remembered = 512  // answers after which what went before counts half
)

// Outputs learns how long the answers are that nobody bounds, for each team and
// model, so that as much may be reserved for the next. It is a Sink, and safe for
// concurrent use. The zero value is ready.
//
// It keeps the 4,096 pairs of team and model that were last used, about 400 bytes
// each. After 512 answers of a pair all of them count half, so that answers of
// long ago fade.
type Outputs struct {
	mu    sync.Mutex
	pairs map[pair]*lengths

	// The pairs in a ring, the one used last first; end is between first and last.
	end lengths
}

var _ Sink = (*Outputs)(nil)

// pair is whose answers are alike.
type pair struct{ team, model string }

// lengths holds how long the answers of a pair were.
type lengths struct {
	of         pair
	next, last *lengths
	total      int
	count      [128]uint16 // of answers, by bucket
}

// Take learns from a request that ended well. It does not learn from an answer
// that was bounded, by its client or by the policy: where the bound cut it, it
// tells only that it would have been longer, and where it did not, it is still the
// answer to a client that wanted a short one. An answer that the model itself cut
// could not have been longer, and counts.
func (o *Outputs) Take(_ context.Context, r *Record) {
	if r.Outcome != OK || r.Bound > 0 || r.Output <= 0 {
		return
	}
	choices := max(1, r.Choices)
	each := r.Output / choices
	if each*choices < r.Output {
		each++
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.lengths(r.Team, r.Model)
	l.count[bucket(each)]++
	if l.total++; l.total >= remembered {
		l.halve()
	}
}

// Quantile returns a length which the share q of the pair's recent answers did not
// pass, in tokens for each choice: never below the shortest such length, and above
// it by less than an eighth. Lengths from 262,144 tokens on count as 262,143. It is
// not ok before 20 answers were seen.
func (o *Outputs) Quantile(team, model string, q float64) (tokens int64, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.pairs[pair{team, model}]
	if l == nil {
		return 0, false
	}
	o.touch(l)
	if l.total < fewest {
		return 0, false
	}
	rank, seen := max(1, int(math.Ceil(min(q, 1)*float64(l.total)))), 0
	for i, n := range l.count {
		if seen += int(n); seen >= rank {
			return longest(i), true
		}
	}
	return 0, false
}

// lengths returns those of a pair, and forgets those of the one that was not used
// for longest where there is no room. The caller holds mu.
func (o *Outputs) lengths(team, model string) *lengths {
	l := o.pairs[pair{team, model}]
	if l == nil {
		if o.pairs == nil {
			o.pairs = map[pair]*lengths{}
			o.end.next, o.end.last = &o.end, &o.end
		}
		if len(o.pairs) >= maxPairs {
			oldest := o.end.last
			oldest.leave()
			delete(o.pairs, oldest.of)
		}
		l = &lengths{of: pair{strings.Clone(team), strings.Clone(model)}}
		o.pairs[l.of] = l
	}
	o.touch(l)
	return l
}

// touch makes l the one used last. The caller holds mu.
func (o *Outputs) touch(l *lengths) {
	if o.end.next == l {
		return
	}
	l.leave()
	l.last, l.next = &o.end, o.end.next
	l.next.last, o.end.next = l, l
}

// leave takes l out of the ring.
func (l *lengths) leave() {
	if l.next != nil {
		l.next.last, l.last.next = l.last, l.next
	}
}

// halve lets every answer count half. What is rounded off one bucket goes to the
// next, so that each quantile stays where it was but for one answer, and no tail is
// lost that is thinner than one answer a bucket.
func (l *lengths) halve() {
	var rest uint16
	l.total = 0
	for i, n := range l.count {
		n += rest
		l.count[i], rest = n/2, n%2
		l.total += int(n / 2)
	}
}

// bucket returns where a length is counted. Lengths below 8 have a bucket each, and
// every doubling from there on has 8.
func bucket(tokens int64) int {
	n, shift := min(max(0, tokens), longest(127)), 0
	for n>>shift >= 16 {
		shift++
	}
	return shift*8 + int(n>>shift)
}

// longest returns the greatest length in a bucket.
func longest(bucket int) int64 {
	shift := max(0, bucket/8-1)
	return int64(bucket-shift*8+1)<<shift - 1
}
