package azuresim

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Faults returns the names of all faults, sorted. What each does is said by
// [Explain].
func Faults() []string { return slices.Sorted(maps.Keys(faults())) }

// Explain says in one line what the fault called name does, "" where there is
// none.
func Explain(name string) string { return faults()[name].doc }

// fault changes a step. Its argument is what the request wrote behind the name.
type fault struct {
	doc   string
	apply applier
}

// applier changes s; counted says that the request named a count, which then
// alone decides how often the fault strikes.
type applier func(c *call, s *Step, argument string, counted bool)

// faults is the catalog.
func faults() map[string]fault {
	all := map[string]fault{}
	for _, part := range []map[string]fault{
		outputFaults(), requestFaults(), accessFaults(), limitFaults(),
		contentFaults(), cutFaults(), framingFaults(), transportFaults(),
	} {
		maps.Copy(all, part)
	}
	return all
}

// always answers with one step.
func always(step *Step) applier {
	return func(_ *call, s *Step, _ string, _ bool) { s.become(step) }
}

// become makes s answer what other answers, and keeps its times.
func (s *Step) become(other *Step) {
	s.Status, s.Body, s.Chunks = other.Status, other.Body, other.Chunks
	header := http.Header{}
	maps.Copy(header, s.Header)
	maps.Copy(header, other.Header)
	s.Header = header
}

// with is a fault that changes the step's fields.
func with(change func(*Step)) applier {
	return func(_ *call, s *Step, _ string, _ bool) { change(s) }
}

// waiting is a fault that takes a time as its argument, in seconds or as
// time.ParseDuration reads it.
func waiting(otherwise time.Duration, change func(*Step, time.Duration)) applier {
	return func(_ *call, s *Step, argument string, _ bool) {
		word, _, _ := strings.Cut(argument, " ")
		d, err := time.ParseDuration(word)
		if seconds, e := strconv.Atoi(word); e == nil {
			d, err = time.Duration(seconds)*time.Second, nil
		}
		if err != nil || d < 0 {
			d = otherwise
		}
		change(s, d)
	}
}

// hot is a fault of the model's output that a temperature below 1 cures. A
// reasoning model has no temperature to lower, so there it strikes once.
func hot(name string, step func(*call) *Step) applier {
	return func(c *call, s *Step, _ string, counted bool) {
		if c.chat != nil && !counted {
			if c.dep.Reasoning && !c.again(name, 1) || !c.dep.Reasoning && c.chat.temperature() < 1 {
				return
			}
		}
		s.become(step(c))
	}
}

// streams reports whether the request asks for a stream.
func (c *call) streams() bool {
	if c.form != nil {
		return c.form.value("stream") == "true"
	}
	var body struct {
		Stream bool `json:"stream"`
	}
	return json.Unmarshal(c.raw, &body) == nil && body.Stream
}

const badUnicode = "Failed to create completion as the model generated invalid Unicode output."

func unicodeError() *Step {
	return modelError(http.StatusInternalServerError, badUnicode, "server_error", "", "")
}

// inStream sends an error as the first event, or as a plain answer where no
// stream was asked for.
func inStream(c *call, step *Step) *Step {
	if !c.streams() {
		return step
	}
	if c.route.typed {
		return &Step{Chunks: []string{typedError(step, errorNested, 0)}}
	}
	return &Step{Chunks: []string{"data: " + step.Body + "\n\n"}}
}

