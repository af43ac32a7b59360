package dashboard

import (
	"context"
	"encoding/json"
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
