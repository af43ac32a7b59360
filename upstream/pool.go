package upstream

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"weir/openai"
	"weir/policy"
	"weir/usage"
)

// Pool sends calls to the deployments of their models. It is safe for concurrent
// use; what it learns of a deployment outlives every request.
type Pool struct {
	cfg Config

	stopped chan struct{} // closed by Stop

	mu     sync.Mutex
	live   map[*attempt]struct{}
	groups map[string]*group
	known  map[string]*health // of the configured deployments, by ID
	passed []string           // the models of groups that Any serves, oldest first
}

// maxPassed is how many models are remembered that Any serves. The names are the
// clients' own, so there is a bound.
const maxPassed = 256

// New returns a Pool.
func New(cfg Config) *Pool {
	if cfg.Jitter == nil {
		cfg.Jitter = rand.Float64
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &Pool{cfg: cfg, groups: map[string]*group{}, known: map[string]*health{}, live: map[*attempt]struct{}{}, stopped: make(chan struct{})}
	for name, m := range cfg.Models {
		p.groups[name] = p.group(name, m)
		for _, m := range p.groups[name].members {
			p.known[m.ID()] = m.health
		}
	}
	return p
}

func (p *Pool) group(name string, m Model) *group {
	g := &group{name: name, temperature: m.Temperature, budget: policy.NewBudget(time.Now())}
	for _, d := range m.Deployments {
		h := p.known[d.ID()]
		if h == nil {
			h = p.health(d)
		}
		h.groups = append(h.groups, g)
		g.members = append(g.members, &member{Deployment: d, health: h})
	}
	return g
}

func (p *Pool) health(d Deployment) *health {
	h := &health{breaker: newBreaker(d.ID(), p.cfg.Breaker)}
	if p.cfg.Twin {
		twin := policy.NewTwin(d.Quota)
		h.twin = &twin
	}
	return h
}

// find returns the deployments of a model, nil where it has none.
func (p *Pool) find(model string) *group {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g := p.groups[model]; g != nil || p.cfg.Any == nil {
		return g
	}
	if len(p.passed) >= maxPassed {
		delete(p.groups, p.passed[0])
		p.passed = p.passed[1:]
	}
	d := *p.cfg.Any
	d.Name = model
	p.groups[model] = p.group(model, Model{Deployments: []Deployment{d}})
	p.passed = append(p.passed, model)
	return p.groups[model]
}

// Stop breaks off everything that is under way, for good: nothing is begun any
// more. Streams that have begun end as if their deployments had failed.
func (p *Pool) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isStopped() {
		close(p.stopped)
	}
	for a := range p.live {
		a.cancel(errStopped)
	}
}

func (p *Pool) isStopped() bool {
	select {
	case <-p.stopped:
		return true
	default:
		return false
	}
}

// begin notes that an attempt is under way.
func (p *Pool) begin(a *attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live[a] = struct{}{}
	if p.isStopped() {
		a.cancel(errStopped)
	}
}

// State is what a deployment is doing.
type State struct {
	Deployment string
	Breaker    string // closed, open, half_open
	Rest       time.Duration
	InFlight   int
	Model      string   // that its answers name; "" none has come
	Learned    []string // what its refusals have taught of it, for an hour
}

// States returns what each deployment is doing, by their names.
func (p *Pool) States() []State {
	p.mu.Lock()
	defer p.mu.Unlock()
	var states []State
	told := map[*health]bool{}
	for _, g := range p.groups {
		for _, m := range g.members {
			if told[m.health] {
				continue
			}
			told[m.health] = true
			rest, _ := m.resting()
			model, facts := m.learnedOf()
			m.mu.Lock()
			states = append(states, State{Deployment: m.ID(), Breaker: m.breaker.state(), Rest: rest, InFlight: m.inFlight, Model: model, Learned: facts})
			m.mu.Unlock()
		}
	}
	slices.SortFunc(states, func(a, b State) int { return cmp.Compare(a.Deployment, b.Deployment) })
	return states
}

// Do sends the call to a deployment of its model, and to others, and again, as
// the retry rule says. The answer is the first that is one, or else what the last
// attempt came to. An error is an *openai.Error, or that of ctx where the caller
// is gone. Every attempt is noted in rec.
func (p *Pool) Do(ctx context.Context, call *openai.Call, rec *usage.Record) (*openai.Answer, error) {
	g := p.find(call.Model)
	if g == nil {
		return nil, &openai.Error{Status: 404, Code: openai.CodeModelNotFound, Param: "model", Message: "The model is not served here."}
	}
	r := &run{Pool: p, group: g, call: call, rec: rec, start: time.Now(), tried: map[*member]int{}, renewed: map[renewer]bool{}}
	total := cmp.Or(p.cfg.Timeouts.Total, forever)
	r.ends = r.start.Add(total)
	if p.cfg.Twin || p.cfg.Queue.MaxWait > 0 {
		r.cost = estimate(call)
	}
	if call.Within > 0 && call.Within < total {
		r.ends, r.hasty = r.start.Add(call.Within), true
	}
	timed, stop := context.WithDeadlineCause(ctx, r.start.Add(total), errTime)
	leave := g.enter()
	defer func() { rec.Upstream += time.Since(r.start) }()
	answer, err := r.do(timed)
	if err == nil {
		r.call = nil // a stream must not hold it
		inner, once := answer.Close, sync.Once{}
		answer.Close = func(cut error) {
			once.Do(func() {
				if inner != nil {
					inner(cut)
				}
				leave()
				stop()
			})
		}
		return answer, nil
	}
	leave()
	stop()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, err
}

// forever is longer than any request lasts.
const forever = 24 * time.Hour