// outputFaults are the model's failures to produce an answer.
func outputFaults() map[string]fault {
	fixed := func(step *Step) func(*call) *Step { return func(*call) *Step { return step } }
	const failed = http.StatusInternalServerError
	token := modelError(failed, "Unexpected special token", "server_error", "", "")
	return map[string]fault{
		"unicode-500": {"500, invalid Unicode, while the temperature is 1 or more; a reasoning model fails once", hot("unicode-500", fixed(unicodeError()))},
		"unicode-500-bare": {"unicode-500 with a message only", hot("unicode-500-bare",
			fixed(answer(failed, object{"error": object{"message": badUnicode}})))},
		"unicode-500-null": {"unicode-500 with null type, param and code and the request id in the text", hot("unicode-500-null",
			fixed(modelError(failed, badUnicode+" (Please include the request ID 00000000-0000-4000-8000-000000000000 in your message.)", "", "", "")))},
		"unicode-500-code": {"unicode-500 with code invalid_model_output", hot("unicode-500-code",
			fixed(modelError(failed, badUnicode, "server_error", "", "invalid_model_output")))},
		"unicode-stream": {"unicode-500 as the first event of a stream", hot("unicode-stream",
			func(c *call) *Step { return inStream(c, unicodeError()) })},
		"special-token-500": {"500, unexpected special token, while the temperature is 1 or more", hot("special-token-500", fixed(token))},
		"invalid-content": {"500, the model produced invalid content", always(
			modelError(failed, "The model produced invalid content. Consider modifying your prompt if you are seeing this error persistently.", "model_error", "", ""))},
		"invalid-content-400": {"the same with status 400", always(
			modelError(http.StatusBadRequest, "The model produced invalid content.", "model_error", "", ""))},
		"server-error": {"500, generic", always(modelError(failed, "The server had an error while processing your request. Sorry about that!", "server_error", "", ""))},
		"server-error-flat": {"500 of API Management, flat, with activityId", always(answer(failed, object{
			"statusCode": failed, "message": "Internal server error", "activityId": "00000000-0000-4000-8000-000000000000",
		}))},
		"server-error-stream": {"500, generic, as the first event of a stream", func(c *call, s *Step, _ string, _ bool) {
			s.become(inStream(c, modelError(failed, "The server had an error while processing your request.", "server_error", "", "")))
		}},
		"bad-gateway": {"502 with HTML", always(&Step{
			Status: http.StatusBadGateway, Header: http.Header{"Content-Type": {"text/html"}},
			Body: "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>",
		})},
		"unavailable": {"503 with an empty body", always(&Step{Status: http.StatusServiceUnavailable})},
		"unavailable-retry": {"503 with Retry-After, seconds as argument, else 5", func(_ *call, s *Step, argument string, _ bool) {
			step := doorError(http.StatusServiceUnavailable, "503", "Service is temporarily unable to process your request.")
			step.Header = http.Header{"Retry-After": {cmp.Or(argument, "5")}}
			s.become(step)
		}},
		"gateway-timeout": {"504", always(doorError(http.StatusGatewayTimeout, "GatewayTimeout", "The gateway did not receive a response in time."))},
		"timeout":         {"408", always(doorError(http.StatusRequestTimeout, "Timeout", "The operation was timeout."))},
	}
}

