package telemetry_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.opentelemetry.io/otel/semconv/v1.41.0/genaiconv"
	"go.opentelemetry.io/otel/trace"

	"weir/telemetry"
	"weir/usage"
)

// traced returns a context of a trace that is sampled.
func traced(ctx context.Context, sampled bool) context.Context {
	return trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{0xab, 1}, SpanID: trace.SpanID{0xcd, 2}, TraceFlags: trace.TraceFlags(0).WithSampled(sampled),
	}))
}

// collected returns the metrics that a reader reads, by their names.
func collected(t *testing.T, r sdk.Reader) map[string]metricdata.Metrics {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := r.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	return named(t, data.ScopeMetrics)
}

// named returns metrics by their names.
func named(t *testing.T, scopes []metricdata.ScopeMetrics) map[string]metricdata.Metrics {
	t.Helper()
	all := map[string]metricdata.Metrics{}
	for _, scope := range scopes {
		if scope.Scope.Name != "weir" {
			t.Errorf("%d metrics are of %q", len(scope.Metrics), scope.Scope.Name)
		}
		for _, m := range scope.Metrics {
			if _, twice := all[m.Name]; twice {
				t.Errorf("%s is there twice", m.Name)
			}
			all[m.Name] = m
		}
	}
	return all
}

// readable returns Metrics and what reads them.
func readable(t *testing.T, change func(*telemetry.MetricsConfig)) (*telemetry.Metrics, sdk.Reader) {
	t.Helper()
	var reader sdk.Reader
	return measured(t, func(cfg *telemetry.MetricsConfig) {
		cfg.Reader = func(p sdk.Producer) sdk.Reader {
			reader = sdk.NewManualReader(sdk.WithProducer(p))
			return reader
		}
		if change != nil {
			change(cfg)
		}
	}), reader
}

// TestHistogramsAreAsTheSDKs holds that a histogram is read as one of the SDK's that
// was given the same: at the edges of its buckets, beside them, and with exemplars.
func TestHistogramsAreAsTheSDKs(t *testing.T) {
	t.Parallel()
	m, ours := readable(t, nil)
	theirs := sdk.NewManualReader()
	h, err := sdk.NewMeterProvider(sdk.WithReader(theirs)).Meter("weir").Float64Histogram("weir.limit.store.duration", metric.WithUnit("s"),
		metric.WithDescription("How long round trips to the store of the limits took."),
		metric.WithExplicitBucketBoundaries(.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1))
	if err != nil {
		t.Fatal(err)
	}
	for i, took := range []time.Duration{
		0, time.Nanosecond, 100 * time.Microsecond, 100*time.Microsecond + 1, time.Millisecond, 3 * time.Millisecond, 100 * time.Millisecond, time.Minute, -time.Second,
	} {
		ctx := traced(t.Context(), i%2 == 1) // one of each bucket: of several, the SDK keeps any
		for _, op := range []string{"reserve", "settle"}[:1+i%2] {
			m.Stored(ctx, op, took, false)
			h.Record(ctx, took.Seconds(), metric.WithAttributes(attribute.String("op", op)))
		}
	}
	const name = "weir.limit.store.duration"
	metricdatatest.AssertEqual(t, collected(t, theirs)[name], collected(t, ours)[name], metricdatatest.IgnoreTimestamp())
}

// TestConventions holds the names, units and descriptions of the conventions, as the
// SDK takes them from the package that has them.
func TestConventions(t *testing.T) {
	t.Parallel()
	m, ours := readable(t, nil)
	m.Take(t.Context(), failedOver())
	theirs := sdk.NewManualReader()
	meter := sdk.NewMeterProvider(sdk.WithReader(theirs)).Meter("weir")
	record := func(h metric.Float64Histogram, err error) {
		if err != nil {
			t.Fatal(err)
		}
		h.Record(t.Context(), 1)
	}
	duration, err := genaiconv.NewClientOperationDuration(meter)
	record(duration.Inst(), err)
	chunk, err := genaiconv.NewClientOperationTimeToFirstChunk(meter)
	record(chunk.Inst(), err)
	pause, err := genaiconv.NewClientOperationTimePerOutputChunk(meter)
	record(pause.Inst(), err)
	request, err := genaiconv.NewServerRequestDuration(meter)
	record(request.Inst(), err)
	first, err := genaiconv.NewServerTimeToFirstToken(meter)
	record(first.Inst(), err)
	each, err := genaiconv.NewServerTimePerOutputToken(meter)
	record(each.Inst(), err)
	tokens, err := genaiconv.NewClientTokenUsage(meter)
	if err != nil {
		t.Fatal(err)
	}
	tokens.Inst().Record(t.Context(), 1)
	plain := func(all map[string]metricdata.Metrics) (out []string) {
		for name, m := range all {
			if strings.HasPrefix(name, "gen_ai.") {
				out = append(out, fmt.Sprintf("%s in %s: %s", m.Name, m.Unit, m.Description))
			}
		}
		slices.Sort(out)
		return out
	}
	if diff := cmp.Diff(plain(collected(t, theirs)), plain(collected(t, ours))); diff != "" {
		t.Errorf("the conventions' metrics (-want +got):\n%s", diff)
	}
}

