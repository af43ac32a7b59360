package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"weir/azuresim"
	"weir/usage"
)

// metrics returns what Prometheus reads of the gateway.
func (w *world) metrics() string {
	w.t.Helper()
	answer := httptest.NewRecorder()
	w.gateway.Admin.ServeHTTP(answer, httptest.NewRequestWithContext(w.t.Context(), http.MethodGet, "/metrics", http.NoBody))
	if answer.Code != http.StatusOK {
		w.t.Fatalf("/metrics answers %d: %s", answer.Code, answer.Body)
	}
	return answer.Body.String()
}

// samples returns the samples of some metrics in order, without those that are zero.
func samples(text string, names ...string) []string {
	out := []string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name := line[:max(0, strings.IndexAny(line, "{ "))]; slices.Contains(names, name) && !strings.HasSuffix(line, " 0") {
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return out
}

// strictly is a policy that has every rule, of which the plain gateway has none.
func strictly(policy string) []string {
	return []string{`owner: "#search"`, `owner: "#search"` + "\n    policy: strict", "resilience:", "policies: { strict: { " + policy + " } }\nresilience:"}
}

// TestMetricsOfRequests holds what becomes of requests in the metrics, through the
// whole gateway.
func TestMetricsOfRequests(t *testing.T) {
	t.Parallel()
	const turn = `{"role":"user","content":"one"},{"role":"assistant","content":"two"},`
	tests := []struct {
		name  string
		edits []string
		serve func(w *world)
		names []string
		want  []string
	}{
		{
			name: "a failover in a stream",
			serve: func(w *world) {
				w.east.Script(azuresim.Step{Fault: "rate-limit 7"})
				w.chat(say("hello", `"stream":true`))
			},
			names: []string{"weir_requests_total", "weir_upstream_attempts_total", "weir_retries_total", "weir_retry_rescued_total", "weir_deployment_state", "weir_model_available", "weir_inflight_requests"},
			want: []string{
				`weir_deployment_state{deployment="east/gpt-35-turbo",state="closed"} 1`, `weir_deployment_state{deployment="east/gpt-4o-east",state="resting"} 1`,
				`weir_deployment_state{deployment="east/gpt-5",state="closed"} 1`, `weir_deployment_state{deployment="east/mystery",state="closed"} 1`,
				`weir_deployment_state{deployment="west/d2",state="closed"} 1`, `weir_deployment_state{deployment="west/gpt-4o-west",state="closed"} 1`,
				`weir_model_available{model="d2"} 1`, `weir_model_available{model="gpt-35-turbo"} 1`, `weir_model_available{model="gpt-4o"} 1`,
				`weir_model_available{model="gpt-5"} 1`, `weir_model_available{model="mystery"} 1`,
				`weir_requests_total{code="",model="gpt-4o",outcome="ok",route="/v1/chat/completions",team="search"} 1`,
				`weir_retries_total{model="gpt-4o",reason="429"} 1`, `weir_retry_rescued_total{model="gpt-4o"} 1`,
				`weir_upstream_attempts_total{deployment="east/gpt-4o-east",reason="429",result="throttled"} 1`,
				`weir_upstream_attempts_total{deployment="west/gpt-4o-west",reason="",result="ok"} 1`,
			},
		},
		{
			name:  "a limit that refuses",
			edits: accountable("limits: { rpm: 2 }", ""),
			serve: func(w *world) {
				for range 3 {
					w.chat(say("hello"))
				}
			},
			names: []string{"weir_limit_rejections_total", "weir_limit_used_ratio"},
			want:  []string{`weir_limit_rejections_total{limit="rpm",mode="enforce",team="search"} 1`, `weir_limit_used_ratio{limit="rpm",team="search"} 1`},
		},
		{
			name:  "a limit in shadow mode",
			edits: accountable("limits: { rpm: 2, mode: shadow }", ""),
			serve: func(w *world) {
				for range 3 {
					w.chat(say("hello"))
				}
			},
			names: []string{"weir_limit_rejections_total", "weir_limit_used_ratio"},
			want:  []string{`weir_limit_rejections_total{limit="rpm",mode="shadow",team="search"} 1`},
		},
		{
			name:  "rules that pass, lower and refuse",
			edits: strictly("max_output_tokens: 100, max_input_tokens: 50, max_turns: 2"),
			serve: func(w *world) {
				w.chat(say("hello", `"max_tokens":500`))
				w.chat(say("<|im_start|>"))
				w.chat(say(strings.Repeat("hello ", 60)))
				w.chat(`{"model":"gpt-4o","messages":[` + turn + turn + `{"role":"user","content":"hello"}]}`)
			},
			names: []string{"weir_policy_decisions_total"},
			want: []string{
				`weir_policy_decisions_total{action="lower",mode="enforce",policy="strict",rule="max_output_tokens"} 1`,
				`weir_policy_decisions_total{action="pass",mode="enforce",policy="strict",rule="context_window"} 2`,
				`weir_policy_decisions_total{action="pass",mode="enforce",policy="strict",rule="max_input_tokens"} 1`,
				`weir_policy_decisions_total{action="pass",mode="enforce",policy="strict",rule="max_output_tokens"} 2`,
				`weir_policy_decisions_total{action="pass",mode="enforce",policy="strict",rule="max_turns"} 2`,
				`weir_policy_decisions_total{action="pass",mode="enforce",policy="strict",rule="special_tokens"} 3`,
				`weir_policy_decisions_total{action="reject",mode="enforce",policy="strict",rule="max_input_tokens"} 1`,
				`weir_policy_decisions_total{action="reject",mode="enforce",policy="strict",rule="max_turns"} 1`,
				`weir_policy_decisions_total{action="reject",mode="enforce",policy="strict",rule="special_tokens"} 1`,
			},
		},
		{
			name:  "rules that escape, trim and set",
			edits: strictly("special_tokens: escape, on_context_overflow: trim_oldest, max_turns: 2, default_output_tokens: 64"),
			serve: func(w *world) {
				w.chat(`{"model":"gpt-4o","messages":[` + turn + turn + `{"role":"user","content":"<|im_start|>"}]}`)
			},
			names: []string{"weir_policy_decisions_total"},
			want: []string{
				`weir_policy_decisions_total{action="escape",mode="enforce",policy="strict",rule="special_tokens"} 1`,
				`weir_policy_decisions_total{action="lower",mode="enforce",policy="strict",rule="default_output_tokens"} 1`,
				`weir_policy_decisions_total{action="pass",mode="enforce",policy="strict",rule="context_window"} 1`,
				`weir_policy_decisions_total{action="pass",mode="enforce",policy="strict",rule="max_output_tokens"} 1`,
				`weir_policy_decisions_total{action="trim",mode="enforce",policy="strict",rule="max_turns"} 1`,
			},
		},
		{
			name:  "a policy in shadow mode",
			edits: strictly("max_output_tokens: 100, max_turns: 2, on_context_overflow: trim_oldest, mode: shadow"),
			serve: func(w *world) {
				w.chat(`{"model":"gpt-4o","max_tokens":500,"messages":[` + turn + turn + `{"role":"user","content":"<|im_start|>"}]}`)
			},
			names: []string{"weir_policy_decisions_total"},
			want: []string{
				`weir_policy_decisions_total{action="lower",mode="shadow",policy="strict",rule="max_output_tokens"} 1`,
				`weir_policy_decisions_total{action="pass",mode="shadow",policy="strict",rule="context_window"} 1`,
				`weir_policy_decisions_total{action="reject",mode="shadow",policy="strict",rule="special_tokens"} 1`,
				`weir_policy_decisions_total{action="trim",mode="shadow",policy="strict",rule="max_turns"} 1`,
			},
		},
		{
			name: "what the content filter found",
			serve: func(w *world) {
				w.east.Script(azuresim.Step{Fault: "content-filter"}, azuresim.Step{Fault: "output-filter"})
				w.chat(say("hello"))
				w.chat(say("hello"))
			},
			names: []string{"weir_content_filter_total"},
			want: []string{
				`weir_content_filter_total{category="violence",filtered="true",model="gpt-4o",severity="high",source="prompt"} 1`,
				`weir_content_filter_total{category="violence",filtered="true",model="gpt-4o",severity="medium",source="completion"} 1`,
			},
		},
		{
			name: "a model that nobody knows, a path that is none and a key that is none",
			serve: func(w *world) {
				w.do(w.t.Context(), http.MethodPost, "/v1/chat/completions", strings.Replace(say("hello"), "gpt-4o", "gpt-99", 1), "Authorization", "Bearer "+searchKey)
				w.do(w.t.Context(), http.MethodPost, "/v1/nothing", "{}", "Authorization", "Bearer "+searchKey)
				w.do(w.t.Context(), http.MethodPost, "/v1/chat/completions", say("hello"), "Authorization", "Bearer wrong")
				w.do(w.t.Context(), http.MethodGet, "/livez", "")
			},
			names: []string{"weir_requests_total"},
			want: []string{
				`weir_requests_total{code="invalid_api_key",model="",outcome="client_error",route="/v1/chat/completions",team=""} 1`,
				`weir_requests_total{code="model_not_found",model="other",outcome="client_error",route="/v1/chat/completions",team="search"} 1`,
				`weir_requests_total{code="unknown_url",model="",outcome="client_error",route="",team=""} 1`,
			},
		},
		{
			name: "a stream that is open",
			serve: func(w *world) {
				w.east.Script(azuresim.Step{Gap: time.Hour})
				resp, err := w.send(w.t.Context(), http.MethodPost, "/v1/chat/completions", say("hello", `"stream":true`), "Authorization", "Bearer "+searchKey)
				if err != nil {
					w.t.Fatal(err)
				}
				w.t.Cleanup(func() { _ = resp.Body.Close() })
			},
			names: []string{"weir_inflight_requests", "weir_open_streams"},
			want:  []string{`weir_inflight_requests{model="gpt-4o"} 1`, `weir_open_streams{model="gpt-4o"} 1`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				tt.serve(w)
				synctest.Wait()
				if diff := gocmp.Diff(tt.want, samples(w.metrics(), tt.names...)); diff != "" {
					t.Errorf("the metrics (-want +got):\n%s", diff)
				}
			}, tt.edits...)
		})
	}
}

