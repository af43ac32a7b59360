package main_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestResponsesBelowDeployments: clients that have a deployment in their base URL, as
// LangChain and openai-node's AzureOpenAI have, find all there is of responses below
// it. Whose a response is, its id alone says.
func TestResponsesBelowDeployments(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"/openai/deployments/gpt-4o/", "/deployments/gpt-4o/", "/v1/deployments/gpt-4o/"} {
		t.Run(base, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				at := func(method, rest, body string, headers ...string) reply {
					return w.do(w.t.Context(), method, base+"responses"+rest+"?api-version=2025-04-01-preview", body, headers...)
				}
				if got := at(http.MethodPost, "/input_tokens", `{"input":"hello"}`); got.status != http.StatusOK || !strings.Contains(got.body, `"input_tokens":8`) {
					t.Errorf("counted %d %s", got.status, got.body)
				}
				made := at(http.MethodPost, "", `{"input":"hello"}`).response(t)
				for _, tt := range []struct{ method, rest, want string }{
					{http.MethodGet, "", made.ID},
					{http.MethodGet, "/input_items", "hello"},
					{http.MethodPost, "/cancel", "synchronous"},
					{http.MethodDelete, "", `"deleted":true`},
				} {
					if got := at(tt.method, "/"+made.ID+tt.rest, "", asOther()...); got.status != http.StatusNotFound {
						t.Errorf("another team's %s %s: %d %s", tt.method, tt.rest, got.status, got.body)
					}
					if got := at(tt.method, "/"+made.ID+tt.rest, ""); !strings.Contains(got.body, tt.want) {
						t.Errorf("%s %s: %d %s", tt.method, tt.rest, got.status, got.body)
					}
				}
			})
		})
	}
}
