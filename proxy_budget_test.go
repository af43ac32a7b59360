package main_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
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
	"weir/command"
	"weir/upstream"
	"weir/usage"
)

// twoPrices are the edits that make gpt-4o cost 200 and 400 dollars for a million
// tokens in the east, half of it in the west, and gpt-35-turbo nothing.
func twoPrices() []string {
	return []string{
		"deployment: gpt-4o-east,", "deployment: gpt-4o-east, price: { input: 200, cached_input: 50, output: 400, reasoning_output: 600 },",
		"deployment: gpt-4o-west,", "deployment: gpt-4o-west, price: { input: 100, output: 200 },",
		"gpt-35-turbo: { deployments", "gpt-35-turbo: { price: { input: 0, output: 0 }, deployments",
	}
}

// budgeted are the edits that give the team search a budget, and its key another
// where one is named.
func budgeted(team, key string) []string {
	edits := []string{`owner: "#search"`, `owner: "#search"` + "\n    budget: { " + team + " }"}
	if team == "" {
		edits = nil
	}
	if key != "" {
		edits = append(edits, `"${SEARCH_KEY}"`, `"${SEARCH_KEY}", budget: { `+key+` }`)
	}
	return edits
}

// fiveCents are the edits by which a request of fiveCent reserves and takes $0.05.
func fiveCents() []string {
	return []string{"gpt-4o:\n", "gpt-4o:\n    price: { input: 250, output: 480 }\n"}
}

// left returns what is left of the budget, by asking for something that is free.
func (w *world) left() string {
	w.t.Helper()
	synctest.Wait()
	got := w.chat(strings.Replace(say("hi", `"max_tokens":1`), "gpt-4o", "gpt-35-turbo", 1))
	if got.status == http.StatusTooManyRequests {
		w.t.Fatalf("the probe was refused: %s", got.body)
	}
	return got.header.Get("X-Weir-Budget-Remaining-Usd")
}

// usd returns an amount as headers have it.
func usd(u usage.USD) string { return strconv.FormatFloat(u.Dollars(), 'f', -1, 64) }

// overspent reports what is wrong with a refusal by a budget.
func (w *world) overspent(r reply, message string) {
	w.t.Helper()
	code, param, kind := r.code()
	if r.status != http.StatusTooManyRequests || code != "insufficient_quota" || kind != "insufficient_quota" || param != "" {
		w.t.Errorf("answered %d %q %q %q: %s", r.status, code, kind, param, r.body)
	}
	if r.header.Get("X-Should-Retry") != "false" || r.header.Get("Retry-After")+r.header.Get("Retry-After-Ms") != "" {
		w.t.Errorf("a client is told to come again: %v", r.header)
	}
	if diff := gocmp.Diff(message+" (docs/errors.md#insufficient_quota)", r.message()); diff != "" {
		w.t.Errorf("message (-want +got):\n%s", diff)
	}
}

