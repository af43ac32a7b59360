package upstream_test

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/azuresim"
	"weir/openai"
	"weir/policy"
	"weir/upstream"
	"weir/usage"
)

// The quota of the deployment that is loaded, and the load: so much of it in
// requests and in tokens, which come when they like.
const (
	twinTPM  = 600_000
	twinRPM  = 1200
	twinLoad = 0.95
	twinTime = 4 * time.Minute
)

// loaded is what a load came to.
type loaded struct{ calls, answered, sent, refused int }

func (l loaded) share() float64 { return float64(l.refused) / float64(l.sent) }

// load asks for twinLoad of the quota, of independent clients with prompts and
// answers of any size.
func (w *world) load() (l loaded) {
	chance := rand.New(rand.NewPCG(1, 2))
	const calls = twinLoad * twinRPM / 60 // a second
	mean := float64(twinTPM) / twinRPM
	var all sync.WaitGroup
	var mu sync.Mutex
	for start := time.Now(); time.Since(start) < twinTime; {
		time.Sleep(time.Duration(chance.ExpFloat64() / calls * float64(time.Second)))
		tokens := int(chance.Float64() * 2 * mean)
		prompt := strings.Repeat("word", tokens/2)
		call := w.sized(prompt, max(1, tokens-tokens/2))
		l.calls++
		all.Go(func() {
			if got := w.do(call); got.Status == 200 {
				mu.Lock()
				l.answered++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for _, r := range w.east.Requests() {
		l.sent++
		if r.Status == 429 {
			l.refused++
		}
	}
	return l
}

func TestTwinSparesRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		twin  bool
		quota policy.Quota
		most  float64 // part of the requests that may be refused upstream
		least float64 // and that must be, for the figure to say something
	}{
		{name: "with the twin and the quota", twin: true, quota: policy.Quota{Tokens: twinTPM, Requests: twinRPM}, most: 0.001},
		{name: "with the twin, which learns the quota", twin: true, most: 0.001},
		{name: "without the twin", most: 1, least: 0.01},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				w.east = azuresim.New(azuresim.Config{Key: key, Deployments: map[string]azuresim.Deployment{
					"gpt-4o": {TPM: twinTPM, RPM: twinRPM, Latency: 300 * time.Millisecond},
				}})
				d := deployment("east")
				d.Quota = tt.quota
				w.deployments(d)
				w.cfg.Twin = tt.twin
				w.cfg.Queue = upstream.Queue{MaxWait: 5 * time.Second, MaxLength: 1000}
			}, func(w *world) {
				l := w.load()
				t.Logf("%d calls, %d answered, %d sent, %d refused upstream: 1 in %.0f", l.calls, l.answered, l.sent, l.refused, 1/max(l.share(), 1e-6))
				if l.share() >= tt.most || l.share() < tt.least || tt.twin && l.answered < l.calls*999/1000 {
					t.Errorf("%+v", l)
				}
			})
		})
	}
}

// sized returns a call with a prompt and a bound on its answer.
func (w *world) sized(prompt string, output int) *openai.Call {
	w.t.Helper()
	r, err := openai.Parse([]byte(`{"max_tokens":` + strconv.Itoa(output) + `,"messages":[{"role":"user","content":"` + prompt + `"}]}`))
	if err != nil {
		w.t.Fatal(err)
	}
	return &openai.Call{Request: r, Model: "m"}
}

// A deployment that would refuse is passed over before it does.
func TestTwinSpills(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		east, west := deployment("east"), deployment("west")
		east.Quota, west.Priority = policy.Quota{Requests: 12}, 1 // two in ten seconds
		w.deployments(east, west)
		w.cfg.Twin = true
	}, func(w *world) {
		var seen []string
		for range 3 {
			seen = append(seen, w.do(w.ask("")).Trace)
		}
		why := w.pool.Candidates(w.ask(""))[0].Reason
		time.Sleep(11 * time.Second)
		seen = append(seen, w.do(w.ask("")).Trace)
		if got := strings.Join(seen, " then "); got != "east then east then west then east" || !strings.HasPrefix(why, "its quota is used up for ") {
			t.Errorf("asked %s; %q", got, why)
		}
	})
}

// What is larger than every quota is for Azure to refuse, and holds nobody up.
func TestTwinLetsTheTooLargePass(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		d := deployment("east")
		d.Quota = policy.Quota{Tokens: 100}
		w.deployments(d)
		w.cfg.Twin = true
	}, func(w *world) {
		if got := w.do(w.ask(`"max_tokens":1000,`)); got.Status != 200 {
			t.Errorf("the large one got %+v", got)
		}
		if got := w.do(w.ask(`"max_tokens":10,`)); got.Status != 200 {
			t.Errorf("the small one got %+v", got)
		}
		if got := w.do(w.ask(`"max_tokens":80,`)); got.Status != 429 || got.Wait <= 59*time.Second || got.Wait > 61*time.Second {
			t.Errorf("the one too many got %+v", got)
		}
	})
}

// Provisioned throughput is out for three seconds: everybody is answered, and it
// has its share back (R9).
func TestProvisionedThroughputIsOut(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		east, west := deployment("east"), deployment("west")
		west.Priority = 1
		w.deployments(east, west)
		w.cfg.Twin, w.cfg.Queue = true, upstream.Queue{MaxWait: 2 * time.Second, MaxLength: 100}
	}, func(w *world) {
		const each = 20 * time.Millisecond
		begin := time.Now()
		out := func() bool { at := time.Since(begin); return at >= 2*time.Second && at < 5*time.Second }
		var failed, after, home int
		for time.Since(begin) < 12*time.Second {
			if out() {
				w.east.Script(azuresim.Step{Fault: "provisioned-full"})
			}
			if time.Since(begin) == 5*time.Second {
				w.east.Reset()
			}
			late := time.Since(begin) > 5100*time.Millisecond
			rec := &usage.Record{}
			answer, err := w.pool.Do(w.t.Context(), w.ask(""), rec)
			if err != nil || answer.Status != 200 {
				failed++
			} else {
				answer.Close(nil)
			}
			if late {
				after++
				if rec.Deployment == "east/gpt-4o" {
					home++
				}
			}
			time.Sleep(each)
		}
		if failed > 0 || home < after*99/100 || after < 300 {
			t.Errorf("%d failed; afterwards %d of %d were provisioned throughput's", failed, home, after)
		}
	})
}
