package main_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"weir/azuresim"
	"weir/quota"
	"weir/usage"
)

// using is an answer that says what it used.
func using(prompt, completion int) azuresim.Step {
	return azuresim.Step{Status: http.StatusOK, Body: strings.Replace(oddAnswer, `"prompt_tokens":19,"completion_tokens":5`,
		fmt.Sprintf(`"prompt_tokens":%d,"completion_tokens":%d`, prompt, completion), 1)}
}

// TestLearnedReservations holds what is set aside for an answer that nobody bounds,
// once enough answers of the team and the model are known.
func TestLearnedReservations(t *testing.T) {
	t.Parallel()
	const flat = 1024
	answers := func(lengths ...int) (all []int) { // length, how many, and so on
		for i := 0; i < len(lengths); i += 2 {
			all = append(all, slices.Repeat(lengths[i:i+1], lengths[i+1])...)
		}
		return all
	}
	tests := []struct {
		name    string
		lengths []int
		bounded bool   // those answers were
		limits  string // of tokens; "" those that refuse nothing
		policy  string
		model   string // that is asked for afterwards
		key     string
		body    string
		taken   int64
	}{
		{name: "nothing known", taken: flat},
		{name: "too few known", lengths: answers(100, 19), taken: flat},
		{name: "all alike", lengths: answers(100, 20), taken: 103}, // the longest that is counted as 100 is
		{name: "shorter than the buckets are wide", lengths: answers(5, 20), taken: 5},
		{name: "nine of ten", lengths: answers(100, 18, 3000, 2), taken: 103},
		{name: "not nine of ten", lengths: answers(100, 17, 3000, 3), taken: 3071},
		{name: "half", lengths: answers(100, 10, 3000, 10), policy: "reserve_quantile: 0.5", taken: 103},
		{name: "none by policy", lengths: answers(100, 20), policy: "reserve_quantile: 0", taken: flat},
		{name: "no longer than the policy lets answers be", lengths: answers(3000, 20), policy: "max_output_tokens: 700", taken: 700},
		{name: "bounded answers teach nothing", lengths: answers(100, 40), bounded: true, taken: flat},
		{name: "of the model alone", lengths: answers(100, 20), model: "d2", taken: flat},
		{name: "of the team alone", lengths: answers(100, 20), key: otherKey, taken: flat},
		{name: "a bound is a bound", lengths: answers(100, 20), body: say("hello", `"max_tokens":2000`), taken: 2000},
		{name: "each choice", lengths: answers(100, 20), body: say("hello", `"n":3`), taken: 309},
		{name: "streams as well", lengths: answers(100, 20), body: say("hello", stream), taken: 103},
		{name: "never more than the allowance", lengths: answers(5000, 20), limits: "tpm: 600000, burst_tokens: 6000", taken: 5119},
		{name: "never more than a small allowance", lengths: answers(5000, 20), limits: "tpm: 600000, burst_tokens: 500", taken: 500 - 8},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			limits := tt.limits
			if limits == "" {
				limits = "tpm: 6000000"
			}
			edits := append(limited(limits), "models: [gpt-35-turbo]", "limits: { "+limits+" }")
			if tt.policy != "" {
				edits = append(edits, ruled(tt.policy)...)
			}
			bubble(t, plain, func(w *world) {
				teach := say("hello")
				if tt.bounded {
					teach = say("hello", `"max_tokens":100`)
				}
				for _, n := range tt.lengths {
					w.east.Script(using(8, n))
					if got := w.chat(teach); got.status != http.StatusOK {
						t.Fatalf("answered %d: %s", got.status, got.body)
					}
					synctest.Wait()
					time.Sleep(time.Minute) // the allowance is whole again, or its debt is paid
				}
				body, key := tt.body, tt.key
				if body == "" {
					body = say("hello")
				}
				if tt.model != "" {
					body = strings.Replace(body, "gpt-4o", tt.model, 1)
				}
				if key == "" {
					key = searchKey
				}
				full := number(t, w.do(w.t.Context(), http.MethodPost, chatPath, say("hi", `"max_tokens":1`), "api-key", key), "X-Ratelimit-Remaining-Tokens") + 9
				time.Sleep(time.Minute)
				got := w.do(w.t.Context(), http.MethodPost, chatPath, body, "api-key", key)
				if left := number(t, got, "X-Ratelimit-Remaining-Tokens"); got.status != http.StatusOK || full-left != 8+tt.taken {
					t.Errorf("answered %d, %d of %d tokens taken, want 8 and %d: %s", got.status, full-left, full, tt.taken, got.body)
				}
				if rec := w.record(); rec.Reserved != 8+tt.taken {
					t.Errorf("recorded %d", rec.Reserved)
				}
			}, edits...)
		})
	}
}

