package proxy

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/usage"
)

// session is a realtime session: two WebSockets, between which messages are handed
// on. Nothing is queued: a message is read when the one before it is written.
type session struct {
	client, upstream *side

	today Today // who the client is; nil: as at the beginning

	all  sync.WaitGroup // what is done for it
	once sync.Once
	over chan struct{} // closed when it has ended
	how  ending

	mu sync.Mutex // guards what follows
	*terms
	rec      *usage.Record
	tab      tab
	voice    voice
	draining bool
	events   int    // that were made for the client
	settings int64  // tokens of what the session's settings say
	context  int64  // tokens of the conversation so far, roughly
	bound    int64  // of the session's answers; 0 none
	bounded  string // the field that it was told in; "" none was
}

// serve takes the client in and hands on messages until the session ends.
func (s *session) serve(c echo.Context, conn *websocket.Conn, answer *openai.Answer) error {
	h := c.Response().Header()
	showAnswer(h, answer)
	showUpstream(h, s.rec)
	client, err := websocket.Accept(c.Response(), c.Request(), &websocket.AcceptOptions{
		Subprotocols: []string{realtimeProtocol}, InsecureSkipVerify: true, // who may call is known by the key alone
	})
	if err != nil {
		_ = conn.CloseNow() // nothing has been said
		answer.Close(errLeft)
		return err
	}
	s.rec.Status = http.StatusSwitchingProtocols
	g := s.g // by which the session began
	s.client, s.upstream = g.side(client, true), g.side(conn, false)
	ctx := context.WithoutCancel(c.Request().Context())
	s.all.Go(func() { s.listen(ctx, byClient, s.client, s.upstream) })
	s.all.Go(func() { s.listen(ctx, byUpstream, s.upstream, s.client) })
	if every := g.cfg.KeepAlive; every > 0 {
		s.all.Go(func() { s.beat(ctx, byClient, s.client, every) })
		s.all.Go(func() { s.beat(ctx, byUpstream, s.upstream, every) })
	}
	s.attend(ctx, g.cfg.Draining)
	cut := s.part(ctx)
	s.all.Wait()
	answer.Close(cut)
	s.note()
	if s.how.crash != nil {
		panic(s.how.crash) // where a request's is looked for
	}
	return nil
}

// finish ends the session. The first end is the one that counts.
func (s *session) finish(e ending) {
	s.once.Do(func() {
		s.how = e
		close(s.over)
	})
}

// attend waits for the end of the session.
func (s *session) attend(ctx context.Context, draining <-chan struct{}) {
	late, again := time.NewTicker(writeLimit), time.NewTicker(obeyEvery)
	defer late.Stop()
	defer again.Stop()
	defer s.crashed()
	for {
		select {
		case <-s.over:
			return
		case <-draining:
			draining = nil
			s.drain()
		case <-again.C:
			_, _ = s.recheck() // the end is heard of here
		case <-late.C:
			s.late(ctx)
		}
	}
}

// late does what could not be done before.
func (s *session) late(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tab.follow(ctx, s)
	_ = s.tab.pay(ctx, s) // it is tried again
}

// listen reads one side to its end, and hands on what it says to the other.
func (s *session) listen(ctx context.Context, who party, from, to *side) {
	defer s.crashed()
	defer from.last.clear()
	handle := s.answered
	if who == byClient {
		handle = s.asked
	}
	for {
		kind, data, err := from.read(ctx)
		if err != nil {
			s.finish(endOf(who, err))
			return
		}
		out, then := handle(ctx, data)
		if out != nil && to.write(ctx, kind, out) != nil {
			s.lost(who.other())
			return
		}
		if then != nil {
			then()
		}
	}
}

// crashed is deferred by what serves a session, so that a panic ends that alone.
func (s *session) crashed() {
	if v := recover(); v != nil {
		s.finish(ending{
			code: websocket.StatusInternalError, reason: "The gateway failed to handle an event.",
			crash: &crash{value: v, stack: debug.Stack()},
		})
	}
}

