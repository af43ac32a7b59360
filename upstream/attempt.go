package upstream

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"weir/openai"
	"weir/policy"
	"weir/usage"
)

// The largest answers that are read whole.
const (
	maxAnswer = 16 << 20
	maxError  = 1 << 20
)

// hang is how long a stream may stay away altogether before a client that gives
// up on it has a point.
const hang = 30 * time.Second

// What is still read of a stream that is over, so that its connection can be
// used again.
const (
	drainBytes = 64 << 10
	drainTime  = 100 * time.Millisecond
)

// attempt is one request to one deployment.
type attempt struct {
	*run
	member *member
	ctx    context.Context
	cancel context.CancelCauseFunc
	begun  time.Time
	sent   atomic.Bool // some of the request has left
	timer  *time.Timer // ends the attempt where nothing comes
	body   *watched
}

// attempt asks the deployment once. The answer is nil where there is none that a
// client could be shown; unless the outcome is Answered, everything it held has
// been let go.
func (r *run) attempt(ctx context.Context, m *member) (*openai.Answer, policy.Outcome) {
	a := &attempt{run: r, member: m, begun: time.Now()}
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	r.mu.Lock()
	r.live[a] = struct{}{}
	r.mu.Unlock()
	within := time.Until(r.ends)
	if t := r.cfg.Timeouts.FirstByte; r.call.Request.Stream && t > 0 {
		within = min(within, t)
	}
	a.timer = time.AfterFunc(within, func() { a.cancel(errTime) })
	note := usage.Attempt{Deployment: m.ID(), Wait: r.wait}
	if r.sets(m) {
		note.Temperature = r.temperature
	}
	r.wait = 0
	answer, out := a.send()
	if out.Class != policy.Answered {
		a.close()
	}
	note.Status, note.Reason, note.Sent, note.Duration = out.Status, out.Reason, a.sent.Load(), time.Since(a.begun)
	r.rec.Attempts = append(r.rec.Attempts, note)
	r.rec.Deployment = m.ID()
	return answer, out
}

// close lets go of everything the attempt holds.
func (a *attempt) close() {
	a.mu.Lock()
	delete(a.live, a)
	a.mu.Unlock()
	a.timer.Stop()
	a.cancel(nil)
	if a.body != nil {
		_ = a.body.Close() // nothing more is read from it
	}
	a.member.leave()
}

// send makes the request and reads what comes.
func (a *attempt) send() (*openai.Answer, policy.Outcome) {
	req, err := a.request()
	if err != nil {
		return nil, policy.Outcome{Class: policy.Misconfigured, Reason: "credential"}
	}
	resp, err := a.cfg.Transport.RoundTrip(req) //nolint:bodyclose // close closes it, as a.body
	if err != nil {
		return nil, a.broken(err)
	}
	a.sent.Store(true)
	a.body = &watched{attempt: a, inner: resp.Body}
	a.rec.AzureRequestID = resp.Header.Get("Apim-Request-Id")
	a.rec.AzureRegion = resp.Header.Get("X-Ms-Region")
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return a.refused(resp)
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if stream := kind == "text/event-stream"; stream != a.call.Request.Stream {
		return nil, policy.Outcome{Class: policy.Fault, Status: http.StatusBadGateway, Reason: "content_type"}
	}
	if a.call.Request.Stream {
		return a.stream(resp)
	}
	return a.whole(resp)
}

// request returns what goes out: the client's bytes with our edits, under
// headers that are ours alone. It has no GetBody, so that nothing but Pool sends
// it again.
func (a *attempt) request() (*http.Request, error) {
	ctx := httptrace.WithClientTrace(a.ctx, &httptrace.ClientTrace{
		WroteHeaders: func() { a.sent.Store(true) },
	})
	body := a.call.Request.Body(a.edits()...)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.member.url(), &outgoing{left: body})
	if err != nil {
		return nil, fmt.Errorf("upstream: making the request: %w", err)
	}
	req.ContentLength = int64(len(body))
	maps.Copy(req.Header, a.call.Header)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("Accept", "application/json")
	if a.call.Request.Stream {
		req.Header.Set("Accept", "text/event-stream")
	}
	if err := a.member.Credential.Authorize(ctx, req.Header); err != nil {
		return nil, fmt.Errorf("upstream: authorizing: %w", err)
	}
	return req, nil
}

// edits returns what this deployment is sent differently from what the client
// wrote.
func (a *attempt) edits() []openai.Edit {
	root := a.call.Request.Root
	var edits []openai.Edit
	if !a.member.classic() {
		edits = append(edits, root.Set("model", strconv.Quote(a.member.Name)))
	}
	if a.sets(a.member) {
		edits = append(edits, root.Set("temperature", strconv.FormatFloat(*a.temperature, 'g', -1, 64)))
	}
	if a.asksUsage(a.member) {
		edits = append(edits, askUsage(root))
	}
	if a.call.Added != "" && (a.swap || a.member.swapped.holds()) {
		other := "max_tokens"
		if a.call.Added == other {
			other = "max_completion_tokens"
		}
		edits = append(edits, root.Set(other, string(root.Get(a.call.Added).Raw())))
		edits = append(edits, root.Unset(a.call.Added)...)
	}
	return edits
}

