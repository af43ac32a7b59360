package openai

import (
	"bytes"
	"errors"
	"io"
)

// How much of a stream may be held back before its commit point. The events that
// begin a response repeat its request, with all of its instructions and tools.
const (
	maxHead      = 64 << 10
	maxTypedHead = 1 << 20
)

// heldCost is what holding back an event takes besides its data.
const heldCost = 256

// Ahead reads on to the stream's commit point: its first event that bears
// content, or is an error, or is the end, or the last that may be held back.
// Comments on the way are left out. The channel is closed when it is there. Until
// then no other method may be called but Waiting, and Next, which waits, and then
// returns again what was read.
func (s *Stream) Ahead() <-chan struct{} {
	ready := make(chan struct{})
	s.ahead = ready
	go func() {
		defer close(ready)
		most := maxHead
		if s.typed {
			most = maxTypedHead
		}
		for size := 0; size < most; {
			e, err := s.read()
			if err != nil {
				s.heldErr = err
				return
			}
			if e.Comment {
				continue
			}
			e.Data = bytes.Clone(e.Data)
			size += len(e.Data) + heldCost
			if root, err := ReadValue(e.Data); err == nil {
				e.Root = root
				if e.Err.Kind() != Missing {
					e.Err = e.failure(s.typed)
				}
			}
			s.held = append(s.held, e)
			if e.Content || e.Done || e.Err.Kind() != Missing {
				return
			}
		}
	}()
	return ready
}

// Waiting reports whether Ahead has not come to the commit point yet.
func (s *Stream) Waiting() bool {
	if s.ahead == nil {
		return false
	}
	select {
	case <-s.ahead:
		return false
	default:
		return true
	}
}

// Commit returns the event that Ahead stopped at, the zero Event where a whole stream
// has none, or the error. It is for the time after Ahead's channel was closed.
func (s *Stream) Commit() (Event, error) {
	if errors.Is(s.heldErr, io.EOF) {
		return Event{}, nil // there is nothing behind what is asked for
	}
	if s.heldErr != nil || len(s.held) == 0 {
		return Event{}, s.heldErr
	}
	return s.held[len(s.held)-1], nil
}

// Next returns the next event. At the end the error is io.EOF if the stream was
// whole: if it had its [DONE], or the typed event that ends it, or a finish reason
// and a clean end, or an error event, which is itself an end. Otherwise it is a
// *CutError. Behind the event that ends a typed stream, a [DONE] may follow.
func (s *Stream) Next() (Event, error) {
	if s.ahead != nil {
		<-s.ahead
		s.ahead = nil
	}
	if len(s.held) > 0 {
		e := s.held[0]
		s.held = s.held[1:]
		return e, nil
	}
	if s.heldErr != nil {
		return Event{}, s.heldErr
	}
	return s.read()
}
