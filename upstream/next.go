package upstream

import (
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"weir/policy"
)

// succession is what pools that follow one another have in common.
type succession struct {
	stopped chan struct{} // closed by Stop

	mu     sync.Mutex            // also guards the pools' maps
	live   map[*attempt]struct{} // of all of them
	latest *Pool
}

// identity is what makes a deployment the same one in two configurations.
type identity struct {
	backend, name string
	kind          Kind
	endpoint      string
}

func (d *Deployment) identity() identity {
	return identity{d.Backend, d.Name, d.Kind, d.Endpoint.String()}
}

// New returns a Pool.
func New(cfg Config) *Pool {
	s := &succession{live: map[*attempt]struct{}{}, stopped: make(chan struct{}), latest: &Pool{}}
	return s.next(cfg)
}

// Next returns the pool that follows p with another configuration, and has taken
// over when Next returns: it serves whoever waits, and calls that p is still asked
// for go by cfg as well. What is under way goes on as it was begun.
//
// A deployment of the same backend, name, kind and endpoint keeps its breaker, its
// rest, its requests in flight, how much of its quota is used, and what was learned
// of it; a model of the same name keeps its retry budget, its turns and its queue.
// What cfg does not have is forgotten.
func (p *Pool) Next(cfg Config) *Pool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next(cfg)
}

// next puts a pool in the place of the latest. The caller holds mu, or has s to
// itself.
func (s *succession) next(cfg Config) *Pool {
	if cfg.Jitter == nil {
		cfg.Jitter = rand.Float64
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	before := s.latest
	p := &Pool{cfg: cfg, succession: s, groups: map[string]*group{}, known: map[identity]*health{}}
	for _, name := range slices.Sorted(maps.Keys(cfg.Models)) {
		p.groups[name] = p.group(name, cfg.Models[name], before)
	}
	if cfg.Any != nil {
		for _, name := range p.passable(before) {
			p.pass(name, before)
		}
	}
	p.places = p.resources()
	p.cold = maps.Clone(p.places)
	maps.DeleteFunc(p.cold, func(r resource, _ string) bool { _, had := before.places[r]; return had })
	s.latest = p
	p.takeOver(before)
	return p
}

// passable returns the models that the pool before served, and that only Any can
// serve now: those that Any served already, oldest first, then the others.
func (p *Pool) passable(before *Pool) []string {
	var names []string
	for _, name := range slices.Concat(before.passed, slices.Sorted(maps.Keys(before.groups))) {
		if p.groups[name] == nil && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names[max(0, len(names)-maxPassed):]
}

// takeOver makes p's what waits for the deployments of the pool before it. The
// caller holds mu.
func (p *Pool) takeOver(before *Pool) {
	served := map[*health][]*demand{}
	for _, g := range p.groups {
		for _, m := range g.members {
			if !slices.Contains(served[m.health], g.demand) {
				served[m.health] = append(served[m.health], g.demand)
			}
		}
	}
	for _, all := range []map[identity]*health{before.known, p.known} {
		for _, h := range all {
			h.serve(served[h])
		}
	}
	for name, g := range before.groups {
		if p.groups[name] == nil {
			g.follow(nil)
		}
	}
	for _, g := range p.groups {
		g.follow(g)
	}
}

// group returns the deployments of a model, with the state that the pool before
// leaves of them. The caller holds mu.
func (p *Pool) group(name string, model Model, before *Pool) *group {
	g := &group{pool: p, name: name, temperature: model.Temperature}
	seats := map[*health]*seat{}
	if old := before.groups[name]; old != nil {
		g.demand = old.demand
		for _, m := range old.members {
			seats[m.health] = m.seat
		}
	} else {
		g.demand = &demand{budget: policy.NewBudget(time.Now())}
	}
	for _, d := range model.Deployments {
		h := p.health(&d, before)
		if seats[h] == nil {
			seats[h] = &seat{}
		}
		g.members = append(g.members, &member{Deployment: d, health: h, seat: seats[h]})
	}
	return g
}

func (p *Pool) health(d *Deployment, before *Pool) *health {
	id := d.identity()
	if h := p.known[id]; h != nil {
		return h
	}
	h := before.known[id]
	if h == nil {
		h = &health{breaker: newBreaker(d.ID(), p.cfg.Breaker)}
		log, name := p.cfg.Log, d.ID()
		h.breaker.changed = func(was, is string) { log.Warn("deployment", "deployment", name, "breaker", is, "was", was) }
	}
	h.follow(&p.cfg, d.Quota)
	p.known[id] = h
	return h
}

// find returns the deployments of a model as they are configured by now, nil where
// it has none.
func (s *succession) find(model string) *group {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.latest
	if g := p.groups[model]; g != nil || p.cfg.Any == nil {
		return g
	}
	g := p.pass(model, &Pool{})
	for _, m := range g.members {
		m.serve(append(slices.Clip(m.demands), g.demand))
	}
	g.follow(g)
	return g
}

// maxPassed is how many models are remembered that Any serves. The names are the
// clients' own, so there is a bound.
const maxPassed = 256

// pass lets Any serve a model. The caller holds mu.
func (p *Pool) pass(model string, before *Pool) *group {
	if len(p.passed) >= maxPassed {
		p.forget()
	}
	d := *p.cfg.Any
	d.Name = model
	g := p.group(model, Model{Deployments: []Deployment{d}}, before)
	p.groups[model] = g
	p.passed = append(p.passed, model)
	return g
}

// forget forgets the oldest model that Any serves, and nobody waits for. The caller
// holds mu.
func (p *Pool) forget() {
	i := max(0, slices.IndexFunc(p.passed, func(name string) bool { return p.groups[name].waiting.Load() == 0 }))
	g := p.groups[p.passed[i]]
	delete(p.groups, g.name)
	p.passed = slices.Delete(p.passed, i, i+1)
	for _, m := range g.members {
		others := slices.DeleteFunc(slices.Clone(m.demands), func(d *demand) bool { return d == g.demand })
		if len(others) == 0 {
			delete(p.known, m.identity())
			continue
		}
		m.serve(others)
	}
}
