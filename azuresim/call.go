package azuresim

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

// call is one request while it is answered.
type call struct {
	srv    *Server
	w      http.ResponseWriter
	r      *http.Request
	route  route
	dep    Deployment
	known  bool // dep is one of the resource's
	raw    []byte
	unread error // of reading the body
	step   Step
	form   *form        // nil where the body is none
	chat   *chatRequest // nil until the body is read
	resp   *responseRequest
	gate   ticket
	number int // of the request, from 1
	now    time.Time
	seen   *Request // guarded by srv.mu
	output []int    // bytes written, by choice
	spoken int      // tokens of the sound in the answer
	unique string   // the answer's id, where it is kept
}

func (s *Server) receive(w http.ResponseWriter, r *http.Request) *call {
	c := &call{srv: s, w: w, r: r, now: s.cfg.Now(), route: s.parseRoute(r)}
	c.seen = &Request{
		Method: r.Method, Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery,
		Header: r.Header.Clone(), Time: c.now, ID: c.route.id,
	}
	c.readBody()
	c.route.deployment = c.named()
	c.dep, c.known = s.deployment(c.route.deployment)
	c.seen.Deployment, c.seen.Cancelled = c.route.deployment, c.unread != nil
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived++
	c.number = s.arrived
	if most := s.cfg.Remember; most > 0 && len(s.requests) == most {
		s.requests[0] = nil
		s.requests = s.requests[1:]
	}
	s.requests = append(s.requests, c.seen)
	if r.Method == http.MethodPost || c.route.socket {
		c.step = s.nextStep(c.route.deployment)
	}
	return c
}

// readBody reads the body whole, or a form part by part.
func (c *call) readBody() {
	if boundary, ok := formBoundary(c.r); ok {
		held := int64(partRecorded)
		if c.route.path == "files" {
			held = partHeld
		}
		c.form, c.unread = readForm(c.r.Body, boundary, held)
		c.seen.Size, c.seen.Form = c.form.size, c.form.recorded()
		return
	}
	c.raw, c.unread = io.ReadAll(c.r.Body)
	c.seen.Size, c.seen.Body = int64(len(c.raw)), c.raw
}

// named is the deployment the request names, or the one its route supposes.
func (c *call) named() string {
	rt := c.route
	switch {
	case rt.names == namesNothing || rt.deployment != "":
		return rt.deployment
	case rt.names == namesInQuery && rt.family == familyClassic:
		return c.r.URL.Query().Get("deployment")
	case rt.names == namesInQuery:
		return c.r.URL.Query().Get("model")
	case c.form != nil:
		return cmp.Or(c.form.value("model"), rt.fallback)
	default:
		return cmp.Or(modelOf(c.raw), rt.fallback)
	}
}

func (s *Server) nextStep(deployment string) Step {
	name := strings.ToLower(deployment)
	if own := s.scripts[name]; deployment != "" && len(own) > 0 {
		s.scripts[name] = own[1:]
		return own[0]
	}
	if len(s.script) == 0 {
		return Step{}
	}
	step := s.script[0]
	s.script = s.script[1:]
	return step
}

// note changes the record of the request.
func (c *call) note(change func(*Request)) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	change(c.seen)
}

func (c *call) finish() {
	c.note(func(r *Request) {
		r.Done = true
		c.gate.settle(r.PromptTokens + r.CompletionTokens)
	})
}

// serve answers: a scripted answer at once, else the first check that fails,
// else what its endpoint composes.
func (c *call) serve() {
	if c.unread != nil {
		return
	}
	c.strike(c.step.Fault, "")
	if c.step.whole() {
		c.play()
		return
	}
	checks := []check{(*call).checkKey, (*call).checkRoute, (*call).checkVersion, (*call).checkDeployment}
	for _, check := range append(checks, c.route.checks...) {
		if answer := check(c); answer != nil {
			answer.Delay += c.step.Delay
			c.step = *answer
			break
		}
	}
	c.play()
}

// wait lets d pass and reports whether the client is still there.
func (c *call) wait(d time.Duration) bool {
	ctx := c.r.Context()
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if context.Cause(ctx) != nil {
		c.note(func(r *Request) { r.Cancelled = true })
		return false
	}
	return true
}
