package upstream

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"weir/openai"
	"weir/policy"
)

// maxError is the largest error that is read, in bytes.
const maxError = 1 << 20

// hang is how long a stream may stay away altogether before a client that gives
// up on it has a point.
const hang = 30 * time.Second

// What is still read of a stream that is over, so that its connection can be
// used again.
const (
	drainBytes = 64 << 10
	drainTime  = 100 * time.Millisecond
)

// errTooLarge says that an answer is larger than may be held.
var errTooLarge = errors.New("upstream: the answer is too large")

// broken returns the outcome of a request that got no answer, or not the whole
// of one.
func (a *attempt) broken(err error) policy.Outcome {
	cause := context.Cause(a.ctx)
	switch {
	case errors.Is(cause, errTime):
		o := policy.Broken(true, true)
		o.Impatient = a.hasty && !time.Now().Before(a.ends)
		return o
	case errors.Is(cause, errStopped):
		return policy.Outcome{Class: policy.Gone, Reason: "stopped"}
	case cause != nil:
		hung := a.call.Request.Stream && !a.hasty && a.body == nil && time.Since(a.begun) >= hang
		return policy.Outcome{Class: policy.Gone, Reason: "client_gone", Hung: hung}
	case errors.Is(err, errTooLarge) && a.sized():
		return policy.Outcome{Class: policy.Refused, Status: http.StatusBadGateway, Reason: "large_answer"}
	case errors.Is(err, errTooLarge):
		return policy.Outcome{Class: policy.Fault, Status: http.StatusBadGateway, Reason: "large_answer"}
	default:
		return policy.Broken(false, a.sent.Load())
	}
}

// sized reports whether it is for the client to say how large an answer becomes: a
// larger one than may be held is then no fault of the deployment's, and comes again
// wherever else it is asked for.
func (a *attempt) sized() bool {
	return a.call.Passage != nil || a.call.Request.Operation == openai.Embeddings
}

// refused reads an answer that is no success.
func (a *attempt) refused(resp *http.Response) (*openai.Answer, policy.Outcome) {
	body, err := a.read(resp, maxError)
	if err != nil {
		body = nil
	}
	out := policy.Read(policy.Reply{Status: resp.StatusCode, Header: resp.Header.Get, Body: body, Now: time.Now(), Theirs: a.member.passes()})
	answer := &openai.Answer{Status: out.Status, Header: resp.Header, Body: openai.NormalizeError(out.Status, body), RetryAfter: out.RetryAfter}
	if out.Status < 400 {
		return nil, out
	}
	return answer, out
}

// read reads an answer whole.
func (a *attempt) read(resp *http.Response, limit int64) ([]byte, error) {
	src, err := a.plain(resp)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if n := resp.ContentLength; n > 0 && n <= limit {
		b.Grow(int(n) + bytes.MinRead)
	}
	n, err := b.ReadFrom(io.LimitReader(src, limit+1))
	if err != nil {
		return nil, fmt.Errorf("upstream: reading the answer: %w", err)
	}
	if n > limit {
		return nil, errTooLarge
	}
	return b.Bytes(), nil
}

// plain returns the answer's body without its encoding, which we asked it not to
// have.
func (a *attempt) plain(resp *http.Response) (io.Reader, error) {
	switch encoding := resp.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
		return a.body, nil
	case "gzip":
		src, err := gzip.NewReader(a.body)
		if err != nil {
			return nil, fmt.Errorf("upstream: reading gzip: %w", err)
		}
		return src, nil
	default:
		return nil, fmt.Errorf("upstream: the encoding %q is not known", encoding)
	}
}

// whole reads a plain answer. It is handed on only when all of it is there.
func (a *attempt) whole(resp *http.Response) (*openai.Answer, policy.Outcome) {
	body, err := a.read(resp, int64(a.call.Request.Operation.Largest()))
	if err != nil {
		if out := a.broken(err); out.Class != policy.Interrupted {
			return nil, out
		}
		return nil, policy.Outcome{Class: policy.Interrupted, Status: http.StatusBadGateway, Reason: "cut_answer"}
	}
	facts, err := openai.ReadAnswer(body)
	if err != nil {
		return nil, policy.Outcome{Class: policy.Fault, Status: http.StatusBadGateway, Reason: "bad_answer"}
	}
	a.timer.Stop()
	a.learn(facts.Model)
	a.learnTime(false, time.Since(a.begun))
	answer := &openai.Answer{Status: resp.StatusCode, Header: resp.Header, Body: body, Facts: facts}
	a.span.facts, a.span.body = &answer.Facts, body
	answer.Close = func(error) { a.close() }
	return answer, policy.Outcome{Class: policy.Answered, Status: resp.StatusCode}
}

