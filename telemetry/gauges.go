package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"weir/usage"
)

// Sources tell what gauges show. Each is asked whenever somebody reads the metrics,
// and must not wait. A nil one is as one that knows of nothing.
type Sources struct {
	Deployments func() []Deployment
	Models      func() map[string]bool // whether any deployment of a model takes requests now
	Limits      func() []Level
}

// Deployment is what a deployment is doing.
type Deployment struct {
	Name  string
	State string // closed, open, half_open or resting

	// Requests and Tokens are what is left of the deployment's quota, as it last
	// said.
	Requests, Tokens usage.Number
}

// Level is how much of a limit is used.
type Level struct {
	Team, Key string // Key is "" for a team's own limit
	Limit     usage.Limit
	Used      float64 // the share of what may be used at once, at most 1
}

// states are all states of a deployment.
func states() []string { return []string{"closed", "half_open", "open", "resting"} }

// Watch makes s what gauges show from now on.
func (m *Metrics) Watch(s Sources) { m.sources.Store(&s) }

// gauges makes the gauges.
func (m *Metrics) gauges(k *maker) {
	k.gauge("weir.deployment.state", "What a deployment is doing: 1 for its state, 0 for the others.", m.deployments(func(o metric.Float64Observer, d Deployment) {
		for _, s := range states() {
			o.Observe(bit(s == d.State), metric.WithAttributes(attribute.String("deployment", d.Name), attribute.String("state", s)))
		}
	}))
	k.gauge("weir.model.available", "Whether any deployment of a model takes requests: 1 or 0.", func(o metric.Float64Observer) {
		for model, available := range m.available() {
			o.Observe(bit(available), metric.WithAttributes(attribute.String("model", model)))
		}
	})
	k.gauge("weir.upstream.remaining.tokens", "What is left of a deployment's tokens a minute, as it last said.", m.left(func(d Deployment) usage.Number { return d.Tokens }))
	k.gauge("weir.upstream.remaining.requests", "What is left of a deployment's requests, as it last said.", m.left(func(d Deployment) usage.Number { return d.Requests }))
	k.gauge("weir.limit.used.ratio", "The share of a limit that is used: of what may be used at once, 0 to 1.", func(o metric.Float64Observer) {
		s := m.sources.Load()
		if s == nil || s.Limits == nil {
			return
		}
		for _, l := range s.Limits() {
			if l.Key == "" || m.cfg.Key {
				o.Observe(l.Used, metric.WithAttributes(who(MetricsConfig{Team: true, Key: m.cfg.Key}, l.Team, l.Key, attribute.String("limit", string(l.Limit)))...))
			}
		}
	})
	k.gauge("weir.inflight.requests", "Requests that are under way.", func(o metric.Float64Observer) {
		m.live.each(func(_ string, l *live) { o.Observe(float64(l.requests.Load()), l.set) })
	})
	k.gauge("weir.open.streams", "Requests under way whose answers are streams.", func(o metric.Float64Observer) {
		m.live.each(func(_ string, l *live) { o.Observe(float64(l.streams.Load()), l.set) })
	})
	k.gauge("weir.build.info", "What the program was built from. Its value is 1.", func(o metric.Float64Observer) {
		b := m.cfg.Build
		o.Observe(1, metric.WithAttributes(attribute.String("version", b.Version), attribute.String("commit", b.Commit), attribute.String("goversion", b.GoVersion)))
	})
	k.gauge("weir.config.info", "The configuration that holds, by the hash of its file. Its value is 1.", func(o metric.Float64Observer) {
		if hash := m.hash.Load(); hash != nil {
			o.Observe(1, metric.WithAttributes(attribute.String("hash", *hash)))
		}
	})
}

// available returns whether models take requests, as they are told: of several that
// fall together, whether any does.
func (m *Metrics) available() map[string]bool {
	told := map[string]bool{}
	if s := m.sources.Load(); s != nil && s.Models != nil {
		words := m.words.Load()
		for model, available := range s.Models() {
			name := words.models.fold(model)
			told[name] = told[name] || available
		}
	}
	return told
}

// deployments returns what observes each deployment.
func (m *Metrics) deployments(observe func(metric.Float64Observer, Deployment)) func(metric.Float64Observer) {
	return func(o metric.Float64Observer) {
		s := m.sources.Load()
		if s == nil || s.Deployments == nil {
			return
		}
		told := map[string]bool{} // of several that fall together the first is told
		for _, d := range s.Deployments() {
			d.Name = m.words.Load().deployments.fold(d.Name)
			if !told[d.Name] {
				told[d.Name] = true
				observe(o, d)
			}
		}
	}
}

// left returns what observes what is left of something, where that is known.
func (m *Metrics) left(of func(Deployment) usage.Number) func(metric.Float64Observer) {
	return m.deployments(func(o metric.Float64Observer, d Deployment) {
		if n := of(d); n.Set {
			o.Observe(n.Value, metric.WithAttributes(attribute.String("deployment", d.Name)))
		}
	})
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// store are the metrics of what counts the limits, where that is not this process.
type store struct {
	duration *cache[string, *distribution]
	errors   counters[string]
}

func newStore(k *maker) store {
	op := func(name string) []attribute.KeyValue { return []attribute.KeyValue{attribute.String("op", name)} }
	duration := k.histograms.add("weir.limit.store.duration", "s", "How long round trips to the store of the limits took.",
		[]float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1})
	return store{
		duration: newCache(func(name string) *distribution { return duration.with(op(name)...) }, nil),
		errors:   newCounters(k, described{name: "weir.limit.store.errors", help: "Round trips to the store of the limits that came to nothing."}, op, nil),
	}
}

// Stored measures a round trip to the store of the limits: reserve, settle or renew.
func (m *Metrics) Stored(ctx context.Context, op string, took time.Duration, failed bool) {
	m.store.duration.at(op).record(took.Seconds(), m.points.origin(ctx))
	errors := m.store.errors.at(op) // a series that is there shows that nothing has failed
	if failed {
		errors.Add(1)
	}
}
