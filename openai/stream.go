package openai

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// readSize is how much a stream reads at once, at first.
const readSize = 4 << 10

// CutError says that a stream ended before it was whole.
type CutError struct {
	Err error // why: what reading failed with, or what was wrong with the bytes
}

// Error returns why.
func (e *CutError) Error() string { return "openai: the stream was cut: " + e.Err.Error() }

// Unwrap returns what reading failed with.
func (e *CutError) Unwrap() error { return e.Err }

// Stream reads the events of a streamed answer from any chopping of its bytes:
// line ends of all three kinds, data: with or without its space, runes and lines
// split over reads. Lines of id: and retry: are left out. It is for one goroutine
// at a time.
type Stream struct {
	Facts // of all events read so far

	src      io.Reader
	most     int  // bytes that an event may have
	typed    bool // its events say their type
	kept     bool // it tells what was made before
	behind   bool // it is what is left of one: that may be nothing
	buf      []byte
	from     int   // the first byte that no event has taken
	seen     int   // bytes behind from that hold no event's end
	err      error // what reading ended with
	data     []byte
	begun    bool // a line has been read: no byte order mark can follow
	finished bool // a choice has ended
	produced int64
	pieces   uint64
	done     bool   // [DONE] was read
	failure  []byte // what the error event that was read says, as a body; nil none

	ahead   <-chan struct{} // closed when Ahead has read; nil where it need not be waited for
	held    []Event         // what Ahead has read
	heldErr error           // what it ended with
}

// NewStream returns a reader of the stream of chunks that src carries.
func NewStream(src io.Reader) *Stream { return NewStreamOf(Chat, src) }

// NewStreamOf returns a reader of the stream that answers an operation.
func NewStreamOf(op Operation, src io.Reader) *Stream {
	return &Stream{src: src, most: op.Largest(), typed: op.Typed()}
}

// NewKeptStream returns a reader of the stream that tells again what was made before.
// That it failed then is an end like any other, and no failure of now. Behind is that
// no more is told than what follows some event, which may be nothing.
func NewKeptStream(op Operation, src io.Reader, behind bool) *Stream {
	s := NewStreamOf(op, src)
	s.kept, s.behind = true, behind
	return s
}

// read returns the next event from the bytes.
func (s *Stream) read() (Event, error) {
	for {
		block, ok := s.block()
		if !ok {
			return Event{}, s.end()
		}
		e, empty := s.event(block)
		if empty {
			continue
		}
		if e.Comment {
			return e, nil
		}
		if err := s.take(&e); err != nil {
			s.err = err
			s.from, s.seen = len(s.buf), 0
			return Event{}, s.end()
		}
		return e, nil
	}
}

// take reads what an event means, and takes note of it.
func (s *Stream) take(e *Event) error {
	s.behind = false
	if err := e.read(s.typed); err != nil {
		return fmt.Errorf("an event is not JSON: %w", err)
	}
	if s.kept {
		e.forgive()
	}
	s.finished = s.finished || e.Finish
	if s.typed && e.Done && !s.finished && s.failure == nil {
		return errors.New("[DONE] stands before the event that ends a typed stream")
	}
	s.done = s.done || e.Done
	if s.failure == nil && e.Err.Kind() != Missing {
		s.failure = e.body(s.typed)
	}
	s.produced += e.tokens()
	if e.piece {
		s.pieces++
	}
	s.note(e.Root)
	return nil
}

// Produced returns how many tokens the events read so far bear, roughly: one for
// every four bytes of content, and no less than one for each event with content.
func (s *Stream) Produced() int64 { return s.produced }

// Pieces returns how many of the events read so far bear a piece of what is generated,
// which no other event does.
func (s *Stream) Pieces() uint64 { return s.pieces }

// Failure returns what the error event that ended the stream says, in the form of
// the body of an answer that is an error, nil where none has been read. The event
// may be a chunk, a typed error, or a response that failed.
func (s *Stream) Failure() []byte { return s.failure }

