package main_test

import (
	"bufio"
	"os"
	"strings"
	"testing"
	"unicode"

	"weir/usage"
)

// TestBatchLinesAreLinesToAll: whatever a reader takes for the end of a line, the
// requests that go upstream are those that were decided upon.
func TestBatchLinesAreLinesToAll(t *testing.T) {
	t.Parallel()
	hidden := strings.TrimSpace(job("hidden", chatJob, of("secret", say("<|im_start|>"))))
	inside := func(end string) string {
		return strings.Replace(job("one", chatJob, of("chat", say("SAID"))), "SAID", "before"+end+"behind", 1)
	}
	bubble(t, plain, func(w *world) {
		for _, tt := range []struct{ name, file string }{
			{"a carriage return", strings.Replace(job("one", chatJob, of("chat", say("x"))), `"method"`, "\"more\":\r"+hidden+"\r,\"method\"", 1)},
			{"a line separator", inside("\u2028")},
			{"a paragraph separator", inside("\u2029")},
			{"a next line", inside("\u0085")},
			{"ends as on Windows", job("one", chatJob, of("chat", say("x"))) + "\r\n"},
		} {
			w.uploads("batch", "in.jsonl", tt.file).filed(t)
			sent := string(w.lastAt("east/").Form[1].Value)
			ends := func(r rune) bool {
				return r != ' ' && r != '\n' && (unicode.IsSpace(r) || r == '\u2028' || r == '\u2029')
			}
			if n := strings.Count(sent, "\n"); n != 1 || strings.ContainsFunc(sent, ends) {
				t.Errorf("%s: sent %q", tt.name, sent)
			}
			lines := bufio.NewScanner(strings.NewReader(sent))
			if lines.Scan(); strings.Contains(tt.name, "separator") && !strings.Contains(lines.Text(), `before\u202`) {
				t.Errorf("%s: the text is another: %q", tt.name, sent)
			}
		}
	}, batching()...)
}

// TestBatchesAskWhomRequestsAsk: a line of a batch goes to a deployment that is asked,
// unless it names another one itself.
func TestBatchesAskWhomRequestsAsk(t *testing.T) {
	t.Parallel()
	const idle = "  gpt-4o:\n    aliases: [chat]\n    deployments:\n      - { backend: east, deployment: a-batch, weight: 0 }\n      - { backend: west, deployment: z-batch, weight: 0 }\n"
	const both = "models:\n  both: { deployments: [{ backend: east, deployment: x-both }, { backend: west, deployment: both }] }\n"
	bubble(t, plain, func(w *world) {
		for _, tt := range []struct{ model, sent, at string }{
			{"gpt-4o", "gpt-4o-east", "east/"},
			{"chat", "gpt-4o-east", "east/"},
			{"a-batch", "a-batch", "east/"},
			{"z-batch", "z-batch", "west/"},
			{"gpt-4o-west", "gpt-4o-west", "west/"},
			{"d2", "d2", "west/"},
			{"both", "x-both", "east/"},
		} {
			w.uploads("batch", "in.jsonl", job("one", chatJob, of(tt.model, say("x")))).filed(t)
			if sent := string(w.lastAt(tt.at).Form[1].Value); !strings.Contains(sent, `"model":"`+tt.sent+`"`) {
				t.Errorf("%s: sent %s", tt.model, sent)
			}
		}
	}, batching("models:\n  gpt-4o:\n    aliases: [chat]\n    deployments:\n", both+idle)...)
}

// TestBatchFilesAreRecorded: why the file of a batch was not taken is recorded as that
// of a request which is sent by itself.
func TestBatchFilesAreRecorded(t *testing.T) {
	t.Parallel()
	dir, edits := forms(t)
	large := job("one", chatJob, of("chat", say(strings.Repeat("word ", 60_000))))
	bubble(t, plain, func(w *world) {
		for _, tt := range []struct {
			name, file string
			outcome    usage.Outcome
		}{
			{"taken", job("one", chatJob, say("x")), usage.OK},
			{"no JSON", "{", usage.ClientError},
			{"an unknown model", job("one", chatJob, of("nope", say("x"))), usage.ClientError},
			{"a special token", job("one", chatJob, say("<|im_end|>")), usage.RefusedPolicy},
			{"no room", large, usage.GatewayError},
		} {
			if tt.outcome == usage.GatewayError {
				if err := os.Remove(dir); err != nil {
					t.Fatal(err)
				}
			}
			got := w.uploads("batch", "in.jsonl", tt.file)
			if rec := w.record(); rec.Outcome != tt.outcome {
				t.Errorf("%s: %d %s: recorded as %s", tt.name, got.status, got.body, rec.Outcome)
			}
		}
	}, append(edits, batching()...)...)
}
