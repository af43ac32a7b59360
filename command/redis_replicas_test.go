package command

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/azuresim"
)

// argumentsVariable makes the test program a weir with the arguments it holds.
const argumentsVariable = "TEST_WEIR_ARGUMENTS"

func TestMain(m *testing.M) {
	if text := os.Getenv(argumentsVariable); text != "" {
		var args []string
		if err := json.Unmarshal([]byte(text), &args); err != nil {
			panic(err)
		}
		os.Exit(Main(context.Background(), args))
	}
	os.Exit(m.Run())
}

// exhaust asks each replica from four clients until it is refused, then waits for
// what is on its way and asks once more: nothing is left then. A closed team's
// request that Redis was too slow for is sent again, so that a busy machine is
// nothing that admits.
func exhaust(t *testing.T, all []*replica, told func()) {
	t.Helper()
	var clients sync.WaitGroup
	for _, r := range all {
		for range 4 {
			clients.Go(func() { press(t, r) })
		}
	}
	clients.Wait()
	told()
	press(t, all[0])
}

// again is when a request is sent again that Redis was too slow for. Clients that
// ask at once leave a busy machine no time to find out that Redis is back.
const again = 100 * time.Millisecond

// press asks until it is refused by a limit.
func press(t *testing.T, r *replica) {
	t.Helper()
	for range 2000 {
		switch got := r.ask(t, ""); got.status {
		case http.StatusOK:
		case http.StatusServiceUnavailable:
			<-time.After(again)
		case http.StatusTooManyRequests:
			return
		default:
			t.Errorf("answered %d %s", got.status, got.body)
			return
		}
	}
	t.Error("no limit refuses")
}

// answers are what Azure has answered.
func answers(azure *azuresim.Server) (requests, tokens int) {
	for _, r := range azure.Requests() {
		if r.CompletionTokens > 0 {
			requests++
			tokens += r.PromptTokens + r.CompletionTokens
		}
	}
	return requests, tokens
}

// TestReplicasShareEveryLimit is reliability L10 through whole gateways: three of
// them admit together what the team has, and not one more.
func TestReplicasShareEveryLimit(t *testing.T) {
	tests := []struct {
		name   string
		limits string
		burst  float64 // of what is counted
		second float64 // what flows in
		unit   func(requests, tokens int) int
	}{
		{"requests", "limits: { rpm: 60, burst_requests: 200 }", 200, 1, func(requests, _ int) int { return requests }},
		{"tokens", "limits: { tpm: 600, burst_tokens: 3600 }", 3600, 10, func(_, tokens int) int { return tokens }},
		{"money", "budget: { usd: 1.5 }", 150, 0, func(requests, _ int) int { return requests * helloCents }},
		{
			"all of them", "limits: { rpm: 600, burst_requests: 1000, tpm: 600, burst_tokens: 3600, concurrency: 20 }, budget: { usd: 30 }", 3600, 10,
			func(_, tokens int) int { return tokens },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			redis := newStore(t)
			azure, endpoint := newAzure(t)
			all := newReplicas(t, sharing(endpoint, redis.url(), "on_error: closed, replicas: 3"+steady, "teams: { a: { "+tt.limits+" } }"))
			began := redis.now()
			exhaust(t, all, func() {
				for _, r := range all {
					r.told(t)
				}
			})
			within(t, tt.unit(answers(azure)), tt.burst, tt.second*redis.now().Sub(began).Seconds())
		})
	}
}

// within reports what is more than a burst and what flowed in, and what is less than
// 97 % of the burst.
func within(t *testing.T, got int, burst, flowed float64) {
	t.Helper()
	if float64(got) > burst+flowed || float64(got) < 0.97*burst {
		t.Errorf("%d were used, want at least 97 %% of %.0f and at most %.1f", got, burst, burst+flowed)
	}
	t.Logf("%d used of at most %.1f", got, burst+flowed)
}

// gated is an Azure that keeps all answers until it is let go on.
type gated struct {
	*azuresim.Server

	inside, most atomic.Int64
	release      chan struct{}
}

func (g *gated) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		now := g.inside.Add(1)
		defer g.inside.Add(-1)
		for most := g.most.Load(); now > most && !g.most.CompareAndSwap(most, now); most = g.most.Load() {
		}
		<-g.release
	}
	g.Server.ServeHTTP(w, r)
}

