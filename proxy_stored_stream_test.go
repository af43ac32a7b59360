package main_test

import (
	"encoding/json"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// TestStoredStreamsAreWhole: the ids in the stream of a chat that is to be stored are
// replaced, also where more is taken out of its chunks, and all else of them is as in
// the stream of one that is not.
func TestStoredStreamsAreWhole(t *testing.T) {
	t.Parallel()
	const usage = `"stream_options":{"include_usage":true}`
	tests := []struct {
		name, path string
		fields     []string
	}{
		{name: "OpenAI's paths", path: "/v1/chat/completions"},
		{name: "OpenAI's paths, with usage", path: "/v1/chat/completions", fields: []string{usage}},
		{name: "Azure's paths", path: "/openai/deployments/chat/chat/completions?api-version=2024-10-21"},
		{name: "Azure's paths, with usage", path: "/openai/deployments/chat/chat/completions?api-version=2024-10-21", fields: []string{usage}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				read := func(fields ...string) (chunks []map[string]any) {
					got := w.do(w.t.Context(), "POST", tt.path, say("hello", append(fields, tt.fields...)...))
					data, _ := readable(t, got.body)
					for _, text := range data[:len(data)-1] {
						var chunk map[string]any
						if err := json.Unmarshal([]byte(text), &chunk); err != nil {
							w.t.Fatalf("%v: %s", err, text)
						}
						delete(chunk, "created")
						if chunk["id"] != "" {
							chunk["id"] = "some"
						}
						chunks = append(chunks, chunk)
					}
					return chunks
				}
				stored, passing := read(stream, `"store":true`), read(stream)
				if diff := gocmp.Diff(passing, stored); diff != "" || len(stored) < 3 {
					w.t.Errorf("%d chunks (-not stored +stored):\n%s", len(stored), diff)
				}
			})
		})
	}
}
