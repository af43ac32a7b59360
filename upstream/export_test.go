package upstream

// Counted returns what the breaker of a deployment has counted of late.
func (p *Pool) Counted(id string) (good, bad int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.groups {
		for _, m := range g.members {
			if m.ID() != id {
				continue
			}
			m.breaker.past.mu.Lock()
			for _, s := range m.breaker.past.slots {
				good, bad = good+s.good, bad+s.bad
			}
			m.breaker.past.mu.Unlock()
			return good, bad
		}
	}
	return good, bad
}

// Remembered returns how many models the pool knows.
func (p *Pool) Remembered() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.groups)
}

// Live returns how many attempts are under way.
func (p *Pool) Live() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.live)
}

// Served returns how many models a deployment wakes the waiters of.
func (p *Pool) Served(id string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.known {
		if h.breaker.name == id {
			return len(h.demands)
		}
	}
	return 0
}
