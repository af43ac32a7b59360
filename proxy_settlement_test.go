package main_test

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/azuresim"
	"weir/usage"
)

// The limits that settlements are measured with: so large that nothing is
// refused, so slow that nothing flows in within a second.
const (
	measured       = "rpm: 1, burst_requests: 100, tpm: 60, burst_tokens: 10000, concurrency: 1"
	fullOfRequests = 100
	fullOfTokens   = 10_000
)

// spent returns what is missing from the team's allowance, by asking for a little.
func (w *world) spent() (requests, tokens int64) {
	w.t.Helper()
	synctest.Wait()
	const probe = 7 + 1 + 1 // the frame, a word, and an answer of one token
	got := w.chat(strings.Replace(say("hi", `"max_tokens":1`), "gpt-4o", "gpt-35-turbo", 1))
	if got.status == http.StatusTooManyRequests {
		w.t.Fatalf("the probe was refused: %s", got.body)
	}
	return fullOfRequests - 1 - number(w.t, got, "X-Ratelimit-Remaining-Requests"),
		fullOfTokens - probe - number(w.t, got, "X-Ratelimit-Remaining-Tokens")
}

func number(t *testing.T, r reply, header string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(r.header.Get(header), 10, 64)
	if err != nil {
		t.Fatalf("%s is %q in %v", header, r.header.Get(header), r.header)
	}
	return n
}

