package upstream

import (
	"io"
	"net/http"
	"strings"
	"time"

	"weir/openai"
	"weir/policy"
)

// aside reports whether a call is for what a resource serves beside its
// deployments, such as files. It goes by one of these, and how it fares says
// nothing of that.
func aside(c *openai.Call) bool {
	return c.Passage != nil && c.Only != "" && !strings.Contains(c.Only, "/")
}

// blind reports whether nobody here knows what doing a call twice would do.
func blind(c *openai.Call) bool {
	return c.Request.Operation == openai.Passages && c.Request.Stored
}

// events returns what reads the events of the answer's body.
func (a *attempt) events(src io.Reader) *openai.Stream {
	op := a.call.Request.Operation
	s := openai.NewStreamOf(op, src)
	if p := a.call.Passage; p != nil && p.Kept {
		s = openai.NewKeptStream(op, src, p.Behind)
	}
	a.body.follow(s)
	return s
}

// spared returns what an attempt showed, and what is to be done, without what would
// be held against the deployment, or for it.
func spared(act policy.Action) (verdict, policy.Action) {
	act.Blame, act.Rest, act.Alarm = false, 0, false
	return neutral, act
}

// learn keeps the name that the deployment's answers have for its model.
func (a *attempt) learn(model string) {
	if !a.aside {
		a.member.lessons.learn(model)
	}
}

// learnTime keeps how long the deployment took to answer.
func (a *attempt) learnTime(stream bool, took time.Duration) {
	if !a.aside {
		a.member.lessons.answered(stream, took)
	}
}

// observe reads what an answer's header says of the deployment's quota.
func (a *attempt) observe(h http.Header) {
	if !a.aside {
		a.member.observe(h.Get, a.begun)
	}
}

// accepted returns what the answer to a call may be.
func accepted(c *openai.Call) string {
	switch {
	case c.Passage != nil && c.Passage.Raw:
		return "*/*"
	case c.Request.Stream:
		return "text/event-stream"
	default:
		return "application/json"
	}
}
