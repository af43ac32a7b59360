package azuresim

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// play sends c.step: a raw answer, or a completion in the way the step says.
func (c *call) play() {
	s := &c.step
	if !c.wait(s.Delay) {
		return
	}
	switch {
	case s.CloseAfterRead:
		c.hangUp()
	case s.Hang:
		<-c.r.Context().Done()
		c.wait(0)
	case s.Status != 0:
		c.head(s.Status, "application/json")
		c.whole(s.Body)
	case s.Chunks != nil:
		c.head(http.StatusOK, "text/event-stream")
		c.raws(s.Chunks)
	default:
		c.complete()
	}
}

// complete answers with what the endpoint composes.
func (c *call) complete() {
	if c.route.socket {
		c.converse()
		return
	}
	if !c.background() && !c.wait(c.dep.Latency) {
		return
	}
	answer, events := c.route.compose(c)
	if answer == nil {
		c.successHeaders(c.w.Header())
		c.w.Header().Set("x-accel-buffering", "no")
		c.w.Header().Set("Cache-Control", "no-cache")
		c.head(http.StatusOK, "text/event-stream")
		c.stream(events)
		return
	}
	if c.chat != nil && answer.Status < http.StatusBadRequest {
		c.successHeaders(c.w.Header())
	}
	maps.Copy(c.w.Header(), answer.Header)
	c.head(answer.Status, cmp.Or(c.w.Header().Get("Content-Type"), "application/json"))
	if answer.Chunks != nil {
		c.raws(answer.Chunks)
		return
	}
	c.whole(answer.Body)
}

// wantsStream reports whether the answer is to be a stream.
func (c *call) wantsStream() bool { return c.chat.stream && !c.step.shape.plain }

// bill notes what a plain answer costs.
func (c *call) bill(output int) {
	c.note(func(r *Request) { r.PromptTokens, r.CompletionTokens = c.chat.promptTokens(), output })
}

// head sets the headers every answer has, and then those of the step. The
// status goes out with the first byte.
func (c *call) head(status int, mime string) {
	h := c.w.Header()
	h.Set("Content-Type", cmp.Or(c.step.shape.mime, mime))
	request := fmt.Sprintf("%08x-0000-4000-8000-%012x", c.number, c.number)
	if c.azure() {
		h.Set("apim-request-id", request)
		h.Set("x-ms-region", c.srv.cfg.Region)
		h.Set("x-content-type-options", "nosniff")
	} else {
		request = "req_" + strings.ReplaceAll(request, "-", "")
	}
	h.Set("x-request-id", request)
	h.Set("strict-transport-security", "max-age=31536000; includeSubDomains; preload")
	if id := c.r.Header.Get("x-ms-client-request-id"); id != "" {
		h.Set("x-ms-client-request-id", id)
	}
	for name, values := range c.step.Header {
		h[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	if c.step.Gzip {
		h.Set("Content-Encoding", "gzip")
	}
	c.note(func(r *Request) { r.Status = status })
}

// whole sends a body of a known length.
func (c *call) whole(body string) {
	o := c.open()
	if c.step.Gzip {
		body = compress(body)
		o.gzip = nil // It is done.
	}
	h := c.w.Header()
	if !c.step.shape.unfinish && !c.step.shape.endless && h.Get("Content-Length") == "" {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	c.w.WriteHeader(c.seen.Status)
	switch {
	case c.step.shape.endless:
		err := o.send(body)
		for err == nil {
			err = o.send(body)
		}
		c.end(err)
	case c.step.shape.unfinish:
		err := o.send(body[:len(body)/2])
		if err == nil {
			<-c.r.Context().Done()
			err = errGone
		}
		c.end(err)
	default:
		c.end(o.send(body))
	}
}

// raws sends chunks as they are.
func (c *call) raws(chunks []string) {
	o := c.open()
	c.w.WriteHeader(c.seen.Status)
	for _, chunk := range chunks {
		if err := o.send(chunk); err != nil {
			c.end(err)
			return
		}
	}
	c.linger(o)
}

// stream sends events, with the step's injection, pause and cut in their places.
func (c *call) stream(list []event) {
	o := c.open()
	c.w.WriteHeader(c.seen.Status)
	if c.chat != nil {
		c.note(func(r *Request) { r.PromptTokens = c.chat.promptTokens() })
	}
	sent, last := 0, -1
	for i := 0; i < len(list); i++ {
		if sent > last {
			last = sent
			if err := c.interrupt(o, sent, i); err != nil {
				c.end(err)
				return
			}
		}
		frame := c.step.shape.frame(list[i])
		if c.step.CutEvents > 0 && sent >= c.step.CutEvents {
			c.cut(o, frame)
			return
		}
		if err := o.send(frame); err != nil {
			c.end(err)
			return
		}
		c.served(list[i])
		if !c.step.OfContent || list[i].kind == kindContent {
			sent++
		}
		if c.step.shape.endless && list[i].kind == kindContent {
			i--
		}
	}
	c.linger(o)
}

// interrupt does what the step wants after so many events that count, and so
// many of all.
func (c *call) interrupt(o *wire, sent, all int) error {
	if c.step.shape.inject != nil {
		c.step.Inject = c.step.shape.inject(all)
	}
	if c.step.Inject != "" && sent == c.step.InjectAt {
		if err := o.send(c.step.Inject); err != nil {
			return err
		}
	}
	if c.step.Pause > 0 && sent == c.step.PauseAt && !c.wait(c.step.Pause) {
		return errGone
	}
	return nil
}

// cut ends a stream before next, or in its middle.
func (c *call) cut(o *wire, next string) {
	var err error = errCut
	if c.step.CutMid {
		if e := o.send(next[:len(next)/2]); e != nil {
			err = e
		}
	}
	c.end(err)
}

// served counts what e brought the client.
func (c *call) served(e event) {
	if e.bytes == 0 || c.chat == nil {
		return
	}
	for len(c.output) <= e.choice {
		c.output = append(c.output, 0)
	}
	c.output[e.choice] += e.bytes
	sum := c.reasoningTokens()
	for _, bytes := range c.output {
		sum += textTokens(bytes)
	}
	c.note(func(r *Request) { r.CompletionTokens = sum })
}

// linger ends an answer that is whole.
func (c *call) linger(o *wire) {
	if c.wait(c.step.shape.linger) {
		c.end(o.close())
	}
}

// end ends the body as err and the step say.
func (c *call) end(err error) {
	switch {
	case err != nil && !errors.Is(err, errCut):
		c.note(func(r *Request) { r.Cancelled = true })
	case c.step.Reset:
		c.hangUp()
	}
}

// gap is the time between two writes.
func (c *call) gap() time.Duration { return cmp.Or(c.step.Gap, c.dep.Gap) }
