package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The codes of the errors that the gateway itself answers with. They are stable:
// programs branch on them. docs/errors.md has a section for each.
const (
	CodeInvalidJSON       = "invalid_json"
	CodeInvalidType       = "invalid_type"
	CodeInvalidValue      = "invalid_value"
	CodeBelowMinimum      = "integer_below_min_value"
	CodeEmptyArray        = "empty_array"
	CodeMissingParameter  = "missing_required_parameter"
	CodeRequestTooLarge   = "request_too_large"
	CodeMediaType         = "unsupported_media_type"
	CodeSpecialTokens     = "special_tokens_in_input"
	CodeContextLength     = "context_length_exceeded"
	CodeTooManyTurns      = "too_many_turns"
	CodeInvalidAPIKey     = "invalid_api_key"
	CodeFailedKeys        = "too_many_failed_keys"
	CodeModelNotAllowed   = "model_not_allowed"
	CodePathNotAllowed    = "path_not_allowed"
	CodeNoMoreDeployment  = "deployment_not_allowed"
	CodeModelNotFound     = "model_not_found"
	CodeNotFound          = "not_found"
	CodeNoPrevious        = "previous_response_not_found"
	CodeNoFile            = "file_not_found"
	CodeNoFiles           = "no_files_backend"
	CodeNoBatches         = "batches_not_allowed"
	CodeLongListing       = "listing_too_long"
	CodeDeployment        = "DeploymentNotFound"
	CodeUnknownURL        = "unknown_url"
	CodeMethod            = "method_not_allowed"
	CodeUpgrade           = "upgrade_required"
	CodeRateLimit         = "rate_limit_exceeded"
	CodeExceedsTeamLimit  = "tokens_exceed_team_limit"
	CodeInsufficientQuota = "insufficient_quota"
	CodeLimitsAway        = "limit_store_unavailable"
	CodeNoDeployment      = "no_healthy_deployment"
	CodeUnreachable       = "upstream_unreachable"
	CodeTimeout           = "upstream_timeout"
	CodeInterrupted       = "upstream_stream_interrupted"
	CodeBadAnswer         = "upstream_bad_answer"
	CodeUpstreamAuth      = "upstream_auth_failed"
	CodeOverloaded        = "gateway_overloaded"
	CodeNoRoom            = "no_room_for_upload"
	CodeInvalidForm       = "invalid_form"
	CodeShuttingDown      = "shutting_down"
	CodeInternal          = "internal_error"
	CodeClientClosed      = "client_closed_request"
	CodeRequestTimeout    = "request_timeout"
	CodeAdminForbidden    = "admin_forbidden"
)

// Error is an error that a client may see. Everything in it but Fault is safe to
// show: no prompt, no key, no other team's name.
type Error struct {
	Status  int    // of HTTP
	Message string // what happened, with which value, where, and what to do
	Type    string // "" stands for the one that belongs to Status
	Param   string // the field at fault; "" is null
	Code    string // one of the Code constants

	RetryAfter time.Duration // when to try again; 0 says nothing
	NoRetry    bool          // trying again cannot help

	Fault error // of the gateway's own, for its log alone; nil: none is behind it
}

// BadRequest returns a 400.
func BadRequest(code, param, message string) *Error {
	return &Error{Status: 400, Code: code, Param: param, Message: message}
}

// Error returns the message and the code.
func (e *Error) Error() string {
	return fmt.Sprintf("%s (%d %s)", e.Message, e.Status, e.Code)
}

// typeOf returns the type that clients expect with a status.
func typeOf(status int) string {
	switch {
	case status == 401 || status < 500 && status != 403 && status != 429:
		return "invalid_request_error"
	case status == 403:
		return "permission_error"
	case status == 429:
		return "rate_limit_error"
	default:
		return "server_error"
	}
}

// Envelope returns the body that clients are sent: an object with the one member
// error, whose four members are always there. A message of the gateway's own
// ends by naming its section in docs/errors.md.
func (e *Error) Envelope() []byte {
	kind := e.Type
	if kind == "" {
		kind = typeOf(e.Status)
	}
	return envelope(e.shown(), kind, quoteOrNull(e.Param), quoteOrNull(e.Code))
}

// shown returns the message as clients are shown it.
func (e *Error) shown() string {
	return e.Message + " (docs/errors.md#" + strings.ToLower(e.Code) + ")"
}

