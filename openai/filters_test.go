package openai_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/openai"
)

// TestFilters holds what is noted of content filters, in each of the places that
// tell of them.
func TestFilters(t *testing.T) {
	t.Parallel()
	const safe = `"hate":{"filtered":false,"severity":"safe"},"jailbreak":{"detected":false,"filtered":false}`
	tests := []struct {
		name, body string
		want       []openai.Filter
	}{
		{name: "nothing", body: `{"choices":[{"index":0}]}`},
		{name: "harmless", body: `{"choices":[{"content_filter_results":{` + safe + `}}],"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{` + safe + `}}]}`},
		{
			name: "both sides",
			body: `{"choices":[{"content_filter_results":{` + safe + `,"violence":{"filtered":false,"severity":"low"}}}],
				"prompt_filter_results":[{"content_filter_results":{"jailbreak":{"detected":true,"filtered":false},"new_one":{"filtered":true}}}]}`,
			want: []openai.Filter{
				{Source: "prompt", Category: "jailbreak", Severity: "detected"},
				{Source: "prompt", Category: "other", Severity: "detected", Filtered: true},
				{Source: "completion", Category: "violence", Severity: "low"},
			},
		},
		{
			name: "the worst of a category",
			body: `{"choices":[{"content_filter_results":{"sexual":{"filtered":true,"severity":"medium"}}},
				{"content_filter_results":{"sexual":{"filtered":false,"severity":"high"}}},{"content_filter_results":{"sexual":{"filtered":false,"severity":"low"}}}]}`,
			want: []openai.Filter{{Source: "completion", Category: "sexual", Severity: "high", Filtered: true}},
		},
		{
			name: "of a response",
			body: `{"id":"resp_1","object":"response","status":"completed","content_filters":[{"blocked":false,"source_type":"prompt",
				"content_filter_results":{"hate":{"filtered":false,"severity":"medium"}}},{"source_type":"completion","content_filter_results":{"hate":{"filtered":true,"severity":"high"}}}]}`,
			want: []openai.Filter{{Source: "prompt", Category: "hate", Severity: "medium"}, {Source: "completion", Category: "hate", Severity: "high", Filtered: true}},
		},
		{name: "a filter that failed", body: `{"choices":[{"content_filter_results":{"error":{"code":"content_filter_error","message":"low true"}}}]}`},
		{name: "no object", body: `{"choices":[{"content_filter_results":"high"}]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, err := openai.ReadAnswer([]byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, f.Filters.List()); diff != "" {
				t.Errorf("Filters (-want +got):\n%s", diff)
			}
		})
	}
	for _, inner := range []string{`"innererror":{"content_filter_result"`, `"inner_error":{"content_filter_results"`} {
		got := openai.FiltersOf([]byte(`{"error":{"code":"content_filter",` + inner + `:{` + safe + `,"self_harm":{"filtered":true,"severity":"high"}}}}}`))
		want := []openai.Filter{{Source: "prompt", Category: "self_harm", Severity: "high", Filtered: true}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", inner, diff)
		}
	}
	if got := openai.FiltersOf([]byte("no JSON")); got != nil {
		t.Errorf("of no JSON there is %v", got)
	}
}

// TestFactsOfAStream holds the facts that are in its first chunks alone.
func TestFactsOfAStream(t *testing.T) {
	t.Parallel()
	const stream = `data: {"choices":[],"id":"","model":"","prompt_filter_results":[{"content_filter_results":{"hate":{"filtered":false,"severity":"low"}}}]}

data: {"choices":[{"delta":{"content":"a"},"index":0,"content_filter_results":{}}],"id":"chatcmpl-1","model":"gpt-4o-2024-11-20","service_tier":"default","system_fingerprint":"fp_1"}

data: {"choices":[{"delta":{},"index":0,"finish_reason":"stop","content_filter_results":{"violence":{"filtered":false,"severity":"medium"}}}],"id":"chatcmpl-1","model":"gpt-4o-2024-11-20"}

data: [DONE]

`
	s := openai.NewStream(strings.NewReader(stream))
	for {
		if _, err := s.Next(); err != nil {
			break
		}
	}
	want := openai.Facts{
		ID: "chatcmpl-1", Model: "gpt-4o-2024-11-20", FinishReason: "stop", ServiceTier: "default", Fingerprint: "fp_1",
	}
	found := []openai.Filter{{Source: "prompt", Category: "hate", Severity: "low"}, {Source: "completion", Category: "violence", Severity: "medium"}}
	if diff := cmp.Diff(found, s.Filters.List()); diff != "" {
		t.Errorf("Filters (-want +got):\n%s", diff)
	}
	s.Filters = openai.Filters{}
	if s.Facts != want {
		t.Errorf("facts are %+v, want %+v", s.Facts, want)
	}
	f, err := openai.ReadAnswer([]byte(`{"id":"resp_1","object":"response","status":"completed","service_tier":"priority"}`))
	if err != nil || f.ServiceTier != "priority" {
		t.Errorf("of a response there is %+v, %v", f, err)
	}
}
