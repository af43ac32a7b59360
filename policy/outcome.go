package policy

import (
	"strconv"
	"time"
)

// Class is what an attempt's end means, whatever it looked like.
type Class uint8

// The classes.
const (
	Answered      Class = iota // an answer, or the whole of its beginning
	BadOutput                  // the model generated what cannot be sent; a lower temperature may cure it
	Fault                      // the deployment failed: a 5xx, a broken answer
	Stalled                    // 408: the deployment gave the request up
	Unreachable                // no connection: nothing of the request left
	Interrupted                // the connection broke behind the request: it may have been executed
	TimedOut                   // no answer in time
	Throttled                  // 429: asked to wait
	Exhausted                  // no quota, no money: waiting a little does not end it
	Misconfigured              // our credential, or a deployment that is not there
	Unsupported                // a 400 about the parameter Param
	Refused                    // any other 4xx: the caller's own
	Gone                       // the client went away
)

// Outcome is what an attempt came to.
type Outcome struct {
	Class      Class
	Status     int           // of the answer; 0 none
	Reason     string        // the class as metrics and logs name it; "" answered
	Param      string        // of an Unsupported
	RetryAfter time.Duration // how long upstream asked to be left alone; 0 it did not say
	Impatient  bool          // of a TimedOut: it was the client that would not wait
	Hung       bool          // of a Gone: nothing had come for so long that the client had a point
	Once       bool          // one more attempt is worth making, and no third
	Taken      bool          // upstream had said that it does what is asked: what it makes of it may be there
}

// Reply is what Read looks at.
type Reply struct {
	Status int
	Header func(name string) string
	Body   []byte // of an answer that is no 2xx; or an error event's data
	Now    time.Time
	Theirs bool // the credential was the caller's own
}

// Read returns what an answer means. Every status below 300 is Answered; a
// stream's error event is read as a reply with status 0.
func Read(r Reply) Outcome {
	if r.Status >= 200 && r.Status < 300 {
		return Outcome{Class: Answered, Status: r.Status}
	}
	f := readFault(r.Body)
	if r.Status == 0 {
		r.Status = f.status()
	}
	o := Outcome{Status: r.Status, RetryAfter: r.wait(f)}
	if r.Status >= 400 && r.Status < 500 {
		o.Class, o.Reason, o.Param = f.refusal(r.Status)
		o.Class = r.whose(o.Class)
		o.Once = o.Class == BadOutput || o.Class == Stalled
		return o
	}
	o.Class, o.Reason = Fault, strconv.Itoa(r.Status)
	switch {
	case r.Status < 400:
		o.Reason = "redirect"
	case r.Status == 500 && f.badContent():
		o.Class, o.Reason, o.Once = BadOutput, "invalid_content_500", true
	case r.Status == 500 && f.badOutput():
		o.Class, o.Reason = BadOutput, "unicode_500"
	}
	return o
}

// whose returns the class of a refusal, which is the caller's where the credential
// was.
func (r Reply) whose(c Class) Class {
	if r.Theirs && c == Misconfigured && (r.Status == 401 || r.Status == 403) {
		return Refused
	}
	return c
}

// wait returns how long upstream asks to be left alone; 0 it does not say.
func (r Reply) wait(f fault) time.Duration {
	d := RetryAfter(r.Header, f.message, r.Now)
	if r.Status == 429 && d == 0 {
		return reset(r.Header)
	}
	return d
}

// refusal reads a 4xx.
func (f fault) refusal(status int) (c Class, reason, param string) {
	number := strconv.Itoa(status)
	switch {
	case f.unpaid(status):
		return Exhausted, "insufficient_quota", ""
	case status == 429:
		return Throttled, number, ""
	case status == 408:
		return Stalled, number, ""
	case f.ours(status):
		return Misconfigured, number, ""
	case status != 400:
		return Refused, number, ""
	case f.badContent():
		return BadOutput, "invalid_content_400", ""
	case f.unsupported() != "":
		return Unsupported, "unsupported_parameter", f.unsupported()
	default:
		return Refused, number, ""
	}
}

// Broken returns the outcome of an attempt that ended without an answer. Sent is
// whether any of the request had left.
func Broken(timedOut, sent bool) Outcome {
	switch {
	case timedOut:
		return Outcome{Class: TimedOut, Reason: "timeout"}
	case sent:
		return Outcome{Class: Interrupted, Reason: "interrupted"}
	default:
		return Outcome{Class: Unreachable, Reason: "connect"}
	}
}
