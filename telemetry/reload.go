package telemetry

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Reload is how reading the configuration again went.
type Reload struct {
	OK       bool      `json:"ok"`
	At       time.Time `json:"at"`
	Hash     string    `json:"hash,omitempty"` // of the file
	Error    string    `json:"error,omitempty"`
	Problems []string  `json:"problems,omitempty"`       // errors and warnings of the file
	Restart  []string  `json:"restart_needed,omitempty"` // settings that were changed, and hold only after a restart
}

// reloads are the metrics of Reload, in the names that other servers use.
type reloads struct {
	ok, at metric.Float64Gauge
	count  metric.Int64Counter
}

func newReloads(meter metric.Meter) (r reloads, err error) {
	r.ok, err = meter.Float64Gauge("weir.config.last.reload.successful",
		metric.WithDescription("Whether the configuration was taken when it was last read: 1 or 0."))
	if err != nil {
		return r, fmt.Errorf("telemetry: making a metric: %w", err)
	}
	r.at, err = meter.Float64Gauge("weir.config.last.reload.success.timestamp", metric.WithUnit("s"),
		metric.WithDescription("When the configuration was last taken, in Unix seconds."))
	if err != nil {
		return r, fmt.Errorf("telemetry: making a metric: %w", err)
	}
	r.count, err = meter.Int64Counter("weir.config.reloads", metric.WithDescription("How often the configuration was read, by result."))
	if err != nil {
		return r, fmt.Errorf("telemetry: making a metric: %w", err)
	}
	return r, nil
}

// Reloaded measures how reading the configuration went.
func (m *Metrics) Reloaded(ctx context.Context, r Reload) {
	result := "failed"
	if r.OK {
		result = "ok"
		m.reloads.at.Record(ctx, float64(r.At.UnixMilli())/1000)
		if r.Hash != "" {
			m.hash.Store(&r.Hash)
		}
	}
	m.reloads.ok.Record(ctx, bit(r.OK))
	m.reloads.count.Add(ctx, 1, metric.WithAttributes(attribute.String("result", result)))
}
