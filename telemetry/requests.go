package telemetry

import (
	"strconv"

	"go.opentelemetry.io/otel/attribute"

	"weir/usage"
)

// The bounds of the histograms' buckets, in seconds.
func durations() []float64 {
	return []float64{.05, .1, .25, .5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600}
}

func overheads() []float64 {
	return []float64{50e-6, 100e-6, 250e-6, 500e-6, .001, .0025, .005, .01, .025, .05, .1}
}

func firstTokens() []float64 {
	return []float64{.05, .1, .2, .3, .5, .75, 1, 1.5, 2.5, 5, 10, 20, 40}
}

func perTokens() []float64 {
	return []float64{.002, .005, .01, .015, .02, .03, .05, .075, .1, .2, .5, 1}
}

func errorsOf() []float64 {
	return []float64{-0.5, -0.2, -0.1, -0.05, -0.02, -0.01, -0.001, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5}
}

// requests are the metrics of whole requests.
type requests struct {
	ended     counters[ended]
	timed     *cache[timed, [2]*distribution]
	served    *cache[served, [2]*distribution]
	estimate  *cache[string, *distribution]
	used      *cache[spender, *use]
	again     counters[string]
	refused   counters[refusal]
	decisions *cache[decider, *decisions]
	filtered  counters[filtered]
}

// The labels of series.
type (
	ended struct {
		route, model, team, key string
		outcome                 usage.Outcome
		code                    string
	}
	timed struct {
		route, model string
		stream       bool
		outcome      usage.Outcome
	}
	served  struct{ model, deployment string }
	spender struct{ model, team, key string }
	refusal struct {
		team, key string
		limit     usage.Limit
		shadow    bool
	}
	decider struct {
		policy string
		shadow bool
	}
	filtered struct {
		model string
		usage.Filtering
	}
	spent struct {
		spender
		kind string
	}
)

// use is what of a model a team has used.
type use struct{ input, cached, output, reasoning, cost *count }

// decisions are those of one policy.
type decisions [len(usage.Verdict{})][usage.Lower + 1]*count

// who returns the labels of a team and its key, as far as they are told apart.
func who(cfg MetricsConfig, team, key string, kv ...attribute.KeyValue) []attribute.KeyValue {
	if cfg.Team {
		kv = append(kv, attribute.String("team", team))
	}
	if cfg.Key {
		kv = append(kv, attribute.String("key", key))
	}
	return kv
}

// mode returns what becomes of what a policy or a limit refuses.
func mode(shadow bool) attribute.KeyValue {
	if shadow {
		return attribute.String("mode", "shadow")
	}
	return attribute.String("mode", "enforce")
}

func newRequests(k *maker, cfg MetricsConfig) requests {
	var q requests
	q.timings(k.histograms)
	q.ended = newCounters(k, described{name: "weir.requests", help: "Requests that have ended, by how and by the code of the error that was sent."}, func(e ended) []attribute.KeyValue {
		return who(cfg, e.team, e.key, attribute.String("route", e.route), attribute.String("model", e.model),
			attribute.String("outcome", string(e.outcome)), attribute.String("code", e.code))
	}, func(e ended) ended { return ended{other, other, e.team, e.key, e.outcome, other} })
	q.again = newCounters(k, described{name: "weir.client.retries", help: "Requests that the client says it has sent before."}, func(team string) []attribute.KeyValue {
		return who(MetricsConfig{Team: cfg.Team}, team, "")
	}, nil)
	q.refused = newCounters(k, described{name: "weir.limit.rejections", help: "Requests that a limit refused, or, in shadow mode, would have."}, func(r refusal) []attribute.KeyValue {
		return who(cfg, r.team, r.key, attribute.String("limit", string(r.limit)), mode(r.shadow))
	}, nil)
	q.filtered = newCounters(k, described{name: "weir.content_filter", help: "What the content filter of upstream found, in prompts and in completions."}, func(f filtered) []attribute.KeyValue {
		return []attribute.KeyValue{
			attribute.String("model", f.model), attribute.String("source", f.Source), attribute.String("category", f.Category),
			attribute.String("severity", f.Severity), attribute.String("filtered", strconv.FormatBool(f.Filtered)),
		}
	}, func(f filtered) filtered { f.model = other; return f })
	q.used = newUse(k, cfg)
	q.decisions = newDecisions(k)
	return q
}

