package main_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"weir/azuresim"
	"weir/usage"
)

// TestMidStream is contract 3.4 for every kind of deployment: what goes wrong in a
// stream before its first content is mended unseen, what goes wrong behind it ends
// in one typed error event and a broken connection, and nothing is asked for again.
// R12 is among it, and what each fault does to the deployment.
func TestMidStream(t *testing.T) {
	t.Parallel()
	const (
		whole       = "You said: hello. That was turn 1 of our conversation."
		half        = "You said: hello. That "
		interrupted = "upstream_stream_interrupted"
		east        = "east/gpt-4o-east"
	)
	open := map[string]string{east: "open"}
	fault := func(name string) azuresim.Step { return azuresim.Step{Fault: name} }
	event := func(members string) string { return `data: {"error":{"message":"m",` + members + "}}\n\n" }
	late := func(members string) azuresim.Step {
		return azuresim.Step{OfContent: true, InjectAt: 1, CutEvents: 1, Inject: event(members)}
	}
	role := `data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"pad":"` + strings.Repeat("x", 1<<10) + `"}` + "\n\n"
	tests := []struct {
		name   string
		step   azuresim.Step
		text   string // that the client sees
		broken bool
		code   string // of the error event
		kind   string // its type; "" is server_error
		calls  int
		unwell map[string]string
		lives  int           // signs of life, at least
		later  time.Duration // when the deployment is looked at
	}{
		{name: "R12 an error first", step: fault("server-error-stream"), text: whole, calls: 2, unwell: open},
		{name: "R12 an error behind the role", step: azuresim.Step{InjectAt: 2, CutEvents: 2, Inject: event(`"type":"server_error"`)}, text: whole, calls: 2, unwell: open},
		{name: "a clean end behind the role", step: azuresim.Step{CutEvents: 2}, text: whole, calls: 2, unwell: open},
		{name: "a reset behind the role", step: azuresim.Step{CutEvents: 2, Reset: true}, text: whole, calls: 2, unwell: open},
		{name: "invalid Unicode first", step: fault("unicode-stream"), text: whole, calls: 2},
		{name: "an error behind as much as may be held back", step: azuresim.Step{Chunks: []string{strings.Repeat(role, 70), event(`"type":"server_error","code":null`)}}, broken: true, calls: 1, unwell: open},
		{name: "20 s until content", step: azuresim.Step{Pause: 20 * time.Second, PauseAt: 2}, text: whole, calls: 1, lives: 1},
		{name: "20 s and more until an error", step: azuresim.Step{Gap: 20 * time.Second, InjectAt: 2, CutEvents: 2, Inject: event(`"type":"server_error","code":null`)}, broken: true, calls: 1, unwell: open, lives: 1},

		{name: "an error", step: fault("error-late"), text: half, broken: true, calls: 1, unwell: open},
		{name: "an error with a name", step: fault("error-event"), text: half, broken: true, calls: 1, unwell: open},
		{name: "an error and [DONE]", step: fault("error-done"), text: half, broken: true, calls: 1, unwell: open},
		{name: "an error behind other keys", step: fault("error-last-key"), text: half, broken: true, calls: 1, unwell: open},
		{name: "invalid Unicode", step: fault("unicode-late"), text: half, broken: true, calls: 1},
		{name: "the content filter", step: late(`"type":"invalid_request_error","code":"content_filter","param":"prompt"`), text: half, broken: true, code: "content_filter", kind: "invalid_request_error", calls: 1},
		{name: "a limit", step: late(`"type":"rate_limit_error","code":"429"`), text: half, broken: true, code: "429", kind: "rate_limit_error", calls: 1, unwell: map[string]string{east: "rests 1s"}},
		{name: "no quota", step: late(`"type":"insufficient_quota","code":"insufficient_quota"`), text: half, broken: true, code: "insufficient_quota", kind: "insufficient_quota", calls: 1, unwell: map[string]string{east: "rests 5m0s"}},

		{name: "a clean end", step: fault("cut-stream"), text: half, broken: true, code: interrupted, calls: 1, unwell: open},
		{name: "a reset", step: fault("reset-between"), text: half, broken: true, code: interrupted, calls: 1, unwell: open},
		{name: "a reset within an event", step: fault("reset-stream"), text: half, broken: true, code: interrupted, calls: 1, unwell: open},
		{name: "an event that is no JSON", step: fault("garbage"), text: half, broken: true, code: interrupted, calls: 1, unwell: open},
		{name: "silence", step: fault("silence 61"), text: half, broken: true, code: interrupted, calls: 1, unwell: open, lives: 3},
		{name: "silence that ends in time", step: fault("silence 59"), text: whole, calls: 1, lives: 3},
		{name: "silence within an event", step: azuresim.Step{Split: 200, Gap: 20 * time.Second, Content: "x"}, text: "x", calls: 1, lives: 5},
		{name: "no [DONE]", step: fault("no-done"), text: whole, calls: 1},
		{name: "an end that is late", step: fault("late-end"), text: whole, calls: 1, later: time.Second},
	}
	kinds := map[string]string{"classic": "api_version: 2024-10-21", "v1": "api_version: v1", "openai": "kind: openai"}
	paths := map[string]string{"classic": "/openai/deployments/gpt-4o-east/chat/completions", "v1": "/openai/v1/chat/completions", "openai": "/v1/chat/completions"}
	for kind, written := range kinds {
		for _, tt := range tests {
			for _, path := range []string{openAIPath, azurePath} {
				t.Run(kind+", "+tt.name+" "+path, func(t *testing.T) {
					t.Parallel()
					bubble(t, plain, func(w *world) {
						step := tt.step
						if kind == "openai" && !step.OfContent { // there the role comes first
							step.InjectAt, step.CutEvents, step.PauseAt = max(0, step.InjectAt-1), max(0, step.CutEvents-1), max(0, step.PauseAt-1)
						}
						w.east.Script(step)
						got := w.do(w.t.Context(), http.MethodPost, path, say("hello", stream))
						checkEnd(w.t, got, tt.broken)
						if got.status != http.StatusOK || got.text() != tt.text || len(w.asked()) != tt.calls || w.asked()[0].Path != paths[kind] {
							t.Errorf("%d %q after %d calls, the first of %s", got.status, got.text(), len(w.asked()), w.asked()[0].Path)
						}
						if _, lives := readable(t, got.body); lives < tt.lives {
							t.Errorf("%d signs of life", lives)
						}
						checkFault(w, got, tt.broken, tt.code, tt.kind)
						time.Sleep(tt.later)
						if diff := cmp.Diff(tt.unwell, w.unwell(), cmpopts.EquateEmpty()); diff != "" {
							t.Errorf("deployments (-want +got):\n%s", diff)
						}
						if rec := w.record(); rec.Outcome == usage.OK == tt.broken || len(rec.Attempts) != tt.calls {
							t.Errorf("recorded %s, %d attempts", rec.Outcome, len(rec.Attempts))
						}
					}, "api_version: 2024-10-21", written, "resilience:\n", "resilience:\n  breaker: { consecutive_failures: 1 }\n")
				})
			}
		}
	}
}

// checkFault holds the last event of a stream that is broken to the error that it
// must be.
func checkFault(w *world, got reply, broken bool, code, kind string) {
	w.t.Helper()
	if !broken {
		return
	}
	events := got.events()
	last := reply{body: events[len(events)-1]}
	if kind == "" {
		kind = "server_error"
	}
	if c, _, k := last.code(); c != code || k != kind || !errors.Is(got.err, io.ErrUnexpectedEOF) {
		w.t.Errorf("ended in %s, %v", last.body, got.err)
	}
	if diff := cmp.Diff([]string{"code", "message", "param", "type"}, errorKeys(w.t, last)); diff != "" {
		w.t.Error(diff)
	}
}
