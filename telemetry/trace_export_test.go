package telemetry

import (
	"log/slog"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// Courier returns what hands spans to their exporter and logs how that goes.
func Courier(to sdk.SpanExporter, log *slog.Logger) sdk.SpanExporter {
	return &courier{SpanExporter: to, log: log}
}
