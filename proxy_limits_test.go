package main_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
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
			w.gateway.Pool().Stop()
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
