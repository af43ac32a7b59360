package main_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"weir/command"
)

// via answers requests without a network.
type via struct{ serve http.HandlerFunc }

func (v *via) RoundTrip(r *http.Request) (*http.Response, error) {
	out := httptest.NewRecorder()
	out.Header().Set("Content-Type", "application/json")
	v.serve(out, r)
	return out.Result(), nil
}

// TestFileNamesAreTheClients: whatever a resource makes of a file's name, the client
// sees the one that it gave and never the mark, and the file is its team's.
func TestFileNamesAreTheClients(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		kept func(name string) string // what the resource makes of it
		want string
	}{
		{"a.txt", strings.Clone, "a.txt"},
		{"dir/a.txt", strings.Clone, "dir/a.txt"},
		{"dir/a.txt", path.Base, "a.txt"},
		{`C:\dir\a.txt`, strings.Clone, `C:\dir\a.txt`},
		{`C:\dir\a.txt`, func(name string) string { return name[strings.LastIndexByte(name, '\\')+1:] }, "a.txt"},
		{"a/", strings.Clone, "a/"},
	} {
		kept := ""
		resource := func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodPost:
				reader, err := r.MultipartReader()
				if err != nil {
					t.Error(err)
					return
				}
				for p, err := reader.NextPart(); err == nil; p, err = reader.NextPart() {
					if _, name, ok := strings.Cut(p.Header.Get("Content-Disposition"), `filename="`); ok {
						kept = tt.kept(strings.ReplaceAll(strings.TrimSuffix(name, `"`), `\\`, `\`))
					}
				}
			case strings.HasSuffix(r.URL.Path, "/content"):
				w.Header().Set("Content-Type", "text/plain")
				w.Header().Set("Content-Disposition", `attachment; filename="`+kept+`"; filename*=UTF-8''`+url.PathEscape(kept))
				return
			case strings.HasSuffix(r.URL.Path, "/files"):
				_ = json.NewEncoder(w).Encode(map[string]any{"data": []shelved{{"file-1", "file", kept}}})
				return
			}
			_ = json.NewEncoder(w).Encode(shelved{"file-1", "file", kept})
		}
		bubbleOf(t, plain, func(p *command.Parts) { p.Transport = &via{resource} }, func(w *world) {
			f := w.uploads("user_data", tt.name, "x").filed(t)
			ids, _ := listing(t, w.gets("files").body)
			head := w.gets("files/" + f.ID + "/content").header.Get("Content-Disposition")
			if f.Filename != tt.want || len(ids) == 0 || ids[0] != f.ID || strings.Contains(head, "weir-") || !strings.Contains(kept, "weir-") {
				t.Errorf("%s, kept as %s: it is called %q, listed as %q, comes as %s", tt.name, kept, f.Filename, ids, head)
			}
		})
	}
}

// TestRefusedUploadsAreQuotedWithoutMark: what a resource says of a file that it does
// not take is told of its name as the client gave it.
func TestRefusedUploadsAreQuotedWithoutMark(t *testing.T) {
	t.Parallel()
	refuses := func(w http.ResponseWriter, r *http.Request) {
		_, head, err := r.FormFile("file")
		if err != nil {
			t.Error(err)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": "Invalid extension of " + head.Filename, "type": "invalid_request_error"}})
	}
	bubbleOf(t, plain, func(p *command.Parts) { p.Transport = &via{refuses} }, func(w *world) {
		if got := w.uploads("assistants", "a.exe", "x"); got.status != http.StatusBadRequest || got.message() != "Invalid extension of a.exe" {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

// TestMarksAreNotPlanted: who knows another team's mark puts no file into its listing.
func TestMarksAreNotPlanted(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	bubbleShelf(t, s, func(w *world) {
		mine := w.uploads("user_data", "a.txt", "x").filed(t)
		for _, at := range slices.Sorted(maps.Keys(s.files)) {
			mark := strings.TrimSuffix(s.files[at][0].Filename, "a.txt")
			for _, name := range []string{mark + "b", mark + "/b", "dir/" + mark + "b", mark + "/" + mark + "b", `\` + mark + "b", mark} {
				body, kind := written(t, field{name: "purpose", value: "user_data"}, field{name: "file", filename: name, value: "x"})
				if up := w.do(w.t.Context(), http.MethodPost, "/v1/files", body, append(asOther(), "Content-Type", kind)...); up.status != http.StatusOK {
					t.Errorf("%s: %d %s", name, up.status, up.body)
				}
			}
		}
		ids, _ := listing(t, w.gets("files").body)
		if slices.ContainsFunc(ids, func(id string) bool { return id != mine.ID }) || len(ids) != 1 {
			t.Errorf("listed %q, of which %s is its own; kept %v", ids, mine.ID, s.files)
		}
	})
}
