package upstream

import (
	"context"
	"fmt"
	"strings"
	"time"

	"weir/openai"
	"weir/policy"
)

// estimate is what Azure takes a call for when it arrives.
func estimate(c *openai.Call) int64 {
	const frame = 12 // characters that a message adds, and as many for the answer's beginning
	characters := int64(frame)
	for range c.Request.Messages() {
		characters += frame
	}
	c.Request.Texts(func(run []openai.Value) bool {
		for _, v := range run {
			characters += int64(len(v.Raw()))
		}
		return true
	})
	return policy.Estimate(characters, c.Request.Choices, c.Request.MaxTokens)
}

// enter begins the first attempt: at once where a deployment has room and nobody
// waits for it, or in turn; nil is that there is none to be.
func (r *run) enter(ctx context.Context) (*member, func(verdict)) {
	d := r.group.demand
	d.mu.Lock()
	if !r.follow(d.now) {
		d.mu.Unlock()
		return nil, nil
	}
	if d.line.length == 0 {
		if m, report := d.now.begin(r.cost, r.misfit); m != nil {
			d.mu.Unlock()
			return m, report
		}
	}
	w, patience := r.join()
	d.mu.Unlock()
	if w == nil {
		return nil, nil
	}
	start := time.Now()
	defer func() { r.rec.Queued += time.Since(start) }()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var p place
	select {
	case p = <-w.placed:
	case <-timer.C:
		p = d.quit(w)
	case <-ctx.Done():
		p = d.quit(w)
	case <-r.stopped:
		p = d.quit(w)
	}
	r.follow(p.group)
	if p.m != nil && (ctx.Err() != nil || r.isStopped()) {
		p.m.leave()
		p.report(neutral)
		return nil, nil
	}
	return p.m, p.report
}

// follow makes g, and with it the configuration that it belongs to, what the run
// goes by. It may be called only before the first attempt. Where g is nil, the
// model is gone, and ok is false.
func (r *run) follow(g *group) (ok bool) {
	r.group = g
	if g != nil {
		r.Pool = g.pool
	}
	return g != nil
}

func (r *run) misfit(m *member) bool { return !m.fits(r.call) }

// join puts the run into the queue, where waiting may help it in time. The caller
// holds the group's mu. A request that is too large for every quota as it is
// known is not held back: it is not for the gateway to say.
func (r *run) join() (w *waiter, patience time.Duration) {
	g := r.group
	patience = min(r.cfg.Queue.MaxWait, time.Until(r.ends)-least)
	soonest, useful := g.soonest(r.call, r.cost)
	w = &waiter{call: r.call, cost: r.cost, placed: make(chan place, 1)}
	if useful && soonest >= policy.Never {
		if m, report := g.begin(0, r.misfit); m != nil {
			w.placed <- place{g, m, report}
			return w, 0
		}
		return nil, 0
	}
	if !useful || r.cfg.Queue.MaxWait <= 0 || soonest > patience || !g.admit(w, r.cfg.Queue.MaxLength) {
		return nil, 0
	}
	g.dispatch()
	return w, patience
}

// soonest returns how long it is at least until a deployment has room for the
// call; useful is false where waiting is no use.
func (g *group) soonest(c *openai.Call, cost int64) (wait time.Duration, useful bool) {
	for _, m := range g.members {
		if opens, ok := m.opens(cost); ok && m.fits(c) && (!useful || opens < wait) {
			wait, useful = opens, true
		}
	}
	return wait, useful
}

// observe corrects the deployment's twin by an answer to a request that was sent
// at a time.
func (h *health) observe(header func(string) string, sent time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = h.told.And(policy.Told(header))
	if h.twin != nil {
		h.twin.Observe(header, sent, time.Now())
	}
}

// refused tells the deployment's twin of a 429.
func (h *health) refused(o policy.Outcome, rest time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o.Class == policy.Throttled {
		h.throttled = time.Now()
	}
	if h.twin != nil && o.Class == policy.Throttled {
		h.twin.Refused(rest, time.Now())
	}
}

// condition describes why none of the deployments that a call fits may be asked,
// and how long it is at least until one may be. Throttled is whether waiting is
// all it takes. Why is "" where the call fits none.
func (g *group) condition(c *openai.Call, cost int64) (why string, wait time.Duration, throttled bool) {
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
		case m.quota(cost) > 0:
			full := m.quota(cost)
			reasons = append(reasons, m.ID()+"'s quota is used up for "+full.Round(time.Millisecond).String())
			wait = min(wait, full)
		default:
			reasons = append(reasons, m.ID()+" is busy")
			wait, throttled = min(wait, time.Second), false
		}
	}
	return strings.Join(reasons, ", "), wait, throttled
}
