package azuresim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
)

// clock is a time that the test moves.
type clock struct{ now time.Time }

func (c *clock) pass(d time.Duration) { c.now = c.now.Add(d) }

func started() (*clock, azuresim.Config) {
	c := &clock{now: time.Unix(1_800_000_000, 0)}
	return c, azuresim.Config{Now: func() time.Time { return c.now }}
}

func TestConversationGoesOnByReference(t *testing.T) {
	t.Parallel()
	sim := azuresim.New(azuresim.Config{})
	long := strings.Repeat("word ", 200)
	first := idOf(t, call(t, sim, http.MethodPost, responsesPath, `{"model":"m","input":"`+long+`"}`))
	w := call(t, sim, http.MethodPost, responsesPath, `{"model":"m","input":"and now","previous_response_id":"`+first+`"}`)
	for _, want := range []string{"You said: and now. That was turn 2 of our conversation.", `"input_tokens_details":{"cached_tokens":256}`, `"previous_response_id":"` + first + `"`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in %s", want, w.Body)
		}
	}
	talk := idOf(t, call(t, sim, http.MethodPost, "/openai/v1/conversations", "{}"))
	for turn, spelling := range []string{`"` + talk + `"`, `{"id":"` + talk + `"}`} {
		w := call(t, sim, http.MethodPost, responsesPath, `{"model":"m","input":"hi","conversation":`+spelling+`}`)
		if want := fmt.Sprintf("That was turn %d of", turn+1); !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in %s", want, w.Body)
		}
	}
	call(t, sim, http.MethodDelete, responsesPath+"/"+first, "")
	for _, sim := range []*azuresim.Server{sim, azuresim.New(azuresim.Config{})} {
		if w := call(t, sim, http.MethodGet, responsesPath+"/"+first, ""); w.Code != 404 || !strings.Contains(w.Body.String(), "Response with id '"+first+"' not found.") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

func TestResponseThatIsNotStoredIsForgotten(t *testing.T) {
	t.Parallel()
	sim := azuresim.New(azuresim.Config{})
	id := idOf(t, call(t, sim, http.MethodPost, responsesPath, `{"model":"m","input":"hi","store":false}`))
	if w := call(t, sim, http.MethodGet, responsesPath+"/"+id, ""); w.Code != 404 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestBackgroundResponseTakesItsTime(t *testing.T) {
	t.Parallel()
	clock, cfg := started()
	cfg.Deployments = map[string]azuresim.Deployment{"m": {Latency: 5 * time.Second}}
	sim := azuresim.New(cfg)
	w := call(t, sim, http.MethodPost, responsesPath, `{"model":"m","input":"hi","background":true}`)
	id := idOf(t, w)
	status := func(method, path string) string {
		w := call(t, sim, method, responsesPath+"/"+id+path, "")
		var o struct {
			Status string
			Error  struct{ Message string }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &o); err != nil {
			t.Fatal(err)
		}
		return o.Status + o.Error.Message
	}
	got := []string{status(http.MethodGet, "")}
	clock.pass(5 * time.Second)
	got = append(got, status(http.MethodGet, ""), status(http.MethodPost, "/cancel"))
	id = idOf(t, call(t, sim, http.MethodPost, responsesPath, `{"model":"m","input":"hi","background":true}`))
	clock.pass(4 * time.Second)
	got = append(got, status(http.MethodPost, "/cancel"))
	clock.pass(4 * time.Second)
	got = append(got, status(http.MethodGet, ""), status(http.MethodPost, "/cancel"))
	want := []string{"in_progress", "completed", "Cannot cancel a completed response.", "cancelled", "cancelled", "cancelled"}
	if diff := cmp.Diff(want, got); diff != "" || !strings.Contains(w.Body.String(), `"status":"queued"`) {
		t.Errorf("status (-want +got):\n%s\n%s", diff, w.Body)
	}
}

func TestStreamIsResumedBehindAnEvent(t *testing.T) {
	t.Parallel()
	sim := azuresim.New(azuresim.Config{})
	whole := call(t, sim, http.MethodPost, responsesPath, `{"model":"m","input":"hello you there","stream":true,"background":true}`).Body.String()
	list := typedEvents(t, whole)
	id := list[0].data["response"].(object)["id"].(string)
	again := func(query string) string {
		return call(t, sim, http.MethodGet, responsesPath+"/"+id+"?stream=true"+query, "").Body.String()
	}
	if diff := cmp.Diff(whole, again("")); diff != "" {
		t.Errorf("from the first on (-want +got):\n%s", diff)
	}
	for after := range list {
		rest := again(fmt.Sprintf("&starting_after=%d", after))
		if frames := strings.SplitAfter(whole, "\n\n"); rest != strings.Join(frames[after+1:], "") {
			t.Errorf("behind %d: %s", after, rest)
		}
	}
}

func TestListingHasPages(t *testing.T) {
	t.Parallel()
	sim := azuresim.New(azuresim.Config{})
	var items []string
	for i := range 5 {
		items = append(items, fmt.Sprintf(`{"id":"msg_%d","role":"user","content":"a"}`, i))
	}
	id := idOf(t, call(t, sim, http.MethodPost, responsesPath, `{"model":"m","input":[`+strings.Join(items, ",")+`]}`))
	for _, tt := range []struct {
		query  string
		status int
		want   string // the ids, and a plus where there are more
	}{
		{"", 200, "43210"},
		{"?order=asc", 200, "01234"},
		{"?limit=2", 200, "43+"},
		{"?limit=2&after=msg_3", 200, "21+"},
		{"?limit=2&after=msg_1", 200, "0"},
		{"?after=msg_0", 200, ""},
		{"?limit=0", 400, ""},
		{"?limit=101", 400, ""},
	} {
		w := call(t, sim, http.MethodGet, responsesPath+"/"+id+"/input_items"+tt.query, "")
		var o struct {
			Data    []struct{ ID string }
			FirstID string `json:"first_id"`
			LastID  string `json:"last_id"`
			HasMore bool   `json:"has_more"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &o); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, d := range o.Data {
			ids = append(ids, strings.TrimPrefix(d.ID, "msg_"))
		}
		got := strings.Join(ids, "")
		if n := len(o.Data); n > 0 && (o.FirstID != o.Data[0].ID || o.LastID != o.Data[n-1].ID) {
			t.Errorf("%s: %s", tt.query, w.Body)
		}
		if o.HasMore {
			got += "+"
		}
		if w.Code != tt.status || got != tt.want {
			t.Errorf("%q: %d %q, want %d %q", tt.query, w.Code, got, tt.status, tt.want)
		}
	}
}

func TestBatchWorksThroughItsFile(t *testing.T) {
	t.Parallel()
	clock, cfg := started()
	cfg.Deployments = map[string]azuresim.Deployment{"m": {}}
	sim := azuresim.New(cfg)
	lines := []string{
		`{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"user","content":"first"}]}}`,
		`{"custom_id":"b","method":"POST","url":"/chat/completions","body":{"model":"m","messages":[]}}`,
		`{"custom_id":"c","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":"x","dimensions":1}}`,
		`{"custom_id":"d","method":"POST","url":"/v1/chat/completions","body":{"model":"x","messages":[]}}`,
		`{"custom_id":"e","method":"POST","url":"/v1/nothing","body":{}}`,
		`no JSON`,
	}
	file := idOf(t, call(t, sim, http.MethodPost, "/v1/files", "--form\npurpose=batch\nfile@in.jsonl="+strings.Join(lines, `\n`)))
	id := idOf(t, call(t, sim, http.MethodPost, "/v1/batches", `{"input_file_id":"`+file+`","endpoint":"/v1/chat/completions","completion_window":"24h","metadata":{"k":"v"}}`))
	get := func(method, path string) (o struct {
		Status string
		Output string                                 `json:"output_file_id"`
		Gone   int64                                  `json:"cancelled_at"`
		Counts struct{ Total, Completed, Failed int } `json:"request_counts"`
	},
	) {
		if err := json.Unmarshal(call(t, sim, method, "/v1/batches/"+id+path, "").Body.Bytes(), &o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	var states []string
	for _, d := range []time.Duration{0, time.Second, time.Minute} {
		clock.pass(d)
		states = append(states, get(http.MethodGet, "").Status)
	}
	done := get(http.MethodGet, "")
	if diff := cmp.Diff([]string{"validating", "in_progress", "completed"}, states); diff != "" || done.Counts.Total != 6 || done.Counts.Failed != 4 || done.Counts.Completed != 2 {
		t.Errorf("states (-want +got):\n%s\n%+v", diff, done)
	}
	out := call(t, sim, http.MethodGet, "/v1/files/"+done.Output+"/content", "").Body.String()
	var got []string
	for line := range strings.Lines(out) {
		var o struct {
			CustomID string `json:"custom_id"`
			Response struct {
				Code int `json:"status_code"`
			}
		}
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(o.CustomID, o.Response.Code))
	}
	if diff := cmp.Diff([]string{"a200", "b400", "c200", "d404", "e404", "400"}, got); diff != "" || !strings.Contains(out, `"content":"You said: first.`) {
		t.Errorf("output (-want +got):\n%s\n%s", diff, out)
	}
	if w := call(t, sim, http.MethodPost, "/v1/batches/"+id+"/cancel", ""); w.Code != 409 {
		t.Errorf("cancel of a whole one: %d %s", w.Code, w.Body)
	}
	id = idOf(t, call(t, sim, http.MethodPost, "/v1/batches", `{"input_file_id":"`+file+`","endpoint":"/v1/chat/completions","completion_window":"24h"}`))
	states = []string{get(http.MethodPost, "/cancel").Status}
	gone := clock.now.Add(10 * time.Second).Unix()
	clock.pass(time.Hour)
	if got := get(http.MethodGet, "").Gone; got != gone {
		t.Errorf("cancelled at %d, want %d", got, gone)
	}
	if diff := cmp.Diff([]string{"cancelling", "cancelled"}, append(states, get(http.MethodGet, "").Status)); diff != "" {
		t.Errorf("cancel (-want +got):\n%s", diff)
	}
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	t.Parallel()
	sim := azuresim.New(azuresim.Config{})
	var first, last string
	for i := range 1001 {
		last = idOf(t, call(t, sim, http.MethodPost, "/v1/conversations", "{}"))
		if i == 0 {
			first = last
		}
	}
	for id, want := range map[string]int{first: 404, last: 200} {
		if w := call(t, sim, http.MethodGet, "/v1/conversations/"+id, ""); w.Code != want {
			t.Errorf("%s: %d, want %d", id, w.Code, want)
		}
	}
	large := idOf(t, call(t, sim, http.MethodPost, "/v1/files", "--form\npurpose=vision\nfile@a="+strings.Repeat("x", 1<<20+1)))
	if w := call(t, sim, http.MethodGet, "/v1/files/"+large+"/content", ""); w.Code != 400 {
		t.Errorf("content of a large file: %d", w.Code)
	}
	for range 33 {
		last = idOf(t, call(t, sim, http.MethodPost, "/v1/files", "--form\npurpose=vision\nfile@a="+strings.Repeat("x", 1<<20)))
	}
	for id, want := range map[string]int{large: 404, last: 200} {
		if w := call(t, sim, http.MethodGet, "/v1/files/"+id, ""); w.Code != want {
			t.Errorf("%s: %d, want %d", id, w.Code, want)
		}
	}
	sim.Reset()
	if w := call(t, sim, http.MethodGet, "/v1/files/"+last, ""); w.Code != 404 {
		t.Errorf("after a reset: %d", w.Code)
	}
}

func TestFormThatIsWrongIsRefused(t *testing.T) {
	t.Parallel()
	cfg := azuresim.Config{}
	for _, tt := range []struct {
		name, path, body, kind string
		status                 int
		want                   string
	}{
		{"JSON", "/v1/files", `{}`, "application/json", 415, "multipart/form-data"},
		{"no end", "/v1/files", "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbat", "multipart/form-data; boundary=b", 400, "Could not parse multipart form"},
		{"no file", "/v1/files", "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--b--\r\n", "multipart/form-data; boundary=b", 400, "'file' is a required property"},
	} {
		w := call(t, azuresim.New(cfg), http.MethodPost, tt.path, tt.body, "Content-Type", tt.kind)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: %d %s", tt.name, w.Code, w.Body)
		}
	}
}
