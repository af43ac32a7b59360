package proxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"weir/openai"
	"weir/quota"
	"weir/usage"
)

// Allowance is what a team, or one of its keys, may use.
type Allowance struct {
	Limits quota.Limits // that hold
	Shadow quota.Limits // that are counted, but let pass
}

// metered reports whether what is reserved of a depends on a request's tokens.
func (a Allowance) metered() bool { return metered(a.Limits) || metered(a.Shadow) }

func metered(l quota.Limits) bool { return l.TokensPerMinute > 0 || l.Budget.Amount > 0 }

// accounts returns the accounts that a request with key is counted in, as limits
// tells them of an allowance.
func (t *Team) accounts(key, prefix string, limits func(Allowance) quota.Limits) []quota.Account {
	all := []quota.Account{{ID: prefix + "team:" + t.Name, Group: t.Name, Away: t.Away, Limits: limits(t.Own)}}
	if own, ok := t.Keys[key]; ok {
		all = append(all, quota.Account{ID: prefix + "key:" + t.Name + "/" + key, Group: t.Name, Away: t.Away, Limits: limits(own)})
	}
	return all
}

// Accounts returns every account that the team's requests may be counted in, its
// own first.
func (t *Team) Accounts() []quota.Account {
	var all []quota.Account
	for _, limits := range []struct {
		prefix string
		of     func(Allowance) quota.Limits
	}{{"", enforced}, {shadows, shadowed}} {
		all = append(all, t.accounts("", limits.prefix, limits.of)...)
		for _, key := range slices.Sorted(maps.Keys(t.Keys)) {
			all = append(all, t.accounts(key, limits.prefix, limits.of)[1])
		}
	}
	return slices.DeleteFunc(all, func(a quota.Account) bool { return a.Limits == quota.Limits{} })
}

// Holder returns the team of an account, and the key where it is one's own.
func Holder(account string) (team, key string) {
	account = strings.TrimPrefix(account, shadows)
	if team, ok := strings.CutPrefix(account, "team:"); ok {
		return team, ""
	}
	team, key, _ = strings.Cut(strings.TrimPrefix(account, "key:"), "/")
	return team, key
}

// Rehearsed reports whether an account lets pass what it would refuse.
func Rehearsed(account string) bool { return strings.HasPrefix(account, shadows) }

func enforced(a Allowance) quota.Limits { return a.Limits }

func shadowed(a Allowance) quota.Limits { return a.Shadow }

// shadows is what the IDs of accounts begin with that let pass.
const shadows = "shadow:"

// reservation is what a request has taken of the limits.
type reservation struct {
	held    *quota.Lease
	shadow  *quota.Lease // of the limits that let pass; nil: there are none, or they would have refused
	settled bool
}

// Settle replaces what was reserved by what was used, once.
func (r *reservation) Settle(used quota.Cost) {
	if r.settled {
		return
	}
	r.settled = true
	r.held.Settle(used)
	if r.shadow != nil {
		r.shadow.Settle(used)
	}
}

// reserve takes the most that the request may cost from the allowances of the team
// and of its key, or says why not.
func (g *Gateway) reserve(ctx context.Context, team Team, rec *usage.Record, d *decision) (*reservation, error) {
	accounts, usual := team.accounts(rec.Key, "", enforced), g.usual(team, rec)
	cost := d.most(usual, burst(accounts))
	d.reserved = cost.Tokens
	rec.Reserved, rec.ReservedCost = cost.Tokens, usage.USD(cost.Spend)
	lease, err := g.cfg.Limiter.Reserve(ctx, accounts, cost)
	if err != nil {
		return nil, refused(ctx, team, rec, err)
	}
	out := &reservation{held: lease}
	if out.shadow, err = g.rehearse(ctx, team, rec, d, usual); err != nil {
		out.Settle(quota.Cost{})
		return nil, err
	}
	return out, nil
}

// rehearse asks the limits that let pass as if they held too, and notes what they
// would have refused. The lease is nil where they would have.
func (g *Gateway) rehearse(ctx context.Context, team Team, rec *usage.Record, d *decision, usual int64) (*quota.Lease, error) {
	if team.Own.Shadow == (quota.Limits{}) && team.Keys[rec.Key].Shadow == (quota.Limits{}) {
		return nil, nil
	}
	accounts := team.accounts(rec.Key, shadows, shadowed)
	cost := d.most(usual, burst(append(accounts, team.accounts(rec.Key, "", enforced)...)))
	lease, err := g.cfg.Limiter.Reserve(ctx, accounts, cost)
	if exceeded, ok := errors.AsType[*quota.ExceededError](err); ok {
		d.note(refusal(team, exceeded))
		rec.Shadowed = d.shadow
	}
	if gone(ctx) {
		return lease, context.Cause(ctx)
	}
	return lease, nil // what only rehearses stops nothing
}

