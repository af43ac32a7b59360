package main_test

import (
	"strings"
	"testing"
	"time"
)

// TestRealtimeHeardWithinLimits: a session that has what its client says written down,
// and asks for no response, keeps to the limits too: while its team owes what was heard,
// no more sound is sent on.
func TestRealtimeHeardWithinLimits(t *testing.T) {
	t.Parallel()
	const (
		sound = `{"type":"input_audio_buffer.append","event_id":"mine","audio":"AAAA"}`
		done  = `{"type":"conversation.item.input_audio_transcription.completed","transcript":"hi","usage":{"type":"tokens","input_tokens":400,"output_tokens":0}}`
	)
	for _, tt := range []struct {
		name  string
		edits []string
		code  string
		later bool // there is room again soon
	}{
		{name: "tokens", edits: limited("tpm: 6000, burst_tokens: 600"), code: "rate_limit_exceeded", later: true},
		{name: "a budget", edits: append(fiveCents(), budgeted("usd: 0.1", "")...), code: "insufficient_quota"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before(t, func(f *far) {
				for strings.Contains(f.hear(), "audio_buffer") {
					f.say(done)
				}
			}, func(w *world) {
				s, err := w.dial("/v1/realtime?model=gpt-4o&intent=transcription")
				if err != nil {
					w.t.Fatal(err)
				}
				for i := range 5 {
					s.say(sound)
					if e := s.next(); i < 2 && e.Type == "error" || i >= 2 && (e.Error.Code != tt.code || e.Error.EventID != "mine") {
						w.t.Errorf("sound %d: %s", i, e.raw)
					}
				}
				time.Sleep(10 * time.Second)
				s.say(sound)
				if e := s.next(); (e.Type != "error") != tt.later {
					w.t.Errorf("later: %s", e.raw)
				}
				s.leave()
				if rec := w.record(); rec.Input != 800 && !tt.later || rec.Input != 1200 && tt.later {
					w.t.Errorf("recorded %d", rec.Input)
				}
			}, tt.edits...)
		})
	}
}
