package upstream

import (
	"context"
	"errors"
	"net/http"
	"time"

	"weir/openai"
	"weir/policy"
	"weir/usage"
)

// run is one call on its way through the attempts it takes.
type run struct {
	*Pool
	group *group
	call  *openai.Call
	rec   *usage.Record
	start time.Time
	ends  time.Time // the deadline of its beginning
	aside bool      // how it fares says nothing of the deployments
	hasty bool      // that is sooner than the gateway's own, because the client says so
	cost  int64     // tokens, as Azure estimates them
	calls int       // attempts at what its request has asked for before

	tried       map[*member]int
	temperature *float64         // that the next attempt sets; nil leaves the client's
	added       added            // by the last attempt
	shown       http.Header      // the last attempt's, with its credential
	renewed     map[renewer]bool // that have been for this call
	wait        time.Duration
	hint        time.Duration // the shortest wait that a deployment asked for

	last    *openai.Answer // what the last attempt came to that can be shown to the client
	lastErr error
	unpaid  bool // that was an answer that waiting does not mend
}

func (r *run) do(ctx context.Context) (*openai.Answer, error) {
	m, report := r.enter(ctx)
	if m == nil {
		return nil, r.none()
	}
	end := func() {}
	defer func() { end() }()
	for {
		r.tried[m]++
		answer, out := r.attempt(ctx, m)
		act := r.cfg.Retry.After(r.progress(m, out), out)
		r.settle(m, report, out, act)
		if out.Class == policy.Answered {
			return answer, nil
		}
		r.keep(answer, out, act)
		end()
		end = func() {}
		if ctx.Err() != nil || !act.Here && !act.Other {
			return r.give()
		}
		if !r.free(m, act) {
			more, ok := r.group.again(out.Class == policy.BadOutput)
			if !ok {
				return r.give()
			}
			end = more
		}
		if m, report = r.next(ctx, m, act); m == nil {
			return r.give()
		}
	}
}

// free reports whether the next attempt is none that the retry budget bounds:
// the deployment did no work, and it is not asked again, or only rightly.
func (r *run) free(m *member, act policy.Action) bool {
	return act.Mend || act.Renew || act.Rest > 0 && act.Other && r.other(m)
}

// progress is what has been done so far, for the retry rule.
func (r *run) progress(m *member, o policy.Outcome) policy.Tried {
	t := policy.Tried{
		Here:   r.tried[m],
		Alone:  !r.other(m),
		Left:   time.Until(r.ends),
		Whole:  r.ends.Sub(r.start),
		Client: r.call.Retries,
		Kept:   r.call.Request.Stored,
		Blind:  blind(r.call),
	}
	for _, n := range r.tried {
		t.Total += n % never
	}
	t.Fresh = o.Class == policy.Misconfigured && o.Status == http.StatusUnauthorized && r.renew(m)
	switch o.Param {
	case "":
	case "temperature":
		t.Own = r.added.temperature != nil
	case "stream_options":
		t.Own = r.added.usage
	default:
		t.Own = r.added.bound == o.Param
	}
	return t
}

// renew replaces the credential that the deployment refused, where there is
// another and that has not been done for the call. It holds for later calls too.
func (r *run) renew(m *member) bool {
	c, ok := m.Credential.(renewer)
	if !ok || r.renewed[c] || r.shown == nil {
		return false
	}
	r.renewed[c] = true
	return c.Renew(r.shown)
}

// settle tells the deployment what the attempt showed.
func (r *run) settle(m *member, report func(verdict), o policy.Outcome, act policy.Action) {
	said := neutral
	switch {
	case act.Blame:
		said = bad
	case o.Class == policy.Answered && r.call.Request.Stream:
		said = begun
	case o.Class == policy.Answered, o.Class == policy.Refused:
		said = good
	}
	if r.aside {
		said, act = spared(act)
	}
	report(said)
	r.rest(m, o, act)
	m.wake()
	if act.Mend {
		r.mend(m, o.Param)
	}
	m.teaches(o)
}

