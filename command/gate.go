package command

import (
	"encoding/json"
	"net/http"
	"sync"

	"github.com/labstack/echo/v4"

	"weir/upstream"
)

// gate counts the requests that are under way and closes to new ones.
type gate struct {
	mu     sync.Mutex
	inside int
	closed bool
	empty  chan struct{} // closed once the gate is closed and nobody is inside
}

func newGate() *gate { return &gate{empty: make(chan struct{})} }

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

// close makes draining true. The channel is closed when nobody is inside.
func (g *gate) close() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	g.settle()
	return g.empty
}

func (g *gate) draining() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

// livez answers while the process turns.
func (g *gate) livez(c echo.Context) error {
	return c.String(http.StatusOK, "ok\n") //nolint:wrapcheck // echo's own
}

// readyz answers whether new requests are taken.
func (g *gate) readyz(c echo.Context) error {
	if g.draining() {
		return c.String(http.StatusServiceUnavailable, "draining\n") //nolint:wrapcheck // echo's own
	}
	return c.String(http.StatusOK, "ok\n") //nolint:wrapcheck // echo's own
}

// health serves the health endpoints on the admin port, with the state of each
// deployment for who asks for it.
func health(g *gate, pool *upstream.Pool) http.Handler {
	e := echo.New()
	e.GET("/livez", g.livez)
	ready := func(c echo.Context) error {
		if !c.QueryParams().Has("verbose") {
			return g.readyz(c)
		}
		status, state := http.StatusOK, "ok"
		if g.draining() {
			status, state = http.StatusServiceUnavailable, "draining"
		}
		b, err := json.MarshalIndent(map[string]any{"state": state, "limits": "local only: each replica counts alone", "deployments": pool.States()}, "", "  ")
		if err != nil {
			return err //nolint:wrapcheck // a state always encodes
		}
		return c.Blob(status, "application/json", append(b, '\n')) //nolint:wrapcheck // echo's own
	}
	e.GET("/readyz", ready)
	e.GET("/healthz", ready)
	return e
}
