package azuresim

import (
	"crypto/rand"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config describes a resource. The zero value accepts any key and any
// deployment and has no limits.
type Config struct {
	// Deployments are the deployments by name, which is matched without regard
	// to case. Nil accepts any name as a deployment whose Model is its name.
	Deployments map[string]Deployment
	Key         string           // expected as api-key or as bearer; "" with no Token accepts anything
	Token       string           // an Entra bearer token that is accepted too; "" for none
	Region      string           // x-ms-region; "" is East US 2
	AsyncFilter bool             // every deployment filters asynchronously
	Name        string           // makes the ids of what it keeps; two of one name know each other's reasoning; "" is like no other
	Now         func() time.Time // nil is time.Now
	Remember    int              // how many of the latest requests Requests returns; 0 is all, which takes memory without end
}

// Deployment is one model behind the resource. Its zero value answers at once,
// without limits.
type Deployment struct {
	Model           string        // the "model" of answers, such as gpt-4o-2024-11-20; "" is the deployment's name
	TPM             int           // tokens admitted in a sliding minute; 0 for no limit
	RPM             int           // requests a minute, a sixth of it in any ten seconds; 0 for no limit
	Provisioned     bool          // limits by utilization of TPM and refuses with a wait in milliseconds
	ContextWindow   int           // prompt and completion together, in tokens; 0 for no limit
	MaxOutput       int           // the largest completion in tokens; 0 for no limit
	Reasoning       bool          // refuses max_tokens, sampling parameters and stop
	NoStreamOptions bool          // refuses stream_options, as old versions do
	Latency         time.Duration // before the first byte
	Gap             time.Duration // before each further chunk
	AsyncFilter     bool          // tokens without annotations, annotations without delta
}

// Request is what arrived in one request and what became of it.
type Request struct {
	Method     string
	Path       string // as sent, still escaped
	RawQuery   string
	Header     http.Header
	Body       []byte    // nil for a multipart form
	Size       int64     // of the body, in bytes
	Form       []Part    // of a multipart form, in order
	Messages   []string  // of a WebSocket, the first thousand
	ID         string    // in the path, such as a response's or a file's
	Deployment string    // as the caller named it, "" where no deployment was named
	Time       time.Time // of arrival

	Status           int  // sent; 0 until there is one, and where the connection was closed instead
	Cancelled        bool // the client went away before the answer was whole
	Done             bool // the handler has returned
	PromptTokens     int  // served: the prompt's, once an answer was begun
	CompletionTokens int  // served: those written to the client
}

// Server is a simulated resource. It is safe for concurrent use.
type Server struct {
	cfg    Config
	faults func() map[string]fault // built when the first is asked for
	routes func() []endpoint
	secret []byte // of the name

	mu       sync.Mutex
	arrived  int        // requests
	requests []*Request // the latest of them
	script   []Step
	scripts  map[string][]Step     // by lower-case deployment
	gates    map[string]*admission // by lower-case deployment
	strikes  map[string]int        // by fault and messages
	kept     state
}

var _ http.Handler = (*Server)(nil)

// New returns a resource as cfg describes it. It keeps cfg.Deployments, which
// must not be changed afterwards.
func New(cfg Config) *Server {
	if cfg.Region == "" {
		cfg.Region = "East US 2"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{cfg: cfg, faults: sync.OnceValue(faults), routes: sync.OnceValue(endpoints), secret: []byte(cfg.Name)}
	if cfg.Name == "" {
		s.secret = []byte(rand.Text())
	}
	s.Reset()
	return s
}

// Script makes the next requests that create something (POST, and the opening of
// a WebSocket), in order of arrival, be answered by steps. Steps that were set before and are not used up come first.
func (s *Server) Script(steps ...Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append(s.script, steps...)
}

// ScriptDeployment is Script for requests to one deployment only. Its steps
// come before those of Script.
func (s *Server) ScriptDeployment(name string, steps ...Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name = strings.ToLower(name)
	s.scripts[name] = append(s.scripts[name], steps...)
}

// Requests returns what arrived so far, in order, as far as it is remembered. The
// caller owns the slice but must not change headers and bodies.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Request, len(s.requests))
	for i, r := range s.requests {
		all[i] = *r
	}
	return all
}

// Reset forgets requests, scripts, limits used, faults counted and all that was
// stored.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived, s.requests, s.script = 0, nil, nil
	s.scripts = map[string][]Step{}
	s.gates = map[string]*admission{}
	s.strikes = map[string]int{}
	s.kept = newState()
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := s.receive(w, r)
	defer c.finish()
	c.serve()
}

// deployment returns the deployment called name.
func (s *Server) deployment(name string) (Deployment, bool) {
	if s.cfg.Deployments == nil {
		return Deployment{Model: name}, name != ""
	}
	for known, d := range s.cfg.Deployments {
		if strings.EqualFold(known, name) {
			if d.Model == "" {
				d.Model = known
			}
			return d, true
		}
	}
	return Deployment{}, false
}

// models returns the names of the models behind the deployments, sorted.
func (s *Server) models() []string {
	if s.cfg.Deployments == nil {
		return []string{"gpt-35-turbo", "gpt-4o", "gpt-4o-mini"}
	}
	set := map[string]bool{}
	for name, d := range s.cfg.Deployments {
		if d.Model != "" {
			name = d.Model
		}
		set[name] = true
	}
	return slices.Sorted(maps.Keys(set))
}
