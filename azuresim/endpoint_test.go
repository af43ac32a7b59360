package azuresim_test

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
)

// call answers one request without a network. A body that begins with "--form"
// is a form of NAME=VALUE lines; a NAME@FILE=VALUE is a file.
func call(t *testing.T, sim *azuresim.Server, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	kind := "application/json"
	if lines, ok := strings.CutPrefix(body, "--form\n"); ok {
		body, kind = form(t, lines)
	}
	req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	req.Header.Set("Content-Type", kind)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, req)
	return w
}

func form(t *testing.T, lines string) (body, kind string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for line := range strings.SplitSeq(strings.TrimSuffix(lines, "\n"), "\n") {
		name, value, _ := strings.Cut(line, "=")
		part, file, isFile := strings.Cut(name, "@")
		var dst io.Writer
		var err error
		if isFile {
			dst, err = w.CreateFormFile(part, file)
		} else {
			dst, err = w.CreateFormField(part)
		}
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(dst, strings.ReplaceAll(value, `\n`, "\n"))
	}
	_ = w.Close()
	return b.String(), w.FormDataContentType()
}

// operation is an endpoint, what it is asked, and a part of its answer. ID in a
// path is replaced by the id of what setup made.
type operation struct {
	method, path string
	inPath       bool // the deployment is in the path on the classic surface
	body         string
	want         string
	setup        [3]string // method, path and body of a request made before
}

