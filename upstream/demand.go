package upstream

import (
	"slices"
	"time"

	"weir/openai"
	"weir/policy"
)

// admit puts a waiter into the line, in place of another where it is full. The
// caller holds mu.
func (d *demand) admit(w *waiter, most int) bool {
	if d.line.length >= most {
		out := d.line.last(w.call.Share)
		if out == nil {
			return false
		}
		d.drop(out)
		out.placed <- place{group: d.now}
	}
	d.line.add(w)
	d.waiting.Add(1)
	d.active-- // it costs no deployment anything yet
	return true
}

// drop takes a waiter out of the line. The caller holds mu.
func (d *demand) drop(w *waiter) bool {
	if !d.line.remove(w) {
		return false
	}
	d.waiting.Add(-1)
	d.active++
	return true
}

// quit takes a waiter out of the line whose time is over. Where its turn has come
// meanwhile, it is returned.
func (d *demand) quit(w *waiter) place {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.drop(w) {
		d.dispatch()
		return place{group: d.now}
	}
	return <-w.placed
}

// wake lets in who may go by now.
func (d *demand) wake() {
	if d.waiting.Load() == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dispatch()
}

// dispatch gives deployments that have room to those whose turn it is. What the
// first of a flow waits for is not given to others behind its back. The caller
// holds mu.
func (d *demand) dispatch() {
	held := map[*member]bool{}
	for d.line.length > 0 {
		w := d.line.next(func(w *waiter) bool { return d.now.able(w, held) })
		if w == nil {
			break
		}
		m, report := d.now.begin(w.cost, func(m *member) bool { return held[m] || !m.fits(w.call) })
		if m == nil { // its breaker has changed its mind
			break
		}
		d.line.served(w)
		d.drop(w)
		w.placed <- place{d.now, m, report}
	}
	d.set()
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
func (d *demand) set() {
	soonest := policy.Never
	d.line.first(func(w *waiter) {
		for _, m := range d.now.members {
			if wait, ok := m.opens(w.cost); ok && wait > 0 && m.fits(w.call) {
				soonest = min(soonest, wait)
			}
		}
	})
	switch {
	case soonest >= policy.Never:
		if d.alarm != nil {
			d.alarm.Stop()
		}
	case d.alarm == nil:
		d.alarm = time.AfterFunc(soonest, d.wake)
	default:
		d.alarm.Reset(soonest)
	}
}

// follow makes g what those who wait are served by; nil is that the model is gone.
// Whom none of its deployments will ever serve is told so. What is now too large
// for every quota as it is known is not held back, as it is not when it comes.
func (d *demand) follow(g *group) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = g
	for _, w := range d.line.all() {
		if g == nil || !g.serves(w.call) {
			d.drop(w)
			w.placed <- place{group: g}
			continue
		}
		if wait, useful := g.soonest(w.call, w.cost); useful && wait >= policy.Never {
			w.cost = 0
		}
	}
	d.dispatch()
}

// serves reports whether any of the deployments may ever be asked.
func (g *group) serves(c *openai.Call) bool {
	return slices.ContainsFunc(g.members, func(m *member) bool { return m.Weight > 0 && m.fits(c) })
}
