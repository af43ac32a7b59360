package usage

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
)

// EstimateError returns how far our count of the prompt is above what upstream
// reported, as a share of the latter. It is not ok where there is nothing to
// compare: no answer, no report, or a request that was counted by us alone.
func (r *Record) EstimateError() (ratio float64, ok bool) {
	if r.Counted || r.Input <= 0 || r.EstimatedInput <= 0 {
		return 0, false
	}
	return float64(r.EstimatedInput-r.Input) / float64(r.Input), true
}

// Calibration says how well the prompts of a model are counted.
type Calibration struct {
	Model    string  `json:"model"`
	Requests int64   `json:"requests"`       // that could be compared
	Counted  int64   `json:"counted"`        // tokens, by us
	Reported int64   `json:"reported"`       // tokens, by upstream
	Mean     float64 `json:"mean_error"`     // of the requests' errors, each a share of what was reported
	Worst    float64 `json:"worst_error"`    // the one farthest from 0
	Exact    int64   `json:"exact_requests"` // that agreed to the token
}

// maxCalibrated is how many models a ledger tells apart.
const maxCalibrated = 256

// Ledger is what the records of all requests add up to. It is a Sink, and safe
// for concurrent use. The zero value is ready.
type Ledger struct {
	mu     sync.Mutex
	models map[string]*Calibration
}

var _ Sink = (*Ledger)(nil)

// Take books a request.
func (l *Ledger) Take(_ context.Context, r *Record) {
	e, ok := r.EstimateError()
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.model(r.Model)
	c.Mean = (c.Mean*float64(c.Requests) + e) / float64(c.Requests+1)
	c.Requests++
	c.Counted += r.EstimatedInput
	c.Reported += r.Input
	if math.Abs(e) > math.Abs(c.Worst) {
		c.Worst = e
	}
	if r.EstimatedInput == r.Input {
		c.Exact++
	}
}

// model returns the calibration of a model. The caller holds mu.
func (l *Ledger) model(name string) *Calibration {
	if l.models == nil {
		l.models = map[string]*Calibration{}
	}
	if l.models[name] == nil && len(l.models) >= maxCalibrated {
		name = "other"
	}
	if l.models[name] == nil {
		l.models[name] = &Calibration{Model: name}
	}
	return l.models[name]
}

// Calibrations returns how well each model's prompts are counted, by name.
func (l *Ledger) Calibrations() []Calibration {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Calibration, 0, len(l.models))
	for _, name := range slices.Sorted(maps.Keys(l.models)) {
		out = append(out, *l.models[name])
	}
	return out
}
