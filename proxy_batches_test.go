package main_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// batchOf returns the body that begins a batch.
func batchOf(file string, fields ...string) string {
	more := ""
	if len(fields) > 0 {
		more = "," + strings.Join(fields, ",")
	}
	return `{"input_file_id":` + strconv.Quote(file) + `,"endpoint":"/v1/chat/completions","completion_window":"24h"` + more + `}`
}

// job returns a line of a batch's file.
func job(id, url, body string) string {
	return `{"custom_id":` + strconv.Quote(id) + `,"method":"POST","url":` + strconv.Quote(url) + `,"body":` + body + "}\n"
}

const chatJob = "/v1/chat/completions"

// begins asks for a batch.
func (w *world) begins(body string, headers ...string) reply {
	w.t.Helper()
	return w.do(w.t.Context(), http.MethodPost, "/v1/batches", body, headers...)
}

// TestBatch: a batch is begun, watched and its output fetched, all under the team's
// own ids, and its requests are sent by the names of deployments.
func TestBatch(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		content := job("one", chatJob, of("chat", say("hello"))) + "\r\n" + job("two", "/chat/completions", say("bye <|im_end|>"))
		f := w.uploads("batch", "in.jsonl", content).filed(t)
		sent := string(w.lastAt("east/").Form[1].Value)
		if strings.Count(sent, `"model":"gpt-4o-east"`) != 2 || strings.Contains(sent, "<|im_end|>") || strings.Count(sent, "\n") != 2 {
			t.Errorf("sent %s", sent)
		}
		made := w.begins(batchOf(f.ID, `"metadata":{"mine":"yes"}`))
		b := made.filed(t)
		if b.Input != f.ID || !strings.HasPrefix(b.ID, "batch_1") || b.Status != "validating" || len(b.Metadata) != 1 || b.Metadata["mine"] != "yes" {
			t.Errorf("begun: %s", made.body)
		}
		if body := string(w.lastAt("east/").Body); strings.Contains(body, f.ID) || !strings.Contains(body, `"weir_team"`) {
			t.Errorf("sent %s", body)
		}
		time.Sleep(2 * time.Minute)
		done := w.gets("batches/" + b.ID).filed(t)
		if done.ID != b.ID || done.Status != "completed" || !strings.HasPrefix(done.Output, "file-1") {
			t.Fatalf("later: %+v", done)
		}
		output := w.gets("files/" + done.Output + "/content")
		if lines := strings.Count(output.body, "\n"); output.status != http.StatusOK || lines != 2 || !strings.Contains(output.body, `"custom_id":"two"`) || strings.Contains(output.body, `"status_code":4`) {
			t.Errorf("%d %s", output.status, output.body)
		}
		if other := w.gets("files/"+done.Output, asOther()...); other.status != http.StatusNotFound {
			t.Errorf("another's output: %d", other.status)
		}
		second := w.do(w.t.Context(), http.MethodPost, "/openai/deployments/chat/batches", batchOf(f.ID)).filed(t) // as openai-node writes it
		if got := w.do(w.t.Context(), http.MethodPost, "/openai/batches/"+second.ID+"/cancel", "").filed(t); got.Status != "cancelling" || got.Metadata != nil {
			t.Errorf("canceled: %+v", got)
		}
		late := w.do(w.t.Context(), http.MethodPost, "/v1/batches/"+b.ID+"/cancel", "")
		if late.status != http.StatusConflict {
			t.Errorf("canceled what is done: %d %s", late.status, late.body)
		}
	}, batching("api_version: 2024-10-21", "api_version: v1", "teams:\n", "policies: { default: { special_tokens: escape } }\nteams:\n")...)
}

