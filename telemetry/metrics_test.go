package telemetry_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"

	"weir/telemetry"
	"weir/usage"
)

// measured returns Metrics that tell everything apart, with a few names known.
func measured(t testing.TB, change func(*telemetry.MetricsConfig)) *telemetry.Metrics {
	t.Helper()
	cfg := telemetry.MetricsConfig{
		GenAI: true, Team: true, Codes: []string{"rate_limit_exceeded", "special_tokens_in_input", "model_not_found"},
		Exclude: []string{"/livez"}, Build: telemetry.Build{Version: "v1.2.3", Commit: "abc", GoVersion: "go1.26"},
	}
	if change != nil {
		change(&cfg)
	}
	m, err := telemetry.NewMetrics(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	m.Know(telemetry.Known{
		Models: map[string]bool{"gpt-4o": true}, Teams: map[string]bool{"search": true},
		Deployments: map[string]telemetry.Backend{
			"east/gpt-4o": {Provider: telemetry.AzureOpenAI, Address: "east.example", Port: 443},
			"west/gpt-4o": {Provider: "openai", Address: "west.example", Port: 8000},
		},
	})
	return m
}

// series returns the samples of some metrics, in order, and without those that are
// zero.
func series(text string, names ...string) []string {
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, _, _ := strings.Cut(strings.ReplaceAll(line, "{", " "), " ")
		if slices.Contains(names, name) && !strings.HasSuffix(line, " 0") {
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return out
}

// failedOver is a stream that the second deployment answered.
func failedOver() *usage.Record {
	var pauses usage.Pauses
	pauses.Add(30*time.Millisecond, 9)
	pauses.Add(230*time.Millisecond, 1)
	return &usage.Record{
		Route: "/v1/chat/completions", Method: "POST", Team: "search", Key: "search-prod", Model: "gpt-4o", Deployment: "west/gpt-4o", Retry: 1,
		Status: 200, Outcome: usage.OK, Operation: usage.Chat, Stream: true, Served: "gpt-4o-2024-11-20", Policy: "default",
		Verdict: usage.Verdict{usage.SpecialTokens: usage.Escape, usage.ContextWindow: usage.Pass, usage.MaxOutput: usage.Lower},
		Attempts: []usage.Attempt{
			{Deployment: "east/gpt-4o", Status: 500, Reason: "unicode_500", Duration: time.Second, Began: time.Millisecond},
			{Deployment: "west/gpt-4o", Status: 200, Duration: 500 * time.Millisecond, Began: 1001 * time.Millisecond},
		},
		EstimatedInput: 103, Input: 100, Cached: 40, Output: 11, Reasoning: 5, Cost: usage.Dollar / 4,
		Filters:  []usage.Filtering{{Source: "prompt", Category: "hate", Severity: "medium", Filtered: false}},
		Duration: 3001 * time.Millisecond, FirstToken: 2001 * time.Millisecond, Upstream: 1501 * time.Millisecond,
		Pauses: &pauses,
	}
}

// TestRequestMetrics holds what is measured of a request that went well after a
// retry, and of such that were refused.
func TestRequestMetrics(t *testing.T) {
	t.Parallel()
	m := measured(t, nil)
	m.Take(t.Context(), failedOver())
	m.Take(t.Context(), &usage.Record{Route: "/livez", Outcome: usage.OK})
	m.Take(t.Context(), &usage.Record{
		Route: "/v1/chat/completions", Team: "search", Model: "gpt-4o", Status: 429, Outcome: usage.RefusedLimit, Code: "rate_limit_exceeded",
		Operation: usage.Chat, Limit: usage.TokenLimit, ShadowLimit: usage.BudgetLimit,
	})
	m.Take(t.Context(), &usage.Record{
		Route: "/v1/chat/completions", Team: "search", Status: 400, Outcome: usage.RefusedPolicy, Code: "special_tokens_in_input", Model: "gpt-4o",
		Policy: "strict", Shadow: true, Verdict: usage.Verdict{usage.SpecialTokens: usage.Reject},
	})
	text := exposed(t, m)
	for _, tt := range []struct {
		name string
		want []string
	}{
		{"weir_requests_total", []string{
			`weir_requests_total{code="",model="gpt-4o",outcome="ok",route="/v1/chat/completions",team="search"} 1`,
			`weir_requests_total{code="rate_limit_exceeded",model="gpt-4o",outcome="refused_limit",route="/v1/chat/completions",team="search"} 1`,
			`weir_requests_total{code="special_tokens_in_input",model="gpt-4o",outcome="refused_policy",route="/v1/chat/completions",team="search"} 1`,
		}},
		{"weir_request_duration_seconds_sum", []string{
			`weir_request_duration_seconds_sum{model="gpt-4o",outcome="ok",route="/v1/chat/completions",stream="true"} 3.001`,
		}},
		{"weir_overhead_seconds_sum", []string{`weir_overhead_seconds_sum{route="/v1/chat/completions"} 0.5`}},
		{"weir_time_to_first_token_seconds_sum", []string{`weir_time_to_first_token_seconds_sum{deployment="west/gpt-4o",model="gpt-4o"} 2.001`}},
		{"weir_time_per_output_token_seconds_sum", []string{`weir_time_per_output_token_seconds_sum{deployment="west/gpt-4o",model="gpt-4o"} 0.1`}},
		{"weir_tokens_total", []string{
			`weir_tokens_total{model="gpt-4o",team="search",type="cached_input"} 40`, `weir_tokens_total{model="gpt-4o",team="search",type="input"} 100`,
			`weir_tokens_total{model="gpt-4o",team="search",type="output"} 11`, `weir_tokens_total{model="gpt-4o",team="search",type="reasoning"} 5`,
		}},
		{"weir_cost_usd_total", []string{`weir_cost_usd_total{model="gpt-4o",team="search"} 0.25`}},
		{"weir_upstream_attempts_total", []string{
			`weir_upstream_attempts_total{deployment="east/gpt-4o",reason="unicode_500",result="error"} 1`,
			`weir_upstream_attempts_total{deployment="west/gpt-4o",reason="",result="ok"} 1`,
		}},
		{"weir_upstream_duration_seconds_sum", []string{
			`weir_upstream_duration_seconds_sum{deployment="east/gpt-4o",result="error"} 1`, `weir_upstream_duration_seconds_sum{deployment="west/gpt-4o",result="ok"} 2`,
		}},
		{"weir_retries_total", []string{`weir_retries_total{model="gpt-4o",reason="unicode_500"} 1`}},
		{"weir_retry_rescued_total", []string{`weir_retry_rescued_total{model="gpt-4o"} 1`}},
		{"weir_client_retries_total", []string{`weir_client_retries_total{team="search"} 1`}},
		{"weir_limit_rejections_total", []string{
			`weir_limit_rejections_total{limit="budget",mode="shadow",team="search"} 1`, `weir_limit_rejections_total{limit="tpm",mode="enforce",team="search"} 1`,
		}},
		{"weir_policy_decisions_total", []string{
			`weir_policy_decisions_total{action="escape",mode="enforce",policy="default",rule="special_tokens"} 1`,
			`weir_policy_decisions_total{action="lower",mode="enforce",policy="default",rule="max_output_tokens"} 1`,
			`weir_policy_decisions_total{action="pass",mode="enforce",policy="default",rule="context_window"} 1`,
			`weir_policy_decisions_total{action="reject",mode="shadow",policy="strict",rule="special_tokens"} 1`,
		}},
		{"weir_content_filter_total", []string{
			`weir_content_filter_total{category="hate",filtered="false",model="gpt-4o",severity="medium",source="prompt"} 1`,
		}},
		{"weir_token_estimate_error_ratio_sum", []string{`weir_token_estimate_error_ratio_sum{model="gpt-4o"} 0.03`}},
		{"weir_build_info", []string{`weir_build_info{commit="abc",goversion="go1.26",version="v1.2.3"} 1`}},
	} {
		if diff := cmp.Diff(tt.want, series(text, tt.name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestAttemptResults holds how the ends of attempts are told.
func TestAttemptResults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name           string
		outcome        usage.Outcome
		attempt        usage.Attempt
		result, reason string
	}{
		{"answered", usage.OK, usage.Attempt{Status: 200}, "ok", ""},
		{"throttled", usage.UpstreamError, usage.Attempt{Status: 429, Reason: "429"}, "throttled", "429"},
		{"out of money", usage.UpstreamError, usage.Attempt{Status: 429, Reason: "insufficient_quota"}, "throttled", "insufficient_quota"},
		{"refused", usage.ClientError, usage.Attempt{Status: 400, Reason: "400"}, "refused", "400"},
		{"stalled", usage.UpstreamError, usage.Attempt{Status: 408, Reason: "408"}, "error", "408"},
		{"failed", usage.UpstreamError, usage.Attempt{Status: 500, Reason: "unicode_500"}, "error", "unicode_500"},
		{"unreachable", usage.UpstreamError, usage.Attempt{Reason: "connect"}, "error", "connect"},
		{"left before the answer", usage.ClientGone, usage.Attempt{Reason: "client_gone"}, "abandoned", "client_gone"},
		{"left in the answer", usage.ClientGone, usage.Attempt{Status: 200}, "abandoned", "client_gone"},
		{"cut", usage.UpstreamError, usage.Attempt{Status: 200}, "error", "cut_stream"},
		{"a status from nowhere", usage.UpstreamError, usage.Attempt{Status: 599, Reason: "599"}, "error", "other"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := measured(t, nil)
			tt.attempt.Deployment = "east/gpt-4o"
			m.Take(t.Context(), &usage.Record{Model: "gpt-4o", Outcome: tt.outcome, Attempts: []usage.Attempt{tt.attempt}})
			want := []string{fmt.Sprintf(`weir_upstream_attempts_total{deployment="east/gpt-4o",reason=%q,result=%q} 1`, tt.reason, tt.result)}
			if diff := cmp.Diff(want, series(exposed(t, m), "weir_upstream_attempts_total")); diff != "" {
				t.Errorf("attempts (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLabels holds what the labels that may be switched do.
func TestLabels(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		team, key bool
		want      string
	}{
		{"teams", true, false, `weir_tokens_total{model="gpt-4o",team="search",type="output"} 11`},
		{"keys too", true, true, `weir_tokens_total{key="search-prod",model="gpt-4o",team="search",type="output"} 11`},
		{"neither", false, false, `weir_tokens_total{model="gpt-4o",type="output"} 11`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := measured(t, func(cfg *telemetry.MetricsConfig) { cfg.Team, cfg.Key = tt.team, tt.key })
			m.Take(t.Context(), failedOver())
			if text := exposed(t, m); !strings.Contains(text, tt.want+"\n") {
				t.Errorf("there is no %s in %s", tt.want, series(text, "weir_tokens_total"))
			}
		})
	}
}

// TestGenAI holds the metrics of the conventions, those of 1.41 and those that
// follow it.
func TestGenAI(t *testing.T) {
	t.Parallel()
	const (
		common = `gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o",gen_ai_response_model="gpt-4o-2024-11-20"`
		west   = common + `,server_address="west.example",server_port="8000"`
		east   = `error_type="500",gen_ai_operation_name="chat",gen_ai_provider_name="azure.ai.openai",gen_ai_request_model="gpt-4o",server_address="east.example",server_port="443"`
	)
	server := []string{
		`gen_ai_server_request_duration_seconds_sum{` + common + `} 3.001`,
		`gen_ai_server_time_per_output_token_seconds_sum{` + common + `} 0.1`,
		`gen_ai_server_time_to_first_token_seconds_sum{` + common + `} 2.001`,
	}
	tests := []struct {
		name, opt string
		off       bool
		want      []string
	}{
		{name: "pinned", want: append([]string{
			`gen_ai_client_operation_duration_seconds_sum{` + east + `} 1`,
			`gen_ai_client_operation_duration_seconds_sum{` + west + `} 2`,
			`gen_ai_client_operation_time_per_output_chunk_seconds_sum{` + west + `} 0.5`,
			`gen_ai_client_operation_time_to_first_chunk_seconds_sum{` + west + `} 1`,
			`gen_ai_client_token_usage_sum{` + strings.Replace(west, `,server_address`, `,gen_ai_token_type="input",server_address`, 1) + `} 100`,
			`gen_ai_client_token_usage_sum{` + strings.Replace(west, `,server_address`, `,gen_ai_token_type="output",server_address`, 1) + `} 11`,
		}, server...)},
		{name: "the newest", opt: "http, gen_ai_latest_experimental", want: append([]string{
			`gen_ai_client_inference_duration_seconds_sum{` + east + `} 1`,
			`gen_ai_client_inference_duration_seconds_sum{` + west + `} 2`,
			`gen_ai_client_inference_operation_input_tokens_sum{` + west + `} 100`,
			`gen_ai_client_inference_operation_output_tokens_sum{` + west + `} 11`,
			`gen_ai_client_inference_time_per_output_chunk_seconds_sum{` + west + `} 0.5`,
			`gen_ai_client_inference_time_to_first_chunk_seconds_sum{` + west + `} 1`,
			`gen_ai_client_inference_usage_cache_read_input_tokens_total{` + west + `} 40`,
			`gen_ai_client_inference_usage_input_tokens_total{` + west + `} 100`,
			`gen_ai_client_inference_usage_output_tokens_total{` + west + `} 11`,
			`gen_ai_client_inference_usage_reasoning_output_tokens_total{` + west + `} 5`,
		}, server...)},
		{name: "none", off: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := measured(t, func(cfg *telemetry.MetricsConfig) {
				cfg.GenAI = !tt.off
				cfg.Getenv = func(name string) string { return map[string]string{"OTEL_SEMCONV_STABILITY_OPT_IN": tt.opt}[name] }
			})
			m.Take(t.Context(), failedOver())
			m.Take(t.Context(), &usage.Record{Route: "/v1/models"}) // no operation
			var got []string
			for line := range strings.Lines(exposed(t, m)) {
				if strings.HasPrefix(line, "gen_ai_") && regexp.MustCompile(`_(sum|total)\{`).MatchString(line) {
					got = append(got, strings.TrimSpace(line))
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("the series (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSeriesAreBounded holds that no name that turns up makes a series of its own,
// unless it is known, or among the first where clients name things.
func TestSeriesAreBounded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		open bool
		most int // names of models
	}{{"configured", false, 2}, {"passed through", true, 258}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := measured(t, nil)
			m.Know(telemetry.Known{Models: map[string]bool{"gpt-4o": true}, Teams: map[string]bool{"search": true}, Open: tt.open})
			take := func(from, to int) {
				for i := range to - from {
					name := fmt.Sprintf("made-up-%d", from+i)
					r := failedOver()
					r.Model, r.Deployment, r.Team, r.Code, r.Served = name, "east/"+name, name, name, name
					r.Attempts[0].Deployment, r.Attempts[0].Reason, r.Attempts[0].Status = "east/"+name, name, 600+from+i
					m.Take(t.Context(), r)
					m.Enter(name, true)()
				}
			}
			take(0, 600)
			before := exposed(t, m)
			take(600, 10_600)
			after := exposed(t, m)
			count := func(text string) (n int) {
				for line := range strings.Lines(text) {
					if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "go_") {
						n++
					}
				}
				return n
			}
			if a, b := count(before), count(after); a != b {
				t.Errorf("there were %d series, and are %d", a, b)
			}
			models := map[string]bool{}
			for _, found := range regexp.MustCompile(`[{,]model="([^"]*)"`).FindAllStringSubmatch(after, -1) {
				models[found[1]] = true
			}
			if len(models) > tt.most || !models["other"] {
				t.Errorf("there are %d models, want at most %d and the other", len(models), tt.most)
			}
			if strings.Contains(after, "made-up-10000") {
				t.Error("a name of the last ones is told")
			}
		})
	}
}

// TestExemplars holds that a request of a sampled trace is pointed to, and no other.
func TestExemplars(t *testing.T) {
	t.Parallel()
	for _, sampled := range []bool{true, false} {
		t.Run(fmt.Sprintf("sampled %t", sampled), func(t *testing.T) {
			t.Parallel()
			m := measured(t, nil)
			span := trace.NewSpanContext(trace.SpanContextConfig{
				TraceID: trace.TraceID{0xab, 1}, SpanID: trace.SpanID{0xcd, 2}, TraceFlags: trace.TraceFlags(0).WithSampled(sampled),
			})
			m.Take(trace.ContextWithSpanContext(t.Context(), span), failedOver())
			r := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
			r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
			w := httptest.NewRecorder()
			m.Handler().ServeHTTP(w, r)
			found := regexp.MustCompile(`weir_request_duration_seconds_bucket\{.*# \{(span_id="cd02000000000000",)?trace_id="ab01`).MatchString(w.Body.String())
			if found != sampled {
				t.Errorf("an exemplar is there: %t, want %t:\n%s", found, sampled, w.Body)
			}
		})
	}
}

// TestGauges holds what gauges show of their sources.
func TestGauges(t *testing.T) {
	t.Parallel()
	m := measured(t, nil)
	if got := series(exposed(t, m), "weir_deployment_state", "weir_model_available", "weir_limit_used_ratio"); len(got) > 0 {
		t.Errorf("without sources there is %v", got)
	}
	m.Watch(telemetry.Sources{
		Deployments: func() []telemetry.Deployment {
			return []telemetry.Deployment{
				{Name: "east/gpt-4o", State: "resting", Tokens: usage.Number{Value: 1200, Set: true}},
				{Name: "west/gpt-4o", State: "closed"},
				{Name: "gone/1", State: "open"},
				{Name: "gone/2", State: "closed"},
			}
		},
		Models: func() map[string]bool { return map[string]bool{"gpt-4o": true} },
		Limits: func() []telemetry.Level {
			return []telemetry.Level{{Team: "search", Limit: usage.TokenLimit, Used: .25}, {Team: "search", Key: "search-prod", Limit: usage.TokenLimit, Used: .5}}
		},
	})
	leave := m.Enter("gpt-4o", true)
	m.Enter("gpt-4o", false)
	done := m.Enter("gpt-4o", true)
	m.Know(telemetry.Known{}) // the model is gone while requests for it are under way
	m.Enter("gpt-4o", false)
	m.Know(telemetry.Known{Models: map[string]bool{"gpt-4o": true}, Deployments: map[string]telemetry.Backend{"east/gpt-4o": {}, "west/gpt-4o": {}}})
	done()
	m.Reloaded(t.Context(), telemetry.Reload{OK: true, At: time.Unix(1000, 0), Hash: "7f3a21"})
	m.Reloaded(t.Context(), telemetry.Reload{Hash: "broken"})
	m.Stored(t.Context(), "reserve", time.Millisecond, false)
	m.Stored(t.Context(), "reserve", 25*time.Millisecond, true)
	want := []string{
		`weir_config_info{hash="7f3a21"} 1`, `weir_config_last_reload_success_timestamp_seconds 1000`,
		`weir_deployment_state{deployment="east/gpt-4o",state="resting"} 1`, `weir_deployment_state{deployment="other",state="open"} 1`,
		`weir_deployment_state{deployment="west/gpt-4o",state="closed"} 1`,
		`weir_inflight_requests{model="gpt-4o"} 2`, `weir_inflight_requests{model="other"} 1`,
		`weir_limit_store_duration_seconds_count{op="reserve"} 2`, `weir_limit_store_errors_total{op="reserve"} 1`,
		`weir_limit_used_ratio{limit="tpm",team="search"} 0.25`, `weir_model_available{model="gpt-4o"} 1`,
		`weir_open_streams{model="gpt-4o"} 1`, `weir_upstream_remaining_tokens{deployment="east/gpt-4o"} 1200`,
	}
	got := series(exposed(t, m), "weir_deployment_state", "weir_model_available", "weir_upstream_remaining_tokens", "weir_upstream_remaining_requests",
		"weir_limit_used_ratio", "weir_inflight_requests", "weir_open_streams", "weir_config_info", "weir_config_last_reload_successful",
		"weir_config_last_reload_success_timestamp_seconds", "weir_limit_store_duration_seconds_count", "weir_limit_store_errors_total")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("gauges (-want +got):\n%s", diff)
	}
	leave()
	wantLive := []telemetry.Live{{Model: "gpt-4o", Requests: 1}, {Model: "other", Requests: 1}}
	live := m.Live()
	slices.SortFunc(live, func(a, b telemetry.Live) int { return strings.Compare(a.Model, b.Model) })
	if diff := cmp.Diff(wantLive, live); diff != "" {
		t.Errorf("Live (-want +got):\n%s", diff)
	}
}

// BenchmarkTake measures what all metrics cost a request: a plain answer and a
// stream, as they are most of the time.
func BenchmarkTake(b *testing.B) {
	plain, stream := failedOver(), failedOver()
	for _, r := range []*usage.Record{plain, stream} {
		r.Attempts, r.Filters, r.Retry = r.Attempts[1:], nil, 0
	}
	plain.Stream = false
	bare := context.Background()
	span := func(sampled bool) context.Context {
		return trace.ContextWithSpanContext(bare, trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.TraceFlags(0).WithSampled(sampled),
		}))
	}
	for _, tt := range []struct {
		name  string
		ctx   context.Context
		r     *usage.Record
		genai bool
	}{
		{"plain", span(false), plain, true}, {"stream", span(false), stream, true}, {"stream sampled", span(true), stream, true}, {"plain without gen_ai", span(false), plain, false},
	} {
		b.Run(tt.name, func(b *testing.B) {
			m := measured(b, func(cfg *telemetry.MetricsConfig) { cfg.GenAI = tt.genai })
			b.ReportAllocs()
			for b.Loop() {
				m.Take(tt.ctx, tt.r)
			}
		})
	}
}

// TestTakeAllocatesNothing holds that measuring makes no garbage.
func TestTakeAllocatesNothing(t *testing.T) {
	m := measured(t, nil)
	r := failedOver()
	if n := testing.AllocsPerRun(100, func() { m.Take(context.Background(), r) }); n > 0 {
		t.Errorf("measuring a request makes %v allocations", n)
	}
}
