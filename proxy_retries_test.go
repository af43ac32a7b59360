package main_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
	"weir/usage"
)

// TestRetries is contract E: how often, where and how a request is tried again (R1,
// R2).
func TestRetries(t *testing.T) {
	t.Parallel()
	hello := say("hello")
	lone, five, mystery := of("gpt-35-turbo", hello), of("gpt-5", hello), of("mystery", hello)
	hot := func(body, degrees string) string {
		return strings.TrimSuffix(body, "}") + `,"temperature":` + degrees + "}"
	}
	twice := func(name string) []string { return []string{name, name} }
	client2 := []string{"X-Stainless-Retry-Count", "2"}
	slow := func(name string, d time.Duration) azuresim.Step { return azuresim.Step{Fault: name, Delay: d} }
	current := []string{"2024-10-21", "2025-04-01-preview"}
	const failed, sec = usage.UpstreamError, time.Second
	tests := []exchange{
		{name: "E63 a cured request", body: hot(hello, "1.2"), east: steps("unicode-500"), status: 200, calls: []string{"gpt-4o-east 1.2", "gpt-4o-east 0.8"}, outcome: usage.OK},
		{name: "E63 cured at the second try", body: hot(hello, "2"), east: steps("unicode-500", "unicode-500-null"), status: 200, calls: []string{"gpt-4o-east 2", "gpt-4o-east 0.8", "gpt-4o-west 0.6"}, outcome: usage.OK},
		{name: "E63 an unexpected special token", body: hot(hello, "1"), east: steps("special-token-500"), status: 200, calls: []string{"gpt-4o-east 1", "gpt-4o-east 0.75"}, outcome: usage.OK},
		{name: "E64 no temperature, a model known to take one", body: hello, east: steps("unicode-500"), status: 200, calls: []string{"gpt-4o-east", "gpt-4o-east 0.75"}, outcome: usage.OK},
		{name: "E64 no temperature, a reasoning model", edits: current, body: five, east: steps("unicode-500"), status: 200, calls: twice("gpt-5"), outcome: usage.OK},
		{name: "E64 no temperature, an unknown model", body: mystery, east: steps("unicode-500"), status: 200, calls: twice("mystery"), outcome: usage.OK},
		{name: "E64 an unknown model that was sent one", body: hot(mystery, "1"), east: steps("unicode-500"), status: 200, calls: []string{"mystery 1", "mystery 0.75"}, outcome: usage.OK},
		{name: "E65 a low temperature is not raised", body: hot(hello, "0.2"), east: steps("unicode-500"), status: 200, calls: []string{"gpt-4o-east 0.2", "gpt-4o-east 0.15"}, outcome: usage.OK},
		{name: "E65 nor the lowest", body: hot(hello, "0"), east: steps("unicode-500"), status: 200, calls: []string{"gpt-4o-east 0", "gpt-4o-east 0"}, outcome: usage.OK},
		{name: "E66 invalid Unicode as a stream's first event", body: hot(say("hello", stream), "1.2"), east: steps("unicode-stream"), status: 200, calls: []string{"gpt-4o-east 1.2", "gpt-4o-east 0.8"}, outcome: usage.OK},

		{name: "E67 500 three times", body: lone, east: steps("server-error", "server-error", "server-error"), status: 500, relayed: "server-error", noRetry: true, calls: []string{"gpt-35-turbo", "gpt-35-turbo 0.75", "gpt-35-turbo 0.5625"}, took: 300 * time.Millisecond, outcome: failed},
		{name: "E67 as many tries as are configured", edits: []string{"retry: {", "retry: { max_attempts: 2,"}, body: lone, east: steps("server-error", "server-error"), status: 500, relayed: "server-error", noRetry: true, calls: []string{"gpt-35-turbo", "gpt-35-turbo 0.75"}, took: 100 * time.Millisecond, outcome: failed},
		{
			name: "E67 no try that would end behind the client's time", body: lone, header: []string{"X-Stainless-Read-Timeout", "2"},
			east:   []azuresim.Step{slow("server-error", 800*time.Millisecond), slow("server-error", 300*time.Millisecond)},
			status: 500, relayed: "server-error", noRetry: true, calls: []string{"gpt-35-turbo", "gpt-35-turbo 0.75"}, took: 1200 * time.Millisecond, outcome: failed,
		},
		{name: "E67 a try ends with the client's time", body: lone, header: []string{"X-Stainless-Read-Timeout", "2"}, east: []azuresim.Step{{Delay: 5 * sec}}, status: 504, code: "upstream_timeout", noRetry: true, calls: []string{"gpt-35-turbo"}, took: 2 * sec, outcome: failed},

		{name: "E68 429, and another deployment", body: hello, east: steps("rate-limit 40ms"), status: 200, calls: []string{"gpt-4o-east", "gpt-4o-west"}, outcome: usage.OK, unwell: map[string]string{"east/gpt-4o-east": "rests 40ms"}},
		{name: "E68 429 of a lone deployment", body: lone, east: steps("rate-limit 40ms"), status: 200, calls: twice("gpt-35-turbo"), took: 40 * time.Millisecond, outcome: usage.OK},
		{name: "E68 provisioned throughput", body: lone, east: steps("provisioned-full"), status: 200, calls: twice("gpt-35-turbo"), took: 43 * time.Millisecond, outcome: usage.OK},
		{name: "E69 429 for a day", body: lone, east: steps("rate-limit-never"), status: 429, code: "429", noRetry: true, calls: []string{"gpt-35-turbo"}, outcome: failed, unwell: map[string]string{"east/gpt-35-turbo": "rests 1m0s"}},
		{name: "E69 429 for longer than a request waits", body: lone, east: steps("rate-limit 20 s"), status: 429, code: "429", after: "20000", calls: []string{"gpt-35-turbo"}, outcome: failed, unwell: map[string]string{"east/gpt-35-turbo": "rests 20s"}},

		{name: "E72 a client that tries again itself: 503", body: hello, header: client2, east: steps("unavailable"), status: 503, code: "service_unavailable", noRetry: true, calls: []string{"gpt-4o-east"}, outcome: failed},
		{name: "E72 a client that tries again itself: no connection", body: lone, header: client2, east: steps("close-after-read"), status: 502, code: "upstream_unreachable", noRetry: true, calls: []string{"gpt-35-turbo"}, outcome: failed},
		{name: "E72 its first retry", body: hello, header: []string{"X-Stainless-Retry-Count", "1"}, east: steps("unavailable"), status: 200, calls: []string{"gpt-4o-east", "gpt-4o-west"}, outcome: usage.OK},
		{name: "E72 a cure is still tried", body: hello, header: client2, east: steps("unicode-500"), status: 200, calls: []string{"gpt-4o-east", "gpt-4o-east 0.75"}, outcome: usage.OK},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.run)
	}
}

