package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
	"weir/usage"
)

// live is a stream that is read as it comes.
type live struct {
	*http.Response
	start time.Time
	all   []arrival
}

// arrival is what came of a stream at one instant.
type arrival struct {
	At   time.Duration
	Data []string // of events; a comment is ":"
}

// open sends a request and returns when its answer begins.
func (w *world) open(ctx context.Context, body string, header ...string) *live {
	w.t.Helper()
	l := &live{start: time.Now()}
	resp, err := w.send(ctx, http.MethodPost, openAIPath, body, header...)
	if err != nil {
		w.t.Fatal(err)
	}
	l.Response = resp
	w.t.Cleanup(func() { _ = resp.Body.Close() })
	return l
}

// follow reads on, write by write, until what came holds text, or to the end.
func (l *live) follow(t *testing.T, text string) error {
	t.Helper()
	var part strings.Builder
	buf := make([]byte, 64<<10)
	for {
		n, err := l.Body.Read(buf)
		part.Write(buf[:n])
		if n > 0 && strings.HasSuffix(part.String(), "\n\n") {
			l.note(t, part.String())
			found := text != "" && strings.Contains(part.String(), text)
			part.Reset()
			if found {
				return err
			}
		}
		if err != nil {
			if part.Len() > 0 {
				t.Errorf("half an event: %q", part.String())
			}
			return err
		}
	}
}

func (l *live) note(t *testing.T, text string) {
	t.Helper()
	at := time.Since(l.start)
	data, comments := readable(t, text)
	for range comments {
		data = append(data, ":")
	}
	for i, d := range data {
		var c chunk
		if json.Unmarshal([]byte(d), &c) == nil && len(c.Choices) > 0 {
			data[i] = c.Choices[0].Delta.Content
			if reason := c.Choices[0].FinishReason; reason != nil {
				data[i] = "finish " + *reason
			}
		}
	}
	if n := len(l.all); n > 0 && l.all[n-1].At == at {
		l.all[n-1].Data = append(l.all[n-1].Data, data...)
		return
	}
	l.all = append(l.all, arrival{at, data})
}

const twelve = "one two three four five six seven eight nine ten eleven twelve"

// TestArrival is contract C28 and C36: when each part of a stream reaches the
// client.
func TestArrival(t *testing.T) {
	t.Parallel()
	const tenth = 100 * time.Millisecond
	tests := []struct {
		name string
		step azuresim.Step
		head time.Duration
		want []arrival
	}{
		{"C28 at the instant it was written", azuresim.Step{Content: twelve, Gap: tenth}, 2 * tenth, []arrival{
			{2 * tenth, []string{"", "one two three four "}},
			{3 * tenth, []string{"five six seven eight "}},
			{4 * tenth, []string{"nine ten eleven twelve"}},
			{5 * tenth, []string{"finish stop"}},
			{7 * tenth, []string{"[DONE]"}},
		}},
		{"C36 signs of life in a silence", azuresim.Step{Content: twelve, Pause: 30*time.Second + 1, PauseAt: 1, OfContent: true}, 0, []arrival{
			{0, []string{"", "one two three four "}},
			{15 * time.Second, []string{":"}},
			{30 * time.Second, []string{":"}},
			{30*time.Second + 1, []string{"five six seven eight ", "nine ten eleven twelve", "finish stop", "[DONE]"}},
		}},
		{"C36 signs of life before any content", azuresim.Step{Content: twelve, Pause: 30*time.Second + 1, PauseAt: 2}, 15 * time.Second, []arrival{
			{15 * time.Second, []string{":"}},
			{30 * time.Second, []string{":"}},
			{30*time.Second + 1, []string{"", "one two three four ", "five six seven eight ", "nine ten eleven twelve", "finish stop", "[DONE]"}},
		}},
		{"C36 none within an event", azuresim.Step{Content: twelve, Split: 100, Gap: 14 * time.Second}, 0, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				w.east.Script(tt.step)
				l := w.open(w.t.Context(), say("hello", stream), "Accept-Encoding", "gzip")
				head := time.Since(l.start)
				if err := l.follow(w.t, ""); !errors.Is(err, io.EOF) {
					w.t.Errorf("ended in %v", err)
				}
				w.checkCharged(w.asked()[0])
				if tt.want == nil {
					return
				}
				if diff := cmp.Diff(tt.want, l.all); diff != "" || head != tt.head {
					w.t.Errorf("head after %v, arrivals (-want +got):\n%s", head, diff)
				}
				if l.Header.Get("Content-Type") != "text/event-stream" || l.Header.Get("Content-Encoding") != "" || l.ContentLength != -1 {
					w.t.Errorf("header %v", l.Header)
				}
			})
		})
	}
}

