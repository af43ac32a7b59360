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

// maxCalibrated is how many models are told apart.
const maxCalibrated = 256

// Calibrations says how well the prompts of each model are counted, over the
// requests since the process began. It is a Sink, and safe for concurrent use.
// The zero value is ready.
type Calibrations struct {
	mu     sync.Mutex
	models map[string]*Calibration
}

var _ Sink = (*Calibrations)(nil)

// Take books a request.
func (c *Calibrations) Take(_ context.Context, r *Record) {
	e, ok := r.EstimateError()
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.model(r.Model)
	m.Mean = (m.Mean*float64(m.Requests) + e) / float64(m.Requests+1)
	m.Requests++
	m.Counted += r.EstimatedInput
	m.Reported += r.Input
	if math.Abs(e) > math.Abs(m.Worst) {
		m.Worst = e
	}
	if r.EstimatedInput == r.Input {
		m.Exact++
	}
}

// model returns the calibration of a model. The caller holds mu.
func (c *Calibrations) model(name string) *Calibration {
	if c.models == nil {
		c.models = map[string]*Calibration{}
	}
	if c.models[name] == nil && len(c.models) >= maxCalibrated {
		name = other
	}
	if c.models[name] == nil {
		c.models[name] = &Calibration{Model: name}
	}
	return c.models[name]
}

// All returns the calibration of each model, by name.
func (c *Calibrations) All() []Calibration {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]Calibration, 0, len(c.models))
	for _, name := range slices.Sorted(maps.Keys(c.models)) {
		out = append(out, *c.models[name])
	}
	return out
}