// TestBudgetIsNeverPassed is reliability L14: a hundred requests at once, of $0.05
// each, of a budget of $1.00.
func TestBudgetIsNeverPassed(t *testing.T) {
	t.Parallel()
	const clients, served = 100, 20
	teams := `Team "search" has a budget of $1.00, of which $0.00 are left, and the request may cost $0.05. The next budget begins in 744h0m0s. ` +
		"To raise it, ask #search to change teams.search.budget."
	tests := []struct {
		name, team, key, message string
		fields                   []string
	}{
		{name: "a team's", team: "usd: 1", message: teams},
		{name: "a team's, streams", team: "usd: 1", message: teams, fields: []string{stream}},
		{name: "a day's", team: "usd: 1, period: day", message: strings.Replace(teams, "744h", "24h", 1)},
		{name: "a key's", team: "usd: 50", key: "usd: 1", message: strings.NewReplacer(`Team "search"`, `Key "search-1"`, "search.budget", "search.keys[search-1].budget").Replace(teams)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				for range clients {
					w.east.Script(azuresim.Step{Delay: time.Second, Content: strings.Repeat(" the", 100)})
				}
				replies := make([]reply, clients)
				var all sync.WaitGroup
				for i := range replies {
					all.Go(func() { replies[i] = w.chat(say("hello", append(tt.fields, `"max_tokens":100`)...)) })
				}
				all.Wait()
				var levels, want []string
				for _, r := range replies {
					if r.status == http.StatusOK {
						levels = append(levels, r.header.Get("X-Weir-Budget-Remaining-Usd"))
						continue
					}
					w.overspent(r, tt.message)
					if r.took != 0 || r.header.Get("X-Weir-Budget-Remaining-Usd") != "0" {
						t.Errorf("refused after %v: %v", r.took, r.header)
					}
				}
				for i := range served {
					want = append(want, usd(usage.Dollar-usage.USD(i+1)*usage.Dollar/20))
				}
				slices.Sort(levels)
				slices.Sort(want)
				if diff := gocmp.Diff(want, levels); diff != "" {
					t.Errorf("levels of those that were served (-want +got):\n%s", diff)
				}
				if asked := len(w.asked()); asked != served {
					t.Errorf("upstream was asked %d times, want %d", asked, served)
				}
				var spent usage.USD
				for _, rec := range w.records {
					spent += rec.Cost
				}
				if spent != usage.Dollar {
					t.Errorf("%v were spent", spent)
				}
				w.overspent(w.chat(say("hello", `"max_tokens":100`)), tt.message)
			}, append(fiveCents(), budgeted(tt.team, tt.key)...)...)
		})
	}
}

