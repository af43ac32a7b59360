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
	tried   struct{ deployment, result string }
	retried struct{ model, reason string }
)

func newAttempts(k *maker) attempts {
	model := func(name string) []attribute.KeyValue { return []attribute.KeyValue{attribute.String("model", name)} }
	duration := k.histograms.add("weir.upstream.duration", "s", "How long deployments took for an attempt, until its last byte.", durations())
	return attempts{
		ended: newCounters(k, described{name: "weir.upstream.attempts", help: "Attempts at deployments that have ended, by how and why."}, func(a attempted) []attribute.KeyValue {
			return []attribute.KeyValue{attribute.String("deployment", a.deployment), attribute.String("result", a.result), attribute.String("reason", a.reason)}
		}, func(a attempted) attempted { return attempted{tried{other, a.result}, other} }),
		duration: newCache(func(t tried) *distribution {
			return duration.with(attribute.String("deployment", t.deployment), attribute.String("result", t.result))
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
func (a *attempts) at(deployment, result, reason string) attempt {
	t := tried{deployment, result}
	return attempt{a.ended.at(attempted{t, reason}), a.duration.at(t)}
}

// take measures the attempts of a request.
func (a *attempts) take(r *usage.Record, p *path, from *origin, reasons map[string]bool) {
	last := len(r.Attempts) - 1
	for i := range r.Attempts {
		to := p.answer
		if i < last || !p.answered {
			result, reason := end(r, i)
			reason = told(reasons, reason)
			to = a.at(p.deployments.fold(r.Attempts[i].Deployment), result, reason)
			if i < last {
				a.again.at(retried{p.model, reason}).Add(1)
			}
		}
		to.ended.Add(1)
		to.duration.record(lasted(r, i).Seconds(), from)
	}
	if last > 0 && r.Outcome == usage.OK {
		a.rescued.at(p.model).Add(1)
	}
}

// The results of attempts.
const (
	resultOK        = "ok"
	resultThrottled = "throttled" // the deployment has no room
	resultRefused   = "refused"   // the request was at fault, or the gateway's configuration
	resultError     = "error"     // the deployment, or the way to it
	resultAbandoned = "abandoned" // the client left, or the gateway ended
)

// end returns how attempt i of a request ended, and why; "" where it answered.
func end(r *usage.Record, i int) (result, reason string) {
	a := &r.Attempts[i]
	reason = a.Reason
	if reason == "" && i == len(r.Attempts)-1 { // what it answered may not have come to its end
		switch r.Outcome {
		case usage.ClientGone:
			reason = "client_gone"
		case usage.UpstreamError:
			reason = "cut_stream"
		default:
		}
	}
	switch reason {
	case "":
		return resultOK, ""
	case "429", "insufficient_quota":
		return resultThrottled, reason
	case "client_gone", "stopped":
		return resultAbandoned, reason
	}
	if a.Status >= 400 && a.Status < 500 && a.Status != 408 {
		return resultRefused, reason
	}
	return resultError, reason
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
