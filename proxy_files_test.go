package main_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"weir/usage"
)

// thirdTeam are the edits that add a team whose key is westKey.
func thirdTeam() []string {
	return []string{"  other:\n", "  third:\n    keys: [{ id: third-1, value: \"${WEST_KEY}\" }]\n  other:\n"}
}

// batching are the edits that let the team search have batches.
func batching(more ...string) []string {
	return append([]string{`owner: "#search"`, "batches: true\n    owner: \"#search\""}, more...)
}

// filed is a file, a batch or a stored chat, as a client is told of it.
type filed struct {
	ID       string
	Object   string
	Filename string
	Purpose  string
	Status   string
	Input    string `json:"input_file_id"`
	Output   string `json:"output_file_id"`
	Metadata map[string]string
	Deleted  bool
}

func (r reply) filed(t *testing.T) filed {
	t.Helper()
	var f filed
	if err := json.Unmarshal([]byte(r.body), &f); err != nil || r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	return f
}

// uploads sends a file.
func (w *world) uploads(purpose, name, content string, headers ...string) reply {
	w.t.Helper()
	body, kind := written(w.t, field{name: "purpose", value: purpose}, field{name: "file", filename: name, value: content})
	return w.do(w.t.Context(), http.MethodPost, "/v1/files", body, append(headers, "Content-Type", kind)...)
}

// gets asks for a path below /v1/.
func (w *world) gets(path string, headers ...string) reply {
	w.t.Helper()
	return w.do(w.t.Context(), http.MethodGet, "/v1/"+path, "", headers...)
}

// TestFiles: a file goes up, is told of, comes down and goes away by each form of the
// path, under its own name and an id that is not upstream's.
func TestFiles(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		for _, base := range []string{"/v1/", "/", "/openai/v1/", "/openai/"} {
			body, kind := written(t, field{name: "file", filename: "a b.txt", kind: "text/plain", value: "the content"}, field{name: "purpose", value: "user_data"}, field{name: "expires_after[anchor]", value: "created_at"})
			up := w.do(w.t.Context(), http.MethodPost, base+"files", body, "Content-Type", kind, "api-key", searchKey)
			f := up.filed(t)
			sent := w.lastAt("east/")
			if f.Filename != "a b.txt" || f.Purpose != "user_data" || !strings.HasPrefix(f.ID, "file-1") || sent.Path != "/openai/v1/files" {
				t.Errorf("%s: %s at %s", base, up.body, sent.Path)
			}
			if name := sent.Form[0].Filename; !strings.HasPrefix(name, "weir-") || !strings.HasSuffix(name, "-a b.txt") || len(sent.Form) != 3 || sent.Form[2].Name != "expires_after[anchor]" {
				t.Errorf("%s: sent %+v", base, sent.Form)
			}
			if rec := w.record(); rec.Model != "" || rec.Team != "search" || rec.Cost != 0 || rec.Input+rec.Output != 0 || rec.Outcome != usage.OK {
				t.Errorf("%s: recorded %+v", base, rec)
			}
			path := base + "files/" + f.ID
			if got := w.do(w.t.Context(), http.MethodGet, path, `{"stream":true}`, "api-key", searchKey).filed(t); got.ID != f.ID || got.Filename != f.Filename {
				t.Errorf("%s: got %+v", base, got)
			}
			content := w.do(w.t.Context(), http.MethodGet, path+"/content", "")
			if content.body != "the content" || content.header.Get("Content-Type") != "application/octet-stream" || content.header.Get("Content-Disposition") != `attachment; filename="a b.txt"` {
				t.Errorf("%s: %v %s", base, content.header, content.body)
			}
			if ids, _ := listing(t, w.do(w.t.Context(), http.MethodGet, base+"files?purpose=user_data", "").body); !slices.Equal(ids, []string{f.ID}) {
				t.Errorf("%s: listed %q", base, ids)
			}
			if ids, _ := listing(t, w.do(w.t.Context(), http.MethodGet, base+"files?purpose=batch", "").body); len(ids) > 0 {
				t.Errorf("%s: listed %q", base, ids)
			}
			if got := w.do(w.t.Context(), http.MethodDelete, path, "").filed(t); got.ID != f.ID || !got.Deleted {
				t.Errorf("%s: deleted %+v", base, got)
			}
			late := w.do(w.t.Context(), http.MethodGet, path, "")
			if late.status != http.StatusNotFound || !strings.Contains(late.message(), f.ID) {
				t.Errorf("%s: fetched what is deleted: %d %s", base, late.status, late.body)
			}
		}
	}, keptBy(oneSecret)...)
}

