package main_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"weir/azuresim"
	"weir/usage"
)

// limited are the edits that give the team search those limits.
func limited(limits string) []string {
	return []string{`owner: "#search"`, `owner: "#search"` + "\n    limits: { " + limits + " }"}
}

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

// TestLimitAnswers is reliability 2.5 and contract F74: what a client is told of
// its limits, in both of the forms that clients expect.
func TestLimitAnswers(t *testing.T) {
	t.Parallel()
	const classic = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
	shown := func(r reply) map[string]string {
		got := map[string]string{}
		for name, v := range r.header {
			if strings.HasPrefix(name, "X-Ratelimit-") || strings.HasPrefix(name, "Retry-After") || name == "X-Should-Retry" {
				got[name] = strings.Join(v, "|")
			}
		}
		return got
	}
	type told map[string]string
	body := say("hello", `"max_tokens":100`) // 108 tokens reserved, 22 used by the simulator's rule
	tests := []struct {
		name, limits, path, body string
		before                   int // requests
		status                   int
		kind, code, param        string
		message                  string
		headers                  told
	}{
		{name: "no limits", limits: "concurrency: 9", path: chatPath, body: body, status: 200, headers: told{}},
		{name: "requests", limits: "rpm: 10", path: chatPath, body: body, status: 200, headers: told{"X-Ratelimit-Limit-Requests": "10", "X-Ratelimit-Remaining-Requests": "9", "X-Ratelimit-Reset-Requests": "6s"}},
		{name: "requests, for Azure's clients", limits: "rpm: 10", path: classic, body: body, status: 200, headers: told{"X-Ratelimit-Limit-Requests": "10", "X-Ratelimit-Remaining-Requests": "9", "X-Ratelimit-Reset-Requests": "6"}},
		{name: "tokens", limits: "tpm: 6000", path: chatPath, body: body, status: 200, headers: told{"X-Ratelimit-Limit-Tokens": "6000", "X-Ratelimit-Remaining-Tokens": "5892", "X-Ratelimit-Reset-Tokens": "1.08s"}},
		{name: "tokens, for Azure's clients", limits: "tpm: 6000", path: classic, body: body, status: 200, headers: told{"X-Ratelimit-Limit-Tokens": "6000", "X-Ratelimit-Remaining-Tokens": "5892", "X-Ratelimit-Reset-Tokens": "2"}},
		{
			name: "both, and minutes", limits: "rpm: 1, burst_requests: 9, tpm: 60000", path: chatPath, body: body, before: 5, status: 200,
			headers: told{
				"X-Ratelimit-Limit-Requests": "1", "X-Ratelimit-Remaining-Requests": "3", "X-Ratelimit-Reset-Requests": "6m0s",
				"X-Ratelimit-Limit-Tokens": "60000", "X-Ratelimit-Remaining-Tokens": "59782", "X-Ratelimit-Reset-Tokens": "218ms",
			},
		},
		{
			name: "over requests", limits: "rpm: 8, burst_requests: 1, tpm: 6000", path: chatPath, body: body, before: 1, status: 429, kind: "requests", code: "rate_limit_exceeded",
			message: `Team "search" has used its 8 requests per minute: 0 are left, and the request needs 1. Next slot in 7.5s. To raise it, ask #search to change teams.search.limits.rpm.`,
			headers: told{
				"X-Ratelimit-Limit-Requests": "8", "X-Ratelimit-Remaining-Requests": "0", "X-Ratelimit-Reset-Requests": "7.5s",
				"X-Ratelimit-Limit-Tokens": "6000", "X-Ratelimit-Remaining-Tokens": "5978", "X-Ratelimit-Reset-Tokens": "220ms", "Retry-After": "8", "Retry-After-Ms": "7500",
			},
		},
		{
			name: "over requests, for Azure's clients", limits: "rpm: 8, burst_requests: 1", path: classic, body: body, before: 1, status: 429, kind: "requests", code: "rate_limit_exceeded",
			message: `Team "search" has used its 8 requests per minute: 0 are left, and the request needs 1. Next slot in 7.5s. To raise it, ask #search to change teams.search.limits.rpm.`,
			headers: told{"X-Ratelimit-Limit-Requests": "8", "X-Ratelimit-Remaining-Requests": "0", "X-Ratelimit-Reset-Requests": "8", "Retry-After": "8", "Retry-After-Ms": "7500"},
		},
		{
			name: "over tokens", limits: "tpm: 600, burst_tokens: 110", path: chatPath, body: body, before: 1, status: 429, kind: "tokens", code: "rate_limit_exceeded",
			message: `Team "search" has used its 600 tokens per minute: 88 are left, and the request needs 108. Next slot in 2s. To raise it, ask #search to change teams.search.limits.tpm.`,
			headers: told{"X-Ratelimit-Limit-Tokens": "600", "X-Ratelimit-Remaining-Tokens": "88", "X-Ratelimit-Reset-Tokens": "2.2s", "Retry-After": "2", "Retry-After-Ms": "2000"},
		},
		{
			name: "never", limits: "tpm: 600, burst_tokens: 107", path: chatPath, body: body, status: 400, kind: "invalid_request_error", code: "tokens_exceed_team_limit", param: "messages",
			message: `The request may use 108 tokens, and Team "search" never has more than 107 at once. Send a shorter prompt or a smaller max_tokens. To raise it, ask #search to change teams.search.limits.tpm.`,
			headers: told{"X-Ratelimit-Limit-Tokens": "600", "X-Ratelimit-Remaining-Tokens": "107", "X-Ratelimit-Reset-Tokens": "0s"},
		},
		{
			name: "a prompt that never fits", limits: "tpm: 600, burst_tokens: 27", path: chatPath, body: say(hellos(21)), status: 400, kind: "invalid_request_error", code: "tokens_exceed_team_limit", param: "messages",
			message: `The request may use 28 tokens, and Team "search" never has more than 27 at once. Send a shorter prompt or a smaller max_tokens. To raise it, ask #search to change teams.search.limits.tpm.`,
			headers: told{"X-Ratelimit-Limit-Tokens": "600", "X-Ratelimit-Remaining-Tokens": "27", "X-Ratelimit-Reset-Tokens": "0s"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				for range tt.before {
					w.do(w.t.Context(), http.MethodPost, tt.path, tt.body)
					synctest.Wait()
				}
				asked := len(w.asked())
				got := w.do(w.t.Context(), http.MethodPost, tt.path, tt.body)
				code, param, kind := got.code()
				if got.status != tt.status || code != tt.code || param != tt.param || kind != tt.kind {
					t.Errorf("answered %d %q %q %q: %s", got.status, code, param, kind, got.body)
				}
				if want := tt.message + " (docs/errors.md#" + tt.code + ")"; tt.status != 200 && got.message() != want {
					t.Errorf("message %s", gocmp.Diff(want, got.message()))
				}
				if diff := gocmp.Diff(map[string]string(tt.headers), shown(got)); diff != "" {
					t.Errorf("headers (-want +got):\n%s", diff)
				}
				rec := w.record()
				if tt.status != 200 && (len(w.asked()) != asked || rec.Outcome != usage.RefusedLimit || len(rec.Attempts) > 0) {
					t.Errorf("recorded %q after %d attempts", rec.Outcome, len(rec.Attempts))
				}
			}, limited(tt.limits)...)
		})
	}
}

