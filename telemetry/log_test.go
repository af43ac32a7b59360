package telemetry_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/telemetry"
	"weir/usage"
)

// written returns the lines that the access log writes for records.
func written(t *testing.T, exclude []string, records ...*usage.Record) []map[string]any {
	t.Helper()
	var out bytes.Buffer
	a := telemetry.NewAccessLog(slog.New(slog.NewJSONHandler(&out, nil)), exclude)
	for _, r := range records {
		a.Take(t.Context(), r)
	}
	var lines []map[string]any
	for line := range strings.Lines(out.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("a line is no JSON: %v: %s", err, line)
		}
		delete(fields, "time")
		lines = append(lines, fields)
	}
	return lines
}

// TestAccessLog holds the line of a request to its fields, and that what is not
// known is left out.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	cooled := 0.75
	full := &usage.Record{
		Start: time.Now(), RequestID: "id", TraceID: "trace", SpanID: "span",
		Method: "POST", Route: "/v1/chat/completions", Client: "10.1.2.3", UserAgent: "OpenAI/Python 3.3.1", Retry: 1,
		Team: "search", Key: "search-prod", Status: 200, Outcome: usage.OK, Code: "code",
		Model: "gpt-4o", Deployment: "eastus2/gpt-4o-ptu", Stream: true, FinishReason: "stop",
		Attempts: []usage.Attempt{
			{Deployment: "eastus2/gpt-4o-ptu", Status: 500, Reason: "unicode_500", Sent: true},
			{Deployment: "eastus2/gpt-4o-ptu", Status: 200, Temperature: &cooled, Sent: true},
		},
		EstimatedInput: 810, Input: 812, Cached: 512, Output: 96, Reasoning: 32, Counted: true, Cost: 2_100_000,
		Escaped: 2, Trimmed: 4, Lowered: 500, Shadowed: []string{"special_tokens_in_input"},
		Duration: 2310400 * time.Microsecond, FirstToken: 288100 * time.Microsecond, Upstream: 287600 * time.Microsecond,
		AzureRequestID: "azure", AzureRegion: "East US 2",
	}
	short := &usage.Record{Method: "GET", Status: 401, Outcome: usage.ClientError, Duration: 1500 * time.Microsecond}
	want := []map[string]any{
		{
			"level": "INFO", "msg": "request", "request_id": "id", "trace_id": "trace", "span_id": "span", "team": "search", "key": "search-prod",
			"method": "POST", "route": "/v1/chat/completions", "status": 200., "outcome": "ok", "code": "code", "model": "gpt-4o", "deployment": "eastus2/gpt-4o-ptu",
			"attempts": 2., "retry_reasons": []any{"unicode_500"}, "stream": true,
			"input_tokens": 812., "cached_tokens": 512., "output_tokens": 96., "reasoning_tokens": 32., "estimated_input_tokens": 810., "counted": true, "cost_usd": 0.0021,
			"finish_reason": "stop", "escaped": 2., "trimmed_messages": 4., "max_tokens_set": 500., "shadowed": []any{"special_tokens_in_input"}, "client_retry": 1.,
			"duration_ms": 2310.4, "first_token_ms": 288.1, "upstream_ms": 287.6, "overhead_ms": 0.5,
			"client": "10.1.2.3", "user_agent": "OpenAI/Python 3.3.1", "azure_request_id": "azure", "azure_region": "East US 2",
		},
		{
			"level": "INFO", "msg": "request", "method": "GET", "status": 401., "outcome": "client_error", "attempts": 0., "stream": false,
			"duration_ms": 1.5, "first_token_ms": 0., "upstream_ms": 0., "overhead_ms": 1.5,
		},
	}
	if diff := cmp.Diff(want, written(t, nil, full, short)); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// TestAccessLogExcludes holds the routes that are not logged.
func TestAccessLogExcludes(t *testing.T) {
	t.Parallel()
	lines := written(t, []string{"/livez", "/readyz"}, &usage.Record{Route: "/livez"}, &usage.Record{Route: "/v1/models"}, &usage.Record{Route: "/readyz"}, &usage.Record{})
	if len(lines) != 2 || lines[0]["route"] != "/v1/models" || lines[1]["route"] != nil {
		t.Errorf("written are %v", lines)
	}
}

// TestAccessLogNeverGoesBelowZero holds the overhead of a request whose parts
// overlap.
func TestAccessLogNeverGoesBelowZero(t *testing.T) {
	t.Parallel()
	lines := written(t, nil, &usage.Record{Duration: time.Second, FirstToken: time.Second, Upstream: 2 * time.Second})
	if got := lines[0]["overhead_ms"]; got != 0. {
		t.Errorf("overhead_ms is %v, want 0", got)
	}
}

// TestEveryFactIsLogged holds that no text that a record gets is forgotten by its
// line, so that whoever adds a fact decides what becomes of it.
func TestEveryFactIsLogged(t *testing.T) {
	t.Parallel()
	var r usage.Record
	v := reflect.ValueOf(&r).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.String {
			f.SetString("fact-" + v.Type().Field(i).Name)
		}
	}
	raw, err := json.Marshal(written(t, nil, &r))
	if err != nil {
		t.Fatal(err)
	}
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.String && !strings.Contains(string(raw), f.String()) {
			t.Errorf("%s is not in the line", v.Type().Field(i).Name)
		}
	}
}

// exposed returns what Prometheus reads.
func exposed(t *testing.T, m *telemetry.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	if w.Code != http.StatusOK {
		t.Fatalf("answered %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}
