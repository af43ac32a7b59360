package command

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// result is what a command came to.
type result struct {
	code     int
	out, err string
}

// weir runs the command line as Main does, but on streams of its own.
func weir(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	s := &streams{in: strings.NewReader(stdin), out: &out, err: &errs}
	code := s.main(t.Context(), args)
	return result{code, out.String(), errs.String()}
}

// alone lets a test run in a folder of its own, without the variables that the
// gateway reads.
func alone(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "WEIR_") || strings.HasPrefix(name, "AZURE_") || name == "OPENAI_API_VERSION" {
			t.Setenv(name, "")
		}
	}
}

// write writes a file into a folder of its own and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// journal keeps the log lines of a process and lets tests wait for one.
type journal struct {
	mu    sync.Mutex
	text  bytes.Buffer
	lines []map[string]any
	next  chan struct{} // closed when a line comes, or the process ends
	ended bool
}

func newJournal() *journal { return &journal{next: make(chan struct{})} }

// Write takes a line; slog writes each in one call.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text.Write(p)
	var line map[string]any
	if json.Unmarshal(p, &line) == nil {
		j.lines = append(j.lines, line)
	}
	j.wake()
	return len(p), nil
}

// end says that no more lines will come.
func (j *journal) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ended = true
	j.wake()
}

func (j *journal) wake() {
	close(j.next)
	j.next = make(chan struct{})
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// wait returns the first line with the message, once there is one.
func (j *journal) wait(t *testing.T, message string) map[string]any {
	t.Helper()
	return j.waitFor(t, message, 1)
}

// waitFor returns the nth line with the message, from 1, once there is one.
func (j *journal) waitFor(t *testing.T, message string, n int) map[string]any {
	t.Helper()
	for {
		j.mu.Lock()
		next, ended, found := j.next, j.ended, 0
		for _, line := range j.lines {
			if line["msg"] != message {
				continue
			}
			if found++; found == n {
				j.mu.Unlock()
				return line
			}
		}
		j.mu.Unlock()
		if ended {
			t.Fatalf("it ended without saying %q:\n%s", message, j)
		}
		<-next
	}
}

// process is a gateway that serves in this process.
type process struct {
	api, admin string // where it listens, as logged
	log        *journal
	stop       context.CancelFunc // as a supervisor does, without a signal
	done       chan struct{}
	code       int // once done
}

// serve runs the gateway that the configuration describes until the test ends.
func serve(t *testing.T, configuration string) *process {
	t.Helper()
	return serveWith(t, "-c", write(t, "weir.yaml", configuration))
}

// serveWith runs a gateway with these arguments until the test ends.
func serveWith(t *testing.T, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &process{log: newJournal(), stop: cancel, done: make(chan struct{})}
	s := &streams{in: strings.NewReader(""), out: p.log, err: p.log}
	go func() {
		defer close(p.done)
		p.code = s.main(ctx, append([]string{"serve"}, args...))
		p.log.end()
	}()
	t.Cleanup(func() {
		cancel()
		<-p.done
		if t.Failed() {
			t.Logf("the log:\n%s", p.log)
		}
	})
	line := p.log.wait(t, "listening")
	p.log.wait(t, "ready")
	p.api, _ = line["api"].(string)
	p.admin, _ = line["admin"].(string)
	return p
}

// said returns everything that was written, once it holds the text.
func (j *journal) said(t *testing.T, text string) string {
	t.Helper()
	for {
		j.mu.Lock()
		next, ended, all := j.next, j.ended, j.text.String()
		j.mu.Unlock()
		if strings.Contains(all, text) {
			return all
		}
		if ended {
			t.Fatalf("it ended without saying %q:\n%s", text, all)
		}
		<-next
	}
}
