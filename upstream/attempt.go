package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/openai"
	"weir/policy"
	"weir/usage"
)

// attempt is one request to one deployment.
type attempt struct {
	*run
	member *member
	ctx    context.Context
	cancel context.CancelCauseFunc
	unlink func() bool // makes ctx outlive its caller's: a stream's rest is read when the caller has gone
	begun  time.Time
	sent   atomic.Bool // some of the request has left
	timer  *time.Timer // ends the attempt where nothing comes
	body   *watched
	span   span
}

// added is what an attempt sends that the client did not.
type added struct {
	temperature *float64
	usage       bool   // the wish for a usage chunk
	bound       string // the field of the output bound, by the name it is sent under
}

// attempt asks the deployment once. The answer is nil where there is none that a
// client could be shown; unless the outcome is Answered, everything it held has
// been let go.
func (r *run) attempt(ctx context.Context, m *member) (*openai.Answer, policy.Outcome) {
	a := &attempt{run: r, member: m, begun: time.Now()}
	a.ctx, a.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	a.unlink = context.AfterFunc(ctx, func() { a.cancel(context.Cause(ctx)) })
	r.begin(a)
	r.added = r.additions(m)
	within := time.Until(r.ends)
	if t := r.cfg.Timeouts.FirstByte; (r.call.Request.Stream || r.call.Request.Operation == openai.Realtime) && t > 0 {
		within = min(within, t)
	}
	a.timer = time.AfterFunc(within, func() { a.cancel(errTime) })
	note := usage.Attempt{Deployment: m.ID(), Began: a.begun.Sub(r.rec.Start), Wait: r.wait, Temperature: r.added.temperature}
	a.traced(ctx)
	r.wait = 0
	answer, out := a.send()
	if out.Class != policy.Answered {
		a.span.fail(out)
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
	a.unlink()
	a.cancel(nil)
	a.ended(nil)
	if a.body != nil {
		_ = a.body.Close() // nothing more is read from it
	}
	a.member.leave()
}

// send makes the request and reads what comes.
func (a *attempt) send() (*openai.Answer, policy.Outcome) {
	req, err := a.request()
	if err != nil {
		if context.Cause(a.ctx) != nil {
			return nil, a.broken(err)
		}
		return nil, policy.Outcome{Class: policy.Misconfigured, Reason: "credential"}
	}
	resp, err := a.transport(&a.member.Deployment).RoundTrip(req) //nolint:bodyclose // close closes it, as a.body
	if err != nil {
		return nil, a.broken(err)
	}
	a.sent.Store(true)
	a.body = &watched{attempt: a, inner: resp.Body}
	a.rec.AzureRequestID, a.rec.AzureRegion = openai.Word(resp.Header.Get("Apim-Request-Id")), region(resp.Header)
	if a.rec.Spilled = a.member.spilled(resp.Header); a.rec.Spilled != "" {
		a.spare(a.member, a.rec.Spilled)
	}
	a.saw(resp)
	a.observe(resp.Header)
	return a.meaning(resp)
}

// meaning reads what an answer is, by its head, and as much of it as that takes.
func (a *attempt) meaning(resp *http.Response) (*openai.Answer, policy.Outcome) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return a.socket(resp)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return a.refused(resp)
	}
	if p := a.call.Passage; p != nil && p.Raw {
		return a.content(resp)
	}
	answer, out := a.success(resp)
	out.Taken = out.Taken || answer == nil
	return answer, out
}

// success reads an answer below 300.
func (a *attempt) success(resp *http.Response) (*openai.Answer, policy.Outcome) {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	stream, op := kind == "text/event-stream", a.call.Request.Operation
	// Of the models that hear and speak, the older cannot stream.
	if stream != a.call.Request.Stream && (stream || !op.Hears() && op != openai.Speech) {
		return nil, policy.Outcome{Class: policy.Fault, Status: http.StatusBadGateway, Reason: "content_type"}
	}
	switch {
	case stream:
		return a.stream(resp)
	case op == openai.Speech, a.call.Passage != nil && !isJSON(kind):
		return a.content(resp)
	default:
		return a.whole(resp)
	}
}

