package redisquota_test

import (
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy passes bytes to a server, each chunk as late as it is told to. A
// server that is stopped hides what one that is slow shows: answers that come
// when nobody waits for them any more.
type proxy struct {
	url   string
	delay atomic.Int64
}

// slowed starts a proxy in front of the server.
func (s *server) slowed(t *testing.T) *proxy {
	t.Helper()
	path := filepath.Join(s.dir, "p")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{url: "unix://" + path}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("unix", s.socket())
			if err != nil {
				from.Close()
				continue
			}
			all.Go(func() { p.pass(to, from) })
			all.Go(func() { p.pass(from, to) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		s.kill() // which ends all connections
		all.Wait()
	})
	return p
}

func (p *proxy) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if d := time.Duration(p.delay.Load()); d > 0 {
			<-time.After(d)
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
