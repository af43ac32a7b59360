package main_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"weir/azuresim"
)

// TestShadowLimits holds that limits in shadow mode decide what they would if they
// held, and let pass: the same requests are sent at the same times through two
// gateways that differ in the mode alone, and what one refuses the other notes.
func TestShadowLimits(t *testing.T) {
	t.Parallel()
	const enforce, shadow = "mode: enforce", "mode: shadow"
	tests := []struct {
		name      string
		team, key string // limits and budgets
		codes     []string
	}{
		{name: "requests", team: "limits: { rpm: 30, burst_requests: 4, MODE }", codes: []string{"rate_limit_exceeded"}},
		{name: "tokens", team: "limits: { tpm: 3000, burst_tokens: 900, MODE }", codes: []string{"rate_limit_exceeded", "tokens_exceed_team_limit"}},
		{name: "concurrency", team: "limits: { concurrency: 2, MODE }", codes: []string{"rate_limit_exceeded"}},
		{name: "budget", team: "budget: { usd: 1.5, MODE }", codes: []string{"insufficient_quota"}},
		{name: "requests of a key", key: "limits: { rpm: 30, burst_requests: 4, MODE }", codes: []string{"rate_limit_exceeded"}},
		{name: "tokens of a key", key: "limits: { tpm: 3000, burst_tokens: 900, MODE }", codes: []string{"rate_limit_exceeded", "tokens_exceed_team_limit"}},
		{name: "concurrency of a key", key: "limits: { concurrency: 2, MODE }", codes: []string{"rate_limit_exceeded"}},
		{name: "budget of a key", key: "budget: { usd: 1.5, MODE }", codes: []string{"insufficient_quota"}},
		{
			name: "all of them", team: "limits: { rpm: 60, tpm: 9000, concurrency: 4, MODE }\n    budget: { usd: 2, MODE }", key: "limits: { rpm: 60, burst_requests: 5, concurrency: 3, MODE }, budget: { usd: 1.5, period: day, MODE }",
			codes: []string{"insufficient_quota", "rate_limit_exceeded"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			run := func(mode string) (statuses []int, codes []string) {
				bubble(t, plain, func(w *world) {
					statuses, codes = w.mixture(80)
				}, slices.Concat(fiveCents(), accountable(strings.ReplaceAll(tt.team, "MODE", mode), strings.ReplaceAll(tt.key, "MODE", mode)))...)
				return statuses, codes
			}
			_, want := run(enforce)
			statuses, got := run(shadow)
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("what limits refuse, and what they would (-want +got):\n%s", diff)
			}
			if slices.ContainsFunc(statuses, func(s int) bool { return s != http.StatusOK }) {
				t.Errorf("not all were served: %v", statuses)
			}
			for _, code := range append(tt.codes, "") {
				if !slices.Contains(want, code) {
					t.Errorf("%q was never among the %d", code, len(want))
				}
			}
		})
	}
}

// accountable are the edits that give the team search and its key what they may use.
func accountable(team, key string) []string {
	var edits []string
	if team != "" {
		edits = append(edits, `owner: "#search"`, `owner: "#search"`+"\n    "+team)
	}
	if key != "" {
		edits = append(edits, `"${SEARCH_KEY}"`, `"${SEARCH_KEY}", `+key)
	}
	return edits
}

// mixture sends n requests of all sorts, the same each time, and returns how each
// was answered: the status, and the code that it was refused with or would have
// been. They begin at even milliseconds and end at odd ones.
func (w *world) mixture(n int) (statuses []int, codes []string) {
	w.t.Helper()
	chance := rand.New(rand.NewPCG(1, 2))
	statuses, codes = make([]int, n), make([]string, n)
	var all sync.WaitGroup
	for i := range n {
		bound := 1 + chance.IntN(300)
		fields := []string{fmt.Sprintf(`"max_tokens":%d`, bound)}
		switch {
		case i%9 == 8: // as much as nobody bounds
			fields = nil
		case i%25 == 24:
			fields[0] = `"max_tokens":900`
		}
		if chance.IntN(3) == 0 {
			fields = append(fields, stream)
		}
		slow := fmt.Sprintf("!slow %dms%s", 1+2*chance.IntN(3000), strings.Repeat(" the", chance.IntN(200)))
		all.Go(func() {
			got := w.chat(say(slow, fields...))
			statuses[i] = got.status
			codes[i], _, _ = got.code()
			if noted, ok := strings.CutPrefix(got.header.Get("X-Weir-Policy"), "shadow: "); ok {
				codes[i] = noted
			}
		})
		time.Sleep(time.Duration(2*chance.IntN(800)) * time.Millisecond)
	}
	all.Wait()
	return statuses, codes
}

