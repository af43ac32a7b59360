package upstream_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/azuresim"
	"weir/openai"
	"weir/upstream"
	"weir/usage"
)

// isCut reports whether a stream ended before it was whole.
func isCut(err error) bool {
	_, cut := errors.AsType[*openai.CutError](err)
	return cut
}

// TestCommitPoint holds until when a stream's failure is unseen: until its first
// content, or a quarter of a minute of silence behind its head.
func TestCommitPoint(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		step  azuresim.Step
		wait  time.Duration // that is set; 0 none
		trace string
		took  time.Duration
		cut   bool
	}{
		{"content at once", azuresim.Step{}, 15 * time.Second, "east", 0, false},
		{"content in 14 s", azuresim.Step{Pause: 14 * time.Second, PauseAt: 2}, 15 * time.Second, "east", 14 * time.Second, false},
		{"content in 20 s", azuresim.Step{Pause: 20 * time.Second, PauseAt: 2}, 15 * time.Second, "east", 15 * time.Second, false},
		{"content in 20 s, waited for", azuresim.Step{Pause: 20 * time.Second, PauseAt: 2}, 0, "east", 20 * time.Second, false},
		{"cut in 14 s", azuresim.Step{Pause: 14 * time.Second, PauseAt: 2, CutEvents: 2}, 15 * time.Second, "east, west", 14 * time.Second, false},
		{"cut in 20 s", azuresim.Step{Pause: 20 * time.Second, PauseAt: 2, CutEvents: 2}, 15 * time.Second, "east", 15 * time.Second, true},
		{"cut in 20 s, waited for", azuresim.Step{Pause: 20 * time.Second, PauseAt: 2, CutEvents: 2}, 0, "east, west", 20 * time.Second, false},
		{"cut behind content", azuresim.Step{Fault: "cut-stream"}, 15 * time.Second, "east", 0, true},
		{"reset behind content", azuresim.Step{Fault: "reset-stream"}, 15 * time.Second, "east", 0, true},
		{"silent for 59 s behind content", azuresim.Step{Fault: "silence 59"}, 15 * time.Second, "east", 0, false},
		{"silent for 61 s behind content", azuresim.Step{Fault: "silence 61"}, 15 * time.Second, "east", 0, true},
		{"silent for 61 s before content, waited for", azuresim.Step{Pause: 61 * time.Second, PauseAt: 2}, 0, "east, west", time.Minute, false},
		{"an error in the first event", azuresim.Step{Fault: "server-error-stream"}, 15 * time.Second, "east, west 0.75", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) { w.cfg.Timeouts.Commit = tt.wait }, func(w *world) {
				w.east.Script(tt.step)
				got := w.do(w.ask(streamed))
				if got.Status != 200 || got.Trace != tt.trace || got.Took != tt.took || isCut(got.Err) != tt.cut {
					t.Errorf("came to %+v, want %q after %v, cut %t", got, tt.trace, tt.took, tt.cut)
				}
				synctest.Wait()
				if s := w.state(); s.InFlight != 0 || w.pool.Live() != 0 {
					t.Errorf("%d in flight, %d live", s.InFlight, w.pool.Live())
				}
				want := 0
				if tt.cut || tt.trace != "east" {
					want = 1
				}
				if _, bad := w.pool.Counted("east/gpt-4o"); bad != want {
					t.Errorf("%d faults are counted, want %d", bad, want)
				}
			})
		})
	}
}

// TestErrorBehindContent holds that an error event behind content is the
// client's, that nothing is sent again, and that it counts against the deployment
// as it would have before content: not where the caller or the model is to blame.
func TestErrorBehindContent(t *testing.T) {
	t.Parallel()
	late := func(members string) azuresim.Step {
		return azuresim.Step{OfContent: true, InjectAt: 1, CutEvents: 1, Inject: `data: {"error":{"message":"m",` + members + "}}\n\n"}
	}
	tests := []struct {
		name string
		step azuresim.Step
		bad  int
		rest time.Duration
	}{
		{"a fault", azuresim.Step{Fault: "error-late"}, 1, 0},
		{"a fault and [DONE]", azuresim.Step{Fault: "error-done"}, 1, 0},
		{"a fault of no kind", late(`"type":null,"code":null`), 1, 0},
		{"overload", late(`"type":"overloaded_error"`), 1, 0},
		{"408", late(`"code":"Timeout"`), 1, 0},
		{"invalid Unicode", azuresim.Step{Fault: "unicode-late"}, 0, 0},
		{"the content filter", late(`"code":"content_filter","status":400`), 0, 0},
		{"the caller's fault", late(`"type":"invalid_request_error"`), 0, 0},
		{"a limit", late(`"type":"rate_limit_error","code":"429"`), 0, 1050 * time.Millisecond},
		{"unpaid", late(`"code":"insufficient_quota"`), 0, 315 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, nil, func(w *world) {
				w.east.Script(tt.step)
				if got := w.do(w.ask(streamed)); got.Status != 200 || got.Trace != "east" || got.Text == "" {
					t.Errorf("came to %+v", got)
				}
				if n := w.requests(); n != [2]int{1, 0} {
					t.Errorf("they were asked %v", n)
				}
				if good, bad := w.pool.Counted("east/gpt-4o"); good != 0 || bad != tt.bad {
					t.Errorf("%d good and %d bad calls are counted, want %d bad", good, bad, tt.bad)
				}
				if s := w.state(); s.Rest != tt.rest {
					t.Errorf("east rests %v, want %v", s.Rest, tt.rest)
				}
			})
		})
	}
	bubble(t, single, func(w *world) {
		w.east.Script(fault("error-late", 10)...)
		n := 0
		for ; w.state().Breaker == "closed" && n < 10; n++ {
			w.do(w.ask(streamed))
		}
		if n != 5 || !strings.Contains(w.log.String(), "breaker=open was=closed") {
			t.Errorf("the breaker opens after %d streams in a row that end in an error, want 5; the log says:\n%s", n, &w.log)
		}
	})
}

