package telemetry

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// mostSeries is how many series of one metric are made as they are asked for.
// Beyond it they fall together, so that nothing that clients send is without end.
const mostSeries = 10_000

// other stands for every name that has no series of its own.
const other = "other"

// cache makes a value for each key once. It is safe for concurrent use.
type cache[K comparable, V any] struct {
	build func(K) V
	fold  func(K) K // what a key counts as where there are too many; nil: there never are

	mu sync.RWMutex
	of map[K]V
}

func newCache[K comparable, V any](build func(K) V, fold func(K) K) *cache[K, V] {
	return &cache[K, V]{build: build, fold: fold, of: map[K]V{}}
}

// at returns the value of a key.
func (c *cache[K, V]) at(k K) V {
	c.mu.RLock()
	v, ok := c.of[k]
	c.mu.RUnlock()
	if ok {
		return v
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok = c.of[k]; ok {
		return v
	}
	if len(c.of) >= mostSeries && c.fold != nil {
		k = c.fold(k)
		if v, ok = c.of[k]; ok {
			return v
		}
	}
	v = c.build(k)
	c.of[k] = v
	return v
}

// each visits every value.
func (c *cache[K, V]) each(visit func(K, V)) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for k, v := range c.of {
		visit(k, v)
	}
}

// count is one series of a counter. It is added to without a lock, and read when
// somebody asks.
type count struct {
	atomic.Int64
	set metric.MeasurementOption
}

// counters are the series of a counter, by the values of its labels.
type counters[K comparable] struct{ *cache[K, *count] }

// described is how a counter is read.
type described struct {
	name, help string
	unit       float64 // what one is, of what is shown; 0 is 1
}

// newCounters returns a counter whose series have labels, and fall together as fold
// says where there are too many.
func newCounters[K comparable](m *maker, d described, labels func(K) []attribute.KeyValue, fold func(K) K) counters[K] {
	unit := cmp.Or(d.unit, 1)
	c := counters[K]{newCache(func(k K) *count {
		return &count{set: metric.WithAttributeSet(attribute.NewSet(labels(k)...))}
	}, fold)}
	m.note(m.meter.Float64ObservableCounter(d.name, metric.WithDescription(d.help),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			c.each(func(_ K, n *count) { o.Observe(float64(n.Load())*unit, n.set) })
			return nil
		})))
	return c
}

// maker makes instruments and keeps the first error.
type maker struct {
	meter      metric.Meter
	histograms *histograms
	err        error
}

func (m *maker) note(_ any, err error) {
	if m.err == nil {
		m.err = err
	}
}

// gauge makes a gauge that is observed.
func (m *maker) gauge(name, help string, observe func(metric.Float64Observer)) {
	m.note(m.meter.Float64ObservableGauge(name, metric.WithDescription(help),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			observe(o)
			return nil
		})))
}

// names bounds what a label may hold: the names that are known, and, where clients
// name things themselves, the first few that they do.
type names struct {
	known map[string]bool
	open  bool

	mu   sync.Mutex
	seen map[string]bool
}

// maxNames is how many names have series of their own where clients give them.
const maxNames = 256

// fold returns the name, or other.
func (n *names) fold(name string) string {
	if name == "" || n.known[name] {
		return name
	}
	if !n.open {
		return other
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.seen[name] {
		if len(n.seen) >= maxNames {
			return other
		}
		n.seen[name] = true
	}
	return name
}

// named returns names, all that are known and, where open, others too, as before
// knew them.
func named[V any](known map[string]V, open bool, before *names) *names {
	n := &names{known: make(map[string]bool, len(known)), open: open, seen: map[string]bool{}}
	for name := range known {
		n.known[name] = true
	}
	if before != nil {
		before.mu.Lock()
		defer before.mu.Unlock()
		for name := range before.seen {
			n.seen[name] = true
		}
	}
	return n
}