// TestMoneySettles holds what each way for a request to end takes from a budget:
// the price of the deployment that answered, once, and nothing where nobody did.
func TestMoneySettles(t *testing.T) {
	t.Parallel()
	const nano = usage.USD(1000) // a dollar for a million tokens, for one
	answered := azuresim.Step{Status: 200, Body: oddAnswer}
	east := nano * (16*200 + 3*50 + 3*400 + 2*600)
	west := nano * (19*100 + 5*200)
	plainly := strings.Replace(strings.Replace(oddAnswer, `"cached_tokens":3`, `"cached_tokens":0`, 1), `"reasoning_tokens":2`, `"reasoning_tokens":0`, 1)
	silent := `{"choices":[{"index":0,"message":{"role":"assistant","content":"` + hellos(7) + `"},"finish_reason":"stop"}]}`
	fails := func(name string) azuresim.Step { return azuresim.Step{Fault: name} }
	leave := func(after time.Duration, body string) func(*world) reply {
		return func(w *world) reply {
			ctx, cancel := context.WithTimeout(w.t.Context(), after)
			defer cancel()
			return w.do(ctx, http.MethodPost, chatPath, body)
		}
	}
	spilled := []string{"deployment: gpt-4o-east,", "deployment: gpt-4o-east, native_spillover: true, price: { input: 0, output: 0 },"}
	named := func(to string) azuresim.Step {
		return azuresim.Step{Status: 200, Body: plainly, Header: http.Header{"X-Ms-Deployment-Name": {to}, "X-Ms-Spillover-From-Deployment": {"gpt-4o-east"}}}
	}
	tests := []struct {
		name  string
		body  string
		east  []azuresim.Step
		west  []azuresim.Step
		do    func(w *world) reply
		edits []string // before those of the prices
		cost  usage.USD
	}{
		{name: "cached and reasoning tokens apart", east: []azuresim.Step{answered}, cost: east},
		{name: "none of them", east: []azuresim.Step{{Status: 200, Body: plainly}}, cost: nano * (19*200 + 5*400)},
		{
			name: "a cache and thoughts that are free", east: []azuresim.Step{answered}, cost: nano * (16*20 + 3*40),
			edits: []string{"deployment: gpt-4o-east,", "deployment: gpt-4o-east, price: { input: 20, cached_input: 0, output: 40, reasoning_output: 0 },"},
		},
		{name: "answered elsewhere: one charge, at that price", east: []azuresim.Step{fails("rate-limit")}, west: []azuresim.Step{answered}, cost: west},
		{name: "answered after a cure: one charge", east: []azuresim.Step{fails("unicode-500"), answered}, cost: east},
		{name: "answered the third time", east: []azuresim.Step{fails("unavailable"), answered}, west: []azuresim.Step{fails("reset-first")}, cost: east},
		{name: "provisioned, which is free", east: []azuresim.Step{answered}, edits: []string{"deployment: gpt-4o-east,", "deployment: gpt-4o-east, price: { input: 0, output: 0 },"}},
		{name: "provisioned and busy", east: []azuresim.Step{fails("rate-limit")}, west: []azuresim.Step{answered}, edits: []string{"deployment: gpt-4o-east,", "deployment: gpt-4o-east, price: { input: 0, output: 0 },"}, cost: west},
		{name: "handed on by Azure to one that is known", east: []azuresim.Step{named("mystery")}, edits: append([]string{"- { backend: west, deployment: gpt-4o-west, priority: 1 }", "- { backend: east, deployment: mystery, priority: 1, price: { input: 7, output: 9 } }"}, spilled...), cost: nano * (19*7 + 5*9)},
		{name: "handed on by Azure to another: the dearest", east: []azuresim.Step{named("elsewhere")}, edits: spilled, cost: west},
		{name: "without usage", east: []azuresim.Step{{Status: 200, Body: silent}}, cost: nano * (8*200 + 7*400)},
		{name: "more than was reserved", body: say("hello", `"max_tokens":1`), east: []azuresim.Step{answered}, cost: east},
		{name: "throttled by all", east: []azuresim.Step{fails("rate-limit")}, west: []azuresim.Step{fails("rate-limit")}},
		{name: "failed by all", east: []azuresim.Step{fails("unavailable"), fails("unavailable")}, west: []azuresim.Step{fails("unavailable")}},
		{name: "cut by all", east: []azuresim.Step{fails("close-after-read"), fails("close-after-read")}, west: []azuresim.Step{fails("close-after-read")}},
		{name: "filtered", east: []azuresim.Step{fails("content-filter")}},
		{name: "refused by policy", body: say("<|im_start|>")},
		{name: "no deployment can be reached", edits: []string{"127.0.0.1:81", "127.0.0.1:83", "127.0.0.1:82", "127.0.0.1:84"}},
		{name: "streamed without usage", body: say("hello", stream), east: []azuresim.Step{{Fault: "no-usage", Content: hellos(20)}}, cost: nano * (8*200 + 20*400)},
		{name: "cut in the stream", body: say("hello", stream), east: []azuresim.Step{{Content: hellos(20), CutEvents: 1, OfContent: true}}, cost: nano * (8*200 + 5*400)},
		{
			name: "the client leaves the stream", east: []azuresim.Step{{Content: hellos(20), Gap: 100 * time.Millisecond}},
			do: leave(250*time.Millisecond, say("hello", stream)), cost: nano * (8*200 + 5*400),
		},
		{name: "the client leaves before the answer", east: []azuresim.Step{{Hang: true}}, do: leave(100*time.Millisecond, say("hello")), cost: nano * 8 * 200},
		{
			name: "the client leaves the second deployment", east: []azuresim.Step{fails("rate-limit")}, west: []azuresim.Step{{Hang: true}},
			do: leave(100*time.Millisecond, say("hello")), cost: nano * 8 * 100,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				w.east.Script(tt.east...)
				w.west.Script(tt.west...)
				do := tt.do
				if do == nil {
					body := tt.body
					if body == "" {
						body = say("hello", `"max_tokens":50`)
					}
					do = func(w *world) reply { return w.chat(body) }
				}
				got := do(w)
				if rec := w.record(); rec.Cost != tt.cost {
					t.Errorf("recorded %v, want %v, after %d: %s", rec.Cost, tt.cost, got.status, got.body)
				}
				if said := got.header.Get("X-Weir-Cost-Usd"); said != "" && said != usd(tt.cost) {
					t.Errorf("the client was told %q, want %v", said, tt.cost)
				}
				if left := w.left(); left != usd(2*usage.Dollar-tt.cost) {
					t.Errorf("%s are left, want %v less", left, tt.cost)
				}
			}, slices.Concat(tt.edits, twoPrices(), budgeted("usd: 2", ""))...)
		})
	}
}

