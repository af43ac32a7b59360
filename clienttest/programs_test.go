package clienttest_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
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

func TestClients(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		command []string
		clients []string // as the program calls them, and as its limited keys end
	}{
		{"openai-python", python("openai_client.py"), []string{"OpenAI", "AsyncOpenAI", "AzureOpenAI", "AsyncAzureOpenAI"}},
		{"langchain-python", python("langchain_client.py"), []string{"ChatOpenAI", "AzureChatOpenAI"}},
		{"openai-node", node("openai_client.mjs"), []string{"OpenAI", "AzureOpenAI"}},
		{"langchain-js", node("langchain_client.mjs"), []string{"ChatOpenAI", "AzureChatOpenAI"}},
		{"ai-sdk", node("ai_sdk.mjs"), []string{"openai-compatible", "openai-chat", "azure-deployments", "azure-base-url"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			requireInstalled(t)
			g := start(t, setting{Clients: tt.clients})
			got := report(t, g, tt.command)
			for _, line := range got {
				t.Run(line.Case, func(t *testing.T) {
					if !line.OK {
						t.Error(line.Detail)
					}
				})
			}
			for _, client := range tt.clients {
				demandAll(t, client, got)
				t.Run(client+"/cancelled upstream", func(t *testing.T) {
					waitCancelled(t, g, client)
				})
			}
		})
	}
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
	for _, stamp := range []string{".venv/lock.stamp", "node/node_modules/lock.stamp"} {
		if _, err := os.Stat(filepath.FromSlash(stamp)); err != nil {
			t.Fatalf("the clients are not installed: run clienttest/install.sh (%v)", err)
		}
	}
}

// report runs a program to its end and returns what it printed.
func report(t *testing.T, g *gateway, command []string) []result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Env = g.environ(t)
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
// client left, and fails unless the gateway cancelled it.
func waitCancelled(t *testing.T, g *gateway, client string) {
	t.Helper()
	prompt := []byte(silentPrompt(client) + `"`)
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	timeout := time.After(5 * time.Second)
	for {
		for _, r := range g.azure.Requests() {
			if bytes.Contains(r.Body, prompt) && r.Done {
				if !r.Cancelled {
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

// silentPrompt asks Azure for a stream that falls silent behind its first word, so
// that no failing write tells the gateway that the client has left.
func silentPrompt(client string) string { return "!silence 5m " + client }
