package command

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"

	"weir/config"
	"weir/proxy"
)

// handing is a configuration with three backends, one of them without models.
const handing = `version: 1
server: { upload_dir: /uploads, max_upload: 1MiB, max_upload_disk: 3MiB }
backends:
  west: { endpoint: https://w.openai.azure.com, region: us, auth: { api_key: "${KEY}" } }
  east: { endpoint: https://e.openai.azure.com, region: eu, auth: { api_key: "${KEY}" } }
  idle: { endpoint: https://i.openai.azure.com, auth: { api_key: "${KEY}" } }
models:
  b: { base_model: gpt-4o, deployments: [{ backend: west, deployment: b }, { backend: east, deployment: b, weight: 0 }] }
  a: { base_model: gpt-4o, deployments: [{ backend: west, deployment: a }, { backend: east, deployment: a }] }
`

func aKey(name string) (string, bool) { return "0123456789abcdef", name == "KEY" }

func handed(t *testing.T, text string) *config.File {
	t.Helper()
	f, problems := config.Parse("weir.yaml", []byte(text), config.Options{Getenv: aKey})
	if f == nil {
		t.Fatal(problems)
	}
	return f
}

// TestPassagesAreNoWayRound holds that nothing which is routed, and nothing above
// it, may be handed on as it is.
func TestPassagesAreNoWayRound(t *testing.T) {
	t.Parallel()
	e := echo.New()
	proxy.New(proxy.Config{}).Routes(e)
	if len(e.Routes()) < 100 {
		t.Fatalf("%d routes", len(e.Routes()))
	}
	seen := map[string]bool{}
	for _, r := range e.Routes() {
		for _, base := range []string{"/", "/v1/", "/openai/", "/openai/v1/"} {
			path, ok := strings.CutPrefix(r.Path, base)
			if !ok {
				continue
			}
			path, _, _ = strings.Cut(path, "/:")
			steps := strings.Split(path, "/")
			for n := range steps {
				seen[strings.Join(steps[:n+1], "/")] = true
			}
		}
	}
	for path := range seen {
		text := handing + "passthrough: [{ path: " + path + ", backend: west }]\n"
		_, problems := config.Parse("weir.yaml", []byte(text), config.Options{Getenv: aKey})
		if !slices.ContainsFunc(problems, func(p config.Problem) bool { return p.Code == "E008" && p.Path == "passthrough[0].path" }) {
			t.Errorf("%s may be handed on", path)
		}
	}
}

// TestResources holds which backends keep files, in which order, and what is known
// of them.
func TestResources(t *testing.T) {
	t.Parallel()
	west := proxy.Resource{Name: "west", Region: "us", Models: []string{"a", "b"}}
	east := proxy.Resource{Name: "east", Region: "eu", Models: []string{"a"}}
	for name, tt := range map[string]struct {
		more string
		want []proxy.Resource
	}{
		"all":        {"", []proxy.Resource{east, west}},
		"in order":   {"files: { backends: [west, east] }\n", []proxy.Resource{west, east}},
		"one":        {"files: { backends: [east] }\n", []proxy.Resource{east}},
		"that serve": {"files: { backends: [idle, west] }\n", []proxy.Resource{west}},
	} {
		b := &builder{file: handed(t, handing+tt.more), state: new(state)}
		if diff := cmp.Diff(tt.want, b.resources()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		up := b.uploads()
		if up.Dir != "/uploads" || up.Max != 1<<20 || up.Disk != 3<<20 || up.Used != &b.state.uploads {
			t.Errorf("uploads %+v", up)
		}
	}
	f, problems := config.FromEnvironment(config.Options{Getenv: func(name string) (string, bool) {
		v, ok := map[string]string{"AZURE_OPENAI_ENDPOINT": "https://a.openai.azure.com", "AZURE_OPENAI_API_KEY": "0123456789abcdef", "WEIR_SERVER_UPLOAD_DIR": "/up"}[name]
		return v, ok
	}})
	if f == nil {
		t.Fatal(problems)
	}
	b := &builder{file: f, state: new(state)}
	if diff := cmp.Diff([]proxy.Resource{{Name: "azure"}}, b.resources()); diff != "" || b.uploads().Dir != "/up" || b.uploads().Max != 200<<20 {
		t.Errorf("without a file: %+v (-want +got):\n%s", b.uploads(), diff)
	}
}

// TestPassagesAreBuilt holds what the gateway is told of a path that is handed on.
func TestPassagesAreBuilt(t *testing.T) {
	t.Parallel()
	b := &builder{file: handed(t, handing+`passthrough:
  - { path: vector_stores, backend: west }
  - { path: fine_tuning/jobs, methods: [GET, POST], backend: east, api_version: 2024-05-01-preview, teams: [default] }
`)}
	want := []proxy.Passage{
		{Path: "vector_stores", Resource: proxy.Resource{Name: "west", Region: "us", Models: []string{"a", "b"}}},
		{
			Path: "fine_tuning/jobs", Methods: map[string]bool{"GET": true, "POST": true}, Version: "2024-05-01-preview",
			Resource: proxy.Resource{Name: "east", Region: "eu", Models: []string{"a"}}, Teams: map[string]bool{"default": true},
		},
	}
	if diff := cmp.Diff(want, b.passages()); diff != "" {
		t.Errorf("passages (-want +got):\n%s", diff)
	}
}

// TestBatchesAreAllowed holds which teams may have batches where nothing is said of
// it: those whose tokens no limit that holds would have to count.
func TestBatchesAreAllowed(t *testing.T) {
	t.Parallel()
	const hash = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"
	for text, want := range map[string]bool{
		"":                                       true,
		"limits: { rpm: 5, concurrency: 5 }":     true,
		"limits: { tpm: 5 }":                     false,
		"limits: { tpm: 5, mode: shadow }":       true,
		"budget: { usd: 5 }":                     false,
		"budget: { usd: 5, mode: shadow }":       true,
		"limits: { tpm: 5 }, batches: true":      true,
		"batches: false":                         false,
		"keys: [{ id: x, sha256: " + hash + "}]": true,
		"keys: [{ id: x, sha256: " + hash + ", limits: { tpm: 5 } }]":                false,
		"keys: [{ id: x, sha256: " + hash + ", budget: { usd: 5 } }], batches: true": true,
	} {
		b := &builder{file: handed(t, handing+"teams: { a: { "+text+" } }\n")}
		if got := b.team("a", b.file.Teams["a"], proxy.Names{}); got.Batches != want {
			t.Errorf("{ %s }: %v, want %v", text, got.Batches, want)
		}
	}
}

// TestWritable holds what is said of directories for uploads, and that nothing is
// left in them.
func TestWritable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		dir  string
		want error
	}{{dir, nil}, {"", nil}, {filepath.Join(dir, "none"), fs.ErrNotExist}, {file, fs.ErrInvalid}} {
		err := writable(tt.dir)
		if (err == nil) != (tt.want == nil) || errors.Is(tt.want, fs.ErrNotExist) && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("writable(%q) = %v", tt.dir, err)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestGateTellsOfItsEnd holds that who waits for the gateway to drain is told once.
func TestGateTellsOfItsEnd(t *testing.T) {
	t.Parallel()
	g := newGate()
	select {
	case <-g.shut:
		t.Error("it is shut from the beginning")
	default:
	}
	g.close()
	g.close()
	<-g.shut
	if !g.draining() {
		t.Error("it does not drain")
	}
}
