package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/policy"
)

func noHeader(string) string { return "" }

// header returns a reply's header of pairs of name and value.
func header(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

const (
	unicodeText = "Failed to create completion as the model generated invalid Unicode output. Unfortunately, this can happen in rare situations."
	rateText    = "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 20 seconds. Please go here: https://aka.ms/oai/quotaincrease"
)

// TestRead reads every error that Azure, OpenAI and the proxies before them are
// known to answer with.
func TestRead(t *testing.T) {
	t.Parallel()
	bad := func(status int, reason string) policy.Outcome {
		return policy.Outcome{Class: policy.BadOutput, Status: status, Reason: reason}
	}
	fault := func(status int, reason string) policy.Outcome {
		return policy.Outcome{Class: policy.Fault, Status: status, Reason: reason}
	}
	refused := func(status int, reason string) policy.Outcome {
		return policy.Outcome{Class: policy.Refused, Status: status, Reason: reason}
	}
	ours := func(status int, reason string) policy.Outcome {
		return policy.Outcome{Class: policy.Misconfigured, Status: status, Reason: reason}
	}
	busy := func(wait time.Duration) policy.Outcome {
		return policy.Outcome{Class: policy.Throttled, Status: 429, Reason: "429", RetryAfter: wait}
	}
	unsupported := func(param string) policy.Outcome {
		return policy.Outcome{Class: policy.Unsupported, Status: 400, Reason: "unsupported_parameter", Param: param}
	}
	once := bad(500, "invalid_content_500")
	once.Once = true
	once400 := bad(400, "invalid_content_400")
	once400.Once = true
	tests := []struct {
		name   string
		status int
		body   string
		want   policy.Outcome
	}{
		{"200", 200, `{"error":{"message":"` + unicodeText + `"}}`, policy.Outcome{Status: 200}},
		{"299", 299, ``, policy.Outcome{Status: 299}},
		{"redirect", 307, ``, fault(307, "redirect")},

		{"invalid Unicode, message alone", 500, `{"error":{"message":"` + unicodeText + `"}}`, bad(500, "unicode_500")},
		{"invalid Unicode, nulls", 500, `{"error":{"message":"` + unicodeText + ` (request id 1)","type":null,"param":null,"code":null}}`, bad(500, "unicode_500")},
		{"invalid Unicode, by code", 500, `{"error":{"message":"x","type":"server_error","code":"invalid_model_output"}}`, bad(500, "unicode_500")},
		{"invalid Unicode, flat", 500, `{"statusCode":500,"message":"` + unicodeText + `"}`, bad(500, "unicode_500")},
		{"invalid Unicode, as a string", 500, `{"error":"` + unicodeText + `"}`, bad(500, "unicode_500")},
		{"invalid Unicode, as text", 500, unicodeText, bad(500, "unicode_500")},
		{"invalid Unicode in the error itself", 500, "{\"error\":{\"message\":\"" + unicodeText + " \xff\"}}", bad(500, "unicode_500")},
		{"invalid Unicode in other letters", 500, `{"error":{"message":"` + strings.ToUpper(unicodeText) + `"}}`, bad(500, "unicode_500")},
		{"invalid Unicode behind four kilobytes", 500, `{"error":{"message":"` + strings.Repeat("x", 4<<10) + unicodeText + `"}}`, fault(500, "500")},
		{"unexpected special token", 500, `{"error":{"message":"Unexpected special token","type":"server_error","param":null,"code":null}}`, bad(500, "unicode_500")},
		{"invalid content", 500, `{"error":{"message":"The model produced invalid content. Consider modifying your prompt.","type":"model_error","param":null,"code":null}}`, once},
		{"invalid content as a 400", 400, `{"error":{"message":"The model produced invalid content.","type":"model_error"}}`, once400},
		{"generic 500", 500, `{"error":{"message":"The server had an error while processing your request","type":"server_error","code":null}}`, fault(500, "500")},
		{"generic 500, flat", 500, `{"statusCode":500,"message":"Internal server error","activityId":"a"}`, fault(500, "500")},
		{"502 in HTML", 502, `<html><h1>502 Bad Gateway</h1></html>`, fault(502, "502")},
		{"503, empty", 503, ``, fault(503, "503")},
		{"504", 504, `{"error":{"code":"GatewayTimeout","message":"x"}}`, fault(504, "504")},
		{"408", 408, `{"error":{"code":"Timeout","message":"The operation was timeout."}}`, policy.Outcome{Class: policy.Stalled, Status: 408, Reason: "408", Once: true}},

		{"special tokens", 400, `{"error":{"message":"Failed to generate output due to special tokens in the input.","type":"invalid_request_error","param":null,"code":null}}`, refused(400, "400")},
		{"context length", 400, `{"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 8227 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`, refused(400, "400")},
		{"output cap", 400, `{"error":{"message":"max_tokens is too large: 20000.","type":"invalid_request_error","param":"max_tokens","code":"invalid_value"}}`, refused(400, "400")},
		{"content filter", 400, `{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{}}}}`, refused(400, "400")},
		{"content filter, inner_error", 400, `{"error":{"message":"filtered","param":"prompt","code":"content_filter","inner_error":{"code":"ResponsibleAIPolicyViolation","content_filter_results":{}}}}`, refused(400, "400")},
		{"content filter, number as code", 400, `{"error":{"code":400,"message":"The request was blocked by a content filter."}}`, refused(400, "400")},
		{"reasoning exhausted", 400, `{"error":{"message":"Could not finish the message because max_tokens or model output limit was reached.","type":"invalid_request_error","param":null,"code":null}}`, refused(400, "400")},
		{"schema error", 400, `{"error":{"message":"Invalid 'messages': empty array.","type":"invalid_request_error","param":"messages","code":"empty_array"}}`, refused(400, "400")},
		{"api-version too old", 400, `{"error":{"code":"BadRequest","message":"response_format value as json_schema is enabled only for api versions 2024-08-01-preview and later"}}`, refused(400, "400")},
		{"wrong operation", 400, `{"error":{"code":"OperationNotSupported","message":"The chatCompletion operation does not work with the specified model"}}`, refused(400, "400")},
		{"413", 413, `{"error":{"code":"413","message":"Request body too large."}}`, refused(413, "413")},
		{"415", 415, ``, refused(415, "415")},
		{"422", 422, `{"detail":"x"}`, refused(422, "422")},

		{"max_tokens", 400, `{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}`, unsupported("max_tokens")},
		{"max_tokens, by words alone", 400, `{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."}}`, unsupported("max_tokens")},
		{"max_completion_tokens, by words alone", 400, `{"error":{"message":"Unrecognized request argument supplied: max_completion_tokens"}}`, unsupported("max_completion_tokens")},
		{"temperature", 400, `{"error":{"message":"Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is supported.","type":"invalid_request_error","param":"temperature","code":"unsupported_value"}}`, unsupported("temperature")},
		{"temperature, by words alone", 400, `{"error":{"message":"Unsupported value: 'temperature' does not support 0.2 with this model."}}`, unsupported("temperature")},
		{"stream_options, old version", 400, `{"error":{"message":"Unrecognized request argument supplied: stream_options","type":"invalid_request_error","param":null,"code":null}}`, unsupported("stream_options")},
		{"stream_options, its member", 400, `{"error":{"message":"Unsupported parameter","param":"stream_options.include_usage","code":"unsupported_parameter"}}`, unsupported("stream_options")},
		{"stream_options, with data sources", 400, `{"error":{"message":"The request has stream_options, which cannot be used with data_sources.","code":"BadRequest"}}`, unsupported("stream_options")},
		{"an image", 400, `{"error":{"message":"You uploaded an unsupported image.","param":null,"code":"invalid_image_format"}}`, refused(400, "400")},

		{"bad key", 401, `{"error":{"code":"401","message":"Access denied due to invalid subscription key or wrong API endpoint."}}`, ours(401, "401")},
		{"bad token", 401, `{"statusCode":401,"message":"Unauthorized. Access token is missing, invalid, audience is incorrect (x), or have expired."}`, ours(401, "401")},
		{"no role", 401, `{"error":{"code":"PermissionDenied","message":"Principal does not have access to API/Operation."}}`, ours(401, "401")},
		{"keys disabled", 403, `{"error":{"code":"AuthenticationTypeDisabled","message":"Key based authentication is disabled for this resource."}}`, ours(403, "403")},
		{"network rule", 403, `{"error":{"code":"403","message":"Access denied due to Virtual Network/Firewall rules."}}`, ours(403, "403")},
		{"APIM's quota", 403, `{"statusCode":403,"message":"Out of call volume quota. Quota will be replenished in 01:00:00."}`, policy.Outcome{Class: policy.Exhausted, Status: 403, Reason: "insufficient_quota"}},
		{"deployment missing", 404, `{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}`, ours(404, "404")},
		{"model missing", 404, `{"error":{"message":"The model does not exist","type":"invalid_request_error","param":null,"code":"model_not_found"}}`, ours(404, "404")},
		{"wrong path", 404, `{"error":{"code":"404","message":"Resource not found"}}`, refused(404, "404")},
		{"string as error", 404, `{"error":"Not found"}`, refused(404, "404")},
		{"old name of a deployment", 400, `{"error":{"message":"Could not find an existing deployment"}}`, ours(400, "400")},

		{"tokens", 429, `{"error":{"code":"429","message":"` + rateText + `"}}`, busy(20 * time.Second)},
		{"calls", 429, `{"error":{"code":"429","message":"have exceeded call rate limit of your current AIServices S0 pricing tier. Please retry after 1 second."}}`, busy(time.Second)},
		{"never fits", 429, `{"error":{"code":"429","message":"have exceeded token rate limit. Please retry after 86400 seconds."}}`, busy(24 * time.Hour)},
		{"short", 429, `{"error":{"code":"429","message":"Rate limit is exceeded. Try again in 60 seconds."}}`, busy(time.Minute)},
		{"peak load", 429, `{"error":{"code":"429","message":"The system is currently experiencing high demand. Please retry after 20 seconds"}}`, busy(20 * time.Second)},
		{"APIM", 429, `{"statusCode":429,"message":"Rate limit is exceeded. Try again in 7 seconds."}`, busy(7 * time.Second)},
		{"provisioned, no hint", 429, `{"error":{"code":"429","message":"x"}}`, busy(0)},
		{"OpenAI's tokens", 429, `{"error":{"message":"Request too large for gpt-4o: Limit 30000, Requested 30601.","type":"tokens","code":"rate_limit_exceeded"}}`, busy(0)},
		{"OpenAI's requests", 429, `{"error":{"message":"Rate limit reached for gpt-4o. Please try again in 20s.","type":"requests","code":"rate_limit_exceeded"}}`, busy(20 * time.Second)},
		{"unpaid", 429, `{"error":{"message":"You exceeded your current quota.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, policy.Outcome{Class: policy.Exhausted, Status: 429, Reason: "insufficient_quota"}},
		{"unpaid, by type", 429, `{"error":{"message":"You exceeded your current quota.","type":"insufficient_quota"}}`, policy.Outcome{Class: policy.Exhausted, Status: 429, Reason: "insufficient_quota"}},
		{"limit reached", 429, `{"error":{"message":"Billing hard limit has been reached","code":"billing_hard_limit_reached"}}`, policy.Outcome{Class: policy.Exhausted, Status: 429, Reason: "insufficient_quota"}},

		{"event: server error", 0, `{"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}`, fault(500, "500")},
		{"event: invalid Unicode", 0, `{"error":{"message":"` + unicodeText + `","type":"server_error","param":null,"code":null}}`, bad(500, "unicode_500")},
		{"event: a string", 0, `{"error":"boom"}`, fault(500, "500")},
		{"event: code as a string", 0, `{"error":{"code":"429","message":"Please retry after 3 seconds"}}`, busy(3 * time.Second)},
		{"event: code as a number", 0, `{"error":{"code":503,"message":"x"}}`, fault(503, "503")},
		{"event: code is no status", 0, `{"error":{"code":700,"message":"x"}}`, fault(500, "500")},
		{"event: status", 0, `{"error":{"status":404,"code":"DeploymentNotFound","message":"x"}}`, ours(404, "404")},
		{"event: flat", 0, `{"statusCode":401,"message":"x"}`, ours(401, "401")},
		{"event: tokens", 0, `{"error":{"message":"x","type":"tokens"}}`, busy(0)},
		{"event: requests", 0, `{"error":{"message":"x","type":"requests"}}`, busy(0)},
		{"event: rate limit by type", 0, `{"error":{"message":"x","type":"rate_limit_error"}}`, busy(0)},
		{"event: rate limit by code", 0, `{"error":{"message":"x","code":"rate_limit_exceeded"}}`, busy(0)},
		{"event: unpaid", 0, `{"error":{"message":"x","code":"insufficient_quota"}}`, policy.Outcome{Class: policy.Exhausted, Status: 429, Reason: "insufficient_quota"}},
		{"event: content filter", 0, `{"error":{"message":"x","code":"content_filter"}}`, refused(400, "400")},
		{"event: context length", 0, `{"error":{"message":"x","code":"context_length_exceeded"}}`, refused(400, "400")},
		{"event: the request's fault", 0, `{"error":{"message":"x","type":"invalid_request_error"}}`, refused(400, "400")},
		{"event: Timeout", 0, `{"error":{"message":"x","code":"Timeout"}}`, policy.Outcome{Class: policy.Stalled, Status: 408, Reason: "408", Once: true}},
		{"event: no deployment", 0, `{"error":{"message":"x","code":"DeploymentNotFound"}}`, ours(404, "404")},
		{"event: no access", 0, `{"error":{"message":"x","code":"PermissionDenied"}}`, ours(401, "401")},
		{"event: unavailable", 0, `{"error":{"message":"x","type":"service_unavailable"}}`, fault(503, "503")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := policy.Read(policy.Reply{Status: tt.status, Header: noHeader, Body: []byte(tt.body)})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Read(%d, %.300s) (-want +got):\n%s", tt.status, tt.body, diff)
			}
		})
	}
}

// TestBroken reads an attempt that got no answer.
func TestBroken(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name           string
		timedOut, sent bool
		want           policy.Outcome
	}{
		{"in time, nothing sent", false, false, policy.Outcome{Class: policy.Unreachable, Reason: "connect"}},
		{"in time, sent", false, true, policy.Outcome{Class: policy.Interrupted, Reason: "interrupted"}},
		{"too late", true, false, policy.Outcome{Class: policy.TimedOut, Reason: "timeout"}},
		{"too late, sent", true, true, policy.Outcome{Class: policy.TimedOut, Reason: "timeout"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, policy.Broken(tt.timedOut, tt.sent)); diff != "" {
				t.Errorf("Broken(%t, %t) (-want +got):\n%s", tt.timedOut, tt.sent, diff)
			}
		})
	}
}