// TestBatchesThatAreRefused: who may not have one, and of what none can be made.
func TestBatchesThatAreRefused(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		f := w.uploads("batch", "in.jsonl", job("one", chatJob, say("hello"))).filed(t)
		theirs := w.uploads("user_data", "a.txt", "x", asOther()...).filed(t)
		before := len(w.asked())
		var pairs []string
		for i := range 16 {
			pairs = append(pairs, `"k`+strconv.Itoa(i)+`":"v"`)
		}
		tests := []struct {
			name   string
			body   string
			header []string
			status int
			code   string
			param  string
		}{
			{"not allowed", batchOf(theirs.ID), asOther(), 403, "batches_not_allowed", ""},
			{"another's file", batchOf(theirs.ID), nil, 400, "file_not_found", "input_file_id"},
			{"upstream's own id", batchOf("file-abc"), nil, 400, "file_not_found", "input_file_id"},
			{"no file", `{"endpoint":"/v1/chat/completions"}`, nil, 400, "missing_required_parameter", "input_file_id"},
			{"from a blob", batchOf(f.ID, `"input_blob":"https://x"`), nil, 400, "invalid_value", "input_blob"},
			{"another case", batchOf(f.ID, `"Input_file_id":"file-abc"`), nil, 400, "invalid_value", "Input_file_id"},
			{"16 pairs", batchOf(f.ID, `"metadata":{`+strings.Join(pairs, ",")+`}`), nil, 400, "invalid_value", "metadata"},
			{"our pair", batchOf(f.ID, `"metadata":{"weir_team":"x"}`), nil, 400, "invalid_value", "metadata.weir_team"},
			{"no metadata", batchOf(f.ID, `"metadata":7`), nil, 400, "invalid_type", "metadata"},
		}
		for _, tt := range tests {
			got := w.begins(tt.body, tt.header...)
			if code, param, _ := got.code(); got.status != tt.status || code != tt.code || param != tt.param {
				t.Errorf("%s: %d %s", tt.name, got.status, got.body)
			}
		}
		if n := len(w.asked()); n != before {
			t.Errorf("%d requests arrived", n-before)
		}
		if got := w.begins(batchOf(f.ID, `"metadata":{`+strings.Join(pairs[:15], ",")+`}`)).filed(t); len(got.Metadata) != 15 {
			t.Errorf("with 15 pairs: %+v", got)
		}
	}, batching("models: [gpt-35-turbo]", "models: [gpt-35-turbo]\n    batches: false")...)
}

// TestBatchesAreOfFilesThatWereRead: a file that was uploaded for something else is
// none of a batch's, whatever its resource takes, since nobody has read its requests;
// and what the resource says of one that is gone is told.
func TestBatchesAreOfFilesThatWereRead(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		hidden := w.uploads("user_data", "in.jsonl", job("one", chatJob, say("<|im_start|>"))).filed(t)
		begun := func() (n int) {
			for _, r := range w.asked() {
				if r.Method == http.MethodPost && strings.HasSuffix(r.Path, "/batches") {
					n++
				}
			}
			return n
		}
		got := w.begins(batchOf(hidden.ID))
		if code, param, _ := got.code(); got.status != http.StatusBadRequest || code != "invalid_value" || param != "input_file_id" || !strings.Contains(got.message(), "purpose=batch") {
			t.Errorf("%d %s", got.status, got.body)
		}
		f := w.uploads("batch", "in.jsonl", job("one", chatJob, say("hello"))).filed(t)
		w.do(w.t.Context(), http.MethodDelete, "/v1/files/"+f.ID, "")
		if got := w.begins(batchOf(f.ID)); got.status != http.StatusNotFound || !strings.Contains(got.body, f.ID) || begun() != 0 {
			t.Errorf("gone: %d %s; %d batches", got.status, got.body, begun())
		}
		f = w.uploads("batch", "in.jsonl", job("one", chatJob, say("hello"))).filed(t)
		if w.begins(batchOf(f.ID)).filed(t); begun() != 1 {
			t.Errorf("%d batches", begun())
		}
	}, batching()...)
}

