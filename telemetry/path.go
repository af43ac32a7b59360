package telemetry

import (
	"sync"

	"weir/usage"
)

// facts are a record's own as labels have them.
type facts struct {
	*vocabulary

	model, deployment, team, key, code, served string
}

// facts returns what the labels of a record's series are.
func (m *Metrics) facts(words *vocabulary, r *usage.Record) facts {
	v := facts{vocabulary: words}
	v.model, v.deployment, v.code = v.models.fold(r.Model), v.deployments.fold(r.Deployment), told(m.codes, r.Code)
	if r.Model == "" && (r.Code == "model_not_found" || r.Code == "DeploymentNotFound") {
		v.model = other
	}
	if m.cfg.Team {
		v.team = v.teams.fold(r.Team)
	}
	if m.cfg.Key {
		v.key = r.Key
	}
	if m.genai != nil {
		v.served = m.genai.served.fold(r.Served)
	}
	return v
}

// path is where a request is measured: the series that it has in common with most of
// the requests like it. To look for each of them costs more than to add to it.
type path struct {
	facts

	ended     *count
	used      *use       // nil: nothing was used
	decisions *decisions // nil: no rule decided

	duration, overhead, estimate *distribution
	first, each                  *distribution // of streams

	answered bool // the last attempt was an answer, and is measured where the next two say
	answer   attempt
	call     *calls
	offer    *offers // nil: the request is none of a model, and call is nil too
}

// kind is what requests have in common whose paths are the same.
type kind struct {
	route, model, deployment, team, key, served, policy string

	outcome usage.Outcome
	code    string

	operation usage.Operation
	status    int // of an error; 0 there was none

	stream, shadow, spent, decided, answered bool
}

// kind returns what kind of request r is.
func (m *Metrics) kind(r *usage.Record) kind {
	k := kind{
		route: r.Route, model: r.Model, deployment: r.Deployment, policy: r.Policy, outcome: r.Outcome, code: r.Code,
		operation: r.Operation, stream: r.Stream, shadow: r.Shadow,
		spent: r.Input+r.Output > 0 || r.Cost > 0, decided: r.Verdict != (usage.Verdict{}),
	}
	if r.Status >= 400 {
		k.status = r.Status
	}
	if m.cfg.Team {
		k.team = r.Team
	}
	if m.cfg.Key {
		k.key = r.Key
	}
	if m.genai != nil {
		k.served = r.Served
	}
	if n := len(r.Attempts); n > 0 {
		last := &r.Attempts[n-1]
		k.answered = r.Outcome == usage.OK && last.Reason == "" && last.Deployment == r.Deployment
	}
	return k
}

// is reports whether the labels of a request of kind k are what its record says. Of
// those alone paths are kept, so that what clients make up is not.
func (v *facts) is(k *kind) bool {
	return v.model == k.model && v.deployment == k.deployment && v.team == k.team && v.code == k.code && v.served == k.served
}

// path returns where a request is measured.
func (m *Metrics) path(r *usage.Record) *path {
	words, k := m.words.Load(), m.kind(r)
	if p := words.paths.get(&k); p != nil {
		return p
	}
	p := &path{facts: m.facts(words, r), answered: k.answered}
	m.find(p, &k, r)
	if p.is(&k) {
		words.paths.keep(&k, p)
	}
	return p
}

// find looks for the series of a path.
func (m *Metrics) find(p *path, k *kind, r *usage.Record) {
	q := &m.requests
	p.ended = q.ended.at(ended{r.Route, p.model, p.team, p.key, r.Outcome, p.code})
	times := q.timed.at(timed{r.Route, p.model, r.Stream, r.Outcome})
	p.duration, p.overhead, p.estimate = times[0], times[1], q.estimate.at(p.model)
	if r.Stream {
		times = q.served.at(served{p.model, p.deployment})
		p.first, p.each = times[0], times[1]
	}
	if k.spent {
		p.used = q.used.at(spender{p.model, p.team, p.key})
	}
	if k.decided {
		p.decisions = q.decisions.at(decider{r.Policy, r.Shadow})
	}
	if k.answered {
		p.answer = m.attempts.at(p.deployment, usage.Answered, "")
	}
	if g := m.genai; g != nil && r.Operation != "" {
		p.offer = g.offer(r, &p.facts)
		if k.answered {
			p.call = g.client.at(g.call(r, &p.facts, len(r.Attempts)-1))
		}
	}
}

// paths are those that are known by now. They are safe for concurrent use.
type paths struct {
	mu sync.RWMutex
	of map[kind]*path
}

// get returns the path of a kind of request, nil where it is not known.
func (p *paths) get(k *kind) *path {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.of[*k]
}

// keep notes a path, unless there are too many.
func (p *paths) keep(k *kind, to *path) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = map[kind]*path{}
	}
	if len(p.of) < mostSeries {
		p.of[*k] = to
	}
}
