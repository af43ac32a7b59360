package quotatest

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Road passes bytes to a server's socket, each chunk as late as it is told to: what is
// slow answers when nobody waits any more, which what is stopped never does.
type Road struct {
	Address string       // where it listens
	Delay   atomic.Int64 // of each chunk, a time.Duration

	listener net.Listener
	all      sync.WaitGroup
}

// NewRoad returns a road from an address of its own to the socket. It must be closed.
func NewRoad(t *testing.T, socket string) *Road {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // of a test
	if err != nil {
		t.Fatal(err)
	}
	r := &Road{Address: listener.Addr().String(), listener: listener}
	r.all.Go(func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("unix", socket) //nolint:noctx // of a test
			if err != nil {
				_ = from.Close()
				continue
			}
			r.all.Go(func() { r.pass(to, from) })
			r.all.Go(func() { r.pass(from, to) })
		}
	})
	return r
}

// Close takes no further connections, and waits until those that there are have ended:
// the server must end them.
func (r *Road) Close() {
	_ = r.listener.Close()
	r.all.Wait()
}

// pass passes what comes from one side on to the other, until either ends.
func (r *Road) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if d := time.Duration(r.Delay.Load()); d > 0 {
			<-time.After(d)
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