// envelope writes the error object; param and code are JSON.
func envelope(message, kind, param, code string) []byte {
	b := append([]byte(nil), `{"error":{"message":`...)
	b = appendString(b, message)
	b = append(b, `,"type":`...)
	b = appendString(b, kind)
	b = append(b, `,"param":`+param+`,"code":`+code+`}}`...)
	return b
}

func quoteOrNull(s string) string {
	if s == "" {
		return "null"
	}
	return string(appendString(nil, s))
}

// Quote returns s as JSON.
func Quote(s string) string { return string(appendString(nil, s)) }

// appendString appends s as a JSON string.
func appendString(dst []byte, s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	return append(dst, bytes.TrimRight(b.Bytes(), "\n")...)
}

// NormalizeError returns the body in which a client is shown what upstream
// answered with that status. One that is in OpenAI's form already is returned as
// it is, to the byte, but for members that it lacks; every other form that Azure
// and the proxies before it use is turned into it.
func NormalizeError(status int, body []byte) []byte {
	root, err := ReadValue(body)
	if err != nil || root.Kind() != Object {
		return envelope(fmt.Sprintf("The upstream answered %d without a message.", status), typeOf(status), "null", quoteOrNull(statusName(status)))
	}
	inner := root.Get("error")
	if inner.Kind() == Object {
		return complete(body, inner, status)
	}
	message := inner.Text()
	for _, name := range []string{"message", "detail"} {
		if message == "" {
			message = root.Get(name).Text()
		}
	}
	if message == "" {
		message = fmt.Sprintf("The upstream answered %d without a message.", status)
	}
	code := root.Get("code").Text()
	if code == "" {
		code = statusName(status)
	}
	return envelope(message, typeOf(status), "null", quoteOrNull(code))
}

// statusName returns a code for an answer that has none of its own.
func statusName(status int) string {
	switch status {
	case 400:
		return "bad_request"
	case 401:
		return "unauthorized"
	case 403:
		return "forbidden"
	case 404:
		return "not_found"
	case 408:
		return "request_timeout"
	case 429:
		return "too_many_requests"
	case 500:
		return "internal_server_error"
	case 502:
		return "bad_gateway"
	case 503:
		return "service_unavailable"
	case 504:
		return "gateway_timeout"
	default:
		return strconv.Itoa(status)
	}
}

// complete adds what an error object lacks.
func complete(body []byte, inner Value, status int) []byte {
	var lacks []byte
	for _, m := range []struct{ name, raw string }{
		{"message", `"The upstream sent no message."`},
		{"type", quoteOrNull(typeOf(status))},
		{"param", "null"},
		{"code", "null"},
	} {
		if inner.Get(m.name).Kind() == Missing {
			lacks = append(lacks, `"`+m.name+`":`+m.raw+","...)
		}
	}
	if len(lacks) == 0 {
		return body
	}
	if inner.Len() == 0 {
		lacks = lacks[:len(lacks)-1]
	}
	start, _ := inner.span()
	return Apply(body, Edit{Start: start + 1, End: start + 1, Text: string(lacks)})
}

// Codes returns the codes of all errors that the gateway writes.
func Codes() []string {
	return []string{
		CodeInvalidJSON, CodeInvalidType, CodeInvalidValue, CodeBelowMinimum, CodeEmptyArray, CodeMissingParameter,
		CodeRequestTooLarge, CodeMediaType, CodeSpecialTokens, CodeContextLength, CodeTooManyTurns,
		CodeInvalidAPIKey, CodeFailedKeys, CodeModelNotAllowed, CodePathNotAllowed, CodeNoMoreDeployment, CodeModelNotFound, CodeNotFound,
		CodeNoPrevious, CodeNoFile, CodeNoFiles, CodeNoBatches, CodeLongListing, CodeDeployment, CodeUnknownURL, CodeMethod, CodeUpgrade, CodeRateLimit, CodeExceedsTeamLimit,
		CodeInsufficientQuota, CodeLimitsAway, CodeNoDeployment, CodeUnreachable, CodeTimeout, CodeInterrupted,
		CodeBadAnswer, CodeUpstreamAuth, CodeOverloaded, CodeNoRoom, CodeInvalidForm, CodeShuttingDown, CodeInternal,
		CodeClientClosed, CodeRequestTimeout, CodeAdminForbidden,
	}
}
