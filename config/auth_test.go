package config_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/config"
)

// The defaults of signing in.
const (
	scope     = "https://cognitiveservices.azure.com/.default"
	authority = "https://login.microsoftonline.com"
)

// TestAuthForms reads each form of a credential, with what it is completed by.
func TestAuthForms(t *testing.T) {
	t.Parallel()
	federated := map[string]string{"AZURE_FEDERATED_TOKEN_FILE": "/var/token", "AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "client"}
	tests := []struct {
		name, text string
		env        map[string]string
		kind       string
		want       config.Auth
	}{
		{"a key", `{ api_key: "${KEY}" }`, nil, "api_key", config.Auth{APIKey: "0123456789abcdef"}},
		{"a key, not passed through", `{ api_key: "${KEY}", pass_through: false }`, nil, "api_key", config.Auth{APIKey: "0123456789abcdef"}},
		{"two keys", `{ api_keys: ["${KEY}", "${LONG}"] }`, nil, "api_keys", config.Auth{APIKeys: []config.Secret{"0123456789abcdef", "longlonglonglonglonglonglonglong"}}},
		{"a file", `{ api_key_file: /key }`, nil, "api_key_file", config.Auth{APIKeyFile: "/key"}},
		{"the caller's", `{ pass_through: true }`, nil, "pass_through", config.Auth{PassThrough: true}},
		{"a managed identity", `{ entra: {} }`, nil, "entra", config.Auth{Entra: config.Entra{ManagedIdentity: true, Scope: scope, Authority: authority}}},
		{"a workload identity", `{ entra: {} }`, federated, "entra", config.Auth{Entra: config.Entra{
			FederatedTokenFile: "/var/token", TenantID: "tenant", ClientID: "client", Scope: scope, Authority: authority,
		}}},
		{"a user's managed identity", `{ entra: { managed_identity: true, client_id: mine } }`, federated, "entra", config.Auth{Entra: config.Entra{
			ManagedIdentity: true, ClientID: "mine", Scope: scope, Authority: authority,
		}}},
		{"the system's, whatever the environment says", `{ entra: { managed_identity: true } }`, federated, "entra", config.Auth{Entra: config.Entra{
			ManagedIdentity: true, Scope: scope, Authority: authority,
		}}},
		{"a secret", `{ entra: { tenant_id: t, client_id: c, client_secret: "${SECRET}" } }`, federated, "entra", config.Auth{Entra: config.Entra{
			TenantID: "t", ClientID: "c", ClientSecret: "CANARY-1", Scope: scope, Authority: authority,
		}}},
		{"a certificate", `{ entra: { tenant_id: t, client_certificate_file: /key } }`, federated, "entra", config.Auth{Entra: config.Entra{
			TenantID: "t", ClientID: "client", ClientCertificateFile: "/key", Scope: scope, Authority: authority,
		}}},
		{"az", `{ entra: { cli: true, scope: https://ai.azure.com/.default } }`, federated, "entra", config.Auth{Entra: config.Entra{
			CLI: true, Scope: "https://ai.azure.com/.default", Authority: authority,
		}}},
		{"a managed identity or az", `{ entra: { managed_identity: true, cli: true } }`, nil, "entra", config.Auth{Entra: config.Entra{
			ManagedIdentity: true, CLI: true, Scope: scope, Authority: authority,
		}}},
		{"az where there is a managed identity", `{ entra: { managed_identity: true, cli: true } }`, map[string]string{"IDENTITY_ENDPOINT": "http://127.0.0.1:1"}, "entra", config.Auth{Entra: config.Entra{
			ManagedIdentity: true, Scope: scope, Authority: authority,
		}}},
		{"another cloud", `{ entra: { authority: https://login.microsoftonline.us/ } }`, nil, "entra", config.Auth{Entra: config.Entra{
			ManagedIdentity: true, Scope: "https://cognitiveservices.azure.us/.default", Authority: "https://login.microsoftonline.us",
		}}},
		{"another cloud, by the environment", `{ entra: {} }`, map[string]string{"AZURE_AUTHORITY_HOST": "https://login.chinacloudapi.cn/"}, "entra", config.Auth{Entra: config.Entra{
			ManagedIdentity: true, Scope: "https://cognitiveservices.azure.cn/.default", Authority: "https://login.chinacloudapi.cn",
		}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := "version: 1\nbackends: { azure: { endpoint: https://a.openai.azure.com, auth: " + tt.text + " } }\n" + goodModels
			o := options()
			o.Getenv = func(name string) (string, bool) {
				if v, ok := tt.env[name]; ok {
					return v, true
				}
				return env(name)
			}
			f, problems := config.Parse("weir.yaml", []byte(text), o)
			if len(problems) > 0 {
				t.Fatalf("problems:\n%s", texts(problems))
			}
			got := f.Backends["azure"].Auth
			if diff := cmp.Diff(tt.want, got); diff != "" || got.Kind() != tt.kind {
				t.Errorf("kind %q (-want +got):\n%s", got.Kind(), diff)
			}
			if err := compiled(t).Validate(plainValue(t, text)); err != nil {
				t.Errorf("it does not fit the schema: %v", err)
			}
		})
	}
}

// TestEnvironmentSignsIn is what is done where there is no key.
func TestEnvironmentSignsIn(t *testing.T) {
	t.Parallel()
	app := map[string]string{"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c"}
	with := func(more map[string]string) map[string]string {
		m := maps.Clone(app)
		maps.Copy(m, more)
		return m
	}
	done := func(e config.Entra) config.Entra {
		e.Scope, e.Authority = scope, authority
		return e
	}
	tests := []struct {
		name string
		env  map[string]string
		want config.Entra
	}{
		{"a developer's machine", nil, done(config.Entra{ManagedIdentity: true, CLI: true})},
		{"a user's managed identity", map[string]string{"AZURE_CLIENT_ID": "c"}, done(config.Entra{ManagedIdentity: true, CLI: true, ClientID: "c"})},
		{"an app service", map[string]string{"IDENTITY_ENDPOINT": "http://127.0.0.1:1"}, done(config.Entra{ManagedIdentity: true})},
		{"a cluster", map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, done(config.Entra{ManagedIdentity: true})},
		{"a server", map[string]string{"WEIR_LISTEN": ":8080", "WEIR_KEY": "a-key-that-is-long-enough"}, done(config.Entra{ManagedIdentity: true})},
		{"a workload identity", with(map[string]string{"AZURE_FEDERATED_TOKEN_FILE": "/var/token"}), done(config.Entra{TenantID: "t", ClientID: "c", FederatedTokenFile: "/var/token"})},
		{"a secret", with(map[string]string{"AZURE_CLIENT_SECRET": "CANARY"}), done(config.Entra{TenantID: "t", ClientID: "c", ClientSecret: "CANARY"})},
		{"a certificate", with(map[string]string{"AZURE_CLIENT_CERTIFICATE_PATH": "/key"}), done(config.Entra{TenantID: "t", ClientID: "c", ClientCertificateFile: "/key"})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, problems := config.FromEnvironment(config.Options{ReadFile: file, Getenv: func(name string) (string, bool) {
				if name == "AZURE_OPENAI_ENDPOINT" {
					return "https://a.openai.azure.com", true
				}
				v, ok := tt.env[name]
				return v, ok
			}})
			if len(problems) > 0 {
				t.Fatalf("problems:\n%s", texts(problems))
			}
			if diff := cmp.Diff(tt.want, f.Backends["azure"].Auth.Entra); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestEnvironmentSignsInAsNobody names the variable that is at fault, and no
// secret.
func TestEnvironmentSignsInAsNobody(t *testing.T) {
	t.Parallel()
	f, problems := config.FromEnvironment(config.Options{Getenv: func(name string) (string, bool) {
		v, ok := map[string]string{"AZURE_OPENAI_ENDPOINT": "https://a.openai.azure.com", "AZURE_CLIENT_SECRET": "CANARY"}[name]
		return v, ok
	}})
	if s := texts(problems); f != nil || !strings.Contains(s, "AZURE_TENANT_ID") || strings.Contains(s, "CANARY") {
		t.Errorf("problems:\n%s", s)
	}
}
