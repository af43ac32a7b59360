package redisquota

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// health is a small breaker around Redis: three errors in a second, and nobody
// asks it until a probe has come back.
type health struct {
	down   atomic.Bool
	errors atomic.Int64
	paid   atomic.Int64 // reservations that waited in vain

	mu    sync.Mutex
	heard bool        // the latest round trip came back
	fails []time.Time // of the last second
	since time.Time   // when Redis went away
	trips [128]time.Duration
	count int // of trips, ever
}

// away reports whether Redis is not to be asked.
func (h *health) away() bool { return h.down.Load() }

// well notes a round trip.
func (h *health) well(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = true
	h.trips[h.count%len(h.trips)] = d
	h.count++
}

// fail notes an error and reports whether it is the one too many.
func (h *health) fail(now time.Time) bool {
	h.errors.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = false
	h.fails = slices.DeleteFunc(append(h.fails, now), func(t time.Time) bool { return now.Sub(t) >= time.Second })
	if len(h.fails) < 3 || h.down.Load() {
		return false
	}
	h.since = now
	h.down.Store(true)
	return true
}

// doubtful reports whether Redis may be away and nobody knows it yet: the latest
// round trip failed, or there was none.
func (h *health) doubtful() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.heard
}

// back ends the absence and returns how long it was.
func (h *health) back(now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fails = nil
	h.down.Store(false)
	return now.Sub(h.since)
}

// median returns the middle one of the latest round trips.
func (h *health) median() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := min(h.count, len(h.trips))
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(h.trips[:n]))
	return sorted[n/2]
}

// fail notes an error of Redis, and says so where it is now away.
func (l *Limiter) fail(now time.Time, err error) {
	if l.health.fail(now) {
		l.log.Warn("Redis is away: the limits hold for each process by itself", "error", err.Error())
	}
}
