package policy

import (
	"cmp"
	"math"
	"time"
)

// Retry says how often and how a request is tried.
type Retry struct {
	Attempts      int           // over all deployments, the first included
	Backoff       time.Duration // the longest wait before the second attempt at a deployment
	MaxBackoff    time.Duration // the longest wait before any
	MaxRetryAfter time.Duration // longest that a request waits for the only deployment there is
	CoolBy        float64       // what each cure multiplies the temperature by
	OnlyInvalid   bool          // cool after BadOutput alone, not after every 500
}

// The bounds of a reduced temperature, and the one that a request has that names
// none.
const (
	coolest     = 0.1
	warmest     = 0.8
	temperature = 1.0
)

// Tried is what has been done for a request when an attempt ends.
type Tried struct {
	Total  int           // attempts, the one that ended included
	Here   int           // of those, at the deployment of the one that ended
	Alone  bool          // no other deployment can be asked now
	Left   time.Duration // until the request's deadline
	Whole  time.Duration // from its beginning to its deadline
	Own    bool          // a 400's parameter is one that the gateway put there
	Fresh  bool          // the credential that was refused has been replaced, for the first time
	Client int           // how often the client itself has tried before
	Kept   bool          // upstream keeps what it makes of the request
	Blind  bool          // nobody knows what the request does: it is sent again where none of it was done
}

// Action is what to do when an attempt has ended. The zero value is to hand the
// outcome to the client, and nothing else.
type Action struct {
	Here  bool          // the same deployment may be asked again
	Other bool          // another may be
	Stay  bool          // rather here than elsewhere
	Cool  bool          // at a lower temperature
	Mend  bool          // without the change that Param names
	Renew bool          // with the credential that has been replaced
	Wait  time.Duration // before asking here again, at most where Exact is not set
	Exact bool          // Wait is what upstream asked for: not less
	Rest  time.Duration // leave this deployment alone for so long
	Blame bool          // the deployment failed: its breaker is told
	Alarm bool          // our configuration is wrong
}

// maxRest is the longest that an answer can make a deployment rest.
const maxRest = time.Minute

// The rests that are not upstream's to say.
const (
	restUnpaid = 5 * time.Minute
	restWrong  = time.Minute
	restBlind  = time.Second // a 429 without a hint
)

// After returns what to do when an attempt ended in o.
func (r Retry) After(t Tried, o Outcome) Action {
	a := r.consequence(t, o)
	again := r.again(a, t, o)
	a.Here = a.Here && again && (a.Mend || a.Renew || t.Here < 2 || t.Alone) && a.Wait < t.Left
	a.Other = a.Other && again
	return a
}

// again reports whether there may be another attempt at all.
func (r Retry) again(a Action, t Tried, o Outcome) bool {
	switch {
	case a.Mend, a.Renew:
		return t.Total < max(r.Attempts, 2) // a request that is tried once must not fail by our hand
	case o.Once && t.Total > 1, !a.Cool && t.Client > 1:
		return false
	case t.Kept && o.kept():
		return false // it may be there already
	case t.Blind && o.Class != Unreachable && o.Class != Throttled:
		return false
	default:
		return t.Total < r.Attempts
	}
}

// kept reports whether upstream may have done what was asked all the same: it had
// begun to answer, or its answer was lost or waited for no longer, by us or by those
// before it.
func (o Outcome) kept() bool {
	switch o.Class {
	case Interrupted, TimedOut, Stalled:
		return true
	default:
		return o.Taken || o.Status == 502 || o.Status == 504
	}
}

// consequence is the table of what each class of outcome leads to, without
// regard to how much has been tried.
func (r Retry) consequence(t Tried, o Outcome) Action {
	switch o.Class {
	case BadOutput:
		return Action{Here: true, Other: true, Stay: true, Cool: true}
	case Fault, Stalled:
		return r.fault(t, o)
	case Unreachable, Interrupted:
		return Action{Here: t.Here < 2, Other: true, Wait: r.backoff(t.Here), Blame: true}
	case TimedOut:
		return Action{Other: t.Left >= t.Whole/4, Blame: !o.Impatient}
	case Throttled:
		wait := cmp.Or(o.RetryAfter, restBlind)
		return Action{Here: t.Alone && wait <= r.MaxRetryAfter, Other: true, Wait: wait, Exact: true, Rest: min(wait, maxRest)}
	case Exhausted:
		return Action{Other: true, Rest: restUnpaid}
	case Misconfigured:
		return misconfigured(t)
	case Unsupported:
		return Action{Here: t.Own, Other: t.Own, Stay: t.Own, Mend: t.Own}
	case Gone:
		return Action{Blame: o.Hung}
	case Answered, Refused:
	}
	return Action{}
}

// misconfigured is what follows where our credential is refused, or what it is for
// does not exist.
func misconfigured(t Tried) Action {
	if t.Fresh {
		return Action{Here: true, Other: true, Stay: true, Renew: true}
	}
	return Action{Other: true, Rest: restWrong, Alarm: true}
}

// fault is what a failure of the deployment leads to.
func (r Retry) fault(t Tried, o Outcome) Action {
	a := Action{Here: true, Other: true, Wait: r.backoff(t.Here), Blame: true}
	a.Cool = o.Status == 500 && !r.OnlyInvalid
	if o.Status == 503 && o.RetryAfter > 0 { // it rests, as after a 429: that is no fault
		a.Rest, a.Blame = min(o.RetryAfter, maxRest), false
		a.Here, a.Wait, a.Exact = t.Alone && o.RetryAfter <= r.MaxRetryAfter, o.RetryAfter, true
	}
	return a
}

// backoff returns the longest wait behind attempt n at one deployment.
func (r Retry) backoff(n int) time.Duration {
	return min(r.MaxBackoff, r.Backoff<<min(n-1, 20))
}

// Cool returns the temperature of the attempt that follows one at t, of a
// request whose sender asked for first; nil stands for the API's default.
func (r Retry) Cool(first, t *float64) float64 {
	from, now := temperature, temperature
	if first != nil {
		from = *first
	}
	if t != nil {
		now = *t
	}
	const digits = 1e6 // as many as a person may want to read
	return min(from, math.Round(max(coolest, min(warmest, now*r.CoolBy))*digits)/digits)
}
