package telemetry

import (
	"time"

	"go.opentelemetry.io/otel/attribute"

	"weir/usage"
)

// attempts are the metrics of what deployments were asked.
type attempts struct {
	ended    counters[attempted]
	duration *cache[tried, *distribution]
	again    counters[retried]
	rescued  counters[string]
}

// The labels of series.
type (
	attempted struct {
		tried
		reason string
	}
	tried struct {
		deployment string
		result     usage.Result
	}
	retried struct{ model, reason string }
)

func newAttempts(k *maker) attempts {
	model := func(name string) []attribute.KeyValue { return []attribute.KeyValue{attribute.String("model", name)} }
	duration := k.histograms.add("weir.upstream.duration", "s", "How long deployments took for an attempt, until its last byte.", durations())
	return attempts{
		ended: newCounters(k, described{name: "weir.upstream.attempts", help: "Attempts at deployments that have ended, by how and why."}, func(a attempted) []attribute.KeyValue {
			return []attribute.KeyValue{attribute.String("deployment", a.deployment), attribute.String("result", string(a.result)), attribute.String("reason", a.reason)}
		}, func(a attempted) attempted { return attempted{tried{other, a.result}, other} }),
		duration: newCache(func(t tried) *distribution {
			return duration.with(attribute.String("deployment", t.deployment), attribute.String("result", string(t.result)))
		}, func(t tried) tried { return tried{other, t.result} }),
		again: newCounters(k, described{name: "weir.retries", help: "Attempts that followed another one of the same request, by why that had failed."}, func(r retried) []attribute.KeyValue {
			return []attribute.KeyValue{attribute.String("model", r.model), attribute.String("reason", r.reason)}
		}, func(r retried) retried { return retried{other, r.reason} }),
		rescued: newCounters(k, described{name: "weir.retry.rescued", help: "Requests that were answered after an attempt had failed."}, model, nil),
	}
}

// attempt is where one attempt is measured.
type attempt struct {
	ended    *count
	duration *distribution
}

// at returns where an attempt is measured that ended so.
func (a *attempts) at(deployment string, result usage.Result, reason string) attempt {
	t := tried{deployment, result}
	return attempt{a.ended.at(attempted{t, reason}), a.duration.at(t)}
}

// take measures the attempts of a request.
func (a *attempts) take(r *usage.Record, p *path, from *origin, reasons map[string]bool) {
	last, again := len(r.Attempts)-1, false
	for i := range r.Attempts {
		to := p.answer
		if i < last || !p.answered {
			reason := told(reasons, r.Failure(i))
			to = a.at(p.deployments.fold(r.Attempts[i].Deployment), r.Result(i), reason)
			if i < last && reason != "" { // or else it was the next call of a request that takes several
				a.again.at(retried{p.model, reason}).Add(1)
				again = true
			}
		}
		to.ended.Add(1)
		to.duration.record(lasted(r, i).Seconds(), from)
	}
	if again && r.Outcome == usage.OK {
		a.rescued.at(p.model).Add(1)
	}
}

// lasted returns how long attempt i of a request lasted. One that answered a stream
// lasted until the request's end.
func lasted(r *usage.Record, i int) time.Duration {
	a := &r.Attempts[i]
	if r.Stream && a.Reason == "" {
		return max(a.Duration, r.Duration-a.Began)
	}
	return a.Duration
}
