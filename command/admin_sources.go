package command

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"weir/config"
	"weir/dashboard"
	"weir/policy"
	"weir/proxy"
	"weir/quota"
	"weir/upstream"
	"weir/usage"
)

// newBoard returns the dashboard of a gateway that is about to begin.
func (g *Gateway) newBoard() *dashboard.Dashboard {
	return dashboard.New(dashboard.Config{
		Version: version(), Began: time.Now(),
		State: g.gate.state, Live: g.live,
		Teams:       func(ctx context.Context) []dashboard.Team { return g.teamsShown(ctx) },
		Deployments: g.deploymentsShown,
		SpentToday: func(ctx context.Context) usage.USD {
			today := time.Now().UTC().Truncate(24 * time.Hour)
			return g.spent.get("today", func() (usage.USD, error) { return g.spentSince(ctx, today) })
		},
		Settings: g.settingsShown,
		API:      http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.API.ServeHTTP(w, r) }),
		Demo:     g.parts.Demo, Refuse: refuseBoard,
		Admits: func(r *http.Request) bool { return g.now.Load().file.Admin.Dashboard && g.admit(r) == nil },
	})
}

// live returns what is under way.
func (g *Gateway) live() (all dashboard.Live) {
	for _, l := range g.state.metrics.Live() {
		all.Requests += int(l.Requests)
		all.Streams += int(l.Streams)
	}
	return all
}

// teamsShown returns the teams and where their limits stand.
func (g *Gateway) teamsShown(ctx context.Context) []dashboard.Team {
	now := g.now.Load()
	all := make([]dashboard.Team, 0, len(now.teams))
	for _, name := range slices.Sorted(maps.Keys(now.teams)) {
		team := now.teams[name]
		all = append(all, dashboard.Team{Name: name, Owner: team.Owner, Limits: g.limitsShown(ctx, team.Accounts())})
	}
	return all
}

// limitsShown returns where the limits of some accounts stand.
func (g *Gateway) limitsShown(ctx context.Context, accounts []quota.Account) []dashboard.Limit {
	out := []dashboard.Limit{}
	viewer, ok := g.state.limiter.Limiter.(quota.Viewer)
	if !ok {
		return out
	}
	for i, s := range viewer.Levels(accounts) {
		a := accounts[i]
		_, key := proxy.Holder(a.ID)
		add := func(name string, most, burst int64, l quota.Level) {
			if most > 0 {
				out = append(out, dashboard.Limit{
					Name: name, Key: key, Shadow: proxy.Rehearsed(a.ID), Most: float64(most), Burst: float64(cmp.Or(burst, most)),
					Left: float64(l.Remaining), Reset: l.Reset.Seconds(),
				})
			}
		}
		add("rpm", a.Limits.RequestsPerMinute, a.Limits.BurstRequests, s.Requests)
		add("tpm", a.Limits.TokensPerMinute, a.Limits.BurstTokens, s.Tokens)
		add("concurrency", a.Limits.Concurrency, 0, s.Slots)
		if b := a.Limits.Budget; b.Amount > 0 {
			out = append(out, g.budgetShown(ctx, a, s.Budget))
		}
	}
	return out
}

// budgetShown returns where a budget stands: as the limits say, or else the ledger.
func (g *Gateway) budgetShown(ctx context.Context, a quota.Account, l quota.Level) dashboard.Limit {
	b := a.Limits.Budget
	from, until := b.Window(time.Now())
	team, key := proxy.Holder(a.ID)
	left := usage.USD(l.Remaining)
	if l.Limit == 0 {
		left = usage.USD(b.Amount) - g.spent.get(a.ID+from.String(), func() (usage.USD, error) { return g.state.ledger.Spent(ctx, team, key, from) })
	}
	out := dashboard.Limit{
		Name: "budget", Key: key, Shadow: proxy.Rehearsed(a.ID), Period: "month",
		Most: usage.USD(b.Amount).Dollars(), Burst: usage.USD(b.Amount).Dollars(), Left: max(0, left.Dollars()), Reset: time.Until(until).Seconds(),
	}
	if b.Period == quota.Day {
		out.Period = "day"
	}
	return out
}

