package command

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
)

// The credential of the resources of these tests, which must not be shown.
const doctorKey = "canary-key-of-the-resource"

// quiet lets a test run without the variables that name proxies.
func quiet(t *testing.T) {
	t.Helper()
	alone(t)
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"} {
		t.Setenv(name, "")
	}
}

// patient is a configuration with one deployment at an endpoint, its backend on
// line 3 and its model on line 5. The words stand for what is written there in
// place of the usual.
func patient(endpoint string, words ...string) string {
	return strings.NewReplacer(words...).Replace(`version: 1
backends:
  azure: { endpoint: "` + endpoint + `", api_version: 2024-10-21, auth: { api_key: "${file:/dev/null}` + doctorKey + `" } }
models:
  gpt-4o: { deployments: [{ backend: azure, deployment: main }] }
teams: { a: { keys: [{ id: one, value: canary-key-of-a-team }] } }
`)
}

// examined is what the doctor says as JSON.
type examined struct {
	diagnosis
	code int
	err  string // standard error
}

func examineFile(t *testing.T, text string, args ...string) examined {
	t.Helper()
	path := write(t, "weir.yaml", text)
	return examined{}.of(t, weir(t, "", append([]string{"doctor", "-o", "json", "-c", path}, args...)...))
}

func (examined) of(t *testing.T, r result) examined {
	t.Helper()
	e := examined{code: r.code, err: r.err}
	if err := json.Unmarshal([]byte(r.out), &e.diagnosis); err != nil {
		t.Fatalf("no JSON: %v\n%s\n%s", err, r.out, r.err)
	}
	if strings.Contains(r.out+r.err, "canary") {
		t.Errorf("a secret is shown:\n%s\n%s", r.out, r.err)
	}
	for _, f := range e.Checks {
		if whole := f.Mend != "" && f.Path != "" && f.File != ""; whole != (f.Result != gradeOK) {
			t.Errorf("what is not ok has a mend and a place, and nothing else: %+v", f)
		}
	}
	if want := exitOK; e.OK != (r.code == want) {
		t.Errorf("ok is %t, and the exit code %d", e.OK, r.code)
	}
	return e
}

// rows returns check, target and result of each finding.
func (e examined) rows() []string {
	rows := make([]string, len(e.Checks))
	for i, f := range e.Checks {
		rows[i] = f.Check + " " + f.Target + " " + string(f.Result)
	}
	return rows
}

// worst returns the only finding that is not ok.
func (e examined) worst(t *testing.T) finding {
	t.Helper()
	bad := slices.DeleteFunc(slices.Clone(e.Checks), func(f finding) bool { return f.Result == gradeOK })
	if len(bad) != 1 {
		t.Fatalf("%d findings are not ok, want 1: %+v", len(bad), bad)
	}
	return bad[0]
}

