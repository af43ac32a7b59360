package azuresim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// object is a JSON object; encoding sorts its keys, as Azure does.
type object = map[string]any

// answer is a step that sends v as JSON.
func answer(status int, v any) *Step {
	return &Step{Status: status, Body: encode(v)}
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("azuresim: encoding an answer: %v", err))
	}
	return string(b)
}

// modelError is the model layer's envelope, which has all four keys. Empty
// strings are null.
func modelError(status int, message, kind, param, code string) *Step {
	e := object{"message": message, "type": nil, "param": nil, "code": nil}
	for key, value := range map[string]string{"type": kind, "param": param, "code": code} {
		if value != "" {
			e[key] = value
		}
	}
	return answer(status, object{"error": e})
}

// invalid is the 400 of the model layer.
func invalid(message, param, code string) *Step {
	return modelError(http.StatusBadRequest, message, "invalid_request_error", param, code)
}

// doorError is the front door's envelope.
func doorError(status int, code, message string) *Step {
	return answer(status, object{"error": object{"code": code, "message": message}})
}

// flatError is the envelope of API Management.
func flatError(status int, message string) *Step {
	return answer(status, object{"statusCode": status, "message": message})
}

func badRequest(message string) *Step {
	return doorError(http.StatusBadRequest, "BadRequest", message)
}

func notFound() *Step { return doorError(http.StatusNotFound, "404", "Resource not found") }

func deploymentNotFound() *Step {
	return doorError(http.StatusNotFound, "DeploymentNotFound",
		"The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again.")
}

func modelNotFound(model string) *Step {
	return modelError(http.StatusNotFound,
		fmt.Sprintf("The model `%s` does not exist or you do not have access to it.", model),
		"invalid_request_error", "", "model_not_found")
}

func keyRefused() *Step {
	return doorError(http.StatusUnauthorized, "401",
		"Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource.")
}

func openAIKeyRefused(key string) *Step {
	if key == "" {
		return modelError(http.StatusUnauthorized, "You didn't provide an API key.", "invalid_request_error", "", "")
	}
	return modelError(http.StatusUnauthorized, "Incorrect API key provided: "+key[:min(3, len(key))]+"***.",
		"invalid_request_error", "", "invalid_api_key")
}

func entraRefused() *Step {
	return flatError(http.StatusUnauthorized,
		"Unauthorized. Access token is missing, invalid, audience is incorrect (https://cognitiveservices.azure.com), or have expired.")
}

func onlyFrom(thing, version string) *Step {
	return badRequest(thing + " is enabled only for api versions " + version + " and later")
}

func specialTokens() *Step {
	return invalid("Failed to generate output due to special tokens in the input.", "", "")
}

func unsupportedParameter(name string) *Step {
	text := "Unsupported parameter: '" + name + "' is not supported with this model."
	if name == "max_tokens" {
		text += " Use 'max_completion_tokens' instead."
	}
	return invalid(text, name, "unsupported_parameter")
}

func unsupportedValue(name string, value float64) *Step {
	return invalid(fmt.Sprintf(
		"Unsupported value: '%s' does not support %s with this model. Only the default (%s) value is supported.",
		name, number(value), number(fixedValue(name))), name, "unsupported_value")
}

// fixedValue is the only value a reasoning model takes for a parameter.
func fixedValue(name string) float64 {
	if name == "temperature" || name == "top_p" {
		return 1
	}
	return 0
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func tooLarge(param string, asked, limit int) *Step {
	return invalid(fmt.Sprintf(
		"%s is too large: %d. This model supports at most %d completion tokens, whereas you provided %d.",
		param, asked, limit, asked), param, "invalid_value")
}

func reasoningExhausted() *Step {
	return invalid("Could not finish the message because max_tokens or model output limit was reached. Please try again with higher max_tokens.", "", "")
}

// contextLength is wording 1 where nothing was asked for the completion, else
// wording 2, with the tokens of tools named where there are any.
func contextLength(window, messages, functions, completion int) *Step {
	text := fmt.Sprintf("This model's maximum context length is %d tokens. However, ", window)
	switch {
	case completion == 0:
		text += fmt.Sprintf("your messages resulted in %d tokens. Please reduce the length of the messages.", messages+functions)
	case functions == 0:
		text += fmt.Sprintf("you requested %d tokens (%d in the messages, %d in the completion). Please reduce the length of the messages or completion.",
			messages+completion, messages, completion)
	default:
		text += fmt.Sprintf("you requested %d tokens (%d in the messages, %d in the functions, and %d in the completion). Please reduce the length of the messages, functions, or completion.",
			messages+functions+completion, messages, functions, completion)
	}
	return invalid(text, "messages", "context_length_exceeded")
}

// inputLimit is wording 3, used by models with a limit on input.
func inputLimit(limit, messages int) *Step {
	return invalid(fmt.Sprintf("Input tokens exceed the configured limit of %d tokens. Your messages resulted in %d tokens. Please reduce the length of the messages.",
		limit, messages), "messages", "context_length_exceeded")
}

// limited adds a 429's hints to s. Azure rounds seconds up.
func limited(s *Step, wait time.Duration) *Step {
	seconds := int((wait + time.Second - 1) / time.Second)
	s.Header = http.Header{
		"Retry-After":    {strconv.Itoa(seconds)},
		"Retry-After-Ms": {strconv.FormatInt(wait.Milliseconds(), 10)},
	}
	return s
}

// chatOperation is how a 429 names a chat.
const chatOperation = "ChatCompletions_Create"

// rateLimit is the 429 of a pay-as-you-go deployment; kind is token or call.
func rateLimit(kind, tier string, wait time.Duration) *Step {
	seconds := int((wait + time.Second - 1) / time.Second)
	return limited(doorError(http.StatusTooManyRequests, "429", fmt.Sprintf(
		"Requests to the "+chatOperation+" Operation under Azure OpenAI API version 2024-10-21 have exceeded %s rate limit of your current %s pricing tier. Please retry after %d seconds. Please go here: https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit.",
		kind, tier, seconds)), wait)
}

// provisionedFull is the 429 of a provisioned deployment.
func provisionedFull(wait time.Duration) *Step {
	return limited(doorError(http.StatusTooManyRequests, "429",
		"The deployment's utilization is at 100 %. Please retry after the time in the retry-after-ms header."), wait)
}