// Buffered reports whether the next event is here already.
func (s *Stream) Buffered() bool {
	if len(s.held) > 0 {
		return true
	}
	_, _, ok := boundary(s.buf[s.from:], 0)
	return ok
}

func (s *Stream) end() error {
	switch {
	case s.done, s.failure != nil, (s.finished || s.behind) && errors.Is(s.err, io.EOF):
		return io.EOF
	case errors.Is(s.err, io.EOF):
		return &CutError{Err: io.ErrUnexpectedEOF}
	default:
		return &CutError{Err: s.err}
	}
}

// block returns the lines of the next event, without the empty line.
func (s *Stream) block() ([]byte, bool) {
	for {
		if end, next, ok := boundary(s.buf[s.from:], s.seen); ok {
			b := s.buf[s.from : s.from+end]
			s.from += next
			s.seen = 0
			return b, true
		}
		s.seen = max(0, len(s.buf)-s.from-3)
		switch {
		case s.err == nil:
			s.fill()
		case errors.Is(s.err, io.EOF) && len(bytes.TrimSpace(s.buf[s.from:])) > 0:
			b := s.buf[s.from:]
			s.from, s.seen = len(s.buf), 0
			return b, true
		default:
			return nil, false
		}
	}
}

// boundary finds an event's end: two line ends in a row, from at least byte seen
// on. End is where the lines end, next where the next event begins.
func boundary(b []byte, seen int) (end, next int, ok bool) {
	for i := seen; i < len(b); i++ {
		n := bytes.IndexAny(b[i:], "\r\n")
		if n < 0 {
			return 0, 0, false
		}
		i += n
		first, certain := lineEnd(b[i:])
		if !certain {
			return 0, 0, false
		}
		second, certain := lineEnd(b[i+first:])
		if second > 0 && (certain || b[i+first] == '\n') {
			return i, i + first + second, true
		}
		if second > 0 {
			return 0, 0, false
		}
		i += first - 1
	}
	return 0, 0, false
}

// lineEnd returns the length of the line end at the head of b, 0 if there is
// none. It is not certain where more bytes may lengthen it.
func lineEnd(b []byte) (n int, certain bool) {
	switch {
	case len(b) == 0:
		return 0, true
	case b[0] == '\n':
		return 1, true
	case b[0] != '\r':
		return 0, true
	case len(b) == 1:
		return 1, false
	case b[1] == '\n':
		return 2, true
	default:
		return 1, true
	}
}

// fill reads once more.
func (s *Stream) fill() {
	if s.from > 0 {
		s.buf = s.buf[:copy(s.buf, s.buf[s.from:])]
		s.from = 0
	}
	if len(s.buf) >= s.most {
		s.err = fmt.Errorf("an event is larger than %d bytes", s.most)
		return
	}
	if len(s.buf) == cap(s.buf) {
		s.buf = append(make([]byte, 0, max(readSize, 2*cap(s.buf))), s.buf...)
	}
	n, err := s.src.Read(s.buf[len(s.buf):cap(s.buf)])
	s.buf = s.buf[:len(s.buf)+n]
	s.err = err
}

// event reads the lines of one event. It is empty where they hold no data and no
// comment.
func (s *Stream) event(block []byte) (e Event, empty bool) {
	s.data = s.data[:0]
	lines, comment := 0, false
	for len(block) > 0 {
		line := block
		if i := bytes.IndexAny(block, "\r\n"); i >= 0 {
			line, block = block[:i], block[i+1:]
		} else {
			block = nil
		}
		if !s.begun {
			line, s.begun = bytes.TrimPrefix(line, []byte("\ufeff")), true
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch {
		case string(name) == "data":
			if lines > 0 {
				s.data = append(s.data, '\n')
			}
			s.data = append(s.data, value...)
			lines++
		case string(name) == "event":
			e.Name = string(value)
		case len(line) > 0 && line[0] == ':':
			comment = true
		}
	}
	e.Data = s.data
	if len(bytes.TrimSpace(s.data)) > 0 {
		return e, false
	}
	e.Comment = comment
	return e, !comment
}