// TestOnePassesAFullAllowance holds that answers that were long never shut out a
// request that nobody bounds: it waits for the whole allowance, and then passes.
func TestOnePassesAFullAllowance(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		for i := range 30 {
			w.east.Script(using(8, 1400))
			got := w.chat(say("hello"))
			if got.status != http.StatusOK || got.header.Get("X-Ratelimit-Remaining-Tokens") != "0" {
				t.Fatalf("%d: answered %d %v: %s", i, got.status, got.header, got.body)
			}
			synctest.Wait()
			// 1408 of 1000 are used: 408 are owed.
			again := w.chat(say("hello"))
			wait := time.Duration(number(t, again, "Retry-After-Ms")) * time.Millisecond
			if again.status != http.StatusTooManyRequests || wait != 1408*time.Minute/2000 {
				t.Fatalf("%d: answered %d, wait %v", i, again.status, wait)
			}
			time.Sleep(wait)
		}
	}, limited("tpm: 2000, burst_tokens: 1000")...)
}

// TestHeadersTellTheTruth is reliability L15: what a thousand answers say of the
// limits, beside a limiter that is given the same requests at the same times.
func TestHeadersTellTheTruth(t *testing.T) {
	t.Parallel()
	const worlds, each = 8, 125
	var mu sync.Mutex
	served, refused := 0, 0
	t.Cleanup(func() {
		t.Logf("%d answers and %d refusals told what the limiter knew", served, refused)
		if served+refused != worlds*each || served < each || refused < each {
			t.Errorf("%d were served and %d refused", served, refused)
		}
	})
	for seed := range uint64(worlds) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				s, r := w.told(seed, each)
				mu.Lock()
				defer mu.Unlock()
				served, refused = served+s, refused+r
			}, slices.Concat(fiveCents(), accountable(
				"limits: { rpm: 300, burst_requests: 40, tpm: 20000, burst_tokens: 9000, concurrency: 12 }\n    budget: { usd: 25, zone: Europe/Berlin }",
				"limits: { rpm: 200, burst_requests: 30, tpm: 30000, burst_tokens: 5000 }, budget: { usd: 20, period: day }"))...)
		})
	}
}

// told sends n requests of all sorts, and compares what each answer tells of its
// limits with what it should. Requests begin at even milliseconds and end at odd
// ones, so that nothing depends on which of two comes first.
func (w *world) told(seed uint64, n int) (served, refused int) {
	w.t.Helper()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		w.t.Fatal(err)
	}
	truth := quota.NewMemory(quota.MemoryConfig{})
	accounts := []quota.Account{
		{ID: "team:search", Limits: quota.Limits{
			RequestsPerMinute: 300, BurstRequests: 40, TokensPerMinute: 20000, BurstTokens: 9000, Concurrency: 12,
			Budget: quota.Budget{Amount: 25e9, Zone: berlin},
		}},
		{ID: "key:search/search-1", Limits: quota.Limits{
			RequestsPerMinute: 200, BurstRequests: 30, TokensPerMinute: 30000, BurstTokens: 5000,
			Budget: quota.Budget{Amount: 20e9, Period: quota.Day},
		}},
	}
	price := usage.Price{Input: 250_000, Output: 480_000}
	chance := rand.New(rand.NewPCG(seed, 15))
	var all sync.WaitGroup
	for range n {
		bound, path := 1+chance.IntN(400), chatPath
		if chance.IntN(2) == 0 {
			path = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
		}
		used := 1 + chance.IntN(500) // more than was reserved, now and then
		lease, err := truth.Reserve(w.t.Context(), accounts, quota.Cost{Requests: 1, Tokens: int64(8 + bound), Spend: int64(price.Cost(usage.Tokens{Input: 8, Output: int64(bound)}))})
		if err == nil {
			step := using(8, used)
			step.Delay = time.Duration(1+2*chance.IntN(2000)) * time.Millisecond
			w.east.Script(step)
			served++
		} else {
			refused++
		}
		all.Go(func() {
			got := w.do(w.t.Context(), http.MethodPost, path, say("hello", fmt.Sprintf(`"max_tokens":%d`, bound)))
			if lease != nil {
				lease.Settle(quota.Cost{Requests: 1, Tokens: int64(8 + used), Spend: int64(price.Cost(usage.Tokens{Input: 8, Output: int64(used)}))})
			}
			w.truthful(got, path, lease, err)
		})
		synctest.Wait()
		time.Sleep(time.Duration(2*chance.IntN(300)) * time.Millisecond)
	}
	all.Wait()
	return served, refused
}

