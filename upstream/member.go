package upstream

import (
	"sync"
	"sync/atomic"
	"time"

	"weir/policy"
)

// member is a deployment as one of those that serve a model.
type member struct {
	Deployment
	*health

	turn int // of the weighted round robin; its group guards it
}

// health is what is known of a deployment, whichever model it serves. It outlives
// every request.
type health struct {
	breaker *breaker
	lessons lessons
	fixed   learned  // it refuses a temperature
	noUsage learned  // it refuses stream_options
	swapped learned  // it wants the other field for the output bound
	groups  []*group // of the models that it serves; set before any is asked for

	mu       sync.Mutex
	twin     *policy.Twin // of its admission; nil nobody asks
	rest     time.Time    // until then it is left alone
	why      string       // what made it rest
	inFlight int
}

// memory is how long something learned from a refusal holds.
const memory = time.Hour

// learned is a fact about a deployment that its answers taught, for a while.
type learned struct{ until atomic.Int64 }

func (l *learned) learn()      { l.until.Store(time.Now().Add(memory).UnixNano()) }
func (l *learned) forget()     { l.until.Store(0) }
func (l *learned) holds() bool { return time.Now().UnixNano() < l.until.Load() }

// restFor leaves the deployment alone for so long, or as long as it is already.
func (h *health) restFor(d time.Duration, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if until := time.Now().Add(d); until.After(h.rest) {
		h.rest, h.why = until, why
	}
}

// resting returns how long the deployment is still to be left alone.
func (h *health) resting() (time.Duration, string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(0, time.Until(h.rest)), h.why
}

// ready reports whether the deployment may be asked now for so many tokens, as
// far as can be told without asking its breaker for leave.
func (m *member) ready(cost int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Weight > 0 && !time.Now().Before(m.rest) && (m.MaxInFlight == 0 || m.inFlight < m.MaxInFlight) &&
		m.admission(cost) == 0 && m.breaker.admits()
}

// admission returns how long it is until the deployment's quota admits so many
// tokens. The caller holds mu.
func (h *health) admission(cost int64) time.Duration {
	if h.twin == nil {
		return 0
	}
	return h.twin.Wait(cost, time.Now())
}

// quota returns how long it is until the deployment's quota admits so many
// tokens.
func (h *health) quota(cost int64) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.admission(cost)
}

// opens returns how long the deployment is known to have no room for so many
// tokens, 0 where it has or nobody knows; ok is false where waiting is no use.
func (m *member) opens(cost int64) (wait time.Duration, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	wait = max(0, time.Until(m.rest), m.admission(cost))
	return wait, m.Weight > 0 && m.breaker.admits()
}

// load returns the requests in flight for each unit of weight.
func (m *member) load() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return float64(m.inFlight) / float64(m.Weight)
}

// take begins a call where the breaker and the bulkhead let it.
func (m *member) take(cost int64) (report func(verdict), ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.MaxInFlight > 0 && m.inFlight >= m.MaxInFlight {
		return nil, false
	}
	report, ok = m.breaker.allow()
	if ok {
		m.inFlight++
		if m.twin != nil {
			m.twin.Send(cost, time.Now())
		}
	}
	return report, ok
}

// leave ends a call, and lets in who waits for its place.
func (h *health) leave() {
	h.mu.Lock()
	h.inFlight--
	h.mu.Unlock()
	h.wake()
}

// wake lets in who has waited for the deployment to have room.
func (h *health) wake() {
	for _, g := range h.groups {
		g.wake()
	}
}

// group is a model's deployments.
type group struct {
	name        string
	temperature Temperature
	members     []*member

	mu       sync.Mutex // also guards the members' turns
	active   int        // requests being served
	retrying int        // those of them that are being tried again
	budget   policy.Budget
	line     line // requests that wait to be served
	alarm    *time.Timer
	waiting  atomic.Int32 // the length of line, for those who do not hold mu
}

// enter counts a request; leave ends it.
func (g *group) enter() (leave func()) {
	g.mu.Lock()
	g.active++
	g.budget.Request(time.Now())
	g.mu.Unlock()
	return sync.OnceFunc(func() {
		g.mu.Lock()
		g.active--
		g.mu.Unlock()
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
func (g *group) again(cure bool) (end func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if float64(g.retrying) >= max(fewRetries, retryShare*float64(g.active)) {
		return nil, false
	}
	if !cure && !g.budget.Retry(time.Now()) {
		return nil, false
	}
	g.retrying++
	return sync.OnceFunc(func() {
		g.mu.Lock()
		g.retrying--
		g.mu.Unlock()
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