// TestSettlement is reliability 2.2: what each outcome of a request takes from
// the team's allowance, and that its slot is free again.
func TestSettlement(t *testing.T) {
	t.Parallel()
	const served = -1 // as many tokens as the resource says it served
	answered := azuresim.Step{Status: 200, Body: oddAnswer}
	using := func(prompt, completion int) azuresim.Step {
		body := strings.Replace(oddAnswer, `"prompt_tokens":19,"completion_tokens":5`, fmt.Sprintf(`"prompt_tokens":%d,"completion_tokens":%d`, prompt, completion), 1)
		return azuresim.Step{Status: 200, Body: body}
	}
	silent := `{"choices":[{"index":0,"message":{"role":"assistant","content":"` + hellos(7) + `"},"finish_reason":"stop"},{"index":1,"message":{"role":"assistant","content":"` + hellos(2) + `"},"finish_reason":"stop"}]}`
	fails := func(name string) azuresim.Step { return azuresim.Step{Fault: name} }
	leave := func(after time.Duration, body string) func(*world) reply {
		return func(w *world) reply {
			ctx, cancel := context.WithTimeout(w.t.Context(), after)
			defer cancel()
			return w.do(ctx, http.MethodPost, chatPath, body)
		}
	}
	tests := []struct {
		name     string
		body     string
		east     []azuresim.Step // for each request in turn
		west     []azuresim.Step
		do       func(w *world) reply
		edits    []string
		status   int
		requests int64
		tokens   int64
	}{
		{name: "refused by policy", body: say("<|im_start|>"), status: 400},
		{name: "refused by shape", body: say("hello", `"n":0`), status: 400},
		{name: "refused by the window", body: say("hello", `"max_tokens":99999`), status: 400},
		{name: "refused by name", body: strings.Replace(say("hello"), "gpt-4o", "nope", 1), status: 404},
		{name: "refused by a limit, for good", body: say("hello", `"max_tokens":9993`), status: 400},
		{name: "no deployment can be reached", status: 502, edits: []string{"127.0.0.1:81", "127.0.0.1:83", "127.0.0.1:82", "127.0.0.1:84"}},
		{
			name: "no deployment may be asked: the first request alone", status: 429, requests: 1,
			east: []azuresim.Step{fails("rate-limit")}, west: []azuresim.Step{fails("rate-limit")},
			do: func(w *world) reply { w.chat(say("hello")); return w.chat(say("hello")) },
		},
		{name: "throttled by all", status: 429, requests: 1, east: []azuresim.Step{fails("rate-limit")}, west: []azuresim.Step{fails("rate-limit")}},
		{name: "failed by all", status: 503, requests: 1, east: []azuresim.Step{fails("unavailable"), fails("unavailable")}, west: []azuresim.Step{fails("unavailable"), fails("unavailable")}},
		{name: "cut by all", status: 502, requests: 1, east: []azuresim.Step{fails("close-after-read"), fails("close-after-read")}, west: []azuresim.Step{fails("close-after-read"), fails("close-after-read")}},
		{name: "filtered", status: 400, requests: 1, east: []azuresim.Step{fails("content-filter")}},
		{name: "refused upstream", status: 400, requests: 1, east: []azuresim.Step{fails("context-length")}},
		{
			name: "not answered in time", status: 504, requests: 1, east: []azuresim.Step{{Hang: true}}, west: []azuresim.Step{{Hang: true}},
			do: func(w *world) reply { return w.chat(say("hello"), "X-Stainless-Timeout", "2") },
		},
		{name: "answered", status: 200, requests: 1, tokens: 24, east: []azuresim.Step{answered}},
		{name: "answered, more reserved than used", body: say("hello", `"max_tokens":9000`), status: 200, requests: 1, tokens: 24, east: []azuresim.Step{answered}},
		{name: "answered, more used than reserved", body: say("hello", `"max_tokens":1`), status: 200, requests: 1, tokens: 5000, east: []azuresim.Step{using(3000, 2000)}},
		{name: "answered with several choices", body: say("hello", `"n":3,"max_tokens":9`), status: 200, requests: 1, tokens: served},
		{name: "answered without usage", status: 200, requests: 1, tokens: 8 + 7 + 2, east: []azuresim.Step{{Status: 200, Body: silent}}},
		{name: "answered with usage of nothing", status: 200, requests: 1, tokens: 0, east: []azuresim.Step{using(0, 0)}},
		{name: "answered after a cure: one charge, the winner's", status: 200, requests: 1, tokens: 24, east: []azuresim.Step{fails("unicode-500"), answered}},
		{name: "answered elsewhere: one charge, the winner's", status: 200, requests: 1, tokens: 24, east: []azuresim.Step{fails("rate-limit")}, west: []azuresim.Step{answered}},
		{name: "answered the third time", status: 200, requests: 1, tokens: 24, east: []azuresim.Step{fails("unavailable"), answered}, west: []azuresim.Step{fails("reset-first")}},
		{name: "streamed", body: say("hello", stream), status: 200, requests: 1, tokens: served},
		{name: "streamed, the client asks for usage", body: say("hello", stream, `"stream_options":{"include_usage":true}`), status: 200, requests: 1, tokens: served},
		{name: "streamed after an error event", body: say("hello", stream), status: 200, requests: 1, tokens: served, east: []azuresim.Step{fails("unicode-stream")}},
		{name: "streamed without usage", body: say("hello", stream), status: 200, requests: 1, tokens: 8 + 20, east: []azuresim.Step{{Fault: "no-usage", Content: hellos(20)}}},
		{name: "streamed without [DONE]", body: say("hello", stream), status: 200, requests: 1, tokens: served, east: []azuresim.Step{fails("no-done")}},
		{name: "cut in the stream", body: say("hello", stream), status: 200, requests: 1, tokens: 8 + 5, east: []azuresim.Step{{Content: hellos(20), CutEvents: 1, OfContent: true}}},
		{name: "reset in the stream", body: say("hello", stream), status: 200, requests: 1, tokens: 8 + 5, east: []azuresim.Step{{Content: hellos(20), CutEvents: 1, OfContent: true, Reset: true}}},
		{name: "ended by an error in the stream", body: say("hello", stream), status: 200, requests: 1, tokens: 8 + 5, east: []azuresim.Step{{Fault: "error-late", Content: hellos(20)}}},
		{
			name: "F76 the client leaves the stream", status: 200, requests: 1, tokens: 8 + 5,
			east: []azuresim.Step{{Content: hellos(20), Gap: 100 * time.Millisecond}}, do: leave(250*time.Millisecond, say("hello", stream)),
		},
		{
			name: "F76 the client leaves a long stream, much reserved", status: 200, requests: 1, tokens: 8 + 9,
			east: []azuresim.Step{{Content: hellos(20), Gap: 100 * time.Millisecond}}, do: leave(350*time.Millisecond, say("hello", stream, `"max_tokens":9000`)),
		},
		{name: "the client leaves before the answer", requests: 1, tokens: 8, east: []azuresim.Step{{Hang: true}}, do: leave(100*time.Millisecond, say("hello"))},
		{name: "the client leaves before the stream", requests: 1, tokens: 8, east: []azuresim.Step{{Hang: true}}, do: leave(100*time.Millisecond, say("hello", stream))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				w.east.Script(tt.east...)
				w.west.Script(tt.west...)
				do := tt.do
				if do == nil {
					do = func(w *world) reply { return w.chat(cmp.Or(tt.body, say("hello"))) }
				}
				if got := do(w); got.status != tt.status {
					t.Errorf("answered %d: %s", got.status, got.body)
				}
				rec, want := w.record(), tt.tokens
				if want == served {
					last := w.asked()[len(w.asked())-1]
					want = int64(last.PromptTokens + last.CompletionTokens)
				}
				if requests, tokens := w.spent(); requests != tt.requests || tokens != want {
					t.Errorf("it took %d requests and %d tokens, want %d and %d", requests, tokens, tt.requests, want)
				}
				if rec.Outcome == usage.OK && rec.Input+rec.Output != want {
					t.Errorf("recorded %d and %d", rec.Input, rec.Output)
				}
			}, append(tt.edits, limited(measured)...)...)
		})
	}
}

