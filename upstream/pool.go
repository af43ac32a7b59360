package upstream

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"weir/openai"
	"weir/policy"
	"weir/usage"
)

// Pool sends calls to the deployments of their models. It is safe for concurrent
// use; what it learns of a deployment outlives every request, and the Pool, where
// another follows it.
type Pool struct {
	cfg Config
	*succession

	groups map[string]*group
	known  map[identity]*health // of the groups' deployments
	passed []string             // the models of groups that Any serves, oldest first
	places map[resource]string  // that requests go to, and whose they are
	cold   map[resource]string  // those of them that the pool before did not have
}

// Stop breaks off everything that is under way, for good, also what was begun on
// pools that this one has followed: nothing is begun any more. Streams that have
// begun end as if their deployments had failed.
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
	Why        string        // it rests
	Probe      time.Duration // until one that is open is tried again
	InFlight   int
	Model      string      // that its answers name; "" none has come
	Learned    []string    // what its refusals have taught of it, for an hour
	Told       policy.Room // what is left of its quota, as its answers last said
	Twin       policy.Room // and as its twin reckons
	Throttled  time.Time   // when it last refused for want of room; zero: never
}

// Doing returns what the deployment is doing, in one word: as its breaker stands, or
// resting where that is closed.
func (s *State) Doing() string {
	if s.Breaker == "closed" && s.Rest > 0 {
		return "resting"
	}
	return s.Breaker
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
			rest, why := m.resting()
			if rest == 0 {
				why = ""
			}
			model, facts := m.learnedOf()
			m.mu.Lock()
			states = append(states, State{
				Deployment: m.ID(), Breaker: m.breaker.state(), Rest: rest, Why: why, Probe: m.breaker.opens(), InFlight: m.inFlight, Model: model, Learned: facts,
				Told: m.told, Twin: m.reckoned(), Throttled: m.throttled,
			})
			m.mu.Unlock()
		}
	}
	slices.SortFunc(states, func(a, b State) int { return cmp.Compare(a.Deployment, b.Deployment) })
	return states
}

// Available returns for each model whether any of its deployments may be asked now:
// whether one neither rests nor is shut out.
func (p *Pool) Available() map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[string]bool, len(p.groups))
	for name, g := range p.groups {
		all[name] = slices.ContainsFunc(g.members, (*member).open)
	}
	return all
}

// open reports whether the deployment takes requests, if it has room.
func (m *member) open() bool {
	rest, _ := m.resting()
	return m.Weight > 0 && rest == 0 && m.breaker.admits()
}

// Do sends the call to a deployment of its model, and to others, and again, as
// the retry rule says. The answer is the first that is one, or else what the last
// attempt came to. An error is an *openai.Error, or that of ctx where the caller
// is gone. Every attempt is noted in rec.
func (p *Pool) Do(ctx context.Context, call *openai.Call, rec *usage.Record) (*openai.Answer, error) {
	g := p.find(call.Model)
	if g == nil {
		return nil, unserved()
	}
	p = g.pool
	r := &run{Pool: p, group: g, call: call, rec: rec, start: time.Now(), aside: aside(call), calls: len(rec.Attempts), tried: map[*member]int{}, renewed: map[renewer]bool{}}
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

// unserved returns the error that a model is none that is served.
func unserved() error {
	return &openai.Error{Status: 404, Code: openai.CodeModelNotFound, Param: "model", Message: "The model is not served here."}
}

// forever is longer than any request lasts.
const forever = 24 * time.Hour
