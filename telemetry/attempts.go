package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"weir/usage"
)

// attempts are the metrics of what deployments were asked.
type attempts struct {
	duration metric.Float64Histogram
	ended    counters[attempted]
	timed    *cache[tried, labeled]
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
	return attempts{
		duration: k.histogram("weir.upstream.duration", "s", "How long deployments took for an attempt, until its last byte.", durations()),
		ended: newCounters(k, described{name: "weir.upstream.attempts", help: "Attempts at deployments that have ended, by how and why."}, func(a attempted) []attribute.KeyValue {
			return []attribute.KeyValue{attribute.String("deployment", a.deployment), attribute.String("result", a.result), attribute.String("reason", a.reason)}
		}, func(a attempted) attempted { return attempted{tried{other, a.result}, other} }),
		timed: newCache(func(t tried) labeled {
			return label(attribute.String("deployment", t.deployment), attribute.String("result", t.result))
		}, func(t tried) tried { return tried{other, t.result} }),
		again: newCounters(k, described{name: "weir.retries", help: "Attempts that followed another one of the same request, by why that had failed."}, func(r retried) []attribute.KeyValue {
			return []attribute.KeyValue{attribute.String("model", r.model), attribute.String("reason", r.reason)}
		}, func(r retried) retried { return retried{other, r.reason} }),
		rescued: newCounters(k, described{name: "weir.retry.rescued", help: "Requests that were answered after an attempt had failed."}, model, nil),
	}
}

// take measures the attempts of a request.
func (a *attempts) take(ctx context.Context, r *usage.Record, v facts, m *Metrics) {
	last := len(r.Attempts) - 1
	for i := range r.Attempts {
		deployment := v.deployments.fold(r.Attempts[i].Deployment)
		result, reason := end(r, i)
		reason = told(m.reasons, reason)
		t := tried{deployment, result}
		a.ended.at(attempted{t, reason}).Add(1)
		a.duration.Record(ctx, lasted(r, i).Seconds(), a.timed.at(t)...)
		if i < last {
			a.again.at(retried{v.model, reason}).Add(1)
		}
	}
	if last > 0 && r.Outcome == usage.OK {
		a.rescued.at(v.model).Add(1)
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