// TestDoctorOfTheHealthy holds every check of what is well, and what was asked for
// it.
func TestDoctorOfTheHealthy(t *testing.T) {
	quiet(t)
	sim := azuresim.New(azuresim.Config{Key: doctorKey, Deployments: map[string]azuresim.Deployment{
		"main": {Model: "gpt-4o-2024-11-20", TPM: 30_000, RPM: 600},
	}})
	azure := httptest.NewServer(sim)
	defer azure.Close()
	got := examineFile(t, patient(azure.URL))
	want := []string{
		"proxy environment ok", "dns azure ok", "tcp azure ok", "tls azure ok", "clock azure ok", "credential azure ok", "api-version azure ok",
		"call azure/main ok", "model azure/main ok", "region azure/main ok", "limits azure/main ok", "stream azure/main ok", "filter azure/main ok",
	}
	if diff := cmp.Diff(want, got.rows()); diff != "" || got.code != exitOK {
		t.Errorf("code %d (-want +got):\n%s", got.code, diff)
	}
	seen := map[string]string{}
	for _, f := range got.Checks {
		seen[f.Check] = f.Seen
	}
	for check, part := range map[string]string{
		"api-version": "2024-10-21", "model": "gpt-4o-2024-11-20", "region": "East US 2", "limits": "of 30000 tokens", "filter": "synchronous: ",
		"stream": "stream_options is taken", "call": "it answers, for ",
	} {
		if !strings.HasPrefix(seen[check], part) && !strings.Contains(seen[check], " "+part) {
			t.Errorf("%s: %q does not say %q", check, seen[check], part)
		}
	}
	var asked []string
	for _, r := range sim.Requests() {
		asked = append(asked, r.Method+" "+r.Path)
		if r.Method == http.MethodPost && !strings.Contains(string(r.Body), `"max_tokens":1,`) {
			t.Errorf("it was asked for more than one token: %s", r.Body)
		}
	}
	const chat = "POST /openai/deployments/main/chat/completions"
	if diff := cmp.Diff([]string{"GET /openai/models", chat, chat}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	cost := sim.Requests()[1].PromptTokens + sim.Requests()[2].PromptTokens
	if got.Calls != 2 || got.PromptTokens != int64(cost) || got.CompletionTokens != 2 {
		t.Errorf("%d answers for %d + %d tokens, want 2 for %d + 2", got.Calls, got.PromptTokens, got.CompletionTokens, cost)
	}
	if !strings.Contains(got.err, "1 backend for models, which is free, and 1 deployment for at most 2 answers each") {
		t.Errorf("it did not say what it would ask: %q", got.err)
	}
}

// TestDoctorOfRefusals holds what each way to be refused is called, how it is
// mended, and where.
func TestDoctorOfRefusals(t *testing.T) {
	quiet(t)
	tests := []struct {
		name  string
		fault string // at the first request for an answer
		want  string // check and result
		seen  string
		mend  string
		line  int
	}{
		{"bad key", "bad-key", "credential fail", "401: the key is not accepted", "Keys and Endpoint", 3},
		{"bad key of OpenAI", "openai-bad-key", "credential fail", "401: the key is not accepted", "Keys and Endpoint", 3},
		{"bad token", "bad-token", "credential fail", "token of Entra ID", "scope", 3},
		{"no role", "no-role", "credential fail", "may not do this", "Cognitive Services OpenAI User", 3},
		{"no access", "no-access", "credential fail", "may not do this", "5 to 10 minutes", 3},
		{"keys disabled", "key-disabled", "credential fail", "403: the resource takes no keys", "Entra ID", 3},
		{"network rule", "network-rule", "network fail", "403: the resource's network rules", "Networking", 3},
		{"quota of API Management", "apim-quota", "call fail", "quota in front", "raise it", 3},
		{"no deployment", "deployment-missing", "deployment fail", "no deployment main", "up to 5 minutes", 5},
		{"no model", "model-missing", "deployment fail", "no deployment main", "write the name it has", 5},
		{"no path", "not-found", "api-version fail", "no such path", "api_version: v1", 3},
		{"a string as error", "string-error", "api-version fail", "no such path", "api_version: v1", 3},
		{"too old", "version-model", "api-version fail", "Model {modelName}", "api_version: 2024-12-01-preview or later, or v1", 3},
		{"not of the model", "wrong-operation", "deployment fail", "does not chat", "chat model", 5},
		{"filter", "content-filter", "filter warn", "content filter refuses", "blocklists", 5},
		{"full", "rate-limit 7", "limits warn", "limits are reached now, for 7 s", "raise the deployment's limits", 5},
		{"unpaid", "insufficient-quota", "call fail", "no money", "billing", 5},
		{"server error", "server-error", "call fail", "500: The server had an error", "region", 5},
		{"bad gateway", "bad-gateway", "call fail", "502", "region", 5},
		{"redirect", "redirect", "call fail", "307: it sends elsewhere", "the resource itself", 3},
		{"sign-in page", "html-for-stream", "call fail", "no answer of a model: text/html", "sign-in page", 3},
		{"broken off", "close-after-read", "call fail", "the connection broke", "between", 3},
		{"other 400", "empty-array", "call fail", "400: ", "message names", 5},
		{"too large", "too-large", "call fail", "413: Request body too large.", "in front", 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sim := azuresim.New(azuresim.Config{Key: doctorKey})
			sim.Script(azuresim.Step{Fault: tt.fault})
			azure := httptest.NewServer(sim)
			defer azure.Close()
			got := examineFile(t, patient(azure.URL))
			f := got.worst(t)
			if have := f.Check + " " + string(f.Result); have != tt.want || f.Target != "azure/main" {
				t.Errorf("%s of %s, want %s", have, f.Target, tt.want)
			}
			if !strings.Contains(f.Seen, tt.seen) || !strings.Contains(f.Mend, tt.mend) || f.Line != tt.line {
				t.Errorf("%q, mended by %q on line %d; want %q, %q, %d", f.Seen, f.Mend, f.Line, tt.seen, tt.mend, tt.line)
			}
			if n := len(sim.Requests()); n != 2 {
				t.Errorf("%d requests, want 2: nobody is asked twice", n)
			}
		})
	}
}