// content hands on an answer that is no JSON, as it comes.
func (a *attempt) content(resp *http.Response) (*openai.Answer, policy.Outcome) {
	src, err := a.plain(resp)
	if err != nil {
		return nil, a.broken(err)
	}
	a.body.stream = true
	a.learnTime(false, time.Since(a.begun))
	answer := &openai.Answer{Status: resp.StatusCode, Header: resp.Header, Content: src, Close: a.end}
	return answer, policy.Outcome{Class: policy.Answered, Status: resp.StatusCode}
}

// socket hands on a connection that has switched protocols. No deadline is its own:
// it ends with the attempt.
func (a *attempt) socket(resp *http.Response) (*openai.Answer, policy.Outcome) {
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || a.call.Request.Operation != openai.Realtime { // or nobody has asked for that
		return nil, policy.Outcome{Class: policy.Fault, Status: http.StatusBadGateway, Reason: "protocol"}
	}
	a.timer.Stop()
	a.unlink()
	context.AfterFunc(a.ctx, func() { _ = conn.Close() }) // whoever reads or writes is told
	a.learnTime(false, time.Since(a.begun))
	answer := &openai.Answer{Status: resp.StatusCode, Header: resp.Header, Socket: conn}
	answer.Close = func(err error) {
		if err == nil {
			a.close()
			return
		}
		a.end(err)
	}
	return answer, policy.Outcome{Class: policy.Answered, Status: resp.StatusCode}
}

// stream reads a stream up to its commit point.
func (a *attempt) stream(resp *http.Response) (*openai.Answer, policy.Outcome) {
	a.body.stream = true
	src, err := a.plain(resp)
	if err != nil {
		return nil, a.broken(err)
	}
	s := a.events(src)
	ready := s.Ahead()
	a.hurry(ready)
	header := resp.Header.Get
	end := func(err error) {
		a.learn(s.Model)
		a.rec.Pauses = a.body.paused()
		if event := s.Failure(); event != nil {
			a.reported(header, event)
		} else if err == nil {
			a.member.breaker.praise()
		}
		a.end(err)
	}
	answer := &openai.Answer{Status: resp.StatusCode, Header: resp.Header, Stream: s, Close: end}
	a.span.facts, a.span.stream = &s.Facts, s
	if a.late(ready) {
		return answer, policy.Outcome{Class: policy.Answered, Status: resp.StatusCode}
	}
	e, err := s.Commit()
	switch {
	case err != nil:
		out := a.broken(err)
		if out.Class == policy.Interrupted {
			out.Reason = "cut_stream"
		}
		return nil, out
	case e.Err.Kind() != openai.Missing:
		failure := s.Failure()
		out := policy.Read(policy.Reply{Header: resp.Header.Get, Body: failure, Now: time.Now()})
		out.Taken = s.ID != "" && !e.Done // one without an id is nowhere, and what failed is known to have
		return &openai.Answer{
			Status: out.Status, Header: resp.Header, Body: openai.NormalizeError(out.Status, failure), RetryAfter: out.RetryAfter,
		}, out
	case e.Done && !e.Content:
		return nil, policy.Outcome{Class: policy.Fault, Status: http.StatusBadGateway, Reason: "empty_stream"}
	}
	return answer, policy.Outcome{Class: policy.Answered, Status: resp.StatusCode}
}

// late waits for the commit point, but not for longer than a client should be
// left without a sign of life, and not until its own time is up: once no further
// attempt can be begun, holding back is no use.
func (a *attempt) late(ready <-chan struct{}) bool {
	wait := a.cfg.Timeouts.Commit
	if wait == 0 {
		<-ready
		return false
	}
	if a.hasty {
		wait = min(wait, time.Until(a.ends)-least)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ready:
		return false
	case <-timer.C:
		return true
	}
}

// reported holds the error event that a stream ended in, behind its commit point,
// against the deployment, as far as it would have been before it.
func (a *attempt) reported(header func(string) string, event []byte) {
	out := policy.Read(policy.Reply{Header: header, Body: event, Now: time.Now(), Theirs: a.member.passes()})
	act := a.cfg.Retry.After(policy.Tried{Total: 1, Here: 1}, out)
	if act.Blame {
		a.member.breaker.blame()
	}
	a.rest(a.member, out, act)
	a.span.fail(out)
}

// end lets go of a stream that was relayed, or given up. One that broke is held
// against the deployment, unless it is the caller or the gateway that broke it.
func (a *attempt) end(err error) {
	a.ended(err)
	if err != nil {
		cause := context.Cause(a.ctx)
		if _, cut := errors.AsType[*openai.CutError](err); cut && !a.aside && (cause == nil || errors.Is(cause, errTime)) {
			a.member.breaker.blame()
		}
		a.close()
		return
	}
	a.unlink()
	a.timer.Stop()
	late := time.AfterFunc(drainTime, func() { a.cancel(nil) })
	go func() {
		_, _ = io.CopyN(io.Discard, a.body.inner, drainBytes) // for the connection's sake alone
		late.Stop()
		a.close()
	}()
}
