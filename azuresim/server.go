package azuresim

import (
	"context"
	"io"
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
	Now         func() time.Time // nil is time.Now
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
	Body       []byte
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

	mu       sync.Mutex
	requests []*Request
	script   []Step
	scripts  map[string][]Step     // by lower-case deployment
	gates    map[string]*admission // by lower-case deployment
	strikes  map[string]int        // by fault and messages
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
	s := &Server{cfg: cfg, faults: sync.OnceValue(faults)}
	s.Reset()
	return s
}

// Script makes the next requests with a body, in order of arrival, be answered
// by steps. Steps that were set before and are not used up come first.
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

// Requests returns what arrived so far, in order. The caller owns the slice but
// must not change headers and bodies.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Request, len(s.requests))
	for i, r := range s.requests {
		all[i] = *r
	}
	return all
}

// Reset forgets requests, scripts, limits used and faults counted.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.script = nil, nil
	s.scripts = map[string][]Step{}
	s.gates = map[string]*admission{}
	s.strikes = map[string]int{}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := s.receive(w, r)
	defer c.finish()
	c.serve()
}

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
	chat   *chatRequest // nil until the body is read
	gate   ticket
	number int // of the request, from 1
	now    time.Time
	seen   *Request // guarded by srv.mu
	output []int    // bytes written, by choice
}

func (s *Server) receive(w http.ResponseWriter, r *http.Request) *call {
	body, err := io.ReadAll(r.Body)
	c := &call{srv: s, w: w, r: r, raw: body, unread: err, now: s.cfg.Now()}
	c.route = parseRoute(r, body)
	c.dep, c.known = s.deployment(c.route.deployment)
	c.seen = &Request{
		Method: r.Method, Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery,
		Header: r.Header.Clone(), Body: body, Deployment: c.route.deployment, Time: c.now,
		Cancelled: err != nil,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, c.seen)
	c.number = len(s.requests)
	if r.Method == http.MethodPost {
		c.step = s.nextStep(c.route.deployment)
	}
	return c
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
// else a completion.
func (c *call) serve() {
	if c.unread != nil {
		return
	}
	c.strike(c.step.Fault, "")
	if c.step.whole() {
		c.play()
		return
	}
	checks := []func() *Step{
		c.checkKey, c.checkRoute, c.checkVersion, c.checkDeployment, c.listModels,
		c.readChat, c.askedFault, c.checkChat, c.checkParameters, c.checkWindow, c.admit,
	}
	for _, check := range checks {
		if answer := check(); answer != nil {
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