// TestCuredBytes is contract E63: the second request is the first but for the one
// number, and the answer says how often was tried (R2).
func TestCuredBytes(t *testing.T) {
	t.Parallel()
	t.Run("E63 the body to the byte", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			body := `{"seed":9223372036854775807, "temperature" : 1.20,"messages":[{"role":"user","content":"h\u00e9"}],"model":"gpt-4o","new_field":[1.0,{}]}`
			w.east.Script(steps("unicode-500")...)
			got := w.chat(body)
			if got.status != http.StatusOK || got.header.Get("X-Weir-Attempts") != "2" {
				t.Errorf("%d, x-weir-attempts %q", got.status, got.header.Get("X-Weir-Attempts"))
			}
			asked := w.asked()
			if len(asked) != 2 || string(asked[0].Body) != body || string(asked[1].Body) != strings.Replace(body, "1.20", "0.8", 1) {
				t.Errorf("asked %+v", asked)
			}
			rec := w.record()
			if a := rec.Attempts; len(a) != 2 || a[0].Reason != "unicode_500" || a[1].Temperature == nil || *a[1].Temperature != 0.8 {
				t.Errorf("recorded %+v", a)
			}
		})
	})
}

// TestBreaker is contract E70: what opens a breaker, what does not, and what an
// open one lets through.
func TestBreaker(t *testing.T) {
	t.Parallel()
	lone := of("gpt-35-turbo", say("hello"))
	const d = "east/gpt-35-turbo"
	retrying := []string{"X-Stainless-Retry-Count", "2"}
	t.Run("E70 five 429s leave it closed", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			for range 6 {
				w.east.Script(steps("rate-limit 20 s")...)
				if got := w.chat(lone); got.status != http.StatusTooManyRequests {
					t.Errorf("%d %s", got.status, got.body)
				}
				time.Sleep(22 * time.Second)
			}
			if got := w.chat(lone); got.status != http.StatusOK || len(w.asked()) != 7 || len(w.unwell()) > 0 {
				t.Errorf("%d after %d calls, %v", got.status, len(w.asked()), w.unwell())
			}
		})
	})
	t.Run("E70 five 503s open it", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			w.east.Script(steps("unavailable", "unavailable", "unavailable", "unavailable", "unavailable")...)
			for i := range 5 {
				if len(w.unwell()) > 0 {
					t.Errorf("after %d faults: %v", i, w.unwell())
				}
				if got := w.chat(lone, retrying...); got.status != http.StatusServiceUnavailable || got.body == "" {
					t.Errorf("%d %s", got.status, got.body)
				}
			}
			if diff := cmp.Diff(map[string]string{d: "open"}, w.unwell()); diff != "" {
				t.Fatal(diff)
			}
			time.Sleep(10 * time.Second)
			got := w.chat(lone)
			if code, _, _ := got.code(); got.status != http.StatusServiceUnavailable || code != "no_healthy_deployment" || got.header.Get("Retry-After-Ms") != "5000" || got.header.Get("Retry-After") != "5" {
				t.Errorf("%d %q, retry-after-ms %q", got.status, code, got.header.Get("Retry-After-Ms"))
			}
			if len(w.asked()) != 5 {
				t.Errorf("an open breaker let %d calls through", len(w.asked())-5)
			}
			time.Sleep(5 * time.Second)
			w.east.Script(azuresim.Step{Delay: time.Second})
			probe := make(chan reply)
			go func() { probe <- w.chat(lone) }()
			synctest.Wait()
			if got := w.chat(lone); got.status != http.StatusServiceUnavailable || len(w.asked()) != 6 {
				t.Errorf("beside the probe: %d after %d calls", got.status, len(w.asked()))
			}
			if got := <-probe; got.status != http.StatusOK || got.took != time.Second {
				t.Errorf("the probe: %d after %v", got.status, got.took)
			}
			if len(w.unwell()) > 0 {
				t.Errorf("after the probe: %v", w.unwell())
			}
		})
	})
	t.Run("E70 a request's own tries count", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			w.east.Script(steps("unavailable", "unavailable", "unavailable", "unavailable", "unavailable", "unavailable")...)
			first, second := w.chat(lone), w.chat(lone)
			if first.took != 300*time.Millisecond || second.took != 100*time.Millisecond+200*time.Millisecond || len(w.asked()) != 5 {
				t.Errorf("%v and %v, %d calls", first.took, second.took, len(w.asked()))
			}
			if diff := cmp.Diff(map[string]string{d: "open"}, w.unwell()); diff != "" {
				t.Error(diff)
			}
		})
	})
}