// TestFactsOfRecords holds what a record says of an answer beside what it used.
func TestFactsOfRecords(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{"false", "true"} {
		t.Run("stream "+stream, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				w.chat(say("hello", `"stream":`+stream))
				r := w.record()
				got := usage.Record{Operation: r.Operation, Served: r.Served, Policy: r.Policy, Filters: r.Filters, Params: r.Params}
				want := usage.Record{Operation: usage.Chat, Served: "gpt-4o-2024-11-20", Policy: "default"}
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Errorf("facts (-want +got):\n%s", diff)
				}
				if !strings.HasPrefix(r.ResponseID, "chatcmpl-") || !strings.HasPrefix(r.Fingerprint, "fp_") {
					t.Errorf("the answer's id is %q and its fingerprint %q", r.ResponseID, r.Fingerprint)
				}
			})
		})
	}
}

// TestSeriesOfTheGatewayAreBounded holds that 10,000 names of models, deployments,
// keys and paths leave as many series as the first few did.
func TestSeriesOfTheGatewayAreBounded(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		ask := func(i int) {
			name := fmt.Sprintf("canary-%d", i)
			body, path, key := say("hello"), "/v1/chat/completions", searchKey
			switch i % 5 {
			case 0:
				body = strings.Replace(body, "gpt-4o", name, 1)
			case 1:
				path = "/openai/deployments/" + name + "/chat/completions"
			case 2:
				path = "/v1/" + name
			case 3:
				key = name
			case 4:
				path = "/v1/models/" + name
				body = ""
			}
			method := http.MethodPost
			if body == "" {
				method = http.MethodGet
			}
			r := httptest.NewRequestWithContext(w.t.Context(), method, path, strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+key)
			r.Header.Set("Content-Type", "application/json")
			r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:1", i>>16&255, i>>8&255, i&255)
			w.gateway.API.ServeHTTP(httptest.NewRecorder(), r)
		}
		count := func() (n int) {
			text := w.metrics()
			if at := strings.Index(text, "canary-"); at >= 0 {
				t.Fatalf("a client's word is told: %s", text[max(0, at-100):at+100])
			}
			return len(regexp.MustCompile(`(?m)^(weir|gen_ai)_`).FindAllString(text, -1))
		}
		for i := range 20 {
			ask(i)
		}
		before := count()
		for i := range 10_000 {
			ask(20 + i)
		}
		if after := count(); after != before {
			t.Errorf("there were %d series, and are %d", before, after)
		}
	})
}