// TestMoneyReserved holds what is taken while a request runs: the dearest that it
// may come to, at whichever deployment.
func TestMoneyReserved(t *testing.T) {
	t.Parallel()
	const nano = usage.USD(1000)
	tests := []struct {
		name, body, limits, policy string
		edits                      []string
		cost                       usage.USD
	}{
		{name: "all of the answer thought", body: say("hello", `"max_tokens":100`), cost: nano * (8*200 + 100*600)},
		{name: "every choice", body: say("hello", `"max_tokens":100,"n":3`), cost: nano * (8*200 + 300*600)},
		{name: "no bound", body: say("hello"), cost: nano * (8*200 + 1024*600)},
		{name: "the policy's bound", body: say("hello"), policy: "max_output_tokens: 50", cost: nano * (8*200 + 50*600)},
		{name: "no bound, and few tokens a minute: as dear as it is", body: say("hello"), limits: "tpm: 60, burst_tokens: 500", cost: nano * (8*200 + 1024*600)},
		{
			name: "a cache dearer than none", body: say("hello", `"max_tokens":1`), cost: nano * (8*300 + 2),
			edits: []string{"deployment: gpt-4o-east,", "deployment: gpt-4o-east, price: { input: 2, cached_input: 300, output: 2 },"},
		},
		{
			name: "the second deployment", body: say("hello", `"max_tokens":10`), cost: nano * (8*100 + 10*200),
			edits: []string{"deployment: gpt-4o-east,", "deployment: gpt-4o-east, price: { input: 0, output: 0 },"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			budget := budgeted("usd: 2", "")
			if tt.limits != "" {
				budget[1] += "\n    limits: { " + tt.limits + " }"
			}
			if tt.policy != "" {
				tt.edits = append(tt.edits, ruled(tt.policy)...)
			}
			bubble(t, plain, func(w *world) {
				got := w.chat(tt.body)
				if left := got.header.Get("X-Weir-Budget-Remaining-Usd"); got.status != http.StatusOK || left != usd(2*usage.Dollar-tt.cost) {
					t.Errorf("answered %d, %s left, want %v less: %s", got.status, left, tt.cost, got.body)
				}
				if rec := w.record(); rec.ReservedCost != tt.cost {
					t.Errorf("recorded %v, want %v", rec.ReservedCost, tt.cost)
				}
				var why struct {
					Decision string
					Reserved float64 `json:"reserved_usd"`
					Budget   struct {
						Account   string
						Limit     float64 `json:"limit_usd"`
						Remaining float64 `json:"remaining_usd"`
						Reset     float64 `json:"reset_seconds"`
					}
				}
				left, _ := strconv.ParseFloat(w.left(), 64)
				for range 3 { // what it reserves it gives back
					explained := w.chat(tt.body, "X-Weir-Explain", "1")
					if err := json.Unmarshal([]byte(explained.body), &why); err != nil {
						t.Fatal(err)
					}
					spent := usage.USD(left*1e9+0.5) - tt.cost
					if why.Decision != "forward" && tt.limits == "" || why.Reserved != tt.cost.Dollars() || why.Budget.Account != "team:search" || why.Budget.Limit != 2 || tt.limits == "" && why.Budget.Remaining != spent.Dollars() || why.Budget.Reset != 31*24*60*60 {
						t.Errorf("explained as %+v, want %v taken of %v", why, tt.cost, left)
					}
				}
				if rec := w.record(); rec.Cost != 0 || len(rec.Attempts) > 0 {
					t.Errorf("an explanation cost %v", rec.Cost)
				}
			}, slices.Concat(tt.edits, twoPrices(), budget)...)
		})
	}
}

