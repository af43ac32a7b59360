package policy_test

import (
	"net/http"
	"testing"
	"time"

	"weir/policy"
)

// TestCompatibleServers holds what the errors of OpenAI and its like mean.
func TestCompatibleServers(t *testing.T) {
	t.Parallel()
	reset := func(remaining, reset string) http.Header {
		return http.Header{"X-Ratelimit-Remaining-Tokens": {remaining}, "X-Ratelimit-Reset-Tokens": {reset}}
	}
	tests := []struct {
		name   string
		status int
		header http.Header
		body   string
		class  policy.Class
		param  string
		wait   time.Duration
	}{
		{"no key", 401, nil, `{"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}`, policy.Misconfigured, "", 0},
		{"no model at OpenAI", 404, nil, `{"error":{"message":"x","code":"model_not_found"}}`, policy.Misconfigured, "", 0},
		{"no model at vLLM", 404, nil, "{\"object\":\"error\",\"message\":\"The model `x` does not exist.\",\"type\":\"NotFoundError\",\"code\":404}", policy.Misconfigured, "", 0},
		{"no model at Ollama", 404, nil, `{"error":{"message":"model \"x\" not found, try pulling it first","type":"api_error"}}`, policy.Misconfigured, "", 0},
		{"another 404", 404, nil, `{"detail":"Not Found"}`, policy.Refused, "", 0},
		{"no money", 429, nil, `{"error":{"message":"x","code":"insufficient_quota"}}`, policy.Exhausted, "", 0},
		{"a duration", 429, reset("0", "1m2s"), `{}`, policy.Throttled, "", 62 * time.Second},
		{"milliseconds", 429, reset("0", "120ms"), `{}`, policy.Throttled, "", 120 * time.Millisecond},
		{"seconds", 429, reset("0", "7"), `{}`, policy.Throttled, "", 7 * time.Second},
		{"some are left", 429, reset("5", "7"), `{}`, policy.Throttled, "", 0},
		{"a failure", 500, reset("0", "7"), `{}`, policy.Fault, "", 0},
		{"a role", 400, nil, `{"error":{"message":"Unsupported value: 'messages[0].role' does not support 'developer' with this model.","param":"messages[0].role","code":"unsupported_value"}}`, policy.Unsupported, "developer", 0},
		{"a role, in old words", 400, nil, `{"error":{"message":"'developer' is not one of ['system', 'user'] - 'messages.0.role'"}}`, policy.Unsupported, "developer", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.header == nil {
				tt.header = http.Header{}
			}
			o := policy.Read(policy.Reply{Status: tt.status, Header: tt.header.Get, Body: []byte(tt.body), Now: time.Unix(1, 0)})
			if o.Class != tt.class || o.Param != tt.param || o.RetryAfter != tt.wait {
				t.Errorf("read as %+v, want class %d, %q, %v", o, tt.class, tt.param, tt.wait)
			}
		})
	}
}