// TestStreamLeft is contract C44: a client that leaves in the middle of a stream
// is charged for what passed, upstream is let go at that instant, and nobody is
// blamed.
func TestStreamLeft(t *testing.T) {
	t.Parallel()
	t.Run("C44 R14 a client that leaves", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			w.east.Script(azuresim.Step{Content: twelve, Pause: time.Hour, PauseAt: 2, OfContent: true})
			ctx, leave := context.WithCancel(w.t.Context())
			defer leave()
			l := w.open(ctx, say("hello", stream))
			if err := l.follow(w.t, "eight"); err != nil {
				w.t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
			leave()
			asked := w.asked() // no time passes here
			if r := asked[0]; len(asked) != 1 || !r.Done || !r.Cancelled || time.Since(l.start) != 2*time.Second {
				w.t.Errorf("%v after the beginning, upstream: done %v, cancelled %v", time.Since(l.start), r.Done, r.Cancelled)
			}
			rec := w.record()
			output := textTokens("one two three four five six seven eight ")
			if rec.Outcome != usage.ClientGone || rec.Status != 499 || rec.Duration != 2*time.Second {
				w.t.Errorf("recorded %d %s after %v", rec.Status, rec.Outcome, rec.Duration)
			}
			if !rec.Counted || rec.Input != 8 || rec.Output != output {
				w.t.Errorf("charged %d + %d, want 8 + %d", rec.Input, rec.Output, output)
			}
			if len(w.unwell()) > 0 {
				w.t.Errorf("deployments %v", w.unwell())
			}
			// 60 of the allowance were reserved, and 2 have come back by themselves.
			left := w.chat(say("hello", `"max_tokens":60`)).header.Get("X-Ratelimit-Remaining-Tokens")
			if left != strconv.FormatInt(60-8-output+2, 10) {
				w.t.Errorf("%s tokens are left", left)
			}
			time.Sleep(time.Minute)
			if len(w.asked()) != 1 {
				w.t.Errorf("%d calls a minute later", len(w.asked()))
			}
		}, `owner: "#search"`, "limits: { tpm: 60 }", "resilience:\n", "resilience:\n  breaker: { consecutive_failures: 1 }\n")
	})
}

// TestLeftAtDone is contract C45: whoever leaves behind [DONE] had a whole answer.
func TestLeftAtDone(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]string{"C45 gone at [DONE]": "", "C45 gone at [DONE], before upstream's end": "late-end"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				w.east.Script(azuresim.Step{Fault: fault})
				l := w.open(w.t.Context(), say("hello", stream))
				_ = l.follow(w.t, "[DONE]")
				_ = l.Body.Close()
				w.client.CloseIdleConnections()
				time.Sleep(time.Second)
				w.checkCharged(w.asked()[0])
				if rec := w.record(); rec.Duration != 0 {
					w.t.Errorf("recorded after %v", rec.Duration)
				}
			})
		})
	}
}

// TestOneConnection is contract C46: a client that stops at [DONE], as openai-go
// does, can use its connection again, and so can the gateway.
func TestOneConnection(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]string{"C46 five streams": "", "C46 five streams that end late": "late-end"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				for range 5 {
					w.east.Script(azuresim.Step{Fault: fault})
					l := w.open(w.t.Context(), say("hello", stream))
					_ = l.follow(w.t, "[DONE]")
					_ = l.Body.Close()
					if took := time.Since(l.start); took != 0 {
						w.t.Errorf("took %v", took)
					}
					synctest.Wait()
				}
				if w.entered != 1 {
					w.t.Errorf("5 streams took %d connections", w.entered)
				}
				if fault == "" && len(w.dialed) != 1 {
					w.t.Errorf("the gateway connected %d times", len(w.dialed))
				}
			})
		})
	}
}

// TestSlowReader is contract C48: a client that stops reading holds back its own
// stream and nothing else, and for no longer than a write may take.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	const words = 8000
	tests := []struct {
		name  string
		stall time.Duration
		cut   bool
	}{
		{"C48 a reader that pauses", 29 * time.Second, false},
		{"C48 a reader that stops", time.Minute, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				l := w.open(w.t.Context(), say("!words "+strconv.Itoa(words), stream))
				const first = 10 * time.Second
				time.Sleep(first)
				if got := w.chat(say("hello", stream)); got.status != http.StatusOK || got.took != 0 {
					w.t.Errorf("another stream: %d after %v", got.status, got.took)
				}
				const whole = words * 8 / 4
				if held := w.asked()[0].CompletionTokens; held > whole/10 {
					w.t.Errorf("%d of some %d tokens came through to a client that reads nothing", held, whole)
				}
				time.Sleep(tt.stall - first)
				synctest.Wait()
				if done := w.asked()[0].Done; done != tt.cut {
					w.t.Errorf("after %v upstream's request is over: %v", tt.stall, done)
				}
				err := l.follow(w.t, "[DONE]")
				rec := w.record()
				if !tt.cut {
					w.checkEndOfWords(l, rec, words)
					return
				}
				if err == nil || rec.Outcome != usage.ClientGone || rec.Duration != 30*time.Second || len(w.unwell()) > 0 {
					w.t.Errorf("%v, recorded %s after %v, %v", err, rec.Outcome, rec.Duration, w.unwell())
				}
			})
		})
	}
}

// TestSlowReaderOfAll is C48 for an answer that is no stream: it is bounded by the
// same time, and its deployment is free as soon as it has answered.
func TestSlowReaderOfAll(t *testing.T) {
	t.Parallel()
	t.Run("C48 a plain answer", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			l := w.open(w.t.Context(), say("!words 8000"))
			if !w.asked()[0].Done || len(w.unwell()) > 0 {
				w.t.Errorf("upstream is over: %v, %v", w.asked()[0].Done, w.unwell())
			}
			time.Sleep(time.Minute)
			rec := w.record()
			if rec.Outcome != usage.ClientGone || rec.Status != 499 || rec.Duration != 30*time.Second || rec.Output == 0 {
				w.t.Errorf("recorded %d %s after %v, charged %d", rec.Status, rec.Outcome, rec.Duration, rec.Output)
			}
			if b, err := io.ReadAll(l.Body); err == nil || json.Valid(b) {
				w.t.Errorf("%d bytes, %v", len(b), err)
			}
		})
	})
}

func (w *world) checkEndOfWords(l *live, rec usage.Record, words int) {
	w.t.Helper()
	var text strings.Builder
	for _, a := range l.all {
		for _, d := range a.Data {
			text.WriteString(d + " ")
		}
	}
	if !strings.Contains(text.String(), "word"+strconv.Itoa(words)+" ") || rec.Outcome != usage.OK {
		w.t.Errorf("recorded %s, ends in %s", rec.Outcome, text.String()[text.Len()-100:])
	}
}
