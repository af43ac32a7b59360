package browser_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// adminToken is what the admin address of the guarded gateway wants.
const adminToken = "token-of-the-browser-0123456789abcdef"

// guarded is a gateway whose admin address has a token.
const guarded = `
version: 1
server: { listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0" }
admin: { token: "` + adminToken + `" }
backends: { none: { endpoint: "http://127.0.0.1:9", auth: { api_key: not-a-real-key } } }
models: { gpt-4o: { deployments: [{ backend: none, deployment: gpt-4o }] } }
teams: { demo: { keys: [{ id: demo, value: sk-key-of-the-browser }] } }
`

// TestDashboard drives every page. With SCREENSHOTS it also takes pictures of them
// into that folder, which takes two minutes longer.
func TestDashboard(t *testing.T) {
	t.Parallel()
	chromium := find(t)
	binary := filepath.Join(t.TempDir(), "weir")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "weir").CombinedOutput(); err != nil {
		t.Fatalf("building weir: %v\n%s", err, out)
	}
	path := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(path, []byte(guarded), 0o600); err != nil {
		t.Fatal(err)
	}
	demo := start(t, binary, "demo", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
	api, admin := demo.says(t, `API +(http://[^/]+)/v1`), demo.says(t, `Dashboard +(http://[^/]+)/`)
	closed := start(t, binary, "serve", "-c", path).says(t, `"admin":"([^"]+)"`)

	cmd := exec.CommandContext(t.Context(), "node", "dashboard.mjs")
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "CHROMIUM=" + chromium, "SCREENSHOTS=" + os.Getenv("SCREENSHOTS"),
		"API=" + api, "ADMIN=" + admin, "GUARDED=" + closed, "TOKEN=" + adminToken,
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("dashboard.mjs ended with %v:\n%s", err, stderr.String())
	}
	lines, cases := bufio.NewScanner(&stdout), 0
	for ; lines.Scan(); cases++ {
		var line struct {
			Case, Detail string
			OK           bool
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("it printed %q: %v", lines.Text(), err)
		}
		t.Run(line.Case, func(t *testing.T) {
			t.Parallel()
			if t.Log(line.Detail); !line.OK {
				t.Fail()
			}
		})
	}
	const all = 8*4 + 23
	if cases < all {
		t.Errorf("it reported %d cases, want %d", cases, all)
	}
}

// find returns the browser, and ends the test where that or what drives it is not
// installed.
func find(t *testing.T) string {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("there is no Chromium: run .ci/install (%v)", err)
	}
	if _, err := os.Stat(filepath.Join("node_modules", "lock.stamp")); err != nil {
		t.Fatalf("what drives it is not installed: run clienttest/install.sh (%v)", err)
	}
	return chromium
}

// process is a gateway whose output is read.
type process struct {
	lines chan string
	said  strings.Builder
}

// start runs the gateway until the test ends. It must then stop in good order.
func start(t *testing.T, binary string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = []string{"HOME=" + t.TempDir()}
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = out.Close()
	p := &process{lines: make(chan string, 64)}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for all := bufio.NewReader(in); ; {
			line, err := all.ReadString('\n')
			if err == io.EOF || err != nil {
				return
			}
			select {
			case p.lines <- line:
			default: // nobody waits for it any more
			}
		}
	}()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("asking the gateway to stop: %v", err)
		}
		<-drained
		if err := cmd.Wait(); err != nil {
			t.Errorf("the gateway ended with %v", err)
		}
	})
	return p
}

// says returns what the pattern's group matches in the output, once something does.
func (p *process) says(t *testing.T, pattern string) string {
	t.Helper()
	wanted := regexp.MustCompile(pattern)
	timeout := time.After(time.Minute)
	for {
		if found := wanted.FindStringSubmatch(p.said.String()); found != nil {
			return found[1]
		}
		select {
		case line := <-p.lines:
			p.said.WriteString(line)
		case <-timeout:
			t.Fatalf("it does not say %s:\n%s", pattern, p.said.String())
		}
	}
}
