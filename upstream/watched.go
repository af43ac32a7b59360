package upstream

import (
	"io"
	"time"

	"weir/openai"
	"weir/usage"
)

// watched is a body that is given up where nothing comes for too long, or too
// little.
type watched struct {
	*attempt
	inner  io.ReadCloser
	stream bool          // else the attempt's own timer bounds the whole of it
	begun  bool          // some of it has come
	first  time.Duration // after the attempt began, it did

	events *openai.Stream // that are read from it; nil: it is none of events
	before int64          // tokens that came of them before the stretch of time that is looked at
	waited time.Duration

	pauses *usage.Pauses // between the pieces of what is generated; nil: nobody wants to know
	pieces uint64        // of the events, before which pauses are noted
	last   time.Time     // when the last of them came
	came   time.Time     // when any bytes last did
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
	w.note()
	start := time.Now()
	n, err := w.inner.Read(p)
	took := time.Since(start)
	w.waited += took
	w.came = start.Add(took)
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
	if floor == 0 || w.events == nil {
		return bound
	}
	now := w.events.Produced()
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

// follow says what events are read from the body.
func (w *watched) follow(s *openai.Stream) {
	w.events = s
	if w.cfg.Pauses {
		w.pauses = new(usage.Pauses)
	}
}

// note sorts in the pauses before the pieces that came with the bytes read last. Who
// reads more has read all events that were in them, so that this needs no clock.
func (w *watched) note() {
	if w.pauses == nil {
		return
	}
	n := w.events.Pieces() - w.pieces
	if n == 0 {
		return
	}
	if w.pieces > 0 {
		w.pauses.Add(w.came.Sub(w.last), 1)
	}
	w.pauses.Add(0, n-1)
	w.pieces, w.last = w.pieces+n, w.came
}

// paused returns the pauses of all that was read, nil where nobody wants to know.
func (w *watched) paused() *usage.Pauses {
	w.note()
	return w.pauses
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
