package main_test

import (
	"net/http"
	"testing"

	"weir/command"
	"weir/usage"
)

// ours is a model that nobody has heard of: no window and no price is known of it.
const ours = `
version: 1
server: { listen: "127.0.0.1:0" }
backends: { east: { endpoint: "http://127.0.0.1:81", auth: { api_key: "` + eastKey + `" } } }
models: { mystery: { deployments: [{ backend: east, deployment: mystery }] } }
teams: { search: { keys: [{ id: k, value: "` + searchKey + `" }] } }
`

// TestUnknownWindow sends each endpoint that generates text more often than the
// gateway leaves requests uncounted in a row, to a model whose window is not known
// and which has no limits, so that nothing asks for the count.
func TestUnknownWindow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, path, body string }{
		{"chat", "/v1/chat/completions", `"messages":[{"role":"user","content":"hi"}]`},
		{"responses", "/v1/responses", `"input":"hi"`},
		{"bounded responses", "/v1/responses", `"input":"hi","max_output_tokens":20`},
		{"compact", "/v1/responses/compact", `"input":"hi"`},
		{"completions", "/v1/completions", `"prompt":"hi"`},
		{"two completions", "/v1/completions", `"prompt":"hi","n":2,"max_tokens":20`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubbleOf(t, ours, func(*command.Parts) {}, func(w *world) {
				for range 3 {
					got := w.do(w.t.Context(), http.MethodPost, tt.path, `{"model":"mystery",`+tt.body+`}`)
					rec := w.record()
					if got.status != http.StatusOK || rec.Outcome != usage.OK || rec.Reserved < 1 || rec.Reserved > 10_000 {
						t.Errorf("%d, %d tokens reserved, %s", got.status, rec.Reserved, got.body)
					}
				}
			})
		})
	}
}
