package main_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/azuresim"
	"weir/usage"
)

// TestSentOnce is R11: over connections that are warm, and with a header by which
// some transports send a request again, every call upstream is an attempt that is
// recorded, and there are at most three.
func TestSentOnce(t *testing.T) {
	t.Parallel()
	for how, fields := range map[string][]string{"plain": nil, "stream": {stream}} {
		for _, fault := range []string{"close-after-read", "reset-first"} {
			t.Run("R11 "+fault+", "+how, func(t *testing.T) {
				t.Parallel()
				bubble(t, plain, func(w *world) {
					body := of("gpt-35-turbo", say("hello", fields...))
					warm := azuresim.Step{Delay: time.Second}
					w.east.Script(warm, warm, warm, warm)
					var all sync.WaitGroup
					for range 4 {
						all.Go(func() { w.chat(body) })
					}
					all.Wait()
					w.east.Reset()
					w.east.Script(steps(fault, fault, fault, fault, fault, fault, fault, fault)...)
					got := w.chat(body, "Idempotency-Key", "k", "X-Idempotency-Key", "k")
					if code, _, _ := got.code(); got.status != http.StatusBadGateway || code != "upstream_unreachable" {
						t.Errorf("%d %s", got.status, got.body)
					}
					if n, rec := len(w.asked()), w.record(); n != len(rec.Attempts) || n > 3 || rec.Input+rec.Output > 8 {
						t.Errorf("%d calls, %d attempts, charged %d + %d", n, len(rec.Attempts), rec.Input, rec.Output)
					}
				})
			})
		}
	}
}

// TestRest is R8 and R10: a deployment that answered 429 is left alone for as long
// as it asked, and asked again soon after; while all are, nobody is, and the client
// is told the shortest wait.
func TestRest(t *testing.T) {
	t.Parallel()
	t.Run("R8 one rests", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			w.east.Script(steps("rate-limit 7")...)
			start := time.Now()
			for time.Since(start) < 9*time.Second {
				if got := w.chat(say("hello")); got.status != http.StatusOK || got.took > 5*time.Millisecond {
					t.Errorf("after %v: %d, took %v", time.Since(start), got.status, got.took)
				}
				time.Sleep(100 * time.Millisecond)
			}
			first, again := w.east.Requests()[0].Time, w.east.Requests()[1].Time
			if d := again.Sub(first); d < 7*time.Second || d > 8500*time.Millisecond {
				t.Errorf("it was asked again after %v", d)
			}
		})
	})
	t.Run("R10 all rest", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			w.east.Script(steps("rate-limit 29")...)
			w.west.Script(steps("rate-limit 27")...)
			w.chat(say("hello"))
			for _, body := range []string{say("hello"), say("hello", stream)} {
				got := w.chat(body)
				if code, _, _ := got.code(); got.status != http.StatusTooManyRequests || code != "rate_limit_exceeded" || got.header.Get("Retry-After-Ms") != "27000" || got.took > 5*time.Millisecond {
					t.Errorf("%d %q, retry-after-ms %q, took %v", got.status, code, got.header.Get("Retry-After-Ms"), got.took)
				}
				if rec := w.record(); rec.Outcome != usage.UpstreamError {
					t.Errorf("it is recorded as %q, as if the caller could help it", rec.Outcome)
				}
			}
			if n := len(w.asked()); n != 2 {
				t.Errorf("%d calls, want the two that were refused", n)
			}
		})
	})
}

// TestClientLeavesTheQueue is R14 for who waits for room: nothing is sent for it,
// nothing is charged, and who waits behind it is served.
func TestClientLeavesTheQueue(t *testing.T) {
	t.Parallel()
	t.Run("R14 in the queue", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			body := of("mystery", say("hello"))
			w.east.Script(azuresim.Step{Delay: time.Second})
			var all sync.WaitGroup
			var first, next reply
			all.Go(func() { first = w.chat(body) })
			synctest.Wait()
			ctx, leave := context.WithTimeout(w.t.Context(), 300*time.Millisecond)
			defer leave()
			all.Go(func() {
				if got := w.do(ctx, http.MethodPost, openAIPath, body); got.err == nil || got.took != 300*time.Millisecond {
					t.Errorf("who left: %d after %v, %v", got.status, got.took, got.err)
				}
				if rec := w.record(); rec.Outcome != usage.ClientGone || rec.Input+rec.Output != 0 || len(rec.Attempts) != 0 {
					t.Errorf("recorded %s, charged %d + %d, %d attempts", rec.Outcome, rec.Input, rec.Output, len(rec.Attempts))
				}
			})
			synctest.Wait()
			all.Go(func() { next = w.chat(body) })
			all.Wait()
			if first.status != http.StatusOK || next.status != http.StatusOK || next.took != time.Second || len(w.asked()) != 2 {
				t.Errorf("%d and %d after %v, %d calls", first.status, next.status, next.took, len(w.asked()))
			}
		}, "{ backend: east, deployment: mystery }", "{ backend: east, deployment: mystery, max_in_flight: 1 }")
	})
}
