package command

import (
	"cmp"
	"net/url"
	"strconv"

	"weir/config"
	"weir/openai"
	"weir/policy"
	"weir/proxy"
	"weir/quota"
	"weir/telemetry"
	"weir/usage"
)

// metricsConfig returns what the metrics of a gateway work with.
func metricsConfig(f *config.File, p Parts) telemetry.MetricsConfig {
	m, b := f.Telemetry.Metrics, built()
	return telemetry.MetricsConfig{
		GenAI: m.GenAI, Team: m.TeamLabel, Key: m.KeyLabel,
		Codes:   openai.Codes(),
		Exclude: []string{"/livez", "/readyz", "/healthz"},
		Build:   telemetry.Build{Version: b.Version, Commit: b.Commit, GoVersion: b.Go},
		Getenv:  p.Getenv, Log: p.Log, Reader: p.Metrics,
	}
}

// measure lets the gauges show what s does.
func (g *Gateway) measure(s *serving) {
	known := telemetry.Known{
		Models: map[string]bool{}, Deployments: map[string]telemetry.Backend{}, Teams: map[string]bool{},
		Open: s.file.PassThrough != "",
	}
	for name, m := range s.file.Models {
		known.Models[name] = true
		for _, d := range m.Deployments {
			known.Deployments[d.Backend+"/"+d.Deployment] = place(s.file.Backends[d.Backend])
		}
	}
	if known.Open {
		known.Default = place(s.file.Backends[s.file.PassThrough])
	}
	for name := range s.teams {
		known.Teams[name] = true
	}
	g.state.metrics.Know(known)
	g.state.metrics.Watch(telemetry.Sources{
		Deployments: func() []telemetry.Deployment {
			var all []telemetry.Deployment
			for _, d := range g.Pool().States() {
				all = append(all, telemetry.Deployment{Name: d.Deployment, State: d.Doing(), Tokens: left(d.Told.Tokens), Requests: left(d.Told.Requests)})
			}
			return all
		},
		Models: func() map[string]bool { return g.Pool().Available() },
		Limits: g.levels,
	})
}

// place returns where a backend is, as metrics tell it.
func place(b config.Backend) telemetry.Backend {
	out := telemetry.Backend{Provider: telemetry.AzureOpenAI}
	if b.Kind == "openai" {
		out.Provider = "openai"
	}
	u, err := url.Parse(b.Endpoint)
	if err != nil {
		return out
	}
	out.Address, out.Port = u.Hostname(), 443
	if u.Scheme == "http" {
		out.Port = 80
	}
	if port, err := strconv.Atoi(u.Port()); err == nil {
		out.Port = port
	}
	return out
}

// left returns what is left of an allowance, where that is known.
func left(s policy.Share) usage.Number { return usage.Number{Value: s.Left, Set: s.Known} }

// levels returns how much of each limit is used that holds.
func (g *Gateway) levels() []telemetry.Level {
	viewer, ok := g.state.limiter.Limiter.(quota.Viewer)
	if !ok {
		return nil
	}
	var accounts []quota.Account
	for _, team := range g.now.Load().teams {
		for _, a := range team.Accounts() {
			if !proxy.Rehearsed(a.ID) {
				accounts = append(accounts, a)
			}
		}
	}
	var all []telemetry.Level
	for i, s := range viewer.Levels(accounts) {
		a := accounts[i].Limits
		team, key := proxy.Holder(accounts[i].ID)
		add := func(limit usage.Limit, most int64, l quota.Level) {
			if l.Limit > 0 {
				all = append(all, telemetry.Level{Team: team, Key: key, Limit: limit, Used: min(1, max(0, 1-float64(l.Remaining)/float64(most)))})
			}
		}
		add(usage.RequestLimit, cmp.Or(a.BurstRequests, a.RequestsPerMinute), s.Requests)
		add(usage.TokenLimit, cmp.Or(a.BurstTokens, a.TokensPerMinute), s.Tokens)
		add(usage.ConcurrencyLimit, a.Concurrency, s.Slots)
		add(usage.BudgetLimit, a.Budget.Amount, s.Budget)
	}
	return all
}
