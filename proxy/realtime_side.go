package proxy

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"weir/openai"
)

// maxMessage is the largest message of a session that is handed on.
const maxMessage = 16 << 20

// keptBuffer is how much memory a side keeps between messages.
const keptBuffer = 64 << 10

// side is one end of a session.
type side struct {
	conn  *websocket.Conn
	last  message
	paced bool         // what it sends must come as fast as bodies
	heard atomic.Int64 // when something came last, in Unix nanoseconds
	busy  atomic.Bool  // what came is being handled, so that nothing more is read
}

// side returns one end of a session. What it sends must come as fast as bodies if it
// is paced.
func (g *Gateway) side(conn *websocket.Conn, paced bool) *side {
	s := &side{conn: conn, last: message{all: g.cfg.Bodies, most: g.cfg.MaxBodies}, paced: paced}
	s.note()
	conn.SetReadLimit(maxMessage)
	return s
}

func (s *side) note() { s.heard.Store(time.Now().UnixNano()) }

// silence returns for how long nothing has come.
func (s *side) silence() time.Duration { return time.Since(time.Unix(0, s.heard.Load())) }

// read returns the next message, which is good until the next read.
func (s *side) read(ctx context.Context) (websocket.MessageType, []byte, error) {
	s.busy.Store(false)
	s.last.clear()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	kind, r, err := s.conn.Reader(ctx)
	if err != nil {
		return 0, nil, err
	}
	note, stop := func(int) {}, func() bool { return true }
	if s.paced {
		note, stop = watch(cancel)
	}
	defer stop()
	if err := s.last.read(r, note); err != nil {
		return 0, nil, err
	}
	s.note()
	s.busy.Store(true)
	return kind, s.last.data, nil
}

// write writes a message, which the other end must accept in time.
func (s *side) write(ctx context.Context, kind websocket.MessageType, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	return s.conn.Write(ctx, kind, data)
}

// alive asks a side that has been silent for a sign of life. While what it sent is
// being handled nothing is read of it, an answer to that neither.
func (s *side) alive(ctx context.Context, every time.Duration) bool {
	if s.silence() < every {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	if s.conn.Ping(ctx) == nil {
		s.note()
		return true
	}
	return s.busy.Load() || s.silence() < every+writeLimit
}

// ending is how a session ended.
type ending struct {
	code   websocket.StatusCode // that the other side is told
	reason string
	by     party
	broken bool // without a word, or with one that says so
	large  bool // with a message that is too large
	crash  *crash
	told   *openai.Error // to the client, before that; nil: nothing

	crowded bool // by one more message than may be held
}

// crash is a panic, as it is handed on to another goroutine.
type crash struct {
	value any
	stack []byte
}

// Stack returns where the panic was.
func (c *crash) Stack() []byte { return c.stack }

// party is who ended a session.
type party uint8

const (
	byGateway party = iota
	byClient
	byUpstream
)

// other returns who is at the other end.
func (p party) other() party {
	if p == byClient {
		return byUpstream
	}
	return byClient
}

// endOf returns how a session ended that a side cannot be read from any more.
func endOf(by party, err error) ending {
	if closed, ok := errors.AsType[websocket.CloseError](err); ok {
		e := ending{code: closed.Code, reason: closed.Reason, by: by}
		switch closed.Code { //nolint:exhaustive // all others are orderly
		case websocket.StatusInternalError, websocket.StatusServiceRestart, websocket.StatusTryAgainLater, websocket.StatusBadGateway:
			e.broken = by == byUpstream
		}
		return e
	}
	if errors.Is(err, errCrowded) {
		return ending{code: websocket.StatusTryAgainLater, reason: "The gateway holds as many messages as it may.", crowded: true}
	}
	e := ending{code: websocket.StatusInternalError, reason: "The deployment's connection broke off.", by: by, broken: true}
	if errors.Is(err, websocket.ErrMessageTooBig) {
		e.large, e.code, e.reason = true, websocket.StatusMessageTooBig, "A message is larger than 16 MiB."
	}
	return e
}
