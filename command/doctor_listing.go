package command

import (
	"context"
	"net/http"
	"strings"
)

// listing asks for the backend's models: it costs nothing, and tells whether the
// credential and the version are taken. It reports whether to go on.
func (e *examination) listing(ctx context.Context) bool {
	target := modelsURL(e.at.URL())
	r := e.send(ctx, http.MethodGet, target, nil)
	if r.header != nil {
		e.clock(r.header, r.at)
	}
	accepted := finding{Check: "credential", Target: e.name, Result: gradeOK, Seen: "accepted"}
	if r.status == http.StatusUnauthorized && e.renew(r) {
		accepted.Result, accepted.Seen = gradeWarn, "one was refused, and another accepted"
		accepted.Mend, accepted.Path = "replace the one that the resource no longer has", "backends."+e.name+".auth"
		r = e.send(ctx, http.MethodGet, target, nil)
	}
	switch {
	case r.err == nil && r.status == http.StatusOK:
		e.add(accepted)
		e.version(e.name)
		return true
	case r.status == http.StatusNotFound && len(e.subjects) > 0:
		return true // a listing may be missing where answers are not
	default:
		f := e.refusal(r, nil)
		f.Target = e.name
		if len(e.subjects) > 0 && f.partial {
			f.Result = gradeWarn
		}
		e.add(f.finding)
		return f.Result == gradeWarn
	}
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

// version notes once that the api-version is taken.
func (e *examination) version(target string) {
	if e.versioned {
		return
	}
	e.versioned = true
	seen := "v1 is taken"
	if v := e.at.APIVersion; v != "" && v != "v1" {
		seen = v + " is taken"
	}
	e.add(finding{Check: "api-version", Target: target, Result: gradeOK, Seen: seen})
}