// truthful compares what an answer tells of its limits with what they are.
func (w *world) truthful(got reply, path string, lease *quota.Lease, err error) {
	w.t.Helper()
	want := map[string]string{}
	var level quota.Snapshot
	status := http.StatusOK
	if no, ok := errors.AsType[*quota.ExceededError](err); ok {
		level, status = no.Snapshot, http.StatusTooManyRequests
		switch {
		case no.Dimension == quota.Spend, no.Wait > time.Minute:
			want["X-Should-Retry"] = "false"
		default:
			want["Retry-After-Ms"] = strconv.FormatInt(no.Wait.Milliseconds(), 10)
			want["Retry-After"] = strconv.Itoa(int(max(1, math.Ceil(no.Wait.Seconds()))))
		}
	} else {
		level = lease.Snapshot()
	}
	for name, l := range map[string]quota.Level{"Requests": level.Requests, "Tokens": level.Tokens} {
		want["X-Ratelimit-Limit-"+name] = strconv.FormatInt(l.Limit, 10)
		want["X-Ratelimit-Remaining-"+name] = strconv.FormatInt(l.Remaining, 10)
		want["X-Ratelimit-Reset-"+name] = l.Reset.String()
		if path != chatPath {
			want["X-Ratelimit-Reset-"+name] = strconv.Itoa(int(math.Ceil(l.Reset.Seconds())))
		}
	}
	want["X-Weir-Budget-Remaining-Usd"] = usd(usage.USD(level.Budget.Remaining))
	have := map[string]string{}
	for name := range got.header {
		if strings.HasPrefix(name, "X-Ratelimit-") || strings.HasPrefix(name, "Retry-After") || name == "X-Should-Retry" || name == "X-Weir-Budget-Remaining-Usd" {
			have[name] = strings.Join(got.header[name], "|")
		}
	}
	if diff := gocmp.Diff(want, have); got.status != status || diff != "" {
		w.t.Errorf("answered %d, want %d (-want +got):\n%s", got.status, status, diff)
	}
}

