package redisquota_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"weir/quota/redisquota"
)

// server is a redis-server of a test's own, on a socket in its directory.
type server struct {
	t       testing.TB
	dir     string
	args    []string
	process *exec.Cmd
	client  *redis.Client
	used    atomic.Int64 // databases
}

// start starts a server, which ends with the test. It keeps nothing on disk.
func start(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir(), args: args}
	s.client = redis.NewClient(&redis.Options{Network: "unix", Addr: s.socket(), ContextTimeoutEnabled: true, MaxRetries: -1})
	s.run()
	t.Cleanup(func() {
		s.kill()
		s.client.Close()
	})
	return s
}

func (s *server) socket() string { return filepath.Join(s.dir, "s") }
func (s *server) url() string    { return "unix://" + s.socket() }

// next returns the URL of a database that nobody has used.
func (s *server) next() string {
	return s.url() + "?db=" + strconv.FormatInt(s.used.Add(1), 10)
}

// run runs the server and waits until it answers.
func (s *server) run() {
	s.t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		s.t.Fatalf("%v: run apt-get install --yes redis-server", err)
	}
	args := append([]string{"--port", "0", "--unixsocket", s.socket(), "--save", "", "--appendonly", "no", "--dir", s.dir}, s.args...)
	s.process = exec.Command(program, args...)
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.until("the server answers", func() bool { return s.client.Ping(s.t.Context()).Err() == nil })
}

// kill ends the server at once.
func (s *server) kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.process.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// now returns the server's time.
func (s *server) now() time.Time {
	s.t.Helper()
	now, err := s.client.Time(context.Background()).Result()
	if err != nil {
		s.t.Fatal(err)
	}
	return now
}

// until waits until a condition holds. What takes so long never comes.
func (s *server) until(what string, holds func() bool) {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	const most = 2 * time.Minute
	for late := time.Now().Add(most); !holds(); <-tick.C {
		if time.Now().After(late) {
			s.t.Fatalf("after %v it does not hold that %s", most, what)
		}
	}
}

// patience is how long a trip may take where Redis is there, or dead at once: a busy
// machine is not a dead Redis.
const patience = time.Minute

// open returns a limiter on the server. Where the test says nothing of how long a
// trip may take, all must succeed: a limiter whose scripts fail admits, too.
func (s *server) open(t testing.TB, cfg redisquota.Config) *redisquota.Limiter {
	t.Helper()
	if cfg.URL == "" {
		cfg.URL = s.url()
	}
	steady := cfg.Timeout == 0
	if steady {
		cfg.Timeout = patience
	}
	l, err := redisquota.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if n := l.State().Errors; steady && n > 0 {
			t.Errorf("%d trips to Redis failed", n)
		}
	})
	return l
}

// flush empties the server.
func (s *server) flush(t *testing.T) {
	t.Helper()
	if err := s.client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}
