package redisquota

import (
	"context"
	"time"

	"weir/quota"
)

// Slice is what a process leases ahead for teams that are hot.
type Slice struct {
	Rate  int           // reservations a second from which a team is hot; 0: 200; below: never
	Part  float64       // the part of each burst that a process takes at a time; 0: 0.05
	Lasts time.Duration // how long it may spend that; 0: 200 ms
}

func (s Slice) withDefaults() Slice {
	if s.Rate == 0 {
		s.Rate = 200
	}
	if s.Part <= 0 {
		s.Part = 0.05
	}
	if s.Lasts <= 0 {
		s.Lasts = 200 * time.Millisecond
	}
	return s
}

type slicer struct{}

func (s *slicer) start(Slice) {}
func (s *slicer) reserve(context.Context, *Limiter, []quota.Account, quota.Cost) (*quota.Lease, error) {
	return nil, nil
}
func (s *slicer) sweep(context.Context, *Limiter, time.Time) {}
