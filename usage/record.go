// Package usage is the record of one request, and where records go.
//
// A Record holds facts and no content: no prompt, no answer, no key. A Sink must
// not block and must not keep the record or change it.
package usage

import (
	"context"
	"time"
)

// Outcome says how a request ended, in the words of metrics and logs.
type Outcome string

// The outcomes.
const (
	OK            Outcome = "ok"
	RefusedPolicy Outcome = "refused_policy"
	RefusedLimit  Outcome = "refused_limit"
	ClientError   Outcome = "client_error"
	UpstreamError Outcome = "upstream_error"
	GatewayError  Outcome = "gateway_error"
	ClientGone    Outcome = "client_gone"
)

// Record is what is known of one request. Whoever learns a fact fills it in; it
// belongs to the goroutine that serves the request.
type Record struct {
	Start     time.Time
	RequestID string
	TraceID   string // of the trace that the request belongs to; "" none
	SpanID    string

	Method    string
	Route     string // the route's pattern, never the path that was called
	Client    string // the caller's address
	UserAgent string
	Retry     int // how often the client has tried before, as it says

	Team string
	Key  string // the key's name, never the key

	Status  int // sent to the client; 499 where it had gone
	Outcome Outcome
	Code    string // of the error that was sent

	Operation Operation // that was asked for; "" none that a model does
	Traced    bool      // the request's spans are kept, so that Params is wanted
	Params    *Params   // what the request asks of the model; nil where nobody wants to know

	Model        string // as configured; "" where the request named none that is
	Deployment   string // that answered
	Spilled      string // the one that Azure itself handed the request on to; "" none
	Attempts     []Attempt
	Stream       bool
	FinishReason string
	Served       string // the model that upstream says has answered; "" it does not
	ResponseID   string // that upstream gave its answer
	ServiceTier  string // that it was answered in, as upstream says
	Fingerprint  string // of the system that answered, as upstream says
	Filters      []Filtering

	EstimatedInput int64 // what the prompt was counted to
	Input          int64 // tokens, as upstream reports them
	Cached         int64 // part of Input
	Output         int64
	Reasoning      int64         // part of Output
	Sound          time.Duration // that was heard, where it is paid for by its length
	Counted        bool          // upstream reported no usage: Input and Output are our count

	Reserved     int64 // tokens that were reserved of the allowance
	ReservedCost USD   // that was reserved of the budget
	Cost         USD   // what the tokens cost at the deployment that answered

	Limit       Limit // that refused the request; "" none did
	ShadowLimit Limit // one in shadow mode that would have; "" none

	Policy  string // the name of the policy that decided; "" none did
	Shadow  bool   // that only says what it would do
	Verdict Verdict

	Choices int64 // answers that were asked for; 0 one
	Bound   int64 // on the tokens of each, the client's or the policy's; 0 none

	Escaped  int      // special tokens made harmless
	Trimmed  int      // messages dropped
	Lowered  int64    // the output bound that was set; 0 none
	Shadowed []string // what a policy in shadow mode would have refused, by code, or changed: escape, lower, trim

	Duration   time.Duration
	FirstToken time.Duration // from Start to the first byte of the answer; 0 none
	Upstream   time.Duration // spent waiting for deployments, retries included
	Queued     time.Duration // part of Upstream: until a deployment had room
	Pauses     *Pauses       // of the stream that a deployment answered with; nil where it is none, or nobody wants to know

	AzureRequestID string
	AzureRegion    string
}

// Overhead returns how long the gateway itself kept the client from the first byte
// of its answer, never below 0.
func (r *Record) Overhead() time.Duration {
	until := r.Duration
	if r.FirstToken > 0 {
		until = r.FirstToken
	}
	return max(0, until-r.Upstream)
}

// Attempt is one try at one deployment.
type Attempt struct {
	Deployment  string
	Status      int    // 0 where no answer came
	Reason      string // why it did not answer the request; "" it did
	Sent        bool   // at least part of the request left this process
	Temperature *float64
	Began       time.Duration // since the request's Start
	Wait        time.Duration // before it
	Duration    time.Duration
}

// Sink takes the record of every request, once, after its last byte. The context
// is not done, even if its request's is.
type Sink interface {
	Take(ctx context.Context, r *Record)
}
