package command

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"weir/azuresim"
	"weir/quota/quotatest"
	"weir/quota/redisquota"
	"weir/tokens"
)

// store is a redis-server of a test's own, behind a road whose address outlives
// it. It keeps nothing on disk.
type store struct {
	t       *testing.T
	dir     string
	args    []string
	process *exec.Cmd
	client  *redis.Client
	road    *quotatest.Road
}

// newStore starts a server, which ends with the test.
func newStore(t *testing.T, args ...string) *store {
	t.Helper()
	s := &store{t: t, dir: t.TempDir(), args: args}
	s.client = redis.NewClient(&redis.Options{Network: "unix", Addr: s.socket(), ContextTimeoutEnabled: true, MaxRetries: -1})
	s.run()
	s.road = quotatest.NewRoad(t, s.socket())
	t.Cleanup(func() {
		s.kill() // which ends the connections on the road
		s.road.Close()
		_ = s.client.Close()
	})
	return s
}

func (s *store) socket() string { return filepath.Join(s.dir, "s") }
func (s *store) url() string    { return "redis://" + s.road.Address }

// run runs the server and waits until it listens.
func (s *store) run() {
	s.t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		s.t.Fatalf("%v: run apt-get install --yes redis-server", err)
	}
	_ = os.Remove(s.socket()) // one that was killed leaves it
	args := append([]string{"--port", "0", "--unixsocket", s.socket(), "--save", "", "--appendonly", "no", "--dir", s.dir}, s.args...)
	s.process = exec.Command(program, args...)
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	until(s.t, "Redis listens", func() bool {
		c, err := net.Dial("unix", s.socket())
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// kill ends the server at once.
func (s *store) kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

func (s *store) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.process.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// flush empties the server.
func (s *store) flush() {
	s.t.Helper()
	if err := s.client.FlushAll(s.t.Context()).Err(); err != nil {
		s.t.Fatal(err)
	}
}

// now returns the server's time, by which it counts.
func (s *store) now() time.Time {
	s.t.Helper()
	now, err := s.client.Time(s.t.Context()).Result()
	if err != nil {
		s.t.Fatal(err)
	}
	return now
}

// until waits until a condition holds. What takes so long never comes.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	const most = 2 * time.Minute
	for late := time.Now().Add(most); !holds(); <-tick.C {
		if time.Now().After(late) {
			t.Fatalf("after %v it does not hold that %s", most, what)
		}
	}
}

// newAzure returns a simulated Azure at a real address.
func newAzure(t *testing.T) (sim *azuresim.Server, endpoint string) {
	t.Helper()
	sim = azuresim.New(azuresim.Config{})
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	return sim, server.URL
}

// A request of hello takes all that it reserves: 8 tokens of prompt and 10 of its
// answer, and at the prices of sharing one cent.
const (
	hello       = `{"model":"gpt-4o","max_tokens":10,"messages":[{"role":"user","content":"hello"}]}`
	helloTokens = 18
	helloCents  = 1
)

// steady lets a busy machine take longer than a gateway waits for its Redis, where
// one that is there is what is tested.
const steady = ", timeout: 10s"

// sharing is a configuration of replicas that count in one Redis. More is what it
// says of teams and of state.limits.
func sharing(endpoint, redis, limits, more string) string {
	return `version: 1
server: { listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0" }
backends: { azure: { endpoint: "` + endpoint + `", auth: { api_key: "key-of-azure" } } }
models: { gpt-4o: { price: { input: 125, output: 900 }, deployments: [{ backend: azure, deployment: gpt-4o }] } }
telemetry: { access_log: { enabled: false } }
state: { limits: { store: redis, url: "` + redis + `", ` + limits + ` } }
` + more + "\n"
}

// vocabularies are built once for all gateways of the tests.
var vocabularies = sync.OnceValue(func() *tokens.Encodings {
	e := new(tokens.Encodings)
	e.Warm(tokens.O200K)
	return e
})

// replica is one of several gateways, at addresses of its own.
type replica struct {
	*Gateway

	api, admin string
	log        *journal
	client     *http.Client
}

// newReplica serves what a configuration describes until the test ends.
func newReplica(t *testing.T, configuration string) *replica {
	t.Helper()
	r := &replica{log: newJournal(), client: newClient(t)}
	g, err := Build(t.Context(), parsed(t, configuration), Parts{Log: slog.New(slog.NewJSONHandler(r.log, nil)), Encodings: vocabularies()})
	if err != nil {
		t.Fatal(err)
	}
	api, admin := httptest.NewServer(g.API), httptest.NewServer(g.Admin)
	r.Gateway, r.api, r.admin = g, api.URL, admin.URL
	t.Cleanup(func() {
		api.Close()
		admin.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := g.Close(ctx); err != nil {
			t.Errorf("closing the gateway: %v", err)
		}
		if t.Failed() {
			t.Logf("the log:\n%s", r.log)
		}
	})
	return r
}

// newReplicas serves three of the same.
func newReplicas(t *testing.T, configuration string) []*replica {
	t.Helper()
	all := make([]*replica, 3)
	for i := range all {
		all[i] = newReplica(t, configuration)
	}
	return all
}

func newClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// said is what a client was answered.
type said struct {
	status int
	header http.Header
	body   string
}

// ask asks for hello, with a key where there is one, and more headers in pairs.
func (r *replica) ask(t *testing.T, key string, headers ...string) said {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.api+"/v1/chat/completions", strings.NewReader(hello))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		t.Errorf("a client got no answer: %v", err)
		return said{}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("a client got a part of an answer: %v", err)
	}
	return said{resp.StatusCode, resp.Header, string(body)}
}

// fares returns how the limiter fares.
func (r *replica) fares() redisquota.State { return r.state.shared.State() }

// limits returns what /readyz?verbose says of the limits. It is 200 whatever Redis
// does.
func (r *replica) limits(t *testing.T) string {
	t.Helper()
	status, body := get(t, r.admin+"/readyz?verbose")
	_, after, _ := strings.Cut(body, `"limits": `)
	line, _, _ := strings.Cut(after, "\n")
	text, err := strconv.Unquote(strings.TrimSuffix(line, ","))
	if status != http.StatusOK || err != nil {
		t.Fatalf("/readyz?verbose answers %d, %v\n%s", status, err, body)
	}
	return text
}

// The first words of what /readyz?verbose says of the limits.
const (
	onRedis = "redis;"
	onOwn   = "local since "
)

// at waits until the replica says that it counts there.
func (r *replica) at(t *testing.T, where string) {
	t.Helper()
	until(t, "the replica says "+where, func() bool { return strings.HasPrefix(r.limits(t), where) })
}

// told waits until Redis knows all that was used.
func (r *replica) told(t *testing.T) {
	t.Helper()
	until(t, "Redis knows all that was used", func() bool {
		s := r.fares()
		return !s.Away && s.Waiting == 0 && s.Leases == 0
	})
}