// TestKeyLimits holds a key's own limits beside its team's: the narrower binds,
// nothing is taken where one refuses, and keys of one name in two teams are two.
func TestKeyLimits(t *testing.T) {
	t.Parallel()
	const second = "sk-second-key-for-tests-only"
	bubble(t, plain, func(w *world) {
		small := strings.Replace(say("hi"), "gpt-4o", "gpt-35-turbo", 1)
		tests := []struct {
			name, key        string
			status           int
			limit, remaining string
			says             string
		}{
			{name: "the key binds", key: searchKey, status: 200, limit: "1", remaining: "0"},
			{name: "the key refuses", key: searchKey, status: 429, limit: "1", remaining: "0", says: `Key "prod" has used its 1 requests per minute: 0 are left, and the request needs 1. Next slot in 1m0s. To raise it, ask #search to change teams.search.keys[prod].limits.rpm.`},
			{name: "the key refuses again", key: searchKey, status: 429, limit: "1", remaining: "0", says: `Key "prod" has used its 1 requests per minute: 0 are left, and the request needs 1. Next slot in 1m0s. To raise it, ask #search to change teams.search.keys[prod].limits.rpm.`},
			{name: "the other key has what the team has left", key: second, status: 200, limit: "3", remaining: "1"},
			{name: "a key of that name in another team", key: otherKey, status: 200, limit: "1", remaining: "0"},
			{name: "the other key takes the team's last", key: second, status: 200, limit: "3", remaining: "0"},
			{name: "the team refuses", key: second, status: 429, limit: "3", remaining: "0", says: `Team "search" has used its 3 requests per minute: 0 are left, and the request needs 1. Next slot in 20s. To raise it, ask #search to change teams.search.limits.rpm.`},
		}
		for _, tt := range tests {
			got := w.do(w.t.Context(), http.MethodPost, chatPath, small, "api-key", tt.key)
			if got.status != tt.status || got.header.Get("X-Ratelimit-Limit-Requests") != tt.limit || got.header.Get("X-Ratelimit-Remaining-Requests") != tt.remaining {
				t.Errorf("%s: answered %d %v: %s", tt.name, got.status, got.header, got.body)
			}
			if says := strings.TrimSuffix(got.message(), " (docs/errors.md#rate_limit_exceeded)"); says != tt.says {
				t.Errorf("%s: %s", tt.name, says)
			}
		}
	}, append(limited("rpm: 3"),
		`keys: [{ id: search-1, value: "${SEARCH_KEY}" }]`, `keys: [{ id: prod, value: "${SEARCH_KEY}", limits: { rpm: 1 } }, { id: dev, value: `+second+` }]`,
		`keys: [{ id: other-1, value: "${OTHER_KEY}" }]`, `keys: [{ id: prod, value: "${OTHER_KEY}", limits: { rpm: 1 } }]`)...)
}

