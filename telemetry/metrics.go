package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"weir/usage"
)

// maxModels is how many models have series of their own. Where the names are the
// clients', there is no other bound.
const maxModels = 256

// Metrics measures requests. It is a usage.Sink.
type Metrics struct {
	handler  http.Handler
	meter    metric.Meter
	estimate metric.Float64Histogram
	reloads  reloads

	mu     sync.Mutex
	models map[string]metric.MeasurementOption
}

var _ usage.Sink = (*Metrics)(nil)

// NewMetrics returns Metrics with a registry of its own.
func NewMetrics() (*Metrics, error) {
	registry := prometheus.NewRegistry()
	reader, err := exporter.New(exporter.WithRegisterer(registry), exporter.WithoutScopeInfo(), exporter.WithoutTargetInfo())
	if err != nil {
		return nil, fmt.Errorf("telemetry: making the exporter: %w", err)
	}
	meter := sdk.NewMeterProvider(sdk.WithReader(reader)).Meter("weir")
	m := &Metrics{
		handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}),
		meter:   meter,
		models:  map[string]metric.MeasurementOption{},
	}
	m.estimate, err = meter.Float64Histogram("weir.token.estimate.error.ratio",
		metric.WithDescription("How far the gateway's count of a prompt is above (or, below 0, under) what upstream reports, as a share of the latter."),
		metric.WithExplicitBucketBoundaries(-0.5, -0.2, -0.1, -0.05, -0.02, -0.01, -0.001, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5))
	if err != nil {
		return nil, fmt.Errorf("telemetry: making a metric: %w", err)
	}
	m.reloads, err = newReloads(meter)
	return m, err
}

// Handler serves the metrics to Prometheus.
func (m *Metrics) Handler() http.Handler { return m.handler }

// Take measures a request.
func (m *Metrics) Take(ctx context.Context, r *usage.Record) {
	if e, ok := r.EstimateError(); ok {
		m.estimate.Record(ctx, e, m.model(r.Model))
	}
}

// model returns the attributes of a model's series, made once.
func (m *Metrics) model(name string) metric.MeasurementOption {
	m.mu.Lock()
	defer m.mu.Unlock()
	if set, ok := m.models[name]; ok {
		return set
	}
	if len(m.models) >= maxModels {
		name = "other"
	}
	set := metric.WithAttributeSet(attribute.NewSet(attribute.String("model", name)))
	m.models[name] = set
	return set
}
