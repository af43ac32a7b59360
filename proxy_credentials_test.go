package main_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"weir/azuresim"
	"weir/command"
	"weir/config"
	"weir/upstream"
)

// signer is Entra ID as far as a secret needs it: every token is another one.
type signer struct{ issued atomic.Int32 }

func (s *signer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	base := "https://" + r.Host + "/tenant"
	if r.URL.Path == "/metadata/identity/oauth2/token" && r.Header.Get("Metadata") == "" {
		w.WriteHeader(http.StatusBadRequest) // as the metadata service refuses what may come from a browser
		return
	}
	if !strings.HasSuffix(r.URL.Path, "/token") {
		_ = json.NewEncoder(w).Encode(map[string]string{
			"issuer": base + "/v2.0", "authorization_endpoint": base + "/oauth2/v2.0/authorize", "token_endpoint": base + "/oauth2/v2.0/token",
		})
		return
	}
	_, _ = fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":"3600","resource":"x","access_token":"SENTINEL-TOKEN-%d"}`, s.issued.Add(1))
}

// trusting sends what is encrypted through a transport that trusts the server.
type trusting struct{ plain, encrypted http.RoundTripper }

func (t trusting) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "https" {
		return t.encrypted.RoundTrip(r)
	}
	return t.plain.RoundTrip(r)
}

// located sends what is for the metadata service, whose address cannot be
// configured, to the server.
type located struct {
	server *httptest.Server
	others http.RoundTripper
}

func (l located) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "169.254.169.254" {
		r = r.Clone(r.Context())
		r.URL.Host = l.server.Listener.Addr().String()
	}
	return l.others.RoundTrip(r)
}

// TestNoConfiguration serves with a few variables and no file: with a key of the
// resource, and else as a managed identity.
func TestNoConfiguration(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, key string
		accepts   azuresim.Config
	}{
		{"a key", "SENTINEL-KEY", azuresim.Config{Key: "SENTINEL-KEY"}},
		{"a managed identity", "", azuresim.Config{Key: "x", Token: "SENTINEL-TOKEN-1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			resource, metadata := httptest.NewServer(azuresim.New(tt.accepts)), httptest.NewServer(new(signer))
			defer resource.Close()
			defer metadata.Close()
			f, problems := config.FromEnvironment(config.Options{Getenv: func(name string) (string, bool) {
				v, ok := map[string]string{"AZURE_OPENAI_ENDPOINT": resource.URL, "AZURE_OPENAI_API_KEY": tt.key}[name]
				return v, ok
			}})
			if len(problems) > 0 {
				t.Fatalf("the environment: %v", problems)
			}
			plain := upstream.NewTransport(upstream.Connection{PerHost: 1})
			defer plain.CloseIdleConnections()
			g, err := command.Build(t.Context(), f, command.Parts{Transport: located{server: metadata, others: plain}, Encodings: vocabularies()})
			if err != nil {
				t.Fatal(err)
			}
			closeLater(t, g)
			api := httptest.NewServer(g.API)
			defer api.Close()
			if status, body := ask(t, api, nil); status != http.StatusOK {
				t.Errorf("answered %d %s", status, body)
			}
		})
	}
}

