package main_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"weir/azuresim"
)

// limited gives the team of the plain gateway a policy and an allowance.
const limitedTeam = "search:\n    limits: { rpm: 60, tpm: 6000 }"

// TestExplain: the same steps decide, and nobody is asked.
func TestExplain(t *testing.T) {
	t.Parallel()
	type why struct {
		Object, Model, Decision string
		Status                  int
		Error                   struct{ Code, Param string }
		Prompt                  struct {
			Total    int64
			Messages []int64
			Overhead int64
		} `json:"prompt_tokens"`
		Reserved    int64 `json:"reserved_tokens"`
		Limits      map[string]struct{ Limit, Remaining int64 }
		Deployments []struct {
			Deployment string
			Chosen     bool
			Reason     string
		}
	}
	explain := func(w *world, body string) why {
		w.t.Helper()
		got := w.chat(body, "X-Weir-Explain", "1")
		if got.status != http.StatusOK {
			w.t.Fatalf("%d %s", got.status, got.body)
		}
		var out why
		if err := json.Unmarshal([]byte(got.body), &out); err != nil {
			w.t.Fatal(err)
		}
		return out
	}
	bubble(t, plain, func(w *world) {
		for range 3 { // what is reserved is given back: three explanations are alike
			got := explain(w, say("hello", `"max_tokens":100`))
			if got.Object != "weir.explanation" || got.Model != "gpt-4o" || got.Decision != "forward" {
				w.t.Errorf("%+v", got)
			}
			if p := got.Prompt; p.Total != 8 || len(p.Messages) != 1 || p.Messages[0]+p.Overhead != p.Total || got.Reserved != 108 {
				w.t.Errorf("tokens %+v, reserved %d", p, got.Reserved)
			}
			if got.Limits["requests"].Remaining != 59 || got.Limits["tokens"].Remaining != 6000-108 {
				w.t.Errorf("limits %+v", got.Limits)
			}
			if d := got.Deployments; len(d) != 2 || !d[0].Chosen || d[0].Deployment != "east/gpt-4o-east" || d[1].Reason == "" {
				w.t.Errorf("deployments %+v", d)
			}
		}
		refused := explain(w, say("<|im_start|>"))
		if refused.Decision != "refuse" || refused.Status != 400 || refused.Error.Code != "special_tokens_in_input" || refused.Prompt.Total == 0 {
			w.t.Errorf("a special token: %+v", refused)
		}
		large := explain(w, say("hello", `"max_tokens":9000`))
		if large.Decision != "refuse" || large.Error.Code != "tokens_exceed_team_limit" {
			w.t.Errorf("more than the allowance: %+v", large)
		}
		if n := len(w.asked()); n > 0 {
			w.t.Errorf("upstream was asked %d times", n)
		}
	}, "search:", limitedTeam)
}

// TestInputTokens: a Responses request is counted here, as the model it names
// counts.
func TestInputTokens(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, path, body string
		status           int
		want             string
	}{
		{
			"a published pair", "/v1/responses/input_tokens",
			`{"model":"gpt-5","input":"Tell me about the curious case of neural text degeneration"}`, 200,
			`{"input_tokens":16,"object":"response.input_tokens"}`,
		},
		{
			"items on an Azure path", "/openai/v1/responses/input_tokens",
			`{"model":"gpt-4o","instructions":"You are a helpful assistant.","input":[{"role":"user","content":[{"type":"input_text","text":"Hello!"}]}]}`, 200,
			`{"input_tokens":19,"object":"response.input_tokens"}`,
		},
		{"no model", "/v1/responses/input_tokens", `{"input":"x"}`, 400, ""},
		{"no JSON", "/v1/responses/input_tokens", `{"model":`, 400, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				got := w.do(w.t.Context(), http.MethodPost, tt.path, tt.body)
				if got.status != tt.status || tt.want != "" && strings.TrimSpace(got.body) != tt.want {
					w.t.Errorf("%d %s", got.status, got.body)
				}
				if n := len(w.asked()); n > 0 {
					w.t.Errorf("upstream was asked %d times", n)
				}
			})
		})
	}
}