func operations() []operation {
	const get, post, remove = http.MethodGet, http.MethodPost, http.MethodDelete
	response := [3]string{post, "responses", `{"model":"m","input":"hi","background":true}`}
	stored := [3]string{post, "chat/completions", `{"model":"m","store":true,"messages":[{"role":"user","content":"hi"}]}`}
	file := [3]string{post, "files", "--form\nfile@in.jsonl={}\npurpose=batch"}
	talk := [3]string{post, "conversations", `{}`}
	const audio = "--form\nfile@speech.wav=0123456789\nmodel=m\nresponse_format=json"
	return []operation{
		{post, "chat/completions", true, `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, `"object":"chat.completion"`, [3]string{}},
		{post, "completions", true, `{"model":"m","prompt":"hi"}`, `"object":"text_completion"`, [3]string{}},
		{post, "embeddings", true, `{"model":"m","input":"hi","dimensions":2}`, `"object":"embedding"`, [3]string{}},
		{post, "images/generations", true, `{"model":"m","prompt":"a cat"}`, `"b64_json":"`, [3]string{}},
		{post, "images/edits", true, "--form\nimage@a.png=x\nprompt=a cat\nmodel=m", `"image_tokens":85`, [3]string{}},
		{post, "audio/transcriptions", true, audio, `{"text":"This is speech.wav of 10 bytes."`, [3]string{}},
		{post, "audio/translations", true, audio, `{"text":"This is speech.wav of 10 bytes."`, [3]string{}},
		{post, "audio/speech", true, `{"model":"m","input":"hi","voice":"alloy"}`, "h", [3]string{}},
		{post, "moderations", false, `{"input":"I will kill it"}`, `"flagged":true`, [3]string{}},
		{post, "responses", false, `{"model":"m","input":"hi"}`, `"object":"response"`, [3]string{}},
		{post, "responses/input_tokens", false, `{"model":"m","input":"hi"}`, `{"input_tokens":7,"object":"response.input_tokens"}`, [3]string{}},
		{post, "responses/compact", false, `{"model":"m","input":"hi"}`, `"type":"compaction"`, [3]string{}},
		{get, "responses/ID", false, "", `"status":"completed"`, response},
		{get, "responses/ID?stream=true", false, "", "event: response.completed", response},
		{remove, "responses/ID", false, "", `"deleted":true`, response},
		{post, "responses/ID/cancel", false, "", `Cannot cancel a completed response.`, response},
		{get, "responses/ID/input_items", false, "", `"has_more":false`, response},
		{get, "models", false, "", `"object":"list"`, [3]string{}},
		{get, "models/gpt-4o", false, "", `"id":"gpt-4o"`, [3]string{}},
		{get, "chat/completions", false, "", `"has_more":false`, stored},
		{get, "chat/completions/ID", false, "", `"object":"chat.completion"`, stored},
		{get, "chat/completions/ID/messages", false, "", `"content":"hi"`, stored},
		{post, "chat/completions/ID", false, `{"metadata":{"a":"b"}}`, `"metadata":{"a":"b"}`, stored},
		{remove, "chat/completions/ID", false, "", `"object":"chat.completion.deleted"`, stored},
		{post, "files", false, "--form\nfile@a.txt=abc\npurpose=assistants", `"bytes":3`, [3]string{}},
		{get, "files", false, "", `"filename":"in.jsonl"`, file},
		{get, "files/ID", false, "", `"status":"processed"`, file},
		{get, "files/ID/content", false, "", `{}`, file},
		{remove, "files/ID", false, "", `"deleted":true`, file},
		{post, "batches", false, `{"input_file_id":"ID","endpoint":"/v1/chat/completions","completion_window":"24h"}`, `"status":"validating"`, file},
		{get, "batches", false, "", `"object":"list"`, file},
		{post, "conversations", false, `{}`, `"object":"conversation"`, [3]string{}},
		{get, "conversations/ID", false, "", `"object":"conversation"`, talk},
		{remove, "conversations/ID", false, "", `"deleted":true`, talk},
	}
}

// surfaces are the ways to write an endpoint's path.
func surfaces(path string, inPath bool) map[string]string {
	join := func(query string) string {
		if strings.Contains(path, "?") {
			return path + "&" + query
		}
		return path + "?" + query
	}
	classic := "/openai/" + join("api-version=2025-04-01-preview")
	if inPath {
		classic = "/openai/deployments/m/" + join("api-version=2025-04-01-preview")
	}
	return map[string]string{
		"classic": classic, "v1": "/openai/v1/" + path, "v1 preview": "/openai/v1/" + join("api-version=preview"), "openai": "/v1/" + path,
	}
}

func TestEveryEndpointIsServedInEveryForm(t *testing.T) {
	t.Parallel()
	for _, op := range operations() {
		for name, path := range surfaces(op.path, op.inPath) {
			t.Run(op.method+" "+op.path+" "+name, func(t *testing.T) {
				t.Parallel()
				sim := azuresim.New(azuresim.Config{})
				body := op.body
				if op.setup[0] != "" {
					setup := surfaces(op.setup[1], strings.HasPrefix(op.setup[1], "chat"))[name]
					id := idOf(t, call(t, sim, op.setup[0], setup, op.setup[2]))
					path, body = strings.ReplaceAll(path, "ID", id), strings.ReplaceAll(body, "ID", id)
				}
				w := call(t, sim, op.method, path, body)
				if !strings.Contains(w.Body.String(), op.want) {
					t.Errorf("%s %s: %d, no %s in %.600s", op.method, path, w.Code, op.want, w.Body)
				}
				seen := sim.Requests()
				if last := seen[len(seen)-1]; last.Status != w.Code || !last.Done || strings.Contains(op.body, `"model":"m"`) != (last.Deployment == "m") && !strings.HasPrefix(op.body, "--form") {
					t.Errorf("record: %+v", last)
				}
			})
		}
	}
}

// idOf is the id of an answer.
func idOf(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var o struct{ ID string }
	if err := json.Unmarshal(w.Body.Bytes(), &o); err != nil || o.ID == "" {
		t.Fatalf("no id in %d %s", w.Code, w.Body)
	}
	return o.ID
}

func TestPathThatAzureDoesNotHaveIsNotFound(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, method, path string }{
		{"responses of a deployment", http.MethodPost, "/openai/deployments/m/responses?api-version=2025-04-01-preview"},
		{"embeddings without a deployment", http.MethodPost, "/openai/embeddings?api-version=2025-04-01-preview"},
		{"classic without a version", http.MethodPost, "/openai/responses"},
		{"wrong method", http.MethodPut, "/openai/v1/responses"},
		{"empty id", http.MethodGet, "/openai/v1/responses/"},
		{"without the prefix", http.MethodPost, "/deployments/m/embeddings?api-version=2025-04-01-preview"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := call(t, azuresim.New(azuresim.Config{}), tt.method, tt.path, `{"model":"m","input":"x"}`)
			if want := `{"error":{"code":"404","message":"Resource not found"}}`; w.Code != 404 || w.Body.String() != want {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

func TestResponsesNeedAVersionThatHasThem(t *testing.T) {
	t.Parallel()
	w := call(t, azuresim.New(azuresim.Config{}), http.MethodPost, "/openai/responses?api-version=2024-10-21", `{"model":"m","input":"x"}`)
	want := `{"error":{"code":"BadRequest","message":"Azure OpenAI Responses API is enabled only for api versions 2025-03-01-preview and later"}}`
	if diff := cmp.Diff(want, w.Body.String()); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

func TestFaultsAndLimitsHoldForEveryEndpoint(t *testing.T) {
	t.Parallel()
	for _, op := range operations() {
		t.Run(op.method+" "+op.path, func(t *testing.T) {
			t.Parallel()
			sim := azuresim.New(azuresim.Config{Key: "key"})
			if w := call(t, sim, op.method, "/v1/"+op.path, op.body); w.Code != 401 {
				t.Errorf("without a key: %d %s", w.Code, w.Body)
			}
			w := call(t, sim, op.method, "/v1/"+op.path, op.body, "api-key", "key", "x-azuresim-fault", "rate-limit 7")
			if w.Code != 429 || w.Header().Get("retry-after") != "7" {
				t.Errorf("with a fault: %d %s", w.Code, w.Body)
			}
			if op.path == "embeddings" && !strings.Contains(w.Body.String(), "Embeddings_Create Operation") {
				t.Errorf("operation: %s", w.Body)
			}
			if op.method != http.MethodPost {
				return
			}
			sim.Script(azuresim.Step{Status: 503, Body: "busy"})
			if w := call(t, sim, op.method, "/v1/"+op.path, op.body, "api-key", "key"); w.Code != 503 || w.Body.String() != "busy" {
				t.Errorf("scripted: %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestFormIsRecordedPartByPart(t *testing.T) {
	t.Parallel()
	sim := azuresim.New(azuresim.Config{})
	big := strings.Repeat("0123456789abcdef", 5<<16)
	if w := call(t, sim, http.MethodPost, "/v1/audio/transcriptions", "--form\nfile@a.wav="+big+"\nmodel=whisper-1\nresponse_format=text"); w.Code != 200 || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	seen := sim.Requests()[0]
	if seen.Body != nil || seen.Size < int64(len(big)) || seen.Deployment != "whisper-1" || len(seen.Form) != 3 {
		t.Errorf("record: size %d, deployment %q, %d parts", seen.Size, seen.Deployment, len(seen.Form))
	}
	file := seen.Form[0]
	file.Header = nil
	want := azuresim.Part{
		Name: "file", Filename: "a.wav", Value: []byte(big[:64<<10]), Size: int64(len(big)),
		SHA256: "18a42ab71ef74ce8c5016d928b7a858aace90effdc15fcf9ab18bdc250e9d945",
	}
	if diff := cmp.Diff(want, file); diff != "" {
		t.Errorf("part (-want +got):\n%s", diff)
	}
	if string(seen.Form[1].Value) != "whisper-1" || seen.Form[1].Name != "model" {
		t.Errorf("model: %+v", seen.Form[1])
	}
}

// Not parallel, so that nothing else allocates meanwhile.
func TestLargeUploadIsNotHeld(t *testing.T) {
	const size = 25 << 20
	head := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n"
	tail := "\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--b--\r\n"
	body := io.MultiReader(strings.NewReader(head), io.LimitReader(zeros{}, size), strings.NewReader(tail))
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/audio/transcriptions", body)
	req.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	sim, w := azuresim.New(azuresim.Config{}), httptest.NewRecorder()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sim.ServeHTTP(w, req)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 || w.Code != 200 {
		t.Errorf("%d: %d bytes were allocated", w.Code, took)
	}
	if file := sim.Requests()[0].Form[0]; file.Size != size || len(file.Value) != 64<<10 {
		t.Errorf("recorded %d of %d bytes", len(file.Value), file.Size)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