// TestStreamTimesAreTheDeployments holds that a reader that takes its time is not
// taken for a silent deployment, and that no bound is none.
func TestStreamTimesAreTheDeployments(t *testing.T) {
	t.Parallel()
	bubble(t, alone, func(w *world) {
		rec := &usage.Record{}
		answer, err := w.pool.Do(w.t.Context(), w.ask(streamed), rec)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		if _, err := read(answer.Stream); err != nil {
			t.Errorf("after 5 minutes the stream comes to %v", err)
		}
		answer.Close(nil)
	})
	bubble(t, func(w *world) {
		alone(w)
		w.cfg.Timeouts = upstream.Timeouts{FirstByte: time.Minute}
	}, func(w *world) {
		w.east.Script(azuresim.Step{Fault: "silence 300"})
		if got := w.do(w.ask(streamed)); got.Err != nil || got.Status != 200 {
			t.Errorf("with no bound on silence a stream comes to %+v", got)
		}
	})
	bubble(t, func(w *world) {
		alone(w)
		w.cfg.Timeouts.Total = time.Minute
	}, func(w *world) {
		w.east.Script(azuresim.Step{Fault: "infinite"})
		start := time.Now()
		if got := w.do(w.ask(streamed)); !isCut(got.Err) || time.Since(start) != time.Minute {
			t.Errorf("a stream without end comes to %v after %v, want it cut after a minute", got.Err, time.Since(start))
		}
	})
}

// TestConnectionsAreReused holds that a stream that was read to its end leaves its
// connection to the next, even though its caller is gone at once; and that one
// that does not end does not.
func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		step  azuresim.Step
		dials int
	}{
		{"whole", azuresim.Step{}, 1},
		{"its end late", azuresim.Step{Fault: "late-end"}, 3},
		{"gzip", azuresim.Step{Gzip: true}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, alone, func(w *world) {
				for range 3 {
					w.east.Script(tt.step)
					ctx, leave := context.WithCancel(w.t.Context())
					if got := w.doIn(ctx, w.ask(streamed)); got.Err != nil {
						t.Fatalf("came to %+v", got)
					}
					leave()
					time.Sleep(time.Second)
				}
				if len(w.dials) != tt.dials {
					t.Errorf("3 streams took %d connections, want %d", len(w.dials), tt.dials)
				}
			})
		})
	}
	bubble(t, alone, func(w *world) {
		for range 3 {
			w.do(w.ask(""))
		}
		w.east.Script(fault("server-error", 2)...)
		w.do(w.ask(""))
		if len(w.dials) != 1 {
			t.Errorf("plain answers and errors took %d connections, want 1", len(w.dials))
		}
	})
}

// TestLeavingMidStream holds that upstream is told at once (R14).
func TestLeavingMidStream(t *testing.T) {
	t.Parallel()
	bubble(t, alone, func(w *world) {
		w.east.Script(azuresim.Step{Fault: "infinite"})
		ctx, leave := context.WithCancel(w.t.Context())
		time.AfterFunc(10*time.Second, leave)
		start := time.Now()
		got := w.doIn(ctx, w.ask(streamed))
		if !isCut(got.Err) || time.Since(start) != 10*time.Second {
			t.Errorf("came to %+v after %v", got, time.Since(start))
		}
		time.Sleep(time.Second)
		if seen := w.east.Requests()[0]; !seen.Cancelled || !seen.Done {
			t.Errorf("upstream is not told: %+v", seen)
		}
		if s := w.state(); s.InFlight != 0 || w.pool.Live() != 0 {
			t.Errorf("%d in flight, %d live", s.InFlight, w.pool.Live())
		}
	})
}

// TestLargestAnswer holds how large a plain answer may be.
func TestLargestAnswer(t *testing.T) {
	t.Parallel()
	const most = 16 << 20
	for size, status := range map[int]int{most: 200, most + 1: 502} {
		bubble(t, single, func(w *world) {
			text := `{"choices":[{"message":{"content":"x"}}]}`
			w.east.Script(azuresim.Step{Status: 200, Body: strings.Repeat(" ", size-len(text)) + text})
			if got := w.do(w.ask("")); got.Status != status {
				t.Errorf("an answer of %d bytes comes to %+v, want %d", size, got, status)
			}
		})
	}
}