// enter writes down what the request may cost, for a crash: what is left open then
// is charged at its estimate. Where a budget must hold over one, the estimate is
// safe before anything is spent.
func (g *Gateway) enter(ctx context.Context, team Team, rec *usage.Record) error {
	if g.cfg.Journal == nil {
		return nil
	}
	budget := func(a quota.Account) bool { return a.Limits.Budget.Amount > 0 }
	wait := g.cfg.Strict || slices.ContainsFunc(team.accounts(rec.Key, "", enforced), budget)
	if err := g.cfg.Journal.Begin(ctx, rec, wait); err != nil {
		if gone(ctx) {
			return context.Cause(ctx)
		}
		return away()
	}
	return nil
}

// usual returns how long answers to such requests are, 0 where that is not known.
func (g *Gateway) usual(team Team, rec *usage.Record) int64 {
	if g.cfg.Outputs == nil || team.Quantile == 0 {
		return 0
	}
	n, _ := g.cfg.Outputs.Quantile(team.Name, rec.Model, team.Quantile)
	return n
}

// most returns the most that the request is thought to take. What a small allowance
// of tokens makes of an answer that nobody bounds does not make it cheaper.
func (d *decision) most(usual, burst int64) quota.Cost {
	if !d.operation.Generates() {
		return quota.Cost{Requests: 1, Tokens: d.fitted.Prompt, Spend: int64(d.model.most(d.fitted.Prompt, 0))}
	}
	total := d.window.Reserve(d.fitted, usual, d.choices, 0)
	return quota.Cost{
		Requests: 1,
		Tokens:   d.window.Reserve(d.fitted, usual, d.choices, burst),
		Spend:    int64(d.model.most(d.fitted.Prompt, max(0, total-d.fitted.Prompt))),
	}
}

// most returns what a request costs at the dearest of the deployments, and in the
// dearest way: whatever of it is cached or thought.
func (m *Model) most(input, output int64) usage.USD {
	most := usage.USD(0)
	try := func(p usage.Price) {
		most = max(most, p.Cost(input, 0, output, 0), p.Cost(input, 0, output, output), p.Cost(input, input, output, 0), p.Cost(input, input, output, output))
	}
	for _, p := range m.Prices {
		try(p)
	}
	if len(m.Prices) == 0 {
		try(m.Dearest)
	}
	return most
}

// price returns what the tokens cost at the deployment that answered. One that is
// not configured, which Azure may hand a request on to, is taken for the dearest.
func (m *Model) price(rec *usage.Record) usage.Price {
	at := rec.Deployment
	if rec.Spilled != "" {
		backend, _, _ := strings.Cut(at, "/")
		at = backend + "/" + rec.Spilled
	}
	if p, ok := m.Prices[at]; ok {
		return p
	}
	return m.Dearest
}

// cost returns what a request is charged, by how it ended.
//
// No allowance is taken where nothing left the gateway. Where a deployment
// refused or failed, the request alone counts, so that a failing one is not
// hammered. An answer counts what it used, as upstream says or as we counted; that
// includes one that was cut, by whichever side.
func cost(rec *usage.Record) quota.Cost {
	if !sent(rec) {
		return quota.Cost{}
	}
	return quota.Cost{Requests: 1, Tokens: rec.Input + rec.Output, Spend: int64(rec.Cost)}
}

// sent reports whether any of a request left the gateway.
func sent(rec *usage.Record) bool {
	return slices.ContainsFunc(rec.Attempts, func(a usage.Attempt) bool { return a.Sent })
}

// burst returns the most tokens that all of the accounts ever admit at once, 0 for
// any.
func burst(accounts []quota.Account) int64 {
	var least int64
	for _, a := range accounts {
		l := a.Limits
		b := l.BurstTokens
		if l.TokensPerMinute == 0 {
			continue
		}
		if b == 0 {
			b = l.TokensPerMinute
		}
		if least == 0 || b < least {
			least = b
		}
	}
	return least
}

