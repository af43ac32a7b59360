package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"weir/openai"
	"weir/upstream"
)

// complaint is what an error's body says, in any of the forms that Azure, API
// Management and OpenAI use.
type complaint struct{ Code, Param, Message string }

func readComplaint(body []byte) complaint {
	root, err := openai.ReadValue(body)
	if err != nil {
		return complaint{}
	}
	inner := root.Get("error")
	if inner.Kind() != openai.Object {
		inner = root
	}
	return complaint{
		Code: cmp.Or(inner.Get("code").Text(), inner.Get("type").Text()), Param: inner.Get("param").Text(),
		Message: cmp.Or(inner.Get("message").Text(), root.Get("error").Text()),
	}
}

// says reports whether one of the words stands in the message.
func (c complaint) says(words ...string) bool {
	message := strings.ToLower(c.Message)
	for _, w := range words {
		if strings.Contains(message, w) {
			return true
		}
	}
	return false
}

// about reports whether it is the parameter that is not taken. The message may
// name another as advice, behind it.
func (c complaint) about(parameter string) bool {
	if c.Param != "" {
		return c.Param == parameter && (c.Code == "unsupported_parameter" || c.says("unsupported", "unrecognized"))
	}
	first, _, _ := strings.Cut(c.Message, ". ")
	return strings.Contains(first, parameter) && c.says("unsupported", "unrecognized")
}

// refusal is a finding about an answer that is none.
type refusal struct {
	finding

	alive   bool // the deployment is there and would answer
	partial bool // of a listing: it says nothing of answers
}

// refusal says what an answer that is none means, and how to mend it. The subject
// is nil where the backend's models were asked for.
func (e *examination) refusal(r reply, s *subject) refusal {
	f := e.meaning(r, s)
	f.Target = e.name
	if s != nil {
		f.Target, f.Path = s.ID(), cmp.Or(f.Path, s.path)
	}
	return f
}

func (e *examination) meaning(r reply, s *subject) refusal {
	if r.err != nil {
		return e.silence(r.err)
	}
	says := readComplaint(r.body)
	switch {
	case r.status == http.StatusOK:
		return e.fault(gradeFail, "call", "200, and no answer of a model: "+mimeOf(r.header),
			"look at what is in front of the endpoint, such as a sign-in page", "endpoint")
	case r.status == http.StatusUnauthorized:
		return e.unauthorized(says)
	case r.status == http.StatusForbidden:
		return e.forbidden(says)
	case r.status == http.StatusNotFound:
		return e.missing(says, s)
	case r.status == http.StatusTooManyRequests:
		return e.busy(says, r.header)
	case r.status == http.StatusBadRequest:
		return e.bad(says, s)
	case r.status >= 300 && r.status < 400:
		return e.fault(gradeFail, "call", fmt.Sprintf("%d: it sends elsewhere, and Weir follows no redirects", r.status),
			"write the address of the resource itself", "endpoint")
	case r.status >= 500:
		return e.fault(gradeFail, "call", status(r.status, says), "ask again; if it stays, look at the state of the service in its region", "")
	default:
		return e.fault(gradeFail, "call", status(r.status, says), "look at what is in front of the endpoint", "endpoint")
	}
}

// status returns a status with what its body says.
func status(status int, says complaint) string {
	text := strconv.Itoa(status)
	if says.Message != "" {
		text += ": " + quote(says.Message)
	}
	return text
}

// fault returns a finding about a key of the backend; an empty one is that of what
// was asked.
func (e *examination) fault(result grade, check, seen, mend, key string) refusal {
	f := finding{Check: check, Result: result, Seen: seen, Mend: mend}
	if key != "" {
		f.Path = e.key(key)
	}
	if check == "api-version" {
		e.versioned = true
	}
	return refusal{finding: f}
}

// silence is of a request without an answer.
func (e *examination) silence(err error) refusal {
	_, none := errors.AsType[*credentialError](err)
	switch {
	case none:
		return e.fault(gradeFail, "credential", "there is none to send: "+quote(err.Error()),
			"correct auth; for Entra ID let this machine, or the backend's proxy, reach where its tokens come from", "auth")
	case errors.Is(err, context.DeadlineExceeded):
		return e.fault(gradeFail, "call", "no answer within "+e.timeout.String(), "give it longer with --timeout; if it stays, look at the state of the service in its region", "")
	default:
		return e.fault(gradeFail, "call", "the connection broke: "+quote(err.Error()), "ask again; if it stays, look at what is between this machine and the endpoint", "endpoint")
	}
}

