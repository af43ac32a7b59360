// Package upstream sends a request to a deployment that is up, and tries again
// as the retry rule says.
//
// What an answer means and what follows from it is decided in policy; this
// package carries it out. It knows deployments, not teams: nothing here counts an
// allowance. Until an answer's commit point its caller has seen nothing, so every
// failure before it is invisible; after it, nothing is ever sent again.
package upstream

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"weir/openai"
	"weir/policy"
)

// Config is what a Pool works with.
type Config struct {
	Models map[string]Model // by the names that calls name

	// Any serves every model that Models does not have, under the model's name
	// as the deployment's; nil serves none.
	Any *Deployment

	Retry    policy.Retry
	Breaker  Breaker
	Timeouts Timeouts
	Queue    Queue
	Twin     bool // ask no deployment that would refuse, as far as its quota is known

	Tracing Tracing // what is told of attempts
	Pauses  bool    // records say how the chunks of a stream have come

	Transport http.RoundTripper // used as it is: it follows no redirects
	Log       *slog.Logger      // of changes of state
	Jitter    func() float64    // in [0, 1): how much of a wait is waited; nil: chance
	Steady    bool              // waits are whole, and none is longer than what was asked for
}

// atMost returns how long to wait of a wait that may be shorter.
func (c *Config) atMost(d time.Duration) time.Duration {
	if c.Steady {
		return d
	}
	return time.Duration(float64(d) * c.Jitter())
}

// atLeast returns how long to wait of a wait that may be a little longer, so that
// not all who wait come back at once.
func (c *Config) atLeast(d time.Duration) time.Duration {
	if c.Steady {
		return d
	}
	return d + time.Duration(0.1*float64(d)*c.Jitter())
}

// Model is a model and the deployments that serve it.
type Model struct {
	Deployments []Deployment
	Temperature Temperature
}

// Temperature says whether a model's temperature may be changed.
type Temperature uint8

// The kinds of temperature.
const (
	Unknown    Temperature = iota // only one that the client sent
	Adjustable                    // always
	Fixed                         // never
)

// Deployment is one deployment of a model.
type Deployment struct {
	Backend     string // the name of the resource that it is on
	Name        string // its own, in Azure
	Kind        Kind
	Region      string            // where it is, as calls name it; "" unknown
	Transport   http.RoundTripper // used as it is; nil: the Config's
	Endpoint    *url.URL          // of the resource
	APIVersion  string            // of Azure: dated, of the classic paths; "" or v1 for the v1 paths
	Credential  Credential
	Priority    int // lower is asked first
	Weight      int // the share within one priority; below 1 it is never asked
	MaxInFlight int // requests at once; 0 any
	Temperature Temperature
	Spills      bool         // Azure itself hands on what it cannot serve, to another deployment of the resource
	Quota       policy.Quota // what it admits, where that is known

	ContextWindow int64 // prompt and answer together, in tokens; 0 unknown
	MaxOutput     int64 // the longest answer, in tokens; 0 unknown
}

// fits reports whether a call fits the deployment, whose windows may be smaller
// than those of others that serve the same model.
func (d *Deployment) fits(c *openai.Call) bool {
	return (c.Bearer != "" || !d.passes()) && (d.ContextWindow == 0 || c.Prompt+c.Output <= d.ContextWindow) && (d.MaxOutput == 0 || c.Output <= d.MaxOutput)
}

// ID returns the name by which logs and headers know the deployment.
func (d *Deployment) ID() string { return d.Backend + "/" + d.Name }

// Credential puts what a deployment asks for into a request's header.
type Credential interface {
	Authorize(ctx context.Context, h http.Header) error
}

// Timeouts bound the parts of an attempt. Zero is no bound.
type Timeouts struct {
	FirstByte    time.Duration // of a stream: until anything of it arrives
	FirstContent time.Duration // of a stream: until its first content
	Idle         time.Duration // of a stream: between two arrivals
	Floor        float64       // of a stream: the fewest tokens a second behind its first content
	Total        time.Duration // of a request, all attempts included, until its answer's end
	Commit       time.Duration // of a stream: when to commit although no content has come
}