// TestNeverAboveTheLimit holds that however many requests come at once, those
// that are let in never come to more than the limit.
func TestNeverAboveTheLimit(t *testing.T) {
	t.Parallel()
	const clients = 60
	tests := []struct {
		name, limits string
		edits        []string
		body         string
		served       int
		kind         string
	}{
		{name: "requests", limits: "rpm: 10", body: say("hello"), served: 10, kind: "requests"},
		{name: "a burst of requests", limits: "rpm: 600, burst_requests: 7", body: say("hello"), served: 7, kind: "requests"},
		{name: "tokens", limits: "tpm: 1000", body: say("hello", `"max_tokens":92`), served: 10, kind: "tokens"},
		{name: "tokens that do not divide", limits: "tpm: 1000", body: say("hello", `"max_tokens":300`), served: 3, kind: "tokens"},
		{name: "tokens without a bound", limits: "tpm: 1000", body: say("hello"), served: 1, kind: "tokens"},
		{name: "concurrency", limits: "concurrency: 5", body: say("hello"), served: 5, kind: "requests"},
		{name: "the key's", limits: "rpm: 10", edits: []string{`"${SEARCH_KEY}"`, `"${SEARCH_KEY}", limits: { rpm: 4 }`}, body: say("hello"), served: 4, kind: "requests"},
		{name: "streams", limits: "concurrency: 5", body: say("hello", stream), served: 5, kind: "requests"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				for range clients {
					w.east.Script(azuresim.Step{Delay: time.Second})
				}
				replies := make([]reply, clients)
				var all sync.WaitGroup
				for i := range replies {
					all.Go(func() { replies[i] = w.chat(tt.body) })
				}
				all.Wait()
				served := 0
				for _, r := range replies {
					code, _, kind := r.code()
					switch {
					case r.status == http.StatusOK:
						served++
					case r.status != 429 || code != "rate_limit_exceeded" || kind != tt.kind || r.took != 0 || r.header.Get("Retry-After-Ms") == "":
						t.Errorf("answered %d %q %q after %v: %v", r.status, code, kind, r.took, r.header)
					}
				}
				if asked := len(w.asked()); served != tt.served || asked != tt.served {
					t.Errorf("%d were served, and upstream asked %d times, want %d", served, asked, tt.served)
				}
			}, append(tt.edits, limited(tt.limits)...)...)
		})
	}
}

// TestConcurrency holds that a slot is free as soon as its request is over.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		w.east.Script(azuresim.Step{Delay: 5 * time.Second})
		done := make(chan reply)
		go func() { done <- w.chat(say("hello")) }()
		synctest.Wait()
		got := w.chat(say("hello"))
		code, _, kind := got.code()
		want := `Team "search" has 1 requests open, which is all it may have. Wait for one to end. To raise it, ask #search to change teams.search.limits.concurrency. (docs/errors.md#rate_limit_exceeded)`
		if got.status != 429 || code != "rate_limit_exceeded" || kind != "requests" || got.message() != want || got.header.Get("Retry-After-Ms") != "1000" || got.header.Get("Retry-After") != "1" {
			t.Errorf("answered %d %q %q %v: %s", got.status, code, kind, got.header, got.body)
		}
		if first := <-done; first.status != http.StatusOK || first.took != 5*time.Second {
			t.Errorf("the first was answered %d after %v", first.status, first.took)
		}
		synctest.Wait()
		w.serves("the first")
	}, limited("concurrency: 1")...)
}

