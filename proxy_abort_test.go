package main_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/azuresim"
	"weir/usage"
)

// wide are limits that refuse nothing but more than a hundred open requests, and in
// which next to nothing flows in.
const wide = "limits: { rpm: 1, burst_requests: 100000, tpm: 1, burst_tokens: 9000000, concurrency: 100 }\n    budget: { usd: 900 }"

// TestAbortedStreams is reliability L5: a thousand streams, a hundred at a time, which
// their clients leave at random points. A second later nothing of any is reserved
// or open, and what is charged is what was streamed.
func TestAbortedStreams(t *testing.T) {
	t.Parallel()
	const worlds, each = 10, 100
	var mu sync.Mutex
	var charged, served, cut int64
	t.Cleanup(func() {
		if cut != worlds*each {
			t.Errorf("%d streams were left, want %d", cut, worlds*each)
		}
		off := 100 * math.Abs(float64(charged-served)) / float64(served)
		t.Logf("%d streams left: %d tokens charged, %d served, %.3f %% apart", cut, charged, served, off)
		if off > 2 {
			t.Errorf("%d tokens were charged and %d served", charged, served)
		}
	})
	for seed := range uint64(worlds) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				w.abort(seed, each)
				time.Sleep(time.Second)
				c, s, n := w.aborted()
				mu.Lock()
				defer mu.Unlock()
				charged, served, cut = charged+c, served+s, cut+n
			}, slices.Concat(fiveCents(), freeProbe(), accountable(wide, ""))...)
		})
	}
}

// freeProbe are the edits that make gpt-35-turbo cost nothing.
func freeProbe() []string {
	return []string{"gpt-35-turbo: { deployments", "gpt-35-turbo: { price: { input: 0, output: 0 }, deployments"}
}

// abort begins n streams at once and leaves each at some point: before the answer
// begins, by giving up its context, or after so many bytes, by closing it.
func (w *world) abort(seed uint64, n int) {
	w.t.Helper()
	chance := rand.New(rand.NewPCG(seed, 5))
	for range n {
		w.east.Script(azuresim.Step{
			Content: strings.Repeat(" the", 400), Delay: time.Duration(chance.IntN(200)) * time.Millisecond,
			Gap: time.Duration(25+chance.IntN(30)) * time.Millisecond,
		})
	}
	var all sync.WaitGroup
	for i := range n {
		patience, bytes := time.Duration(1+chance.IntN(2000))*time.Millisecond, int64(0)
		if i%3 == 0 {
			patience, bytes = time.Minute, int64(1+chance.IntN(25_000))
		}
		fields := []string{stream}
		if i%2 == 0 {
			fields = append(fields, fmt.Sprintf(`"max_tokens":%d`, 2000+chance.IntN(9000)))
		}
		all.Go(func() {
			ctx, cancel := context.WithTimeout(w.t.Context(), patience)
			defer cancel()
			resp, err := w.send(ctx, http.MethodPost, chatPath, say("hello", fields...))
			if err != nil {
				return
			}
			defer func() { _ = resp.Body.Close() }()
			body := io.Reader(resp.Body)
			if bytes > 0 {
				body = io.LimitReader(body, bytes)
			}
			_, _ = io.Copy(io.Discard, body) // it ends in an error, or early
		})
	}
	all.Wait()
}

