package proxy

import (
	"net/http"
	"sync/atomic"
	"time"

	"weir/openai"
	"weir/policy"
	"weir/quota"
	"weir/usage"
)

// Config is what a Gateway works with.
type Config struct {
	Models map[string]Model // by the names they are listed under
	Names  Names
	Teams  map[string]Team

	// Any serves a model that Names does not know, as it is named; nil refuses
	// it.
	Any func(name string) Model

	Limiter  quota.Limiter
	Outputs  Outputs           // nil: nothing is learned of answers
	Journal  Journal           // nil: nothing is written down
	Signer   *openai.Signer    // of the ids of what upstream keeps
	Owners   map[string]string // the models of the deployments, by what Signer calls these
	Strict   bool              // no answer ends before its record is taken
	Upstream Upstream
	Live     Live // nil: nobody wants to know

	// Resources keep files, batches and all else that no model makes: the preferred
	// first.
	Resources []Resource

	// Backends are all that there are, in any order: what they keep is found again,
	// also where no more files go to them.
	Backends []Resource

	// Passages are the further paths that are handed on.
	Passages []Passage

	// Draining is closed when sessions should end; nil: never.
	Draining <-chan struct{}

	// Today returns what tells of the sender of a request as long as its session
	// lasts; nil: nothing ever changes.
	Today func(r *http.Request) Today

	Uploads Uploads // of files

	MaxBody   int64         // the largest body that is read, in bytes
	MaxBodies int64         // the most bytes of bodies that are held at once; 0 any
	Bodies    *atomic.Int64 // how many are, with those of other Gateways; nil: of this one alone
	KeepAlive time.Duration // between signs of life in a silent stream; 0 none
}

// Resource is a backend as the gateway must know it.
type Resource struct {
	Name   string
	Region string
	Models []string // that have deployments on it, sorted; empty: any
}

// Passage is a path that is handed on as it is, with all below it.
type Passage struct {
	Path     string          // below a base URL, without a slash around it
	Methods  map[string]bool // that are; empty: all
	Resource Resource        // that serves it
	Version  string          // the api-version of Azure's classic paths; "" for the v1 paths
	Teams    map[string]bool // that may call it; empty: all
}

// Model is what the gateway must know of a model.
type Model struct {
	Name    string
	Base    string        // what it really is
	Counter Counter       // counts for what it really is
	Window  policy.Window // its own bounds; a team's are put in

	// Narrowest is the smallest context window of its deployments, which may be
	// smaller than Window's; 0 where none is known.
	Narrowest int64

	Asked   []string               // those of its deployments that are asked unless one is named, sorted
	Prices  map[string]usage.Price // of its deployments
	Dearest usage.Price            // what it costs at most

	Created int64    // when it was configured, in Unix seconds
	Owner   string   // whose it is in listings
	Does    Does     // in the classic one
	Regions []string // that have deployments of it

	Places map[string]string // the regions of its deployments, also of those that are asked no more
}

// prompt returns what a request's prompt comes to, with the files of a form.
func (m *Model) prompt(r *openai.Request) policy.Prompt {
	p := m.Counter.Prompt(r)
	if n := m.attached(r).Prompt; n > 0 {
		p.Total, p.Estimated = p.Total+n, true
	}
	return p
}

// attached returns what the files of a form come to: no tokens where their length is
// what is paid for.
func (m *Model) attached(r *openai.Request) openai.Usage {
	u := r.Attached
	if m.Dearest.Second > 0 {
		u.Prompt = 0
	}
	return u
}

// Does says which of the oldest endpoints a model answers.
type Does struct{ Chat, Completion, Embeddings bool }

// Team is a caller with its policy and its allowance.
type Team struct {
	Name   string
	Owner  string          // whom to ask; "" nobody is named
	Models map[string]bool // that it may use; nil: all

	Regions []string // of the deployments that its requests may go to; empty: any

	Batches bool // it may have batches, whose tokens no limit counts

	Policy string // its name
	Screen policy.Screen
	Window policy.Window // the team's part of it
	Shadow bool          // decide and say so, but let pass

	Own      Allowance            // shared by its keys
	Keys     map[string]Allowance // of its keys, by their names
	Away     quota.Away
	Quantile float64 // of usual answers, which is reserved where a client names no bound; 0: a flat one

	Weight     int            // its share of deployments that have no room for all
	Priorities map[string]int // of its keys, by their names; NormalPriority where a key has none
}

// NormalPriority is that of calls of which nothing else is said.
const NormalPriority = 1

// share returns how calls with one of the team's keys wait for deployments.
func (t *Team) share(key string) openai.Share {
	s := openai.Share{ID: t.Name, Weight: t.Weight, Priority: NormalPriority}
	if p, ok := t.Priorities[key]; ok {
		s.Priority = p
	}
	return s
}
