package main_test

import (
	"net/http"
	"testing"
)

// TestRealtimeOwesNewLimits holds that what a session owes at its end is charged to the
// accounts too that have had limits only since it began.
func TestRealtimeOwesNewLimits(t *testing.T) {
	t.Parallel()
	before(t, func(f *far) {
		f.hear()
		// One was asked for; of the others nobody has seen the beginning.
		f.say(`{"type":"response.created","response":{"id":"a"}}`, responded("a", 100, 20), responded("b", 900, 20), responded("c", 10, 5))
		f.hear()
	}, func(w *world) {
		s := w.session()
		w.reload(limited("tpm: 60, burst_tokens: 1000, concurrency: 5")...)
		s.say(`{"type":"response.create","response":{"max_output_tokens":40}}`)
		for range 3 {
			s.last("response.done")
		}
		s.leave()
		w.record()
		got := w.chat(say("hello", `"max_tokens":1`))
		// 120 and 920 leave a debt of 40, in which no more is to be had, so that 15 are owed.
		if full := got.header.Get("X-Ratelimit-Reset-Tokens"); got.status != http.StatusTooManyRequests || full != "17m35s" {
			t.Errorf("answered %d, and all is there again in %s: %s", got.status, full, got.body)
		}
	})
}