// TestClientLeaves is contract E71 and what must hold wherever a client leaves:
// upstream is let go at once, nobody is asked again, and no deployment is blamed.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	lone := of("gpt-35-turbo", say("hello"))
	tests := []struct {
		name    string
		body    string
		east    []azuresim.Step
		leave   time.Duration
		pending bool  // upstream has a request then
		input   int64 // tokens that are charged
	}{
		{"R14 before any header", lone, steps("hang"), 3 * time.Second, true, 8},
		{"R14 before any header of a stream", of("gpt-35-turbo", say("hello", stream)), steps("hang"), 3 * time.Second, true, 8},
		{"R14 before a stream's content", of("gpt-35-turbo", say("hello", stream)), []azuresim.Step{{Pause: time.Hour, PauseAt: 1}}, 3 * time.Second, true, 8},
		{"R14 within an answer", lone, steps("unfinished-json"), 3 * time.Second, true, 8},
		{"E71 R14 in the backoff behind a fault", lone, steps("unavailable"), 50 * time.Millisecond, false, 0},
		{"E71 R14 in the backoff behind a 429", lone, steps("rate-limit 5 s"), 2 * time.Second, false, 0},
		{"E71 R14 in the second try", lone, append(steps("unavailable"), azuresim.Step{Hang: true}), 3 * time.Second, true, 8},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				w.east.Script(tt.east...)
				ctx, leave := context.WithTimeout(w.t.Context(), tt.leave)
				defer leave()
				if got := w.do(ctx, http.MethodPost, "/v1/chat/completions", tt.body); got.err == nil || got.took != tt.leave {
					t.Errorf("%d after %v: %v", got.status, got.took, got.err)
				}
				rec := w.record()
				if rec.Duration != tt.leave || rec.Outcome != usage.ClientGone || rec.Status != 499 || rec.Code != "client_closed_request" {
					t.Errorf("recorded %d %s %q after %v", rec.Status, rec.Outcome, rec.Code, rec.Duration)
				}
				if rec.Input != tt.input || rec.Output != 0 {
					t.Errorf("charged %d + %d", rec.Input, rec.Output)
				}
				asked := w.asked()
				if len(asked) != len(tt.east) {
					t.Fatalf("%d calls", len(asked))
				}
				if last := asked[len(asked)-1]; !last.Done || last.Cancelled != tt.pending {
					t.Errorf("upstream's last request: done %v, cancelled %v", last.Done, last.Cancelled)
				}
				time.Sleep(time.Minute)
				if len(w.asked()) != len(tt.east) || len(w.unwell()) > 0 {
					t.Errorf("%d calls a minute later, %v", len(w.asked()), w.unwell())
				}
			})
		})
	}
}
