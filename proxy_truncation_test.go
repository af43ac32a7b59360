package main_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestUpstreamTruncates: a Responses request that lets upstream leave out what does not
// fit is not refused for it, and reserved as what the model can read. What the policy
// allows holds all the same.
func TestUpstreamTruncates(t *testing.T) {
	t.Parallel()
	const auto = `"truncation":"auto"`
	for _, tt := range []struct {
		name   string
		policy string
		fields []string
		code   string
		prompt int64 // as it is estimated
		output string
	}{
		{name: "it may not", code: "context_length_exceeded"},
		{name: "it is said not to", fields: []string{`"truncation":"disabled"`}, code: "context_length_exceeded"},
		{name: "it may", fields: []string{auto}, prompt: 75},
		{name: "beside a bound", fields: []string{auto, `"max_output_tokens":60`}, prompt: 40, output: "60"},
		{name: "beside a bound that is too large", fields: []string{auto, `"max_output_tokens":100`}, code: "context_length_exceeded"},
		{name: "beside a bound of the policy", policy: "default_output_tokens: 30", fields: []string{auto}, prompt: 70, output: "30"},
		{name: "the policy allows less", policy: "max_input_tokens: 50", fields: []string{auto}, code: "context_length_exceeded"},
		{name: "the policy allows more", policy: "max_input_tokens: 80", fields: []string{auto}, prompt: 75},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			edits := []string{"gpt-35-turbo: {", "gpt-35-turbo: { context_window: 100,"}
			if tt.policy != "" {
				edits = append(edits, "resilience:\n", "policies: { default: { "+tt.policy+" } }\nresilience:\n")
			}
			bubble(t, plain, func(w *world) {
				got := w.respond(of("gpt-35-turbo", wish(strings.Repeat("hello ", 200), tt.fields...)))
				if tt.code != "" {
					if code, param, _ := got.code(); got.status != http.StatusBadRequest || code != tt.code || param != "input" || len(w.asked()) != 0 {
						t.Fatalf("%d %s", got.status, got.body)
					}
					return
				}
				if rec := w.record(); got.status != http.StatusOK || rec.EstimatedInput != tt.prompt {
					t.Errorf("%d %s, estimated %d", got.status, got.body, rec.EstimatedInput)
				}
				if sent := w.lastBody(); !strings.Contains(sent, auto) || !strings.Contains(sent, strings.Repeat("hello ", 200)) ||
					tt.output != "" && !strings.Contains(sent, `"max_output_tokens":`+tt.output) {
					t.Errorf("sent %s", sent)
				}
			}, edits...)
		})
	}
}
