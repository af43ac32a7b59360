package telemetry_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/telemetry"
	"weir/usage"
)

// TestWhatIsKnownChanges holds that requests are measured as what is known then, and
// that no two of them share what differs.
func TestWhatIsKnownChanges(t *testing.T) {
	t.Parallel()
	m := measured(t, nil)
	known := telemetry.Known{
		Models: map[string]bool{"gpt-4o": true}, Teams: map[string]bool{"search": true},
		Deployments: map[string]telemetry.Backend{"east/gpt-4o": {Provider: "openai"}, "west/gpt-4o": {Provider: "openai"}},
	}
	m.Know(known)
	take := func(change func(*usage.Record)) {
		r := failedOver()
		r.Attempts = r.Attempts[1:]
		change(r)
		m.Take(t.Context(), r)
	}
	nothing := func(*usage.Record) {}
	take(nothing)
	take(nothing)
	take(func(r *usage.Record) { r.Team = "nobody's" })
	take(func(r *usage.Record) { r.Status, r.Outcome, r.Code = 502, usage.UpstreamError, "made up" })
	take(func(r *usage.Record) { r.Status, r.Outcome, r.Code = 503, usage.UpstreamError, "made up" })
	take(func(r *usage.Record) { r.Status, r.Outcome = 499, usage.ClientGone })
	take(func(r *usage.Record) { r.Status = 400 })
	take(func(r *usage.Record) { r.Input, r.Output, r.Cost = 0, 0, 0 })
	m.Know(telemetry.Known{Teams: known.Teams, Deployments: known.Deployments})
	take(nothing)
	m.Know(known)
	take(nothing)
	const (
		labels = `,route="/v1/chat/completions",team=`
		server = `gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o",gen_ai_response_model="gpt-4o-2024-11-20"} `
	)
	want := []string{
		`gen_ai_server_request_duration_seconds_count{` + strings.Replace(server, `"gpt-4o",`, `"other",`, 1) + `1`,
		`gen_ai_server_request_duration_seconds_count{` + server + `5`,
		`gen_ai_server_request_duration_seconds_count{error_type="400",` + server + `1`,
		`gen_ai_server_request_duration_seconds_count{error_type="499",` + server + `1`,
		`gen_ai_server_request_duration_seconds_count{error_type="502",` + server + `1`,
		`gen_ai_server_request_duration_seconds_count{error_type="503",` + server + `1`,
		`weir_requests_total{code="",model="gpt-4o",outcome="client_gone"` + labels + `"search"} 1`,
		`weir_requests_total{code="",model="gpt-4o",outcome="ok"` + labels + `"other"} 1`,
		`weir_requests_total{code="",model="gpt-4o",outcome="ok"` + labels + `"search"} 5`,
		`weir_requests_total{code="",model="other",outcome="ok"` + labels + `"search"} 1`,
		`weir_requests_total{code="other",model="gpt-4o",outcome="upstream_error"` + labels + `"search"} 2`,
		`weir_tokens_total{model="gpt-4o",team="other",type="output"} 11`,
		`weir_tokens_total{model="gpt-4o",team="search",type="output"} 77`,
		`weir_tokens_total{model="other",team="search",type="output"} 11`,
		`weir_upstream_attempts_total{deployment="west/gpt-4o",reason="",result="ok"} 7`,
		`weir_upstream_attempts_total{deployment="west/gpt-4o",reason="client_gone",result="abandoned"} 1`,
		`weir_upstream_attempts_total{deployment="west/gpt-4o",reason="cut_stream",result="error"} 2`,
	}
	got := slices.DeleteFunc(series(exposed(t, m), "weir_requests_total", "weir_tokens_total", "weir_upstream_attempts_total", "gen_ai_server_request_duration_seconds_count"),
		func(line string) bool {
			return strings.HasPrefix(line, "weir_tokens_total") && !strings.Contains(line, `"output"`)
		})
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the series (-want +got):\n%s", diff)
	}
}

