package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// TracingConfig is what Tracing works with.
type TracingConfig struct {
	// Getenv returns a variable of the environment, "" for one that is not set. The
	// standard variables of OpenTelemetry say whether spans go anywhere, and where.
	Getenv func(name string) string

	// Exporter takes spans as they end, whatever the environment says; nil: what the
	// environment asks for does.
	Exporter sdk.SpanExporter

	Version string       // of this program
	Log     *slog.Logger // of spans that cannot be delivered
}

// Tracing is where spans go. Where nothing asks for any, they cost nothing.
type Tracing struct {
	tracer trace.Tracer
	end    func(context.Context) error // nil: nothing is kept
	latest bool
	always bool
}

// NewTracing returns the Tracing that the environment asks for. It must be closed.
// The environment's names of samplers, batches, resources, endpoints, headers,
// compression and time-outs are those of the OpenTelemetry specification.
func NewTracing(ctx context.Context, cfg TracingConfig) (*Tracing, error) {
	if cfg.Getenv == nil {
		cfg.Getenv = func(string) string { return "" }
	}
	t := &Tracing{
		tracer: noop.NewTracerProvider().Tracer(scope),
		latest: latest(cfg.Getenv),
		always: strings.EqualFold(cfg.Getenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"), "true"),
	}
	var processor sdk.SpanProcessor
	switch {
	case cfg.Exporter != nil:
		processor = sdk.NewSimpleSpanProcessor(cfg.Exporter)
	case !Exports(cfg.Getenv, "TRACES", cfg.Log):
		return t, nil
	default:
		exporter, err := otlptracehttp.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("telemetry: making the exporter of spans: %w", err)
		}
		processor = sdk.NewBatchSpanProcessor(&courier{SpanExporter: exporter, log: cfg.Log})
	}
	about, err := Resource(ctx, cfg.Version)
	if err != nil {
		return nil, err
	}
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(processor), sdk.WithResource(about), sdk.WithoutPanicRecording())
	t.tracer, t.end = provider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)), provider.Shutdown
	return t, nil
}

// scope names what makes our spans.
const scope = "weir"

// Tracer returns what begins spans.
func (t *Tracing) Tracer() trace.Tracer { return t.tracer }

// Latest reports whether the newest names of the GenAI conventions are wanted, in
// the place of those of 1.41.
func (t *Tracing) Latest() bool { return t.latest }

// Content reports whether the environment asks for what messages hold.
func (t *Tracing) Content() bool { return t.always }

// flush is how long Close lets the last spans take.
const flush = 3 * time.Second

// Close delivers the spans that have ended, as far as that is quickly done.
func (t *Tracing) Close(ctx context.Context) error {
	if t.end == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flush)
	defer cancel()
	if err := t.end(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("telemetry: closing the exporter of spans: %w", err)
	}
	return nil
}

// Resource returns what the signals of this process are about: the service weir,
// unless the environment names another, and what else it says.
func Resource(ctx context.Context, version string) (*resource.Resource, error) {
	about := []attribute.KeyValue{semconv.ServiceName(scope)}
	if version != "" {
		about = append(about, semconv.ServiceVersion(version))
	}
	r, err := resource.New(ctx, resource.WithAttributes(about...), resource.WithHost(), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) && !errors.Is(err, resource.ErrSchemaURLConflict) {
		return nil, fmt.Errorf("telemetry: describing the process: %w", err)
	}
	return r, nil
}

// Exports reports whether the environment asks for a signal, TRACES or METRICS, to
// be sent by OTLP: it names an endpoint, or otlp as the exporter. What it asks for
// that is not done is logged.
func Exports(getenv func(string) string, signal string, log *slog.Logger) bool {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	endpoint := first(getenv, "OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	variable := "OTEL_" + signal + "_EXPORTER"
	switch exporter := words(getenv(variable)); {
	case slices.Contains(exporter, "otlp"):
	case len(exporter) > 0:
		if !slices.Equal(exporter, []string{"none"}) {
			log.Warn("an exporter is asked for that there is not: nothing is sent", "variable", variable, "known", "otlp, none")
		}
		return false
	case endpoint == "":
		return false
	}
	if !spoken(getenv, signal, log) {
		return false
	}
	if u, err := url.Parse(endpoint); endpoint != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		log.Warn("the OTLP endpoint is no http or https URL: nothing is sent", "signal", strings.ToLower(signal))
		return false
	}
	return true
}

// spoken reports whether there is the protocol and the compression that the
// environment asks for. What there is not is logged.
func spoken(getenv func(string) string, signal string, log *slog.Logger) bool {
	switch first(getenv, "OTEL_EXPORTER_OTLP_"+signal+"_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL") {
	case "", "http/protobuf":
	case "http/json":
		if signal != "TRACES" {
			log.Warn("only spans are sent as JSON: this goes as protobuf", "signal", strings.ToLower(signal))
		}
	default:
		log.Warn("this protocol of OTLP is not spoken here: nothing is sent", "signal", strings.ToLower(signal), "mend", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf")
		return false
	}
	switch first(getenv, "OTEL_EXPORTER_OTLP_"+signal+"_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION") {
	case "", "none", "gzip":
		return true
	default:
		log.Warn("a compression of OTLP is asked for that there is not: nothing is sent", "signal", strings.ToLower(signal), "known", "gzip, none")
		return false
	}
}

// first returns the first variable that is set.
func first(getenv func(string) string, names ...string) string {
	for _, name := range names {
		if v := strings.TrimSpace(getenv(name)); v != "" {
			return v
		}
	}
	return ""
}

// words returns the parts of a list that commas divide.
func words(list string) []string {
	var out []string
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.ToLower(strings.TrimSpace(part)); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// courier hands spans to their exporter, and logs once when it fails and once when
// it works again. It is called by one goroutine at a time.
type courier struct {
	sdk.SpanExporter
	log     *slog.Logger
	failing bool
	lost    int
}

// ExportSpans delivers spans. An error is logged, and no one else's.
func (c *courier) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := c.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err != nil:
		c.lost += len(spans)
		if !c.failing {
			c.log.Warn("spans are not delivered", "reason", reason(err))
		}
	case c.failing:
		c.log.Info("spans are delivered again", "lost", c.lost)
		c.lost = 0
	}
	c.failing = err != nil
	return nil
}

// reason returns what an exporter failed with, without the URL, which may hold a
// secret.
func reason(err error) string {
	const most = 200
	if at, ok := errors.AsType[*url.Error](err); ok {
		err = at.Err
	}
	text := err.Error()
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}
