package upstream

import (
	"strings"
	"time"

	"weir/openai"
	"weir/policy"
)

// Candidates returns the deployments that could answer a call, which of them
// would be asked first, and why not the others. It asks nobody and takes nobody's
// turn.
func (p *Pool) Candidates(call *openai.Call) []openai.Candidate {
	g := p.find(call.Model)
	if g == nil {
		return nil
	}
	cost := int64(0)
	if g.pool.cfg.Twin {
		cost = estimate(call)
	}
	var first *member
	out := make([]openai.Candidate, 0, len(g.members))
	for _, m := range g.members {
		c := openai.Candidate{Deployment: m.ID(), Reason: m.unable(call, cost)}
		if c.Reason == "" && (first == nil || m.before(first)) {
			first = m
		}
		out = append(out, c)
	}
	for i, m := range g.members {
		switch {
		case m == first:
			out[i].Chosen = true
		case out[i].Reason == "" && m.Priority > first.Priority:
			out[i].Reason = "another has a better priority"
		case out[i].Reason == "":
			out[i].Reason = "another is less loaded for its weight, or it is its turn"
		}
	}
	return out
}

// unable returns why a call cannot go to the deployment now, "" where it can.
func (m *member) unable(call *openai.Call, cost int64) string {
	rest, why := m.resting()
	switch {
	case m.Weight < 1:
		return "its weight is 0"
	case call.Only != "" && !m.knows(call):
		return "it does not keep what the request refers to"
	case !m.within(call):
		return "it is not in a region that the team may use: " + strings.Join(call.Regions, ", ")
	case !m.fits(call):
		return "the request does not fit its window"
	case rest > 0:
		return "it rests " + rest.Round(time.Millisecond).String() + " (" + why + ")"
	case m.breaker.state() == "open":
		return "it failed too often and is left alone for " + m.breaker.opens().Round(time.Millisecond).String()
	case m.quota(cost) >= policy.Never:
		return "the request is larger than its quota"
	case m.quota(cost) > 0:
		return "its quota is used up for " + m.quota(cost).Round(time.Millisecond).String()
	case !m.ready(cost):
		return "it has as many requests in flight as it may"
	}
	return ""
}

// before reports whether m would be asked rather than o, of two that can be.
func (m *member) before(o *member) bool {
	if m.Priority != o.Priority {
		return m.Priority < o.Priority
	}
	return m.load() < o.load()
}
