package policy

import (
	"math"
	"strconv"
	"strings"
	"time"

	"weir/openai"
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
	Exhausted                  // 429 that waiting does not end: no quota, no money
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
}

// Reply is what Read looks at.
type Reply struct {
	Status int
	Header func(name string) string
	Body   []byte // of an answer that is no 2xx; or an error event's data
	Now    time.Time
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
	o := Outcome{Status: r.Status, RetryAfter: RetryAfter(r.Header, f.message, r.Now)}
	if r.Status >= 400 && r.Status < 500 {
		o.Class, o.Reason, o.Param = f.refusal(r.Status)
		return o
	}
	o.Class, o.Reason = Fault, strconv.Itoa(r.Status)
	switch {
	case r.Status < 400:
		o.Reason = "redirect"
	case r.Status == 500 && f.badOutput():
		o.Class, o.Reason = BadOutput, "unicode_500"
	}
	return o
}

// refusal reads a 4xx.
func (f fault) refusal(status int) (c Class, reason, param string) {
	number := strconv.Itoa(status)
	switch {
	case status == 429 && (f.code == "insufficient_quota" || f.kind == "insufficient_quota"):
		return Exhausted, "insufficient_quota", ""
	case status == 429:
		return Throttled, number, ""
	case status == 408:
		return Stalled, number, ""
	case f.ours(status):
		return Misconfigured, number, ""
	case status != 400:
		return Refused, number, ""
	case f.badOutput():
		return BadOutput, "invalid_content_400", ""
	case f.unsupported() != "":
		return Unsupported, "unsupported_parameter", f.unsupported()
	default:
		return Refused, number, ""
	}
}

// fault is what an error body says.
type fault struct {
	message, kind, code, param string
}

// maxWording is how much of a message is looked at.
const maxWording = 4 << 10

// readFault reads an error body in any of the forms that Azure and the proxies
// before it use. It need not be JSON.
func readFault(body []byte) fault {
	root, err := openai.ParseValue(body)
	if err != nil {
		return fault{}
	}
	e := root.Get("error")
	if e.Kind() != openai.Object {
		e = root
	}
	f := fault{
		message: e.Get("message").Text(),
		kind:    e.Get("type").Text(),
		code:    e.Get("code").Text(),
		param:   e.Get("param").Text(),
	}
	if f.message == "" {
		f.message = root.Get("error").Text()
	}
	f.message = strings.ToLower(f.message[:min(len(f.message), maxWording)])
	return f
}

// status returns the status that an error event stands for.
func (f fault) status() int {
	if n, err := strconv.Atoi(f.code); err == nil && n >= 400 && n < 600 {
		return n
	}
	switch {
	case f.kind == "requests", f.kind == "tokens", strings.Contains(f.kind, "rate_limit"),
		f.code == "rate_limit_exceeded", f.code == "insufficient_quota":
		return 429
	case f.code == "content_filter", f.code == "context_length_exceeded", f.kind == "invalid_request_error":
		return 400
	default:
		return 500
	}
}

// badOutput reports whether the model generated something that cannot be sent.
// The wordings are Azure's, as its documentation and its users report them.
func (f fault) badOutput() bool {
	return f.code == "invalid_model_output" ||
		strings.Contains(f.message, "the model generated invalid unicode output") ||
		strings.Contains(f.message, "unexpected special token") ||
		strings.Contains(f.message, "the model produced invalid content")
}

// ours reports whether an answer is the fault of our configuration: a credential
// that is not accepted, or a deployment that does not exist.
func (f fault) ours(status int) bool {
	switch status {
	case 401, 403:
		return true
	case 404:
		return strings.EqualFold(f.code, "DeploymentNotFound") || f.code == "model_not_found"
	case 400:
		return strings.Contains(f.message, "could not find an existing deployment")
	default:
		return false
	}
}

// unsupported returns the parameter that upstream does not take, "" where the
// complaint is another.
func (f fault) unsupported() string {
	if f.code != "unsupported_parameter" && f.code != "unsupported_value" &&
		!strings.Contains(f.message, "unsupported") && !strings.Contains(f.message, "unrecognized request argument") {
		return ""
	}
	if f.param != "" {
		return strings.TrimSuffix(f.param, ".include_usage")
	}
	for _, name := range []string{"stream_options", "temperature", "max_completion_tokens", "max_tokens"} {
		if strings.Contains(f.message, name) {
			return name
		}
	}
	return ""
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

// RetryAfter returns how long an answer asks to be left alone: by
// retry-after-ms, x-ms-retry-after-ms, retry-after in seconds or as a date, or by
// the words "retry after N seconds" and their kind in the message. 0 is that it
// does not say, or that the time has passed.
func RetryAfter(header func(string) string, message string, now time.Time) time.Duration {
	for _, name := range []string{"Retry-After-Ms", "X-Ms-Retry-After-Ms"} {
		if d, ok := number(header(name), time.Millisecond); ok {
			return d
		}
	}
	after := strings.TrimSpace(header("Retry-After"))
	if d, ok := number(after, time.Second); ok {
		return d
	}
	for _, layout := range []string{time.RFC1123, time.RFC850, time.ANSIC} {
		if at, err := time.Parse(layout, after); err == nil {
			return max(0, at.Sub(now))
		}
	}
	return inWords(strings.ToLower(message))
}

// inWords finds how long to wait in a message.
func inWords(message string) time.Duration {
	for _, phrase := range []string{"retry after ", "try again in "} {
		_, rest, _ := strings.Cut(message, phrase)
		digits := strings.TrimLeft(rest, "0123456789.")
		unit := time.Second
		if after := strings.TrimSpace(digits); strings.HasPrefix(after, "ms") || strings.HasPrefix(after, "milli") {
			unit = time.Millisecond
		}
		if d, ok := number(strings.TrimRight(rest[:len(rest)-len(digits)], "."), unit); ok {
			return d
		}
	}
	return 0
}

// number returns s units, kept within a year. What is no number from 0 on is not
// ok.
func number(s string, unit time.Duration) (d time.Duration, ok bool) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsNaN(f) || f < 0 {
		return 0, false
	}
	const year = 365 * 24 * time.Hour
	return time.Duration(min(f*float64(unit), float64(year))), true
}
