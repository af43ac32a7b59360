package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/usage"
)

// passed are the headers of an answer that go on to the client. Everything else
// is the connection's, or tells of other teams.
func passed() []string {
	return []string{
		"Apim-Request-Id", "Azureml-Model-Session", "X-Ms-Region", "X-Ms-Deployment-Name", "X-Ms-Rai-Invoked",
		"Azure-Openai-Deployment-Utilization", "Openai-Processing-Ms", "Openai-Version", "X-Content-Type-Options",
	}
}

// showAnswer puts into a header what of an answer's goes on to the client.
func showAnswer(h http.Header, a *openai.Answer) {
	for _, name := range passed() {
		if v := http.Header(a.Header).Get(name); v != "" {
			h.Set(name, v)
		}
	}
	if id := http.Header(a.Header).Get("X-Request-Id"); id != "" {
		h.Set("X-Weir-Upstream-Request-Id", id)
	}
}

// relay hands an answer to the client and notes what it used.
func (g *Gateway) relay(c echo.Context, a *openai.Answer, d *decision, rec *usage.Record) error {
	h := c.Response().Header()
	showAnswer(h, a)
	showUpstream(h, rec)
	showRetry(h, a.RetryAfter, a.NoRetry)
	if a.Content != nil && d.operation.Hears() {
		return g.transcript(c, a, d, rec)
	}
	if a.Content != nil {
		return g.content(c, a, d, rec)
	}
	if a.Stream == nil {
		a.Close(nil) // all of it is here
		d.markWhole(a, rec)
		if !g.cfg.Strict {
			h.Set("Content-Length", strconv.Itoa(len(a.Body))) // or else the end comes behind the sinks
		}
		whole(c, a, d, rec)
		return nil
	}
	return g.stream(c, a, d, rec)
}

// whole hands on a plain answer: a success, or the error that upstream gave.
func whole(c echo.Context, a *openai.Answer, d *decision, rec *usage.Record) {
	rec.Status = a.Status
	switch {
	case a.Status < http.StatusMultipleChoices:
		rec.Outcome, rec.FinishReason = usage.OK, a.Facts.FinishReason
		book(rec, a.Facts, d, read(a, d))
		c.Response().Header().Set("X-Weir-Cost-Usd", strconv.FormatFloat(rec.Cost.Dollars(), 'f', -1, 64))
	case a.Status == http.StatusTooManyRequests, a.Status == http.StatusRequestTimeout, a.Status >= http.StatusInternalServerError:
		rec.Outcome, rec.Code = usage.UpstreamError, codeOf(a.Body)
	default:
		rec.Outcome, rec.Code = usage.ClientError, codeOf(a.Body)
		rec.Filters = filterings(openai.FiltersOf(a.Body))
	}
	left := gone(c.Request().Context()) // whoever leaves behind the last byte has it all
	h := c.Response().Header()
	if a.Status < http.StatusMultipleChoices {
		rec.FirstToken = time.Since(rec.Start) // of a refusal there is none
	}
	h.Set("Content-Type", "application/json")
	if d.stream && d.operation.Hears() && a.Status < http.StatusMultipleChoices {
		a.Body = asStream(a.Body)
		h.Set("Content-Type", "text/event-stream")
		h.Del("Content-Length")
	}
	c.Response().WriteHeader(a.Status)
	p := newPipe(c.Response(), 0)
	for part := range slices.Chunk(a.Body, flushAt) {
		if p.write(part, false) != nil {
			break
		}
	}
	if left || p.err != nil {
		rec.Status, rec.Outcome, rec.Code = statusGone, usage.ClientGone, openai.CodeClientClosed
	}
}

// markWhole gives the ids in a plain answer as the team is to know them. A refusal
// may quote those that upstream was sent.
func (d *decision) markWhole(a *openai.Answer, rec *usage.Record) {
	if a.Status >= http.StatusMultipleChoices {
		for upstream, known := range d.names {
			a.Body = bytes.ReplaceAll(a.Body, []byte(upstream), []byte(known))
		}
		return
	}
	if d.ids == nil {
		return
	}
	if root, err := openai.ReadValue(a.Body); err == nil {
		a.Body = openai.Apply(a.Body, d.ids(root, rec.Deployment)...)
	}
}

// codeOf returns the code in an error that upstream gave, "" where it is nothing
// that a metric could be labeled with.
func codeOf(body []byte) string {
	const most = 64
	root, err := openai.ReadValue(body)
	if err != nil {
		return ""
	}
	code := root.Get("error").Get("code").Text()
	foreign := func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}
	if len(code) > most || strings.ContainsFunc(code, foreign) {
		return ""
	}
	return code
}