// TestReplicasShareSlots: of sixty requests at once over three replicas so many are
// open as the team may have, in all, and their slots come free.
func TestReplicasShareSlots(t *testing.T) {
	const slots, each, rounds = 12, 20, 2
	redis := newStore(t)
	azure := &gated{Server: azuresim.New(azuresim.Config{})}
	server := httptest.NewServer(azure)
	t.Cleanup(server.Close)
	all := newReplicas(t, sharing(server.URL, redis.url(), "on_error: closed, replicas: 3"+steady, "teams: { a: { limits: { concurrency: 12 } } }"))
	for range rounds {
		azure.release = make(chan struct{})
		var clients sync.WaitGroup
		var admitted, refused atomic.Int64
		for _, r := range all {
			for range each {
				clients.Go(func() {
					for {
						got := r.ask(t, "")
						switch got.status {
						case http.StatusOK:
							admitted.Add(1)
						case http.StatusServiceUnavailable:
							<-time.After(again)
							continue
						case http.StatusTooManyRequests:
							refused.Add(1)
						default:
							t.Errorf("answered %d %s", got.status, got.body)
						}
						return
					}
				})
			}
		}
		// A slot that was taken for an answer which came late comes free again
		// without a request, so a few may be refused more.
		until(t, "all others are refused", func() bool { return refused.Load()+azure.inside.Load() == int64(len(all)*each) })
		close(azure.release)
		clients.Wait()
		var late int64
		for _, r := range all {
			late += r.fares().Paid
			r.told(t)
		}
		if most, got := azure.most.Load(), admitted.Load(); most > slots || got > slots || got < slots-late {
			t.Errorf("%d were admitted and %d open at once, want %d; Redis was late for %d", got, most, slots, late)
		}
	}
}

// spawn runs weir in a process of its own.
func spawn(t *testing.T, configuration string) *replica {
	t.Helper()
	args, err := json.Marshal([]string{"serve", "--watch=false", "-c", write(t, "weir.yaml", configuration)})
	if err != nil {
		t.Fatal(err)
	}
	log := newJournal()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), argumentsVariable+"="+string(args))
	said, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		for lines := bufio.NewScanner(said); lines.Scan(); {
			_, _ = log.Write(append(lines.Bytes(), '\n'))
		}
		log.end()
		done <- c.Wait()
	}()
	t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		if err := <-done; err != nil {
			t.Errorf("it ended with %v:\n%s", err, log)
		}
	})
	line := log.wait(t, "listening")
	api, _ := line["api"].(string)
	admin, _ := line["admin"].(string)
	return &replica{api: api, admin: admin, log: log, client: newClient(t)}
}

// TestProcessesShareOneLimit does it with three processes, as in production. One of
// them then loses Redis: nothing but its own logger tells of it.
func TestProcessesShareOneLimit(t *testing.T) {
	redis := newStore(t)
	azure, endpoint := newAzure(t)
	text := sharing(endpoint, redis.url(), "on_error: closed, replicas: 3"+steady, "teams: { a: { limits: { rpm: 60, burst_requests: 200, concurrency: 200 }, budget: { usd: 30 } } }")
	all := make([]*replica, 3)
	for i := range all {
		all[i] = spawn(t, text)
	}
	for _, r := range all {
		r.log.wait(t, "ready")
		r.at(t, onRedis)
	}
	began := redis.now()
	exhaust(t, all, func() {
		for _, r := range all {
			until(t, "Redis knows all that was used", func() bool { return settled(r.limits(t)) })
		}
	})
	requests, _ := answers(azure)
	within(t, requests, 200, redis.now().Sub(began).Seconds())
	redis.kill()
	redis.road.Close()
	all[0].gone(t, "")
	_, after, _ := strings.Cut(all[0].log.String(), `"msg":"ready"}`+"\n")
	for line := range strings.Lines(after) {
		if !json.Valid([]byte(line)) {
			t.Errorf("its log has %q", line)
		}
	}
}

// settled reports whether a state says that Redis knows all that was used.
func settled(limits string) bool {
	return strings.HasPrefix(limits, onRedis) && strings.Contains(limits, "; 0 leases; 0 settlements wait")
}
