package main_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	router "github.com/labstack/echo/v4"

	"weir/proxy"
)

// thirdKey is that of the team third, which has limits of its own.
const thirdKey = westKey

// wayside adds the team third, with room for a few requests that time does not give
// back, and a path that is handed on.
func wayside() []string {
	return []string{
		"  other:\n", "  third:\n    batches: true\n    limits: { rpm: 1, burst_requests: 5 }\n    keys: [{ id: third-1, value: \"${WEST_KEY}\" }]\n  other:\n",
		`owner: "#search"`, "batches: true\n    owner: \"#search\"",
		"teams:\n", "passthrough: [{ path: vector_stores, backend: east }]\nteams:\n",
	}
}

// things are the ids of what a team has kept upstream, by what routes call them.
type things map[string]string

// keeps makes one of each thing with a team's key.
func (w *world) keeps(key string) things {
	w.t.Helper()
	auth := []string{"Authorization", "Bearer " + key}
	file := w.uploads("batch", "in.jsonl", job("one", chatJob, say("hello")), auth...).filed(w.t).ID
	return things{
		"files": file, "batches": w.begins(batchOf(file), auth...).filed(w.t).ID,
		"chat/completions": w.chat(say("hello", `"store":true`), auth...).filed(w.t).ID,
		"responses":        w.respond(`{"model":"gpt-4o","input":"hello"}`, auth...).filed(w.t).ID,
	}
}

// route is a route as a client uses it, with a body that it takes.
type route struct {
	method, path, body string
	headers            []string
}

// routes are all that is served and may be handed on.
func routes(t *testing.T, of things) []route {
	t.Helper()
	e := router.New()
	proxy.New(proxy.Config{Passages: []proxy.Passage{{Path: "vector_stores"}}}).Routes(e)
	form, kind := written(t, field{name: "model", value: "gpt-4o"}, field{name: "purpose", value: "vision"}, field{name: "prompt", value: "a cat"},
		field{name: "file", filename: "a.wav", value: sound(1)}, field{name: "image", filename: "a.png", value: "png"})
	var all []route
	for _, r := range e.Routes() {
		path := strings.NewReplacer(":deployment", "gpt-4o", ":model", "gpt-4o", "/*", "/vs_1/files").Replace(r.Path)
		for kept, id := range of {
			if strings.Contains(path, kept+"/:id") {
				path = strings.Replace(path, ":id", id, 1)
			}
		}
		next := route{r.Method, path, `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"input":"hi","prompt":"hi","voice":"alloy","metadata":{},` +
			`"input_file_id":"` + of["files"] + `","endpoint":"/v1/chat/completions","completion_window":"24h"}`, nil}
		switch {
		case strings.HasSuffix(path, "/realtime"):
			next.path += "?model=gpt-4o"
			next.headers = []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}
		case strings.HasSuffix(path, "/edits"), strings.HasSuffix(path, "/transcriptions"), strings.HasSuffix(path, "/translations"), strings.HasSuffix(path, "/files") && !strings.Contains(path, "vs_1"):
			next.body, next.headers = form, []string{"Content-Type", kind}
		}
		if r.Method == http.MethodGet || r.Method == http.MethodDelete {
			next.body = ""
		}
		all = append(all, next)
	}
	return all
}

// sent sends a request for a route.
func (r route) sent(w *world, headers ...string) reply {
	w.t.Helper()
	return w.do(w.t.Context(), r.method, r.path, r.body, append(slices.Clone(r.headers), headers...)...)
}

// TestEveryRouteIsGuarded holds that none of the routes there are escapes keys, the
// models of a team, or the limits on requests: bifrost#2873.
func TestEveryRouteIsGuarded(t *testing.T) {
	t.Parallel()
	forms := [][]string{{"Authorization", "Bearer "}, {"api-key", ""}, {"Ocp-Apim-Subscription-Key", ""}}
	bubble(t, plain, func(w *world) {
		all := routes(t, w.keeps(searchKey))
		before := len(w.asked())
		for _, r := range all {
			if got := r.sent(w, "Authorization", ""); got.status != http.StatusUnauthorized {
				t.Errorf("%s %s without a key: %d %s", r.method, r.path, got.status, got.body)
			}
			for _, form := range forms { // whoever guesses on is told to wait
				if got := r.sent(w, "Authorization", "", form[0], form[1]+"sk-nobody"); got.status != http.StatusUnauthorized && got.status != http.StatusTooManyRequests {
					t.Errorf("%s %s with a wrong %s: %d %s", r.method, r.path, form[0], got.status, got.body)
				}
			}
		}
		if n := len(w.asked()) - before; n != 0 {
			t.Errorf("resources were asked %d times", n)
		}
		for _, r := range all {
			for _, form := range forms {
				if got := r.sent(w, "Authorization", "", form[0], form[1]+otherKey); got.status == http.StatusUnauthorized {
					t.Errorf("%s %s with a good %s: %d %s", r.method, r.path, form[0], got.status, got.body)
				}
			}
		}
	}, wayside()...)
	bubble(t, plain, func(w *world) {
		for _, r := range routes(t, w.keeps(searchKey)) { // the team other may not use gpt-4o
			before := len(w.asked())
			got := r.sent(w, asOther()...)
			asked := len(w.asked()) > before
			own := strings.Contains(r.path, "vector_stores") || strings.HasSuffix(r.path, "/files") || r.method == http.MethodGet && !strings.Contains(r.path, "/realtime")
			if asked && !own {
				t.Errorf("%s %s with another team's key: %d %s, and a resource was asked", r.method, r.path, got.status, got.body)
			}
		}
	}, wayside()...)
	bubble(t, plain, func(w *world) {
		w.keeps(searchKey)
		of := w.keeps(thirdKey)
		key := []string{"Authorization", "Bearer " + thirdKey}
		if got := w.chat(say("the last one"), key...); got.status != http.StatusOK {
			t.Fatal(got.status, got.body)
		}
		served, free, before := 0, 0, len(w.asked())
		for _, r := range routes(t, of) {
			got := r.sent(w, key...)
			switch {
			case got.status == http.StatusTooManyRequests:
				served++
			case strings.Contains(r.path, "models") || strings.HasSuffix(r.path, "/deployments"):
				free++ // the gateway answers these from its configuration
			default:
				t.Errorf("%s %s beyond the limit: %d %s", r.method, r.path, got.status, got.body)
			}
		}
		if n := len(w.asked()) - before; n != 0 {
			t.Errorf("beyond the limit resources were asked %d times", n)
		}
		t.Logf("%d routes are limited, and %d ask nobody", served, free)
	}, wayside()...)
}