// TestDoctorOfBackends holds what is found before a deployment is asked: nothing
// behind it is.
func TestDoctorOfBackends(t *testing.T) {
	quiet(t)
	tests := []struct {
		name   string
		status int
		body   string
		want   []string // from the credential on
		seen   string
		line   int
	}{
		{"key", 401, `{"error":{"code":"401","message":"Access denied due to invalid subscription key ` + doctorKey + `."}}`, []string{"credential azure fail", "call azure/main fail"}, "the key is not accepted", 3},
		{"network", 403, `{"error":{"code":"403","message":"Public access is disabled. Please configure private endpoint."}}`, []string{"network azure fail", "call azure/main fail"}, "network rules", 3},
		{"version", 400, `{"error":{"code":"BadRequest","message":"API version not supported"}}`, []string{"api-version azure fail", "call azure/main fail"}, "API version not supported", 3},
		{"page", 502, "<html>", []string{"call azure fail", "call azure/main fail"}, "502", 3},
		{"secret", 418, `{"error":{"message":"no ` + doctorKey + ` \u001b[2J here"}}`, []string{"call azure fail", "call azure/main fail"}, "418: no [secret] [2J here", 3},
		{
			"listing not allowed", 401, `{"error":{"code":"PermissionDenied","message":"Principal does not have access to API/Operation."}}`,
			[]string{"credential azure warn", "api-version azure/main ok", "call azure/main ok", "model azure/main ok", "region azure/main ok", "limits azure/main ok", "stream azure/main ok", "filter azure/main ok"},
			"may not do this", 3,
		},
		{
			"no listing", 404, "",
			[]string{"api-version azure/main ok", "call azure/main ok", "model azure/main ok", "region azure/main ok", "limits azure/main ok", "stream azure/main ok", "filter azure/main ok"},
			"", 0,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sim := azuresim.New(azuresim.Config{Key: doctorKey, Deployments: map[string]azuresim.Deployment{"main": {Model: "gpt-4o"}}})
			azure := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					sim.ServeHTTP(w, r)
					return
				}
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
			}))
			defer azure.Close()
			got := examineFile(t, patient(azure.URL))
			if diff := cmp.Diff(tt.want, got.rows()[5:]); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			f := got.Checks[5]
			if !strings.Contains(f.Seen, tt.seen) || f.Line != tt.line {
				t.Errorf("%q on line %d, want %q on %d", f.Seen, f.Line, tt.seen, tt.line)
			}
		})
	}
}

