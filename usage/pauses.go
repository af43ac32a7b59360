package usage

import (
	"math/bits"
	"time"
)

// Pauses are how long it was from one chunk of a stream's content to the next, as
// they arrived. The zero value is that there was none. It allocates nothing, and is
// for one goroutine at a time.
type Pauses struct {
	// Counts says how many there were of each length: at most 10 ms, and above that
	// each time up to twice as long, until 81.92 s; the last are longer than that.
	Counts [15]uint64
	Total  uint64 // of them

	Sum, Least, Most time.Duration
}

// Add notes n pauses of the same length.
func (p *Pauses) Add(length time.Duration, n uint64) {
	const shortest = 10 * time.Millisecond
	if n == 0 {
		return
	}
	if p.Total == 0 || length < p.Least {
		p.Least = length
	}
	p.Most = max(p.Most, length)
	p.Sum += length * time.Duration(n) //nolint:gosec // no stream has so many
	p.Total += n
	at := bits.Len64(uint64(max(0, length-1) / shortest))
	p.Counts[min(at, len(p.Counts)-1)] += n
}