// read counts a plain answer that does not say what it used; nil for one that
// does, or is not charged.
func read(a *openai.Answer, d *decision) *tally {
	if a.Facts.HasUsage || d.free {
		return nil
	}
	seen := &tally{counter: d.model.Counter}
	if root, err := openai.ReadValue(a.Body); err == nil {
		openai.Generated(root, seen.add)
		seen.hear(root)
	}
	return seen
}

// book notes what an answer used: what upstream reports, or else our own count,
// of the prompt and of what was seen of the answer. Its price is that of the
// deployment that gave it.
func book(rec *usage.Record, f openai.Facts, d *decision, seen *tally) {
	answered(rec, &f)
	if d.free {
		return
	}
	u := f.Usage
	if !f.HasUsage {
		rec.Counted = true
		u = d.counted(seen)
	}
	u = d.sorted(u)
	rec.Input, rec.Output, rec.Cached, rec.Reasoning = u.Prompt, u.Completion, u.Cached, u.Reasoning
	price := d.model.price(rec)
	if rec.Sound = lengthOf(f.Usage); !f.HasUsage && price.Second > 0 {
		rec.Sound = lengthOf(d.attached)
	}
	rec.Cost = price.Cost(spent(u)).Plus(price.Sound(rec.Sound))
}

// stream hands on a stream, event by event. One that ends before it is whole ends
// in an error event and a broken connection, so that no client takes it for an
// answer.
func (g *Gateway) stream(c echo.Context, a *openai.Answer, d *decision, rec *usage.Record) error {
	h := c.Response().Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no")
	c.Response().WriteHeader(a.Status)
	rec.Status = a.Status
	seen := &tally{counter: d.model.Counter}
	p := newPipe(c.Response(), g.cfg.KeepAlive)
	if a.Stream.Waiting() {
		p.alive() // the client has waited long enough to see a beginning
	}
	w := openai.NewRewriter(openai.Profile{Operation: d.operation, OpenAI: !azurePath(c.Path()), HideUsage: !d.usage})
	err := copyEvents(p, a.Stream, w, func(e openai.Event) {
		if rec.FirstToken == 0 && e.Content {
			rec.FirstToken = time.Since(rec.Start)
		}
		openai.Generated(e.Root, seen.add)
		if d.aloud {
			seen.hear(e.Root)
		}
	}, func(e *openai.Event) {
		if d.ids != nil {
			e.Edit(d.ids(e.Root, rec.Deployment)...)
		}
	})
	book(rec, a.Stream.Facts, d, seen)
	rec.FinishReason = a.Stream.FinishReason
	err = ended(c, err, rec)
	if _, cut := errors.AsType[*openai.CutError](err); cut {
		_ = p.write(w.AppendError(nil, interrupted()), true) // the connection breaks either way
	}
	p.close()
	a.Close(err)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// ended notes how an answer that was handed on piece by piece ended. The error is
// errLeft where that was the client's doing, nil where all of it went out, and else
// as it was.
func ended(c echo.Context, err error, rec *usage.Record) error {
	rec.Outcome = usage.OK
	_, cut := errors.AsType[*openai.CutError](err)
	switch {
	case err == nil:
	case gone(c.Request().Context()), !cut && !errors.Is(err, errReported):
		rec.Outcome, rec.Status, rec.Code = usage.ClientGone, statusGone, openai.CodeClientClosed
		err = errLeft
	default:
		rec.Outcome, rec.Code = usage.UpstreamError, openai.CodeInterrupted
	}
	return err
}

var (
	errReported = errors.New("proxy: upstream ended the stream with an error")
	errLeft     = errors.New("proxy: the client left")
)

func interrupted() *openai.Error {
	return &openai.Error{
		Status: http.StatusBadGateway, Type: "server_error", Code: openai.CodeInterrupted,
		Message: "The deployment's stream broke off. What was received is not the whole answer. Send the request again.",
	}
}

// copyEvents writes every event to the client, in its own dialect. The error is
// nil for a stream that was whole, errReported for one that upstream ended with an
// error event, a *openai.CutError for one that was cut, and else what writing
// failed with.
func copyEvents(p *pipe, s *openai.Stream, w *openai.Rewriter, note func(openai.Event), mark func(*openai.Event)) error {
	var buf []byte
	for {
		e, err := s.Next()
		if errors.Is(err, io.EOF) {
			return p.write(w.AppendEnd(buf), false)
		}
		if err != nil {
			return errors.Join(p.write(buf, true), err)
		}
		note(e)
		mark(&e)
		buf = w.Append(buf, e)
		if e.Done {
			return p.write(buf, false)
		}
		if e.Err.Kind() != openai.Missing {
			return errors.Join(p.write(buf, true), errReported)
		}
		if s.Buffered() && len(buf) < flushAt {
			continue
		}
		if err := p.write(buf, true); err != nil {
			return err
		}
		buf = buf[:0]
	}
}
