package telemetry_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"weir/telemetry"
)

// TestPush holds that metrics are sent by OTLP where the environment asks for it, and
// that one line says that they cannot be.
func TestPush(t *testing.T) {
	tests := []struct {
		name        string
		environment map[string]string
		status      int
		path        string // that is posted to; "" none
		logged      string
	}{
		{name: "an endpoint of all signals", environment: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "URL"}, status: 200, path: "/v1/metrics"},
		{name: "an endpoint of metrics", environment: map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "URL/here"}, status: 200, path: "/here"},
		{name: "none wanted", environment: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "URL", "OTEL_METRICS_EXPORTER": "none"}},
		{name: "all switched off", environment: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "URL", "OTEL_SDK_DISABLED": "true"}},
		{name: "refused", environment: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "URL"}, status: 400, path: "/v1/metrics", logged: "metrics are not delivered"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var mu sync.Mutex
			var path, kind string
			var body []byte
			collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				path, kind = r.URL.Path, r.Header.Get("Content-Type")
				body, _ = io.ReadAll(r.Body)
				w.WriteHeader(tt.status)
			}))
			defer collector.Close()
			for name, value := range tt.environment {
				t.Setenv(name, strings.Replace(value, "URL", collector.URL, 1))
			}
			var out bytes.Buffer
			m, err := telemetry.NewMetrics(t.Context(), telemetry.MetricsConfig{Getenv: os.Getenv, Log: slog.New(slog.NewJSONHandler(&out, nil))})
			if err != nil {
				t.Fatal(err)
			}
			m.Take(t.Context(), failedOver())
			if err := m.Close(context.Background()); err != nil {
				t.Error(err)
			}
			if err := m.Close(context.Background()); err != nil {
				t.Errorf("closed once more: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if path != tt.path {
				t.Errorf("posted to %q, want %q", path, tt.path)
			}
			if tt.path != "" && (kind != "application/x-protobuf" || !bytes.Contains(body, []byte("weir.request.duration")) || !bytes.Contains(body, []byte("service.name"))) {
				t.Errorf("what is posted is %s: %q", kind, body)
			}
			if got := strings.Count(out.String(), "\n"); strings.Contains(out.String(), tt.logged) == (tt.logged == "") && got > 0 || tt.logged != "" && got != 1 {
				t.Errorf("the log is %s, want %q", &out, tt.logged)
			}
		})
	}
}

// TestNothingIsPushedUnasked holds that without a variable nothing runs: a bubble
// does not end while something does.
func TestNothingIsPushedUnasked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, err := telemetry.NewMetrics(t.Context(), telemetry.MetricsConfig{GenAI: true})
		if err != nil {
			t.Fatal(err)
		}
		m.Take(t.Context(), failedOver())
	})
}

// TestReadersSeeTheSame holds that what is read beside Prometheus is of the same
// instruments.
func TestReadersSeeTheSame(t *testing.T) {
	t.Parallel()
	m, reader := readable(t, nil)
	m.Take(t.Context(), failedOver())
	read := map[string]bool{}
	for name := range collected(t, reader) {
		read[strings.NewReplacer(".", "_").Replace(name)] = true
	}
	for name := range ours(t, exposed(t, m)) {
		base := strings.TrimSuffix(strings.TrimSuffix(name, "_total"), "_seconds")
		if !read[base] {
			t.Errorf("%s is not read", name)
		}
	}
}