// TestDebt holds that what was used beyond the allowance is owed, and that a
// client is not told to wait for longer than any of them would.
func TestDebt(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		w.east.Script(azuresim.Step{Status: 200, Body: strings.Replace(oddAnswer, `"completion_tokens":5`, `"completion_tokens":11981`, 1)})
		if got := w.chat(say("hello", `"max_tokens":1`)); got.status != http.StatusOK {
			t.Fatal(got.body)
		}
		synctest.Wait()
		got := w.chat(say("hello", `"max_tokens":1`)) // 12,000 of 10,000 are used, and 9 are wanted
		want := `Team "search" has used its 6000 tokens per minute: 0 are left, and the request needs 9. Next slot in 20.1s. ` +
			"To raise it, ask #search to change teams.search.limits.tpm. (docs/errors.md#rate_limit_exceeded)"
		if got.status != 429 || got.message() != want || got.header.Get("Retry-After-Ms") != "20090" || got.header.Get("X-Ratelimit-Remaining-Tokens") != "0" || got.header.Get("X-Ratelimit-Reset-Tokens") != "2m0s" {
			t.Errorf("answered %d %v: %s", got.status, got.header, got.body)
		}
		w.east.Script(azuresim.Step{Status: 200, Body: strings.Replace(oddAnswer, `"completion_tokens":5`, `"completion_tokens":11981`, 1)})
		time.Sleep(20*time.Second + 90*time.Millisecond)
		if got := w.chat(say("hello", `"max_tokens":1`)); got.status != http.StatusOK {
			t.Fatal(got.body)
		}
		synctest.Wait()
		got = w.chat(say("hello", `"max_tokens":1`)) // two minutes from here
		if got.status != 429 || got.header.Get("X-Should-Retry") != "false" || got.header.Get("Retry-After")+got.header.Get("Retry-After-Ms") != "" {
			t.Errorf("answered %d %v: %s", got.status, got.header, got.body)
		}
	}, limited("tpm: 6000, burst_tokens: 10000")...)
}

// TestReservation is contract F75: what is taken while a request runs.
func TestReservation(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body, limits, policy string
		left                       int64
	}{
		{name: "max_tokens", body: say("hello", `"max_tokens":100`), left: fullOfTokens - 8 - 100},
		{name: "max_completion_tokens", body: say("hello", `"max_completion_tokens":200`), left: fullOfTokens - 8 - 200},
		{name: "three choices", body: say("hello", `"max_tokens":100,"n":3`), left: fullOfTokens - 8 - 300},
		{name: "no bound", body: say("hello"), left: fullOfTokens - 8 - 1024},
		{name: "no bound, two choices", body: say("hello", `"n":2`), left: fullOfTokens - 8 - 2048},
		{name: "no bound, a small allowance", body: say("hello"), limits: "tpm: 60, burst_tokens: 500", left: 0},
		{name: "no bound, a smaller allowance of the key", body: say("hello"), limits: measured + " }\n    x: {", left: 0},
		{name: "the policy's bound", body: say("hello", `"max_tokens":5000`), policy: "max_output_tokens: 50", left: fullOfTokens - 8 - 50},
		{name: "no bound but the policy's", body: say("hello"), policy: "max_output_tokens: 50", left: fullOfTokens - 8 - 50},
		{name: "the policy's default", body: say("hello"), policy: "default_output_tokens: 30", left: fullOfTokens - 8 - 30},
		{name: "what is left of a conversation", body: `{"model":"gpt-4o","messages":[{"role":"user","content":"` + hellos(100) + `"},{"role":"assistant","content":"yes"},{"role":"user","content":"hello"}],"max_tokens":1}`, policy: "max_turns: 1, on_context_overflow: trim_oldest", left: fullOfTokens - 8 - 1},
		{name: "an escaped token", body: say("<|end|>", `"max_tokens":1`), policy: "special_tokens: escape", left: fullOfTokens - 7 - 6 - 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			edits := limited(cmp.Or(tt.limits, measured))
			if key := `"${SEARCH_KEY}"`; strings.HasSuffix(tt.limits, "x: {") {
				edits = append(limited(measured), key, key+", limits: { tpm: 600, burst_tokens: 600 }")
			}
			if tt.policy != "" {
				edits = append(edits, ruled(tt.policy)...)
			}
			bubble(t, plain, func(w *world) {
				got := w.chat(tt.body)
				if left := number(t, got, "X-Ratelimit-Remaining-Tokens"); got.status != http.StatusOK || left != tt.left {
					t.Errorf("answered %d, %d tokens left, want %d: %s", got.status, left, tt.left, got.body)
				}
			}, edits...)
		})
	}
}
