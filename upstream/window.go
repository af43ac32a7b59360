package upstream

import (
	"sync"
	"time"
)

// window counts the calls that ended in the last so long.
type window struct {
	length time.Duration

	mu    sync.Mutex
	slots [slots]slot
	inRow int
}

// slots is how many parts a window is counted in.
const slots = 12

type slot struct {
	number    int64 // which stretch of time it counts
	good, bad int
}

func (w *window) add(now time.Time, v verdict) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.number(now)
	s := &w.slots[n%slots]
	if s.number != n {
		*s = slot{number: n}
	}
	switch v {
	case bad:
		s.bad++
		w.inRow++
	case good:
		s.good++
		w.inRow = 0
	case neutral, begun:
	}
}

func (w *window) number(now time.Time) int64 { return now.UnixNano() / w.width() }

// width is how long a slot counts, in nanoseconds.
func (w *window) width() int64 { return max(1, int64(w.length)/slots) }

// resize makes the window so long. What it holds is kept as far as it reaches.
func (w *window) resize(length time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if length == w.length {
		return
	}
	before, width := w.slots, w.width()
	w.length, w.slots = length, [slots]slot{}
	for _, s := range before {
		s.number = s.number * width / w.width()
		switch at := &w.slots[s.number%slots]; {
		case at.number == s.number:
			at.good, at.bad = at.good+s.good, at.bad+s.bad
		case at.number < s.number:
			*at = s
		}
	}
}

// trips reports whether what the window holds opens a breaker.
func (w *window) trips(cfg Breaker) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if cfg.Consecutive > 0 && w.inRow >= cfg.Consecutive {
		return true
	}
	oldest := w.number(time.Now()) - slots
	var total, failed int
	for _, s := range w.slots {
		if s.number > oldest {
			total += s.good + s.bad
			failed += s.bad
		}
	}
	return cfg.MinRequests > 0 && total >= cfg.MinRequests && float64(failed) >= cfg.Ratio*float64(total)
}

func (w *window) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slots, w.inRow = [slots]slot{}, 0
}
