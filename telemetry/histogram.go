package telemetry

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"

	"weir/usage"
)

// histograms are all histograms there are. They are kept here and handed to the SDK
// when somebody reads: docs/decisions/0012 says why.
type histograms struct {
	mu  sync.Mutex
	all []*histogram
}

// histogram is one of them: its series, each of its own labels.
type histogram struct {
	name, unit, help string
	bounds           []float64

	mu    sync.Mutex
	of    map[attribute.Distinct]*distribution
	order []*distribution // as they were made
}

// add makes a histogram with buckets of these bounds.
func (h *histograms) add(name, unit, help string, bounds []float64) *histogram {
	one := &histogram{name: name, unit: unit, help: help, bounds: bounds, of: map[attribute.Distinct]*distribution{}}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, one)
	return one
}

// with returns the series of these labels. It is shown from its first value on.
func (h *histogram) with(labels ...attribute.KeyValue) *distribution {
	set := attribute.NewSet(labels...)
	h.mu.Lock()
	defer h.mu.Unlock()
	d, ok := h.of[set.Equivalent()]
	if !ok {
		d = &distribution{set: set, bounds: h.bounds, start: time.Now(), counts: make([]uint64, len(h.bounds)+1)}
		h.of[set.Equivalent()] = d
		h.order = append(h.order, d)
	}
	return d
}

// series returns those that there are.
func (h *histogram) series() []*distribution {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clip(h.order)
}

// distribution is one series of a histogram. It is safe for concurrent use.
type distribution struct {
	set    attribute.Set
	bounds []float64 // the upper ones of buckets, but for the last
	start  time.Time

	mu            sync.Mutex
	counts        []uint64
	sum, min, max float64
	total         uint64
	exemplars     []exemplar // the last of each bucket; nil: there is none at all
}

// exemplar is a value, and the request that it is of.
type exemplar struct {
	value float64
	of    *origin // nil: there is none
}

// origin is the request that values are of, where they may be exemplars.
type origin struct {
	at    time.Time
	trace trace.TraceID
	span  trace.SpanID
}

// record adds a value, of a request that may be pointed to where from is not nil.
func (d *distribution) record(value float64, from *origin) {
	i := d.bucket(value)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.widen(value, value)
	d.counts[i]++
	d.sum += value
	d.total++
	d.point(i, value, from)
}

// pauses adds those of a stream, whose counts are of the same bounds. The longest is
// what may be pointed to.
func (d *distribution) pauses(p *usage.Pauses, from *origin) {
	most := p.Most.Seconds()
	i := d.bucket(most)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.widen(p.Least.Seconds(), most)
	for i, n := range p.Counts {
		d.counts[i] += n
	}
	d.sum += p.Sum.Seconds()
	d.total += p.Total
	d.point(i, most, from)
}

// bucket returns which one a value falls into.
func (d *distribution) bucket(value float64) int {
	i := 0
	for i < len(d.bounds) && d.bounds[i] < value {
		i++
	}
	return i
}

// widen takes values in between which others are to be added. It is for who holds mu.
func (d *distribution) widen(least, most float64) {
	if d.total == 0 {
		d.min, d.max = least, most
	}
	d.min, d.max = min(d.min, least), max(d.max, most)
}

// point keeps the exemplar of a bucket, where there is one. It is for who holds mu.
func (d *distribution) point(bucket int, value float64, from *origin) {
	if from == nil {
		return
	}
	if d.exemplars == nil {
		d.exemplars = make([]exemplar, len(d.counts))
	}
	d.exemplars[bucket] = exemplar{value, from}
}

// read returns what was recorded until now. Exemplars are those since a time.
func (d *distribution) read(now, since time.Time) metricdata.HistogramDataPoint[float64] {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := metricdata.HistogramDataPoint[float64]{
		Attributes: d.set, StartTime: d.start, Time: now,
		Count: d.total, Sum: d.sum, Min: metricdata.NewExtrema(d.min), Max: metricdata.NewExtrema(d.max),
		Bounds: slices.Clone(d.bounds), BucketCounts: slices.Clone(d.counts),
	}
	for _, e := range d.exemplars {
		if e.of != nil && e.of.at.After(since) {
			to := metricdata.Exemplar[float64]{Time: e.of.at, Value: e.value}
			if e.of.trace.IsValid() {
				to.TraceID, to.SpanID = append(to.TraceID, e.of.trace[:]...), append(to.SpanID, e.of.span[:]...)
			}
			p.Exemplars = append(p.Exemplars, to)
		}
	}
	return p
}

// reading hands all histograms to one reader of the SDK.
type reading struct {
	of    *histograms
	delta bool // it wants what is new since it last read

	mu   sync.Mutex
	last time.Time                 // when it did
	read map[*distribution]already // what it then had
}

var _ sdk.Producer = (*reading)(nil)

// already is what was read of a series.
type already struct {
	counts []uint64
	total  uint64
	sum    float64
}

// Produce returns every series of which there is a value.
func (r *reading) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, temporality := time.Now(), metricdata.CumulativeTemporality
	if r.delta {
		temporality = metricdata.DeltaTemporality
	}
	out := metricdata.ScopeMetrics{Scope: instrumentation.Scope{Name: scope}}
	r.of.mu.Lock()
	all := slices.Clip(r.of.all)
	r.of.mu.Unlock()
	for _, h := range all {
		var points []metricdata.HistogramDataPoint[float64]
		for _, d := range h.series() {
			p := d.read(now, r.last)
			if r.delta {
				r.subtract(d, &p)
			}
			if p.Count > 0 {
				points = append(points, p)
			}
		}
		if len(points) > 0 {
			out.Metrics = append(out.Metrics, metricdata.Metrics{
				Name: h.name, Unit: h.unit, Description: h.help,
				Data: metricdata.Histogram[float64]{DataPoints: points, Temporality: temporality},
			})
		}
	}
	if r.delta {
		r.last = now
	}
	if len(out.Metrics) == 0 {
		return nil, nil
	}
	return []metricdata.ScopeMetrics{out}, nil
}

// subtract leaves of a point what is new. The least and the greatest value of that
// are not known.
func (r *reading) subtract(d *distribution, p *metricdata.HistogramDataPoint[float64]) {
	before, ok := r.read[d]
	r.read[d] = already{slices.Clone(p.BucketCounts), p.Count, p.Sum}
	if !ok {
		return
	}
	p.StartTime, p.Count, p.Sum = r.last, p.Count-before.total, p.Sum-before.sum
	p.Min, p.Max = metricdata.Extrema[float64]{}, metricdata.Extrema[float64]{}
	for i, n := range before.counts {
		p.BucketCounts[i] -= n
	}
}

// pointing says of which requests values may be exemplars: in the words of
// OTEL_METRICS_EXEMPLAR_FILTER, of those whose trace is sampled where it says nothing.
type pointing string

// origin returns what exemplars say of the request that ctx is of, nil where it is
// not to be pointed to.
func (p pointing) origin(ctx context.Context) *origin {
	if p == "always_off" {
		return nil
	}
	of := trace.SpanContextFromContext(ctx)
	if !of.IsSampled() && p != "always_on" {
		return nil
	}
	return &origin{time.Now(), of.TraceID(), of.SpanID()}
}
