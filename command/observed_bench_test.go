package command

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"weir/config"
	"weir/proxy"
	"weir/tokens"
	"weir/upstream"
	"weir/usage"
)

// canned answers every request at once with the same.
type canned string

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	asked, _ := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if bytes.Contains(asked, []byte(`"stream":true`)) {
		return &http.Response{
			StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream"}, "Apim-Request-Id": {"a"}},
			Body: &trickle{left: streamedEvents}, ContentLength: -1, Request: r,
		}, nil
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}, "Apim-Request-Id": {"a"}},
		Body: io.NopCloser(strings.NewReader(string(c))), ContentLength: int64(len(c)), Request: r,
	}, nil
}

// pieces is how many pieces of content the canned stream has.
const pieces = 200

// streamedEvents is the canned stream.
const streamedEvents = pieces + 2 // the finish and the end too

// trickle is the canned stream: each read is one event.
type trickle struct{ left int }

func (t *trickle) Read(b []byte) (int, error) {
	t.left--
	switch {
	case t.left > 1:
		return copy(b, `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-2024-11-20","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}`+"\n\n"), nil
	case t.left == 1:
		return copy(b, `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-2024-11-20","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\n"), nil
	case t.left == 0:
		return copy(b, "data: [DONE]\n\n"), nil
	default:
		return 0, io.EOF
	}
}

func (t *trickle) Close() error { return nil }

// observed returns what serves the API, with as much of it watched as wanted: spans
// where the environment asks for them, and metrics.
func observed(b *testing.B, getenv func(string) string, metrics, board bool) http.Handler {
	b.Helper()
	f, problems := config.Parse("weir.yaml", []byte(`
version: 1
server: { listen: "127.0.0.1:0" }
backends: { azure: { endpoint: "http://127.0.0.1:1", auth: { api_key: k } } }
models: { gpt-4o: { deployments: [{ backend: azure, deployment: gpt-4o }] } }
teams: { search: { keys: [{ id: one, value: sk-one-of-the-team-search }] } }
telemetry: { access_log: { enabled: false } }
`), config.Options{})
	if f == nil {
		b.Fatal(problems)
	}
	g, err := Build(b.Context(), f, Parts{
		Encodings: new(tokens.Encodings), Log: slog.New(slog.DiscardHandler), Getenv: getenv,
		Transport: canned(`{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4o-2024-11-20","choices":[{"index":0,"message":{"role":"assistant","content":"Hello there."},"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":4,"total_tokens":12}}`),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := g.Close(context.WithoutCancel(b.Context())); err != nil {
			b.Error(err)
		}
	})
	f.Telemetry.Metrics.GenAI = metrics
	own := &builder{file: f, parts: g.parts, state: g.state}
	own.parts.Sinks = nil
	for _, s := range append(g.state.sinks(), g.board) {
		if s == usage.Sink(g.state.metrics) && !metrics || s == usage.Sink(g.board) && !board {
			continue
		}
		own.parts.Sinks = append(own.parts.Sinks, s)
	}
	up, err := own.upstream()
	if err != nil {
		b.Fatal(err)
	}
	to := &serving{proxy: proxy.New(own.proxy(upstream.New(up))), me: echo.NotFoundHandler}
	to.keys, to.open = own.keys()
	return own.echo(to, g.gate)
}

// request sends one chat, with more members.
func request(b *testing.B, h http.Handler, members string) {
	b.Helper()
	r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(
		`{`+members+`"model":"gpt-4o","messages":[{"role":"system","content":"You are brief."},{"role":"user","content":"Say hello."}],"max_tokens":64,"temperature":0.7}`))
	r.Header.Set("Authorization", "Bearer sk-one-of-the-team-search")
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		b.Fatalf("answered %d: %s", w.Code, w.Body)
	}
}

// worked returns the CPU that this process has used.
func worked(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkObserved measures what watching adds to the CPU of a request through the
// gateway's handler: metrics, and spans of one request in a hundred, which are
// delivered to a collector. Requests that are watched and such that are not take
// turns, so that whatever else the machine does is the same for both, and the median
// of the turns counts. The budget is 5 µs.
func BenchmarkObserved(b *testing.B) {
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer collector.Close()
	b.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	b.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
	b.Setenv("OTEL_TRACES_SAMPLER_ARG", "0.01")
	traces := func(name string) string {
		return map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector.URL + "/v1/traces"}[name]
	}
	for _, bb := range []struct {
		name    string
		getenv  func(string) string
		metrics bool
		board   bool
		members string
	}{
		{"nothing", nil, false, false, ""},
		{"metrics", nil, true, false, ""},
		{"spans of 1 %", traces, false, false, ""},
		{"metrics and spans of 1 %", traces, true, false, ""},
		{"the dashboard", nil, false, true, ""},
		{"metrics of streams", nil, true, false, `"stream":true,`},
	} {
		b.Run(bb.name, func(b *testing.B) {
			both := [2]http.Handler{observed(b, nil, false, false), observed(b, bb.getenv, bb.metrics, bb.board)}
			turn := 400
			if bb.members != "" {
				turn = 40 // a stream is more work
			}
			var plain, added []time.Duration // of turns, each with a collection of garbage or more
			for i := range 2 * turn {        // what is built once is built
				request(b, both[i%2], bb.members)
			}
			for b.Loop() {
				var cpu [2]time.Duration
				for at := range 4 { // neither is always the first
					i := at&1 ^ at>>1
					before := worked(b)
					for range turn {
						request(b, both[i], bb.members)
					}
					cpu[i] += worked(b) - before
				}
				plain, added = append(plain, cpu[0]), append(added, cpu[1]-cpu[0])
			}
			slices.Sort(plain)
			slices.Sort(added)
			b.ReportMetric(0, "ns/op") // of a turn, which says nothing
			b.ReportMetric(float64(plain[len(plain)/2].Nanoseconds())/float64(2*turn), "cpu-ns/request")
			b.ReportMetric(float64(added[len(added)/2].Nanoseconds())/float64(2*turn), "added-cpu-ns/request")
		})
	}
}
