package command

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// compatible is a server as those that are compatible with OpenAI are: a list of
// models, answers without a filter's annotations and without limits, errors with
// numbers as codes. It refuses as it is told.
type compatible struct {
	key     string // "" none is needed
	list    string // in place of the list of models
	refuse  string // in place of an answer, with a 404
	asked   []string
	bearers []string
}

func (c *compatible) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.asked = append(c.asked, r.Method+" "+r.URL.RequestURI())
	c.bearers = append(c.bearers, r.Header.Get("Authorization")+r.Header.Get("Api-Key"))
	w.Header().Set("Content-Type", "application/json")
	switch {
	case c.key != "" && r.Header.Get("Authorization") != "Bearer "+c.key:
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"Unauthorized"}`)
	case r.URL.Path == "/v1/models" && c.list == "404":
		w.WriteHeader(http.StatusNotFound)
	case r.URL.Path == "/v1/models" && c.list != "":
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, c.list)
	case r.URL.Path == "/v1/models":
		_, _ = io.WriteString(w, `{"object":"list","data":[{"id":"smollm2","object":"model"},{"id":"llama-3.1-8b","object":"model"}]}`)
	case r.URL.Path != "/v1/chat/completions":
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"detail":"Not Found"}`)
	case c.refuse != "":
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, c.refuse)
	case strings.Contains(string(body), `"stream":true`):
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, `data: {"id":"c","object":"chat.completion.chunk","model":"smollm2","choices":[{"index":0,"delta":{"content":"ok"},"finish_reason":"length"}]}`+"\n\n"+
			`data: {"id":"c","object":"chat.completion.chunk","model":"smollm2","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":1,"total_tokens":13}}`+"\n\ndata: [DONE]\n\n")
	default:
		_, _ = io.WriteString(w, `{"id":"c","object":"chat.completion","model":"smollm2","choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"length"}],"usage":{"prompt_tokens":12,"completion_tokens":1,"total_tokens":13}}`)
	}
}

// lent is the configuration of a server of kind openai, which is on line 3, with
// what more is said of it; its deployment is on line 5.
func lent(endpoint, more string) string {
	return `version: 1
backends:
  own: { kind: openai, endpoint: "` + endpoint + `"` + more + ` }
models:
  small: { deployments: [{ backend: own, deployment: smollm2 }] }
`
}

// TestDoctorOfCompatible looks at a server that is not Azure's: where its models
// are listed, with a key as a bearer or with none, and without an api-version.
func TestDoctorOfCompatible(t *testing.T) {
	quiet(t)
	const key = `, auth: { api_key: "${file:/dev/null}` + doctorKey + `" }`
	for _, tt := range []struct {
		name, path, more, key, credential string
	}{
		{"no key", "", "", "", "none is configured, and none is asked for"},
		{"a key", "", key, doctorKey, "accepted"},
		{"a whole base", "/v1", key, doctorKey, "accepted"},
		{"a base with a slash", "/v1/", key, doctorKey, "accepted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &compatible{key: tt.key}
			server := httptest.NewServer(c)
			defer server.Close()
			got := examineFile(t, lent(server.URL+tt.path, tt.more))
			want := []string{
				"proxy environment ok", "dns own ok", "tcp own ok", "tls own ok", "clock own ok", "credential own ok",
				"call own/smollm2 ok", "model own/smollm2 ok", "limits own/smollm2 ok", "stream own/smollm2 ok", "filter own/smollm2 ok",
			}
			if diff := cmp.Diff(want, got.rows()); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if f := got.Checks[5]; f.Seen != tt.credential {
				t.Errorf("credential: %+v, want %q", f, tt.credential)
			}
			if diff := cmp.Diff([]string{"GET /v1/models", "POST /v1/chat/completions", "POST /v1/chat/completions"}, c.asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			if b := slices.Compact(c.bearers); len(b) != 1 || strings.TrimPrefix(b[0], "Bearer ") != tt.key {
				t.Errorf("it was sent the credentials %q", b)
			}
			if got.PromptTokens != 24 || got.CompletionTokens != 2 {
				t.Errorf("cost: %d + %d tokens", got.PromptTokens, got.CompletionTokens)
			}
		})
	}
}

// TestDoctorOfCompatibleFaults holds what is said of such a server's faults: not
// what would mend Azure's.
func TestDoctorOfCompatibleFaults(t *testing.T) {
	quiet(t)
	const key = `, auth: { api_key: "${file:/dev/null}canary-other" }`
	const vllm = `{"error":{"message":"The model smollm2 does not exist.","type":"NotFoundError","param":"model","code":404}}`
	for _, tt := range []struct {
		name, path, more string
		server           compatible
		want             string // of the first that is not ok
		seen, mend       string
		line             int
	}{
		{"another key", "", key, compatible{key: doctorKey}, "credential own", "401: the key is not accepted", "a key that this server knows", 3},
		{"no key", "", "", compatible{key: doctorKey}, "credential own", "401: the key is not accepted", "a key that this server knows", 3},
		{"another path", "/api", "", compatible{}, "call own/smollm2", "404: there is no such path", "the base URL", 3},
		{"no such model", "", "", compatible{refuse: vllm}, "deployment own/smollm2", "the server has no model smollm2", "that it has: smollm2, llama-3.1-8b", 5},
		{"no such model and no list", "", "", compatible{list: "404", refuse: vllm}, "deployment own/smollm2", "the server has no model smollm2", "write the name of a model that it has", 5},
		{"a page", "", "", compatible{list: "<html>", refuse: "<html>"}, "call own/smollm2", "404: there is no such path", "the base URL", 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(&tt.server)
			defer server.Close()
			got := examineFile(t, lent(server.URL+tt.path, tt.more))
			f := got.Checks[slices.IndexFunc(got.Checks, func(f finding) bool { return f.Result != gradeOK })]
			if f.Check+" "+f.Target != tt.want || !strings.Contains(f.Seen, tt.seen) || !strings.Contains(f.Mend, tt.mend) || f.Line != tt.line {
				t.Errorf("%+v, want %s: %q, %q on line %d", f, tt.want, tt.seen, tt.mend, tt.line)
			}
		})
	}
}
