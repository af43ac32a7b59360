package policy_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"weir/policy"
)

// event is something that a twin sees, so long after the beginning.
type event struct {
	at     time.Duration
	cost   int64         // that asks to be admitted; or
	tell   [2]int        // limit and remaining tokens of an answer to what was just sent; or
	calls  [2]int        // the same of requests; or
	refuse time.Duration // a 429
}

func TestTwin(t *testing.T) {
	t.Parallel()
	const grain = 100 * time.Millisecond // by which a wait may be longer than it must
	many := func(n int, e event) (all []event) {
		for range n {
			all = append(all, e)
		}
		return all
	}
	tests := []struct {
		name  string
		quota policy.Quota
		past  []event
		ask   event
		want  time.Duration // until what is asked is admitted
	}{
		{name: "knows nothing", ask: event{cost: 1 << 40}},
		{name: "exactly the quota", quota: policy.Quota{Tokens: 100}, past: []event{{cost: 60}}, ask: event{cost: 40}},
		{name: "one more than the quota", quota: policy.Quota{Tokens: 100}, past: []event{{cost: 60}}, ask: event{at: time.Second, cost: 41}, want: 59 * time.Second},
		{name: "as much as need be leaves", quota: policy.Quota{Tokens: 100}, past: []event{{cost: 30}, {at: 10 * time.Second, cost: 30}, {at: 20 * time.Second, cost: 30}}, ask: event{at: 30 * time.Second, cost: 70}, want: 40 * time.Second},
		{name: "a minute later", quota: policy.Quota{Tokens: 100}, past: []event{{cost: 100}}, ask: event{at: time.Minute + grain, cost: 100}},
		{name: "larger than the quota", quota: policy.Quota{Tokens: 100}, ask: event{cost: 101}, want: policy.Never},
		{name: "requests in ten seconds", quota: policy.Quota{Requests: 12}, past: many(2, event{}), ask: event{at: 4 * time.Second}, want: 6 * time.Second},
		{name: "requests in a second", quota: policy.Quota{Requests: 600, Slice: time.Second}, past: many(10, event{}), ask: event{}, want: time.Second},
		{name: "one at least", quota: policy.Quota{Requests: 1}, ask: event{}},
		{name: "learns the limit", past: []event{{cost: 60}, {tell: [2]int{100, 40}}}, ask: event{at: time.Second, cost: 50}, want: 59 * time.Second},
		{name: "others use it too", past: []event{{cost: 10}, {tell: [2]int{120, 0}}, {tell: [2]int{120, 1}}}, ask: event{cost: 5}, want: 5 * time.Second},
		{name: "nothing remains, which is not believed", past: []event{{cost: 10}, {tell: [2]int{120, 0}}}, ask: event{cost: 100}},
		{name: "more remains than was thought", past: []event{{cost: 90}, {at: time.Second, cost: 1}, {at: time.Second, tell: [2]int{100, 60}}}, ask: event{at: time.Second, cost: 50}},
		{name: "what remains makes no sense", past: []event{{cost: 60}, {tell: [2]int{100, -1}}, {tell: [2]int{0, 0}}}, ask: event{cost: 40}},
		{name: "a refusal", past: []event{{refuse: 7 * time.Second}}, ask: event{at: 2 * time.Second}, want: 5 * time.Second},
		{name: "a refusal for a day", past: []event{{refuse: 24 * time.Hour}}, ask: event{}, want: time.Minute},
		{name: "a refusal shows the slice", past: append(many(11, event{}), event{calls: [2]int{60, 50}}, event{refuse: time.Second}), ask: event{at: 2 * time.Second}, want: 8 * time.Second},
		{name: "the header names the slice's limit", past: append(many(61, event{}), event{calls: [2]int{60, 0}}, event{refuse: time.Second}, event{at: 10200 * time.Millisecond}), ask: event{at: 11 * time.Second}},
		{name: "too few were sent to explain a refusal", past: append(many(3, event{}), event{calls: [2]int{60, 57}}, event{refuse: time.Second}), ask: event{at: 2 * time.Second}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			begin := time.Unix(1_800_000_000, 0)
			twin := policy.NewTwin(tt.quota)
			sent := begin
			for _, e := range tt.past {
				now := begin.Add(e.at)
				switch {
				case e.refuse > 0:
					twin.Refused(e.refuse, now)
				case e.tell != [2]int{}:
					twin.Observe(limits("Tokens", e.tell), sent, now)
				case e.calls != [2]int{}:
					twin.Observe(limits("Requests", e.calls), sent, now)
				default:
					sent = now
					twin.Send(e.cost, now)
				}
			}
			wait := twin.Wait(tt.ask.cost, begin.Add(tt.ask.at))
			if (wait == 0) != (tt.want == 0) || wait < tt.want || wait > tt.want+grain {
				t.Errorf("Wait = %v, want %v", wait, tt.want)
			}
			if again := twin.Wait(tt.ask.cost, begin.Add(tt.ask.at).Add(wait)); wait < policy.Never && again != 0 {
				t.Errorf("after %v it is still %v", wait, again)
			}
		})
	}
}

func limits(kind string, values [2]int) func(string) string {
	h := http.Header{}
	h.Set("X-Ratelimit-Limit-"+kind, strconv.Itoa(values[0]))
	h.Set("X-Ratelimit-Remaining-"+kind, strconv.Itoa(values[1]))
	return h.Get
}

func TestEstimate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ characters, choices, output, want int64 }{
		{0, 1, 0, 16}, {1, 1, 0, 17}, {400, 1, 100, 200}, {400, 3, 100, 400}, {400, 2, 0, 132},
	} {
		if got := policy.Estimate(tt.characters, tt.choices, tt.output); got != tt.want {
			t.Errorf("Estimate(%d, %d, %d) = %d, want %d", tt.characters, tt.choices, tt.output, got, tt.want)
		}
	}
}
