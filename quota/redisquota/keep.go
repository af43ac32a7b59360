package redisquota

import (
	"context"
	"time"
)

// How often what is done in the background.
const (
	beat  = 50 * time.Millisecond  // is there anything to do
	probe = 250 * time.Millisecond // is Redis back
)

// keep does all that no request waits for, until ctx is done.
func (l *Limiter) keep(ctx context.Context) {
	defer close(l.done)
	tick := time.NewTicker(beat)
	defer tick.Stop()
	renewed := time.Now()
	var probed time.Time
	work := context.WithoutCancel(ctx) // no trip is long, and none should be cut
	for {
		var now time.Time
		select {
		case <-ctx.Done():
			l.finish(work)
			return
		case now = <-tick.C:
		}
		if l.health.away() {
			if now.Sub(probed) >= probe {
				probed = now
				l.probe(work)
			}
			continue
		}
		if l.health.doubtful() && l.ping(work) != nil {
			continue
		}
		l.slicer.sweep(work, l, now)
		l.pay(work)
		if now.Sub(renewed) >= l.cfg.TTL/3 {
			renewed = now
			l.renew(work)
			l.ledger.forget(l.now())
			l.sights.forget(l.now())
		}
	}
}

// ping asks Redis for nothing, so that requests need not find out that it is away.
func (l *Limiter) ping(ctx context.Context) error {
	_, leases := keys("", "probe")
	_, err := l.run(ctx, l.renewing, []string{leases}, []any{0})
	return err
}

// probe asks whether Redis is back. Before anyone else asks it, it is told what
// was spent meanwhile.
func (l *Limiter) probe(ctx context.Context) {
	if l.ping(ctx) != nil || !l.payOwed(ctx) {
		return
	}
	away := l.health.back(time.Now())
	l.log.Info("Redis is back", "after", away.Round(time.Millisecond))
	l.renew(ctx) // what has expired meanwhile and is still open
}

// finish settles what can be settled at the end.
func (l *Limiter) finish(ctx context.Context) {
	if l.health.away() {
		l.probe(ctx)
	}
	if !l.health.away() {
		l.slicer.sweep(ctx, l, time.Now().Add(time.Hour))
		l.pay(ctx)
	}
}
