package telemetry

import (
	"slices"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/semconv/v1.41.0/genaiconv"

	"weir/usage"
)

// genai are the metrics of the GenAI conventions: those of version 1.41, or, where
// the environment asks for it, of what follows it. To Azure the gateway is a client,
// and each attempt an operation; to its own clients it is a server.
type genai struct {
	client *cache[called, *calls]
	server *cache[offered, *offers]
	spent  counters[burnt] // of what follows 1.41; nil: nobody asks for that
	served *names          // models as answers name them

	statuses map[int]string  // as words, which are made once
	reasons  map[string]bool // for which attempts fail, as far as that is told apart
}

// The labels of series.
type (
	called struct {
		operation         usage.Operation
		model, deployment string
		served, failure   string
		backend           Backend
	}
	offered struct {
		operation usage.Operation
		provider  string
		model     string
		served    string
		failure   string
	}
	burnt struct {
		called
		kind string
	}
)

// The histograms of the gateway's either part.
type (
	calls  struct{ duration, firstChunk, perChunk, input, output *distribution }
	offers struct{ duration, firstToken, perToken *distribution }
)

// convention is a metric as the conventions have it.
type convention interface {
	Name() string
	Unit() string
	Description() string
}

// conventional makes a histogram of the conventions.
func (h *histograms) conventional(c convention, bounds []float64) *histogram {
	return h.add(c.Name(), c.Unit(), c.Description(), bounds)
}

// The buckets of the conventions. Those of operations are usage.Pauses' too.
func operations() []float64 {
	return []float64{.01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}
}

func tokenCounts() []float64 {
	return []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}
}

func serverFirstTokens() []float64 {
	return []float64{.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}
}

func serverPerTokens() []float64 {
	return []float64{.01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5}
}

// latest reports whether the environment asks for the newest names of the GenAI
// conventions.
func latest(getenv func(string) string) bool {
	return slices.Contains(words(getenv("OTEL_SEMCONV_STABILITY_OPT_IN")), "gen_ai_latest_experimental")
}

func newGenAI(k *maker, m *Metrics) *genai {
	g := &genai{served: named(map[string]bool{}, true, nil), statuses: map[int]string{}, reasons: m.reasons}
	for code := 400; code < 600; code++ {
		g.statuses[code] = strconv.Itoa(code)
	}
	h := k.histograms
	request := h.conventional(genaiconv.ServerRequestDuration{}, operations())
	first := h.conventional(genaiconv.ServerTimeToFirstToken{}, serverFirstTokens())
	each := h.conventional(genaiconv.ServerTimePerOutputToken{}, serverPerTokens())
	g.server = newCache(func(o offered) *offers {
		kv := conventional(o.operation, o.provider, o.model, o.served, o.failure)
		return &offers{request.with(kv...), first.with(kv...), each.with(kv...)}
	}, func(o offered) offered { return offered{o.operation, o.provider, other, other, o.failure} })
	if latest(m.cfg.Getenv) {
		g.client = newCache(newest(h), called.folded)
		g.counted(k)
	} else {
		g.client = newCache(pinned(h), called.folded)
	}
	return g
}

// pinned makes what version 1.41 names.
func pinned(h *histograms) func(called) *calls {
	duration := h.conventional(genaiconv.ClientOperationDuration{}, operations())
	first := h.conventional(genaiconv.ClientOperationTimeToFirstChunk{}, operations())
	each := h.conventional(genaiconv.ClientOperationTimePerOutputChunk{}, operations())
	tokens := h.conventional(genaiconv.ClientTokenUsage{}, tokenCounts())
	return func(c called) *calls {
		kv := c.anyhow().attributes()
		of := func(kind string) *distribution {
			return tokens.with(append(slices.Clip(kv), attribute.String("gen_ai.token.type", kind))...)
		}
		return &calls{duration.with(c.attributes()...), first.with(kv...), each.with(kv...), of("input"), of("output")}
	}
}

// inference is what the names of all begin with that has replaced that since.
const inference = "gen_ai.client.inference."

// newest makes what has replaced that since.
func newest(h *histograms) func(called) *calls {
	duration := h.add(inference+"duration", "s", "How long inferences took.", operations())
	first := h.add(inference+"time_to_first_chunk", "s", "How long it was until the first chunk of a stream.", operations())
	each := h.add(inference+"time_per_output_chunk", "s", "How long it was from one chunk of a stream to the next.", operations())
	tokens := func(kind string) *histogram {
		return h.add(inference+"operation."+kind+"_tokens", "{token}", "How many "+kind+" tokens an inference used.", tokenCounts())
	}
	input, output := tokens("input"), tokens("output")
	return func(c called) *calls {
		kv := c.anyhow().attributes()
		return &calls{duration.with(c.attributes()...), first.with(kv...), each.with(kv...), input.with(kv...), output.with(kv...)}
	}
}

