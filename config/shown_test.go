package config_test

import (
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"weir/config"
)

// TestShown writes a configuration for people and reads it again.
func TestShown(t *testing.T) {
	t.Parallel()
	text := goodHead + `
server: { trusted_proxies: [10.0.0.0/8], max_body: 1MiB }
admin: { token: "ADMIN-CANARY-0123456789abcdef0123456789", dashboard: false }
teams:
  a:
    budget: { usd: 5, alert_at: [80%] }
    keys:
      - { id: plain, value: "KEY-CANARY-0123456789", expires: 2030-01-31T00:00:00Z }
      - { id: hashed, sha256: "` + strings.Repeat("ab", 32) + `" }
state: { limits: { store: redis, url: "redis://user:URL-CANARY@127.0.0.1:6379/0" } }
`
	f, problems := config.Parse("weir.yaml", []byte(text), options())
	if f == nil {
		t.Fatal(texts(problems))
	}
	b := f.Backends["azure"]
	b.Proxy = "http://user:PROXY-CANARY@proxy.example:3128"
	f.Backends["azure"] = b
	got := config.Shown(f)
	for _, secret := range []string{"CANARY", "abab", "0123456789abcdef"} {
		if strings.Contains(got, secret) {
			t.Errorf("it holds %q:\n%s", secret, got)
		}
	}
	var read map[string]any
	if err := yaml.Unmarshal([]byte(got), &read); err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	server, _ := read["server"].(map[string]any)
	teams, _ := read["teams"].(map[string]any)
	team, _ := teams["a"].(map[string]any)
	budget, _ := team["budget"].(map[string]any)
	backends, _ := read["backends"].(map[string]any)
	backend, _ := backends["azure"].(map[string]any)
	keys, _ := team["keys"].([]any)
	admin, _ := read["admin"].(map[string]any)
	want := []any{"1MiB", []any{"10.0.0.0/8"}, "30s", []any{"80%"}, "http://[secret]@proxy.example:3128", "[secret]", false, 2}
	if diff := cmp.Diff(want, []any{
		server["max_body"], server["trusted_proxies"], server["shutdown_grace"], budget["alert_at"], backend["proxy"], admin["token"], admin["dashboard"], len(keys),
	}); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, got)
	}
}
