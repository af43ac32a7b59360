package command

import (
	"context"
	"net/http"
	"strings"

	"weir/openai"
)

// listing asks for the backend's models: it costs nothing, and tells whether the
// credential and the version are taken. It reports whether to go on.
func (e *examination) listing(ctx context.Context) bool {
	r, accepted := e.present(ctx)
	answered := r.err == nil && r.status == http.StatusOK
	if answered && e.list(r.body) {
		e.add(accepted)
		e.version(e.name)
		return true
	}
	if (answered || r.status == http.StatusNotFound) && len(e.subjects) > 0 {
		return true // a listing may be missing where answers are not
	}
	f := e.refusal(r, nil)
	if len(e.subjects) > 0 && f.partial {
		f.Result = gradeWarn
	}
	e.add(f.finding)
	return f.Result == gradeWarn
}

// present asks with the credential, or where it is refused with the other one, and
// returns what to say where it is accepted.
func (e *examination) present(ctx context.Context) (reply, finding) {
	target := modelsURL(e.at.URL(openai.Chat))
	r := e.send(ctx, http.MethodGet, target, nil)
	if r.header != nil {
		e.clock(r.header, r.at)
	}
	accepted := finding{Check: "credential", Target: e.name, Result: gradeOK, Seen: "accepted"}
	if len(r.sent) == 0 {
		accepted.Seen = "none is configured, and none is asked for"
	}
	if r.status == http.StatusUnauthorized && e.renew(r) {
		accepted.Result, accepted.Seen = gradeWarn, "one was refused, and another accepted"
		accepted.Mend, accepted.Path = "replace the one that the resource no longer has", e.key("auth")
		r = e.send(ctx, http.MethodGet, target, nil)
	}
	return r, accepted
}

// list keeps which models are listed, and reports whether it is a list.
func (e *examination) list(body []byte) bool {
	root, err := openai.ReadValue(body)
	if err != nil || root.Get("data").Kind() != openai.Array {
		return false
	}
	for _, m := range root.Get("data").Elements() {
		e.models = append(e.models, m.Get("id").Text())
	}
	return true
}

// modelsURL returns where models are listed, from where answers are asked for.
func modelsURL(chat string) string {
	path, query, _ := strings.Cut(chat, "?")
	base, _, classic := strings.Cut(path, "/deployments/")
	if !classic {
		base = strings.TrimSuffix(path, "/chat/completions")
	}
	if query != "" {
		query = "?" + query
	}
	return base + "/models" + query
}

// renew takes the backend's other credential, as the gateway does where one was
// refused, and reports whether there is one. Another would be no more allowed
// than this one is.
func (e *examination) renew(r reply) bool {
	c, ok := e.at.Credential.(interface {
		Renew(refused http.Header) bool
	})
	return ok && readComplaint(r.body).Code != "PermissionDenied" && c.Renew(r.sent)
}

// version notes once that the api-version is taken, where there is one.
func (e *examination) version(target string) {
	if e.versioned || e.compatible() {
		return
	}
	e.versioned = true
	seen := "v1 is taken"
	if v := e.at.APIVersion; v != "" && v != "v1" {
		seen = v + " is taken"
	}
	e.add(finding{Check: "api-version", Target: target, Result: gradeOK, Seen: seen})
}