// TestBackendCredentials sends a request through the whole gateway with each form of a
// credential, on loopback, where the first that it gives is refused.
func TestBackendCredentials(t *testing.T) {
	t.Parallel()
	part := base64.RawURLEncoding.EncodeToString([]byte(`{"aud":"x"}`))
	jwt := strings.Join([]string{part, part, "SENTINEL"}, ".")
	keyFile := filepath.Join(t.TempDir(), "key")
	tests := []struct {
		name    string
		auth    string
		accepts azuresim.Config
		header  http.Header
		want    int
		code    string
		calls   int
	}{
		{"a key", `{ api_key: "${OLD}" }`, azuresim.Config{Key: "SENTINEL-OLD"}, nil, 200, "", 1},
		{"a key that is refused", `{ api_key: "${OLD}" }`, azuresim.Config{Key: "SENTINEL-NEW"}, nil, 502, "upstream_auth_failed", 1},
		{"two keys", `{ api_keys: ["${OLD}", "${NEW}"] }`, azuresim.Config{Key: "SENTINEL-NEW"}, nil, 200, "", 2},
		{"two keys that are refused", `{ api_keys: ["${OLD}", "${OLDER}"] }`, azuresim.Config{Key: "SENTINEL-NEW"}, nil, 502, "upstream_auth_failed", 2},
		{"a file that has changed", `{ api_key_file: "` + keyFile + `" }`, azuresim.Config{Key: "SENTINEL-NEW"}, nil, 200, "", 1},
		{"a token", entraAuth, azuresim.Config{Key: "x", Token: "SENTINEL-TOKEN-1"}, nil, 200, "", 1},
		{"a token that is refused", entraAuth, azuresim.Config{Key: "x", Token: "SENTINEL-TOKEN-2"}, nil, 200, "", 2},
		{"two tokens that are refused", entraAuth, azuresim.Config{Key: "x", Token: "SENTINEL-TOKEN-3"}, nil, 502, "upstream_auth_failed", 2},
		{"the caller's token", `{ pass_through: true }`, azuresim.Config{Key: "x", Token: jwt}, http.Header{"Authorization": {"Bearer " + jwt}}, 200, "", 1},
		{"the caller's token, refused", `{ pass_through: true }`, azuresim.Config{Key: "x", Token: "other"}, http.Header{"Authorization": {"Bearer " + jwt}}, 401, "unauthorized", 1},
		{"no token of the caller's", `{ pass_through: true }`, azuresim.Config{Key: "x"}, nil, 401, "invalid_api_key", 0},
		{"the caller's key is no token", `{ pass_through: true }`, azuresim.Config{}, http.Header{"Authorization": {"Bearer " + searchKey}}, 401, "invalid_api_key", 0},
		{"a token of two parts", `{ pass_through: true }`, azuresim.Config{}, http.Header{"Authorization": {"Bearer " + part + "." + part}}, 401, "invalid_api_key", 0},
		{"a token where a key is sent", `{ api_key: "${OLD}" }`, azuresim.Config{Key: "SENTINEL-OLD"}, http.Header{"Authorization": {"Bearer " + jwt}}, 200, "", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if strings.Contains(tt.auth, keyFile) {
				write(t, keyFile, "SENTINEL-OLD")
			}
			sim, login := azuresim.New(tt.accepts), httptest.NewTLSServer(&signer{})
			defer login.Close()
			resource := httptest.NewServer(sim)
			defer resource.Close()
			log := new(bytes.Buffer)
			g := credentialed(t, tt.auth, resource, login, log)
			if strings.Contains(tt.auth, keyFile) {
				write(t, keyFile, "SENTINEL-NEW")
			}
			api := httptest.NewServer(g.API)
			defer api.Close()
			status, body := ask(t, api, tt.header)
			if status != tt.want || !strings.Contains(body, tt.code) || strings.Contains(body, "SENTINEL") {
				t.Errorf("answered %d %s; want %d %s", status, body, tt.want, tt.code)
			}
			if n := len(sim.Requests()); n != tt.calls {
				t.Errorf("%d calls went upstream, want %d", n, tt.calls)
			}
			for _, r := range sim.Requests() {
				if s := fmt.Sprint(r.Header); strings.Contains(s, searchKey) || (strings.Contains(s, jwt) != (tt.auth == "{ pass_through: true }")) {
					t.Errorf("what went upstream: %s", s)
				}
			}
			if strings.Contains(log.String(), "SENTINEL") || strings.Contains(log.String(), searchKey) {
				t.Errorf("a secret is logged:\n%s", log)
			}
		})
	}
}

const entraAuth = `{ entra: { tenant_id: tenant, client_id: app, client_secret: "${OLD}", authority: LOGIN } }`

// accredited returns the configuration of a gateway in front of the resource, with
// the credential and with what more is said.
func accredited(t *testing.T, auth, more string, resource, login *httptest.Server) *config.File {
	t.Helper()
	text := `
version: 1
backends: { azure: { endpoint: "` + resource.URL + `", auth: ` + strings.Replace(auth, "LOGIN", `"`+login.URL+`"`, 1) + ` } }
models: { gpt-4o: { deployments: [{ backend: azure, deployment: gpt-4o }] } }
teams: { search: { keys: [{ id: search-1, value: "${SEARCH}" }] } }
` + more
	f, problems := config.Parse("weir.yaml", []byte(text), config.Options{ReadFile: os.ReadFile, Getenv: func(name string) (string, bool) {
		v, ok := map[string]string{"OLD": "SENTINEL-OLD", "OLDER": "SENTINEL-OLDER", "NEW": "SENTINEL-NEW", "SEARCH": searchKey}[name]
		return v, ok
	}})
	if len(problems) > 0 {
		t.Fatalf("the configuration: %v", problems)
	}
	return f
}

// credentialed returns a gateway in front of the resource, with the credential.
func credentialed(t *testing.T, auth string, resource, login *httptest.Server, log io.Writer) *command.Gateway {
	t.Helper()
	f := accredited(t, auth, "", resource, login)
	plain := upstream.NewTransport(upstream.Connection{PerHost: 1})
	t.Cleanup(plain.CloseIdleConnections)
	g, err := command.Build(t.Context(), f, command.Parts{
		Transport: trusting{plain: plain, encrypted: login.Client().Transport}, Encodings: vocabularies(),
		Log: slog.New(slog.NewJSONHandler(&lockedWriter{w: log}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, g)
	return g
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// ask sends one chat request with the key in api-key.
func ask(t *testing.T, api *httptest.Server, header http.Header) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, api.URL+"/v1/chat/completions",
		strings.NewReader(`{"model":"gpt-4o","messages":[{"role":"user","content":"hello"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Api-Key", searchKey)
	maps.Copy(req.Header, header)
	resp, err := api.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}