// TestUploadsThatAreRefused holds what an upload must be, and that nobody is asked
// for one that is not.
func TestUploadsThatAreRefused(t *testing.T) {
	t.Parallel()
	purpose, file := field{name: "purpose", value: "user_data"}, field{name: "file", filename: "a.txt", value: "x"}
	tests := []struct {
		name   string
		form   []field
		code   string
		param  string
		header []string
	}{
		{name: "no file", form: []field{purpose}, code: "missing_required_parameter", param: "file"},
		{name: "no purpose", form: []field{file}, code: "missing_required_parameter", param: "purpose"},
		{name: "two files", form: []field{purpose, file, file}, code: "invalid_form", param: "file"},
		{name: "a file by another case", form: []field{purpose, {name: "File", filename: "a", value: "x"}}, code: "invalid_form", param: "File"},
		{name: "a file without a name", form: []field{purpose, {name: "file", value: "x"}}, code: "invalid_form", param: "file"},
		{name: "a purpose by another case", form: []field{{name: "purpose", value: "Batch"}, file}, code: "invalid_value", param: "purpose"},
		{name: "a purpose with a space", form: []field{{name: "purpose", value: "batch "}, file}, code: "invalid_value", param: "purpose"},
		{name: "two purposes", form: []field{purpose, purpose, file}, code: "invalid_form", param: "purpose"},
		{name: "explained", form: []field{purpose, file}, code: "invalid_value", param: "x-weir-explain", header: []string{"X-Weir-Explain", "1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				body, kind := written(t, tt.form...)
				got := w.do(w.t.Context(), http.MethodPost, "/v1/files", body, append(tt.header, "Content-Type", kind)...)
				if code, param, _ := got.code(); got.status != http.StatusBadRequest || code != tt.code || param != tt.param {
					t.Errorf("%d %s", got.status, got.body)
				}
				if n := len(w.asked()); n > 0 {
					t.Errorf("%d calls", n)
				}
			})
		})
	}
}

// pagesOf reads a listing page by page, as clients do: behind the last that it knows.
func (w *world) pagesOf(path string, limit int, query string, headers ...string) (ids []string) {
	w.t.Helper()
	for after := ""; ; {
		got := w.gets(fmt.Sprintf("%s?limit=%d%s%s", path, limit, query, after), headers...)
		var page struct {
			Last string `json:"last_id"`
			More bool   `json:"has_more"`
		}
		if err := json.Unmarshal([]byte(got.body), &page); err != nil || got.status != http.StatusOK {
			w.t.Fatalf("%d %s", got.status, got.body)
		}
		more, _ := listing(w.t, got.body)
		if len(more) > limit || page.More && len(more) < limit || len(more) == 0 && after != "" || len(more) > 0 && page.Last != more[len(more)-1] {
			w.t.Errorf("%s: %d ids, more %v, the last %s", path, len(more), page.More, page.Last)
		}
		if ids = append(ids, more...); !page.More {
			return ids
		}
		after = "&after=" + url.QueryEscape(page.Last)
	}
}