// TestBudgetOfOneRequest holds a request that is dearer than its whole budget:
// waiting does not help, and the answer says what does.
func TestBudgetOfOneRequest(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		body := say("hello", `"max_tokens":2100`) // $1.01
		message := `Team "search" has a budget of $1.00, of which $1.00 are left, and the request may cost $1.01. It is less than this one request may cost: ` +
			"send a smaller max_tokens. To raise it, ask #search to change teams.search.budget."
		w.overspent(w.chat(body), message)
		explained := w.chat(body, "X-Weir-Explain", "1")
		for _, want := range []string{`"decision":"refuse"`, `"status":429`, `"code":"insufficient_quota"`, `"reserved_usd":1.01,`, `"remaining_usd":1,`} {
			if !strings.Contains(explained.body, want) {
				t.Errorf("explained without %s: %s", want, explained.body)
			}
		}
		if len(w.asked()) > 0 {
			t.Error("upstream was asked")
		}
		w.serves("the refusal")
	}, append(fiveCents(), budgeted("usd: 1", "")...)...)
}

// TestKeyBudgets holds a key's budget beside its team's: each is told of whichever
// has less of its own left, and nothing is taken where one refuses.
func TestKeyBudgets(t *testing.T) {
	t.Parallel()
	const second = "sk-second-key-for-tests-only"
	bubble(t, plain, func(w *world) {
		body := say("hello", `"max_tokens":100`)
		ask := func(key string) reply {
			w.east.Script(azuresim.Step{Content: strings.Repeat(" the", 100)})
			defer synctest.Wait()
			return w.chat(body, "api-key", key)
		}
		for i, tt := range []struct{ key, left, says string }{
			{key: searchKey, left: "0.05"},
			{key: second, left: "0.1"},
			{key: searchKey, left: "0"},
			{key: searchKey, left: "0", says: `Key "search-1" has a budget of $0.10, of which $0.00 are left, and the request may cost $0.05. The next budget begins in 24h0m0s. To raise it, ask #search to change teams.search.keys[search-1].budget.`},
			{key: second, left: "0"}, // the key's refusal took nothing from the team
			{key: second, left: "0", says: `Team "search" has a budget of $0.20, of which $0.00 are left, and the request may cost $0.05. The next budget begins in 744h0m0s. To raise it, ask #search to change teams.search.budget.`},
			{key: otherKey, left: ""},
		} {
			if tt.key == otherKey {
				body = strings.Replace(body, "gpt-4o", "gpt-35-turbo", 1)
			}
			got := ask(tt.key)
			if left := got.header.Get("X-Weir-Budget-Remaining-Usd"); left != tt.left {
				t.Errorf("%d: %q left, want %q", i, left, tt.left)
			}
			if tt.says != "" {
				w.overspent(got, tt.says)
			} else if got.status != http.StatusOK {
				t.Errorf("%d: answered %d: %s", i, got.status, got.body)
			}
		}
	}, slices.Concat(fiveCents(), []string{
		`owner: "#search"`, `owner: "#search"` + "\n    budget: { usd: 0.2 }",
		`keys: [{ id: search-1, value: "${SEARCH_KEY}" }]`, `keys: [{ id: search-1, value: "${SEARCH_KEY}", budget: { usd: 0.1, period: day } }, { id: dev, value: ` + second + ` }]`,
	})...)
}

