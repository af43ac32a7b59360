package proxy

import (
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

// writeLimit is how long a client may take to accept what is written.
const writeLimit = 30 * time.Second

// flushAt is how much of a stream is gathered at most before it is written.
const flushAt = 32 << 10

// pipe writes a stream to a client. Signs of life are written from another
// goroutine, and only between events.
type pipe struct {
	mu      sync.Mutex
	out     *echo.Response
	control *http.ResponseController
	err     error // what writing failed with
	silence *time.Timer
	every   time.Duration
}

func newPipe(out *echo.Response, every time.Duration) *pipe {
	p := &pipe{out: out, control: http.NewResponseController(out), every: every}
	p.mu.Lock()
	defer p.mu.Unlock()
	if every > 0 {
		p.silence = time.AfterFunc(every, p.alive)
	}
	return p
}

// write writes whole events, and flushes them unless more follow at once.
func (p *pipe) write(b []byte, flush bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.put(b, flush)
}

// put is write for who holds mu.
func (p *pipe) put(b []byte, flush bool) error {
	if p.err != nil || len(b) == 0 {
		return p.err
	}
	_ = p.control.SetWriteDeadline(time.Now().Add(writeLimit)) // where it cannot be set no network is slow
	if _, p.err = p.out.Write(b); p.err == nil && flush {
		p.err = p.control.Flush()
	}
	if p.silence != nil {
		p.silence.Reset(p.every)
	}
	return p.err
}

// alive writes a sign of life, unless something is being written anyhow.
func (p *pipe) alive() {
	if !p.mu.TryLock() {
		return
	}
	defer p.mu.Unlock()
	_ = p.put([]byte(": keep-alive\n\n"), true)
}

// close ends the signs of life; none is written any more when it returns. What is
// not flushed yet still has the last write's time.
func (p *pipe) close() {
	if p.silence != nil {
		p.silence.Stop()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.every, p.silence = 0, nil
	if p.err == nil {
		p.err = io.ErrClosedPipe
	}
}
