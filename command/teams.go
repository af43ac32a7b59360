package command

import (
	"cmp"
	"math"
	"net/http"
	"time"

	"weir/config"
	"weir/middleware"
	"weir/policy"
	"weir/proxy"
	"weir/quota"
	"weir/usage"
)

// anybody is the name of the team that callers without a key belong to.
const anybody = "default"

// teams returns the configured teams, or the one that there is without any.
func (b *builder) teams() map[string]config.Team {
	if len(b.file.Teams) == 0 {
		return map[string]config.Team{anybody: {Policy: "default"}}
	}
	return b.file.Teams
}

func (b *builder) team(name string, t config.Team, names proxy.Names) proxy.Team {
	p := b.file.Policies[cmp.Or(t.Policy, "default")]
	out := proxy.Team{
		Name: name, Owner: t.Owner,
		Policy: cmp.Or(t.Policy, "default"),
		Screen: policy.NewScreen(policy.SpecialTokens(cmp.Or(p.SpecialTokens, string(policy.Reject)))),
		Window: policy.Window{
			TeamInput: int64(p.MaxInputTokens), TeamOutput: int64(p.MaxOutputTokens), DefaultOutput: int64(p.DefaultOutputTokens),
			RejectOutput: p.OnOutputOverflow == "reject", MaxTurns: p.MaxTurns, Trim: p.OnContextOverflow == "trim_oldest",
		},
		Regions: t.Regions, Shadow: p.Mode == shadow, Own: allowance(t.Limits, t.Budget), Keys: map[string]proxy.Allowance{},
		Away: away(cmp.Or(t.OnError, b.file.State.Limits.OnError)), Quantile: p.ReserveQuantile,
		Weight: t.Weight, Priorities: map[string]int{},
	}
	for _, m := range t.Models {
		if out.Models == nil {
			out.Models = map[string]bool{}
		}
		out.Models[cmp.Or(names.Aliases[m], m)] = true
	}
	for _, k := range t.Keys {
		if own := allowance(k.Limits, k.Budget); own != (proxy.Allowance{}) {
			out.Keys[k.ID] = own
		}
		out.Priorities[k.ID] = priority(k.Priority)
	}
	out.Batches = batches(t, out)
	return out
}

// priority returns the place in line that a key has.
func priority(name string) int {
	switch name {
	case "high":
		return 0
	case "low":
		return 2
	default:
		return proxy.NormalPriority
	}
}

// allowance returns what limits and a budget allow, and what those do that are
// only rehearsed.
func allowance(l config.Limits, b config.Budget) proxy.Allowance {
	var own proxy.Allowance
	limits := &own.Limits
	if l.Mode == shadow {
		limits = &own.Shadow
	}
	*limits = quota.Limits{
		RequestsPerMinute: int64(l.RPM), TokensPerMinute: int64(l.TPM), Concurrency: int64(l.Concurrency),
		BurstRequests: int64(l.BurstRequests), BurstTokens: int64(l.BurstTokens),
	}
	limits = &own.Limits
	if b.Mode == shadow {
		limits = &own.Shadow
	}
	limits.Budget = budget(b)
	return own
}

// shadow is the mode of what decides and lets pass.
const shadow = "shadow"

func budget(b config.Budget) quota.Budget {
	if b.USD == 0 {
		return quota.Budget{}
	}
	out := quota.Budget{Amount: int64(dollars(b.USD))}
	if b.Period == "day" {
		out.Period = quota.Day
	}
	if zone, err := time.LoadLocation(b.Zone); err == nil { // config has looked already
		out.Zone = zone
	}
	return out
}

func dollars(usd float64) usage.USD { return usage.USD(math.Round(usd * float64(usage.Dollar))) }

// away returns what becomes of accounts while the store that counts them is away.
func away(name string) quota.Away {
	switch name {
	case "open":
		return quota.AwayOpen
	case "closed":
		return quota.AwayClosed
	default:
		return quota.AwayLocal
	}
}

// keys returns who calls with which key, and who calls without one where that is
// allowed.
func (b *builder) keys() (keys middleware.Keys, open *middleware.Caller) {
	keys = middleware.Keys{}
	for name, t := range b.teams() {
		for _, k := range t.Keys {
			keys[k.Hash()] = middleware.Caller{Team: name, Key: k.ID, Expires: k.Expires}
		}
		if len(t.Keys) == 0 {
			open = &middleware.Caller{Team: name}
		}
	}
	return keys, open
}

// today returns what tells who the sender of a request is, by the configuration of
// the moment that it is asked.
func (g *Gateway) today(r *http.Request) proxy.Today {
	by := middleware.CredentialsOf(r)
	return func() (now *proxy.Gateway, team, key string) {
		s := g.now.Load()
		caller, err := s.keys.Caller(by, s.open)
		if err != nil {
			return s.proxy, "", ""
		}
		return s.proxy, caller.Team, caller.Key
	}
}