// TestPausesAreAsTheSDKs holds that pauses which were counted before are read as a
// histogram of the SDK's that was given each.
func TestPausesAreAsTheSDKs(t *testing.T) {
	t.Parallel()
	m, ours := readable(t, nil)
	theirs := sdk.NewManualReader()
	meter := sdk.NewMeterProvider(sdk.WithReader(theirs)).Meter("weir")
	h, err := meter.Float64Histogram("gen_ai.client.operation.time_per_output_chunk", metric.WithUnit("s"),
		metric.WithDescription(genaiconv.ClientOperationTimePerOutputChunk{}.Description()),
		metric.WithExplicitBucketBoundaries(.01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92))
	if err != nil {
		t.Fatal(err)
	}
	labels := metric.WithAttributes(attribute.String("gen_ai.operation.name", "chat"), attribute.String("gen_ai.provider.name", telemetry.AzureOpenAI))
	for _, sampled := range []bool{false, true} {
		r := &usage.Record{Operation: usage.Chat, Outcome: usage.OK, Stream: true, Attempts: []usage.Attempt{{Status: 200}}, Pauses: new(usage.Pauses)}
		longest := 10 * time.Millisecond << 14
		for pause := 10 * time.Millisecond; pause <= longest; pause *= 2 {
			for _, took := range []time.Duration{pause, pause + 1} {
				r.Pauses.Add(took, 1)
				h.Record(traced(t.Context(), sampled && took > longest), took.Seconds(), labels)
			}
		}
		m.Take(traced(t.Context(), sampled), r)
		m.Take(t.Context(), &usage.Record{Operation: usage.Chat, Stream: true, Attempts: []usage.Attempt{{Status: 200}}, Pauses: new(usage.Pauses)})
	}
	const name = "gen_ai.client.operation.time_per_output_chunk"
	near := cmpopts.EquateApprox(0, 1e-6)
	want, got := points(t, collected(t, theirs), name).DataPoints, points(t, collected(t, ours), name).DataPoints
	if len(got) != 1 || !cmp.Equal(want[0].Sum, got[0].Sum, near) {
		t.Fatalf("together they are %v, want %v", got, want)
	}
	want[0].Sum = got[0].Sum // added up in another order
	metricdatatest.AssertEqual(t, want[0], got[0], metricdatatest.IgnoreTimestamp())
}

// points returns the points of a histogram.
func points(t *testing.T, all map[string]metricdata.Metrics, name string) metricdata.Histogram[float64] {
	t.Helper()
	h, ok := all[name].Data.(metricdata.Histogram[float64])
	if !ok {
		t.Fatalf("%s is a %T", name, all[name].Data)
	}
	return h
}

// TestExemplarFilter holds that the variable of OpenTelemetry says which requests are
// pointed to.
func TestExemplarFilter(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, filter string
		sampled      bool
		want         int
	}{
		{"sampled", "", true, 1},
		{"not sampled", "", false, 0},
		{"by the trace, sampled", "trace_based", true, 1},
		{"by the trace, not sampled", "trace_based", false, 0},
		{"all, not sampled", " Always_On", false, 1},
		{"none, sampled", "always_off", true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, reader := readable(t, func(cfg *telemetry.MetricsConfig) {
				cfg.Getenv = func(name string) string { return map[string]string{"OTEL_METRICS_EXEMPLAR_FILTER": tt.filter}[name] }
			})
			m.Take(traced(t.Context(), tt.sampled), failedOver())
			got := points(t, collected(t, reader), "weir.request.duration").DataPoints[0].Exemplars
			if len(got) != tt.want {
				t.Errorf("there are %d exemplars, want %d: %v", len(got), tt.want, got)
			}
		})
	}
}

