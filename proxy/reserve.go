package proxy

import (
	"context"
	"maps"
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

// rehearsed returns the accounts of limits that let pass, nil where there are none.
func (t *Team) rehearsed(key string) []quota.Account {
	if t.Own.Shadow == (quota.Limits{}) && t.Keys[key].Shadow == (quota.Limits{}) {
		return nil
	}
	return t.accounts(key, shadows, shadowed)
}

// reserve takes the most that the request may cost from the allowances of the team
// and of its key, or says why not. What it has taken of that before is not taken
// twice. What the limits that let pass would have refused is noted.
func (g *Gateway) reserve(ctx context.Context, team Team, rec *usage.Record, d *decision) (*reservation, error) {
	held, shadow, usual := team.accounts(rec.Key, "", enforced), team.rehearsed(rec.Key), g.usual(team, rec)
	a := asking{accounts: held, cost: d.most(usual, burst(held)), shadows: shadow}
	if len(shadow) > 0 {
		a.shadowed = d.most(usual, burst(append(slices.Clip(shadow), held...)))
	}
	d.reserved = a.cost.Tokens
	rec.Reserved, rec.ReservedCost = a.cost.Tokens, usage.USD(a.cost.Spend)
	out, err := d.entry, error(nil)
	switch {
	case d.entry == nil:
		out, err = g.draw(ctx, a)
	case !d.free:
		out, err = g.further(ctx, d.entry, a)
	}
	if err != nil {
		return nil, refused(ctx, team, rec, d, err)
	}
	out.note(team, rec, d)
	if gone(ctx) {
		out.Settle(quota.Cost{})
		return nil, context.Cause(ctx)
	}
	return out, nil
}

// note writes down what the limits that let pass would have refused the request with.
func (r *reservation) note(team Team, rec *usage.Record, d *decision) {
	if r.no != nil {
		d.note(refusal(team, d, r.no))
		rec.Shadowed, rec.ShadowLimit = d.shadow, limitOf(r.no.Dimension)
	}
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
	if d.free {
		return quota.Cost{Requests: 1}
	}
	if !d.operation.Generates() {
		tokens := d.fitted.Prompt
		if burst > 0 && d.attached.Prompt > 0 { // a guess that is too high must not shut out what fits
			tokens = min(tokens, max(burst, tokens-d.attached.Prompt))
		}
		spend := d.model.most(d.fitted.Prompt, d.made(), d.kinds).Plus(d.model.sound(d.attached))
		return quota.Cost{Requests: 1, Tokens: tokens, Spend: int64(spend)}
	}
	total := d.window.Reserve(d.fitted, usual, d.choices, 0)
	return quota.Cost{
		Requests: 1,
		Tokens:   d.window.Reserve(d.fitted, usual, d.choices, burst),
		Spend:    int64(d.model.most(d.fitted.Prompt, max(0, total-d.fitted.Prompt), d.kinds)),
	}
}

// most returns what a request costs at the dearest of the deployments, and in the
// dearest way: whatever of it is cached or thought, or of the kinds.
func (m *Model) most(input, output int64, kinds usage.Kinds) usage.USD {
	if len(m.Prices) == 0 {
		return m.Dearest.Most(input, output, kinds)
	}
	most := usage.USD(0)
	for _, p := range m.Prices {
		most = max(most, p.Most(input, output, kinds))
	}
	return most
}

// sound returns what hearing files costs at the dearest of the deployments.
func (m *Model) sound(u openai.Usage) usage.USD {
	most := m.Dearest.Sound(lengthOf(u))
	for _, p := range m.Prices {
		most = max(most, p.Sound(lengthOf(u)))
	}
	return most
}

// lengthOf returns the length of the sound that was used.
func lengthOf(u openai.Usage) time.Duration {
	return time.Duration(min(max(0, u.Seconds), longest.Seconds()) * float64(time.Second))
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