// TestInputTokensAreLimited: who may ask no more has nothing counted, and a body that
// makes no sense costs nothing.
func TestInputTokensAreLimited(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		for i, tt := range []struct {
			body   string
			status int
			left   string
		}{
			{`{"model":"gpt-4o","input":"hello"}`, 200, "1"},
			{`{"model":`, 400, ""},
			{`{"model":"gpt-4o","input":"hello"}`, 200, "0"},
			{`{"model":"gpt-4o","input":"hello"}`, 429, "0"},
		} {
			got := w.do(w.t.Context(), http.MethodPost, "/v1/responses/input_tokens", tt.body)
			if left := got.header.Get("X-Ratelimit-Remaining-Requests"); got.status != tt.status || left != tt.left {
				w.t.Errorf("request %d is answered %d, %q left: %s", i, got.status, left, got.body)
			}
		}
	}, limited("rpm: 1, burst_requests: 2, tpm: 1")...)
}

// TestCountedWhereItMatters: a request that obviously fits is tokenized only
// where its count is used.
func TestCountedWhereItMatters(t *testing.T) {
	t.Parallel()
	t.Run("no allowance of tokens", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			counted := 0
			for range 33 {
				w.chat(say("hello"))
				if r := w.record(); r.EstimatedInput > 0 {
					counted++
				}
			}
			if counted != 3 {
				w.t.Errorf("%d of 33 requests were counted, want one in 16", counted)
			}
			w.chat(say("hello", stream))
			if r := w.record(); r.EstimatedInput != 8 {
				w.t.Errorf("a stream that may be cut was counted to %d", r.EstimatedInput)
			}
			w.east.Script(azuresim.Step{Fault: "no-usage"})
			w.chat(say("hello"))
			if r := w.record(); !r.Counted || r.Input != 8 || r.Output == 0 {
				w.t.Errorf("an answer without usage was booked as %d and %d tokens", r.Input, r.Output)
			}
		})
	})
	t.Run("an allowance of tokens", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			for range 3 {
				w.chat(say("hello"))
				if r := w.record(); r.EstimatedInput != 8 {
					w.t.Errorf("counted to %d", r.EstimatedInput)
				}
			}
		}, "search:", limitedTeam)
	})
}

// TestCalibration: how far our counts are from upstream's is told, by model.
func TestCalibration(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		for range 2 {
			w.chat(say("hello"))
		}
		r := w.record()
		if r.Input == 0 || r.EstimatedInput == 0 {
			w.t.Fatalf("reported %d, counted %d", r.Input, r.EstimatedInput)
		}
		get := func(path string) string {
			out := httptest.NewRecorder()
			w.gateway.Admin.ServeHTTP(out, httptest.NewRequest(http.MethodGet, path, nil))
			return out.Body.String()
		}
		if got := get("/metrics"); !strings.Contains(got, `weir_token_estimate_error_ratio_count{model="gpt-4o"} 2`) {
			w.t.Errorf("metrics:\n%s", got)
		}
		var ready struct {
			Counts []struct {
				Model             string
				Requests, Counted int64
			} `json:"token_counts"`
		}
		if err := json.Unmarshal([]byte(get("/readyz?verbose")), &ready); err != nil {
			w.t.Fatal(err)
		}
		if c := ready.Counts; len(c) != 1 || c[0].Model != "gpt-4o" || c[0].Requests != 2 || c[0].Counted != 2*r.EstimatedInput {
			w.t.Errorf("token counts %+v", c)
		}
	}, "search:", limitedTeam)
}

// TestExplainedWithoutMessages: what has no messages is explained with none of them, in
// an array as ever.
func TestExplainedWithoutMessages(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		for path, model := range map[string]string{"embeddings": "text-embedding-3-small", "completions": "gpt-35-turbo-instruct", "audio/speech": "gpt-4o-mini-tts"} {
			got := w.do(w.t.Context(), http.MethodPost, "/v1/"+path, `{"model":"`+model+`","input":"hello","prompt":"hello"}`, "X-Weir-Explain", "1")
			if got.status != http.StatusOK || !strings.Contains(got.body, `"messages":[]`) || len(w.asked()) != 0 {
				t.Errorf("%s: %d %s", path, got.status, got.body)
			}
		}
	}, all()...)
}
