package upstream

import (
	"sync"
	"sync/atomic"
	"time"

	"weir/policy"
)

// group is a model's deployments, as they are configured. It never changes.
type group struct {
	pool        *Pool
	name        string
	temperature Temperature
	members     []*member
	*demand
}

// demand is who wants a model. It outlives the configurations that have the model.
type demand struct {
	mu       sync.Mutex // also guards the members' seats
	now      *group     // that those who wait are served by; nil: the model is gone
	active   int        // requests being served
	retrying int        // those of them that are being tried again
	budget   policy.Budget
	line     line // requests that wait to be served
	alarm    *time.Timer
	waiting  atomic.Int32 // the length of line, for those who do not hold mu
}

// enter counts a request; leave ends it.
func (d *demand) enter() (leave func()) {
	d.mu.Lock()
	d.active++
	d.budget.Request(time.Now())
	d.mu.Unlock()
	return sync.OnceFunc(func() {
		d.mu.Lock()
		d.active--
		d.mu.Unlock()
	})
}

// The retry budget: how many requests of a model may be tried again at a time,
// besides how many may be for those that come.
const (
	fewRetries = 3
	retryShare = 0.2
)

// again asks for leave to try a request again; end gives it back. A cure is not
// taken out of the budget: it is no load that makes a model write what cannot be
// sent.
func (d *demand) again(cure bool) (end func(), ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if float64(d.retrying) >= max(fewRetries, retryShare*float64(d.active)) {
		return nil, false
	}
	if !cure && !d.budget.Retry(time.Now()) {
		return nil, false
	}
	d.retrying++
	return sync.OnceFunc(func() {
		d.mu.Lock()
		d.retrying--
		d.mu.Unlock()
	}), true
}

// pick begins a call at the best deployment that may be asked: of the first
// priority that has one, the least loaded for its weight, in turns where several
// are. Those that skip names are passed over.
func (g *group) pick(cost int64, skip func(*member) bool) (m *member, report func(verdict)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.begin(cost, skip)
}

// begin is pick for a caller that holds mu.
func (g *group) begin(cost int64, skip func(*member) bool) (m *member, report func(verdict)) {
	refused := map[*member]bool{}
	for {
		m := g.best(cost, func(m *member) bool { return skip(m) || refused[m] })
		if m == nil {
			return nil, nil
		}
		if report, ok := m.take(cost); ok {
			return m, report
		}
		refused[m] = true
	}
}

// best returns the deployment that pick would begin with. The caller holds mu.
func (g *group) best(cost int64, skip func(*member) bool) *member {
	var tied []*member
	for _, m := range g.members {
		if skip(m) || !m.ready(cost) {
			continue
		}
		switch {
		case len(tied) == 0 || m.Priority < tied[0].Priority:
			tied = append(tied[:0], m)
		case m.Priority > tied[0].Priority:
		case m.load() < tied[0].load():
			tied = append(tied[:0], m)
		case m.load() == tied[0].load():
			tied = append(tied, m)
		}
	}
	return inTurn(tied)
}

// inTurn returns the member whose turn it is, each as often as its weight says
// and as evenly as can be.
func inTurn(tied []*member) *member {
	var next *member
	total := 0
	for _, m := range tied {
		total += m.Weight
		m.turn += m.Weight
		if next == nil || m.turn > next.turn {
			next = m
		}
	}
	if next != nil {
		next.turn -= total
	}
	return next
}