// TestDoctorOfModels holds what is learned of a deployment that answers.
func TestDoctorOfModels(t *testing.T) {
	quiet(t)
	const path = "models.gpt-4o.base_model"
	tests := []struct {
		name  string
		words []string // in place of others in the configuration
		azure azuresim.Deployment
		want  finding // what is not ok of it, or else the model's
		calls int
		ok    bool
	}{
		{"another model", nil, azuresim.Deployment{Model: "gpt-4.1-2025-04-14"}, finding{Check: "model", Result: gradeWarn, Mend: "base_model: gpt-4.1", Path: path, Line: 5}, 2, true},
		{"said to be it", []string{"{ deployments", "{ base_model: gpt-4.1, deployments"}, azuresim.Deployment{Model: "gpt-4.1-2025-04-14"}, finding{Check: "model", Result: gradeOK}, 2, true},
		{"unknown", nil, azuresim.Deployment{Model: "llama"}, finding{Check: "model", Result: gradeOK}, 2, true},
		{"a router", []string{"{ deployments", "{ base_model: model-router, deployments"}, azuresim.Deployment{Model: "gpt-4.1-mini"}, finding{Check: "model", Result: gradeOK}, 2, true},
		{"reasons", []string{"gpt-4o:", "gpt-5:"}, azuresim.Deployment{Model: "gpt-5-2025-08-07", Reasoning: true}, finding{Check: "model", Result: gradeOK}, 2, true},
		{"old stream", nil, azuresim.Deployment{Model: "gpt-4o", NoStreamOptions: true}, finding{Check: "stream", Result: gradeWarn, Mend: "api_version: v1, or 2024-09-01-preview or later", Path: "backends.azure.api_version", Line: 3}, 2, true},
		{"another limit", []string{"deployment: main", "deployment: main, tpm: 20000"}, azuresim.Deployment{Model: "gpt-4o", TPM: 30_000}, finding{Check: "limits", Result: gradeWarn, Mend: "tpm: 30000", Path: "models.gpt-4o.deployments[0].tpm", Line: 5}, 2, true},
		{"the same limit", []string{"deployment: main", "deployment: main, tpm: 30000"}, azuresim.Deployment{Model: "gpt-4o", TPM: 30_000}, finding{Check: "limits", Result: gradeOK}, 2, true},
		{"no limit named", []string{"deployment: main", "deployment: main, tpm: 30000"}, azuresim.Deployment{Model: "gpt-4o"}, finding{Check: "limits", Result: gradeOK}, 2, true},
		{"no chat", []string{"gpt-4o:", "text-embedding-3-large:"}, azuresim.Deployment{}, finding{Check: "call", Result: gradeOK}, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			azure := httptest.NewServer(azuresim.New(azuresim.Config{Deployments: map[string]azuresim.Deployment{"main": tt.azure}}))
			defer azure.Close()
			got := examineFile(t, patient(azure.URL, append(tt.words, "2024-10-21", "2024-12-01-preview")...))
			i := slices.IndexFunc(got.Checks, func(f finding) bool { return f.Check == tt.want.Check && f.Target == "azure/main" })
			if i < 0 {
				t.Fatalf("there is no %s: %+v", tt.want.Check, got.Checks)
			}
			f := got.Checks[i]
			f.Seen, f.File, f.Target = "", "", ""
			if diff := cmp.Diff(tt.want, f); diff != "" || got.OK != tt.ok || got.Calls != tt.calls {
				t.Errorf("%d calls, ok %t (-want +got):\n%s", got.Calls, got.OK, diff)
			}
		})
	}
}

// TestDoctorLearnsTheBound finds a model that reasons behind a name that does
// not: the second question is asked its way, and is the last.
func TestDoctorLearnsTheBound(t *testing.T) {
	quiet(t)
	sim := azuresim.New(azuresim.Config{AsyncFilter: true, Deployments: map[string]azuresim.Deployment{"main": {Model: "o4-mini-2025-04-16", Reasoning: true}}})
	azure := httptest.NewServer(sim)
	defer azure.Close()
	got := examineFile(t, patient(azure.URL, "2024-10-21", "v1"))
	want := []string{
		"parameters azure/main warn", "call azure/main ok", "model azure/main warn", "region azure/main ok",
		"limits azure/main ok", "stream azure/main ok", "filter azure/main ok",
	}
	if diff := cmp.Diff(want, got.rows()[7:]); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if f := got.Checks[len(got.Checks)-1]; !strings.HasPrefix(f.Seen, "asynchronous") {
		t.Errorf("filter: %q", f.Seen)
	}
	if n := len(sim.Requests()); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
}

