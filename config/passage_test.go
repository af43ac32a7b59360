package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/config"
)

func uploadFaults() []fault {
	server := func(text string) string { return goodHead + "server: { " + text + " }\n" }
	return []fault{
		{"no room for one upload", server("max_upload: 2MiB, max_upload_disk: §1MiB"), "W002", "server.max_upload_disk", "max_upload, 2MiB, can never pass", "raise"},
		{"an upload above the usual room", server("max_upload: §3GiB"), "W002", "server.max_upload", "max_upload_disk is 2GiB", "raise"},
		{"uploads of nothing", server("max_upload: §0"), "E006", "server.max_upload", "between 1KiB and 64GiB", ""},
		{"room below nothing", server("max_upload_disk: §-1"), "E006", "server.max_upload_disk", "between 0 and", ""},
		{"uploads in words", server("max_upload: §much"), "E008", "server.max_upload", "a size such as 20MiB", ""},
		{"a directory as a number", server("upload_dir: §7"), "E005", "server.upload_dir", "must be text", "quotes"},
		{"a directory that is not there", server("upload_dir: §/none"), "E019", "server.upload_dir", "no file can be made in the directory: file does not exist", "the process may write to"},
		{"files of nobody", goodHead + "files: { backends: [§azrue] }\n", "E010", "files.backends[0]", `no backend is called "azrue"`, `"azure"`},
		{"files twice", goodHead + "files: { backends: [azure, §azure] }\n", "E014", "files.backends[1]", "stands here twice", "remove"},
		{"files in no list", goodHead + "files: { backends: §azure }\n", "E005", "files.backends", "must be a list", ""},
		{"files where no model is", twoBackends("") + "files: { backends: [azure, §idle] }\n", "W002", "files.backends[1]", "can never keep a file", "add a deployment"},
		{"files where no model is asked", strings.Replace(goodHead, "deployment: gpt-4o }", "deployment: gpt-4o }, { backend: azure, deployment: b, weight: 0 }", 1) + "files: { §backend: [azure] }\n", "E004", "files.backend", "unknown key", `"backends"`},
		{"batches in words", goodHead + "teams: { a: { batches: §some } }\n", "E005", "teams.a.batches", "true or false", ""},
	}
}

// twoBackends is a good head with a second backend that serves no model.
func twoBackends(more string) string {
	return "version: 1\nbackends: { azure: { endpoint: https://a.openai.azure.com, region: eu, auth: { api_key: \"${KEY}\" } }, " +
		"idle: { endpoint: https://b.openai.azure.com, region: us, auth: { api_key: \"${KEY}\" } }, " +
		"local: { kind: openai, endpoint: \"http://127.0.0.1:1/v1\" } }\n" +
		"models: { gpt-4o: { deployments: [{ backend: azure, deployment: gpt-4o }] }, llama: { base_model: gpt-4o, deployments: [{ backend: local, deployment: llama }] } }\n" + more
}

