package usage

import "net/http"

// Result says how an attempt ended, in the words of metrics.
type Result string

// The results of attempts.
const (
	Answered  Result = "ok"
	Throttled Result = "throttled" // the deployment has no room
	Refused   Result = "refused"   // the request was at fault, or the gateway's configuration
	Failed    Result = "error"     // the deployment, or the way to it
	Abandoned Result = "abandoned" // the client left, or the gateway ended
)

// Failure returns why attempt i came to no whole answer, "" where it did: also the last
// one, whose answer may have broken off, or been left, behind its beginning.
func (r *Record) Failure(i int) string {
	reason := r.Attempts[i].Reason
	switch {
	case reason != "" || i < len(r.Attempts)-1:
		return reason
	case r.Outcome == ClientGone:
		return "client_gone"
	case r.Outcome == UpstreamError:
		return "cut_stream"
	default:
		return ""
	}
}

// Result returns how attempt i ended.
func (r *Record) Result(i int) Result {
	switch r.Failure(i) {
	case "":
		return Answered
	case "429", "insufficient_quota":
		return Throttled
	case "client_gone", "stopped":
		return Abandoned
	}
	if status := r.Attempts[i].Status; status >= http.StatusBadRequest && status < http.StatusInternalServerError && status != http.StatusRequestTimeout {
		return Refused
	}
	return Failed
}
