package main_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRouting is contract A: where a request goes, and who may send it.
func TestRouting(t *testing.T) {
	t.Parallel()
	const hello = `{"model":"gpt-4o","messages":[{"role":"user","content":"hello"}]}`
	nameless := strings.Replace(hello, `"model":"gpt-4o",`, "", 1)
	model := func(name string) string { return strings.Replace(hello, "gpt-4o", name, 1) }
	const classic = "/openai/deployments/gpt-4o-east/chat/completions?api-version=2024-10-21"
	tests := []struct {
		name   string
		method string // POST where empty
		path   string
		body   string
		header []string

		status int
		code   string
		param  string
		asked  string // path and query that upstream saw; "" it was not asked
	}{
		{name: "A1 OpenAI path with a bearer key", path: "/v1/chat/completions", body: hello, status: 200, asked: classic},
		{name: "A2 without v1", path: "/chat/completions", body: hello, status: 200, asked: classic},
		{name: "A3 classic path, body without a model", path: "/openai/deployments/gpt-4o/chat/completions?api-version=2023-05-15", body: nameless, header: []string{"api-key", searchKey}, status: 200, asked: classic},
		{name: "A4 the path's deployment wins over the body's model", path: "/openai/deployments/d2/chat/completions?api-version=2024-02-01", body: model("gpt-3.5-turbo"), header: []string{"api-key", searchKey}, status: 200, asked: "/openai/v1/chat/completions"},
		{name: "A5 deployments without openai before it", path: "/deployments/gpt-4o/chat/completions?api-version=2024-10-21", body: hello, status: 200, asked: classic},
		{name: "A7 Azure path without a version", path: "/openai/chat/completions", body: hello, status: 200, asked: classic},
		{name: "A8 v1 path", path: "/openai/v1/chat/completions", body: hello, status: 200, asked: classic},
		{name: "A8 v1 path, api-version v1", path: "/openai/v1/chat/completions?api-version=v1", body: hello, status: 200, asked: classic},
		{name: "A8 v1 path, api-version preview", path: "/openai/v1/chat/completions?api-version=preview", body: hello, status: 200, asked: classic},
		{name: "A9 an escaped deployment is unescaped once", path: "/openai/deployments/a%2Fb%20c/chat/completions", body: hello, status: 404, code: "DeploymentNotFound", param: "model"},
		{name: "A9 a deployment that climbs", path: "/openai/deployments/..%2f..%2fadmin/chat/completions", body: hello, status: 404, code: "DeploymentNotFound", param: "model"},
		{name: "A9 an escaped name that exists", path: "/openai/deployments/gpt%2D4o/chat/completions", body: hello, status: 200, asked: classic},
		{name: "A10 OpenAI's spelling of Azure's name", path: "/v1/chat/completions", body: model("gpt-3.5-turbo"), status: 200, asked: "/openai/deployments/gpt-35-turbo/chat/completions?api-version=2024-10-21"},
		{name: "A10 a prefix that some clients add", path: "/v1/chat/completions", body: model("azure/gpt-4o"), status: 200, asked: classic},
		{name: "A10 an alias", path: "/v1/chat/completions", body: model("chat"), status: 200, asked: classic},
		{name: "A10 a deployment's own name", path: "/v1/chat/completions", body: model("gpt-4o-west"), status: 200, asked: classic},
		{name: "A11 an unknown model", path: "/v1/chat/completions", body: model("gpt4o"), status: 404, code: "model_not_found", param: "model"},
		{name: "A11 an unknown deployment", path: "/openai/deployments/nope/chat/completions?api-version=2024-10-21", body: hello, status: 404, code: "DeploymentNotFound", param: "model"},
		{name: "A11 no model at all", path: "/v1/chat/completions", body: nameless, status: 400, code: "missing_required_parameter", param: "model"},
		{name: "A11 a model of another team", path: "/v1/chat/completions", body: hello, header: []string{"api-key", otherKey}, status: 403, code: "model_not_allowed", param: "model"},
		{name: "A12 both headers, one team", path: "/v1/chat/completions", body: hello, header: []string{"api-key", searchKey, "Authorization", "Bearer " + searchKey}, status: 200, asked: classic},
		{name: "A12 both headers, two teams", path: "/v1/chat/completions", body: hello, header: []string{"api-key", searchKey, "Authorization", "Bearer " + otherKey}, status: 401, code: "invalid_api_key"},
		{name: "A13 no credential", path: "/v1/chat/completions", body: hello, header: []string{"Authorization", ""}, status: 401, code: "invalid_api_key"},
		{name: "A13 an empty bearer", path: "/v1/chat/completions", body: hello, header: []string{"Authorization", "Bearer "}, status: 401, code: "invalid_api_key"},
		{name: "A13 a wrong key", path: "/v1/chat/completions", body: hello, header: []string{"api-key", "sk-wrong"}, status: 401, code: "invalid_api_key"},
		{name: "A13 the scheme in any case", path: "/v1/chat/completions", body: hello, header: []string{"Authorization", "bEaReR  " + searchKey + " "}, status: 200, asked: classic},
		{name: "A16 an unknown path", method: "GET", path: "/nope", status: 404, code: "unknown_url"},
		{name: "A16 a known path, another method", method: "PATCH", path: "/v1/chat/completions", status: 405, code: "method_not_allowed"},
		{name: "A16 a double slash", path: "/v1//chat/completions", body: hello, status: 200, asked: classic},
		{name: "A16 a slash at the end", path: "/v1/chat/completions/", body: hello, status: 200, asked: classic},
		{name: "A16 upper case", path: "/V1/chat/completions", body: hello, status: 404, code: "unknown_url"},
		{name: "A16 an endpoint that is not served", path: "/v1/threads", body: hello, status: 404, code: "unknown_url"},
		{name: "a deployment under OpenAI's base URL", path: "/v1/deployments/gpt-4o/chat/completions?api-version=2024-10-21", body: hello, header: []string{"api-key", searchKey}, status: 200, asked: classic},
		{name: "Foundry's path", path: "/models/chat/completions?api-version=2024-05-01-preview", body: hello, status: 200, asked: classic},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				method := tt.method
				if method == "" {
					method = http.MethodPost
				}
				got := w.do(w.t.Context(), method, tt.path, tt.body, tt.header...)
				code, param, kind := got.code()
				if got.status != tt.status || code != tt.code || param != tt.param {
					t.Errorf("answered %d %q %q: %s", got.status, code, param, got.body)
				}
				if tt.status >= 400 {
					if diff := cmp.Diff([]string{"code", "message", "param", "type"}, errorKeys(t, got)); diff != "" {
						t.Errorf("error (-want +got):\n%s", diff)
					}
					if kind == "" || got.header.Get("Content-Type") != "application/json" {
						t.Errorf("type %q, Content-Type %q", kind, got.header.Get("Content-Type"))
					}
				}
				if got.status == http.StatusUnauthorized && got.header.Get("WWW-Authenticate") != "Bearer" {
					t.Error("a 401 without WWW-Authenticate")
				}
				asked := ""
				for _, r := range w.asked() {
					asked = r.Path
					if r.RawQuery != "" {
						asked += "?" + r.RawQuery
					}
					if strings.Contains(r.Path, "..") || r.Header.Get("Authorization") != "" {
						t.Errorf("upstream saw %s, Authorization %q", r.Path, r.Header.Get("Authorization"))
					}
				}
				if asked != tt.asked {
					t.Errorf("upstream was asked %q, want %q", asked, tt.asked)
				}
				if strings.Contains(w.log.String(), searchKey) || strings.Contains(w.log.String(), eastKey) {
					t.Error("a key is in the log")
				}
			})
		})
	}
}

