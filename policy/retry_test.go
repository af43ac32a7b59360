package policy_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/policy"
)

func rule() policy.Retry {
	return policy.Retry{
		Attempts: 3, Backoff: 100 * time.Millisecond, MaxBackoff: 2 * time.Second, MaxRetryAfter: 20 * time.Second, CoolBy: 0.75,
	}
}

// TestRetryAfterAttempt is the rule: what an attempt's end leads to, by what it
// meant and what was tried before.
func TestRetryAfterAttempt(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	first := policy.Tried{Total: 1, Here: 1, Left: 5 * time.Minute, Whole: 10 * time.Minute}
	with := func(change func(*policy.Tried)) policy.Tried {
		tried := first
		change(&tried)
		return tried
	}
	alone := with(func(t *policy.Tried) { t.Alone = true })
	second := with(func(t *policy.Tried) { t.Total, t.Here = 2, 2 })
	secondAlone := with(func(t *policy.Tried) { t.Total, t.Here, t.Alone = 2, 2, true })
	elsewhere := with(func(t *policy.Tried) { t.Total = 2 })
	third := with(func(t *policy.Tried) { t.Total, t.Here = 3, 1 })
	own := with(func(t *policy.Tried) { t.Own = true })
	short := func(left time.Duration) policy.Tried { return with(func(t *policy.Tried) { t.Left = left }) }
	client := with(func(t *policy.Tried) { t.Client = 2 })
	blind := with(func(t *policy.Tried) { t.Blind, t.Alone = true, true })

	end := func(c policy.Class, status int) policy.Outcome { return policy.Outcome{Class: c, Status: status} }
	after := func(c policy.Class, status int, wait time.Duration) policy.Outcome {
		return policy.Outcome{Class: c, Status: status, RetryAfter: wait}
	}
	once := policy.Outcome{Class: policy.BadOutput, Status: 500, Once: true}
	stalled := policy.Outcome{Class: policy.Stalled, Status: 408, Once: true}
	nothing := policy.Action{}

	tests := []struct {
		name  string
		tried policy.Tried
		out   policy.Outcome
		want  policy.Action
	}{
		{"answered", first, end(policy.Answered, 200), nothing},
		{"refused", first, end(policy.Refused, 400), nothing},
		{"refused, alone", alone, end(policy.Refused, 413), nothing},

		{"unknown, no connection", blind, end(policy.Unreachable, 0), policy.Action{Here: true, Other: true, Wait: 100 * ms, Blame: true}},
		{"unknown, throttled", blind, after(policy.Throttled, 429, 3*time.Second), policy.Action{Here: true, Other: true, Wait: 3 * time.Second, Exact: true, Rest: 3 * time.Second}},
		{"unknown, a broken connection", blind, end(policy.Interrupted, 0), policy.Action{Wait: 100 * ms, Blame: true}},
		{"unknown, 500", blind, end(policy.Fault, 500), policy.Action{Wait: 100 * ms, Blame: true, Cool: true}},
		{"unknown, bad output", blind, end(policy.BadOutput, 500), policy.Action{Stay: true, Cool: true}},
		{"unknown, too late", blind, end(policy.TimedOut, 0), policy.Action{Blame: true}},
		{"unknown, 408", blind, end(policy.Stalled, 408), policy.Action{Wait: 100 * ms, Blame: true}},

		{"bad output", first, end(policy.BadOutput, 500), policy.Action{Here: true, Other: true, Stay: true, Cool: true}},
		{"bad output, twice here", second, end(policy.BadOutput, 500), policy.Action{Other: true, Stay: true, Cool: true}},
		{"bad output, twice here, alone", secondAlone, end(policy.BadOutput, 500), policy.Action{Here: true, Other: true, Stay: true, Cool: true}},
		{"bad output, third", third, end(policy.BadOutput, 500), policy.Action{Stay: true, Cool: true}},
		{"bad output, to a client that retries", client, end(policy.BadOutput, 500), policy.Action{Here: true, Other: true, Stay: true, Cool: true}},
		{"invalid content", first, once, policy.Action{Here: true, Other: true, Stay: true, Cool: true}},
		{"invalid content, again", second, once, policy.Action{Stay: true, Cool: true}},

		{"500", first, end(policy.Fault, 500), policy.Action{Here: true, Other: true, Cool: true, Wait: 100 * ms, Blame: true}},
		{"500, twice here", second, end(policy.Fault, 500), policy.Action{Other: true, Cool: true, Wait: 200 * ms, Blame: true}},
		{"500, twice here, alone", secondAlone, end(policy.Fault, 500), policy.Action{Here: true, Other: true, Cool: true, Wait: 200 * ms, Blame: true}},
		{"500, elsewhere", elsewhere, end(policy.Fault, 500), policy.Action{Here: true, Other: true, Cool: true, Wait: 100 * ms, Blame: true}},
		{"500, third", third, end(policy.Fault, 500), policy.Action{Cool: true, Wait: 100 * ms, Blame: true}},
		{"502", first, end(policy.Fault, 502), policy.Action{Here: true, Other: true, Wait: 100 * ms, Blame: true}},
		{"503", first, end(policy.Fault, 503), policy.Action{Here: true, Other: true, Wait: 100 * ms, Blame: true}},
		{"503, to a client that retries", client, end(policy.Fault, 503), policy.Action{Wait: 100 * ms, Blame: true}},
		{"504", first, end(policy.Fault, 504), policy.Action{Here: true, Other: true, Wait: 100 * ms, Blame: true}},
		{"503, no time for the wait", short(100 * ms), end(policy.Fault, 503), policy.Action{Other: true, Wait: 100 * ms, Blame: true}},
		{"503, just time for the wait", short(101 * ms), end(policy.Fault, 503), policy.Action{Here: true, Other: true, Wait: 100 * ms, Blame: true}},
		{"503 with Retry-After", first, after(policy.Fault, 503, 5*time.Second), policy.Action{Other: true, Wait: 5 * time.Second, Exact: true, Rest: 5 * time.Second}},
		{"503 with Retry-After, alone", alone, after(policy.Fault, 503, 5*time.Second), policy.Action{Here: true, Other: true, Wait: 5 * time.Second, Exact: true, Rest: 5 * time.Second}},
		{"503 with a long Retry-After, alone", alone, after(policy.Fault, 503, 2*time.Minute), policy.Action{Other: true, Wait: 2 * time.Minute, Exact: true, Rest: time.Minute}},
		{"408", first, stalled, policy.Action{Here: true, Other: true, Wait: 100 * ms, Blame: true}},
		{"408, again", elsewhere, stalled, policy.Action{Wait: 100 * ms, Blame: true}},

		{"no connection", first, end(policy.Unreachable, 0), policy.Action{Here: true, Other: true, Wait: 100 * ms, Blame: true}},
		{"no connection, twice here, alone", secondAlone, end(policy.Unreachable, 0), policy.Action{Other: true, Wait: 200 * ms, Blame: true}},
		{"interrupted", first, end(policy.Interrupted, 0), policy.Action{Here: true, Other: true, Wait: 100 * ms, Blame: true}},
		{"interrupted, twice here, alone", secondAlone, end(policy.Interrupted, 0), policy.Action{Other: true, Wait: 200 * ms, Blame: true}},

		{"timed out", first, end(policy.TimedOut, 0), policy.Action{Other: true, Blame: true}},
		{"timed out, a quarter left", short(150 * time.Second), end(policy.TimedOut, 0), policy.Action{Other: true, Blame: true}},
		{"timed out, less than a quarter left", short(150*time.Second - 1), end(policy.TimedOut, 0), policy.Action{Blame: true}},
		{"timed out, alone", alone, end(policy.TimedOut, 0), policy.Action{Other: true, Blame: true}},
		{"the client timed out", short(0), policy.Outcome{Class: policy.TimedOut, Impatient: true}, nothing},

		{"429", first, after(policy.Throttled, 429, 7*time.Second), policy.Action{Other: true, Wait: 7 * time.Second, Exact: true, Rest: 7 * time.Second}},
		{"429, alone", alone, after(policy.Throttled, 429, 7*time.Second), policy.Action{Here: true, Other: true, Wait: 7 * time.Second, Exact: true, Rest: 7 * time.Second}},
		{"429, alone, the longest wait", alone, after(policy.Throttled, 429, 20*time.Second), policy.Action{Here: true, Other: true, Wait: 20 * time.Second, Exact: true, Rest: 20 * time.Second}},
		{"429, alone, longer", alone, after(policy.Throttled, 429, 20*time.Second+1), policy.Action{Other: true, Wait: 20*time.Second + 1, Exact: true, Rest: 20*time.Second + 1}},
		{"429, alone, no time", with(func(t *policy.Tried) { t.Alone, t.Left = true, 7*time.Second }), after(policy.Throttled, 429, 7*time.Second), policy.Action{Other: true, Wait: 7 * time.Second, Exact: true, Rest: 7 * time.Second}},
		{"429, no hint", first, end(policy.Throttled, 429), policy.Action{Other: true, Wait: time.Second, Exact: true, Rest: time.Second}},
		{"429, a day", alone, after(policy.Throttled, 429, 24*time.Hour), policy.Action{Other: true, Wait: 24 * time.Hour, Exact: true, Rest: time.Minute}},
		{"429, milliseconds, alone", alone, after(policy.Throttled, 429, 43*ms), policy.Action{Here: true, Other: true, Wait: 43 * ms, Exact: true, Rest: 43 * ms}},
		{"429, third", third, after(policy.Throttled, 429, 7*time.Second), policy.Action{Wait: 7 * time.Second, Exact: true, Rest: 7 * time.Second}},
		{"unpaid", first, end(policy.Exhausted, 429), policy.Action{Other: true, Rest: 5 * time.Minute}},

		{"our key", first, end(policy.Misconfigured, 401), policy.Action{Other: true, Rest: time.Minute, Alarm: true}},
		{"our key, replaced", with(func(t *policy.Tried) { t.Fresh = true }), end(policy.Misconfigured, 401), policy.Action{Here: true, Other: true, Stay: true, Renew: true}},
		{"our key, replaced, twice here", with(func(t *policy.Tried) { t.Total, t.Here, t.Fresh = 2, 2, true }), end(policy.Misconfigured, 401), policy.Action{Here: true, Other: true, Stay: true, Renew: true}},
		{"our key, replaced, third", with(func(t *policy.Tried) { t.Total, t.Fresh = 3, true }), end(policy.Misconfigured, 401), policy.Action{Stay: true, Renew: true}},
		{"our key, replaced, to a client that retries", with(func(t *policy.Tried) { t.Client, t.Fresh = 5, true }), end(policy.Misconfigured, 401), policy.Action{Here: true, Other: true, Stay: true, Renew: true}},
		{"no deployment", alone, end(policy.Misconfigured, 404), policy.Action{Other: true, Rest: time.Minute, Alarm: true}},

		{"unsupported, the client's", first, end(policy.Unsupported, 400), nothing},
		{"unsupported, ours", own, end(policy.Unsupported, 400), policy.Action{Here: true, Other: true, Stay: true, Mend: true}},
		{"unsupported, ours, twice here", with(func(t *policy.Tried) { t.Total, t.Here, t.Own = 2, 2, true }), end(policy.Unsupported, 400), policy.Action{Here: true, Other: true, Stay: true, Mend: true}},
		{"unsupported, ours, third", with(func(t *policy.Tried) { t.Total, t.Own = 3, true }), end(policy.Unsupported, 400), policy.Action{Stay: true, Mend: true}},
		{"unsupported, ours, to a client that retries", with(func(t *policy.Tried) { t.Client, t.Own = 5, true }), end(policy.Unsupported, 400), policy.Action{Here: true, Other: true, Stay: true, Mend: true}},

		{"the client left", first, end(policy.Gone, 0), nothing},
		{"the client left a stream that hung", first, policy.Outcome{Class: policy.Gone, Hung: true}, policy.Action{Blame: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, rule().After(tt.tried, tt.out)); diff != "" {
				t.Errorf("After(%+v, %+v) (-want +got):\n%s", tt.tried, tt.out, diff)
			}
		})
	}
}