// TestHonestRetryAfter is invariant I9: who waits for as long as a refusal says is
// let in, and who comes after 80 % of it is not.
func TestHonestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, limits := range []string{
		"rpm: 7, burst_requests: 3", "tpm: 900, burst_tokens: 300", "rpm: 59, burst_requests: 2, tpm: 777, burst_tokens: 333", "rpm: 60, burst_requests: 1", "rpm: 1000, burst_requests: 1",
	} {
		t.Run(limits, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				refused := 0
				for i := range 120 {
					ask := func() reply { return w.chat(say("hello", fmt.Sprintf(`"max_tokens":%d`, 1+i*37%280))) }
					got := ask()
					synctest.Wait()
					if got.status != 429 {
						time.Sleep(time.Duration(i*i%13) * time.Millisecond)
						continue
					}
					refused++
					wait := time.Duration(number(t, got, "Retry-After-Ms")) * time.Millisecond
					if seconds := number(t, got, "Retry-After"); seconds != max(1, int64((wait+time.Second-1)/time.Second)) {
						t.Errorf("Retry-After %d for %v", seconds, wait)
					}
					early := wait * 8 / 10
					time.Sleep(early)
					if again := ask(); again.status != 429 {
						t.Errorf("%d: after %v of %v answered %d", i, early, wait, again.status)
					}
					time.Sleep(wait - early)
					if again := ask(); again.status != http.StatusOK {
						t.Errorf("%d: after %v answered %d: %s", i, wait, again.status, again.body)
					}
					synctest.Wait()
				}
				if refused < 10 {
					t.Errorf("%d were refused", refused)
				}
			}, limited(limits)...)
		})
	}
}

// TestDrain is contract F78: a gateway that shuts down lets what is under way
// end and turns away what comes.
func TestDrain(t *testing.T) {
	t.Parallel()
	health := func(w *world, path string) int {
		r := httptest.NewRecorder()
		w.gateway.Admin.ServeHTTP(r, httptest.NewRequestWithContext(w.t.Context(), http.MethodGet, path, nil))
		return r.Code
	}
	begin := func(w *world) *http.Response {
		w.east.Script(azuresim.Step{Content: hellos(20), Gap: time.Second})
		resp, err := w.send(w.t.Context(), http.MethodPost, chatPath, say("hello", stream))
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	t.Run("streams end", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			if health(w, "/readyz") != 200 {
				t.Error("not ready")
			}
			open := begin(w)
			empty := w.gateway.Drain()
			answers, kept := w.exchange(post(length(say("hello"))) + say("hello"))
			got := answers[0]
			code, _, kind := got.code()
			if got.status != 503 || code != "shutting_down" || kind != "server_error" || kept > time.Second || got.header.Get("Retry-After-Ms") != "1" || got.header.Get("Retry-After") != "1" {
				t.Errorf("answered %d %q %v", got.status, code, got.header)
			}
			if ready, live := health(w, "/readyz"), health(w, "/livez"); ready != 503 || live != 200 {
				t.Errorf("readyz %d, livez %d", ready, live)
			}
			select {
			case <-empty:
				t.Error("it says that nothing is under way")
			default:
			}
			b, err := io.ReadAll(open.Body)
			whole := reply{body: string(b)}
			if err != nil || whole.text() != hellos(20) || !strings.HasSuffix(whole.body, "data: [DONE]\n\n") {
				t.Errorf("the stream ended with %v: %s", err, b)
			}
			<-empty
			if n := len(w.asked()); n != 1 {
				t.Errorf("upstream was asked %d times", n)
			}
		})
	})
	t.Run("streams are broken off when the grace is over", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			open := begin(w)
			empty := w.gateway.Drain()
			w.gateway.Pool.Stop()
			b, err := io.ReadAll(open.Body)
			cut := reply{body: string(b)}
			events := cut.events()
			if err == nil || !strings.HasPrefix(events[len(events)-1], `{"error":{`) || strings.Contains(cut.body, "[DONE]") {
				t.Errorf("the stream ended with %v: %s", err, b)
			}
			<-empty
			if rec := w.record(); rec.Input != 8 || rec.Output != 5 || !rec.Counted {
				t.Errorf("recorded %d and %d", rec.Input, rec.Output)
			}
		})
	})
}
