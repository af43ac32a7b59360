package upstream

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/openai"
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
	fixed   learned // it refuses a temperature
	noUsage learned // it refuses stream_options
	swapped learned // it wants the other field for the output bound

	mu       sync.Mutex
	rest     time.Time // until then it is left alone
	why      string    // what made it rest
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

// ready reports whether the deployment may be asked now, as far as can be told
// without asking its breaker for leave.
func (m *member) ready() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Weight > 0 && !time.Now().Before(m.rest) && (m.MaxInFlight == 0 || m.inFlight < m.MaxInFlight) &&
		m.breaker.admits()
}

// load returns the requests in flight for each unit of weight.
func (m *member) load() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return float64(m.inFlight) / float64(m.Weight)
}

// take begins a call where the breaker and the bulkhead let it.
func (m *member) take() (report func(verdict), ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.MaxInFlight > 0 && m.inFlight >= m.MaxInFlight {
		return nil, false
	}
	report, ok = m.breaker.allow()
	if ok {
		m.inFlight++
	}
	return report, ok
}

// leave ends a call.
func (h *health) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inFlight--
}

// group is a model's deployments.
type group struct {
	name        string
	temperature Temperature
	members     []*member

	mu       sync.Mutex // also guards the members' turns
	active   int        // requests being served
	retrying int        // those of them that are being tried again
}

// enter counts a request; leave ends it.
func (g *group) enter() (leave func()) {
	g.mu.Lock()
	g.active++
	g.mu.Unlock()
	return sync.OnceFunc(func() {
		g.mu.Lock()
		g.active--
		g.mu.Unlock()
	})
}

// The retry budget: how many requests of a model may be tried again at a time.
const (
	fewRetries = 3
	retryShare = 0.2
)

// again asks for leave to try a request again; end gives it back.
func (g *group) again() (end func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if float64(g.retrying) >= max(fewRetries, retryShare*float64(g.active)) {
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
func (g *group) pick(skip func(*member) bool) (m *member, report func(verdict)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	refused := map[*member]bool{}
	for {
		m := g.best(func(m *member) bool { return skip(m) || refused[m] })
		if m == nil {
			return nil, nil
		}
		if report, ok := m.take(); ok {
			return m, report
		}
		refused[m] = true
	}
}

// best returns the deployment that pick would begin with. The caller holds mu.
func (g *group) best(skip func(*member) bool) *member {
	var tied []*member
	for _, m := range g.members {
		if skip(m) || !m.ready() {
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

// condition describes why none of the deployments that a call fits may be asked,
// and how long it is at least until one may be. Throttled is whether waiting is
// all it takes. Why is "" where the call fits none.
func (g *group) condition(c *openai.Call) (why string, wait time.Duration, throttled bool) {
	wait, throttled = time.Hour, true
	reasons := make([]string, 0, len(g.members))
	for _, m := range g.members {
		if !m.fits(c) {
			continue
		}
		rest, cause := m.resting()
		switch {
		case m.Weight < 1:
			reasons = append(reasons, m.ID()+" has no weight")
			throttled = false
		case rest > 0:
			reasons = append(reasons, fmt.Sprintf("%s rests %s (%s)", m.ID(), rest.Round(time.Millisecond), cause))
			wait = min(wait, rest)
			throttled = throttled && cause == "429"
		case m.breaker.state() == "open":
			reasons = append(reasons, m.ID()+" failed too often and is left alone")
			wait, throttled = min(wait, m.breaker.opens()), false
		default:
			reasons = append(reasons, m.ID()+" is busy")
			wait, throttled = min(wait, time.Second), false
		}
	}
	return strings.Join(reasons, ", "), wait, throttled
}