// TestListingsAreTheTeamsOwn: of 250 files, of as many batches and of as many stored
// chats, of three teams and of nobody's, each team sees its own, once and in order.
func TestListingsAreTheTeamsOwn(t *testing.T) {
	t.Parallel()
	line := `{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":` + say("hello") + "}\n"
	teams := map[string][]string{"search": nil, "third": {"Authorization", "Bearer " + westKey}, "other": asOther()}
	tests := []struct {
		path string
		make func(w *world, i int, headers []string) reply
	}{
		{"files", func(w *world, i int, headers []string) reply {
			return w.uploads("user_data", strconv.Itoa(i)+".txt", "x", headers...)
		}},
		{"batches", func(w *world, _ int, headers []string) reply {
			f := w.uploads("batch", "b.jsonl", strings.Replace(line, "gpt-4o", "gpt-35-turbo", 1), headers...).filed(w.t)
			return w.do(w.t.Context(), http.MethodPost, "/v1/batches", batchOf(f.ID), headers...)
		}},
		{"chat/completions", func(w *world, _ int, headers []string) reply {
			return w.chat(of("gpt-35-turbo", say("hello", `"store":true`)), headers...)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			t.Parallel()
			edits := append(thirdTeam(), "keys:", "batches: true\n    keys:")
			edits[1] = strings.Replace(edits[1], "keys:", "batches: true\n    keys:", 1)
			bubble(t, plain, func(w *world) {
				chance := rand.New(rand.NewPCG(5, 6))
				made := map[string][]string{}
				for i := range 250 {
					name := []string{"search", "third", "other"}[chance.IntN(3)]
					made[name] = append(made[name], tt.make(w, i, teams[name]).filed(t).ID)
				}
				for name, headers := range teams {
					for _, limit := range []int{7, 100, min(100, len(made[name]))} { // the last is full, and all
						if diff := gocmp.Diff(made[name], w.pagesOf(tt.path, limit, "&order=asc", headers...)); diff != "" {
							t.Errorf("%s, %d at once (-made +listed):\n%s", name, limit, diff)
						}
					}
					down := w.pagesOf(tt.path, 50, "&order=desc", headers...)
					slices.Reverse(down)
					if diff := gocmp.Diff(made[name], down); diff != "" {
						t.Errorf("%s, the last first (-made +listed):\n%s", name, diff)
					}
				}
				strange := w.gets(tt.path + "?after=" + made["third"][0])
				if code, param, _ := strange.code(); strange.status != http.StatusNotFound || code != "not_found" || param != "after" {
					t.Errorf("behind another's: %d %s", strange.status, strange.body)
				}
			}, append(edits, "models: [gpt-35-turbo]", "models: [gpt-35-turbo]")...)
		})
	}
}

// TestListingSpansResources: what several resources keep is one listing.
func TestListingSpansResources(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		var all []string
		for range 9 {
			all = append(all, w.chat(say("hello", `"store":true`)).filed(t).ID)
		}
		if len(w.west.Requests()) == 0 || len(w.east.Requests()) == 0 {
			t.Fatal("one resource made them all")
		}
		got := w.pagesOf("chat/completions", 2, "")
		slices.Sort(all)
		slices.Sort(got)
		if diff := gocmp.Diff(all, got); diff != "" {
			t.Errorf("(-made +listed):\n%s", diff)
		}
	}, keptBy(oneSecret)...)
}

// TestListingQueries: a listing is asked for as the API has it.
func TestListingQueries(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		for query, param := range map[string]string{
			"files?limit=0": "limit", "files?limit=10001": "limit", "batches?limit=101": "limit", "files?limit=x": "limit",
			"files?order=up": "order", "files?after=file-1x": "after", "batches?after=x": "after",
		} {
			if _, got, _ := w.gets(query).code(); got != param {
				t.Errorf("%s: param %q, want %q", query, got, param)
			}
		}
		for _, path := range []string{"files", "batches", "chat/completions"} {
			if ids, _ := listing(t, w.gets(path).body); len(ids) > 0 {
				t.Errorf("%s: %q", path, ids)
			}
		}
	})
}

// TestConversationsAreNotServed: what is not served says what to do instead.
func TestConversationsAreNotServed(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		for _, base := range []string{"/v1/", "/", "/openai/v1/", "/openai/"} {
			got := w.do(w.t.Context(), http.MethodPost, base+"conversations", "{}")
			if code, _, _ := got.code(); got.status != http.StatusNotFound || code != "unknown_url" || !strings.Contains(got.message(), "previous_response_id") {
				t.Errorf("%s: %d %s", base, got.status, got.body)
			}
		}
		if n := len(w.asked()); n > 0 {
			t.Errorf("%d calls", n)
		}
	})
}