// TestNews holds what a reader reads that wants to know only what is new.
func TestNews(t *testing.T) {
	t.Parallel()
	m := measured(t, nil)
	news := m.News()
	type point struct {
		Op        string
		Count     uint64
		Sum       float64
		Buckets   uint64 // all of them together
		Exemplars int
		Least     bool // the least value is known
	}
	read := func() (out []point) {
		scopes, err := news.Produce(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(scopes) == 0 {
			return nil
		}
		h := points(t, named(t, scopes), "weir.limit.store.duration")
		if h.Temporality != metricdata.DeltaTemporality {
			t.Errorf("it is %s", h.Temporality)
		}
		for _, p := range h.DataPoints {
			op, _ := p.Attributes.Value("op")
			one := point{Op: op.AsString(), Count: p.Count, Sum: math.Round(p.Sum*1000) / 1000, Exemplars: len(p.Exemplars)}
			_, one.Least = p.Min.Value()
			for _, n := range p.BucketCounts {
				one.Buckets += n
			}
			out = append(out, one)
		}
		return out
	}
	var got [][]point
	m.Stored(traced(t.Context(), true), "reserve", time.Millisecond, false)
	m.Stored(t.Context(), "reserve", 2*time.Millisecond, false)
	got = append(got, read(), read())
	m.Stored(t.Context(), "reserve", 4*time.Millisecond, false)
	m.Stored(t.Context(), "settle", time.Millisecond, false)
	got = append(got, read())
	want := [][]point{
		{{"reserve", 2, .003, 2, 1, true}},
		nil,
		{{"reserve", 1, .004, 1, 0, false}, {"settle", 1, .001, 1, 0, true}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is new (-want +got):\n%s", diff)
	}
}

// TestPushedHistograms holds what the variables of OTLP make of histograms.
func TestPushedHistograms(t *testing.T) {
	for _, tt := range []struct {
		name, variable, value string
		delta                 bool
		logged                string
	}{
		{name: "as they are"},
		{name: "what is new", variable: "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", value: "delta", delta: true},
		{name: "other buckets", variable: "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", value: "base2_exponential_bucket_histogram", logged: "no others"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bodies := make(chan []byte, 1)
			collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				bodies <- body
			}))
			defer collector.Close()
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
			if tt.variable != "" {
				t.Setenv(tt.variable, tt.value)
			}
			var log strings.Builder
			m, err := telemetry.NewMetrics(t.Context(), telemetry.MetricsConfig{Getenv: os.Getenv, Log: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			m.Stored(t.Context(), "reserve", time.Millisecond, false)
			if err := m.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			body := string(<-bodies)
			if !strings.Contains(body, "weir.limit.store.duration") {
				t.Errorf("what is sent is %q", body)
			}
			// The histogram is the last, and the last of it is its field 2: 1 what is new, 2 all.
			want := "\x02"
			if tt.delta {
				want = "\x01"
			}
			if found := regexp.MustCompile(`(?s)\x10(.)(\x1a.https://[^ ]*)?$`).FindStringSubmatch(body); found == nil || found[1] != want {
				t.Errorf("%q of the histogram is sent, want %q: %q", found, want, body)
			}
			if (log.Len() > 0) != (tt.logged != "") || !strings.Contains(log.String(), tt.logged) {
				t.Errorf("the log is %q, want %q", &log, tt.logged)
			}
		})
	}
}

// TestDeploymentsOfOneBackend holds that two deployments of one place, which the
// conventions do not tell apart, are one series.
func TestDeploymentsOfOneBackend(t *testing.T) {
	t.Parallel()
	m := measured(t, nil)
	same := telemetry.Backend{Provider: telemetry.AzureOpenAI, Address: "east.example", Port: 443}
	m.Know(telemetry.Known{Models: map[string]bool{"gpt-4o": true}, Deployments: map[string]telemetry.Backend{"east/one": same, "east/two": same}})
	for _, d := range []string{"east/one", "east/two"} {
		r := failedOver()
		r.Deployment, r.Attempts = d, []usage.Attempt{{Deployment: d, Status: 200}}
		m.Take(t.Context(), r)
	}
	want := []string{`gen_ai_client_operation_duration_seconds_count{gen_ai_operation_name="chat",gen_ai_provider_name="azure.ai.openai",gen_ai_request_model="gpt-4o",gen_ai_response_model="gpt-4o-2024-11-20",server_address="east.example",server_port="443"} 2`}
	if diff := cmp.Diff(want, series(exposed(t, m), "gen_ai_client_operation_duration_seconds_count")); diff != "" {
		t.Errorf("the series (-want +got):\n%s", diff)
	}
}

// TestManyAtOnce holds that nothing is lost of requests that end at the same time,
// while they are read.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	const each = 200
	m, reader := readable(t, nil)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range each {
				m.Take(traced(t.Context(), i%2 == 0), failedOver())
			}
		})
	}
	for range 20 {
		collected(t, reader)
	}
	wg.Wait()
	p := points(t, collected(t, reader), "weir.request.duration").DataPoints[0]
	if got := math.Round(p.Sum * 1000); p.Count != 4*each || got != 4*each*3001 {
		t.Errorf("there are %d of %v ms together, want %d", p.Count, got, 4*each)
	}
}