// TestRetryAsConfigured holds the settings of the rule.
func TestRetryAsConfigured(t *testing.T) {
	t.Parallel()
	first := policy.Tried{Total: 1, Here: 1, Alone: true, Left: time.Hour, Whole: time.Hour}
	own := first
	own.Own = true
	tests := []struct {
		name   string
		change func(*policy.Retry)
		tried  policy.Tried
		out    policy.Outcome
		want   policy.Action
	}{
		{"one attempt", func(r *policy.Retry) { r.Attempts = 1 }, first, policy.Outcome{Class: policy.BadOutput, Status: 500}, policy.Action{Stay: true, Cool: true}},
		{"one attempt, and what we put in is refused", func(r *policy.Retry) { r.Attempts = 1 }, own, policy.Outcome{Class: policy.Unsupported, Status: 400}, policy.Action{Here: true, Other: true, Stay: true, Mend: true}},
		{"cool after bad output alone", func(r *policy.Retry) { r.OnlyInvalid = true }, first, policy.Outcome{Class: policy.Fault, Status: 500}, policy.Action{Here: true, Other: true, Wait: 100 * time.Millisecond, Blame: true}},
		{"cool after bad output all the same", func(r *policy.Retry) { r.OnlyInvalid = true }, first, policy.Outcome{Class: policy.BadOutput, Status: 500}, policy.Action{Here: true, Other: true, Stay: true, Cool: true}},
		{"the wait is bounded", func(r *policy.Retry) { r.MaxBackoff = 30 * time.Millisecond }, first, policy.Outcome{Class: policy.Fault, Status: 502}, policy.Action{Here: true, Other: true, Wait: 30 * time.Millisecond, Blame: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := rule()
			tt.change(&r)
			if diff := cmp.Diff(tt.want, r.After(tt.tried, tt.out)); diff != "" {
				t.Errorf("%+v.After(%+v, %+v) (-want +got):\n%s", r, tt.tried, tt.out, diff)
			}
		})
	}
}

