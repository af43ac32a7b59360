package dashboard

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"
)

// TeamRow is a team in the overview.
type TeamRow struct {
	Team
	Requests   float64           `json:"requests_per_minute"`
	Tokens     float64           `json:"tokens_per_minute"`
	Refused    uint32            `json:"refused_1h"`
	Reasons    map[string]uint32 `json:"refused_by_1h,omitempty"`
	Failed     uint32            `json:"failed_1h"`
	Served     uint32            `json:"requests_1h"`
	Cost       float64           `json:"cost_1h_usd"`
	FirstToken *float64          `json:"first_token_p95_ms"`
}

// PlaceRow is a deployment in the overview.
type PlaceRow struct {
	Name      string   `json:"deployment"`
	Models    []string `json:"models"`
	Region    string   `json:"region,omitempty"`
	State     string   `json:"state"` // closed, resting, open or half_open
	Rest      float64  `json:"rest_seconds"`
	Probe     float64  `json:"probe_seconds"`
	Why       string   `json:"why,omitempty"`
	InFlight  int      `json:"in_flight"`
	Attempts  uint32   `json:"attempts_per_minute"`
	Throttled uint32   `json:"throttled_per_minute"`
	Failed    uint32   `json:"failed_per_minute"`
	P50       *float64 `json:"latency_p50_ms"` // of the last five minutes
	P95       *float64 `json:"latency_p95_ms"`
	Azure     *Left    `json:"azure_left"` // nil: it has not said
	Twin      *Left    `json:"twin_left"`
	Served    string   `json:"served_model,omitempty"`
	Learned   []string `json:"learned,omitempty"`
}

// teamRows returns the configured teams, and those that have called besides.
func (d *Dashboard) teamRows(ctx context.Context, now time.Time) []TeamRow {
	rows := []TeamRow{}
	if d.cfg.Teams != nil {
		for _, t := range d.cfg.Teams(ctx) {
			rows = append(rows, TeamRow{Team: t})
		}
	}
	for i := range rows {
		d.fill(&rows[i], now)
	}
	return rows
}

// fill puts into a row what its team has done.
func (d *Dashboard) fill(row *TeamRow, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.teams[row.Name]
	if t == nil {
		return
	}
	var hour, last sums
	plus := func(into *sums) func(*sums) {
		return func(s *sums) {
			if s != nil {
				into.plus(s)
			}
		}
	}
	t.steps.last(now, steps, plus(&hour))
	t.steps.last(now, aMinute+1, plus(&last))
	// Of a minute that has not been yet nothing is guessed: limits are held to these.
	row.Requests = perMinute(float64(last.count()), now, time.Time{}, aMinute+1)
	row.Tokens = perMinute(float64(last.input+last.output), now, time.Time{}, aMinute+1)
	row.Refused, row.Reasons = hour.requests[turnedAway], hour.reasons()
	row.Failed, row.Served, row.Cost = hour.requests[broken], hour.count(), hour.cost.Dollars()
	var first histogram
	t.first.last(now, coarses, func(h *histogram) {
		if h != nil {
			first.add(h)
		}
	})
	row.FirstToken = first.at(0.95, shortestWait)
}

func (s *sums) count() (n uint32) {
	for _, k := range s.requests {
		n += k
	}
	return n
}

// reasons returns how often there was each reason for a refusal.
func (s *sums) reasons() map[string]uint32 {
	all := map[string]uint32{}
	for i, name := range reasonNames() {
		if s.refused[i] > 0 {
			all[name] = s.refused[i]
		}
	}
	return all
}

// placeRows returns the deployments.
func (d *Dashboard) placeRows(now time.Time) []PlaceRow {
	rows := []PlaceRow{}
	if d.cfg.Deployments == nil {
		return rows
	}
	for _, is := range d.cfg.Deployments() {
		row := PlaceRow{
			Name: is.Name, Models: is.Models, Region: is.Region, State: is.State, Why: is.Why, InFlight: is.InFlight,
			Rest: rounded(is.Rest.Seconds()), Probe: rounded(is.Probe.Seconds()),
			Azure: known(is.Azure), Twin: known(is.Twin), Served: is.Served, Learned: is.Learned,
		}
		d.mu.Lock()
		if p := d.places[is.Name]; p != nil {
			last := p.recent(now, aMinute+1)
			row.Attempts, row.Throttled, row.Failed = last.attempts, last.throttled, last.failed
			row.P50, row.P95 = p.latency(now, 5, 0.5), p.latency(now, 5, 0.95)
		}
		d.mu.Unlock()
		rows = append(rows, row)
	}
	return rows
}

// known returns what is left, nil where nobody knows.
func known(l Left) *Left {
	if l.Tokens < 0 && l.Requests < 0 {
		return nil
	}
	return &l
}

// busiest returns the teams that used most tokens in the last hour, at most n, and
// none that used none. The caller holds mu.
func (d *Dashboard) busiest(now time.Time, n int) []string {
	used := map[string]uint64{}
	for name, t := range d.teams {
		t.steps.last(now, steps, func(s *sums) {
			if s != nil && s.input+s.output > 0 {
				used[name] += s.input + s.output
			}
		})
	}
	names := slices.SortedFunc(maps.Keys(used), func(a, b string) int { return cmp.Or(cmp.Compare(used[b], used[a]), cmp.Compare(a, b)) })
	return names[:min(n, len(names))]
}
