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
	g := r.group
	g.mu.Lock()
	if g.line.length == 0 {
		if m, report := g.begin(r.cost, r.misfit); m != nil {
			g.mu.Unlock()
			return m, report
		}
	}
	w, patience := r.join()
	g.mu.Unlock()
	if w == nil {
		return nil, nil
	}
	start := time.Now()
	defer func() { r.rec.Queued += time.Since(start) }()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case p := <-w.placed:
		return p.m, p.report
	case <-timer.C:
	case <-ctx.Done():
	case <-r.stopped:
	}
	p := g.quit(w)
	if p.m != nil && (ctx.Err() != nil || r.isStopped()) {
		p.m.leave()
		p.report(neutral)
		return nil, nil
	}
	return p.m, p.report
}

func (r *run) misfit(m *member) bool { return !m.fits(r.call) }

// join puts the run into the queue, where waiting may help it in time. The caller
// holds the group's mu. A request that is too large for every quota as it is
// known is not held back: it is not for the gateway to say.
func (r *run) join() (w *waiter, patience time.Duration) {
	g := r.group
	patience = min(r.cfg.Queue.MaxWait, time.Until(r.ends)-least)
	soonest, useful := r.soonest()
	w = &waiter{call: r.call, cost: r.cost, placed: make(chan place, 1)}
	if useful && soonest >= policy.Never {
		if m, report := g.begin(0, r.misfit); m != nil {
			w.placed <- place{m, report}
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
func (r *run) soonest() (wait time.Duration, useful bool) {
	for _, m := range r.group.members {
		if opens, ok := m.opens(r.cost); ok && m.fits(r.call) && (!useful || opens < wait) {
			wait, useful = opens, true
		}
	}
	return wait, useful
}

// admit puts a waiter into the line, in place of another where it is full. The
// caller holds mu.
func (g *group) admit(w *waiter, most int) bool {
	if g.line.length >= most {
		out := g.line.last(w.call.Share)
		if out == nil {
			return false
		}
		g.drop(out)
		out.placed <- place{}
	}
	g.line.add(w)
	g.waiting.Add(1)
	g.active-- // it costs no deployment anything yet
	return true
}

// drop takes a waiter out of the line. The caller holds mu.
func (g *group) drop(w *waiter) bool {
	if !g.line.remove(w) {
		return false
	}
	g.waiting.Add(-1)
	g.active++
	return true
}

// quit takes a waiter out of the line whose time is over. Where its turn has come
// meanwhile, it is returned.
func (g *group) quit(w *waiter) place {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.drop(w) {
		g.dispatch()
		return place{}
	}
	return <-w.placed
}

// wake lets in who may go by now.
func (g *group) wake() {
	if g.waiting.Load() == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dispatch()
}

// dispatch gives deployments that have room to those whose turn it is. What the
// first of a flow waits for is not given to others behind its back. The caller
// holds mu.
func (g *group) dispatch() {
	held := map[*member]bool{}
	for g.line.length > 0 {
		w := g.line.next(func(w *waiter) bool { return g.able(w, held) })
		if w == nil {
			break
		}
		m, report := g.begin(w.cost, func(m *member) bool { return held[m] || !m.fits(w.call) })
		if m == nil { // its breaker has changed its mind
			break
		}
		g.line.served(w)
		g.drop(w)
		w.placed <- place{m, report}
	}
	g.set()
}

// able reports whether a deployment has room for a waiter. Where none has, those
// that it could go to are held for it.
func (g *group) able(w *waiter, held map[*member]bool) bool {
	for _, m := range g.members {
		if !held[m] && m.fits(w.call) && m.ready(w.cost) {
			return true
		}
	}
	for _, m := range g.members {
		if m.fits(w.call) {
			held[m] = true
		}
	}
	return false
}

// set arranges for the moment when a deployment is known to have room for one of
// the first. The caller holds mu.
func (g *group) set() {
	soonest := policy.Never
	g.line.first(func(w *waiter) {
		for _, m := range g.members {
			if wait, ok := m.opens(w.cost); ok && wait > 0 && m.fits(w.call) {
				soonest = min(soonest, wait)
			}
		}
	})
	switch {
	case soonest >= policy.Never:
		if g.alarm != nil {
			g.alarm.Stop()
		}
	case g.alarm == nil:
		g.alarm = time.AfterFunc(soonest, g.wake)
	default:
		g.alarm.Reset(soonest)
	}
}

// observe corrects the deployment's twin by an answer to a request that was sent
// at a time.
func (h *health) observe(header func(string) string, sent time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.twin != nil {
		h.twin.Observe(header, sent, time.Now())
	}
}

// refused tells the deployment's twin of a 429.
func (h *health) refused(o policy.Outcome, rest time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
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
