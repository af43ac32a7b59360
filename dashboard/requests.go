package dashboard

import (
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/usage"
)

// Request is one that has ended.
type Request struct {
	N         int64     `json:"n"` // counts up; a restart begins again
	Start     time.Time `json:"start"`
	RequestID string    `json:"request_id"`
	TraceID   string    `json:"trace_id,omitempty"`
	Method    string    `json:"method"`
	Route     string    `json:"route"`
	Client    string    `json:"client,omitempty"`
	UserAgent string    `json:"user_agent,omitempty"`
	Retry     int       `json:"client_retry,omitempty"`

	Team    string        `json:"team"`
	Key     string        `json:"key,omitempty"`
	Status  int           `json:"status"`
	Outcome usage.Outcome `json:"outcome"`
	Code    string        `json:"code,omitempty"`
	Limit   usage.Limit   `json:"limit,omitempty"` // that refused it
	Policy  string        `json:"policy,omitempty"`
	Rules   []Ruling      `json:"rules,omitempty"` // what each rule made of it, but those that let it pass
	Shadow  bool          `json:"shadow,omitempty"`

	Model      string    `json:"model,omitempty"`
	Deployment string    `json:"deployment,omitempty"`
	Spilled    string    `json:"spilled_to,omitempty"`
	Served     string    `json:"served_model,omitempty"`
	Stream     bool      `json:"stream"`
	Finish     string    `json:"finish_reason,omitempty"`
	Attempts   []Attempt `json:"attempts"`

	Estimated int64   `json:"estimated_input_tokens,omitempty"`
	Input     int64   `json:"input_tokens"`
	Cached    int64   `json:"cached_tokens,omitempty"`
	Output    int64   `json:"output_tokens"`
	Reasoning int64   `json:"reasoning_tokens,omitempty"`
	Counted   bool    `json:"counted,omitempty"` // by us: upstream did not say
	Reserved  int64   `json:"reserved_tokens,omitempty"`
	Choices   int64   `json:"choices,omitempty"`
	Cost      float64 `json:"cost_usd"`

	Escaped  int      `json:"escaped,omitempty"`
	Trimmed  int      `json:"trimmed_messages,omitempty"`
	Lowered  int64    `json:"max_tokens_set,omitempty"`
	Shadowed []string `json:"shadowed,omitempty"`

	Duration   float64 `json:"duration_ms"`
	FirstToken float64 `json:"first_token_ms,omitempty"`
	Upstream   float64 `json:"upstream_ms"`
	Queued     float64 `json:"queued_ms,omitempty"`
	Overhead   float64 `json:"overhead_ms"`

	AzureRequestID string `json:"azure_request_id,omitempty"`
	AzureRegion    string `json:"azure_region,omitempty"`
}

// Attempt is one try at one deployment.
type Attempt struct {
	Deployment  string   `json:"deployment"`
	Status      int      `json:"status"` // 0: no answer came
	Reason      string   `json:"reason,omitempty"`
	Sent        bool     `json:"sent"`
	Temperature *float64 `json:"temperature,omitempty"`
	Wait        float64  `json:"wait_ms"`
	Duration    float64  `json:"duration_ms"`
}

// Ruling is what a rule of a policy made of a request.
type Ruling struct {
	Rule   string `json:"rule"`
	Action string `json:"action"`
}

// view returns what is shown of a request.
func (e *entry) view() Request {
	v := Request{
		N: e.n, Start: e.start.UTC(), RequestID: e.requestID, TraceID: e.traceID, Method: e.method, Route: e.route,
		Client: e.client, UserAgent: e.agent, Retry: e.retry,
		Team: e.team, Key: e.key, Status: e.status, Outcome: e.outcome, Code: e.code, Limit: e.limit,
		Policy: e.policy, Shadow: e.rehearsed, Rules: rulings(e.verdict),
		Model: e.model, Deployment: e.deployment, Spilled: e.spilled, Served: e.served, Stream: e.stream, Finish: e.finish,
		Attempts:  make([]Attempt, len(e.attempts)),
		Estimated: e.estimated, Input: e.input, Cached: e.cached, Output: e.output, Reasoning: e.reasoning,
		Counted: e.counted, Reserved: e.reserved, Choices: e.choices, Cost: e.cost.Dollars(),
		Escaped: e.escaped, Trimmed: e.trimmed, Lowered: e.lowered, Shadowed: slices.Clone(e.shadowed),
		Duration: ms(e.took), FirstToken: ms(e.firstToken), Upstream: ms(e.upstream), Queued: ms(e.queued),
		Overhead:       ms(e.overhead),
		AzureRequestID: e.azureID, AzureRegion: e.region,
	}
	for i, a := range e.attempts {
		v.Attempts[i] = Attempt{Deployment: a.deployment, Status: a.status, Reason: a.reason, Sent: a.sent, Wait: ms(a.wait), Duration: ms(a.took)}
		if t := a.temperature; !math.IsNaN(t) {
			v.Attempts[i].Temperature = &t
		}
	}
	return v
}

