package openai

import (
	"io"
	"time"
)

// Call is a request on its way upstream.
type Call struct {
	Request *Request            // of a Passage: what decides of one
	Passage *Passage            // nil: Request is what is sent
	Model   string              // the configured model that serves it
	Header  map[string][]string // what goes along of the client's header
	Added   string              // the field of the output bound that the gateway added; "" none
	Only    string              // the one deployment that it may go to, as Owner calls it, or the one backend; "" any
	Retries int                 // how often the client itself has tried before
	Prompt  int64               // its length in tokens; 0 unknown
	Output  int64               // the bound on each choice of its answer; 0 none
	Within  time.Duration       // how long the client waits for a beginning; 0 it did not say
	Regions []string            // the only ones that it may go to; empty: any
	Bearer  string              // the token of the client's own, where it sent one that is no key
	Share   Share               // on whose behalf, where there is not room for all
}

// Passage is what a call sends that the gateway does not read: all of it but the
// body and the deployment's name is decided before a deployment is chosen.
type Passage struct {
	Method  string
	Path    string              // below an API's base, without a slash before it
	Named   bool                // Azure's classic paths name the deployment before it
	Asked   bool                // the query names the deployment, in each API's own way
	Preview bool                // a preview of Azure's classic API is meant: the deployment's, or else Version
	Query   string              // without its api-version
	Header  map[string][]string // beside the call's

	// Kept is set for the reading of what was made before: that it failed then is no
	// failure of now. Behind is set where no more of it is asked for than what follows
	// some event, which may be nothing.
	Kept, Behind bool

	// Version is the api-version of Azure's classic paths, for what has no other;
	// "" for the paths of the deployment.
	Version string

	// Raw is set for what is answered in a form that nobody here knows: a success is
	// handed on as it comes.
	Raw bool

	// Body returns the body anew for each attempt, its type and its size, -1 where
	// that is not known, for a deployment of that name, "" where the path names it.
	// Nil: there is none.
	Body func(deployment string) (body io.ReadCloser, contentType string, size int64, err error)
}

// Share says how calls are treated that wait for the same deployments.
type Share struct {
	ID       string // calls of one share wait in one line
	Weight   int    // how much of the room a share may have beside others; below 1 is 1
	Priority int    // a lower one goes first; from 0 to Priorities-1
}

// Priorities is how many priorities there are: high, normal and low.
const Priorities = 3

// Candidate is a deployment that could answer a call.
type Candidate struct {
	Deployment string `json:"deployment"`
	Chosen     bool   `json:"chosen"`           // it would be asked first
	Reason     string `json:"reason,omitempty"` // why another would be, or why it cannot
}

// Answer is what a call came to, from its commit point on: a whole plain answer,
// or a stream whose first content has arrived.
type Answer struct {
	Status     int
	Header     map[string][]string
	Body       []byte             // of a plain answer
	Stream     *Stream            // nil for a plain answer
	Content    io.Reader          // of an answer that is no JSON, such as sound; nil for any other
	Socket     io.ReadWriteCloser // the connection, of an answer that has switched protocols; nil for any other
	Facts      Facts              // of a plain answer below 300
	RetryAfter time.Duration      // when asking again may help; 0 unknown
	NoRetry    bool               // everything that could be tried has been

	// Close must be called once the answer has been relayed, with nil, or given
	// up, with the reason. A *CutError is held against the deployment, and so is
	// an error event that the stream ended in, unless the caller is to blame. Called
	// again it does nothing.
	Close func(err error)
}