// rest leaves the deployment alone for as long as the action says. That a rest
// begins is logged, and that it is made longer is not.
func (r *run) rest(m *member, o policy.Outcome, act policy.Action) {
	if act.Rest <= 0 {
		return
	}
	rest := r.cfg.atLeast(act.Rest)
	begins := m.restFor(rest, o)
	m.refused(o, act.Rest)
	switch {
	case !begins:
	case act.Alarm:
		r.cfg.Log.Error("deployment is misconfigured", "deployment", m.ID(), "status", o.Status, "rests", rest.String())
	default:
		r.cfg.Log.Info("deployment rests", "deployment", m.ID(), "for", rest.String(), "reason", o.Reason)
	}
}

// mend takes back the change of ours that the deployment refused.
func (r *run) mend(m *member, param string) {
	switch param {
	case "temperature":
		m.lessons.fixed.learn()
		r.temperature = nil
	case "stream_options":
		m.lessons.noUsage.learn()
	case r.call.Added:
		m.lessons.swapped.learn()
	default:
		m.lessons.swapped.forget()
	}
}

// next waits as the action says and begins the next attempt; nil is that there is
// none to be.
func (r *run) next(ctx context.Context, m *member, act policy.Action) (*member, func(verdict)) {
	if act.Cool {
		r.cool(m)
	}
	if act.Here && act.Stay && r.worthwhile(m) {
		if report, ok := m.take(r.cost); ok {
			return m, report
		}
	}
	if act.Other {
		if o, report := r.elsewhere(m); o != nil {
			return o, report
		}
	}
	if !act.Here || !r.worthwhile(m) {
		return nil, nil
	}
	return r.again(ctx, m, act)
}

// elsewhere begins an attempt at another deployment than m; nil is that none may
// be asked.
func (r *run) elsewhere(m *member) (*member, func(verdict)) {
	if r.aside {
		return nil, nil // it would be the same resource
	}
	for tries := range 2 { // one that has not been asked yet is better
		o, report := r.group.pick(r.cost, func(o *member) bool {
			return o == m || r.tried[o] > tries || !o.fits(r.call) || !r.worthwhile(o)
		})
		if o != nil {
			return o, report
		}
	}
	return nil, nil
}

// least is the time below which no further attempt is begun.
const least = time.Second

// other reports whether another deployment than m may be asked now.
func (r *run) other(m *member) bool {
	if r.aside {
		return false
	}
	for _, o := range r.group.members {
		if o != m && r.tried[o] < 2 && o.fits(r.call) && o.ready(r.cost) {
			return true
		}
	}
	return false
}

// worthwhile reports whether another attempt at m could still end in time: whether
// there is time for what half of its answers take to begin.
func (r *run) worthwhile(m *member) bool {
	return time.Until(r.ends) >= max(least, m.lessons.usual(r.call.Request.Stream))
}

// again waits and begins another attempt at the same deployment.
func (r *run) again(ctx context.Context, m *member, act policy.Action) (*member, func(verdict)) {
	r.wait = r.cfg.atMost(act.Wait)
	if act.Exact {
		r.wait = r.cfg.atLeast(act.Wait)
	}
	timer := time.NewTimer(r.wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, nil
	case <-r.stopped:
		r.last, r.lastErr = nil, shown(policy.Outcome{Class: policy.Gone})
		return nil, nil
	}
	if report, ok := m.take(r.cost); ok && r.worthwhile(m) {
		return m, report
	} else if ok {
		m.leave()
		report(neutral)
	}
	return nil, nil
}

// cool lowers the temperature of the next attempt, where the model lets it.
func (r *run) cool(m *member) {
	if r.call.Passage != nil {
		return // it has none that we read
	}
	first := r.call.Request.Temperature
	kind := m.Temperature
	if kind == Unknown {
		kind = r.group.temperature
	}
	if kind == Fixed || m.lessons.fixed.holds() || kind == Unknown && first == nil {
		return
	}
	now := r.temperature
	if now == nil {
		now = first
	}
	t := r.cfg.Retry.Cool(first, now)
	r.temperature = &t
}

// errTime says that an attempt took too long, or a stream stood still; errStopped
// that the gateway itself is at its end.
var (
	errTime    = errors.New("upstream: no answer in time")
	errStopped = errors.New("upstream: stopped")
)
