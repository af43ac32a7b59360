package policy

import (
	"slices"
	"strconv"
	"strings"

	"weir/openai"
)

// fault is what an error body says.
type fault struct {
	message, kind, code, param string
	number                     string // the status that the body itself names
}

// maxWording is how much of a message is looked at.
const maxWording = 4 << 10

// readFault reads an error body in any of the forms that Azure and the proxies
// before it use. It need not be JSON.
func readFault(body []byte) fault {
	root, err := openai.ReadValue(body)
	if err != nil {
		return fault{message: wording(string(body[:min(len(body), maxWording)]))}
	}
	e := root.Get("error")
	if e.Kind() != openai.Object {
		e = root
	}
	f := fault{
		message: e.Get("message").Text(),
		kind:    e.Get("type").Text(),
		code:    plain(e.Get("code")),
		param:   e.Get("param").Text(),
		number:  plain(e.Get("status")),
	}
	if f.message == "" {
		f.message = root.Get("error").Text()
	}
	if f.number == "" {
		f.number = plain(root.Get("statusCode"))
	}
	f.message = wording(f.message)
	return f
}

// plain returns a string, or a number as it is written.
func plain(v openai.Value) string {
	if v.Kind() == openai.Number {
		return string(v.Raw())
	}
	return v.Text()
}

// wording returns as much of a message as is looked at, in small letters.
func wording(message string) string {
	return strings.ToLower(message[:min(len(message), maxWording)])
}

// status returns the status that an error event stands for.
func (f fault) status() int {
	for _, s := range []string{f.number, f.code} {
		if n, err := strconv.Atoi(s); err == nil && n >= 400 && n < 600 {
			return n
		}
	}
	for _, named := range []struct {
		status int
		names  []string // codes and types
	}{
		{429, []string{"requests", "tokens", "rate_limit_error", "rate_limit_exceeded", "insufficient_quota"}},
		{401, []string{"PermissionDenied", "invalid_api_key", "authentication_error"}},
		{403, []string{"permission_error"}},
		{404, []string{"DeploymentNotFound", "model_not_found", "not_found_error"}},
		{408, []string{"Timeout"}},
		{503, []string{"service_unavailable", "overloaded_error"}},
		{400, []string{"content_filter", "context_length_exceeded", "invalid_request_error"}},
	} {
		if slices.Contains(named.names, f.code) || slices.Contains(named.names, f.kind) {
			return named.status
		}
	}
	return 500
}

// badOutput reports whether the model generated something that cannot be sent.
// The wordings are Azure's, as its documentation and its users report them.
func (f fault) badOutput() bool {
	return f.code == "invalid_model_output" ||
		strings.Contains(f.message, "the model generated invalid unicode output") ||
		strings.Contains(f.message, "unexpected special token")
}

// badContent reports whether the model generated something that its own checks
// refused. It seldom gets better.
func (f fault) badContent() bool {
	return strings.Contains(f.message, "the model produced invalid content")
}

// unpaid reports whether a refusal is one that waiting a little does not end.
func (f fault) unpaid(status int) bool {
	switch status {
	case 429:
		return f.code == "insufficient_quota" || f.kind == "insufficient_quota" || f.code == "billing_hard_limit_reached"
	case 403:
		return strings.Contains(f.message, "quota will be replenished")
	default:
		return false
	}
}

// ours reports whether an answer is the fault of our configuration: a credential
// that is not accepted, or a deployment that does not exist.
func (f fault) ours(status int) bool {
	switch status {
	case 401, 403:
		return true
	case 404:
		return strings.EqualFold(f.code, "DeploymentNotFound") || f.code == "model_not_found" || f.noModel()
	case 400:
		return strings.Contains(f.message, "could not find an existing deployment")
	default:
		return false
	}
}

// noModel reports whether a 404 is that of a server without the model, in the
// wordings of those that are compatible with OpenAI and give no code.
func (f fault) noModel() bool {
	return strings.Contains(f.message, "model") &&
		(strings.Contains(f.message, "does not exist") || strings.Contains(f.message, "not found"))
}

// aboutDeveloper reports whether a model does not know the role developer.
func (f fault) aboutDeveloper() bool {
	return strings.Contains(f.message, "'developer'") && (strings.HasSuffix(f.param, "role") || strings.Contains(f.message, "role"))
}

// unsupported returns the parameter that upstream does not take, "" where the
// complaint is another; developer is the role of that name. Of several that the
// message names it is the first: the next is the advice.
func (f fault) unsupported() string {
	const ours = "stream_options"
	switch {
	case f.aboutDeveloper():
		return "developer"
	case strings.HasPrefix(f.param, ours) || f.param == "" && strings.Contains(f.message, ours):
		return ours
	}
	if f.code != "unsupported_parameter" && f.code != "unsupported_value" &&
		!strings.Contains(f.message, "unsupported") && !strings.Contains(f.message, "unrecognized request argument") {
		return ""
	}
	if f.param != "" {
		return f.param
	}
	return f.named()
}

// named returns the first parameter of those that the gateway sets which the
// message names; "" none.
func (f fault) named() string {
	first, at := "", len(f.message)
	for _, name := range []string{"temperature", "max_completion_tokens", "max_tokens"} {
		if i := strings.Index(f.message, name); i >= 0 && i < at {
			first, at = name, i
		}
	}
	return first
}
