package redisquota_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/quota"
	"weir/quota/redisquota"
)

// replicaVariable tells a test program to be a replica, and which.
const replicaVariable = "WEIR_TEST_REPLICA"

func TestMain(m *testing.M) {
	if text := os.Getenv(replicaVariable); text != "" {
		if err := beReplica(text, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// replica is what a process is told, and what it tells at its end.
type replica struct {
	URL      string
	Slice    redisquota.Slice
	Account  quota.Account
	Admitted int64
}

// beReplica presses against one limit from 16 goroutines, from the first line
// of its input until its end.
func beReplica(text string, in io.Reader, out io.Writer) error {
	var r replica
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l, err := redisquota.New(ctx, redisquota.Config{URL: r.URL, Slice: r.Slice, Replicas: replicas, Timeout: time.Minute})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	lines := bufio.NewReader(in)
	if _, err := lines.ReadString('\n'); err != nil {
		return err
	}
	var wg sync.WaitGroup
	var admitted atomic.Int64
	var wrong atomic.Value
	for range 16 {
		wg.Go(func() {
			for ctx.Err() == nil {
				lease, err := l.Reserve(context.Background(), []quota.Account{r.Account}, quota.Cost{Requests: 1, Tokens: 1})
				if err == nil {
					admitted.Add(1)
					lease.Settle(quota.Cost{Requests: 1, Tokens: 1})
					continue
				}
				no, ok := errors.AsType[*quota.ExceededError](err)
				if !ok {
					wrong.Store(err)
					return
				}
				<-time.After(min(no.Wait, 50*time.Millisecond))
			}
		})
	}
	_, _ = lines.ReadString('\n')
	cancel()
	wg.Wait()
	if err, ok := wrong.Load().(error); ok {
		return err
	}
	r.Admitted = admitted.Load()
	if err := json.NewEncoder(out).Encode(r); err != nil {
		return err
	}
	if err := l.Close(); err != nil {
		return err
	}
	return nil
}

const replicas = 3

// TestReplicasShareOneLimit presses against one limit from three processes.
// Together they admit no more than it holds, and hardly less (I1, I7).
func TestReplicasShareOneLimit(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		slice redisquota.Slice
	}{
		{"each request for itself", redisquota.Slice{Rate: -1}},
		{"slices", redisquota.Slice{Rate: 20}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			const perSecond, burst, lasts = 200, 1 << 20, 4 * time.Second
			s := start(t)
			account := quota.Account{ID: "team:shared", Group: "shared", Limits: quota.Limits{
				TokensPerMinute: 60 * perSecond, BurstTokens: burst, Concurrency: 1000,
			}}
			all := make([]*child, replicas)
			for i := range all {
				all[i] = fork(t, replica{URL: s.url(), Slice: tt.slice, Account: account})
			}
			// The bucket begins empty and is never full: what flows in while a busy
			// machine does not come to the replicas is kept.
			watch := s.open(t, redisquota.Config{})
			began := s.now()
			reserve(t, watch, quota.Cost{Tokens: burst}, account)
			emptied := s.now()
			for _, c := range all {
				c.tell(t)
			}
			<-time.After(lasts)
			s.until("97 % of the limit are used", func() bool {
				passed := s.now().Sub(emptied).Seconds() * perSecond
				return float64(look(t, watch, account).Tokens.Remaining) <= 0.03*passed
			})
			for _, c := range all {
				c.tell(t)
			}
			var got int64
			for _, c := range all {
				got += c.admitted(t)
			}
			for _, c := range all {
				if err := c.process.Wait(); err != nil {
					t.Fatal(err)
				}
			}
			// What is not admitted is left.
			least := perSecond*s.now().Sub(emptied).Seconds() - 1
			left := look(t, watch, account).Tokens.Remaining
			most := perSecond * s.now().Sub(began).Seconds()
			if all := float64(got + left); all > most || all < least {
				t.Errorf("%d admitted and %d left, want at most %.0f and at least %.0f", got, left, most, least)
			}
			calls := s.calls(t)
			t.Logf("%d admitted and %d left of %.0f to %.0f, in %d scripts", got, left, least, most, calls)
			s.until("no slot is taken but ours", func() bool { return s.slots(t, "weir:{shared}:team%3Ashared:leases") == 1 })
		})
	}
}

// calls returns how many scripts the server has run.
func (s *server) calls(t *testing.T) int {
	t.Helper()
	info, err := s.client.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(info, "cmdstat_evalsha:calls=")
	n := 0
	_, _ = fmt.Sscanf(after, "%d", &n)
	return n
}

// child is a replica in a process of its own.
type child struct {
	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

func fork(t *testing.T, r replica) *child {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{process: exec.CommandContext(t.Context(), os.Args[0])}
	c.process.Env = append(os.Environ(), replicaVariable+"="+string(text))
	c.process.Stderr = os.Stderr
	if c.in, err = c.process.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if err := c.process.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := c.out.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("a replica says %q, %v", line, err)
	}
	return c
}

// tell lets a replica begin, or end.
func (c *child) tell(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(c.in, "\n"); err != nil {
		t.Fatal(err)
	}
}

// admitted returns what a replica has admitted at its end.
func (c *child) admitted(t *testing.T) int64 {
	t.Helper()
	var r replica
	if err := json.NewDecoder(c.out).Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r.Admitted
}
