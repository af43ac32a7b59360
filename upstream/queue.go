package upstream

import (
	"slices"
	"time"

	"weir/openai"
)

// Queue bounds the wait for a model none of whose deployments has room. The zero
// value lets nothing wait.
type Queue struct {
	MaxWait   time.Duration // of one request; 0: none waits
	MaxLength int           // how many may wait for one model
}

// waiter is a call that waits for a deployment.
type waiter struct {
	call   *openai.Call
	cost   int64
	placed chan place // holds one: where to go, or that there is no room
}

// place is a deployment that has been taken for a call. Where m is nil there is none.
type place struct {
	group  *group // as it is configured when the wait ends; nil: the model is gone
	m      *member
	report func(verdict)
}

// flow is what waits of one share, in order of arrival.
type flow struct {
	id      string
	weight  int64
	deficit int64 // tokens that it may still send in this round
	waiting []*waiter
}

// lane holds the flows of one priority.
type lane struct {
	flows  []*flow
	credit int64 // tokens that it is owed, however much waits in better lanes
}

// The lanes' floors and the deficit that a flow gains in a round for each unit of
// its weight, in tokens.
const (
	floor   = 8 // a lane is owed one token for so many that pass in others
	quantum = 256
)

// line is the queue of a model: strict by priority but for the floors, and inside
// one priority a weighted deficit round robin, in tokens. Its group guards it.
type line struct {
	lanes  [openai.Priorities]lane
	length int
}

func (l *line) lane(s openai.Share) *lane {
	return &l.lanes[min(max(s.Priority, 0), openai.Priorities-1)]
}

// add puts a waiter behind those of its share.
func (l *line) add(w *waiter) {
	s := w.call.Share
	lane := l.lane(s)
	i := slices.IndexFunc(lane.flows, func(f *flow) bool { return f.id == s.ID })
	if i < 0 {
		i = len(lane.flows)
		lane.flows = append(lane.flows, &flow{id: s.ID})
	}
	f := lane.flows[i]
	f.weight = int64(max(1, s.Weight))
	f.waiting = append(f.waiting, w)
	l.length++
}

// remove takes a waiter out and reports whether it was still in.
func (l *line) remove(w *waiter) bool {
	lane := l.lane(w.call.Share)
	for i, f := range lane.flows {
		at := slices.Index(f.waiting, w)
		if f.id != w.call.Share.ID || at < 0 {
			continue
		}
		f.waiting = slices.Delete(f.waiting, at, at+1)
		if len(f.waiting) == 0 {
			lane.flows = slices.Delete(lane.flows, i, i+1)
		}
		if len(lane.flows) == 0 {
			lane.credit = 0
		}
		l.length--
		return true
	}
	return false
}

// next returns the waiter whose turn it is, of those that may go; nil is none.
// The first of each flow is asked for, in the order of their claims.
func (l *line) next(may func(*waiter) bool) *waiter {
	for i := len(l.lanes) - 1; i > 0; i-- {
		lane := &l.lanes[i]
		if len(lane.flows) == 0 || lane.credit < lane.flows[0].waiting[0].cost {
			continue
		}
		if f := lane.next(may); f != nil {
			return f.waiting[0]
		}
	}
	for i := range l.lanes {
		if f := l.lanes[i].next(may); f != nil {
			return f.waiting[0]
		}
	}
	return nil
}

// next returns the flow whose turn it is. Where none has enough left of its
// round, the next round begins for all at once.
func (l *lane) next(may func(*waiter) bool) *flow {
	var able []*flow
	for _, f := range l.flows {
		if may(f.waiting[0]) {
			able = append(able, f)
		}
	}
	for len(able) > 0 {
		for _, f := range able {
			if f.deficit >= f.waiting[0].cost {
				return f
			}
		}
		for _, f := range able {
			f.deficit += quantum * f.weight
		}
	}
	return nil
}

// served charges a waiter that has its turn to its flow, and what it owes to the
// lanes that were passed over for it. The waiter is still in the line.
func (l *line) served(w *waiter) {
	own := l.lane(w.call.Share)
	for _, f := range own.flows {
		if f.id == w.call.Share.ID {
			f.deficit -= w.cost
		}
	}
	own.credit = max(0, own.credit-w.cost)
	for i := range l.lanes {
		if lane := &l.lanes[i]; lane != own && len(lane.flows) > 0 {
			lane.credit += w.cost/floor + 1
		}
	}
}

// last returns the waiter that a newcomer may push out: the last of the longest
// flow for its weight, of the worst priority; nil where the newcomer is no better.
func (l *line) last(s openai.Share) *waiter {
	mine := min(max(s.Priority, 0), openai.Priorities-1)
	for i := len(l.lanes) - 1; i >= mine; i-- {
		var longest *flow
		for _, f := range l.lanes[i].flows {
			if longest == nil || int64(len(f.waiting))*longest.weight > int64(len(longest.waiting))*f.weight {
				longest = f
			}
		}
		if longest == nil || i == mine && !shorter(l.lanes[i].flows, s, longest) {
			continue
		}
		return longest.waiting[len(longest.waiting)-1]
	}
	return nil
}

// shorter reports whether a share's flow with one more waiter would still be
// shorter for its weight than the longest.
func shorter(flows []*flow, s openai.Share, longest *flow) bool {
	waiting := int64(1)
	for _, f := range flows {
		if f.id == s.ID {
			waiting += int64(len(f.waiting))
		}
	}
	return waiting*longest.weight < int64(len(longest.waiting))*int64(max(1, s.Weight))
}

// all returns those who wait.
func (l *line) all() []*waiter {
	var all []*waiter
	for i := range l.lanes {
		for _, f := range l.lanes[i].flows {
			all = append(all, f.waiting...)
		}
	}
	return all
}

// first visits the first waiter of every flow.
func (l *line) first(visit func(*waiter)) {
	for i := range l.lanes {
		for _, f := range l.lanes[i].flows {
			visit(f.waiting[0])
		}
	}
}