func errorKeys(t *testing.T, r reply) []string {
	t.Helper()
	inner, ok := strings.CutPrefix(r.body, `{"error":`)
	if !ok {
		t.Fatalf("not an error envelope: %s", r.body)
	}
	return keysOf(t, strings.TrimSuffix(inner, "}"))
}

// TestCredentials is contract A1: the caller's key stays here, and only the
// deployment's own goes on.
func TestCredentials(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		got := w.chat(say("hello"), "OpenAI-Organization", "org-1", "X-Api-Key", searchKey, "Api_Key", searchKey, "Cookie", "k="+searchKey,
			"X-Ms-Client-Request-Id", "c-1", "Connection", "api-key, x-team", "X-Stainless-Lang", "python", "Idempotency-Key", "again")
		if got.status != http.StatusOK {
			t.Fatalf("%d %s", got.status, got.body)
		}
		r := w.asked()[0]
		want := http.Header{
			"Accept": {"application/json"}, "Accept-Encoding": {"identity"}, "Api-Key": {eastKey},
			"Content-Length": r.Header["Content-Length"], "Content-Type": {"application/json"},
			"User-Agent": {"Go-http-client/1.1"}, "X-Ms-Client-Request-Id": {"c-1"},
		}
		if diff := cmp.Diff(want, r.Header); diff != "" {
			t.Errorf("upstream's header (-want +got):\n%s", diff)
		}
		if got.header.Get("X-Ms-Client-Request-Id") != "c-1" {
			t.Error("the client's request id did not come back")
		}
	})
}