// rulings returns what the rules of a policy made of a request, but those that let
// it pass.
func rulings(v usage.Verdict) (all []Ruling) {
	for rule, action := range v {
		if action != usage.Unasked && action != usage.Pass {
			all = append(all, Ruling{usage.Rule(rule).String(), action.String()})
		}
	}
	return all
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// filter says which requests are asked for. The zero value asks for all.
type filter struct {
	team, key, model, deployment, outcome, code, text string

	from, to int // the statuses, inclusive; 0: any
	since    time.Time
}

// filters returns the names of what may be filtered by.
func filters() []string {
	return []string{"team", "key", "model", "deployment", "outcome", "code", "status", "since", "q"}
}

// newFilter reads a filter from the parameters of a request.
func newFilter(v url.Values, now time.Time) (f filter, p *Problem) {
	f = filter{
		team: v.Get("team"), key: v.Get("key"), model: v.Get("model"), deployment: v.Get("deployment"),
		outcome: v.Get("outcome"), code: v.Get("code"), text: v.Get("q"),
	}
	if s := v.Get("status"); s != "" {
		if f.from, f.to, p = statuses(s); p != nil {
			return f, p
		}
	}
	if s := v.Get("since"); s != "" {
		if d, err := time.ParseDuration(s); err == nil && d >= 0 {
			f.since = now.Add(-d)
		} else if f.since, err = time.Parse(time.RFC3339, s); err != nil {
			return f, &Problem{400, "since", "since is how long ago, such as 15m, or a time such as 2026-03-31T12:00:00Z."}
		}
	}
	return f, nil
}

// statuses reads a status such as 429, or a class of them such as 5xx.
func statuses(s string) (from, to int, p *Problem) {
	if class, ok := strings.CutSuffix(strings.ToLower(s), "xx"); ok && len(class) == 1 && class[0] >= '1' && class[0] <= '5' {
		from = int(class[0]-'0') * 100
		return from, from + 99, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 100 || n > 599 {
		return 0, 0, &Problem{400, "status", "status is one of HTTP such as 429, or a class of them such as 5xx."}
	}
	return n, n, nil
}

// asks reports whether a request is asked for.
func (f *filter) asks(e *entry) bool {
	is := func(want, have string) bool { return want == "" || want == have }
	switch {
	case !is(f.team, e.team), !is(f.key, e.key), !is(f.model, e.model), !is(f.code, e.code), !is(f.outcome, string(e.outcome)):
		return false
	case f.from > 0 && (e.status < f.from || e.status > f.to), e.start.Before(f.since):
		return false
	}
	return (f.deployment == "" || e.triedAt(f.deployment)) && (f.text == "" || e.mentions(f.text))
}

// triedAt reports whether a deployment was asked.
func (e *entry) triedAt(deployment string) bool {
	return e.deployment == deployment || slices.ContainsFunc(e.attempts, func(a attempt) bool { return a.deployment == deployment })
}

// mentions reports whether a text is part of what names the request.
func (e *entry) mentions(text string) bool {
	return slices.ContainsFunc([]string{e.requestID, e.traceID, e.azureID, e.team, e.key, e.model, e.code, e.deployment, e.route},
		func(s string) bool { return strings.Contains(s, text) })
}

// looked is how many requests are looked at before others have their turn.
const looked = 256

// find returns the last requests that f asks for, the newest first: at most n, and
// only those before one. More is that there may be others.
func (d *Dashboard) find(f filter, n int, before int64) (found []Request, more bool) {
	found = []Request{}
	for {
		d.mu.Lock()
		if before <= 0 || before > d.ring.next {
			before = d.ring.next
		}
		for range looked {
			e := d.ring.at(before - 1)
			if e == nil {
				d.mu.Unlock()
				return found, false
			}
			if f.asks(e) {
				if len(found) == n {
					d.mu.Unlock()
					return found, true
				}
				found = append(found, e.view())
			}
			before--
		}
		d.mu.Unlock()
	}
}

// after returns the requests behind one that f asks for, the oldest first, and how
// many of all were left out: those that are gone, and all but the last most.
func (d *Dashboard) after(f filter, last int64, most int) (found []Request, now, lost int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now = max(0, d.ring.next-1)
	if oldest := max(now-int64(most), now-int64(len(d.ring.entries))); last < oldest {
		lost, last = oldest-last, oldest
	}
	for n := last + 1; n <= now; n++ {
		if e := d.ring.at(n); e != nil && f.asks(e) {
			found = append(found, e.view())
		}
	}
	return found, now, lost
}