// lost ends a session that a side does not take a message in of, unless who reads
// that side knows better.
func (s *session) lost(who party) {
	timer := time.NewTimer(writeLimit)
	defer timer.Stop()
	select {
	case <-s.over:
	case <-timer.C:
		s.finish(endOf(who, errSilent))
	}
}

var errSilent = errors.New("proxy: there was no answer")

// beat asks a side for signs of life, and ends the session where there are none.
func (s *session) beat(ctx context.Context, who party, of *side, every time.Duration) {
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		select {
		case <-s.over:
			return
		case <-ticks.C:
		}
		if !of.alive(ctx, every) {
			s.finish(endOf(who, errSilent))
			return
		}
	}
}

// drain lets no new response begin, and ends the session once none is under way.
func (s *session) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	s.leave()
}

// leave ends a session that is to be drained, once nothing is under way. The caller
// holds mu.
func (s *session) leave() {
	if s.draining && !s.tab.busy() {
		s.finish(ending{code: websocket.StatusGoingAway, reason: "The gateway is shutting down."})
	}
}

// part tells both sides that the session is over, and returns what is held against
// the deployment: nil for nothing.
func (s *session) part(ctx context.Context) error {
	e, failed := s.how, error(nil)
	s.mu.Lock()
	draining := s.draining
	s.mu.Unlock()
	if e.by == byUpstream && e.broken && !e.large {
		failed = &openai.CutError{Err: errSilent}
		err := interrupted()
		if draining {
			err, e.code, e.reason = stopping(), websocket.StatusGoingAway, "The gateway is shutting down."
		}
		s.tell(ctx, err, "")
	}
	var both sync.WaitGroup
	both.Go(func() { s.dismiss(ctx, e) })
	both.Go(func() { s.hangUp(e) })
	both.Wait()
	return failed
}

// dismiss closes the client's connection.
func (s *session) dismiss(ctx context.Context, e ending) {
	if e.by == byClient && e.broken && !e.large {
		_ = s.client.conn.CloseNow() // it is gone
		return
	}
	if e.told != nil {
		s.tell(ctx, e.told, "")
	}
	_ = s.client.conn.Close(e.code, e.reason) // one that is closed already stays so
}

// hangUp closes the deployment's connection.
func (s *session) hangUp(e ending) {
	if e.by == byClient && e.broken || e.by == byUpstream && !e.large {
		_ = s.upstream.conn.CloseNow() // no more work is done for nobody
		return
	}
	if e.told != nil { // that is not the deployment's matter
		e.code, e.reason = websocket.StatusNormalClosure, ""
	}
	_ = s.upstream.conn.Close(e.code, e.reason) // one that is closed already stays so
}

// note puts down how the session ended.
func (s *session) note() {
	rec, e := s.rec, s.how
	rec.Outcome, rec.Code = usage.OK, ""
	switch {
	case e.told != nil:
		rec.Outcome, rec.Code = usage.RefusedPolicy, e.told.Code
	case e.crowded:
		rec.Outcome, rec.Code = usage.GatewayError, openai.CodeOverloaded
	case e.large && e.by == byClient:
		rec.Outcome, rec.Code = usage.ClientError, openai.CodeRequestTooLarge
	case e.broken && e.by == byClient:
		rec.Outcome, rec.Status, rec.Code = usage.ClientGone, statusGone, openai.CodeClientClosed
	case e.broken && e.by == byUpstream && !s.draining:
		rec.Outcome, rec.Code = usage.UpstreamError, openai.CodeInterrupted
	}
}

// stopping is what a client is told that asks for a response when there are to be
// no more.
func stopping() *openai.Error {
	return &openai.Error{
		Status: http.StatusServiceUnavailable, Code: openai.CodeShuttingDown,
		Message: "This gateway is shutting down. Open a new session: another one will take it.",
	}
}