// requestFaults blame the request.
func requestFaults() map[string]fault {
	return map[string]fault{
		"special-tokens":            {"400, special tokens in the input", always(specialTokens())},
		"context-length":            {"400, wording 1, messages only", always(contextLength(8192, 8227, 0, 0))},
		"context-length-completion": {"400, wording 2, messages and completion", always(contextLength(4097, 3118, 0, 1000))},
		"context-length-functions":  {"400, wording 2 with functions", always(contextLength(4097, 3000, 118, 1000))},
		"context-length-input":      {"400, wording 3, the configured limit", always(inputLimit(272000, 300007))},
		"context-length-limit": {"400, wording 3, its first sentence only", always(
			invalid("Input tokens exceed the configured limit of 922000 tokens.", "messages", "context_length_exceeded"))},
		"context-length-prompt": {"400, wording 4, of legacy completions", always(
			invalid("This model's maximum context length is 8192 tokens, however you requested 9000 tokens (9000 in your prompt; 0 for the completion). Please reduce your prompt; or completion length.", "", ""))},
		"context-length-window": {"400, wording 5, of the Responses API", always(
			invalid("Your input exceeds the context window of this model. Please adjust your input and try again.", "input", "context_length_exceeded"))},
		"max-tokens":              {"400, max_tokens is too large", always(tooLarge("max_tokens", 20000, 16384))},
		"unsupported-parameter":   {"400, max_tokens is not supported", always(unsupportedParameter("max_tokens"))},
		"unsupported-value":       {"400, temperature 0.7 is not supported", always(unsupportedValue("temperature", 0.7))},
		"unsupported-temperature": {"400, temperature is not supported at all", always(unsupportedParameter("temperature"))},
		"no-temperature": {"unsupported-value for the temperature sent, if it is not 1", func(c *call, s *Step, _ string, _ bool) {
			if c.chat != nil && c.chat.temperature() != 1 {
				s.become(unsupportedValue("temperature", c.chat.temperature()))
			}
		}},
		"reasoning-exhausted": {"400, nothing left for an answer", always(reasoningExhausted())},
		"empty-array":         {"400, messages are empty", always(emptyMessages())},
		"below-minimum":       {"400, integer_below_min_value", always(outOfRange("max_tokens", "integer below minimum value", ">= 1", 0))},
		"above-maximum":       {"400, decimal_above_max_value", always(outOfRange("temperature", "decimal above maximum value", "<= 2", 3))},
		"no-stream-options": {"400, stream_options is unknown, if it is sent", func(c *call, s *Step, _ string, _ bool) {
			if c.chat != nil && c.chat.has("stream_options") {
				s.become(unknownArgument("stream_options"))
			}
		}},
		"version-schema":       {"400, api-version too old for json_schema", always(onlyFrom("response_format value as json_schema", "2024-08-01-preview"))},
		"version-required":     {"400, api-version too old for tool_choice required", always(onlyFrom("tool_choice value as required", "2024-06-01"))},
		"version-model":        {"400, api-version too old for the model", always(onlyFrom("Model {modelName}", "2024-12-01-preview"))},
		"wrong-operation":      {"400, OperationNotSupported", always(doorError(http.StatusBadRequest, "OperationNotSupported", "The chatCompletion operation does not work with the specified model. Please choose different model and try again."))},
		"too-large":            {"413", always(doorError(http.StatusRequestEntityTooLarge, "413", "Request body too large."))},
		"media-type":           {"415", always(doorError(http.StatusUnsupportedMediaType, "415", "Unsupported media type."))},
		"content-filter":       {"400, prompt filtered, with innererror", always(promptFiltered("innererror", "content_filter_result"))},
		"content-filter-inner": {"400, prompt filtered, with inner_error", always(promptFiltered("inner_error", "content_filter_results"))},
		"content-filter-bare":  {"400, prompt filtered, with neither", always(promptFiltered("", ""))},
		"content-filter-code": {"400, the front door's envelope with an integer code", always(
			answer(http.StatusBadRequest, object{"error": object{"code": 400, "message": "The request was blocked by a content filter."}}))},
	}
}

func unknownArgument(name string) *Step {
	return invalid("Unrecognized request argument supplied: "+name, "", "")
}

// promptFiltered is the content filter's refusal, with its result under the
// names given.
func promptFiltered(outer, inner string) *Step {
	e := object{
		"message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your prompt and retry.",
		"type":    nil, "param": "prompt", "code": "content_filter", "status": http.StatusBadRequest,
	}
	if outer != "" {
		results := severities()
		results["violence"] = object{"filtered": true, "severity": "high"}
		results["jailbreak"] = object{"filtered": false, "detected": false}
		e[outer] = object{"code": "ResponsibleAIPolicyViolation", inner: results}
	}
	return answer(http.StatusBadRequest, object{"error": e})
}

