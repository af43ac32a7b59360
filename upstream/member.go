package upstream

import (
	"sync"
	"sync/atomic"
	"time"

	"weir/policy"
)

// member is a deployment as one of those that serve a model: how it is configured,
// which never changes, and what outlives its configuration.
type member struct {
	Deployment
	*health
	*seat
}

// seat is what a deployment has had of a model's requests. The model's demand
// guards it.
type seat struct {
	turn int // of the weighted round robin
}

// health is what is known of a deployment, whichever model it serves. It outlives
// every request and every configuration that has the deployment.
type health struct {
	breaker *breaker
	lessons lessons

	mu        sync.Mutex
	twin      *policy.Twin // of its admission; nil nobody asks
	rest      time.Time    // until then it is left alone
	why       string       // what made it rest
	wrong     bool         // that was how it is configured
	inFlight  int
	told      policy.Room // what is left of its quota, as its answers last said
	throttled time.Time   // when it last refused for want of room
	demands   []*demand   // for the models that it serves; only ever replaced
}

// follow makes cfg what the deployment goes by from now on, and q what it admits as
// far as that is known. A rest that a configuration was the reason for ends with it.
func (h *health) follow(cfg *Config, q policy.Quota) {
	h.breaker.follow(cfg.Breaker)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.wrong {
		h.rest, h.wrong = time.Time{}, false
	}
	switch {
	case !cfg.Twin:
		h.twin = nil
	case h.twin == nil:
		twin := policy.NewTwin(q)
		h.twin = &twin
	default:
		h.twin.Resize(q)
	}
}

// serve notes whose requests the deployment serves from now on.
func (h *health) serve(demands []*demand) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.demands = demands
}

// reckoned returns what is left of the deployment's quota as its twin reckons. The
// caller holds mu.
func (h *health) reckoned() policy.Room {
	if h.twin == nil {
		return policy.Room{}
	}
	return h.twin.Room(time.Now())
}

// memory is how long something learned from a refusal holds.
const memory = time.Hour

// learned is a fact about a deployment that its answers taught, for a while.
type learned struct{ until atomic.Int64 }

func (l *learned) learn()      { l.until.Store(time.Now().Add(memory).UnixNano()) }
func (l *learned) forget()     { l.until.Store(0) }
func (l *learned) holds() bool { return time.Now().UnixNano() < l.until.Load() }

// restFor leaves the deployment alone for so long, or as long as it is already.
// Begins is that it was not left alone before.
func (h *health) restFor(d time.Duration, o policy.Outcome) (begins bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	begins = !now.Before(h.rest)
	if until := now.Add(d); until.After(h.rest) {
		h.rest, h.why, h.wrong = until, o.Reason, o.Class == policy.Misconfigured
	}
	return begins
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
	h.mu.Lock()
	demands := h.demands
	h.mu.Unlock()
	for _, d := range demands {
		d.wake()
	}
}