// TestListings is contract A14 and 1.6: what each listing looks like, and that it
// has what the team may use and nothing else.
func TestListings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, path, key string
		status          int
		ids             []string
		item            []string // the names of one item
	}{
		{"OpenAI", "/v1/models", otherKey, 200, []string{"gpt-35-turbo"}, []string{"created", "id", "object", "owned_by"}},
		{"Azure v1", "/openai/v1/models", otherKey, 200, []string{"gpt-35-turbo"}, []string{"created", "id", "object", "owned_by"}},
		{
			"Azure classic", "/openai/models?api-version=2024-10-21", otherKey, 200,
			[]string{"gpt-35-turbo"},
			[]string{"capabilities", "created_at", "deprecation", "id", "lifecycle_status", "object", "status", "updated_at"},
		},
		{
			"Azure deployments", "/openai/deployments?api-version=2022-12-01", otherKey, 200,
			[]string{"gpt-35-turbo"},
			[]string{"created_at", "id", "model", "object", "owner", "scale_settings", "status", "updated_at"},
		},
		{"all of them", "/v1/models", searchKey, 200, []string{"d2", "gpt-35-turbo", "gpt-4o", "gpt-5", "mystery"}, []string{"created", "id", "object", "owned_by"}},
		{"one", "/v1/models/gpt-4o", searchKey, 200, nil, []string{"created", "id", "object", "owned_by"}},
		{"one that is another team's", "/v1/models/gpt-4o", otherKey, 404, nil, nil},
		{"one that is not there", "/v1/models/nope", searchKey, 404, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				got := w.do(w.t.Context(), http.MethodGet, tt.path, "", "api-key", tt.key)
				if got.status != tt.status {
					t.Fatalf("%d %s", got.status, got.body)
				}
				if code, _, _ := got.code(); tt.status == 404 && code != "model_not_found" {
					t.Errorf("code %q", code)
				}
				if tt.status != 200 {
					return
				}
				ids, items := listing(t, got.body)
				if diff := cmp.Diff(tt.ids, ids); tt.ids != nil && diff != "" {
					t.Errorf("ids (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tt.item, keysOf(t, items[0])); diff != "" {
					t.Errorf("item (-want +got):\n%s", diff)
				}
				if len(w.asked()) > 0 {
					t.Error("upstream was asked")
				}
			})
		})
	}
}