// TestBudgetWindows holds when a budget begins again, in its own time zone and over
// a change of clocks, and that a request that passes the turn is charged to the
// window that it began in. The gateway in which the turn comes is not the one that
// spent the money: it has that from the ledger.
func TestBudgetWindows(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, budget string
		turn         time.Time
	}{
		{name: "midnight in Berlin", budget: "period: day, zone: Europe/Berlin", turn: time.Date(2000, 1, 2, 0, 0, 0, 0, berlin)},
		{name: "midnight", budget: "period: day", turn: time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC)},
		{name: "the end of the shortest day", budget: "period: day, zone: Europe/Berlin", turn: time.Date(2000, 3, 27, 0, 0, 0, 0, berlin)},
		{name: "the end of the longest day", budget: "period: day, zone: Europe/Berlin", turn: time.Date(2000, 10, 30, 0, 0, 0, 0, berlin)},
		{name: "the end of the month in which clocks change", budget: "zone: Europe/Berlin", turn: time.Date(2000, 4, 1, 0, 0, 0, 0, berlin)},
		{name: "the end of a leap year's February", budget: "usd: 1", turn: time.Date(2000, 3, 1, 0, 0, 0, 0, time.UTC)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			budget := "usd: 0.1, " + strings.TrimPrefix(tt.budget, "usd: 1")
			yaml := strings.NewReplacer(slices.Concat(fiveCents(), budgeted(budget, ""), kept(filepath.Join(t.TempDir(), "ledger.db")))...).Replace(plain)
			bubble(t, plain, func(w *world) {
				first := tt.turn.Add(-23 * time.Hour) // the shortest day there is begins here
				if strings.HasPrefix(tt.budget, "usd") || !strings.Contains(tt.budget, "day") {
					first = tt.turn.Add(-28 * 24 * time.Hour)
				}
				body := say("hello", `"max_tokens":100`)
				ask := func(step azuresim.Step) reply {
					step.Content = strings.Repeat(" the", 100)
					w.east.Script(step)
					return w.chat(body)
				}
				w.pass(first, yaml)
				if got := ask(azuresim.Step{}); got.status != http.StatusOK || got.header.Get("X-Weir-Budget-Remaining-Usd") != "0.05" {
					t.Fatalf("answered %d %v: %s", got.status, got.header, got.body)
				}
				w.pass(tt.turn.Add(-time.Second), yaml)
				late := make(chan reply)
				go func() { late <- ask(azuresim.Step{Delay: 2 * time.Second}) }()
				synctest.Wait()
				refusal := `Team "search" has a budget of $0.10, of which $0.00 are left, and the request may cost $0.05. The next budget begins in %s. ` +
					"To raise it, ask #search to change teams.search.budget."
				w.overspent(w.chat(body), fmt.Sprintf(refusal, "1s"))
				time.Sleep(time.Second - time.Millisecond)
				w.overspent(w.chat(body), fmt.Sprintf(refusal, "1ms"))
				time.Sleep(time.Millisecond)
				if got := ask(azuresim.Step{}); got.status != http.StatusOK || got.header.Get("X-Weir-Budget-Remaining-Usd") != "0.05" {
					t.Errorf("in the new window answered %d %v: %s", got.status, got.header, got.body)
				}
				if got := <-late; got.status != http.StatusOK || got.header.Get("X-Weir-Budget-Remaining-Usd") != "0" {
					t.Errorf("the late one was answered %d %v", got.status, got.header)
				}
				synctest.Wait()
				if got := ask(azuresim.Step{}); got.status != http.StatusOK || got.header.Get("X-Weir-Budget-Remaining-Usd") != "0" {
					t.Errorf("behind the late one answered %d %v: %s", got.status, got.header, got.body)
				}
			})
		})
	}
}

// kept are the edits that keep the ledger in a file.
func kept(path string) []string {
	return []string{"resilience:", "state: { ledger: { path: " + strconv.Quote(path) + " } }\nresilience:"}
}

