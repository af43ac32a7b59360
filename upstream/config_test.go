package upstream_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/upstream"
)

// TestKeyIsNeverPrinted prints a key by every verb, in everything that holds it.
func TestKeyIsNeverPrinted(t *testing.T) {
	t.Parallel()
	d := deployment("east")
	cfg := upstream.Config{Models: map[string]upstream.Model{"m": {Deployments: []upstream.Deployment{d}}}, Any: &d}
	type holder struct{ hidden upstream.APIKey }
	k := upstream.NewAPIKey(key)
	for name, v := range map[string]any{
		"key": k, "pointer": &k, "deployment": d, "config": cfg, "pool": upstream.New(cfg),
		"hidden": holder{k}, "hidden pointer": &holder{k}, "slice": []any{k}, "map": map[string]any{"k": k}, "error": fmt.Errorf("%v", k),
	} {
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
		raw, _ := json.Marshal(v)
		log.Write(raw)
		for _, verb := range "vsqxXdtbcoOUeEfFgGpTwz" {
			for _, flag := range []string{"", "+", "#", "-20", "+#", " ", "0"} {
				fmt.Fprintf(&log, "%"+flag+string(verb), v)
			}
		}
		for _, secret := range []string{key, hex.EncodeToString([]byte(key)), fmt.Sprintf("%X", key), fmt.Sprintf("% x", key)} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("%s is printed with its key, as %s", name, secret)
			}
		}
	}
	if got := fmt.Sprintf("%v %+v %#v %s %d", k, k, k, k, k); got != strings.TrimSpace(strings.Repeat("[secret] ", 5)) {
		t.Errorf("a key is printed as %q", got)
	}
}

// TestKeyAuthorizes holds where a key goes.
func TestKeyAuthorizes(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	if err := upstream.NewAPIKey(key).Authorize(t.Context(), h); err != nil || !cmp.Equal(h, http.Header{"Api-Key": {key}}) {
		t.Errorf("Authorize: %v, %v", h, err)
	}
	if err := (upstream.APIKey{}).Authorize(t.Context(), h); err == nil {
		t.Error("a key that was never made authorizes")
	}
}

// TestRequestUpstream holds where a request goes and what it carries: nothing of
// the caller's but what the call names.
func TestRequestUpstream(t *testing.T) {
	t.Parallel()
	at := func(endpoint string) *url.URL {
		u, err := url.Parse(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	tests := []struct {
		name     string
		endpoint string
		version  string
		dep      string
		path     string
		query    string
		body     string
	}{
		{"classic", "http://east.example", "2024-10-21", "gpt-4o", "/openai/deployments/gpt-4o/chat/completions", "api-version=2024-10-21", `{"model":"x","messages":[{"role":"user","content":"hello"}]}`},
		{"classic, slash", "http://east.example/", "2024-10-21", "gpt-4o", "/openai/deployments/gpt-4o/chat/completions", "api-version=2024-10-21", `{"model":"x","messages":[{"role":"user","content":"hello"}]}`},
		{"classic, below a path", "http://east.example/proxy/", "2024-10-21", "gpt-4o", "/proxy/openai/deployments/gpt-4o/chat/completions", "api-version=2024-10-21", `{"model":"x","messages":[{"role":"user","content":"hello"}]}`},
		{"classic, an odd name", "http://east.example", "2024-10-21", "a/b?c %2F", "/openai/deployments/a%2Fb%3Fc%20%252F/chat/completions", "api-version=2024-10-21", `{"model":"x","messages":[{"role":"user","content":"hello"}]}`},
		{"v1", "http://east.example", "v1", "gpt-4o", "/openai/v1/chat/completions", "", `{"model":"gpt-4o","messages":[{"role":"user","content":"hello"}]}`},
		{"v1, no version", "http://east.example", "", "gpt-4o", "/openai/v1/chat/completions", "", `{"model":"gpt-4o","messages":[{"role":"user","content":"hello"}]}`},
		{"v1, an odd name", "http://east.example", "", "a\"\x7f\U000e0001é", "/openai/v1/chat/completions", "", "{\"model\":\"a\\\"\x7f\U000e0001é\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				d := deployment("east")
				d.Endpoint, d.APIVersion, d.Name = at(tt.endpoint), tt.version, tt.dep
				w.deployments(d)
			}, func(w *world) {
				call := w.ask(`"model":"x",`)
				call.Header = map[string][]string{"User-Agent": {"client/1"}, "X-Ms-Client-Request-Id": {"id"}}
				w.do(call)
				seen := w.east.Requests()[0]
				if seen.Path != tt.path || seen.RawQuery != tt.query || string(seen.Body) != tt.body {
					t.Errorf("asked for %s?%s with %s, want %s?%s with %s", seen.Path, seen.RawQuery, seen.Body, tt.path, tt.query, tt.body)
				}
				want := http.Header{
					"Accept": {"application/json"}, "Accept-Encoding": {"identity"}, "Api-Key": {key}, "Content-Length": {strconv.Itoa(len(tt.body))},
					"Content-Type": {"application/json"}, "User-Agent": {"client/1"}, "X-Ms-Client-Request-Id": {"id"},
				}
				if diff := cmp.Diff(want, seen.Header); diff != "" {
					t.Errorf("header (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestTransport holds what a transport does not do.
func TestTransport(t *testing.T) {
	t.Parallel()
	tr := upstream.NewTransport(upstream.Connection{Connect: 5 * time.Second, PerHost: 7})
	if tr.Proxy != nil || !tr.DisableCompression || tr.MaxResponseHeaderBytes != 64<<10 || tr.MaxIdleConnsPerHost != 7 || tr.TLSHandshakeTimeout != 5*time.Second {
		t.Errorf("the transport is %+v", tr)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	conn, err := tr.DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatalf("dialing: %v", err)
	}
	_ = conn.Close()
}

// broken is a credential that cannot be had.
type broken struct{ wait bool }

func (b broken) Authorize(ctx context.Context, _ http.Header) error {
	if b.wait {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return errors.New("no token for SENTINEL")
}

// TestCredentialFails holds that a deployment without its credential rests, and
// that a caller that leaves meanwhile makes none rest.
func TestCredentialFails(t *testing.T) {
	t.Parallel()
	with := func(c upstream.Credential) func(w *world) {
		return func(w *world) {
			d := deployment("east")
			d.Credential = c
			w.deployments(d)
		}
	}
	bubble(t, with(broken{}), func(w *world) {
		if got := w.do(w.ask("")); got.Status != 502 || got.Code != "upstream_auth_failed" || w.state().Rest != 63*time.Second {
			t.Errorf("came to %+v, and east rests %v", got, w.state().Rest)
		}
		if got := w.do(w.ask("")); got.Status != 503 || got.Code != "no_healthy_deployment" {
			t.Errorf("then came to %+v", got)
		}
	})
	bubble(t, with(broken{wait: true}), func(w *world) {
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
		defer cancel()
		if got := w.doIn(ctx, w.ask("")); !errors.Is(got.Err, context.DeadlineExceeded) || w.state().Rest != 0 {
			t.Errorf("came to %+v, and east rests %v", got, w.state().Rest)
		}
	})
}
