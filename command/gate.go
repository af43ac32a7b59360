package command

import (
	"net/http"
	"sync"

	"github.com/labstack/echo/v4"
)

// gate counts the requests that are under way and closes to new ones.
type gate struct {
	mu     sync.Mutex
	inside int
	cold   bool // something is still being built that requests would wait for
	closed bool
	shut   chan struct{} // closed with the gate
	empty  chan struct{} // closed once the gate is closed and nobody is inside
}

func newGate() *gate { return &gate{shut: make(chan struct{}), empty: make(chan struct{})} }

// count lets requests in and counts them until they leave. It turns nobody away.
func (g *gate) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.move(1)
		defer g.move(-1)
		next.ServeHTTP(w, r)
	})
}

func (g *gate) move(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside += n
	g.settle()
}

// settle notes that the last has left. The caller holds mu.
func (g *gate) settle() {
	if !g.closed || g.inside > 0 {
		return
	}
	select {
	case <-g.empty:
	default:
		close(g.empty)
	}
}

// close makes draining true, and tells those who listen at shut. The channel is
// closed when nobody is inside.
func (g *gate) close() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.closed = true
		close(g.shut)
	}
	g.settle()
	return g.empty
}

// Drain makes the gateway turn new requests away. The channel is closed once none
// is under way.
func (g *Gateway) Drain() <-chan struct{} { return g.gate.close() }

func (g *gate) draining() bool { return g.state() == stateDraining }

// starting notes whether something is still being built that requests need.
func (g *gate) starting(cold bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cold = cold
}

// The states of a gateway, as /readyz tells them.
const (
	stateStarting = "starting"
	stateReady    = "ok"
	stateDraining = "draining"
)

func (g *gate) state() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return stateDraining
	case g.cold:
		return stateStarting
	default:
		return stateReady
	}
}

// livez answers while the process turns.
func (g *gate) livez(c echo.Context) error {
	return c.String(http.StatusOK, "ok\n")
}

// readyz answers whether new requests are taken without delay.
func (g *gate) readyz(c echo.Context) error {
	state := g.state()
	return c.String(readiness(state), state+"\n")
}

func readiness(state string) int {
	if state == stateReady {
		return http.StatusOK
	}
	return http.StatusServiceUnavailable
}