// TestLongListing: more than can be looked through is said to be so, and no page of
// nothing stands for all.
func TestLongListing(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		const chats = 1100
		for range chats {
			w.chat(say("x", `"store":true`), "Authorization", "Bearer "+westKey)
		}
		got := w.gets("chat/completions?order=asc")
		if code, _, _ := got.code(); got.status != http.StatusBadRequest || code != "listing_too_long" || len(w.asked()) != chats+50 {
			t.Errorf("%d calls: %d %s", len(w.asked())-chats, got.status, got.body)
		}
		if ids := w.pagesOf("chat/completions", 100, "", "Authorization", "Bearer "+westKey); len(ids) != chats {
			t.Errorf("whose they are sees %d", len(ids))
		}
	}, append(thirdTeam(), keptBy(oneSecret)...)...)
}

// TestForeignThings: an id of a file, of a batch or of a stored chat that was not
// given to the team is no id, in a path and in a request, and nobody is asked.
func TestForeignThings(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		theirs := w.uploads("user_data", "a.txt", "x", asOther()...).filed(t).ID
		mine := w.uploads("user_data", "a.txt", "x").filed(t).ID
		chat := w.chat(say("hello", `"store":true`)).filed(t).ID
		before := len(w.asked())
		ids := append(forgedAs("file-", rand.New(rand.NewPCG(7, 8)), mine, theirs, 300), theirs, "file-abc", "assistant-abc", chat)
		for i, id := range ids {
			for _, path := range []string{"files/" + id, "files/" + id + "/content", "batches/" + id, "batches/" + strings.Replace(id, "file-", "batch_", 1), "chat/completions/" + strings.Replace(id, "file-", "chatcmpl-", 1) + "/messages"} {
				if id == chat && strings.HasPrefix(path, "chat/") {
					continue
				}
				got := w.gets(path)
				if code, param, _ := got.code(); got.status != http.StatusNotFound || code != "not_found" || param != "id" {
					t.Errorf("%s: %d %s", path, got.status, got.body)
				}
			}
			body, param := fileAsked(i, id)
			ask := w.respond
			if strings.Contains(body, `"messages"`) {
				ask = w.chat
			}
			got := ask(body)
			if code, at, _ := got.code(); got.status != http.StatusBadRequest || code != "file_not_found" || at != param {
				t.Errorf("%s: %d %s, want %s", body, got.status, got.body, param)
			}
		}
		if n := len(w.asked()); n != before {
			t.Errorf("%d requests arrived", n-before)
		}
	}, keptBy(oneSecret)...)
}

// fileAsked returns a request that refers to a file, and the field that does.
func fileAsked(i int, id string) (body, param string) {
	forms := [][2]string{
		{`{"model":"gpt-4o","input":[{"role":"user","content":[{"type":"input_text","text":"x"},{"type":"input_file","file_id":"ID"}]}]}`, "input[0].content[1].file_id"},
		{`{"model":"gpt-4o","input":[{"role":"user","content":[{"type":"input_image","file_id":"ID"}]}]}`, "input[0].content[0].file_id"},
		{`{"model":"gpt-4o","input":[{"type":"function_call_output","call_id":"c","output":[{"type":"input_file","file_id":"ID"}]}]}`, "input[0].output[0].file_id"},
		{`{"model":"gpt-4o","input":"x","tools":[{"type":"code_interpreter","container":{"type":"auto","file_ids":["ID"]}}]}`, "tools[0].container.file_ids[0]"},
		{`{"model":"gpt-4o","messages":[{"role":"user","content":[{"type":"text","text":"x"},{"type":"file","file":{"file_id":"ID"}}]}]}`, "messages[0].content[1].file.file_id"},
	}
	f := forms[i%len(forms)]
	return strings.Replace(f[0], "ID", id, 1), f[1]
}