// deploymentsShown returns what the deployments are doing.
func (g *Gateway) deploymentsShown() []dashboard.Deployment {
	now := g.now.Load()
	models, regions := map[string][]string{}, map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(now.file.Models)) {
		for _, d := range now.file.Models[name].Deployments {
			id := d.Backend + "/" + d.Deployment
			models[id] = append(models[id], name)
			regions[id] = now.file.Backends[d.Backend].Region
		}
	}
	states := now.pool.States()
	all := make([]dashboard.Deployment, 0, len(states))
	for _, s := range states {
		all = append(all, shownDeployment(s, models[s.Deployment], regions[s.Deployment]))
	}
	return all
}

func shownDeployment(s upstream.State, models []string, region string) dashboard.Deployment {
	d := dashboard.Deployment{
		Name: s.Deployment, Models: models, Region: region, State: s.Doing(), Rest: s.Rest, Why: s.Why,
		InFlight: s.InFlight, Served: s.Model, Learned: s.Learned, Azure: roomLeft(s.Told), Twin: roomLeft(s.Twin),
	}
	if s.Breaker == "open" {
		d.Probe = s.Probe
	}
	return d
}

// roomLeft returns what is left of a deployment's quota, as far as it is known.
func roomLeft(r policy.Room) dashboard.Left {
	l := dashboard.Left{Tokens: -1, Requests: -1}
	if r.Tokens.Known {
		l.Tokens = int64(r.Tokens.Left)
	}
	if r.Requests.Known {
		l.Requests = int64(r.Requests.Left)
	}
	return l
}

// settingsShown returns the configuration that is served by, without its secrets.
func (g *Gateway) settingsShown() dashboard.Settings {
	now := g.now.Load()
	out := dashboard.Settings{Text: now.text(), Source: "the environment", OK: true}
	if g.parts.Demo != nil {
		out.Source = "weir demo"
	}
	r := g.reloader.Load()
	if r == nil {
		return out
	}
	if r.path != "" {
		out.Source = r.path
	}
	s := r.last()
	out.Hash, out.At, out.OK, out.Error, out.Problems, out.Restart = r.hash(), s.At, s.OK, s.Error, s.Problems, s.Restart
	return out
}

// text returns the configuration as YAML, written once.
func (s *serving) text() string {
	s.written.Do(func() { s.yaml = config.Shown(s.file) })
	return s.yaml
}

// spentSince returns what all requests since a time have cost, as far as they are
// written.
func (g *Gateway) spentSince(ctx context.Context, from time.Time) (usage.USD, error) {
	sums, err := g.state.ledger.Usage(ctx, usage.Query{Since: from})
	if err != nil || len(sums) == 0 {
		return 0, err
	}
	return sums[0].Cost + sums[0].Held, nil
}

// purses remember for a while what the ledger was asked.
type purses struct {
	mu sync.Mutex
	of map[string]remembered
}

type remembered struct {
	at     time.Time
	amount usage.USD
}

func newPurses() *purses { return &purses{of: map[string]remembered{}} }

// get returns what ask answered in the last few seconds. Where it fails, what it
// answered last holds.
func (p *purses) get(name string, ask func() (usage.USD, error)) usage.USD {
	p.mu.Lock()
	defer p.mu.Unlock()
	is, ok := p.of[name]
	if ok && time.Since(is.at) < glance {
		return is.amount
	}
	if amount, err := ask(); err == nil {
		is.amount = amount
	}
	is.at = time.Now()
	if len(p.of) > mostPurses {
		clear(p.of)
	}
	p.of[name] = is
	return is.amount
}

// mostPurses is how many amounts are remembered.
const mostPurses = 10_000