// asksUsage reports whether we ask for a usage chunk that the client did not ask
// for.
func (r *run) asksUsage(m *member) bool {
	return r.call.Request.Stream && !r.call.Request.IncludeUsage && !m.noUsage.holds()
}

func askUsage(root openai.Value) openai.Edit {
	if options := root.Get("stream_options"); options.Kind() == openai.Object {
		return options.Set("include_usage", "true")
	}
	return root.Set("stream_options", `{"include_usage":true}`)
}

// broken returns the outcome of a request that got no answer, or not the whole
// of one.
func (a *attempt) broken(err error) policy.Outcome {
	cause := context.Cause(a.ctx)
	var timeout net.Error
	switch {
	case errors.Is(cause, errTime):
		o := policy.Broken(true, true)
		o.Impatient = a.call.Within > 0 && !time.Now().Before(a.ends)
		return o
	case errors.Is(cause, errStopped):
		return policy.Outcome{Class: policy.Gone, Reason: "stopped"}
	case cause != nil:
		hung := a.call.Request.Stream && a.call.Within == 0 && a.body == nil && time.Since(a.begun) >= hang
		return policy.Outcome{Class: policy.Gone, Reason: "client_gone", Hung: hung}
	case errors.As(err, &timeout) && timeout.Timeout():
		return policy.Broken(!a.sent.Load(), a.sent.Load())
	default:
		return policy.Broken(false, a.sent.Load())
	}
}

// refused reads an answer that is no success.
func (a *attempt) refused(resp *http.Response) (*openai.Answer, policy.Outcome) {
	body, err := a.read(resp, maxError)
	if err != nil {
		body = nil
	}
	out := policy.Read(policy.Reply{Status: resp.StatusCode, Header: resp.Header.Get, Body: body, Now: time.Now()})
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
		return nil, fmt.Errorf("upstream: the answer is larger than %d bytes", limit)
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
	body, err := a.read(resp, maxAnswer)
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
	answer := &openai.Answer{Status: resp.StatusCode, Header: resp.Header, Body: body, Facts: facts}
	answer.Close = func(error) { a.close() }
	return answer, policy.Outcome{Class: policy.Answered, Status: resp.StatusCode}
}

// stream reads a stream up to its commit point.
func (a *attempt) stream(resp *http.Response) (*openai.Answer, policy.Outcome) {
	src, err := a.plain(resp)
	if err != nil {
		return nil, policy.Outcome{Class: policy.Fault, Status: http.StatusBadGateway, Reason: "bad_answer"}
	}
	a.body.idle = a.cfg.Timeouts.Idle
	s := openai.NewStream(src)
	ready := s.Ahead()
	answer := &openai.Answer{Status: resp.StatusCode, Header: resp.Header, Stream: s, Close: a.end}
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
		out := policy.Read(policy.Reply{Header: resp.Header.Get, Body: e.Data, Now: time.Now()})
		return &openai.Answer{
			Status: out.Status, Header: resp.Header, Body: openai.NormalizeError(out.Status, e.Data), RetryAfter: out.RetryAfter,
		}, out
	}
	return answer, policy.Outcome{Class: policy.Answered, Status: resp.StatusCode}
}

// late waits for the commit point, but not for longer than a client should be
// left without a sign of life.
func (a *attempt) late(ready <-chan struct{}) bool {
	if a.cfg.Timeouts.Commit == 0 {
		<-ready
		return false
	}
	timer := time.NewTimer(a.cfg.Timeouts.Commit)
	defer timer.Stop()
	select {
	case <-ready:
		return false
	case <-timer.C:
		return true
	}
}

// end lets go of a stream that was relayed, or given up.
func (a *attempt) end(err error) {
	if _, cut := errors.AsType[*openai.CutError](err); cut {
		a.member.breaker.blame()
	}
	if err != nil {
		a.close()
		return
	}
	a.timer.Stop()
	late := time.AfterFunc(drainTime, func() { a.cancel(nil) })
	go func() {
		_, _ = io.CopyN(io.Discard, a.body.inner, drainBytes) // for the connection's sake alone
		late.Stop()
		a.close()
	}()
}

// outgoing is a request's body. It lets go of its bytes once it is closed, which
// the transport does long before a stream is over. It cannot be read again.
type outgoing struct {
	mu   sync.Mutex
	left []byte
}

// Read reads what is left.
func (o *outgoing) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, o.left)
	o.left = o.left[n:]
	return n, nil
}

// Close lets go of the bytes.
func (o *outgoing) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.left = nil
	return nil
}

// watched is a body that is given up where nothing comes for too long.
type watched struct {
	*attempt
	inner io.ReadCloser
	idle  time.Duration // 0: it is not watched, but for the attempt's own timer
}

// Read reads, and puts the end of the attempt's patience off where something
// came.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.inner.Read(p)
	if n > 0 && w.idle > 0 {
		w.timer.Reset(w.idle)
	}
	return n, err //nolint:wrapcheck // a Reader's errors are its contract
}

// Close closes the body.
func (w *watched) Close() error { return w.inner.Close() } //nolint:wrapcheck // as Read

func dialer(timeout time.Duration) func(context.Context, string, string) (net.Conn, error) {
	d := &net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second}
	return d.DialContext
}
