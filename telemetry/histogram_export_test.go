package telemetry

import sdk "go.opentelemetry.io/otel/sdk/metric"

// News returns what hands a reader what is new in the histograms since it last read.
func (m *Metrics) News() sdk.Producer {
	return &reading{of: &m.measures, delta: true, read: map[*distribution]already{}}
}

// Paths returns how many kinds of requests are remembered.
func (m *Metrics) Paths() int { return len(m.words.Load().paths.of) }
