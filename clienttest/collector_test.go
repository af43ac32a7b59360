package clienttest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
)

// collecting is the configuration of a collector that hands on what it gets, a
// batch at once.
const collecting = `
receivers: { otlp: { protocols: { http: { endpoint: "%s" } } } }
exporters: { otlp_http: { endpoint: "%s", encoding: json, compression: none } }
service:
  pipelines: { traces: { receivers: [otlp], exporters: [otlp_http] } }
  telemetry: { metrics: { level: none } }
`

// failing is a gateway whose first deployment is busy, so that the second answers.
const failing = `
version: 1
server: { listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0" }
backends:
  busy: { endpoint: "${AZURE_ENDPOINT}", auth: { api_key: "${AZURE_KEY}" } }
  free: { endpoint: "${AZURE_ENDPOINT}", auth: { api_key: "${AZURE_KEY}" } }
models:
  gpt-4o:
    deployments:
      - { backend: busy, deployment: gpt-4o-busy, priority: 0 }
      - { backend: free, deployment: gpt-4o-free, priority: 1 }
teams:
  clients: { keys: [{ id: clients, value: "` + teamKey + `" }] }
`

// TestCollector sends a chat that fails over through a gateway whose spans go to an
// OpenTelemetry Collector, and holds the trace as that has got it. The gateway is
// told to stop before its batch is due: the last spans must not be lost.
func TestCollector(t *testing.T) {
	t.Parallel()
	got := make(chan []byte, 16)
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- body
	}))
	t.Cleanup(sink.Close)
	endpoint := collect(t, sink.URL)

	azure := azuresim.New(azuresim.Config{Key: azureKey, Deployments: map[string]azuresim.Deployment{
		"gpt-4o-busy": {Model: "gpt-4o-2024-11-20"}, "gpt-4o-free": {Model: "gpt-4o-2024-11-20"},
	}})
	azure.Script(azuresim.Step{Fault: "rate-limit 30"})
	server := httptest.NewServer(azure)
	t.Cleanup(server.Close)
	g, stop := failover(t, server.URL, "OTEL_EXPORTER_OTLP_ENDPOINT="+endpoint, "OTEL_SERVICE_NAME=weir-in-a-test")
	g.ask(t)
	stop()

	want := []string{
		"weir-in-a-test server POST /v1/chat/completions of the caller's: status_code=200 outcome=ok attempts=2",
		"weir-in-a-test client chat gpt-4o of the first: name=azure.ai.openai deployment=busy/gpt-4o-busy status_code=429 type=429",
		"weir-in-a-test client chat gpt-4o of the first: name=azure.ai.openai deployment=free/gpt-4o-free status_code=200 input_tokens=8 resend_count=1",
	}
	var spans []span
	for len(spans) < len(want) {
		select {
		case body := <-got:
			spans = append(spans, unpack(t, body)...)
		case <-time.After(time.Minute):
			t.Fatalf("only %d spans came", len(spans))
		}
	}
	if diff := cmp.Diff(want, drawn(spans)); diff != "" {
		t.Errorf("collected (-want +got):\n%s", diff)
	}
}

// collect runs a collector until the test ends, and returns where it listens.
func collect(t *testing.T, to string) string {
	t.Helper()
	program := filepath.Join("..", ".tools", "collector")
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("there is no collector: run clienttest/install.sh, as make test does (%v)", err)
	}
	const tries = 3 // another process may take the port that was free
	for try := 1; ; try++ {
		address := unused(t)
		cmd := exec.CommandContext(t.Context(), program, "--config=env:COLLECTOR")
		cmd.Env = []string{"COLLECTOR=" + fmt.Sprintf(collecting, address, to)}
		log := new(transcript)
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = cmd.Wait() // how it ends is seen in its log
		}()
		t.Cleanup(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			<-ended
		})
		if listens(address, ended) {
			return "http://" + address
		}
		if try == tries {
			t.Fatalf("the collector does not listen:\n%s", log)
		}
	}
}