// isJSON reports whether a media type is that of JSON.
func isJSON(kind string) bool { return kind == "application/json" || strings.HasSuffix(kind, "+json") }

// request returns what goes out: the client's bytes with our edits, under
// headers that are ours alone. It has no GetBody, so that nothing but Pool sends
// it again.
func (a *attempt) request() (*http.Request, error) {
	ctx := httptrace.WithClientTrace(a.ctx, &httptrace.ClientTrace{
		WroteHeaders: func() { a.sent.Store(true) },
	})
	req, err := a.outgoing(ctx)
	if err != nil {
		return nil, fmt.Errorf("upstream: making the request: %w", err)
	}
	maps.Copy(req.Header, a.call.Header)
	if p := a.call.Passage; p != nil {
		maps.Copy(req.Header, p.Header)
	}
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("Accept", accepted(a.call))
	if a.member.passes() {
		req.Header["Authorization"] = []string{"Bearer " + a.call.Bearer}
	}
	a.tells(ctx, req.Header)
	if err := a.member.Credential.Authorize(a.ctx, req.Header); err != nil { // whose own requests are not ours
		return nil, fmt.Errorf("upstream: authorizing: %w", err)
	}
	a.shown = req.Header
	return req, nil
}

// outgoing returns the request without what all requests have.
func (a *attempt) outgoing(ctx context.Context) (*http.Request, error) {
	p := a.call.Passage
	if p == nil {
		body := a.call.Request.Body(a.edits()...)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.member.URL(a.call.Request.Operation), &outgoing{left: body})
		if err != nil {
			return nil, err
		}
		req.ContentLength = int64(len(body))
		req.Header.Set("Content-Type", "application/json")
		return req, nil
	}
	if p.Body == nil {
		return http.NewRequestWithContext(ctx, p.Method, a.member.passageURL(p), http.NoBody)
	}
	name := a.member.Name
	if p.Named && a.member.classic() {
		name = ""
	}
	body, kind, size, err := p.Body(name)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, p.Method, a.member.passageURL(p), body)
	if err != nil {
		return nil, errors.Join(err, body.Close())
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", kind)
	return req, nil
}

// additions returns what the deployment is to be sent besides what the client
// sent.
func (r *run) additions(m *member) added {
	var add added
	if m.Temperature != Fixed && !m.lessons.fixed.holds() {
		add.temperature = r.temperature
	}
	add.usage = r.call.Request.Stream && !r.call.Request.Operation.Typed() && !r.call.Request.IncludeUsage && !m.lessons.noUsage.holds()
	add.bound = r.call.Added
	if add.bound != "" && r.call.Request.Operation == openai.Chat && m.lessons.swapped.holds() {
		add.bound = otherBound(add.bound)
	}
	return add
}

// otherBound returns the other of the two fields that bound an answer.
func otherBound(name string) string {
	const old, current = "max_tokens", "max_completion_tokens"
	if name == old {
		return current
	}
	return old
}

// edits returns what this deployment is sent differently from what the client
// wrote.
func (a *attempt) edits() []openai.Edit {
	root := a.call.Request.Root
	var edits []openai.Edit
	if !a.member.named(a.call.Request.Operation) {
		name, _ := json.Marshal(a.member.Name) // a string always encodes
		edits = append(edits, root.Set("model", string(name)))
	}
	if t := a.added.temperature; t != nil {
		edits = append(edits, root.Set("temperature", strconv.FormatFloat(*t, 'g', -1, 64)))
	}
	if a.added.usage {
		edits = append(edits, askUsage(root))
	}
	if field := a.added.bound; field != a.call.Added {
		edits = append(edits, root.Set(field, string(root.Get(a.call.Added).Raw())))
		edits = append(edits, root.Unset(a.call.Added)...)
	}
	return edits
}

func askUsage(root openai.Value) openai.Edit {
	if options := root.Get("stream_options"); options.Kind() == openai.Object {
		return options.Set("include_usage", "true")
	}
	return root.Set("stream_options", `{"include_usage":true}`)
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
