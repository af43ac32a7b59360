package telemetry

import (
	"context"
	"fmt"
	"log/slog"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// pushing returns what sends metrics by OTLP, where the environment asks for it. The
// names of intervals, endpoints, headers, compression and time-outs are those of the
// OpenTelemetry specification.
func pushing(ctx context.Context, cfg MetricsConfig, h *histograms) ([]sdk.Option, error) {
	if !Exports(cfg.Getenv, "METRICS", cfg.Log) {
		return nil, nil
	}
	e, err := otlpmetrichttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("telemetry: making the exporter of metrics: %w", err)
	}
	about, err := Resource(ctx, cfg.Build.Version)
	if err != nil {
		return nil, err
	}
	if _, ok := e.Aggregation(sdk.InstrumentKindHistogram).(sdk.AggregationBase2ExponentialHistogram); ok {
		cfg.Log.Warn("histograms have the buckets that are documented, and no others", "variable", "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION")
	}
	read := &reading{of: h, delta: e.Temporality(sdk.InstrumentKindHistogram) == metricdata.DeltaTemporality, read: map[*distribution]already{}}
	return []sdk.Option{sdk.WithResource(about), sdk.WithReader(sdk.NewPeriodicReader(&pusher{Exporter: e, log: cfg.Log}, sdk.WithProducer(read)))}, nil
}

// pusher hands metrics to their exporter, and logs once when it fails and once when
// it works again. It is called by one goroutine at a time.
type pusher struct {
	sdk.Exporter
	log     *slog.Logger
	failing bool
}

// Export delivers metrics. An error is logged, and no one else's.
func (p *pusher) Export(ctx context.Context, data *metricdata.ResourceMetrics) error {
	err := p.Exporter.Export(ctx, data)
	switch {
	case err != nil && !p.failing:
		p.log.Warn("metrics are not delivered", "reason", reason(err))
	case err == nil && p.failing:
		p.log.Info("metrics are delivered again")
	}
	p.failing = err != nil
	return nil
}
