package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"weir/command"
)

// shelf is what resources that are no azuresim keep of files, by their hosts.
type shelf struct {
	blind bool   // it knows no cursor
	most  int    // how many a page has at most; 0 any
	gone  string // the name of a file that is gone as soon as a page has ended in it
	files map[string][]shelved
	made  int
}

type shelved struct {
	ID       string `json:"id"`
	Object   string `json:"object"`
	Filename string `json:"filename"`
}

func (s *shelf) RoundTrip(r *http.Request) (*http.Response, error) {
	out := httptest.NewRecorder()
	out.Header().Set("Content-Type", "application/json")
	at := r.URL.Host
	switch r.Method {
	case http.MethodPost:
		_, head, err := r.FormFile("file")
		if err != nil {
			return nil, err
		}
		s.made++
		f := shelved{fmt.Sprintf("file-%03d", s.made), "file", head.Filename}
		s.files[at] = append(s.files[at], f)
		_ = json.NewEncoder(out).Encode(f)
	case http.MethodDelete:
		s.drop(at, r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
		_, _ = out.WriteString(`{"object":"file","deleted":true}`)
	default:
		s.list(out, at, r.URL.Query().Get("after"))
	}
	return out.Result(), nil
}

func (s *shelf) drop(at, id string) {
	s.files[at] = slices.DeleteFunc(slices.Clone(s.files[at]), func(f shelved) bool { return f.ID == id })
}

// list shows a page.
func (s *shelf) list(w http.ResponseWriter, at, after string) {
	all := s.files[at]
	if after != "" && !s.blind {
		i := slices.IndexFunc(all, func(f shelved) bool { return f.ID == after })
		if i < 0 {
			w.WriteHeader(http.StatusNotFound)
			_, _ = fmt.Fprintf(w, `{"error":{"message":"No such File object: %s","type":"invalid_request_error","param":"after","code":null}}`, after)
			return
		}
		all = all[i+1:]
	}
	shown := all
	if s.most > 0 {
		shown = all[:min(s.most, len(all))]
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"object": "list", "data": append([]shelved{}, shown...), "has_more": len(shown) < len(all)})
	if n := len(shown); n > 0 && s.gone != "" && strings.HasSuffix(shown[n-1].Filename, s.gone) {
		s.drop(at, shown[n-1].ID)
	}
}

// bubbleShelf runs test in a world whose resources are a shelf.
func bubbleShelf(t *testing.T, s *shelf, test func(w *world)) {
	t.Helper()
	s.files = map[string][]shelved{}
	bubbleOf(t, plain, func(p *command.Parts) { p.Transport = s }, test)
}

// follows goes along a listing to its end, and returns the names of what it showed.
func (w *world) follows(path string, behind func(last filed)) (names []string, last reply) {
	w.t.Helper()
	after := ""
	for range 20 {
		last = w.gets(path + after)
		var page struct {
			Data    []filed
			HasMore bool   `json:"has_more"`
			LastID  string `json:"last_id"`
		}
		if err := json.Unmarshal([]byte(last.body), &page); err != nil || last.status != http.StatusOK {
			return names, last
		}
		for _, f := range page.Data {
			names = append(names, f.Filename)
		}
		if !page.HasMore {
			return names, last
		}
		after = "&after=" + page.LastID
		behind(page.Data[len(page.Data)-1])
	}
	w.t.Fatalf("%s: it has no end", path)
	return nil, last
}

// TestListingsOfResourcesWithoutCursors: where a resource begins anew with each page,
// what stands behind the last of ours is shown all the same.
func TestListingsOfResourcesWithoutCursors(t *testing.T) {
	t.Parallel()
	for _, most := range []int{0, 4} { // all it has, or always the same few
		bubbleShelf(t, &shelf{blind: true, most: most}, func(w *world) {
			want := []string{"a", "b", "c", "d"}
			for _, name := range want {
				w.uploads("user_data", name, "x").filed(t)
				w.uploads("user_data", "other's "+name, "x", asOther()...).filed(t)
			}
			if most > 0 {
				want = want[:2]
			}
			got, last := w.follows("files?limit=1", func(filed) {})
			if diff := gocmp.Diff(want, got); diff != "" || last.status != http.StatusOK {
				t.Errorf("most %d: %d %s (-want +got):\n%s", most, last.status, last.body, diff)
			}
		})
	}
}

// TestListingsSayWhereTheyAreLost: what a listing is asked to go on behind may be gone
// by then. It is not taken for a resource that has no files.
func TestListingsSayWhereTheyAreLost(t *testing.T) {
	t.Parallel()
	t.Run("the client's own", func(t *testing.T) {
		t.Parallel()
		bubbleShelf(t, &shelf{}, func(w *world) {
			for _, name := range []string{"a", "b", "c"} {
				w.uploads("user_data", name, "x").filed(t)
			}
			var lost string
			got, last := w.follows("files?limit=1", func(f filed) {
				lost = f.ID
				w.do(w.t.Context(), http.MethodDelete, "/v1/files/"+f.ID, "").filed(t)
			})
			if diff := gocmp.Diff([]string{"a"}, got); diff != "" || last.status != http.StatusNotFound || !strings.Contains(last.message(), lost) {
				t.Errorf("%d %s (-want +got):\n%s", last.status, last.body, diff)
			}
		})
	})
	t.Run("another team's", func(t *testing.T) {
		t.Parallel()
		bubbleShelf(t, &shelf{most: 2, gone: "theirs"}, func(w *world) {
			w.uploads("user_data", "a", "x").filed(t)
			theirs := w.uploads("user_data", "theirs", "x", asOther()...).filed(t)
			w.uploads("user_data", "b", "x").filed(t)
			got := w.gets("files")
			if code, _, _ := got.code(); got.status != http.StatusBadGateway || code != "upstream_bad_answer" || strings.Contains(got.body, "file-0") || strings.Contains(got.body, theirs.ID) {
				t.Errorf("%d %s", got.status, got.body)
			}
			if again := w.gets("files"); again.status != http.StatusOK || !strings.Contains(again.body, `"b"`) {
				t.Errorf("again: %d %s", again.status, again.body)
			}
		})
	})
}
