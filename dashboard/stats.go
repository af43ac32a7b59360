package dashboard

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Stats are the overview.
type Stats struct {
	Object  string    `json:"object"` // weir.stats
	Now     time.Time `json:"now"`
	Version string    `json:"version"`
	Began   time.Time `json:"began,omitzero"`
	State   string    `json:"state"`
	Config  Serving   `json:"config"`
	Rates   Rates     `json:"rates"`

	Teams       []TeamRow  `json:"teams"`
	Deployments []PlaceRow `json:"deployments"`
	Series      *Series    `json:"series,omitempty"`
}

// Serving is which configuration is served by.
type Serving struct {
	Hash string    `json:"hash,omitempty"`
	At   time.Time `json:"at,omitzero"`
	OK   bool      `json:"ok"`
}

// Rates are the numbers of now. One that is nil is not known.
type Rates struct {
	Requests   float64  `json:"requests_per_second"`
	Tokens     float64  `json:"tokens_per_minute"`
	Errors     *float64 `json:"error_ratio"`        // of the last five minutes
	Refused    *float64 `json:"refused_ratio"`      // of the last five minutes
	FirstToken *float64 `json:"first_token_p95_ms"` // of the last five minutes
	Overhead   *float64 `json:"overhead_p50_ms"`    // of the last five minutes
	Spent      float64  `json:"spent_today_usd"`
	Live
}

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

const (
	lately   = int(5 * time.Minute / step)
	aMinute  = int(time.Minute / step)
	patience = 3 * time.Second // for what is asked of limits and the ledger
)

// shown is the overview of this second, made once for all who look.
type shown struct {
	mu    sync.Mutex
	at    time.Time
	stats Stats
	bytes []byte // without the series

	step   int64 // that series are of
	series []byte
}

// plots returns the JSON of the series, made once for each step.
func (d *Dashboard) plots(now time.Time) []byte {
	d.shown.mu.Lock()
	defer d.shown.mu.Unlock()
	if at := now.Unix() / int64(step/time.Second); d.shown.series == nil || at != d.shown.step {
		b, err := json.Marshal(d.series(now))
		if err != nil {
			b = []byte(`{}`) // no field of it can fail
		}
		d.shown.step, d.shown.series = at, b
	}
	return d.shown.series
}

// stats returns the overview of this second, and its JSON. Neither may be changed.
func (d *Dashboard) stats(ctx context.Context, now time.Time) (Stats, []byte) {
	d.shown.mu.Lock()
	defer d.shown.mu.Unlock()
	const fresh = 900 * time.Millisecond
	if age := now.Sub(d.shown.at); d.shown.bytes != nil && age >= 0 && age < fresh {
		return d.shown.stats, d.shown.bytes
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	s := d.overview(ctx, now)
	b, err := json.Marshal(s)
	if err != nil {
		b = []byte(`{}`) // no field of it can fail
	}
	d.shown.at, d.shown.stats, d.shown.bytes = now, s, b
	return s, b
}

func (d *Dashboard) overview(ctx context.Context, now time.Time) Stats {
	s := Stats{Object: "weir.stats", Now: now.UTC().Truncate(time.Millisecond), Version: d.cfg.Version, Began: d.cfg.Began, State: "ok"}
	if d.cfg.State != nil {
		s.State = d.cfg.State()
	}
	if d.cfg.Settings != nil {
		is := d.cfg.Settings()
		s.Config = Serving{is.Hash, is.At, is.OK}
	}
	s.Rates = d.rates(now)
	if d.cfg.Live != nil {
		s.Rates.Live = d.cfg.Live()
	}
	if d.cfg.SpentToday != nil {
		s.Rates.Spent = d.cfg.SpentToday(ctx).Dollars()
	}
	s.Teams, s.Deployments = d.teamRows(ctx, now), d.placeRows(now)
	return s
}

// rates returns the numbers of now.
func (d *Dashboard) rates(now time.Time) Rates {
	d.mu.Lock()
	defer d.mu.Unlock()
	var soon, all total
	d.totals.steps.last(now, 3, soon.plus)
	d.totals.steps.last(now, lately, all.plus)
	r := Rates{
		Requests:   perSecond(float64(soon.count()), now, d.cfg.Began, 3),
		Tokens:     perMinute(float64(soon.tokens), now, d.cfg.Began, 3),
		FirstToken: all.first.at(0.95, shortestWait), Overhead: all.overhead.at(0.5, shortestOverhead),
	}
	if n := float64(all.count()); n > 0 {
		errs, no := rounded(float64(all.requests[broken])/n), rounded(float64(all.requests[turnedAway])/n)
		r.Errors, r.Refused = &errs, &no
	}
	return r
}

func (t *total) plus(o *total) {
	if o == nil {
		return
	}
	for i := range t.requests {
		t.requests[i] += o.requests[i]
	}
	t.tokens += o.tokens
	t.first.add(&o.first)
	t.overhead.add(&o.overhead)
}

func (t *total) count() (n uint32) {
	for _, k := range t.requests {
		n += k
	}
	return n
}

// perSecond returns what the last n steps come to a second, the present one of
// which has only begun.
func perSecond(sum float64, now, began time.Time, n int) float64 {
	lasted := time.Duration(n-1)*step + time.Duration(now.UnixNano())%step
	if !began.IsZero() {
		lasted = min(lasted, now.Sub(began))
	}
	return rounded(sum / max(1, lasted.Seconds()))
}

func perMinute(sum float64, now, began time.Time, n int) float64 {
	return rounded(60 * perSecond(sum, now, began, n))
}

// rounded returns x to four digits.
func rounded(x float64) float64 {
	y, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 4, 64), 64)
	if err != nil {
		return x
	}
	return y
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
			Name: is.Name, Models: is.Models, Region: is.Region, State: is.state(), Why: is.Why, InFlight: is.InFlight,
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

// points are the values of a plot. NaN is none.
type points []float64

// MarshalJSON implements json.Marshaler.
func (p points) MarshalJSON() ([]byte, error) {
	out := make([]byte, 0, 2+6*len(p))
	out = append(out, '[')
	for i, x := range p {
		if i > 0 {
			out = append(out, ',')
		}
		if math.IsNaN(x) || math.IsInf(x, 0) {
			out = append(out, "null"...)
			continue
		}
		out = strconv.AppendFloat(out, rounded(x), 'f', -1, 64)
	}
	return append(out, ']'), nil
}

var _ json.Marshaler = points(nil)