// limitError is a refusal by a limit, with the levels that it was decided on.
type limitError struct {
	*quota.ExceededError
	shown *openai.Error
}

// Unwrap returns what the client sees.
func (e *limitError) Unwrap() error { return e.shown }

// refused returns the error of a request that could not reserve.
func refused(ctx context.Context, team Team, rec *usage.Record, err error) error {
	exceeded, ok := errors.AsType[*quota.ExceededError](err)
	switch {
	case ok:
		rec.Outcome = usage.RefusedLimit
		return &limitError{ExceededError: exceeded, shown: refusal(team, exceeded)}
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, quota.ErrAway):
		return away()
	default:
		return fmt.Errorf("proxy: reserving: %w", err)
	}
}

func away() *openai.Error {
	return &openai.Error{
		Status: http.StatusServiceUnavailable, Type: "server_error", Code: openai.CodeLimitsAway, RetryAfter: time.Second,
		Message: "What counts the limits cannot be reached, and this team's requests are not served without. Send the request again in a moment.",
	}
}

// refusal says which limit refused, what to do, and whom to ask.
func refusal(team Team, e *quota.ExceededError) *openai.Error {
	whose, setting := fmt.Sprintf("Team %q", team.Name), "teams."+team.Name
	if _, key := Holder(e.Account); key != "" {
		whose = fmt.Sprintf("Key %q", key)
		setting += ".keys[" + key + "]"
	}
	ask := "To raise it, change " + setting + "." + settingOf(e.Dimension) + "."
	if team.Owner != "" {
		ask = "To raise it, ask " + team.Owner + " to change " + setting + "." + settingOf(e.Dimension) + "."
	}
	out := &openai.Error{Status: http.StatusTooManyRequests, Type: string(e.Dimension), Code: openai.CodeRateLimit, RetryAfter: e.Wait}
	switch {
	case e.Dimension == quota.Spend:
		*out = *overspent(whose, ask, e)
	case e.Permanent:
		*out = openai.Error{Status: http.StatusBadRequest, Code: openai.CodeExceedsTeamLimit, Param: "messages"}
		out.Message = fmt.Sprintf("The request may use %d %s, and %s never has more than %d at once. Send a shorter prompt or a smaller max_tokens. %s",
			e.Need, e.Dimension, whose, e.Limit, ask)
	case e.Dimension == quota.Concurrency:
		out.Type = "requests"
		out.Message = fmt.Sprintf("%s has %d requests open, which is all it may have. Wait for one to end. %s", whose, e.Limit, ask)
	default:
		out.Message = fmt.Sprintf("%s has used its %d %s per minute: %d are left, and the request needs %d. Next slot in %s. %s",
			whose, e.Limit, e.Dimension, e.Remaining, e.Need, rounded(e.Wait), ask)
	}
	return out
}

// overspent says that there is not enough money left. No client should ask again
// by itself: the next window may be weeks away.
func overspent(whose, ask string, e *quota.ExceededError) *openai.Error {
	out := &openai.Error{Status: http.StatusTooManyRequests, Type: openai.CodeInsufficientQuota, Code: openai.CodeInsufficientQuota, NoRetry: true}
	next := "It is less than this one request may cost: send a smaller max_tokens."
	if !e.Permanent {
		next = fmt.Sprintf("The next budget begins in %s.", rounded(e.Wait))
	}
	out.Message = fmt.Sprintf("%s has a budget of %s, of which %s are left, and the request may cost %s. %s %s",
		whose, usage.USD(e.Limit), usage.USD(e.Remaining), usage.USD(e.Need), next, ask)
	return out
}

// rounded returns a wait as people read it.
func rounded(wait time.Duration) time.Duration {
	switch {
	case wait > time.Hour:
		return (wait + time.Minute - 1).Truncate(time.Minute)
	case wait > time.Second:
		const tenth = 100 * time.Millisecond
		return (wait + tenth - 1).Truncate(tenth)
	default:
		return wait
	}
}

// settingOf returns the configuration's name of a limit.
func settingOf(d quota.Dimension) string {
	switch d {
	case quota.Requests:
		return "limits.rpm"
	case quota.Tokens:
		return "limits.tpm"
	case quota.Spend:
		return "budget"
	case quota.Concurrency:
	}
	return "limits.concurrency"
}