// TestRemembered holds that no two kinds of requests are taken for one: what is
// measured is the same where nothing is remembered.
func TestRemembered(t *testing.T) {
	t.Parallel()
	known := telemetry.Known{
		Models: map[string]bool{"gpt-4o": true, "two": true}, Teams: map[string]bool{"search": true, "two": true},
		Deployments: map[string]telemetry.Backend{"east/gpt-4o": {Provider: "openai"}, "west/gpt-4o": {Provider: telemetry.AzureOpenAI}},
	}
	key := func(cfg *telemetry.MetricsConfig) { cfg.Key = true }
	remembers, forgets := measured(t, key), measured(t, key)
	remembers.Know(known)
	for range 2 {
		for _, change := range []func(*usage.Record){
			func(*usage.Record) {},
			func(r *usage.Record) { r.Route = "/v1/embeddings" },
			func(r *usage.Record) { r.Model = "two" },
			func(r *usage.Record) { r.Deployment = "east/gpt-4o" },
			func(r *usage.Record) { r.Deployment, r.Attempts[1].Deployment = "east/gpt-4o", "east/gpt-4o" },
			func(r *usage.Record) { r.Team = "two" },
			func(r *usage.Record) { r.Key = "two" },
			func(r *usage.Record) { r.Served = "two" },
			func(r *usage.Record) { r.Policy = "two" },
			func(r *usage.Record) { r.Outcome = usage.ClientGone },
			func(r *usage.Record) { r.Outcome, r.Code = usage.UpstreamError, "rate_limit_exceeded" },
			func(r *usage.Record) { r.Code = "model_not_found" },
			func(r *usage.Record) { r.Operation = usage.Embeddings },
			func(r *usage.Record) { r.Operation = "" },
			func(r *usage.Record) { r.Status = 500 },
			func(r *usage.Record) { r.Stream = false },
			func(r *usage.Record) { r.Shadow = true },
			func(r *usage.Record) { r.Input, r.Output, r.Cost = 0, 0, 0 },
			func(r *usage.Record) { r.Verdict = usage.Verdict{} },
			func(r *usage.Record) { r.Attempts[1].Reason = "timeout" },
			func(r *usage.Record) { r.Attempts = r.Attempts[:1] },
			func(r *usage.Record) { r.Attempts = nil },
		} {
			for _, m := range []*telemetry.Metrics{remembers, forgets} {
				if m == forgets {
					m.Know(known)
				}
				r := failedOver()
				change(r)
				m.Take(t.Context(), r)
			}
		}
	}
	ours := func(m *telemetry.Metrics) []string {
		return slices.DeleteFunc(slices.Sorted(strings.Lines(exposed(t, m))), func(line string) bool {
			return !strings.HasPrefix(line, "weir_") && !strings.HasPrefix(line, "gen_ai_")
		})
	}
	if diff := cmp.Diff(ours(forgets), ours(remembers)); diff != "" {
		t.Errorf("the metrics (-want +got):\n%s", diff)
	}
}

// TestNamesMadeUpAreNotKept holds that a request is remembered only where all its
// names have series of their own.
func TestNamesMadeUpAreNotKept(t *testing.T) {
	t.Parallel()
	m := measured(t, nil)
	for i := range 100 {
		for _, change := range []func(*usage.Record, string){
			func(*usage.Record, string) {},
			func(r *usage.Record, name string) { r.Model = name },
			func(r *usage.Record, name string) { r.Team = name },
			func(r *usage.Record, name string) { r.Code = name },
			func(r *usage.Record, name string) { r.Deployment = name },
		} {
			r := failedOver()
			change(r, fmt.Sprintf("made-up-%d", i))
			m.Take(t.Context(), r)
		}
	}
	if n := m.Paths(); n != 1 {
		t.Errorf("%d kinds of requests are remembered, want 1", n)
	}
}
