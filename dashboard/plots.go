package dashboard

import (
	"math"
	"time"
)

// Series are what the plots show: the last hour, in steps, as far as the gateway
// has run.
type Series struct {
	From int64 `json:"from"` // when the first step begins, in Unix seconds
	Step int64 `json:"step"` // in seconds

	Requests   map[string]points `json:"requests_per_second,omitempty"` // by what became of them
	Tokens     map[string]points `json:"tokens_per_minute,omitempty"`   // by team
	FirstToken map[string]points `json:"first_token_ms,omitempty"`      // by quantile
	Overhead   map[string]points `json:"overhead_ms,omitempty"`

	Attempts map[string]points `json:"attempts_per_minute,omitempty"` // of a deployment, by what became of them
	Latency  map[string]points `json:"latency_ms,omitempty"`
}

// plotted is how many teams have a line of their own.
const plotted = 6

// frame returns the series without lines: the steps that are over.
func frame(now time.Time, piece time.Duration, n int) *Series {
	seconds := int64(piece / time.Second)
	return &Series{From: (now.Unix()/seconds - int64(n) + 1) * seconds, Step: seconds}
}

// line returns a line of a plot: of each piece that is over what value makes of it.
// Where the gateway did not run yet there is none.
func line[T any](d *Dashboard, s *Series, w *window[T], now time.Time, value func(*T) float64) points {
	n := len(w.pieces)
	out := make(points, 0, n-1)
	began := now.Add(-now.Sub(d.cfg.Began)).Unix() // by the clock of now, which may have been put right since
	var none T
	w.last(now, n, func(p *T) {
		if p == nil {
			p = &none
		}
		if i := len(out); i < n-1 {
			x := math.NaN()
			if s.From+int64(i+1)*s.Step > began {
				x = value(p)
			}
			out = append(out, x)
		}
	})
	return out
}

// series returns what the plots of the overview show.
func (d *Dashboard) series(now time.Time) *Series {
	s := frame(now, step, steps)
	d.mu.Lock()
	defer d.mu.Unlock()
	w := &d.totals.steps
	s.Requests = map[string]points{}
	for k, name := range []string{"ok", "refused", "failed", "left"} {
		s.Requests[name] = line(d, s, w, now, func(t *total) float64 { return float64(t.requests[k]) / step.Seconds() })
	}
	s.FirstToken = map[string]points{
		"p50": line(d, s, w, now, func(t *total) float64 { return orNone(t.first.at(0.5, shortestWait)) }),
		"p95": line(d, s, w, now, func(t *total) float64 { return orNone(t.first.at(0.95, shortestWait)) }),
	}
	s.Overhead = map[string]points{
		"p50": line(d, s, w, now, func(t *total) float64 { return orNone(t.overhead.at(0.5, shortestOverhead)) }),
		"p99": line(d, s, w, now, func(t *total) float64 { return orNone(t.overhead.at(0.99, shortestOverhead)) }),
	}
	s.Tokens = map[string]points{}
	for _, name := range d.busiest(now, plotted) {
		s.Tokens[name] = line(d, s, &d.teams[name].steps, now, (*sums).tokensPerMinute)
	}
	return s
}

func (s *sums) tokensPerMinute() float64 { return float64(s.input+s.output) * 60 / step.Seconds() }

func orNone(x *float64) float64 {
	if x == nil {
		return math.NaN()
	}
	return *x
}

// plotTeam returns what the plots of a team show.
func (d *Dashboard) plotTeam(name string, now time.Time) *Series {
	s := frame(now, step, steps)
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.teams[name]
	if t == nil {
		t = newTeamSeries()
	}
	s.Tokens = map[string]points{"tokens": line(d, s, &t.steps, now, (*sums).tokensPerMinute)}
	s.Requests = map[string]points{}
	for k, name := range []string{"ok", "refused", "failed", "left"} {
		s.Requests[name] = line(d, s, &t.steps, now, func(x *sums) float64 { return float64(x.requests[k]) / step.Seconds() })
	}
	return s
}

// plotPlace returns what the plots of a deployment show: its attempts in steps, and
// its latency in minutes.
func (d *Dashboard) plotPlace(name string, now time.Time) (attempts, latency *Series) {
	attempts, latency = frame(now, step, steps), frame(now, minute, minutes)
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.places[name]
	if p == nil {
		p = newPlaceSeries()
	}
	const perMinute = float64(time.Minute / step)
	attempts.Attempts = map[string]points{
		"answered": line(d, attempts, &p.steps, now, func(t *tries) float64 { return perMinute * float64(t.attempts-t.throttled-t.failed) }),
		"429":      line(d, attempts, &p.steps, now, func(t *tries) float64 { return perMinute * float64(t.throttled) }),
		"failed":   line(d, attempts, &p.steps, now, func(t *tries) float64 { return perMinute * float64(t.failed) }),
	}
	latency.Latency = map[string]points{
		"p50": line(d, latency, &p.waits, now, func(h *histogram) float64 { return orNone(h.at(0.5, shortestWait)) }),
		"p95": line(d, latency, &p.waits, now, func(h *histogram) float64 { return orNone(h.at(0.95, shortestWait)) }),
	}
	return attempts, latency
}