// TestRetryAfter reads how long to wait, from wherever it is said.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.October, 21, 7, 28, 0, 0, time.UTC)
	const year = 365 * 24 * time.Hour
	tests := []struct {
		name    string
		header  func(string) string
		message string
		want    time.Duration
	}{
		{"nothing", noHeader, "", 0},
		{"milliseconds", header("Retry-After-Ms", "40"), "", 40 * time.Millisecond},
		{"part of a millisecond", header("Retry-After-Ms", "1.5"), "", 1500 * time.Microsecond},
		{"milliseconds first", header("Retry-After-Ms", "40", "X-Ms-Retry-After-Ms", "50", "Retry-After", "1"), "retry after 9 seconds", 40 * time.Millisecond},
		{"Azure's milliseconds second", header("X-Ms-Retry-After-Ms", "50", "Retry-After", "1"), "retry after 9 seconds", 50 * time.Millisecond},
		{"seconds third", header("Retry-After", "1"), "retry after 9 seconds", time.Second},
		{"words last", noHeader, "Please retry after 9 seconds.", 9 * time.Second},
		{"part of a second", header("Retry-After", "0.25"), "", 250 * time.Millisecond},
		{"spaces", header("Retry-After", " 7 "), "", 7 * time.Second},
		{"a day", header("Retry-After", "86400"), "", 24 * time.Hour},
		{"date", header("Retry-After", "Wed, 21 Oct 2026 07:28:30 GMT"), "", 30 * time.Second},
		{"date, RFC 850", header("Retry-After", "Wednesday, 21-Oct-26 07:28:30 GMT"), "", 30 * time.Second},
		{"date, ANSI C", header("Retry-After", "Wed Oct 21 07:28:30 2026"), "", 30 * time.Second},
		{"date that has passed", header("Retry-After", "Wed, 21 Oct 2026 07:00:00 GMT"), "", 0},
		{"date far off", header("Retry-After", "Wed, 21 Oct 2099 07:28:30 GMT"), "", year},
		{"zero says nothing", header("Retry-After-Ms", "0", "Retry-After", "0"), "retry after 3 seconds", 3 * time.Second},
		{"negative says nothing", header("Retry-After-Ms", "-5", "Retry-After", "3"), "", 3 * time.Second},
		{"no number says nothing", header("Retry-After-Ms", "soon", "Retry-After", "3"), "", 3 * time.Second},
		{"NaN says nothing", header("Retry-After-Ms", "NaN", "Retry-After", "3"), "", 3 * time.Second},
		{"infinity says nothing", header("Retry-After-Ms", "inf", "Retry-After", "3"), "", 3 * time.Second},
		{"huge", header("Retry-After", "1e300"), "", year},
		{"too large for a number", header("Retry-After", "1e400"), "", year},
		{"many digits", header("Retry-After-Ms", strings.Repeat("9", 400)), "", year},
		{"neither number nor date", header("Retry-After", "tomorrow"), "try again in 2 seconds", 2 * time.Second},
		{"words: one second", noHeader, "Please retry after 1 second.", time.Second},
		{"words: seconds, short", noHeader, "Please try again in 20s. Visit x", 20 * time.Second},
		{"words: part of a second", noHeader, "Please try again in 1.25s.", 1250 * time.Millisecond},
		{"words: milliseconds, short", noHeader, "Please try again in 120ms.", 120 * time.Millisecond},
		{"words: milliseconds", noHeader, "retry after 43 milliseconds", 43 * time.Millisecond},
		{"words: minutes and seconds", noHeader, "Please try again in 6m30s.", 390 * time.Second},
		{"words: minutes", noHeader, "Retry after 2 minutes.", 2 * time.Minute},
		{"words: hours", noHeader, "Retry after 1 hour.", time.Hour},
		{"words: a day", noHeader, "Please retry after 86400 seconds.", 24 * time.Hour},
		{"words: capitals", noHeader, "TRY AGAIN IN 5 SECONDS", 5 * time.Second},
		{"words: no unit", noHeader, "retry after 5", 5 * time.Second},
		{"words: no number", noHeader, "retry after a while", 0},
		{"words: at the end", noHeader, "retry after ", 0},
		{"words: only points", noHeader, "retry after ...", 0},
		{"words: behind a phrase without a number", noHeader, "Retry after a while, or try again in 4 seconds", 4 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := policy.RetryAfter(tt.header, tt.message, now); got != tt.want {
				t.Errorf("RetryAfter(%q) = %v, want %v", tt.message, got, tt.want)
			}
		})
	}
}

// TestWhoseCredential hands refusals of the caller's own credential to the caller,
// and no other fault of ours.
func TestWhoseCredential(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]policy.Class{401: policy.Refused, 403: policy.Refused, 404: policy.Misconfigured, 429: policy.Throttled} {
		body := `{"error":{"code":"DeploymentNotFound","message":"x"}}`
		got := policy.Read(policy.Reply{Status: status, Header: func(string) string { return "" }, Body: []byte(body), Theirs: true})
		if got.Class != want {
			t.Errorf("a %d is of class %d, want %d", status, got.Class, want)
		}
	}
}
