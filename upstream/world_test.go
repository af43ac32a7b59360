package upstream_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/azuresim"
	"weir/openai"
	"weir/policy"
	"weir/upstream"
	"weir/usage"
)

// wire is a listener whose connections are pipes, so that a bubble's time can
// pass while they are silent. Both of their ends are real: a server of net/http
// and the transport that the gateway uses.
type wire struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (w *wire) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.done:
		return nil, net.ErrClosed
	}
}

func (w *wire) Close() error   { w.once.Do(func() { close(w.done) }); return nil }
func (w *wire) Addr() net.Addr { return &net.IPAddr{} }

// world is a pool in front of the simulators of two resources, east and west.
type world struct {
	t          *testing.T
	east, west *azuresim.Server
	transport  *http.Transport
	cfg        upstream.Config
	pool       *upstream.Pool
	log        bytes.Buffer

	mu    sync.Mutex
	dials []string // every address that was asked for a connection
	down  bool     // nobody listens at east
}

const key = "SENTINEL-KEY-1234567890"

// bubble runs a test of a pool in a bubble of its own, where time passes only
// while everybody waits. Change, where it is not nil, changes the configuration
// first; the model m is served by east, and by west where it leaves that in.
func bubble(t *testing.T, change func(w *world), test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, east: azuresim.New(azuresim.Config{Key: key}), west: azuresim.New(azuresim.Config{Key: key})}
		wires := map[string]*wire{
			"east.example:80": w.listen(func() http.Handler { return w.east }),
			"west.example:80": w.listen(func() http.Handler { return w.west }),
		}
		w.transport = upstream.NewTransport(upstream.Connection{Connect: 5 * time.Second, PerHost: 100})
		w.transport.DialContext = func(ctx context.Context, _, address string) (net.Conn, error) {
			w.mu.Lock()
			w.dials = append(w.dials, address)
			down := w.down && address == "east.example:80"
			w.mu.Unlock()
			to := wires[address]
			if down || to == nil {
				return nil, errors.New("connection refused")
			}
			here, there := net.Pipe()
			select {
			case to.conns <- there:
				return here, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		t.Cleanup(w.transport.CloseIdleConnections)
		w.cfg = upstream.Config{
			Models:    map[string]upstream.Model{"m": {Deployments: []upstream.Deployment{deployment("east"), deployment("west")}, Temperature: upstream.Adjustable}},
			Retry:     policy.Retry{Attempts: 3, Backoff: 100 * time.Millisecond, MaxBackoff: 2 * time.Second, MaxRetryAfter: 20 * time.Second, CoolBy: 0.75},
			Breaker:   upstream.Breaker{Window: time.Minute, Consecutive: 5, MinRequests: 20, Ratio: 0.5, Open: 15 * time.Second, Watchdog: 20 * time.Second},
			Timeouts:  upstream.Timeouts{FirstByte: time.Minute, Idle: time.Minute, Total: 10 * time.Minute, Commit: 15 * time.Second},
			Transport: w.transport,
			Log:       slog.New(slog.NewTextHandler(&w.log, nil)),
			Jitter:    func() float64 { return 0.5 },
		}
		if change != nil {
			change(w)
		}
		w.pool = upstream.New(w.cfg)
		test(w)
		synctest.Wait()
	})
}

// listen serves whatever resource there is when a request comes.
func (w *world) listen(sim func() http.Handler) *wire {
	l := &wire{conns: make(chan net.Conn), done: make(chan struct{})}
	server := &http.Server{Handler: http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) { sim().ServeHTTP(out, r) }), ReadHeaderTimeout: time.Hour}
	stopped := make(chan struct{})
	go func() { defer close(stopped); _ = server.Serve(l) }()
	w.t.Cleanup(func() { _ = server.Close(); <-stopped })
	return l
}

// deployment returns the deployment at a host.
func deployment(host string) upstream.Deployment {
	return upstream.Deployment{
		Backend: host, Name: "gpt-4o", Endpoint: &url.URL{Scheme: "http", Host: host + ".example"}, APIVersion: "2025-01-01-preview",
		Credential: upstream.NewAPIKey(key), Weight: 1,
	}
}

// alone leaves only east in.
func alone(w *world) { w.deployments(deployment("east")) }

