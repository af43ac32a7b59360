package command

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// prometheus is a Prometheus of a test's own.
type prometheus struct{ address string }

// newPrometheus starts a Prometheus that scrapes a gateway each second. It ends with
// the test.
func newPrometheus(t *testing.T, target string) *prometheus {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatalf("%v: run apt-get install --yes prometheus", err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &prometheus{address: free.Addr().String()}
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs(filepath.Join("..", "deploy", "prometheus", "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, "prometheus.yml", fmt.Sprintf(`
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [ %q ]
scrape_configs: [ { job_name: weir, static_configs: [ { targets: [ %q ] } ] } ]
`, rules, strings.TrimPrefix(target, "http://")))
	var log strings.Builder
	process := exec.Command(program, "--config.file="+file, "--storage.tsdb.path="+t.TempDir(), "--web.listen-address="+p.address, "--enable-feature=exemplar-storage")
	process.Stderr = &log
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Signal(syscall.SIGTERM) // it takes its files with it
		_ = process.Wait()
		if t.Failed() {
			t.Logf("Prometheus says:\n%s", &log)
		}
	})
	return p
}

// get asks the API for what is below data.
func (p *prometheus) get(t *testing.T, path string, query url.Values, data any) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.address+"/api/v1/"+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false // it is not listening yet
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return false
	}
	if err := json.Unmarshal(raw, &struct{ Data any }{data}); err != nil {
		t.Fatalf("Prometheus answers %s: %v", raw, err)
	}
	return true
}

// TestPrometheus holds that a real Prometheus reads what a gateway exposes, leads from
// a histogram to the trace of a request, and evaluates the rules that are shipped.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	_, azure := newAzure(t)
	log := newJournal()
	g, err := Build(t.Context(), parsed(t, `version: 1
server: { listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0" }
backends: { azure: { endpoint: "`+azure+`", auth: { api_key: "key-of-azure" } } }
models: { gpt-4o: { price: { input: 125, output: 900 }, deployments: [{ backend: azure, deployment: gpt-4o }] } }
`), Parts{Log: slog.New(slog.NewJSONHandler(log, nil)), Encodings: vocabularies(), Spans: tracetest.NewInMemoryExporter()})
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{Gateway: g, log: log, client: newClient(t)}
	api, admin := httptest.NewServer(g.API), httptest.NewServer(g.Admin)
	r.api, r.admin = api.URL, admin.URL
	t.Cleanup(func() {
		api.Close()
		admin.Close()
		if err := g.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	if got := r.ask(t, "", "traceparent", "00-"+trace+"-00f067aa0ba902b7-01"); got.status != http.StatusOK {
		t.Fatalf("answered %d: %s", got.status, got.body)
	}

	p := newPrometheus(t, r.admin)
	until(t, "Prometheus knows what was asked", func() bool {
		var data struct {
			Result []struct{ Value [2]any }
		}
		return p.get(t, "query", url.Values{"query": {`sum(weir_requests_total{model="gpt-4o",outcome="ok",route="/v1/chat/completions"})`}}, &data) &&
			len(data.Result) == 1 && data.Result[0].Value[1] == "1"
	})
	until(t, "an exemplar leads to the trace", func() bool {
		var data []struct {
			Exemplars []struct{ Labels map[string]string }
		}
		now := time.Now()
		span := url.Values{
			"query": {"weir_request_duration_seconds_bucket"},
			"start": {now.Add(-time.Hour).Format(time.RFC3339)}, "end": {now.Add(time.Hour).Format(time.RFC3339)},
		}
		return p.get(t, "query_exemplars", span, &data) && len(data) > 0 && len(data[0].Exemplars) > 0 &&
			data[0].Exemplars[0].Labels["trace_id"] == trace && data[0].Exemplars[0].Labels["span_id"] != ""
	})
	until(t, "every rule has been evaluated, and is well", func() bool {
		var data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
		if !p.get(t, "rules", nil, &data) || len(data.Groups) == 0 {
			return false
		}
		for _, rule := range data.Groups[0].Rules {
			if rule.Health != "ok" {
				return false
			}
		}
		return len(data.Groups[0].Rules) > 10
	})
}
