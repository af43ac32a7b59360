package dashboard

import (
	"math"
	"time"

	"weir/usage"
)

// ring keeps the requests that ended last.
type ring struct {
	entries []entry
	next    int64 // the number of the request that ends next; the first is 1
}

// entry is what is kept of a request.
type entry struct {
	n        int64
	start    time.Time
	attempts []attempt
	shadowed []string

	requestID, traceID, method, route, client, agent string
	team, key, policy, code, model, deployment       string
	spilled, finish, served, azureID, region         string

	outcome usage.Outcome
	limit   usage.Limit

	status, retry, escaped, trimmed int

	stream, counted, rehearsed bool

	verdict usage.Verdict

	estimated, input, cached, output, reasoning int64
	reserved, choices, lowered                  int64

	cost usage.USD

	took, firstToken, upstream, queued, overhead time.Duration
}

// attempt is what is kept of an attempt.
type attempt struct {
	deployment, reason string
	status             int
	sent               bool
	temperature        float64 // NaN: none
	wait, took         time.Duration
}

// add keeps a request in the place of the oldest, whose memory it takes over.
func (g *ring) add(r *usage.Record) {
	if g.next == 0 {
		g.next = 1
	}
	if len(g.entries) < kept {
		g.entries = append(g.entries, entry{})
	}
	e := &g.entries[(g.next-1)%kept]
	e.fill(r)
	e.n = g.next
	g.next++
}

// at returns the request with a number, nil where it is no more, or not yet.
func (g *ring) at(n int64) *entry {
	if n < 1 || n >= g.next || n < g.next-int64(len(g.entries)) {
		return nil
	}
	return &g.entries[(n-1)%kept]
}

func (e *entry) fill(r *usage.Record) {
	attempts, shadowed := e.attempts[:0], e.shadowed[:0]
	for i := range r.Attempts {
		a := &r.Attempts[i]
		temperature := math.NaN()
		if a.Temperature != nil {
			temperature = *a.Temperature
		}
		attempts = append(attempts, attempt{a.Deployment, r.Failure(i), a.Status, a.Sent, temperature, a.Wait, a.Duration})
	}
	*e = entry{
		start: r.Start, attempts: attempts, shadowed: append(shadowed, r.Shadowed...),
		requestID: r.RequestID, traceID: r.TraceID, method: r.Method, route: r.Route, client: r.Client, agent: r.UserAgent,
		team: r.Team, key: r.Key, policy: r.Policy, code: r.Code, model: r.Model, deployment: r.Deployment,
		spilled: r.Spilled, finish: r.FinishReason, served: r.Served, azureID: r.AzureRequestID, region: r.AzureRegion,
		outcome: r.Outcome, limit: r.Limit,
		status: r.Status, retry: r.Retry, escaped: r.Escaped, trimmed: r.Trimmed,
		stream: r.Stream, counted: r.Counted, rehearsed: r.Shadow, verdict: r.Verdict,
		estimated: r.EstimatedInput, input: r.Input, cached: r.Cached, output: r.Output, reasoning: r.Reasoning,
		reserved: r.Reserved, choices: r.Choices, lowered: r.Lowered,
		cost: r.Cost, took: r.Duration, firstToken: r.FirstToken, upstream: r.Upstream, queued: r.Queued, overhead: r.Overhead(),
	}
}