// TestFilesInRequests: a request that refers to a file goes where the file is, with
// the id that it has there.
func TestFilesInRequests(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		f := w.uploads("user_data", "a.txt", "x").filed(t)
		for i := range 10 {
			body, _ := fileAsked(i, f.ID)
			if strings.Contains(body, `"messages"`) {
				w.chat(body)
			} else {
				w.respond(body)
			}
			last := w.lastAt("east/")
			if where := w.record().Deployment; where != "east/gpt-4o-east" || strings.Contains(string(last.Body), f.ID) || !strings.Contains(string(last.Body), `"file-`) {
				t.Errorf("%s went to %s as %s", body, where, last.Body)
			}
		}
		if n := len(w.west.Requests()); n > 0 {
			t.Errorf("%d requests went elsewhere", n)
		}
		away := w.respond(strings.Replace(fmt.Sprintf(`{"model":"d2","input":[{"role":"user","content":[{"type":"input_file","file_id":%q}]}]}`, f.ID), "gpt-4o", "d2", 1))
		if _, param, _ := away.code(); away.status != http.StatusBadRequest || param != "model" {
			t.Errorf("for a model elsewhere: %d %s", away.status, away.body)
		}
		made := w.respond(wish("hello"))
		for w.record().Deployment != "west/gpt-4o-west" {
			made = w.respond(wish("hello"))
		}
		two := w.respond(fmt.Sprintf(`{"model":"gpt-4o","previous_response_id":%q,"input":[{"role":"user","content":[{"type":"input_file","file_id":%q}]}]}`, made.response(t).ID, f.ID))
		if _, param, _ := two.code(); two.status != http.StatusBadRequest || param != "input[0].content[0].file_id" {
			t.Errorf("two resources: %d %s", two.status, two.body)
		}
		item := w.respond(`{"model":"gpt-4o","input":[{"type":"item_reference","id":"msg_1"}]}`)
		if _, param, _ := item.code(); item.status != http.StatusBadRequest || param != "input[0]" {
			t.Errorf("an item of nowhere: %d %s", item.status, item.body)
		}
		one := w.respond(`{"model":"gpt-5","input":[{"type":"item_reference","id":"msg_1"}]}`)
		if code, _, _ := one.code(); one.status == http.StatusBadRequest && code == "invalid_value" {
			t.Errorf("an item of the only resource: %d %s", one.status, one.body)
		}
	}, keptBy(oneSecret)...)
}

// TestThingsOutliveTheirGateway: another gateway with a secret knows what the first
// one's teams have, also while secrets change, and lists it; one without does not.
func TestThingsOutliveTheirGateway(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		secrets []string
		knows   bool
	}{
		{"the same secret", []string{oneSecret}, true},
		{"a new one before it", []string{twoSecret, oneSecret}, true},
		{"another secret", []string{twoSecret}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				f := w.uploads("user_data", "a.txt", "x").filed(t)
				chat := w.chat(say("hello", `"store":true`)).filed(t)
				o := w.another(keptBy(tt.secrets...)...)
				for _, path := range []string{"files/" + f.ID, "files/" + f.ID + "/content", "chat/completions/" + chat.ID} {
					if got := o.gets(path); (got.status == http.StatusOK) != tt.knows {
						t.Errorf("%s: %d %s", path, got.status, got.body)
					}
				}
				for _, path := range []string{"files", "chat/completions"} {
					if ids, _ := listing(t, o.gets(path).body); (len(ids) == 1) != tt.knows {
						t.Errorf("%s: %q", path, ids)
					}
				}
				if got := o.gets("files"); tt.knows && !strings.Contains(got.body, `"filename":"a.txt"`) {
					t.Errorf("listed %s", got.body)
				}
			}, keptBy(oneSecret)...)
		})
	}
}