// TestLedgerIsWhatWasCharged is invariant I13: over requests that end in every way
// there is, at once, what the ledger holds is what the limits took, to the token
// and to the billionth of a dollar; and a gateway that begins from the ledger goes
// on from there.
func TestLedgerIsWhatWasCharged(t *testing.T) {
	t.Parallel()
	const own = "limits: { rpm: 1, burst_requests: 100000, tpm: 1, burst_tokens: 9000000 }, budget: { usd: 900 }"
	const second = "sk-second-key-for-tests-only"
	tests := []struct {
		name  string
		edits []string
	}{
		{name: "a team", edits: accountable(strings.ReplaceAll(own, "}, budget", "}\n    budget"), "")},
		{name: "its keys", edits: []string{
			`keys: [{ id: search-1, value: "${SEARCH_KEY}" }]`, `keys: [{ id: search-1, value: "${SEARCH_KEY}", ` + own + ` }, { id: dev, value: ` + second + `, ` + own + ` }]`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "ledger.db")
			keys := map[string]string{searchKey: "search-1"}
			if tt.name == "its keys" {
				keys[second] = "dev"
			} else {
				tt.edits = append(tt.edits, `"${SEARCH_KEY}" }`, `"${SEARCH_KEY}" }, { id: dev, value: `+second+` }`)
			}
			yaml := strings.NewReplacer(slices.Concat(tt.edits, twoPrices(), kept(path))...).Replace(plain)
			bubble(t, plain, func(w *world) {
				w.again(yaml)
				began := time.Now()
				for round := range uint64(4) {
					w.everything(round, 60, []string{searchKey, second})
					time.Sleep(5 * time.Second) // what rests may be asked again
				}
				if took := time.Since(began); took > time.Minute {
					t.Fatalf("it took %v, in which tokens flow in", took)
				}
				probe := func(key string) (tokens int64, money string) {
					synctest.Wait()
					got := w.chat(strings.Replace(say("hi", `"max_tokens":1`), "gpt-4o", "gpt-35-turbo", 1), "api-key", key)
					return 9_000_000 - 9 - number(t, got, "X-Ratelimit-Remaining-Tokens"), got.header.Get("X-Weir-Budget-Remaining-Usd")
				}
				charged := map[string]string{}
				for key, name := range keys {
					tokens, money := probe(key)
					charged[name] = fmt.Sprintf("%d tokens, $%s left", tokens, money)
				}
				synctest.Wait()
				w.pass(time.Now(), yaml)
				sums := ledger(w.t, path)
				booked, requests := map[string]string{}, int64(0)
				for key, name := range keys {
					var tokens int64
					var cost usage.USD
					for _, sum := range sums {
						if sum.Open != 0 || sum.Held != 0 {
							t.Errorf("the ledger has open requests: %+v", sum)
						}
						if sum.Key == name || len(keys) == 1 {
							tokens, cost, requests = tokens+sum.Input+sum.Output, cost+sum.Cost, requests+sum.Requests
						}
					}
					tokens -= w.last(name) // the probe's, which was not settled then
					booked[name] = fmt.Sprintf("%d tokens, $%s left", tokens, usd(900*usage.Dollar-cost))
					if _, again := probe(key); again != usd(900*usage.Dollar-cost) {
						t.Errorf("after a restart $%s are left of %s, want %v less", again, name, cost)
					}
				}
				if diff := gocmp.Diff(booked, charged); diff != "" {
					t.Errorf("the ledger, and what was charged (-ledger +charged):\n%s", diff)
				}
				t.Logf("%d requests: %v", requests, charged)
			})
		})
	}
}

// last returns what the last request of a key used.
func (w *world) last(key string) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, rec := range slices.Backward(w.records) {
		if rec.Key == key {
			return rec.Input + rec.Output
		}
	}
	return 0
}

// everything sends n requests at once that end in every way there is.
func (w *world) everything(seed uint64, n int, keys []string) {
	w.t.Helper()
	chance := rand.New(rand.NewPCG(seed, 13))
	faults := []string{
		"", "", "", "", "", "rate-limit 1", "unavailable", "unicode-500", "close-after-read", "content-filter", "reset-first",
		"no-usage", "error-late", "unicode-stream", "context-length", "no-done",
	}
	for range n {
		for _, deployment := range []string{"gpt-4o-east", "gpt-4o-west"} {
			step := azuresim.Step{
				Fault: faults[chance.IntN(len(faults))], Content: hellos(1 + chance.IntN(60)),
				Delay: time.Duration(chance.IntN(300)) * time.Millisecond, Gap: time.Duration(chance.IntN(40)) * time.Millisecond,
			}
			if chance.IntN(6) == 0 {
				step.CutEvents, step.Reset = 1+chance.IntN(8), chance.IntN(2) == 0
			}
			w.east.ScriptDeployment(deployment, step)
			w.west.ScriptDeployment(deployment, step)
		}
	}
	var all sync.WaitGroup
	for range n {
		fields := []string{fmt.Sprintf(`"max_tokens":%d`, 1+chance.IntN(100))}
		if chance.IntN(4) == 0 {
			fields = nil
		}
		if chance.IntN(2) == 0 {
			fields = append(fields, stream)
		}
		patience := time.Minute
		if chance.IntN(3) == 0 {
			patience = time.Duration(chance.IntN(700)) * time.Millisecond
		}
		text, key := hellos(1+chance.IntN(30)), keys[chance.IntN(len(keys))]
		if chance.IntN(20) == 0 {
			text = "<|im_start|>"
		}
		all.Go(func() {
			ctx, cancel := context.WithTimeout(w.t.Context(), patience)
			defer cancel()
			w.do(ctx, http.MethodPost, chatPath, say(text, fields...), "api-key", key)
		})
	}
	all.Wait()
	synctest.Wait()
}