// timings makes the histograms.
func (q *requests) timings(h *histograms) {
	duration := h.add("weir.request.duration", "s", "How long requests took, until their last byte.", durations())
	overhead := h.add("weir.overhead", "s", "How long the gateway itself kept clients from the first byte of their answers.", overheads())
	first := h.add("weir.time_to_first_token", "s", "How long it was until the first content of a stream.", firstTokens())
	each := h.add("weir.time_per_output_token", "s", "How long each token of a stream took behind its first content.", perTokens())
	estimate := h.add("weir.token.estimate.error.ratio", "",
		"How far the gateway's count of a prompt is above (or, below 0, under) what upstream reports, as a share of the latter.", errorsOf())
	q.timed = newCache(func(t timed) [2]*distribution {
		route := attribute.String("route", t.route)
		return [2]*distribution{duration.with(route, attribute.String("model", t.model),
			attribute.String("stream", strconv.FormatBool(t.stream)), attribute.String("outcome", string(t.outcome))), overhead.with(route)}
	}, func(t timed) timed { return timed{other, other, t.stream, t.outcome} })
	q.served = newCache(func(s served) [2]*distribution {
		at := []attribute.KeyValue{attribute.String("model", s.model), attribute.String("deployment", s.deployment)}
		return [2]*distribution{first.with(at...), each.with(at...)}
	}, func(served) served { return served{other, other} })
	q.estimate = newCache(func(model string) *distribution { return estimate.with(attribute.String("model", model)) }, nil)
}

// newUse makes the counters of tokens and of money.
func newUse(k *maker, cfg MetricsConfig) *cache[spender, *use] {
	tokens := newCounters(k, described{name: "weir.tokens", help: "Tokens that were used, by what they were. Cached ones are part of the input, reasoning is part of the output."},
		func(s spent) []attribute.KeyValue {
			return who(cfg, s.team, s.key, attribute.String("model", s.model), attribute.String("type", s.kind))
		}, nil)
	const dollar = 1e-9 // in billionths
	cost := newCounters(k, described{name: "weir.cost.usd", help: "What requests cost, in US dollars.", unit: dollar}, func(s spender) []attribute.KeyValue {
		return who(cfg, s.team, s.key, attribute.String("model", s.model))
	}, nil)
	return newCache(func(s spender) *use {
		return &use{
			tokens.at(spent{s, "input"}), tokens.at(spent{s, "cached_input"}), tokens.at(spent{s, "output"}), tokens.at(spent{s, "reasoning"}), cost.at(s),
		}
	}, func(s spender) spender { return spender{other, s.team, s.key} })
}

// newDecisions makes the counter of what policies decide. Of each policy all series
// begin at once.
func newDecisions(k *maker) *cache[decider, *decisions] {
	type decision struct {
		decider
		rule   usage.Rule
		action usage.Action
	}
	all := newCounters(k, described{name: "weir.policy.decisions", help: "What the rules of policies decided, or, in shadow mode, would have."}, func(d decision) []attribute.KeyValue {
		return []attribute.KeyValue{
			attribute.String("policy", d.policy), attribute.String("rule", d.rule.String()), attribute.String("action", d.action.String()), mode(d.shadow),
		}
	}, nil)
	return newCache(func(d decider) *decisions {
		var of decisions
		for rule := range of {
			for action := range of[rule] {
				if a := usage.Action(action); usage.Rule(rule).May(a) {
					of[rule][action] = all.at(decision{d, usage.Rule(rule), a})
				}
			}
		}
		return &of
	}, nil)
}

// take measures a request.
func (q *requests) take(r *usage.Record, p *path, from *origin) {
	p.ended.Add(1)
	p.duration.record(r.Duration.Seconds(), from)
	if r.Outcome != usage.ClientGone {
		p.overhead.record(r.Overhead().Seconds(), from)
	}
	if streamed(r) {
		p.first.record(r.FirstToken.Seconds(), from)
		if each, ok := perToken(r); ok {
			p.each.record(each, from)
		}
	}
	if e, ok := r.EstimateError(); ok {
		p.estimate.record(e, from)
	}
	if u := p.used; u != nil {
		u.input.Add(r.Input)
		u.cached.Add(r.Cached)
		u.output.Add(r.Output)
		u.reasoning.Add(r.Reasoning)
		u.cost.Add(int64(r.Cost))
	}
	if r.Retry > 0 {
		q.again.at(p.team).Add(1)
	}
	q.judged(r, p)
}

// streamed reports whether content of a stream has come. A session is none: how long
// it lasts, and when its first answer comes, is as somebody talks.
func streamed(r *usage.Record) bool {
	return r.Stream && r.FirstToken > 0 && r.Operation != usage.Realtime
}

// perToken returns how many seconds each token of a whole stream took behind the
// first.
func perToken(r *usage.Record) (seconds float64, ok bool) {
	if r.Output < 2 || r.FirstToken == 0 || r.Outcome != usage.OK {
		return 0, false
	}
	return (r.Duration - r.FirstToken).Seconds() / float64(r.Output-1), true
}

// judged counts what limits, policies and content filters have said.
func (q *requests) judged(r *usage.Record, p *path) {
	if r.Limit != "" {
		q.refused.at(refusal{p.team, p.key, r.Limit, false}).Add(1)
	}
	if r.ShadowLimit != "" {
		q.refused.at(refusal{p.team, p.key, r.ShadowLimit, true}).Add(1)
	}
	if of := p.decisions; of != nil {
		for rule, action := range r.Verdict {
			if n := of[rule][action]; n != nil {
				n.Add(1)
			}
		}
	}
	for _, f := range r.Filters {
		q.filtered.at(filtered{p.model, f}).Add(1)
	}
}
