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