// TestShadowTakesNothing holds that limits which let pass take nothing of those
// that hold, show in no level, and are asked only about requests that pass those.
func TestShadowTakesNothing(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		body := say("hello", `"max_tokens":100`)
		ask := func(headers ...string) reply {
			w.east.ScriptDeployment("gpt-4o-east", azuresim.Step{Content: strings.Repeat(" the", 100)})
			defer synctest.Wait()
			return w.chat(body, headers...)
		}
		for i, tt := range []struct {
			wait             time.Duration
			status           int
			shadow, requests string
		}{
			{status: 200, requests: "2"},
			{status: 200, requests: "1"},
			{status: 200, requests: "0"},
			{status: 429, requests: "0"}, // takes nothing of the budget that only rehearses
			{wait: time.Minute, status: 200, requests: "2"},
			{status: 200, requests: "1", shadow: "shadow: insufficient_quota"},
			{status: 200, requests: "0", shadow: "shadow: insufficient_quota"},
			{status: 429, requests: "0"},
		} {
			time.Sleep(tt.wait)
			if tt.status == 429 {
				got := w.chat(body)
				if got.status != 429 || got.header.Get("X-Ratelimit-Remaining-Requests") != "0" || got.header.Get("X-Weir-Policy") != "" || got.header.Get("Retry-After-Ms") != "20000" {
					t.Errorf("%d: answered %d %v", i, got.status, got.header)
				}
				continue
			}
			got := ask()
			h := got.header
			if got.status != tt.status || h.Get("X-Weir-Policy") != tt.shadow || h.Get("X-Ratelimit-Remaining-Requests") != tt.requests || h.Get("X-Weir-Budget-Remaining-Usd") != "" || h.Get("X-Ratelimit-Limit-Tokens") != "" {
				t.Errorf("%d: answered %d %v: %s", i, got.status, h, got.body)
			}
			rec := w.record()
			if noted := "shadow: " + strings.Join(rec.Shadowed, ", "); tt.shadow != "" && noted != tt.shadow || rec.Cost == 0 {
				t.Errorf("%d: recorded %q, cost %v", i, rec.Shadowed, rec.Cost)
			}
		}
		time.Sleep(time.Minute)
		var why struct {
			Decision string
			Shadow   []string
			Budget   *struct{}
		}
		explained := w.chat(body, "X-Weir-Explain", "1")
		if err := json.Unmarshal([]byte(explained.body), &why); err != nil {
			t.Fatal(err)
		}
		if why.Decision != "forward" || !slices.Equal(why.Shadow, []string{"insufficient_quota"}) || why.Budget != nil {
			t.Errorf("explained as %s", explained.body)
		}
		if n := strings.Count(w.log.String(), `"shadowed":["insufficient_quota"]`); n != 3 {
			t.Errorf("%d lines of the log say so, want 3: two answers and the explanation", n)
		}
	}, slices.Concat(fiveCents(), accountable("limits: { rpm: 3 }\n    budget: { usd: 0.2, mode: shadow }", "limits: { tpm: 100000, mode: shadow }"))...)
}

// TestShadowSlots holds that an account which only rehearses is another than the one
// that holds: a request is open once in each.
func TestShadowSlots(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		var all sync.WaitGroup
		for range 2 {
			w.east.Script(azuresim.Step{Delay: time.Second})
			all.Go(func() { w.serves("none") })
		}
		synctest.Wait()
		if got := w.chat(say("hello")); got.status != http.StatusTooManyRequests {
			t.Errorf("the third was answered %d", got.status)
		}
		all.Wait()
	}, accountable("limits: { concurrency: 2 }\n    budget: { usd: 100, mode: shadow }", "")...)
}
