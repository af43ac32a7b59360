package main_test

import (
	"net/http"
	"testing"
	"time"

	"weir/azuresim"
	"weir/usage"
)

// TestDeadline is R15: a request that has two seconds is answered when they are
// over at the latest, whoever set them, and no attempt is begun in the last of
// them.
func TestDeadline(t *testing.T) {
	t.Parallel()
	const sec = time.Second
	const (
		budget = 2 * sec
		margin = 100 * time.Millisecond
		last   = sec // in which no attempt is begun
	)
	late := azuresim.Step{Delay: 5 * sec}
	down := func(d time.Duration) azuresim.Step { return azuresim.Step{Fault: "unavailable", Delay: d} }
	budgets := []struct {
		name   string
		header []string
		edits  []string
	}{
		{"x-stainless-timeout", []string{"X-Stainless-Timeout", "2"}, nil},
		{"x-stainless-read-timeout", []string{"X-Stainless-Read-Timeout", "2"}, nil},
		{"the shorter of both", []string{"X-Stainless-Timeout", "600", "X-Stainless-Read-Timeout", "2.0"}, nil},
		{"resilience.timeout.total", nil, []string{"resilience:\n", "resilience:\n  timeout: { total: 2s, first_byte: 2s, stream_idle: 2s, connect: 1s }\n"}},
	}
	tests := []struct {
		name       string
		east, west azuresim.Step
		status     int
		calls      int
		took       time.Duration
	}{
		{"the first attempt is late", late, late, 504, 1, 2 * sec},
		{"a fault, and the second is late", down(800 * time.Millisecond), late, 504, 2, 2 * sec},
		{"a fault with a second left, and the second is late", down(sec), late, 504, 2, 2 * sec},
		{"a fault with less than a second left", down(sec + 1), late, 503, 1, sec + 1},
		{"nobody answers", azuresim.Step{Hang: true}, late, 504, 1, 2 * sec},
		{"the second answers in time", down(sec), azuresim.Step{Delay: 900 * time.Millisecond}, 200, 2, 1900 * time.Millisecond},
	}
	for _, b := range budgets {
		for _, tt := range tests {
			for how, body := range map[string]string{"plain": say("hello"), "stream": say("hello", stream)} {
				t.Run("R15 "+b.name+": "+tt.name+", "+how, func(t *testing.T) {
					t.Parallel()
					bubble(t, plain, func(w *world) {
						w.east.Script(tt.east)
						w.west.Script(tt.west)
						start := time.Now()
						got := w.chat(body, b.header...)
						if got.status != tt.status || got.took != tt.took || got.took > budget+margin {
							t.Errorf("%d after %v, want %d after %v: %s", got.status, got.took, tt.status, tt.took, got.body)
						}
						if code, _, _ := got.code(); tt.status == http.StatusGatewayTimeout && (code != "upstream_timeout" || got.header.Get("X-Should-Retry") != "false") {
							t.Errorf("code %q, x-should-retry %q", code, got.header.Get("X-Should-Retry"))
						}
						asked := w.asked()
						if len(asked) != tt.calls {
							t.Errorf("%d calls, want %d", len(asked), tt.calls)
						}
						for i, r := range asked {
							if left := start.Add(budget).Sub(r.Time); left < last {
								t.Errorf("attempt %d is begun with %v left", i+1, left)
							}
						}
						time.Sleep(time.Minute)
						if len(w.asked()) != tt.calls || w.record().Outcome == usage.OK != (tt.status == http.StatusOK) {
							t.Errorf("a minute later: %d calls, %s", len(w.asked()), w.record().Outcome)
						}
					}, b.edits...)
				})
			}
		}
	}
}

// TestHeadInTime is R15 for a stream that begins and then thinks: where the client
// says how long it waits, it has the answer's head before that, and the content
// when it comes.
func TestHeadInTime(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{"R15 a client that waits 2 s": "2", "R15 a client that waits 10 s": "10"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				w.east.Script(azuresim.Step{Pause: 12 * time.Second, PauseAt: 2})
				start := time.Now()
				resp, err := w.send(w.t.Context(), http.MethodPost, openAIPath, say("hello", stream), "X-Stainless-Timeout", header)
				if err != nil {
					t.Fatal(err)
				}
				patience, _ := time.ParseDuration(header + "s")
				if took := time.Since(start); resp.StatusCode != http.StatusOK || took != patience-time.Second {
					t.Errorf("%d after %v", resp.StatusCode, took)
				}
				got := w.finish(resp)
				checkEnd(w.t, got, false)
				if got.text() != "You said: hello. That was turn 1 of our conversation." || len(w.asked()) != 1 || len(w.unwell()) > 0 {
					t.Errorf("%q after %d calls, %v", got.text(), len(w.asked()), w.unwell())
				}
			})
		})
	}
}