// counted makes the counters that are beside it.
func (g *genai) counted(k *maker) {
	kinds := map[string]counters[burnt]{}
	for kind, help := range map[string]string{
		"input": "Input tokens that were used.", "output": "Output tokens that were used.",
		"cache_read.input": "Input tokens that were found in a cache.", "reasoning.output": "Output tokens that were spent on reasoning.",
	} {
		kinds[kind] = newCounters(k, described{name: inference + "usage." + kind + "_tokens", help: help}, func(b burnt) []attribute.KeyValue { return b.attributes() }, nil)
	}
	g.spent = counters[burnt]{newCache(func(b burnt) *count { return kinds[b.kind].at(b) }, func(b burnt) burnt { return burnt{b.folded(), b.kind} })}
}

// conventional returns the attributes that all have.
func conventional(op usage.Operation, provider, model, served, failure string) []attribute.KeyValue {
	kv := []attribute.KeyValue{attribute.String("gen_ai.operation.name", op.GenAI()), attribute.String("gen_ai.provider.name", provider)}
	for _, a := range [...]struct{ key, value string }{{"gen_ai.request.model", model}, {"gen_ai.response.model", served}, {"error.type", failure}} {
		if a.value != "" {
			kv = append(kv, attribute.String(a.key, a.value))
		}
	}
	return kv
}

// attributes returns those of an operation at a deployment.
func (c called) attributes() []attribute.KeyValue {
	kv := conventional(c.operation, c.backend.Provider, c.model, c.served, c.failure)
	if c.backend.Address != "" {
		kv = append(kv, attribute.String("server.address", c.backend.Address), attribute.Int("server.port", c.backend.Port))
	}
	return kv
}

// anyhow is c without how it ended, by which only durations are told apart.
func (c called) anyhow() called {
	c.failure = ""
	return c
}

// folded is c where there are too many to be told apart.
func (c called) folded() called {
	return called{operation: c.operation, model: other, deployment: other, served: other, failure: c.failure, backend: Backend{Provider: c.backend.Provider}}
}

// call returns what an operation is that attempt i of a request is.
func (g *genai) call(r *usage.Record, v *facts, i int) called {
	c := called{operation: r.Operation, model: v.model, deployment: v.deployments.fold(r.Attempts[i].Deployment)}
	c.backend, c.failure = v.backend(c.deployment), g.failure(r, i)
	if i == len(r.Attempts)-1 {
		c.served = v.served
	}
	return c
}

// offer returns where a request is measured as its client sees it.
func (g *genai) offer(r *usage.Record, v *facts) *offers {
	wrong := ""
	if r.Status >= 400 {
		wrong = g.status(r.Status)
	} else if r.Outcome == usage.UpstreamError || r.Outcome == usage.GatewayError { // behind its status
		if wrong = v.code; wrong == "" || wrong == other {
			wrong = unknown
		}
	}
	return g.server.at(offered{r.Operation, v.backend(v.deployment).Provider, v.model, v.served, wrong})
}

// take measures a request.
func (g *genai) take(r *usage.Record, p *path, from *origin) {
	last := len(r.Attempts) - 1
	for i := range r.Attempts {
		to := p.call
		if i < last || !p.answered {
			to = g.client.at(g.call(r, &p.facts, i))
		}
		to.duration.record(lasted(r, i).Seconds(), from)
		if i < last {
			continue
		}
		to.chunks(r, from)
		if r.Input+r.Output > 0 {
			to.input.record(float64(r.Input), from)
			to.output.record(float64(r.Output), from)
			g.spend(r, p, i)
		}
	}
	p.offer.duration.record(r.Duration.Seconds(), from)
	if streamed(r) && r.Outcome == usage.OK {
		p.offer.firstToken.record(r.FirstToken.Seconds(), from)
		if each, ok := perToken(r); ok {
			p.offer.perToken.record(each, from)
		}
	}
}

// chunks measures how those of the answer have come, where it is a stream.
func (c *calls) chunks(r *usage.Record, from *origin) {
	if streamed(r) {
		c.firstChunk.record(max(0, r.FirstToken-r.Attempts[len(r.Attempts)-1].Began).Seconds(), from)
	}
	if r.Pauses != nil && r.Pauses.Total > 0 {
		c.perChunk.pauses(r.Pauses, from)
	}
}

// spend counts what the answering attempt used, where the newest names are asked for.
func (g *genai) spend(r *usage.Record, p *path, i int) {
	if g.spent.cache == nil {
		return
	}
	c := g.call(r, &p.facts, i).anyhow()
	for _, used := range [...]struct {
		kind string
		n    int64
	}{{"input", r.Input}, {"output", r.Output}, {"cache_read.input", r.Cached}, {"reasoning.output", r.Reasoning}} {
		g.spent.at(burnt{c, used.kind}).Add(used.n)
	}
}

// failure returns the error.type of an attempt, as its span has it, "" where it
// answered.
func (g *genai) failure(r *usage.Record, i int) string {
	reason := r.Failure(i)
	switch status := r.Attempts[i].Status; {
	case reason == "":
		return ""
	case status >= 400 && reason != "timeout":
		return g.status(status)
	case g.reasons[reason]:
		return reason
	default:
		return unknown
	}
}

// unknown is the error.type of what has no other.
const unknown = "_OTHER"

// status returns a status that says what went wrong as the conventions do.
func (g *genai) status(code int) string {
	if s, ok := g.statuses[code]; ok {
		return s
	}
	return unknown
}
