package main_test

import (
	"net/http"
	"testing"
)

// TestModelsGoBeforeDeployments: what a team is told that it may call is what answers
// by that name, also where another model has a deployment that is called the same.
func TestModelsGoBeforeDeployments(t *testing.T) {
	t.Parallel()
	const cheap = "  cheap: { base_model: gpt-4o, deployments: [{ backend: west, deployment: gpt-4o }, { backend: west, deployment: d2 }] }\n  gpt-4o:\n"
	tests := []struct{ name, path, model, asked string }{
		{name: "in the body", path: "/v1/chat/completions", model: "gpt-4o", asked: "east/gpt-4o-east"},
		{name: "in the path", path: "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21", model: "gpt-4o", asked: "east/gpt-4o-east"},
		{name: "of no model", path: "/v1/chat/completions", model: "gpt-4o-east", asked: "east/gpt-4o-east"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				got := w.do(w.t.Context(), http.MethodPost, tt.path, `{"model":"`+tt.model+`","messages":[{"role":"user","content":"hello"}]}`)
				if at := got.header.Get("X-Weir-Deployment"); got.status != http.StatusOK || at != tt.asked {
					t.Errorf("%s: %d by %q, want %q\n%s", tt.model, got.status, at, tt.asked, got.body)
				}
			}, "  gpt-4o:\n", cheap)
		})
	}
}
