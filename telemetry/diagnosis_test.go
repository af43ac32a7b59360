package telemetry_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"weir/telemetry"
)

// TestDiagnoses: what OpenTelemetry says of variables that it does not understand is a
// line in the log like any other, without what they hold.
func TestDiagnoses(t *testing.T) { //nolint:paralleltest // the environment and who is told are the process's
	const secret = "sk-secret-of-the-collector"
	tests := []struct{ name, variable, value, want string }{
		{"headers with a colon", "OTEL_EXPORTER_OTLP_HEADERS", "authorization: Bearer " + secret, "parse headers"},
		{"a password with a slash", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://weir:" + secret + "/7@collector", "parse url"},
		{"no time", "OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "parse duration"},
		{"no such sampler", "OTEL_TRACES_SAMPLER", "always", "unsupported sampler"},
		{"no ratio", "OTEL_TRACES_SAMPLER_ARG", "1%", "parsing sampler argument"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			log := slog.New(slog.NewJSONHandler(&out, nil))
			telemetry.Hear(log)
			t.Cleanup(func() { telemetry.Hear(slog.New(slog.DiscardHandler)) })
			if strings.HasSuffix(tt.variable, "_ARG") {
				t.Setenv("OTEL_TRACES_SAMPLER", "traceidratio")
			}
			t.Setenv(tt.variable, tt.value)
			vars := env{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
			tracing, err := telemetry.NewTracing(t.Context(), telemetry.TracingConfig{Getenv: vars.get, Log: log})
			if err != nil {
				t.Fatal(err)
			}
			if err := tracing.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := out.String()
			if !strings.HasPrefix(got, "{") || !strings.Contains(got, `"level":"WARN"`) || !strings.Contains(got, tt.want) {
				t.Errorf("logged %q, want a warning of %q", got, tt.want)
			}
			if strings.Contains(got, secret) {
				t.Errorf("logged a secret: %s", got)
			}
		})
	}
}