// TestDoctorOfStreams holds what becomes of a stream that is none, or not whole.
func TestDoctorOfStreams(t *testing.T) {
	quiet(t)
	for _, tt := range []struct {
		name, fault, want, seen, mend string
		line                          int
	}{
		{"cut", "cut-first", "stream fail", "the stream was cut", "in front of the endpoint", 3},
		{"reset", "reset-stream", "stream fail", "the connection broke", "between this machine and the endpoint", 3},
		{"an error inside", "server-error-stream", "stream fail", "the stream ended in an error: The server had an error", "in front of the endpoint", 3},
		{"no stream", "json-for-stream", "stream fail", "the answer is application/json", "must pass streams on", 3},
		{"no filter", "filter-failed", "filter warn", "the filter failed, and text came without it", "the deployment's content filter", 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sim := azuresim.New(azuresim.Config{})
			sim.Script(azuresim.Step{}, azuresim.Step{Fault: tt.fault})
			azure := httptest.NewServer(sim)
			defer azure.Close()
			f := examineFile(t, patient(azure.URL)).worst(t)
			have := f.Check + " " + string(f.Result)
			if have != tt.want || !strings.Contains(f.Seen, tt.seen) || !strings.Contains(f.Mend, tt.mend) || f.Line != tt.line {
				t.Errorf("%+v, want %s: %q, %q on line %d", f, tt.want, tt.seen, tt.mend, tt.line)
			}
		})
	}
}

