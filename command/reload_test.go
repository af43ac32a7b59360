package command

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/config"
	"weir/telemetry"
	"weir/tokens"
)

// The keys of callers, and what the log says of reading the configuration again.
const (
	oldKey   = "sk-the-old-key-for-tests"
	newKey   = "sk-the-new-key-for-tests"
	taken    = "the configuration was reloaded"
	notTaken = "the configuration was not reloaded: the one before stays"
)

// keyed is a configuration whose callers have the key, with what more is said of
// their team.
func keyed(endpoint, key, more string) string {
	return before(endpoint, `listen: "127.0.0.1:0"`) + `teams:
  search:
    keys: [{ id: one, value: ` + key + more + ` }]
`
}

// rewrite puts text at path, or fails the test.
func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// models asks for the list of models with a key.
func (p *process) models(t *testing.T, key string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.api+"/v1/models", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Api-Key", key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// lets checks who is let in.
func (p *process) lets(t *testing.T, in, out string) {
	t.Helper()
	if got := p.models(t, in); got != http.StatusOK {
		t.Errorf("%s is answered %d", in, got)
	}
	if got := p.models(t, out); got != http.StatusUnauthorized {
		t.Errorf("%s is answered %d", out, got)
	}
}

// reload asks the admin port to read the configuration again.
func (p *process) reload(t *testing.T) (int, telemetry.Reload) {
	t.Helper()
	resp, err := http.Post(p.admin+"/admin/v1/reload", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out telemetry.Reload
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, out
}

// tells checks what the metrics and /readyz?verbose say of the last reload.
func (p *process) tells(t *testing.T, successful bool) {
	t.Helper()
	gauge := "\nweir_config_last_reload_successful 0\n"
	if successful {
		gauge = "\nweir_config_last_reload_successful 1\n"
	}
	if _, metrics := get(t, p.admin+"/metrics"); !strings.Contains(metrics, gauge) {
		t.Errorf("the metrics have no %q", gauge)
	}
	status, body := get(t, p.admin+"/readyz?verbose")
	var says struct{ Configuration telemetry.Reload }
	if err := json.Unmarshal([]byte(body), &says); err != nil || status != http.StatusOK || says.Configuration.OK != successful {
		t.Errorf("/readyz?verbose answers %d %s, %v", status, body, err)
	}
	if !successful && (says.Configuration.Error == "" || len(says.Configuration.Problems) == 0) {
		t.Errorf("it does not say why: %s", body)
	}
}

// A way to change a file, and what it is called.
type way struct {
	name   string
	begin  func(t *testing.T, dir, text string) (path string)
	change func(t *testing.T, dir, text string)
}

// ways are how files are changed out there. Each puts text at weir.yaml of dir.
func ways() []way {
	plainly := func(t *testing.T, dir, text string) string {
		t.Helper()
		rewrite(t, filepath.Join(dir, "weir.yaml"), text)
		return filepath.Join(dir, "weir.yaml")
	}
	link := func(t *testing.T, from, to string) {
		t.Helper()
		if err := os.Symlink(to, from+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(from+".new", from); err != nil {
			t.Fatal(err)
		}
	}
	// mount writes a version of a ConfigMap as a kubelet does, and lets ..data lead to it.
	mount := func(t *testing.T, dir, version, text string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		rewrite(t, filepath.Join(dir, version, "weir.yaml"), text)
		link(t, filepath.Join(dir, "..data"), version)
	}
	return []way{
		{"edited in place", plainly, func(t *testing.T, dir, text string) { t.Helper(); plainly(t, dir, text) }},
		{"replaced by a rename", plainly, func(t *testing.T, dir, text string) {
			t.Helper()
			rewrite(t, filepath.Join(dir, ".weir.yaml.swp"), text)
			if err := os.Rename(filepath.Join(dir, ".weir.yaml.swp"), filepath.Join(dir, "weir.yaml")); err != nil {
				t.Fatal(err)
			}
		}},
		{"deleted and written anew", plainly, func(t *testing.T, dir, text string) {
			t.Helper()
			if err := os.Remove(filepath.Join(dir, "weir.yaml")); err != nil {
				t.Fatal(err)
			}
			plainly(t, dir, text)
		}},
		{"written by halves", plainly, func(t *testing.T, dir, text string) {
			t.Helper()
			plainly(t, dir, text[:len(text)/2])
			plainly(t, dir, text)
		}},
		{"a ConfigMap", func(t *testing.T, dir, text string) string {
			t.Helper()
			mount(t, dir, "..2026_11_01", text)
			link(t, filepath.Join(dir, "weir.yaml"), "..data/weir.yaml")
			return filepath.Join(dir, "weir.yaml")
		}, func(t *testing.T, dir, text string) {
			t.Helper()
			mount(t, dir, "..2026_11_02", text)
			if err := os.RemoveAll(filepath.Join(dir, "..2026_11_01")); err != nil {
				t.Fatal(err)
			}
		}},
		{"behind a link, edited in place", func(t *testing.T, dir, text string) string {
			t.Helper()
			if err := os.Mkdir(filepath.Join(dir, "there"), 0o700); err != nil {
				t.Fatal(err)
			}
			plainly(t, filepath.Join(dir, "there"), text)
			link(t, filepath.Join(dir, "weir.yaml"), "there/weir.yaml")
			return filepath.Join(dir, "weir.yaml")
		}, func(t *testing.T, dir, text string) { t.Helper(); plainly(t, filepath.Join(dir, "there"), text) }},
		{"a file that it names", func(t *testing.T, dir, text string) string {
			t.Helper()
			secret := filepath.Join(t.TempDir(), "key")
			rewrite(t, secret, oldKey)
			link(t, filepath.Join(dir, "secret"), secret)
			return plainly(t, dir, strings.Replace(text, oldKey, `"${file:`+secret+`}"`, 1))
		}, func(t *testing.T, dir, _ string) {
			t.Helper()
			rewrite(t, filepath.Join(dir, "secret"), newKey)
		}},
		{"in a folder that is never quiet", plainly, func(t *testing.T, dir, text string) {
			t.Helper()
			plainly(t, dir, text)
			ctx, cancel := context.WithCancel(t.Context())
			var noise sync.WaitGroup
			noise.Go(func() {
				for ctx.Err() == nil {
					_ = os.WriteFile(filepath.Join(dir, "ledger.db-wal"), []byte(time.Now().String()), 0o600)
				}
			})
			t.Cleanup(func() { cancel(); noise.Wait() })
		}},
	}
}

// TestFileIsFollowed holds that however a file is changed, what it says holds
// without a restart.
func TestFileIsFollowed(t *testing.T) {
	azure := newHeld(t)
	for _, tt := range ways() {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			p := serveWith(t, "-c", tt.begin(t, dir, keyed(azure.URL, oldKey, "")))
			p.lets(t, oldKey, newKey)
			tt.change(t, dir, keyed(azure.URL, newKey, ""))
			if line := p.log.wait(t, taken); line["asked_by"] != "the file" {
				t.Errorf("logged %v", line)
			}
			p.lets(t, newKey, oldKey)
			p.tells(t, true)
		})
	}
}

// TestBadFileChangesNothing is O2 over the command line: a file with an error is
// not taken, whoever asks; the log, the metrics, /readyz?verbose and the admin call
// say so, and what to do. A good one mends it all.
func TestBadFileChangesNothing(t *testing.T) {
	azure := newHeld(t)
	path := write(t, "weir.yaml", keyed(azure.URL, oldKey, ""))
	p := serveWith(t, "-c", path, "--watch=false")
	p.tells(t, true)
	rewrite(t, path, strings.Replace(keyed(azure.URL, newKey, ""), "    keys:", "    limits: { tmp: 10 }\n    keys:", 1))
	want := []string{
		path + `:7:15: teams.search.limits.tmp: error: unknown key "tmp" (E004); did you mean "tpm"?`,
	}
	status, out := p.reload(t)
	problems := slices.DeleteFunc(slices.Clone(out.Problems), func(s string) bool { return strings.Contains(s, "warning: ") })
	if diff := cmp.Diff(want, problems); diff != "" || status != http.StatusBadRequest || out.OK || out.Error == "" {
		t.Errorf("the admin port answers %d %+v (-want +got):\n%s", status, out, diff)
	}
	if line := p.log.waitFor(t, notTaken, 1); line["asked_by"] != "the admin port" || line["level"] != "ERROR" || !strings.Contains(p.log.String(), `did you mean \"tpm\"?`) {
		t.Errorf("logged %v", line)
	}
	p.tells(t, false)
	hangUp(t)
	if line := p.log.waitFor(t, notTaken, 2); line["asked_by"] != "SIGHUP" {
		t.Errorf("logged %v", line)
	}
	p.lets(t, oldKey, newKey)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if status, out := p.reload(t); status != http.StatusBadRequest || len(out.Problems) != 1 || !strings.Contains(out.Problems[0], "no such file") {
		t.Errorf("without the file the admin port answers %d %+v", status, out)
	}
	p.lets(t, oldKey, newKey)

	rewrite(t, path, keyed(azure.URL, newKey, ""))
	if status, out := p.reload(t); status != http.StatusOK || !out.OK || out.Error != "" || out.Hash == "" {
		t.Errorf("with a good file the admin port answers %d %+v", status, out)
	}
	p.lets(t, newKey, oldKey)
	p.tells(t, true)
	rewrite(t, path, keyed(azure.URL, oldKey, ""))
	hangUp(t)
	if line := p.log.waitFor(t, taken, 2); line["asked_by"] != "SIGHUP" {
		t.Errorf("logged %v", line)
	}
	p.lets(t, oldKey, newKey)
}

// hangUp sends this process, and so the gateway in it, SIGHUP.
func hangUp(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// TestWhatAReloadChanges holds what one may expect of a file that was taken: a key
// that is gone is refused at once, though its stream goes on; the limits of a key
// and the level of the log are others; and what needs a restart is said each time,
// and stays as it was.
func TestWhatAReloadChanges(t *testing.T) {
	azure := newHeld(t)
	path := write(t, "weir.yaml", keyed(azure.URL, oldKey, ", limits: { rpm: 60 }"))
	p := serveWith(t, "-c", path, "--watch=false")
	client := &http.Client{Transport: withKey(oldKey)}
	resp := ask(t, client, p.api, `"stream":true,`)
	<-azure.begun
	if got := resp.Header.Get("X-Ratelimit-Limit-Requests"); resp.StatusCode != http.StatusOK || got != "60" {
		t.Fatalf("answered %s, a limit of %q", resp.Status, got)
	}
	changed := strings.Replace(keyed(azure.URL, newKey, ", limits: { rpm: 120 }"), `listen: "127.0.0.1:0"`, `listen: "127.0.0.1:1"`, 1) +
		"state: { ledger: { retain: 40d } }\n"
	rewrite(t, path, changed)
	restart := []string{"server.listen", "state.ledger"}
	for range 2 {
		if status, out := p.reload(t); status != http.StatusOK || !slices.Equal(out.Restart, restart) {
			t.Errorf("the admin port answers %d %+v, want %q to need a restart", status, out, restart)
		}
	}
	if line := p.log.wait(t, "settings were changed that hold only after a restart"); line["settings"] != "server.listen, state.ledger" {
		t.Errorf("logged %v", line)
	}
	p.lets(t, newKey, oldKey)
	if resp := ask(t, &http.Client{Transport: withKey(newKey)}, p.api, `"stream":true,`); resp.Header.Get("X-Ratelimit-Limit-Requests") != "120" {
		t.Errorf("the limit is %q", resp.Header.Get("X-Ratelimit-Limit-Requests"))
	}
	<-azure.begun
	close(azure.release)
	if b, err := io.ReadAll(resp.Body); err != nil || !bytes.HasSuffix(b, []byte("data: [DONE]\n\n")) {
		t.Errorf("the stream of the key that is gone ended with %q, %v", b, err)
	}
	rewrite(t, path, keyed(azure.URL, newKey, ""))
	if _, out := p.reload(t); len(out.Restart) > 0 {
		t.Errorf("as it was begun, and %q need a restart", out.Restart)
	}
}

// TestLimitStoreIsHeldBack holds that of what is said of the store of limits nothing
// but on_error is taken for what holds before a restart, nor changed without a word.
func TestLimitStoreIsHeldBack(t *testing.T) {
	t.Parallel()
	for f := range reflect.TypeFor[config.LimitStore]().Fields() {
		began, next := new(config.File), new(config.File)
		value := reflect.ValueOf(&next.State.Limits).Elem().FieldByIndex(f.Index)
		switch value.Kind() {
		case reflect.String:
			value.SetString("another")
		case reflect.Struct:
			value.FieldByName("From").SetInt(7)
		default:
			value.SetInt(7)
		}
		own, restart := heldBack(began, next)
		if holds := f.Name == "OnError"; holds != (len(restart) == 0) || holds != (own.State.Limits != began.State.Limits) {
			t.Errorf("of %s a restart is told for %q, and it becomes %+v", f.Name, restart, own.State.Limits)
		}
	}
}

// TestLogLevelIsReloaded holds that the log has what the file now asks for.
func TestLogLevelIsReloaded(t *testing.T) {
	azure := newHeld(t)
	text := keyed(azure.URL, oldKey, "")
	path := write(t, "weir.yaml", text)
	p := serveWith(t, "-c", path, "--watch=false")
	for _, level := range []string{"warn", "info"} {
		rewrite(t, path, text+"telemetry: { log: { level: "+level+" } }\n")
		if status, out := p.reload(t); status != http.StatusOK {
			t.Fatalf("the admin port answers %d %+v", status, out)
		}
		p.lets(t, oldKey, newKey)
	}
	p.log.waitFor(t, "request", 2)
	if n := strings.Count(p.log.String(), `"msg":"request"`); n != 2 {
		t.Errorf("%d lines of requests, want the two behind the second change:\n%s", n, p.log)
	}
}

// withKey presents a key.
type withKey string

func (k withKey) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Api-Key", string(k))
	return http.DefaultTransport.RoundTrip(r)
}

// TestNothingToReload holds that a gateway without a file says why it reads none
// again, and is well all the same.
func TestNothingToReload(t *testing.T) {
	alone(t)
	azure := newHeld(t)
	t.Setenv("AZURE_OPENAI_ENDPOINT", azure.URL)
	t.Setenv("AZURE_OPENAI_API_KEY", "key-of-azure")
	t.Setenv("WEIR_LISTEN", "127.0.0.1:0")
	t.Setenv("WEIR_ADMIN_LISTEN", "localhost:0")
	p := serveWith(t)
	hangUp(t)
	if line := p.log.wait(t, "nothing was reloaded"); line["asked_by"] != "SIGHUP" || line["reason"] != errNoFile.Error() {
		t.Errorf("logged %v", line)
	}
	if status, out := p.reload(t); status != http.StatusBadRequest || out.Error != errNoFile.Error() {
		t.Errorf("the admin port answers %d %+v", status, out)
	}
	p.tells(t, true)
}

// TestReloadDoesNotExpose holds that a file which is safe on loopback alone is not
// taken while the gateway listens beyond it.
func TestReloadDoesNotExpose(t *testing.T) {
	t.Parallel()
	text := strings.Replace(keyed("https://example.openai.azure.com", "sk-8Zq3LwX0vNnY5tR1uK7pM2", ""), "127.0.0.1:0", ":8080", 1)
	path := write(t, "weir.yaml", text)
	from := sources{}
	f, problems := config.Load(path, from.options())
	if f == nil {
		t.Fatal(problems)
	}
	g, err := Build(t.Context(), f, Parts{Encodings: new(tokens.Encodings)})
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, g)
	r := newReloader(g, site{path: path, read: from}, func(*config.File) {})
	for _, tt := range []struct {
		name, text string
		ok         bool
	}{
		{"without a key", before("https://example.openai.azure.com", `listen: "127.0.0.1:8080"`), false},
		{"with a short key", strings.Replace(strings.Replace(text, ":8080", "127.0.0.1:8080", 1), "sk-8Zq3LwX0vNnY5tR1uK7pM2", "short", 1), false},
		{"with a long key", strings.Replace(text, ":8080", "127.0.0.1:8080", 1), true},
	} {
		rewrite(t, path, tt.text)
		if got := r.reload("a test"); got.OK != tt.ok || !tt.ok && got.Error != errExposed.Error() {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}

// TestReloadsTakeNoMemory is the flat memory of O3: what a thousand reloads leave
// behind under load is no more than what a hundred do.
func TestReloadsTakeNoMemory(t *testing.T) {
	azure := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, opening+closing)
	}))
	defer azure.Close()
	load := func(more string) *config.File {
		f, problems := config.Parse("weir.yaml", []byte(before(azure.URL, `listen: "127.0.0.1:0"`)+
			"state: { ledger: { max_rows: 10 } }\n"+more), config.Options{})
		if f == nil {
			t.Fatal(problems)
		}
		return f
	}
	files := []*config.File{load(""), load("resilience: { timeout: { connect: 4s } }\n")}
	g, err := Build(t.Context(), files[0], Parts{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, g)
	api := httptest.NewServer(g.API)
	defer api.Close()
	used := func() (heap uint64, goroutines int) {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what pools hold goes at the second
		runtime.ReadMemStats(&m)
		return m.HeapAlloc, runtime.NumGoroutine()
	}
	turn := func(i int) {
		if _, err := g.Reload(files[i%2]); err != nil {
			t.Fatal(err)
		}
		if i%4 > 0 {
			return
		}
		resp, err := http.Post(api.URL+"/v1/chat/completions", "application/json", strings.NewReader(`{"stream":true,"model":"gpt-4o","messages":[{"role":"user","content":"hello"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || !bytes.HasSuffix(b, []byte("data: [DONE]\n\n")) {
			t.Fatalf("reload %d: %s %q %v", i, resp.Status, b, err)
		}
	}
	for i := range 100 {
		turn(i)
	}
	heap, goroutines := used()
	for i := range 900 {
		turn(i)
	}
	heapNow, goroutinesNow := used()
	t.Logf("%d KiB behind 100 reloads, %d KiB behind 1000; %d and %d goroutines", heap>>10, heapNow>>10, goroutines, goroutinesNow)
	if heapNow > heap+1<<20 || goroutinesNow > goroutines+10 {
		t.Errorf("%d bytes and %d goroutines behind 100 reloads, %d and %d behind 1000", heap, goroutines, heapNow, goroutinesNow)
	}
}