func passageFaults() []fault {
	pass := func(text string) string { return twoBackends("passthrough:\n  - { " + text + " }\n") }
	path := func(text string) string { return pass("path: §" + text + ", backend: azure") }
	both := func(text string) string {
		return twoBackends("teams:\n" +
			"  a: { models: [gpt-4o], regions: [eu], keys: [{ id: x, sha256: " + goodHash + " }] }\n" +
			"  b: { models: [llama], keys: [{ id: x, sha256: " + strings.Repeat("a0", 32) + " }] }\n" +
			"passthrough:\n  - { path: assistants, " + text + " }\n")
	}
	const at = "passthrough[0]"
	return []fault{
		{"a passage nowhere", twoBackends("passthrough:\n  - §backend: azure\n"), "E009", at + ".path", "has no path", ""},
		{"a passage to nobody", twoBackends("passthrough:\n  - §path: assistants\n"), "E009", at + ".backend", "has no backend", ""},
		{"a passage to a backend that is none", pass("path: assistants, backend: §locl"), "E010", at + ".backend", "no backend is called", `"local"`},
		{"a passage where no model is", pass("path: assistants, backend: §idle"), "W002", at + ".backend", "no model has a deployment on it", "add a deployment"},
		{"a passage with an unknown key", pass("path: assistants, backend: azure, §method: [GET]"), "E004", at + ".method", "unknown key", `"methods"`},
		{"passages in no list", twoBackends("passthrough: §{ path: assistants }\n"), "E005", "passthrough", "must be a list", ""},
		{"a path with a slash before it", path("/assistants"), "E008", at + ".path", "a slash around it", "vector_stores"},
		{"a path with a slash behind it", path("assistants/"), "E008", at + ".path", "a slash around it", "vector_stores"},
		{"a path with a base", path("v1/assistants"), "E008", at + ".path", "the base URL", "vector_stores"},
		{"a path with Azure's base", path("/OpenAI/v1/assistants"), "E008", at + ".path", "the base URL", "vector_stores"},
		{"a base alone", path("v1"), "E008", at + ".path", "the base URL", "vector_stores"},
		{"a path that goes up", path("assistants/../files"), "E008", at + ".path", "plain names", "vector_stores"},
		{"a path of dots", path("..."), "E008", at + ".path", "plain names", "vector_stores"},
		{"a path with an escape", path("assistants%2ffiles"), "E008", at + ".path", "plain names", "vector_stores"},
		{"a path with a gap", path("assistants//x"), "E008", at + ".path", "plain names", "vector_stores"},
		{"a path with a parameter", path("assistants/:id"), "E008", at + ".path", "plain names", "vector_stores"},
		{"a path with a star", path("\"assistants/*\""), "E008", at + ".path", "plain names", "vector_stores"},
		{"a long path", path(strings.Repeat("abcdefghi/", 20) + "a"), "E008", at + ".path", "up to 200 characters", "vector_stores"},
		{"a path that Weir serves", path("responses"), "E008", at + ".path", "Weir itself serves responses", "neither"},
		{"a path below what Weir serves", path("files/x/content"), "E008", at + ".path", "Weir itself serves files", "neither"},
		{"a path above what Weir serves", path("images"), "E008", at + ".path", "Weir itself serves images/generations", "neither"},
		{"a path that Weir serves, in capitals", path("Chat"), "E008", at + ".path", "Weir itself serves chat/completions", "neither"},
		{"the deployments", path("deployments/gpt-4o"), "E008", at + ".path", "Weir itself serves deployments", "neither"},
		{"the same path twice", pass("path: assistants, backend: azure }\n  - { path: §assistants, backend: local"), "E014", "passthrough[1].path", `passthrough[0] has "assistants" already`, "keep one"},
		{"a path below another", pass("path: fine_tuning, backend: azure }\n  - { path: §Fine_tuning/jobs, backend: azure"), "E014", "passthrough[1].path", "below the other", "keep one"},
		{"a method that is none", pass("path: assistants, backend: azure, methods: [GET, §FETCH]"), "E007", at + ".methods[1]", `not "FETCH"`, "leave methods away"},
		{"a method in small letters", pass("path: assistants, backend: azure, methods: [§post]"), "E007", at + ".methods[0]", "GET or POST", `"POST"`},
		{"a method twice", pass("path: assistants, backend: azure, methods: [GET, §GET]"), "E014", at + ".methods[1]", "stands here twice", "remove"},
		{"a method of tunnels", pass("path: assistants, backend: azure, methods: [§CONNECT]"), "E007", at + ".methods[0]", `not "CONNECT"`, "write GET"},
		{"a version of openai", pass("path: assistants, backend: local, api_version: §2024-10-21"), "E017", at + ".api_version", "kind openai", "remove"},
		{"a version that is none", pass("path: assistants, backend: azure, api_version: §2024-13-41"), "E008", at + ".api_version", "v1 or a date", "2024-05-01-preview"},
		{"a version without a date", pass("path: assistants, backend: azure, api_version: §preview"), "E008", at + ".api_version", "v1 or a date", "2024-05-01-preview"},
		{"a passage for nobody", both("backend: azure, teams: [a, §c]"), "E010", at + ".teams[1]", `no team is called "c"`, `"a"`},
		{"a passage for a team elsewhere", both("backend: local, teams: [§a]"), "W002", at + ".teams[0]", "none of its regions, eu", "add the region"},
		{"a passage for a team without its models", both("backend: azure, teams: [a, §b]"), "W002", at + ".teams[1]", "none of the models", "add one of them"},
	}
}