// pass ends the gateway, lets time pass until then, in which nothing runs, and
// begins another.
func (w *world) pass(until time.Time, yaml string) {
	w.t.Helper()
	synctest.Wait()
	if err := w.gateway.Close(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	time.Sleep(time.Until(until))
	w.again(yaml)
}

// again puts another gateway in the place of the one that there is, in front of the
// same resources, and leaves that one alone.
func (w *world) again(yaml string) {
	w.t.Helper()
	east, west := listen(w.t, &http.Server{Handler: w.east}), listen(w.t, &http.Server{Handler: w.west})
	transport := upstream.NewTransport(upstream.Connection{Connect: 5 * time.Second, PerHost: 16})
	transport.DialContext = func(_ context.Context, _, addr string) (net.Conn, error) {
		if addr == "127.0.0.1:81" {
			return east.dial()
		}
		return west.dial()
	}
	g, err := command.Build(w.t.Context(), configure(w.t, yaml), command.Parts{
		Transport: transport, Encodings: vocabularies(), Sinks: []usage.Sink{w}, Jitter: func() float64 { return 0 }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	closeLater(w.t, g)
	w.t.Cleanup(transport.CloseIdleConnections)
	w.client.CloseIdleConnections()
	w.gateway, w.api = g, listen(w.t, command.NewServer(g.API, slog.New(slog.DiscardHandler)))
}

// ledger returns what is written in a ledger's file, as sums by team and key.
func ledger(t *testing.T, path string) []usage.Sum {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	r, err := usage.OpenLedgerReader(t.Context(), db, usage.SQLite)
	if err != nil {
		t.Fatal(err)
	}
	sums, err := r.Usage(t.Context(), usage.Query{By: []string{"team", "key"}})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

// TestBudgetsAfterARestart holds that a gateway goes on where the one before it
// ended, and where that was killed, charges what it left open at its estimate.
func TestBudgetsAfterARestart(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	at := func(path string) string {
		return strings.NewReplacer(slices.Concat(fiveCents(), budgeted("usd: 1", "usd: 0.9"), kept(path))...).Replace(plain)
	}
	bubble(t, plain, func(w *world) {
		path, body := filepath.Join(folder, "ledger.db"), say("hello", `"max_tokens":100`)
		level := func(when, want string) {
			t.Helper()
			w.east.Script(azuresim.Step{Content: strings.Repeat(" the", 50)}) // $0.026
			got := w.chat(body)
			synctest.Wait()
			if left := got.header.Get("X-Weir-Budget-Remaining-Usd"); got.status != http.StatusOK || left != want {
				t.Errorf("%s: answered %d, %s left, want %s", when, got.status, left, want)
			}
		}
		w.pass(time.Now(), at(path))
		level("at first", "0.85") // of the key's 0.9, which is less of its own
		level("once", "0.824")
		w.pass(time.Now().Add(time.Hour), at(path))
		level("after an orderly end", "0.798")

		ctx, cancel := context.WithCancel(w.t.Context())
		var open sync.WaitGroup
		for range 3 {
			w.east.Script(azuresim.Step{Hang: true})
			open.Go(func() { w.do(ctx, http.MethodPost, chatPath, body) })
		}
		synctest.Wait()
		level("with three open", "0.622") // 0.9 - 3*0.026 - 3*0.05 - 0.05
		time.Sleep(time.Second)           // what waits is written, but for what is open
		synctest.Wait()
		killed := filepath.Join(folder, "killed.db")
		for _, suffix := range []string{"", "-wal"} {
			b, err := os.ReadFile(path + suffix)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(killed+suffix, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w.again(at(killed))
		level("after a kill", "0.596") // and 0.026 more
		w.east.Script(azuresim.Step{Content: strings.Repeat(" the", 100)})
		time.Sleep(time.Second)
		synctest.Wait()
		want := []usage.Sum{{Team: "search", Key: "search-1", Requests: 8, Unsettled: 3, Input: 5 * 8, Output: 5 * 50, Cost: 5*usage.Dollar*26/1000 + 3*usage.Dollar/20}}
		if diff := gocmp.Diff(want, ledger(w.t, killed)); diff != "" {
			t.Errorf("the ledger (-want +got):\n%s", diff)
		}
		cancel()
		open.Wait()
	})
}
