package clienttest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pkoukk/tiktoken-go"
	tiktoken_loader "github.com/pkoukk/tiktoken-go-loader"
	"github.com/pkoukk/tiktoken-go-loader/assets"
)

// turns is how many lines each conversation is fed with.
const turns = 30

// message is one message of a request to Azure.
type message struct{ Role, Content string }

// The programs are those of Azure's article on chat completions, with nothing
// changed: they find the gateway by the two environment variables they read.

func TestArticleConversationLoop(t *testing.T) {
	t.Parallel()
	requireInstalled(t)
	g := start(t, setting{})
	converse(t, g, "article_loop.py", 1)

	requests := g.chats()
	if len(requests) != turns {
		t.Fatalf("Azure was asked %d times, not %d", len(requests), turns)
	}
	last := messagesOf(t, requests[turns-1].Body)
	if want := 1 + 2*turns - 1; len(last) != want {
		t.Errorf("the last request has %d messages, not %d", len(last), want)
	}
}

func TestArticleManagedConversation(t *testing.T) {
	t.Parallel()
	requireInstalled(t)
	g := start(t, setting{})
	converse(t, g, "article_managed.py", 40)

	requests := g.chats()
	if len(requests) != turns {
		t.Fatalf("Azure was asked %d times, not %d", len(requests), turns)
	}
	for n, r := range requests {
		sent := messagesOf(t, r.Body)
		if tokens := countAsArticle(t, sent); tokens+250 >= 4096 {
			t.Errorf("request %d has %d tokens and wants 250 more", n+1, tokens)
		}
		if sent[0].Role != "system" {
			t.Errorf("request %d begins with %q", n+1, sent[0].Role)
		}
	}
	last := messagesOf(t, requests[turns-1].Body)
	if len(last) >= 2*turns {
		t.Errorf("nothing was dropped: the last request has %d messages", len(last))
	}
	if got, want := last[len(last)-1].Content, lineOf(turns, 40); got != want {
		t.Errorf("the last message is %q, not %q", got, want)
	}
}

// converse feeds a program and demands an answer to every line. The program
// ends as its authors wrote it: with an EOFError where the input ends.
func converse(t *testing.T, g *gateway, program string, repeat int) {
	t.Helper()
	var lines strings.Builder
	for n := range turns {
		fmt.Fprintln(&lines, lineOf(n+1, repeat))
	}
	command := python(program)
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Env = append(g.environ(t), "TIKTOKEN_CACHE_DIR="+vocabularies(t, g))
	cmd.Stdin = strings.NewReader(lines.String())
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(stderr.String(), "EOFError") {
		t.Fatalf("%s ended with %v:\n%s", program, err, stderr.String())
	}

	prompts := strings.Split(stdout.String(), "Q:") // "", an answer after each, ""
	if got := len(prompts) - 2; got != turns {
		t.Fatalf("%d answers, want %d:\n%s", got, turns, stdout.String())
	}
	for n, answer := range prompts[1 : turns+1] {
		if strings.TrimSpace(answer) == "" {
			t.Errorf("no answer to line %d", n+1)
		}
	}
}

// lineOf returns the nth line of a conversation, longer the larger repeat is.
func lineOf(n, repeat int) string {
	return fmt.Sprintf("Question %d:%s", n, strings.Repeat(" and what of that", repeat))
}

// vocabularies fills a cache folder in which Python's tiktoken finds what it
// would otherwise download.
func vocabularies(t *testing.T, g *gateway) string {
	t.Helper()
	const encoding = "cl100k_base"
	command := append(python("vocabulary.py"), encoding)
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Env = g.environ(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("asking for the name of the vocabulary: %v", err)
	}
	var names map[string]string
	if err := json.Unmarshal(out, &names); err != nil {
		t.Fatal(err)
	}
	data, err := assets.Assets.ReadFile(encoding + ".tiktoken")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, names[encoding]), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// countAsArticle counts as the second program does, with another library.
func countAsArticle(t *testing.T, messages []message) int {
	t.Helper()
	tiktoken.SetBpeLoader(tiktoken_loader.NewOfflineLoader())
	encoding, err := tiktoken.GetEncoding("cl100k_base")
	if err != nil {
		t.Fatal(err)
	}
	count := 3
	for _, m := range messages {
		count += 3 + len(encoding.EncodeOrdinary(m.Role)) + len(encoding.EncodeOrdinary(m.Content))
	}
	return count
}

func messagesOf(t *testing.T, body []byte) []message {
	t.Helper()
	var request struct{ Messages []message }
	if err := json.Unmarshal(body, &request); err != nil {
		t.Fatal(err)
	}
	return request.Messages
}