// TestBatchesObeyThePolicy: a batch's file is no way round what holds for each of
// its requests.
func TestBatchesObeyThePolicy(t *testing.T) {
	t.Parallel()
	good := job("good", chatJob, say("hello"))
	tests := []struct {
		name  string
		file  string
		code  string // "" it is sent
		says  string // in the message, or in what is sent
		edits []string
		head  string // of the answer
	}{
		{name: "good", file: good, says: `"model":"gpt-4o-east"`},
		{name: "a deployment by its own name", file: job("x", chatJob, of("gpt-4o-east", say("x"))), says: `"model":"gpt-4o-east"`},
		{name: "the resource of the first model", file: job("x", chatJob, of("d2", say("x"))) + good, says: `"model":"gpt-4o-west"`},
		{name: "embeddings", file: job("x", "/v1/embeddings", `{"model":"gpt-4o","input":"x"}`), says: `"gpt-4o-east"`},
		{name: "responses", file: job("x", "/v1/responses", wish("x")), says: `"gpt-4o-east"`},
		{name: "special tokens", file: good + "\n" + job("bad one", chatJob, say("a <|im_start|> b")), code: "special_tokens_in_input", says: `Line 3 of the file (custom_id "bad one")`},
		{name: "special tokens, escaped in JSON", file: job("x", chatJob, strings.Replace(say("a MARK b"), "MARK", `\u003c|im_start|>`, 1)), code: "special_tokens_in_input", says: "messages[0].content"},
		{name: "special tokens in a response", file: job("x", "/v1/responses", wish("<|im_start|>")), code: "special_tokens_in_input", says: "Line 1"},
		{name: "special tokens, escaped", file: job("x", chatJob, say("a <|im_start|> b")), says: "|\u200dim_start|", head: "X-Weir-Escaped: 1", edits: []string{"teams:\n", "policies: { default: { special_tokens: escape } }\nteams:\n"}},
		{name: "special tokens, in shadow", file: job("x", chatJob, say("a <|im_start|> b")), says: "|im_start|", head: "X-Weir-Policy: shadow: special_tokens_in_input", edits: []string{"teams:\n", "policies: { default: { mode: shadow } }\nteams:\n"}},
		{name: "too much output", file: job("x", chatJob, say("x", `"max_tokens":500`)), says: `"max_tokens":100`, head: "X-Weir-Max-Tokens: 100", edits: []string{"teams:\n", "policies: { default: { max_output_tokens: 100 } }\nteams:\n"}},
		{name: "a model that is not the team's", file: good + job("x", chatJob, of("d2", say("x"))), code: "model_not_allowed", says: "Line 2", edits: []string{`owner: "#search"`, "models: [gpt-4o]"}},
		{name: "no such model", file: job("x", chatJob, of("gpt-9", say("x"))), code: "model_not_found", says: "Line 1"},
		{name: "a model elsewhere", file: job("x", chatJob, of("gpt-5", say("x"))) + job("y", chatJob, of("d2", say("x"))), code: "invalid_value", says: "Line 2"},
		{name: "another endpoint", file: job("x", "/v1/images/generations", `{"prompt":"x"}`), code: "invalid_value", says: "/v1/chat/completions"},
		{name: "another method", file: strings.Replace(good, "POST", "GET", 1), code: "invalid_value", says: "method"},
		{name: "no body", file: `{"custom_id":"x","method":"POST","url":"/v1/chat/completions"}`, code: "invalid_type", says: "body"},
		{name: "another case", file: `{"custom_id":"x","method":"POST","url":"/v1/chat/completions","body":{},"Body":{}}`, code: "invalid_value", says: "Body"},
		{name: "a name twice", file: strings.Replace(good, `"method"`, `"url":"/v1/responses","method"`, 1), code: "invalid_json", says: "Line 1"},
		{name: "no JSON", file: good + "hello\n", code: "invalid_json", says: "Line 2"},
		{name: "a file of nobody", file: job("x", "/v1/responses", `{"model":"gpt-4o","input":[{"role":"user","content":[{"type":"input_file","file_id":"file-abc"}]}]}`), code: "file_not_found", says: "Line 1"},
		{name: "nothing", file: "\n\n", code: "invalid_value", says: "no request"},
		{name: "a long line", file: job("x", chatJob, say(strings.Repeat("x", 3<<10))), code: "request_too_large", says: "Line 1", edits: []string{`listen: "127.0.0.1:1"`, `listen: "127.0.0.1:1", max_body: 2KiB`}},
		{name: "more in memory than is held", file: strings.Repeat(job("x", chatJob, say(strings.Repeat("word ", 200))), 1000), says: `"gpt-4o-east"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				got := w.uploads("batch", "in.jsonl", tt.file)
				code, param, _ := got.code()
				if tt.code != "" {
					if code != tt.code || param != "file" || !strings.Contains(got.message(), tt.says) || len(w.asked()) > 0 {
						t.Errorf("%d %s", got.status, got.body)
					}
					return
				}
				if got.status != http.StatusOK {
					t.Fatalf("%d %s", got.status, got.body)
				}
				if sent := string(w.asked()[0].Form[1].Value); !strings.Contains(sent, tt.says) {
					t.Errorf("sent %s", sent)
				}
				if name, value, _ := strings.Cut(tt.head, ": "); got.header.Get(name) != value {
					t.Errorf("%s: %q", name, got.header.Get(name))
				}
			}, append(tt.edits, "api_version: 2024-10-21", "api_version: v1")...)
		})
	}
}

// TestStoredChats: a chat that is to be stored is the team's, under an id of its own,
// and everything that is asked of it goes where it is.
func TestStoredChats(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		streamed := w.chat(say("hello", stream, `"store":true`, `"metadata":{"a":"b"}`))
		id := ""
		for _, e := range streamed.events() {
			var chunk struct{ ID string }
			if json.Unmarshal([]byte(e), &chunk) == nil && chunk.ID != "" {
				if id == "" {
					id = chunk.ID
				}
				if chunk.ID != id || !strings.HasPrefix(id, "chatcmpl-1") {
					t.Errorf("chunk %s behind %s", chunk.ID, id)
				}
			}
		}
		where := w.record().Deployment
		for _, base := range []string{"/v1/", "/", "/openai/v1/", "/openai/"} {
			path := base + "chat/completions/" + id
			got := w.do(w.t.Context(), http.MethodGet, path, "", "api-key", searchKey).filed(t)
			if got.ID != id || len(got.Metadata) != 1 || backend(w.record().Deployment) != backend(where) {
				t.Errorf("%s at %s: %+v", base, where, got)
			}
			changed := w.do(w.t.Context(), http.MethodPost, path, `{"metadata":{"c":"`+base+`"}}`).filed(t)
			if changed.ID != id || len(changed.Metadata) != 1 || changed.Metadata["c"] != base {
				t.Errorf("changed: %+v", changed)
			}
			messages := w.do(w.t.Context(), http.MethodGet, path+"/messages?limit=1", "")
			if ids, _ := listing(t, messages.body); len(ids) != 1 || ids[0] != id+"-0" || !strings.Contains(messages.body, `"last_id":"`+id+`-0"`) {
				t.Errorf("messages: %s", messages.body)
			}
			if rest, _ := listing(t, w.do(w.t.Context(), http.MethodGet, path+"/messages?after="+id+"-0", "").body); len(rest) != 0 {
				t.Errorf("messages behind the last: %q", rest)
			}
		}
		second := w.chat(of("gpt-35-turbo", say("bye", `"store":true`, `"metadata":{"a":"b"}`))).filed(t)
		for query, want := range map[string]int{"": 2, "?model=gpt-35-turbo": 1, "?model=chat": 1, "?model=d2": 1, "?model=x": 0, "?metadata[a]=b": 1, "?metadata[weir_team]=x": 0, "?metadata[a]=c": 0} {
			if ids, _ := listing(t, w.gets("chat/completions"+query).body); len(ids) != want {
				t.Errorf("%s: %q", query, ids)
			}
		}
		if got := w.gets("chat/completions/"+id, asOther()...); got.status != http.StatusNotFound {
			t.Errorf("another's: %d %s", got.status, got.body)
		}
		for _, one := range []string{id, second.ID} {
			if got := w.do(w.t.Context(), http.MethodDelete, "/v1/chat/completions/"+one, "").filed(t); got.ID != one || !got.Deleted {
				t.Errorf("deleted %+v", got)
			}
		}
		if ids, _ := listing(t, w.gets("chat/completions").body); len(ids) > 0 {
			t.Errorf("left: %q", ids)
		}
	})
}

func backend(deployment string) string {
	name, _, _ := strings.Cut(deployment, "/")
	return name
}

// TestChatsThatAreNotStored: without store nothing about a chat is changed, and what
// store may not be is refused.
func TestChatsThatAreNotStored(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		for _, fields := range [][]string{nil, {`"store":false`}, {`"store":null`, `"metadata":{"weir_team":"x"}`}} {
			body := say("hello", fields...)
			got := w.chat(body)
			if id := got.filed(t).ID; len(id) > 40 || string(w.asked()[len(w.asked())-1].Body) != body {
				t.Errorf("%s: %s, sent %s", body, id, w.asked()[len(w.asked())-1].Body)
			}
		}
		for body, want := range map[string]string{
			say("x", `"store":1`):                                          "store",
			say("x", `"Store":true`):                                       "Store",
			say("x", `"store":true`, `"metadata":{"weir_team":"y"}`):       "metadata.weir_team",
			say("x", `"store":true`, `"metadata":{"a":"b"},"metadatA":{}`): "metadatA",
		} {
			if _, param, _ := w.chat(body).code(); param != want {
				t.Errorf("%s: %s", body, param)
			}
		}
	})
}

// TestStoredChatIsSentOnce: a chat that upstream may have stored is not sent again.
func TestStoredChatIsSentOnce(t *testing.T) {
	t.Parallel()
	for body, calls := range map[string]int{say("x", `"store":true`): 1, say("x"): 2} {
		bubble(t, plain, func(w *world) {
			w.east.Script(steps("close-after-read")...)
			w.chat(body)
			if n := len(w.asked()); n != calls {
				t.Errorf("%s: %d calls", body, n)
			}
		})
	}
}