// deployments sets those of the model m.
func (w *world) deployments(all ...upstream.Deployment) {
	m := w.cfg.Models["m"]
	m.Deployments = all
	w.cfg.Models["m"] = m
}

// ask returns a call for the model m with more members in its request.
func (w *world) ask(members string) *openai.Call {
	w.t.Helper()
	r, err := openai.Parse([]byte(`{` + members + `"messages":[{"role":"user","content":"hello"}]}`))
	if err != nil {
		w.t.Fatal(err)
	}
	return &openai.Call{Request: r, Model: "m"}
}

const streamed = `"stream":true,`

// result is what became of a call.
type result struct {
	Status  int
	Code    string
	Text    string // of the answer
	Trace   string // each attempt's deployment and temperature
	Took    time.Duration
	Wait    time.Duration // that the client is told of
	NoRetry bool
	Err     error // that is no *openai.Error
}

// do makes a call, reads its answer to the end and lets go of it.
func (w *world) do(call *openai.Call) result {
	w.t.Helper()
	return w.doIn(w.t.Context(), call)
}

func (w *world) doIn(ctx context.Context, call *openai.Call) result {
	w.t.Helper()
	rec := &usage.Record{}
	start := time.Now()
	answer, err := w.pool.Do(ctx, call, rec)
	got := result{Took: time.Since(start), Trace: trace(rec)}
	if err != nil {
		e, ok := errors.AsType[*openai.Error](err)
		if !ok {
			got.Err = err
			return got
		}
		got.Status, got.Code, got.Wait, got.NoRetry = e.Status, e.Code, e.RetryAfter, e.NoRetry
		return got
	}
	got.Status, got.Wait, got.NoRetry = answer.Status, answer.RetryAfter, answer.NoRetry
	if answer.Stream != nil {
		got.Text, err = read(answer.Stream)
		got.Err = err
		answer.Close(err)
		return got
	}
	got.Text, got.Code = said(answer.Body)
	answer.Close(nil)
	return got
}

// trace writes the attempts of a call down.
func trace(rec *usage.Record) string {
	var steps []string
	for _, a := range rec.Attempts {
		step := strings.TrimSuffix(a.Deployment, "/gpt-4o")
		if a.Temperature != nil {
			step += " " + strconv.FormatFloat(*a.Temperature, 'g', -1, 64)
		}
		steps = append(steps, step)
	}
	return strings.Join(steps, ", ")
}

// read reads a stream to its end.
func read(s *openai.Stream) (string, error) {
	var text strings.Builder
	for {
		e, err := s.Next()
		if errors.Is(err, io.EOF) {
			return text.String(), nil
		}
		if err != nil {
			return text.String(), err
		}
		var chunk struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if json.Unmarshal(e.Data, &chunk) == nil {
			for _, c := range chunk.Choices {
				text.WriteString(c.Delta.Content)
			}
		}
		if e.Done {
			return text.String(), nil
		}
	}
}

// said returns the text of a plain answer, or the code of its error.
func said(body []byte) (text, code string) {
	var answer struct {
		Choices []struct{ Message struct{ Content string } }
		Error   struct{ Code string }
	}
	_ = json.Unmarshal(body, &answer)
	if len(answer.Choices) > 0 {
		text = answer.Choices[0].Message.Content
	}
	return text, answer.Error.Code
}

// asked returns how often each resource was asked, and the temperatures that they
// were sent, "-" where there was none.
func asked(sim *azuresim.Server) (temperatures string) {
	var all []string
	for _, r := range sim.Requests() {
		var body struct{ Temperature *json.Number }
		_ = json.Unmarshal(r.Body, &body)
		if body.Temperature == nil {
			all = append(all, "-")
			continue
		}
		all = append(all, body.Temperature.String())
	}
	return strings.Join(all, " ")
}

// state returns what east is doing.
func (w *world) state() upstream.State {
	for _, s := range w.pool.States() {
		if s.Deployment == "east/gpt-4o" {
			return s
		}
	}
	w.t.Fatal("there is no east")
	return upstream.State{}
}

// repeat returns the step n times.
func repeat(step azuresim.Step, n int) []azuresim.Step {
	steps := make([]azuresim.Step, n)
	for i := range steps {
		steps[i] = step
	}
	return steps
}

func fault(name string, n int) []azuresim.Step { return repeat(azuresim.Step{Fault: name}, n) }