// aborted returns the tokens that were charged, those that were served, and how
// many streams were left before their end. Nothing of any may be held any more.
func (w *world) aborted() (charged, served, cut int64) {
	w.t.Helper()
	var cost usage.USD
	synctest.Wait()
	for _, rec := range w.records {
		if rec.Outcome == usage.ClientGone {
			cut++
		}
		cost += rec.Cost
	}
	for _, r := range w.asked() {
		served += 8 + int64(r.CompletionTokens) // what was sent is a prompt that was read
		if !r.Done {
			w.t.Error("upstream still answers")
		}
	}
	if unwell := w.unwell(); len(unwell) > 0 {
		w.t.Errorf("deployments are %v", unwell)
	}
	const probe = 7 + 1 + 1
	got := w.chat(strings.Replace(say("hi", `"max_tokens":1`), "gpt-4o", "gpt-35-turbo", 1))
	synctest.Wait()
	charged = 9_000_000 - probe - number(w.t, got, "X-Ratelimit-Remaining-Tokens")
	if left := got.header.Get("X-Weir-Budget-Remaining-Usd"); left != usd(900*usage.Dollar-cost) {
		w.t.Errorf("$%s are left, want %v less", left, cost)
	}
	var all sync.WaitGroup
	for range 100 { // every slot is free
		w.east.Script(azuresim.Step{Delay: time.Second})
	}
	for range 100 {
		all.Go(func() { w.serves("the streams") })
	}
	all.Wait()
	return charged, served, cut
}

// TestFailuresRefund is reliability L7: five hundred requests of which no deployment
// answers one. The allowance of tokens and of money is as full as before, to the
// last of them, and each that was sent counts as a request.
func TestFailuresRefund(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		chance := rand.New(rand.NewPCG(7, 7))
		var all sync.WaitGroup
		began, sent := time.Now(), int64(0)
		for wave := range 10 {
			for range 300 {
				for _, d := range []string{"gpt-4o-east", "gpt-4o-west"} {
					step := azuresim.Step{Fault: []string{"unavailable", "close-after-read", "reset-first"}[chance.IntN(3)], Delay: time.Duration(chance.IntN(100)) * time.Millisecond}
					w.east.ScriptDeployment(d, step)
					w.west.ScriptDeployment(d, step)
				}
			}
			for i := range 50 {
				fields := []string{`"max_tokens":3000`, stream}
				all.Go(func() {
					if got := w.chat(say("hello", fields[i%2:][:1]...)); got.status < 429 {
						t.Errorf("answered %d: %s", got.status, got.body)
					}
				})
			}
			all.Wait()
			synctest.Wait()
			full := time.Since(began) < time.Minute // later a token has flowed in, which does not show where all are there
			got := w.chat(strings.Replace(say("hi", `"max_tokens":1`), "gpt-4o", "gpt-35-turbo", 1))
			synctest.Wait()
			if left := number(t, got, "X-Ratelimit-Remaining-Tokens"); left != 9_000_000-9-w.used() || !full {
				t.Errorf("wave %d: %d tokens are left", wave, left)
			}
			if left := got.header.Get("X-Weir-Budget-Remaining-Usd"); left != "900" {
				t.Errorf("wave %d: $%s are left", wave, left)
			}
			time.Sleep(4 * time.Second)
		}
		failed, attempts := 0, 0
		for _, rec := range w.records {
			if slices.ContainsFunc(rec.Attempts, func(a usage.Attempt) bool { return a.Sent }) {
				sent++
			}
			if rec.Outcome != usage.OK {
				failed, attempts = failed+1, attempts+len(rec.Attempts)
			}
		}
		got := w.chat(strings.Replace(say("hi", `"max_tokens":1`), "gpt-4o", "gpt-35-turbo", 1))
		if left := number(t, got, "X-Ratelimit-Remaining-Requests"); failed != 500 || left != 100_000-1-sent {
			t.Errorf("%d failed, %d requests are left, %d were sent", failed, left, sent)
		}
		t.Logf("%d requests failed in %d attempts, %d were sent", failed, attempts, sent-10)
		w.east.Reset() // what is scripted for attempts that the budget of retries did not allow
		w.west.Reset()
		w.serves("the failures")
	}, slices.Concat(fiveCents(), freeProbe(), accountable(wide, ""), []string{"resilience:", "resilience:\n  breaker: { consecutive_failures: 1000, failure_ratio: 1, min_requests: 100000 }"})...)
}

// used returns the tokens of all requests but the last.
func (w *world) used() (tokens int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, rec := range w.records[:len(w.records)-1] {
		tokens += rec.Input + rec.Output
	}
	return tokens
}