// TestDoctorOfNames looks at what is named alone, asks a deployment of two models
// once, and knows deployments without a file by their names.
func TestDoctorOfNames(t *testing.T) {
	quiet(t)
	sim := azuresim.New(azuresim.Config{Deployments: map[string]azuresim.Deployment{"main": {Model: "gpt-4o"}, "other": {Model: "gpt-4.1"}}})
	azure := httptest.NewServer(sim)
	defer azure.Close()
	text := patient(azure.URL, "teams:", "  gpt-4.1: { deployments: [{ backend: azure, deployment: main }, { backend: azure, deployment: other }] }\nteams:")
	for _, tt := range []struct {
		name  string
		args  []string
		asked []string // for answers
	}{
		{"all", nil, []string{"main", "main", "other", "other"}},
		{"a model", []string{"gpt-4o"}, []string{"main", "main"}},
		{"a deployment", []string{"other"}, []string{"other", "other"}},
		{"a whole name", []string{"azure/other", "azure/main"}, []string{"main", "main", "other", "other"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sim.Reset()
			examineFile(t, text, tt.args...)
			var asked []string
			for _, r := range sim.Requests() {
				if r.Method == http.MethodPost {
					asked = append(asked, r.Deployment)
				}
			}
			slices.Sort(asked)
			if diff := cmp.Diff(tt.asked, asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
	path := write(t, "weir.yaml", text)
	if r := weir(t, "", "doctor", "-c", path, "nothing"); r.code != exitError || !strings.Contains(r.err, `is called "nothing"`) {
		t.Errorf("an unknown name: code %d, %q", r.code, r.err)
	}

	t.Setenv("AZURE_OPENAI_ENDPOINT", azure.URL)
	t.Setenv("AZURE_OPENAI_API_KEY", doctorKey)
	got := examined{}.of(t, weir(t, "", "doctor", "-o", "json"))
	if got.File != "environment" || got.Calls != 0 || !slices.Contains(got.rows(), "credential azure ok") {
		t.Errorf("without a file: %d calls, %v", got.Calls, got.rows())
	}
	got = examined{}.of(t, weir(t, "", "doctor", "-o", "json", "gpt-4o", "main"))
	want := []string{
		"deployment azure/gpt-4o fail", "call azure/main ok", "model azure/main warn", "region azure/main ok",
		"limits azure/main ok", "stream azure/main ok", "filter azure/main ok",
	}
	if diff := cmp.Diff(want, got.rows()[7:]); diff != "" || got.Calls != 3 {
		t.Errorf("with names: %d calls (-want +got):\n%s", got.Calls, diff)
	}
}

// TestDoctorOfCredentials holds what is said of credentials that are not one key.
func TestDoctorOfCredentials(t *testing.T) {
	quiet(t)
	const usual = `api_key: "${file:/dev/null}` + doctorKey + `"`
	file := write(t, "key", doctorKey)
	tests := []struct {
		name  string
		auth  string
		want  grade
		seen  string
		calls int
	}{
		{"two keys", `api_keys: ["${file:/dev/null}canary-old", "${file:/dev/null}` + doctorKey + `"]`, gradeWarn, "another accepted", 2},
		{"a file", "api_key_file: " + file, gradeOK, "accepted", 2},
		{"the callers' own", "pass_through: true", gradeOK, "callers bring their own", 0},
		{
			"no token", `entra: { tenant_id: 11111111-2222-3333-4444-555555555555, client_id: 11111111-2222-3333-4444-555555555555, client_certificate_file: /dev/null }`,
			gradeFail, "there is none to send: upstream: signing in with Entra ID by client certificate", 0,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			azure := httptest.NewServer(azuresim.New(azuresim.Config{Key: doctorKey, Deployments: map[string]azuresim.Deployment{"main": {Model: "gpt-4o"}}}))
			defer azure.Close()
			got := examineFile(t, patient(azure.URL, usual, tt.auth))
			i := slices.IndexFunc(got.Checks, func(f finding) bool { return f.Check == "credential" })
			if i < 0 {
				t.Fatalf("nothing is said of the credential: %+v", got.Checks)
			}
			if none := strings.Contains(got.err, "asking 0 backends for models, which is free, and 0 deployments"); none != strings.Contains(tt.auth, "pass_through") {
				t.Errorf("it said it would ask: %q", got.err)
			}
			f := got.Checks[i]
			if f.Result != tt.want || !strings.Contains(f.Seen, tt.seen) || got.Calls != tt.calls || got.OK != (tt.want != gradeFail) {
				t.Errorf("%+v, %d calls, ok %t; want %s: %q, %d", f, got.Calls, got.OK, tt.want, tt.seen, tt.calls)
			}
		})
	}
}

// TestDoctorTable holds the table's shape.
func TestDoctorTable(t *testing.T) {
	quiet(t)
	t.Setenv("HTTPS_PROXY", "http://canary:canary@proxy.example.com")
	azure := httptest.NewServer(azuresim.New(azuresim.Config{Key: "another"}))
	defer azure.Close()
	path := write(t, "weir.yaml", patient(azure.URL))
	got := weir(t, "", "doctor", "-c", path)
	text := strings.NewReplacer(azure.URL[len("http://"):], "ADDRESS", path, "weir.yaml").Replace(got.out)
	want := `CHECK       TARGET       RESULT  SEEN
proxy       environment  warn    HTTPS_PROXY is set, and Weir does not read it: it goes through the proxy of a backend alone
                                 → nothing, where the checks below reach the backends; else write proxy: http://HOST:PORT to them in a configuration file
                                   at weir.yaml:2: backends
dns         azure        ok      127.0.0.1 is an address
tcp         azure        ok      connected to ADDRESS
tls         azure        ok      plain http, on this machine alone
clock       azure        ok      this machine's and the backend's clocks agree
credential  azure        fail    401: the key is not accepted
                                 → take a key of this very resource (Azure portal, Keys and Endpoint), and check that the endpoint is its own
                                   at weir.yaml:3: backends.azure.auth.api_key
call        azure/main   fail    not asked: its backend refuses us
                                 → mend the backend first
                                   at weir.yaml:3: backends.azure

4 ok, 1 warning, 2 failures; 0 answers asked for, 0 tokens of prompts and 0 of answers
`
	text = regexp.MustCompile(` +\n`).ReplaceAllString(text, "\n")
	if diff := cmp.Diff(want, text); diff != "" || got.code != exitError {
		t.Errorf("code %d (-want +got):\n%s", got.code, diff)
	}
	if !strings.HasSuffix(got.err, "weir: 2 checks of 7 failed\n") || strings.Contains(got.out+got.err, "canary") {
		t.Errorf("standard error: %q", got.err)
	}
}
