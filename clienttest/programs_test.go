package clienttest_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/azuresim"
)

// common returns the cases that every client must report.
func common() []string {
	return []string{
		"plain", "stream", "tools", "structured", "wrong key", "special token", "unknown model",
		"rate limited", "cured", "cut stream", "error event", "cancelled stream",
	}
}

// result is the line that a program prints for each case.
type result struct {
	Case   string
	OK     bool
	Detail string
}

// program is a library whose clients are driven by programs in its own language.
type program struct {
	name     string
	commands [][]string
	secure   [][]string // those that want TLS
	chat     []string   // the clients that chat, as the first program calls them, and as limited keys end
}

// TestClients drives every client at every endpoint that it knows, prints what each
// was seen to do, and holds docs/compatibility.md to that (A17, A18).
func TestClients(t *testing.T) {
	t.Parallel()
	programs := []program{
		{
			name:     "openai-python",
			commands: [][]string{python("openai_client.py"), python("openai_endpoints.py"), python("openai_media.py"), python("openai_kept.py")},
			secure:   [][]string{python("openai_realtime.py")},
			chat:     []string{"OpenAI", "AsyncOpenAI", "AzureOpenAI", "AsyncAzureOpenAI"},
		},
		{name: "openai-agents", commands: [][]string{python("agents_client.py")}},
		{name: "semantic-kernel", commands: [][]string{{filepath.Join(".kernel", "bin", "python"), filepath.Join("python", "kernel_client.py")}}},
		{
			name:     "langchain-python",
			commands: [][]string{python("langchain_client.py"), python("langchain_endpoints.py")},
			chat:     []string{"ChatOpenAI", "AzureChatOpenAI"},
		},
		{
			name:     "openai-node",
			commands: [][]string{node("openai_client.mjs"), node("openai_endpoints.mjs"), node("openai_media.mjs"), node("openai_kept.mjs")},
			secure:   [][]string{node("openai_realtime.mjs")},
			chat:     []string{"OpenAI", "AzureOpenAI"},
		},
		{
			name:     "langchain-js",
			commands: [][]string{node("langchain_client.mjs"), node("langchain_endpoints.mjs")},
			chat:     []string{"ChatOpenAI", "AzureChatOpenAI"},
		},
		{
			name:     "ai-sdk",
			commands: [][]string{node("ai_sdk.mjs"), node("ai_sdk_endpoints.mjs")},
			chat:     []string{"openai-compatible", "openai-chat", "azure-deployments", "azure-base-url"},
		},
	}
	seen := newMatrix()
	t.Cleanup(func() { seen.demandDocumented(t, len(programs)+1) })
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			runProgram(t, p, seen)
		})
	}
	t.Run("openai-go", func(t *testing.T) {
		t.Parallel()
		runOpenAIGo(t, seen)
	})
}

// runProgram runs what drives the clients of a library, each against the gateway of
// its own, and notes what they reported.
func runProgram(t *testing.T, p program, seen *matrix) {
	t.Helper()
	requireInstalled(t)
	g := start(t, setting{Clients: p.chat})
	got := runCommands(t, g, p.name, p.commands, seen)
	if p.secure != nil {
		file, _ := certify(t)
		runCommands(t, start(t, setting{Certificate: file}), p.name, p.secure, seen)
	}
	for _, client := range p.chat {
		demandAll(t, client, got)
		t.Run(client+"/cancelled upstream", func(t *testing.T) {
			seen.noteAtEnd(t, p.name, client+"/cancelled stream")
			waitCancelled(t, g, client)
		})
	}
}

// runCommands runs programs one after the other and notes what they reported.
func runCommands(t *testing.T, g *gateway, program string, commands [][]string, seen *matrix) []result {
	t.Helper()
	var got []result
	for _, command := range commands {
		got = append(got, report(t, g, command)...)
	}
	for _, line := range got {
		t.Run(line.Case, func(t *testing.T) {
			seen.noteAtEnd(t, program, line.Case)
			if !line.OK {
				t.Error(line.Detail)
				return
			}
			if name, ok := strings.CutSuffix(line.Case, "/cancel"); ok {
				waitCancelled(t, g, strings.ReplaceAll(name, "/", " "))
			}
		})
	}
	return got
}

func python(program string) []string {
	return []string{filepath.Join(".venv", "bin", "python"), filepath.Join("python", program)}
}

func node(program string) []string {
	return []string{"node", filepath.Join("node", program)}
}

// requireInstalled ends the test where the pinned clients are not there.
func requireInstalled(t *testing.T) {
	t.Helper()
	for _, stamp := range []string{".venv/lock.stamp", ".kernel/lock.stamp", "node/node_modules/lock.stamp"} {
		if _, err := os.Stat(filepath.FromSlash(stamp)); err != nil {
			t.Fatalf("the clients are not installed: run clienttest/install.sh (%v)", err)
		}
	}
}

// report runs a program to its end and returns what it printed.
func report(t *testing.T, g *gateway, command []string) []result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Env = append(g.environ(t), "TIKTOKEN_CACHE_DIR="+vocabularies(t, g))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("%v ended with %v:\n%s", command, err, stderr.String())
	}
	var results []result
	lines := bufio.NewScanner(&stdout)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line result
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("%v printed %q: %v", command, lines.Text(), err)
		}
		results = append(results, line)
	}
	return results
}

// demandAll fails where a program left out a case that every client must pass.
func demandAll(t *testing.T, client string, got []result) {
	t.Helper()
	for _, name := range common() {
		want := client + "/" + name
		if !slices.ContainsFunc(got, func(r result) bool { return r.Case == want }) {
			t.Errorf("the program did not report %q", want)
		}
	}
}

// waitCancelled waits until Azure has seen the end of the stream that the
// client left, and fails unless the gateway cancelled it. The prompt of the stream
// ends in the client's name, and in that of the endpoint where it is not chat.
func waitCancelled(t *testing.T, g *gateway, name string) {
	t.Helper()
	prompt := silentPrompt(name)
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	timeout := time.After(time.Minute)
	for {
		for _, r := range g.azure.Requests() {
			if asks(r, prompt) && r.Done {
				if !r.Cancelled && r.Messages == nil { // A session's end is what both sides say.
					t.Error("the stream went on to its end though the client had left")
				}
				return
			}
		}
		select {
		case <-poll.C:
		case <-timeout:
			t.Fatal("Azure still sends the stream that the client left, or never did")
		}
	}
}

// asks reports whether a request, in whatever form it came, asks what ends in prompt.
func asks(r azuresim.Request, prompt string) bool {
	quoted := []byte(prompt + `"`)
	return bytes.Contains(r.Body, quoted) ||
		slices.ContainsFunc(r.Messages, func(m string) bool { return bytes.Contains([]byte(m), quoted) }) ||
		slices.ContainsFunc(r.Form, func(p azuresim.Part) bool { return p.Name == "prompt" && string(p.Value) == prompt })
}

// silentPrompt asks Azure for a stream that falls silent behind its first word, so
// that no failing write tells the gateway that the client has left.
func silentPrompt(name string) string { return "!silence 5m " + name }
