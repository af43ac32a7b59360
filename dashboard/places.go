package dashboard

import (
	"time"

	"weir/usage"
)

// placeSeries is what a deployment has done.
type placeSeries struct {
	steps window[tries]
	waits window[histogram]

	changes []Change // of its state, the oldest first
}

// tries are the attempts of one step.
type tries struct {
	attempts, throttled, failed uint32
}

// Change is when a deployment began to be in a state.
type Change struct {
	At    time.Time `json:"at"`
	State string    `json:"state"`
	Why   string    `json:"why,omitempty"`
}

func newPlaceSeries() *placeSeries {
	return &placeSeries{steps: newWindow[tries](step, steps), waits: newWindow[histogram](minute, minutes)}
}

// add counts an attempt, by how it ended. What a request or a client did is no failure
// of its deployment.
func (p *placeSeries) add(end time.Time, a *usage.Attempt, result usage.Result) {
	t := p.steps.of(end)
	if t == nil {
		return
	}
	t.attempts++
	switch result {
	case usage.Throttled:
		t.throttled++
	case usage.Failed:
		t.failed++
	case usage.Refused, usage.Abandoned:
	case usage.Answered:
		if h := p.waits.of(end); h != nil {
			h.observe(a.Duration, shortestWait)
		}
	}
}

// throttling is the status of a deployment that asks to be left alone.
const throttling = 429

// change notes the state that a deployment is in.
func (p *placeSeries) change(now time.Time, state, why string) {
	if n := len(p.changes); n > 0 && p.changes[n-1].State == state {
		return
	}
	if len(p.changes) >= maxChanges {
		p.changes = append(p.changes[:0], p.changes[1:]...)
	}
	p.changes = append(p.changes, Change{now, state, why})
}

// recent adds up the attempts of the last n steps.
func (p *placeSeries) recent(now time.Time, n int) (all tries) {
	p.steps.last(now, n, func(t *tries) {
		if t != nil {
			all.attempts += t.attempts
			all.throttled += t.throttled
			all.failed += t.failed
		}
	})
	return all
}

// latency returns how long answers took to begin in the last minutes.
func (p *placeSeries) latency(now time.Time, n int, q float64) *float64 {
	var all histogram
	p.waits.last(now, n, func(h *histogram) {
		if h != nil {
			all.add(h)
		}
	})
	return all.at(q, shortestWait)
}

// at returns a quantile in milliseconds, nil where nothing was counted.
func (h *histogram) at(q float64, unit time.Duration) *float64 {
	if ms, ok := h.quantile(q, unit); ok {
		ms = rounded(ms)
		return &ms
	}
	return nil
}
