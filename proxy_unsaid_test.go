package main_test

import (
	"net/http"
	"strings"
	"testing"

	"weir/usage"
)

// TestModerationWithoutAModel: the API has a model for who names none, and the clients
// leave it to that.
func TestModerationWithoutAModel(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		model  string
		status int
		want   string
	}{
		"configured": {"omni-moderation-latest", http.StatusOK, "flagged"},
		"not":        {"text-moderation-latest", http.StatusNotFound, "model_not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				got := w.do(w.t.Context(), http.MethodPost, "/v1/moderations", `{"input":"hello"}`)
				if got.status != tt.status || !strings.Contains(got.body, tt.want) {
					t.Fatalf("%d %s", got.status, got.body)
				}
				if asked := w.asked(); tt.status == http.StatusOK && !strings.Contains(string(asked[0].Body), `"model":"mystery"`) {
					t.Errorf("upstream got %s", asked[0].Body)
				}
			}, "mystery:", tt.model+":", "api_version: 2024-10-21", "kind: openai")
		})
	}
}

// TestCompletionOfNoToken: with max_tokens 0 and echo a legacy completion tells the
// prompt's own tokens, and no more than these are set aside but one.
func TestCompletionOfNoToken(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		got := w.do(w.t.Context(), http.MethodPost, "/v1/completions", `{"model":"mystery","prompt":"four words of it","echo":true,"max_tokens":0}`)
		if got.status != http.StatusOK || !strings.Contains(got.body, `"four words of it"`) {
			t.Fatalf("%d %s", got.status, got.body)
		}
		rec, asked := w.record(), w.asked()
		if rec.Outcome != usage.OK || rec.Counted || rec.Input != int64(asked[0].PromptTokens) || rec.Reserved != rec.Input+1 {
			t.Errorf("recorded %+v", rec)
		}
	})
}