// accessFaults are refusals of the caller.
func accessFaults() map[string]fault {
	const principal = "The principal `00000000-0000-4000-8000-000000000000` lacks the required data action `Microsoft.CognitiveServices/accounts/OpenAI/deployments/chat/completions/action` to perform `POST /openai/deployments/{deployment-id}/chat/completions` operation."
	return map[string]fault{
		"bad-key":            {"401, the front door refuses the key", always(keyRefused())},
		"bad-token":          {"401, flat, the Entra token is refused", always(entraRefused())},
		"no-role":            {"401, the principal lacks the data action", always(doorError(http.StatusUnauthorized, "PermissionDenied", principal))},
		"no-access":          {"401, the principal has no access", always(doorError(http.StatusUnauthorized, "PermissionDenied", "Principal does not have access to API/Operation."))},
		"key-disabled":       {"403, keys are disabled", always(doorError(http.StatusForbidden, "AuthenticationTypeDisabled", "Key based authentication is disabled for this resource."))},
		"network-rule":       {"403, the network is not allowed", always(doorError(http.StatusForbidden, "403", "Access denied due to Virtual Network/Firewall rules."))},
		"deployment-missing": {"404, DeploymentNotFound", always(deploymentNotFound())},
		"not-found":          {"404, Resource not found", always(notFound())},
		"model-missing":      {"404 as OpenAI answers it", always(modelNotFound("gpt-4o"))},
		"openai-bad-key":     {"401 as OpenAI answers it", always(openAIKeyRefused("sk-wrong"))},
		"string-error":       {"404 with a string as error", always(answer(http.StatusNotFound, object{"error": "Not found"}))},
	}
}

// limitFaults are the 429s and what resembles them.
func limitFaults() map[string]fault {
	wait := func(otherwise time.Duration, step func(time.Duration) *Step) applier {
		return waiting(otherwise, func(s *Step, d time.Duration) { s.become(step(d)) })
	}
	const busy = http.StatusTooManyRequests
	return map[string]fault{
		"rate-limit":       {"429, tokens; the wait as argument, else 20 s", wait(20*time.Second, func(d time.Duration) *Step { return rateLimit("token", "OpenAI S0", d) })},
		"rate-limit-calls": {"429, calls; the wait as argument, else 10 s", wait(10*time.Second, func(d time.Duration) *Step { return rateLimit("call", "OpenAI S0", d) })},
		"rate-limit-ai":    {"429, tokens, of an AIServices resource", wait(20*time.Second, func(d time.Duration) *Step { return rateLimit("token", "AIServices S0", d) })},
		"rate-limit-never": {"429, retry after 86400 s: this can never fit", always(rateLimit("token", "OpenAI S0", never))},
		"rate-limit-short": {"429, the short text without headers", always(doorError(busy, "429", "Rate limit is exceeded. Try again in 60 seconds."))},
		"peak-load": {"429, high demand", wait(20*time.Second, func(d time.Duration) *Step {
			return limited(doorError(busy, "429", "The system is currently experiencing high demand and cannot process your request. Your request exceeds the maximum usage size allowed during peak load. Please retry after "+number(d.Seconds())+" seconds"), d)
		})},
		"provisioned-full": {"429 of provisioned throughput; the wait as argument, else 43 ms", wait(43*time.Millisecond, provisionedFull)},
		"apim-limit": {"429 of API Management, flat", wait(20*time.Second, func(d time.Duration) *Step {
			return limited(flatError(busy, "Rate limit is exceeded. Try again in "+number(d.Seconds())+" seconds."), d)
		})},
		"apim-quota":            {"403 of API Management, flat, out of quota", always(flatError(http.StatusForbidden, "Out of call volume quota. Quota will be replenished in 01:00:00."))},
		"openai-limit-tokens":   {"429 as OpenAI answers it, tokens", always(modelError(busy, "Request too large for gpt-4o: Limit 30000, Requested 30601.", "tokens", "", "rate_limit_exceeded"))},
		"openai-limit-requests": {"429 as OpenAI answers it, requests", always(modelError(busy, "Rate limit reached for gpt-4o. Please try again in 20s.", "requests", "", "rate_limit_exceeded"))},
		"insufficient-quota":    {"429 as OpenAI answers it, unpaid", always(modelError(busy, "You exceeded your current quota, please check your plan and billing details.", "insufficient_quota", "", "insufficient_quota"))},
	}
}