// unused returns an address that nobody listens at.
func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// listens waits until somebody listens, or the process that should has ended.
func listens(address string, ended <-chan struct{}) bool {
	deadline := time.After(time.Minute)
	for {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			return true
		}
		select {
		case <-ended:
			return false
		case <-deadline:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// failover runs a gateway until it is told to stop, or the test ends.
func failover(t *testing.T, azure string, variables ...string) (g *gateway, stop func()) {
	t.Helper()
	weir, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(path, []byte(failing), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(weir, "serve", "-c", path)
	cmd.Env = append([]string{"AZURE_ENDPOINT=" + azure, "AZURE_KEY=" + azureKey, "HOME=" + t.TempDir()}, variables...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	g = &gateway{log: new(transcript)}
	listening, drained := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(drained)
		follow(io.TeeReader(stderr, g.log), listening)
	}()
	stop = sync.OnceFunc(func() { g.stop(t, cmd, drained) })
	t.Cleanup(stop)
	select {
	case g.url = <-listening:
	case <-drained:
		t.Fatalf("the gateway ended before it listened:\n%s", g.log)
	}
	return g, stop
}

// The trace that the caller of ask is in.
const callersTrace = "0af7651916cd43dd8448eb211c80319c"

// ask sends a chat, and holds that it is answered.
func (g *gateway) ask(t *testing.T) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url+"/v1/chat/completions",
		strings.NewReader(`{"model":"gpt-4o","messages":[{"role":"user","content":"hello"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+teamKey)
	req.Header.Set("Traceparent", "00-"+callersTrace+"-b7ad6b7169203331-01")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("answered %d %s (%v)", resp.StatusCode, body, err)
	}
}

// span is a span as OTLP has it in JSON.
type span struct {
	TraceID, SpanID, ParentSpanID, Name string
	Kind                                int
	StartTimeUnixNano                   string
	Attributes                          []attribute

	service string
}

// attribute is an attribute as OTLP has it in JSON.
type attribute struct {
	Key   string
	Value struct {
		StringValue, IntValue string
	}
}

// unpack returns the spans of a request for their delivery.
func unpack(t *testing.T, body []byte) []span {
	t.Helper()
	var request struct {
		ResourceSpans []struct {
			Resource   struct{ Attributes []attribute }
			ScopeSpans []struct{ Spans []span }
		}
	}
	if err := json.Unmarshal(body, &request); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	var spans []span
	for _, r := range request.ResourceSpans {
		for _, scope := range r.ScopeSpans {
			for _, s := range scope.Spans {
				for _, a := range r.Resource.Attributes {
					if a.Key == "service.name" {
						s.service = a.Value.StringValue
					}
				}
				spans = append(spans, s)
			}
		}
	}
	return spans
}

// drawn returns a trace as lines, in the order in which its spans began.
func drawn(spans []span) []string {
	slices.SortFunc(spans, func(a, b span) int { return strings.Compare(a.StartTimeUnixNano, b.StartTimeUnixNano) })
	var lines []string
	for i, s := range spans {
		kind := map[int]string{2: "server", 3: "client"}[s.Kind]
		parent := "another"
		switch {
		case s.TraceID != callersTrace:
			parent = "another trace"
		case i == 0 && s.ParentSpanID == "b7ad6b7169203331":
			parent = "the caller's"
		case i > 0 && s.ParentSpanID == spans[0].SpanID:
			parent = "the first"
		}
		words := []string{s.service, kind, s.Name, "of", parent + ":"}
		for _, name := range []string{
			"gen_ai.provider.name", "weir.deployment", "http.response.status_code", "weir.outcome", "error.type",
			"gen_ai.usage.input_tokens", "http.request.resend_count", "weir.attempts",
		} {
			for _, a := range s.Attributes {
				if a.Key == name && (i > 0 || name != "weir.deployment") {
					words = append(words, name[strings.LastIndexByte(name, '.')+1:]+"="+a.Value.StringValue+a.Value.IntValue)
				}
			}
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return lines
}
