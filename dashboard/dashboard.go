// Package dashboard shows what a gateway does: one embedded page, and the JSON
// behind it.
//
// It holds facts of requests and never their content, in memory that is bounded
// whatever clients send; nothing here changes the gateway, and who may ask is
// decided by whoever serves its handlers. It asks nothing of the network.
package dashboard

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"weir/usage"
)

// What is kept in memory, and no more.
const (
	kept       = 10_000 // requests
	maxNames   = 256    // teams, and deployments, with series of their own; the rest is "other"
	maxKeys    = 4_096  // keys with sums of their own
	maxChanges = 200    // of each deployment's state
	maxStreams = 64     // pages that listen at a time
)

// Config is what a Dashboard shows, beside the requests that it takes. The
// functions are called from many goroutines; one that is nil has nothing to say.
type Config struct {
	Version string
	Began   time.Time

	State       func() string // starting, ok or draining
	Live        func() Live
	Teams       func(ctx context.Context) []Team
	Deployments func() []Deployment
	SpentToday  func(ctx context.Context) usage.USD
	Settings    func() Settings

	API  http.Handler // what the playground sends to
	Demo *Demo        // nil: there is a real Azure behind the gateway

	// Admits reports whether who sent a request may be told of what happens still. A
	// stream asks each second. Nil: everybody may.
	Admits func(r *http.Request) bool

	// Refuse answers a request that cannot be answered.
	Refuse func(w http.ResponseWriter, r *http.Request, p *Problem)
}

// Dashboard keeps what it shows. It is a usage.Sink, and safe for concurrent use.
type Dashboard struct {
	cfg     Config
	streams atomic.Int32
	closed  chan struct{}
	close   sync.Once

	mu      sync.Mutex
	ring    ring
	totals  totals
	teams   map[string]*teamSeries
	places  map[string]*placeSeries // of deployments
	holders map[holder]*holding     // of keys
	waiting map[chan struct{}]struct{}

	shown shown // guards itself
}

var _ usage.Sink = (*Dashboard)(nil)

// New returns a Dashboard that has seen nothing yet.
func New(cfg Config) *Dashboard {
	return &Dashboard{
		cfg: cfg, closed: make(chan struct{}),
		totals: newTotals(), teams: map[string]*teamSeries{}, places: map[string]*placeSeries{},
		holders: map[holder]*holding{}, waiting: map[chan struct{}]struct{}{},
	}
}

// Close ends the streams, for good.
func (d *Dashboard) Close() { d.close.Do(func() { close(d.closed) }) }

// Take implements usage.Sink. Health checks, and the gateway's own pages, are no
// requests.
func (d *Dashboard) Take(_ context.Context, r *usage.Record) {
	if ownRoute(r.Route) {
		return
	}
	end := r.Start.Add(r.Duration)
	if r.Start.IsZero() {
		end = time.Now()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ring.add(r)
	d.totals.add(end, r)
	d.team(r.Team).add(end, r)
	d.holder(holder{r.Team, r.Key}).add(end, r)
	for i := range r.Attempts {
		d.place(r.Attempts[i].Deployment).add(end, &r.Attempts[i], r.Result(i))
	}
	for c := range d.waiting {
		select {
		case c <- struct{}{}:
		default: // it is told already
		}
	}
}

// ownRoute reports whether a route is the gateway's own, and no part of the API.
func ownRoute(route string) bool {
	switch route {
	case "/livez", "/readyz", "/healthz", MePath, MePath + "/*":
		return true
	default:
		return false
	}
}

// Watch notes the states of the deployments once a second until ctx is done.
func (d *Dashboard) Watch(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		d.observe(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// observe notes where the state of a deployment is another than it was.
func (d *Dashboard) observe(now time.Time) {
	if d.cfg.Deployments == nil {
		return
	}
	states := d.cfg.Deployments()
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range states {
		d.place(states[i].Name).change(now, states[i].State, states[i].Why)
	}
}
