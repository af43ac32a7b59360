package upstream

import (
	"io"
	"time"
)

// watched is a body that is given up where nothing comes for too long, or too
// little.
type watched struct {
	*attempt
	inner  io.ReadCloser
	stream bool          // else the attempt's own timer bounds the whole of it
	begun  bool          // some of it has come
	first  time.Duration // after the attempt began, it did

	produced func() int64 // the tokens that have come of a stream, roughly
	before   int64        // of those: before the stretch of time that is looked at
	waited   time.Duration
}

// stretch is the time over which a stream's speed is looked at. It is counted
// while the stream is waited for: a reader that takes its time slows nothing.
const stretch = 30 * time.Second

// Read reads. What has begun to come is waited for as long as the pauses of a
// stream may last; a reader that takes its time is not the deployment's pause.
func (w *watched) Read(p []byte) (int, error) {
	if !w.stream {
		return w.inner.Read(p)
	}
	if bound := w.patience(); bound > 0 {
		w.timer.Reset(bound)
	}
	start := time.Now()
	n, err := w.inner.Read(p)
	w.waited += time.Since(start)
	if !w.begun && n > 0 {
		w.begun = true
		w.first = time.Since(w.attempt.begun)
		w.learnTime(true, w.first)
	}
	if w.begun {
		w.timer.Stop()
	}
	return n, err
}

// patience returns how long the next bytes may take; 0 is that nothing new bounds
// them. A stream that has been too slow is ended.
func (w *watched) patience() time.Duration {
	if !w.begun {
		return 0
	}
	bound := w.cfg.Timeouts.Idle
	floor := w.cfg.Timeouts.Floor
	if floor == 0 {
		return bound
	}
	now := w.produced()
	switch {
	case now == 0 || w.before == 0: // the first content begins the first stretch
		w.before, w.waited = now, 0
		return bound
	case float64(now-w.before) >= floor*stretch.Seconds():
		if w.waited >= stretch {
			w.before, w.waited = now, 0
		}
		return bound
	case w.waited >= stretch:
		w.cancel(errTime)
		return bound
	}
	if left := stretch - w.waited; bound == 0 || left < bound {
		bound = left
	}
	return bound
}

// Close closes the body.
func (w *watched) Close() error { return w.inner.Close() }

// hurry ends a stream whose first content does not come in time. Ready is closed
// when it is there, or when none will be.
func (a *attempt) hurry(ready <-chan struct{}) {
	t := a.cfg.Timeouts.FirstContent
	if t == 0 {
		return
	}
	timer := time.AfterFunc(time.Until(a.begun.Add(t)), func() { a.cancel(errTime) })
	go func() {
		<-ready
		timer.Stop()
	}()
}