// TestFilesStayInRegions: a file goes to the first resource that the team may use,
// and none that it may use is said so.
func TestFilesStayInRegions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		edits  []string
		status int
		east   int
		west   int
	}{
		{"the preferred", []string{"teams:\n", "files: { backends: [west, east] }\nteams:\n"}, 200, 0, 1},
		{"not in the region", []string{"teams:\n", "files: { backends: [west, east] }\nteams:\n", "east: {", "east: { region: eu,", "west: {", "west: { region: us,", `owner: "#search"`, "regions: [eu]"}, 200, 1, 0},
		{"none of its models", []string{"teams:\n", "files: { backends: [west, east] }\nteams:\n", `owner: "#search"`, "models: [gpt-5]"}, 200, 1, 0},
		{"none at all", []string{"teams:\n", "files: { backends: [west] }\nteams:\n", `owner: "#search"`, "models: [gpt-5]"}, 403, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				got := w.uploads("user_data", "a.txt", "x")
				if code, _, _ := got.code(); got.status != tt.status || tt.status == http.StatusForbidden && code != "no_files_backend" {
					t.Errorf("%d %s", got.status, got.body)
				}
				if e, o := len(w.east.Requests()), len(w.west.Requests()); e != tt.east || o != tt.west {
					t.Errorf("%d calls in the east, %d in the west", e, o)
				}
			}, tt.edits...)
		})
	}
}

// TestFilesCountAsRequests: every one of these requests is one of the team's, and no
// token.
func TestFilesCountAsRequests(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		f := w.uploads("user_data", "a.txt", strings.Repeat("word ", 5000)).filed(t)
		w.gets("files")
		w.gets("files/" + f.ID)
		w.gets("files/" + f.ID + "/content")
		if requests, tokens := w.spent(); requests != 4 || tokens != 0 {
			t.Errorf("%d requests, %d tokens", requests, tokens)
		}
	}, limited(measured)...)
	bubble(t, plain, func(w *world) {
		w.gets("files")
		got := w.gets("files")
		if code, _, _ := got.code(); got.status != http.StatusTooManyRequests || code != "rate_limit_exceeded" || len(w.asked()) != 2 {
			t.Errorf("%d calls: %d %s", len(w.asked()), got.status, got.body)
		}
	}, limited("rpm: 1")...)
}

// TestUploadIsSentOnce: what upstream may have kept is not sent again, and what it
// has not is.
func TestUploadIsSentOnce(t *testing.T) {
	t.Parallel()
	for name, calls := range map[string]int{"close-after-read": 1, "unavailable": 2} {
		bubble(t, plain, func(w *world) {
			w.east.Script(steps(name)...)
			got := w.uploads("user_data", "a.txt", "x")
			if n := len(w.asked()); n != calls || (got.status == http.StatusOK) != (calls > 1) {
				t.Errorf("%s: %d calls: %d %s", name, n, got.status, got.body)
			}
		})
	}
}

// TestFilesBehindAnOpenBreaker: while all of a resource's deployments are left alone
// that the team may use, so are its files, and it says when to come again. One that is
// not is enough.
func TestFilesBehindAnOpenBreaker(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		f := w.uploads("user_data", "a.txt", "x", asOther()...).filed(t)
		others := w.uploads("user_data", "a.txt", "x").filed(t)
		w.east.Script(steps("unavailable", "unavailable", "unavailable")...)
		w.chat(of("gpt-35-turbo", say("hello")), asOther()...)
		if w.unwell()["east/gpt-35-turbo"] == "" {
			t.Fatal("its breaker is closed")
		}
		if got := w.gets("files/" + others.ID); got.status != http.StatusOK {
			t.Errorf("by another deployment: %d %s", got.status, got.body)
		}
		got := w.gets("files/"+f.ID, asOther()...)
		if code, _, _ := got.code(); got.status != http.StatusServiceUnavailable || code != "no_healthy_deployment" || got.header.Get("Retry-After") == "" {
			t.Errorf("%d %s", got.status, got.body)
		}
		time.Sleep(2 * time.Minute)
		if got := w.gets("files/"+f.ID, asOther()...); got.status != http.StatusOK {
			t.Errorf("later: %d %s", got.status, got.body)
		}
	}, "resilience:\n", "resilience:\n  breaker: { consecutive_failures: 1 }\n")
}
