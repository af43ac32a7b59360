package command

import (
	"context"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/azuresim"
	"weir/config"
)

// TestUpstreamTLS holds that a server is believed by the certificates that are
// named for it alone, over HTTP/2, and that Warm leaves a connection to the first
// request.
func TestUpstreamTLS(t *testing.T) {
	t.Parallel()
	var conns, second atomic.Int32
	sim := azuresim.New(azuresim.Config{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 {
			second.Add(1)
		}
		sim.ServeHTTP(w, r)
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	dir := t.TempDir()
	right, wrong := filepath.Join(dir, "right.crt"), filepath.Join(dir, "wrong.crt")
	put(t, right, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), time.Unix(1, 0))
	issue(t, wrong, filepath.Join(dir, "wrong.key"), 1, time.Unix(1, 0))
	for name, tt := range map[string]struct {
		ca     string
		status int
		want   string
	}{
		"its own":      {"ca_file: " + right, 200, `"choices"`},
		"another's":    {"ca_file: " + wrong, 502, "upstream_unreachable"},
		"the system's": {"", 502, "upstream_unreachable"},
	} {
		conns.Store(0)
		g := gatewayTo(t, server.URL, tt.ca)
		g.Pool().Warm(t.Context())
		warmed := conns.Load()
		status, body := askGateway(t, g)
		if status != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%s: %d %s", name, status, body)
		}
		if tt.status == 200 && (warmed != 1 || conns.Load() != 1 || second.Load() != 2) {
			t.Errorf("%s: %d connections, %d behind the request, %d requests over HTTP/2", name, warmed, conns.Load(), second.Load())
		}
	}
}

// TestUpstreamProxy holds that requests go through a proxy where one is named, and
// that a server on this machine needs no key.
func TestUpstreamProxy(t *testing.T) {
	t.Parallel()
	sim := azuresim.New(azuresim.Config{})
	var through atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host == "localhost:9" {
			through.Add(1)
		}
		sim.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	g := gatewayTo(t, "http://localhost:9", "proxy: "+proxy.URL)
	if status, body := askGateway(t, g); status != 200 || through.Load() != 1 {
		t.Errorf("%d %s, %d requests through the proxy", status, body, through.Load())
	}
}

// gatewayTo returns a gateway to a server of kind openai with what more is said of
// it.
func gatewayTo(t *testing.T, endpoint, more string) *Gateway {
	t.Helper()
	text := fmt.Sprintf("version: 1\nbackends:\n  x:\n    kind: openai\n    endpoint: %s\n    %s\nmodels: { gpt-4o: { deployments: [{ backend: x, deployment: gpt-4o }] } }\nresilience: { retry: { max_attempts: 1 } }\n", endpoint, more)
	f, problems := config.Parse("weir.yaml", []byte(text), config.Options{ReadFile: os.ReadFile})
	if f == nil {
		t.Fatal(problems)
	}
	g, err := Build(t.Context(), f, Parts{})
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, g)
	return g
}

// closeLater closes a gateway when the test is over.
func closeLater(t *testing.T, g *Gateway) {
	t.Helper()
	t.Cleanup(func() {
		if err := g.Close(context.Background()); err != nil {
			t.Errorf("closing the gateway: %v", err)
		}
	})
}

func askGateway(t *testing.T, g *Gateway) (status int, body string) {
	t.Helper()
	out := httptest.NewRecorder()
	in := httptest.NewRequest(http.MethodPost, "http://localhost/v1/chat/completions", strings.NewReader(`{"model":"gpt-4o","messages":[{"role":"user","content":"hello"}]}`))
	in.Header.Set("Content-Type", "application/json")
	g.API.ServeHTTP(out, in)
	return out.Code, out.Body.String()
}