// unauthorized is of a credential that is not known, or not enough. The message
// is not quoted: it may hold a part of a key.
func (e *examination) unauthorized(says complaint) refusal {
	switch {
	case says.Code == "PermissionDenied" || says.says("data action", "does not have access"):
		f := e.fault(gradeFail, "credential", "401: the identity is known, and may not do this",
			"give it the role Cognitive Services OpenAI User on the resource; that takes 5 to 10 minutes to apply", "auth")
		f.partial = true
		return f
	case says.says("access token", "audience"):
		return e.fault(gradeFail, "credential", "401: the token of Entra ID is not accepted: it is missing, has expired, or is for another audience",
			"correct tenant and scope (https://cognitiveservices.azure.com/.default in the public cloud), and this machine's clock", "auth")
	case e.compatible():
		return e.fault(gradeFail, "credential", "401: the key is not accepted", "take a key that this server knows", "auth.api_key")
	default:
		return e.fault(gradeFail, "credential", "401: the key is not accepted",
			"take a key of this very resource (Azure portal, Keys and Endpoint), and check that the endpoint is its own", "auth.api_key")
	}
}

// forbidden is of a resource that does not let this credential, or this machine,
// in.
func (e *examination) forbidden(says complaint) refusal {
	switch {
	case says.Code == "AuthenticationTypeDisabled" || says.says("key based authentication is disabled"):
		return e.fault(gradeFail, "credential", "403: the resource takes no keys",
			"use Entra ID, or allow keys on the resource (disableLocalAuth: false)", "auth")
	case says.says("virtual network", "firewall", "public access", "private endpoint"):
		return e.fault(gradeFail, "network", "403: the resource's network rules do not let this machine in",
			"allow its address (Azure portal, Networking), or reach the resource by its private endpoint", "endpoint")
	case says.says("quota"):
		return e.fault(gradeFail, "call", "403: a quota in front of the resource is used up", "wait, or have whoever keeps it raise it", "endpoint")
	default:
		return e.fault(gradeFail, "credential", "403: it is not allowed: "+quote(says.Code),
			"look at the roles of the credential, and at policies in front of the resource", "auth")
	}
}

// compatible reports whether the backend is none of Azure's.
func (e *examination) compatible() bool { return e.at.Kind == upstream.OpenAI }

// missing is of a deployment or a path that is not there.
func (e *examination) missing(says complaint, s *subject) refusal {
	switch {
	case s != nil && e.compatible() && says.says("model"):
		mend := "write the name of a model that it has"
		if len(e.models) > 0 {
			mend += ": " + quote(strings.Join(e.models, ", "))
		}
		return e.absent(s, "404: the server has no model "+s.Name, mend)
	case e.compatible():
		return e.fault(gradeFail, "call", "404: there is no such path", "write the base URL that the server documents, such as https://api.openai.com/v1", "endpoint")
	case s != nil && (strings.EqualFold(says.Code, "DeploymentNotFound") || says.Code == "model_not_found"):
		e.version(s.ID())
		return e.absent(s, "404: the resource has no deployment "+s.Name, "write the name it has in Azure, or deploy it; a new one takes up to 5 minutes to be there")
	default:
		return e.fault(gradeFail, "api-version", "404: there is no such path: the api_version, or the endpoint, is another one",
			"for the endpoint of the resource alone take api_version: v1, or a dated one that Azure still has, such as 2024-10-21", "api_version")
	}
}

// absent is of a deployment that is not there, or none to chat with.
func (e *examination) absent(s *subject, seen, mend string) refusal {
	f := e.fault(gradeFail, "deployment", seen, mend, "")
	if s.path != "" {
		f.Path = s.path + ".deployment"
	}
	return f
}

// busy is of limits that are reached: the rest is well.
func (e *examination) busy(says complaint, h http.Header) refusal {
	if says.Code == "insufficient_quota" {
		return e.fault(gradeFail, "call", "429: the account has no quota or no money left", "look at the account's plan and billing", "")
	}
	wait := ""
	if after := h.Get("Retry-After"); after != "" {
		wait = ", for " + quote(after) + " s"
	}
	f := e.fault(gradeWarn, "limits", "429: its limits are reached now"+wait, "ask again later; if it stays, raise the deployment's limits", "")
	f.partial = true
	return f
}

// bad is of a request that is not taken as it is.
func (e *examination) bad(says complaint, s *subject) refusal {
	_, since, dated := strings.Cut(says.Message, "only for api versions ")
	switch {
	case s != nil && says.says("model output limit was reached"):
		e.version(s.ID())
		f := e.fault(gradeOK, "call", fmt.Sprintf("it answers: it thought longer than %d tokens", reasoningBound), "", "")
		f.alive = true
		return f
	case dated:
		since, _, _ = strings.Cut(since, " ")
		return e.fault(gradeFail, "api-version", "400: the api_version is too old for this: "+quote(says.Message), "api_version: "+quote(since)+" or later, or v1", "api_version")
	case says.says("api version", "api-version"):
		return e.fault(gradeFail, "api-version", "400: "+quote(says.Message), "api_version: v1, or a dated one such as 2024-10-21", "api_version")
	case s != nil && (says.Code == "OperationNotSupported" || says.Code == "operation_not_supported"):
		return e.absent(s, "400: the model of the deployment does not chat", "name a deployment of a chat model")
	case says.Code == "content_filter":
		return e.fault(gradeWarn, "filter", "400: the content filter refuses even \"Say ok.\"", "look at the deployment's content filter and blocklists", "")
	default:
		return e.fault(gradeFail, "call", status(http.StatusBadRequest, says), "look at what the message names", "")
	}
}