// TestPassages reads files, uploads and passages as they may be written.
func TestPassages(t *testing.T) {
	t.Parallel()
	text := twoBackends(`server: { upload_dir: /uploads, max_upload: 1GiB, max_upload_disk: 0 }
files: { backends: [local, azure] }
teams: { a: { batches: false } }
passthrough:
  - { path: vector_stores, backend: azure }
  - { path: fine_tuning/jobs, methods: [GET, POST], backend: azure, api_version: 2024-05-01-preview, teams: [a] }
  - { path: images/variations, backend: local }
  - { path: chats, backend: local }
`)
	f, problems := config.Parse("weir.yaml", []byte(text), options())
	if f == nil || len(problems) > 0 {
		t.Fatal(texts(problems))
	}
	want := []config.Passage{
		{Path: "vector_stores", Backend: "azure", APIVersion: "v1"},
		{Path: "fine_tuning/jobs", Methods: []string{"GET", "POST"}, Backend: "azure", APIVersion: "2024-05-01-preview", Teams: []string{"a"}},
		{Path: "images/variations", Backend: "local", APIVersion: "v1"},
		{Path: "chats", Backend: "local", APIVersion: "v1"},
	}
	if diff := cmp.Diff(want, f.Passages); diff != "" {
		t.Errorf("passthrough (-want +got):\n%s", diff)
	}
	if s := f.Server; s.UploadDir != "/uploads" || s.MaxUpload != 1<<30 || s.MaxUploadDisk != 0 {
		t.Errorf("server %+v", s)
	}
	if diff := cmp.Diff([]string{"local", "azure"}, f.Files.Backends); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if b := f.Teams["a"].Batches; b == nil || *b {
		t.Errorf("batches = %v", b)
	}
	for backend, models := range map[string][]string{"azure": {"gpt-4o"}, "local": {"llama"}, "idle": nil} {
		if diff := cmp.Diff(models, f.ModelsOn(backend)); diff != "" || f.Serves(backend) != (models != nil) {
			t.Errorf("ModelsOn(%s) (-want +got):\n%s", backend, diff)
		}
	}
}

// TestNoTemporaryDirectory holds that a machine without one is told so, and may be
// without.
func TestNoTemporaryDirectory(t *testing.T) {
	t.Parallel()
	o := options()
	o.Writable = func(dir string) error {
		if dir == "/uploads" {
			return nil
		}
		return &fs.PathError{Op: "open", Path: dir, Err: errors.New("read-only file system")}
	}
	for text, want := range map[string]string{
		"":                                        "W011 server.upload_dir 0",
		"server: { max_body: 1MiB }\n":            "W011 server.upload_dir 4",
		"server: { upload_dir: /uploads }\n":      "",
		"server: { upload_dir: /elsewhere }\n":    "E019 server.upload_dir 4",
		"server: { upload_dir: \"${NOBODY}\" }\n": "E012 server.upload_dir 4",
	} {
		f, problems := config.Parse("weir.yaml", []byte(goodHead+text), o)
		var all []string
		for _, p := range problems {
			all = append(all, fmt.Sprintf("%s %s %d", p.Code, p.Path, p.Line))
		}
		if got := strings.Join(all, ", "); got != want || (f == nil) != strings.HasPrefix(want, "E") {
			t.Errorf("%q: %q, want %q\n%s", text, all, want, texts(problems))
		}
	}
}
