package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"weir/telemetry"
)

// env is an environment of variables.
type env map[string]string

func (e env) get(name string) string { return e[name] }

// TestExports holds which variables ask for spans to be sent.
func TestExports(t *testing.T) {
	t.Parallel()
	const base, own = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	tests := []struct {
		name   string
		env    env
		want   bool
		logged string
	}{
		{"nothing", nil, false, ""},
		{"an endpoint of all", env{base: "http://127.0.0.1:4318"}, true, ""},
		{"an endpoint of its own", env{own: "https://otel.example/v1/traces"}, true, ""},
		{"another signal's", env{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:4318"}, false, ""},
		{"the exporter, and its usual endpoint", env{"OTEL_TRACES_EXPORTER": "otlp"}, true, ""},
		{"no exporter", env{base: "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"}, false, ""},
		{"another exporter", env{base: "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "zipkin"}, false, "OTEL_TRACES_EXPORTER"},
		{"several", env{"OTEL_TRACES_EXPORTER": "console, otlp"}, true, ""},
		{"all is off", env{base: "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "TRUE"}, false, ""},
		{"not off", env{base: "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "1"}, true, ""},
		{"gRPC", env{base: "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, false, "http/protobuf"},
		{"gRPC of others", env{base: "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"}, true, ""},
		{"JSON", env{base: "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, true, ""},
		{"another protocol", env{base: "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "protobuf"}, false, "http/protobuf"},
		{"compressed", env{base: "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}, true, ""},
		{"another compression", env{base: "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "zstd"}, false, "gzip, none"},
		{"no URL", env{base: "otel-with-a-secret:4318"}, false, "no http or https URL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if got := telemetry.Exports(tt.env.get, "TRACES", slog.New(slog.NewTextHandler(&out, nil))); got != tt.want {
				t.Errorf("Exports = %v", got)
			}
			if got := out.String(); (got == "") != (tt.logged == "") || !strings.Contains(got, tt.logged) || strings.Contains(got, "secret") {
				t.Errorf("logged %q, want %q", got, tt.logged)
			}
		})
	}
}

// TestTracingOff holds that without an endpoint there is nothing: no goroutine, no
// span that is kept, and nothing to end.
func TestTracingOff(t *testing.T) { //nolint:paralleltest // it counts goroutines
	before := runtime.NumGoroutine()
	tr, err := telemetry.NewTracing(t.Context(), telemetry.TracingConfig{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, span := tr.Tracer().Start(t.Context(), "x")
	if span.IsRecording() || trace.SpanContextFromContext(ctx).IsValid() || runtime.NumGoroutine() > before {
		t.Errorf("a span that nobody asked for, or a goroutine")
	}
	span.End()
	if err := tr.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestTracingDelivers holds that spans go where the standard variables say, as they
// say, and that Close does not lose the last ones.
func TestTracingDelivers(t *testing.T) {
	type post struct{ Path, Auth, Encoding, Type string }
	got, body := make(chan post, 9), make(chan string, 9)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- post{r.URL.Path, r.Header.Get("X-Tenant"), r.Header.Get("Content-Encoding"), r.Header.Get("Content-Type")}
		body <- string(b)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=weir")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	variables := env{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL, "OTEL_SEMCONV_STABILITY_OPT_IN": "http, gen_ai_latest_experimental"}
	tr, err := telemetry.NewTracing(t.Context(), telemetry.TracingConfig{Getenv: variables.get, Version: "v1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	_, span := tr.Tracer().Start(t.Context(), "the last one")
	span.End()
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(post{"/v1/traces", "weir", "", "application/json"}, <-got); diff != "" {
		t.Errorf("posted (-want +got):\n%s", diff)
	}
	text := <-body
	for _, want := range []string{`"the last one"`, `"weir"`, `"v1"`, "deployment.environment.name"} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %s in %s", want, text)
		}
	}
	if !tr.Latest() || tr.Content() {
		t.Errorf("latest %v, content %v", tr.Latest(), tr.Content())
	}
}

// TestTracingSamples holds that as many requests are traced as the standard
// variables say, and that a caller's own decision goes before.
func TestTracingSamples(t *testing.T) {
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
	t.Setenv("OTEL_TRACES_SAMPLER_ARG", "0.1")
	kept := tracetest.NewInMemoryExporter()
	tr, err := telemetry.NewTracing(t.Context(), telemetry.TracingConfig{Exporter: kept, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		_, span := tr.Tracer().Start(t.Context(), "root")
		span.End()
	}
	// The ids are random: 200 are expected, and 120 to 280 are six deviations off.
	if n := len(kept.GetSpans()); n < 120 || n > 280 {
		t.Errorf("%d of 2000 are kept", n)
	}
	kept.Reset()
	for _, flags := range []trace.TraceFlags{trace.FlagsSampled, 0} {
		parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: [16]byte{1}, SpanID: [8]byte{2}, TraceFlags: flags, Remote: true})
		_, span := tr.Tracer().Start(trace.ContextWithSpanContext(t.Context(), parent), "child")
		span.End()
	}
	if n := len(kept.GetSpans()); n != 1 {
		t.Errorf("%d of two children are kept", n)
	}
}

// broken is an exporter whose next deliveries end in these errors.
type broken struct {
	sdk.SpanExporter
	errs []error
}

func (b *broken) ExportSpans(context.Context, []sdk.ReadOnlySpan) error {
	err := b.errs[0]
	b.errs = b.errs[1:]
	return err
}

// TestDeliveryIsLoggedOnce holds that a collector that is away is a line when it
// goes and a line when it is back, without its URL, and nobody else's error.
func TestDeliveryIsLoggedOnce(t *testing.T) {
	t.Parallel()
	away := &url.Error{Op: "Post", URL: "https://user:canary@otel.example", Err: errors.New("connection refused")}
	var out bytes.Buffer
	c := telemetry.Courier(&broken{errs: []error{nil, away, away, away, nil, nil, away}}, slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})))
	for range 7 {
		if err := c.ExportSpans(t.Context(), make([]sdk.ReadOnlySpan, 2)); err != nil {
			t.Error(err)
		}
	}
	want := `level=WARN msg="spans are not delivered" reason="connection refused"
level=INFO msg="spans are delivered again" lost=6
level=WARN msg="spans are not delivered" reason="connection refused"
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("logged (-want +got):\n%s", diff)
	}
}
