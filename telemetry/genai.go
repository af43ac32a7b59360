package telemetry

import (
	"context"
	"slices"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/semconv/v1.41.0/genaiconv"

	"weir/usage"
)

// genai are the metrics of the GenAI conventions: those of version 1.41, or, where
// the environment asks for it, of what follows it. To Azure the gateway is a client,
// and each attempt an operation; to its own clients it is a server.
type genai struct {
	duration, firstChunk         metric.Float64Histogram // of the client's kind
	request, firstToken, pertime metric.Float64Histogram // of the server's

	usage         metric.Int64Histogram // of 1.41: input and output tokens
	input, output metric.Int64Histogram // of what follows it, as spent
	spent         counters[burnt]

	client *cache[called, *callLabels]
	server *cache[offered, labeled]
	served *names // models as answers name them

	statuses map[int]string // as words, which are made once
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

// callLabels are those of an operation, and of its tokens of either type.
type callLabels struct{ all, input, output labeled }

// The buckets of the conventions.
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

// latest is the word by which the environment asks for the newest names.
const latest = "gen_ai_latest_experimental"

func newGenAI(k *maker, m *Metrics) *genai {
	g := &genai{served: named(map[string]bool{}, true, nil), statuses: map[int]string{}}
	for code := 400; code < 600; code++ {
		g.statuses[code] = strconv.Itoa(code)
	}
	request, err := genaiconv.NewServerRequestDuration(k.meter, metric.WithExplicitBucketBoundaries(operations()...))
	k.note(nil, err)
	first, err := genaiconv.NewServerTimeToFirstToken(k.meter, metric.WithExplicitBucketBoundaries(serverFirstTokens()...))
	k.note(nil, err)
	each, err := genaiconv.NewServerTimePerOutputToken(k.meter, metric.WithExplicitBucketBoundaries(serverPerTokens()...))
	k.note(nil, err)
	g.request, g.firstToken, g.pertime = request.Inst(), first.Inst(), each.Inst()
	if slices.Contains(words(m.cfg.Getenv("OTEL_SEMCONV_STABILITY_OPT_IN")), latest) {
		g.newest(k)
	} else {
		g.pinned(k)
	}
	g.client = newCache(func(c called) *callLabels {
		kv := c.attributes()
		of := func(kind string) labeled {
			return label(append(slices.Clip(kv), attribute.String("gen_ai.token.type", kind))...)
		}
		return &callLabels{label(kv...), of("input"), of("output")}
	}, called.folded)
	g.server = newCache(func(o offered) labeled {
		return label(conventional(o.operation, o.provider, o.model, o.served, o.failure)...)
	}, func(o offered) offered { return offered{o.operation, o.provider, other, other, o.failure} })
	return g
}

// pinned makes what version 1.41 names.
func (g *genai) pinned(k *maker) {
	duration, err := genaiconv.NewClientOperationDuration(k.meter, metric.WithExplicitBucketBoundaries(operations()...))
	k.note(nil, err)
	first, err := genaiconv.NewClientOperationTimeToFirstChunk(k.meter, metric.WithExplicitBucketBoundaries(operations()...))
	k.note(nil, err)
	tokens, err := genaiconv.NewClientTokenUsage(k.meter, metric.WithExplicitBucketBoundaries(tokenCounts()...))
	k.note(nil, err)
	g.duration, g.firstChunk, g.usage = duration.Inst(), first.Inst(), tokens.Inst()
}

// newest makes what has replaced that since.
func (g *genai) newest(k *maker) {
	const inference = "gen_ai.client.inference."
	g.duration = k.histogram(inference+"duration", "s", "How long inferences took.", operations())
	g.firstChunk = k.histogram(inference+"time_to_first_chunk", "s", "How long it was until the first chunk of a stream.", operations())
	tokens := func(kind string) metric.Int64Histogram {
		h, err := k.meter.Int64Histogram(inference+"operation."+kind+"_tokens", metric.WithUnit("{token}"),
			metric.WithDescription("How many "+kind+" tokens an inference used."), metric.WithExplicitBucketBoundaries(tokenCounts()...))
		k.note(nil, err)
		return h
	}
	g.input, g.output = tokens("input"), tokens("output")
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

// folded is c where there are too many to be told apart.
func (c called) folded() called {
	return called{operation: c.operation, model: other, deployment: other, served: other, failure: c.failure, backend: Backend{Provider: c.backend.Provider}}
}

// take measures a request.
func (g *genai) take(ctx context.Context, r *usage.Record, v facts) {
	answered := g.served.fold(r.Served)
	last := len(r.Attempts) - 1
	for i := range r.Attempts {
		c := called{operation: r.Operation, model: v.model, deployment: v.deployments.fold(r.Attempts[i].Deployment)}
		c.backend, c.failure = v.backend(c.deployment), g.failure(r, i)
		if i == last {
			c.served = answered
		}
		l := g.client.at(c)
		g.duration.Record(ctx, lasted(r, i).Seconds(), l.all...)
		if i < last {
			continue
		}
		if r.Stream && r.FirstToken > 0 {
			g.firstChunk.Record(ctx, max(0, r.FirstToken-r.Attempts[i].Began).Seconds(), l.all...)
		}
		if r.Input+r.Output > 0 {
			g.tokens(ctx, r, c, l)
		}
	}
	wrong := ""
	if r.Status >= 400 {
		wrong = g.status(r.Status)
	}
	at := g.server.at(offered{r.Operation, v.backend(v.deployment).Provider, v.model, answered, wrong})
	g.request.Record(ctx, r.Duration.Seconds(), at...)
	if r.Stream && r.FirstToken > 0 && r.Outcome == usage.OK {
		g.firstToken.Record(ctx, r.FirstToken.Seconds(), at...)
		if each, ok := perToken(r); ok {
			g.pertime.Record(ctx, each, at...)
		}
	}
}

// tokens measures what the answering attempt used.
func (g *genai) tokens(ctx context.Context, r *usage.Record, c called, l *callLabels) {
	if g.usage != nil {
		g.usage.Record(ctx, r.Input, l.input...)
		g.usage.Record(ctx, r.Output, l.output...)
		return
	}
	g.input.Record(ctx, r.Input, l.all...)
	g.output.Record(ctx, r.Output, l.all...)
	for _, used := range [...]struct {
		kind string
		n    int64
	}{{"input", r.Input}, {"output", r.Output}, {"cache_read.input", r.Cached}, {"reasoning.output", r.Reasoning}} {
		g.spent.at(burnt{c, used.kind}).Add(used.n)
	}
}

// failure returns the error.type of an attempt, "" where it answered.
func (g *genai) failure(r *usage.Record, i int) string {
	result, reason := end(r, i)
	switch {
	case result == resultOK:
		return ""
	case reason == "timeout":
		return reason
	default:
		return g.status(r.Attempts[i].Status)
	}
}

// status returns a status that says what went wrong as the conventions do.
func (g *genai) status(code int) string {
	if s, ok := g.statuses[code]; ok {
		return s
	}
	return "_OTHER"
}
