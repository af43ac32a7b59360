package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"weir/usage"
)

// MetricsConfig is what Metrics works with.
type MetricsConfig struct {
	GenAI bool // the metrics of the GenAI conventions too
	Team  bool // tell teams apart
	Key   bool // tell the keys of teams apart

	Codes   []string // of the errors that the gateway writes
	Exclude []string // routes that are not measured
	Build   Build

	// Getenv returns a variable of the environment, "" for one that is not set. The
	// standard variables of OpenTelemetry say whether the metrics are sent by OTLP
	// beside being served. Nil: none is set.
	Getenv func(name string) string
	Log    *slog.Logger // of metrics that cannot be delivered; nil: nothing is logged

	// Reader returns what reads the metrics too, whatever the environment says. The
	// histograms come to it by the producer that it is given. Nil: none does.
	Reader func(sdk.Producer) sdk.Reader
}

// Build is what a program was built from.
type Build struct{ Version, Commit, GoVersion string }

// Metrics measures requests, and what they go through. It is a usage.Sink. Nothing
// that clients send makes series without end.
type Metrics struct {
	handler  http.Handler
	meter    metric.Meter
	provider *sdk.MeterProvider
	cfg      MetricsConfig
	measures histograms
	points   pointing

	words   *atomic.Pointer[vocabulary]
	codes   map[string]bool
	reasons map[string]bool

	requests requests
	attempts attempts
	genai    *genai // nil: they are not wanted
	live     *cache[string, *live]
	store    store
	reloads  reloads
	sources  atomic.Pointer[Sources]
	closed   atomic.Bool
	hash     atomic.Pointer[string] // of the configuration; nil: it has none
}

var _ usage.Sink = (*Metrics)(nil)

// NewMetrics returns Metrics with a registry of its own. They must be closed.
func NewMetrics(ctx context.Context, cfg MetricsConfig) (*Metrics, error) {
	if cfg.Getenv == nil {
		cfg.Getenv = func(string) string { return "" }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m := &Metrics{
		handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}),
		cfg:     cfg, words: newWords(), codes: codes(cfg.Codes), reasons: reasons(),
		points: pointing(strings.ToLower(strings.TrimSpace(cfg.Getenv("OTEL_METRICS_EXEMPLAR_FILTER")))),
	}
	reader, err := exporter.New(exporter.WithRegisterer(registry), exporter.WithoutScopeInfo(), exporter.WithoutTargetInfo(),
		exporter.WithProducer(&reading{of: &m.measures}))
	if err != nil {
		return nil, fmt.Errorf("telemetry: making the exporter: %w", err)
	}
	options := []sdk.Option{sdk.WithReader(reader), sdk.WithCardinalityLimit(0)}
	if cfg.Reader != nil {
		options = append(options, sdk.WithReader(cfg.Reader(&reading{of: &m.measures})))
	}
	pushed, err := pushing(ctx, cfg, &m.measures)
	if err != nil {
		return nil, err
	}
	m.provider = sdk.NewMeterProvider(append(options, pushed...)...)
	m.meter = m.provider.Meter(scope)
	return m, m.make()
}

// make makes the instruments.
func (m *Metrics) make() error {
	k := &maker{meter: m.meter, histograms: &m.measures}
	m.requests = newRequests(k, m.cfg)
	m.attempts = newAttempts(k)
	if m.cfg.GenAI {
		m.genai = newGenAI(k, m)
	}
	m.live = newCache(func(model string) *live {
		return &live{set: metric.WithAttributeSet(attribute.NewSet(attribute.String("model", model)))}
	}, nil)
	m.store = newStore(k)
	m.gauges(k)
	if k.err != nil {
		return fmt.Errorf("telemetry: making a metric: %w", k.err)
	}
	var err error
	m.reloads, err = newReloads(m.meter)
	return err
}

// Handler serves the metrics to Prometheus.
func (m *Metrics) Handler() http.Handler { return m.handler }

// Close sends what is not sent yet, as far as that is quickly done. It may be called
// more than once.
func (m *Metrics) Close(ctx context.Context) error {
	if m.closed.Swap(true) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flush)
	defer cancel()
	if err := m.provider.Shutdown(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("telemetry: closing the exporter of metrics: %w", err)
	}
	return nil
}

// Take measures a request. What ctx says of its trace goes along as an exemplar,
// where the trace is sampled.
func (m *Metrics) Take(ctx context.Context, r *usage.Record) {
	if slices.Contains(m.cfg.Exclude, r.Route) {
		return
	}
	p, from := m.path(r), m.points.origin(ctx)
	m.requests.take(r, p, from)
	m.attempts.take(r, p, from, m.reasons)
	if m.genai != nil && r.Operation != "" {
		m.genai.take(r, p, from)
	}
}

// live is what is under way for a model.
type live struct {
	requests, streams atomic.Int64
	set               metric.MeasurementOption
}

// Enter notes that a request for a model is under way, and whether its answer is a
// stream. Leave must be called once it is over.
func (m *Metrics) Enter(model string, stream bool) (leave func()) {
	l := m.live.at(m.words.Load().models.fold(model)) // what is known may be another when it leaves
	l.add(stream, 1)
	return func() { l.add(stream, -1) }
}

func (l *live) add(stream bool, n int64) {
	l.requests.Add(n)
	if stream {
		l.streams.Add(n)
	}
}

// Live is what is under way for a model.
type Live struct {
	Model             string
	Requests, Streams int64 // streams are among the requests
}

// Live returns what is under way for each model that has been asked for.
func (m *Metrics) Live() []Live {
	var all []Live
	m.live.each(func(model string, l *live) {
		all = append(all, Live{model, l.requests.Load(), l.streams.Load()})
	})
	return all
}