// TestBackoffGrowsAndStays holds the waits before the attempts at one deployment.
func TestBackoffGrowsAndStays(t *testing.T) {
	t.Parallel()
	r := rule()
	r.Attempts = 1000
	for n, want := range map[int]time.Duration{1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 5: 1600 * time.Millisecond, 6: 2 * time.Second, 64: 2 * time.Second, 500: 2 * time.Second} {
		got := r.After(policy.Tried{Total: n, Here: n, Alone: true, Left: time.Hour}, policy.Outcome{Class: policy.Fault, Status: 502})
		if got.Wait != want {
			t.Errorf("attempt %d is waited for %v, want %v", n+1, got.Wait, want)
		}
	}
}

// TestCool holds the temperatures of the attempts that follow a 500, to what the
// client asked for.
func TestCool(t *testing.T) {
	t.Parallel()
	at := func(f float64) *float64 { return &f }
	tests := []struct {
		name  string
		first *float64
		want  []float64
	}{
		{"none", nil, []float64{0.75, 0.5625, 0.421875}},
		{"1", at(1), []float64{0.75, 0.5625, 0.421875}},
		{"0", at(0), []float64{0, 0, 0}},
		{"0.05", at(0.05), []float64{0.05, 0.05}},
		{"0.1", at(0.1), []float64{0.1, 0.1}},
		{"0.2", at(0.2), []float64{0.15, 0.1125, 0.1}},
		{"0.8", at(0.8), []float64{0.6, 0.45}},
		{"1.2", at(1.2), []float64{0.8, 0.6}},
		{"2", at(2), []float64{0.8, 0.6, 0.45}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			now := tt.first
			for i, want := range tt.want {
				got := rule().Cool(tt.first, now)
				if got != want {
					t.Errorf("cure %d of a request at %s is at %v, want %v", i+1, tt.name, got, want)
				}
				now = &got
			}
		})
	}
}
