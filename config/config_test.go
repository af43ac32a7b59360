package config_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/config"
)

const canary = "CANARY-7f3a21"

func now() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

func texts(problems []config.Problem) string {
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(p.String() + "\n")
	}
	return b.String()
}

// TestAllAtOnce has ten faults in one file.
func TestAllAtOnce(t *testing.T) {
	t.Parallel()
	const text = `version: 1
server:
  lisen: ":8080"
  max_body: 20Megs
backends:
  azure:
    endpoint: http://contoso.openai.azure.com
    auth: { api_key: "${UNSET}" }
models:
  gpt-4o:
    deployments:
      - { backend: azrue, deployment: gpt-4o, weight: -1 }
policies:
  default: { mode: shadwo }
teams:
  search:
    limits: { rpm: lots, rpm: 5 }
    policy: defalt
`
	_, problems := config.Parse("weir.yaml", []byte(text), options())
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprintf("%d:%d %s %s", p.Line, p.Column, p.Code, p.Path))
	}
	want := []string{
		"3:3 E004 server.lisen",
		"4:13 E008 server.max_body",
		"7:15 E018 backends.azure.endpoint",
		"8:22 E012 backends.azure.auth.api_key",
		"12:20 E010 models.gpt-4o.deployments[0].backend",
		"12:55 E006 models.gpt-4o.deployments[0].weight",
		"14:20 E007 policies.default.mode",
		"17:20 E005 teams.search.limits.rpm",
		"17:26 E003 teams.search.limits.rpm",
		"18:13 E010 teams.search.policy",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Parse (-want +got):\n%s\n%s", diff, texts(problems))
	}
}

// TestReport shows one problem as a user sees it.
func TestReport(t *testing.T) {
	t.Parallel()
	text := goodHead + "teams:\n  a:\n    limits:\n      rpm: 60 # " + canary + "\n      tmp: 1000\n"
	_, problems := config.Parse("weir.yaml", []byte(text), options())
	want := `weir.yaml:8:7: error: unknown key "tmp" (E004)
    7 |       rpm: 60 # …
>   8 |       tmp: 1000
              ^
  hint: did you mean "tpm"?
`
	if diff := cmp.Diff(want, texts(problems)); diff != "" {
		t.Errorf("String (-want +got):\n%s", diff)
	}
	data, err := json.Marshal(problems[0])
	if err != nil || !strings.Contains(string(data), `"severity":"error","code":"E004","file":"weir.yaml","line":8,"column":7`) {
		t.Errorf("Marshal = %s, %v", data, err)
	}
}

// TestManyProblems shows that a file full of faults makes a report of bounded
// size.
func TestManyProblems(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(goodHead)
	for i := range 400 {
		fmt.Fprintf(&b, "key%d: [%s]\n", i, strings.Repeat("x, ", 100))
	}
	f, problems := config.Parse("weir.yaml", []byte(b.String()), options())
	if f != nil || len(problems) != 201 || !strings.Contains(problems[200].Message, "200 more") {
		t.Errorf("%d problems, the last %q; want 200 and a count", len(problems), problems[len(problems)-1].Message)
	}
	for _, p := range problems {
		if len(p.Snippet) > 1000 {
			t.Fatalf("a snippet of %d bytes", len(p.Snippet))
		}
	}
}

// TestHidden puts a canary wherever a secret may stand, beside a fault that
// shows its line.
func TestHidden(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text string }{
		{"on the line before", goodHead + "teams: { a: { keys: [{ id: x, value: " + canary + " }] } }\nwrong: 1\n"},
		{"on the same line", goodHead + "teams: { a: { keys: [{ value: " + canary + ", wrong: 1 }] } }\n"},
		{"in quotes", goodHead + "teams: { a: { keys: [{ value: \"" + canary + " x\", wrong: 1 }] } }\n"},
		{"as a hash", goodHead + "teams: { a: { keys: [{ sha256: " + canary + " }] } }\n"},
		{"as a default", goodHead + "teams: { a: { keys: [{ value: \"${NONE:-" + canary + "}\", wrong: 1 }] } }\n"},
		{"in a block", goodHead + "teams:\n  a:\n    keys:\n      - value: |\n          " + canary + "\n        wrong: 1\n"},
		{"over two lines", goodHead + "teams:\n  a:\n    keys:\n      - value: x\n          " + canary + "\n        wrong: 1\n"},
		{"under an unknown key", goodHead + "teams: { a: { apikey: " + canary + " } }\n"},
		{"under a mapping of an unknown key", goodHead + "teams: { a: { secrets: { one: " + canary + " } } }\n"},
		{"where a mapping belongs", goodHead + "teams: { a: { keys: [" + canary + "] } }\n"},
		{"under a key twice", goodHead + "teams: { a: { keys: [{ value: x, value: " + canary + " }] } }\n"},
		{"in a comment", goodHead + "# " + canary + "\nwrong: 1 # " + canary + "\n"},
		{"in a broken file", goodHead + "a: { api_key: " + canary + ", b: [\n"},
		{"in an unclosed quote", goodHead + "a: { api_key: \"" + canary + "\n"},
		{"before a tab", goodHead + "a:\n  api_key: " + canary + "\n\tb: 1\n"},
		{"behind an anchor", goodHead + "teams: { a: { keys: [{ value: &a " + canary + " }] } }\n"},
		{"behind a tag", goodHead + "teams: { a: { keys: [{ value: !!str " + canary + " }] } }\n"},
		{"in an endpoint", "version: 1\nbackends: { a: { endpoint: \"https://u:" + canary + "@h\", auth: { api_key: x } } }\n"},
		{"by a variable in a number", goodHead + "teams: { a: { limits: { rpm: \"${CANARY}\" } } }\n"},
		{"by a variable in an address", goodHead + "server: { listen: \"${CANARY}\", max_body: \"${CANARY}\", trusted_proxies: [\"${CANARY}\"] }\n"},
		{"by a variable in a name", goodHead + "teams: { a: { policy: \"${CANARY}\", models: [\"${CANARY}\"] } }\n"},
		{"where a name belongs", goodHead + "teams: { a: { policy: sk-" + canary + " } }\n"},
		{"by a file", goodHead + "teams: { a: { policy: \"${file:/canary}\" } }\n"},
		{"by the environment", goodHead + "wrong: 1\n"},
	}
	o := options()
	o.Getenv = func(name string) (string, bool) {
		if name == "CANARY" || name == "WEIR_SERVER_ADMIN_LISTEN" || name == "WEIR_TELEMETRY_LOG_LEVEL" {
			return canary, true
		}
		return env(name)
	}
	o.ReadFile = func(string) ([]byte, error) { return []byte(canary), nil }
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, problems := config.Parse("weir.yaml", []byte(tt.text), o)
			if f != nil || len(problems) == 0 {
				t.Fatalf("Parse = %v, %v; want problems", f, problems)
			}
			if report := texts(problems) + fmt.Sprintf("%+v %#v", problems, problems); strings.Contains(report, "CANARY-7") || strings.Contains(report, "7f3a21") {
				t.Errorf("the secret shows:\n%s", texts(problems))
			}
		})
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	s := config.Secret(canary)
	k := config.Key{Value: s}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s, "key", k)
	data, err := json.Marshal([]any{s, k, &s})
	if err != nil {
		t.Error(err)
	}
	yaml, err := s.MarshalYAML()
	if err != nil {
		t.Error(err)
	}
	all := log.String() + string(data) + string(yaml) + fmt.Sprint(s, k, &k, []any{s}) +
		fmt.Sprintf("%s %v %+v %#v %q %x %d %+v %#v", s, s, s, s, s, s, s, k, k) + s.String() + s.GoString()
	if strings.Contains(all, canary) || strings.Contains(all, fmt.Sprintf("%x", canary)) || !strings.Contains(all, "[secret]") {
		t.Errorf("the secret shows: %s", all)
	}
	if s.Reveal() != canary {
		t.Errorf("Reveal = %q", s.Reveal())
	}
	if k.Hash() != sha256.Sum256([]byte(canary)) || k.Hash() != (config.Key{SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(canary)))}).Hash() {
		t.Error("Hash differs between a key and its hash")
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		want config.Size
		back string
	}{
		{"0", 0, "0"},
		{"512", 512, "512"},
		{"512B", 512, "512"},
		{"1KiB", 1024, "1KiB"},
		{"20MiB", 20 << 20, "20MiB"},
		{"2 GiB", 2 << 30, "2GiB"},
		{"3kB", 3000, "3000"},
		{"1024KB", 1024000, "1000KiB"},
		{"5MB", 5e6, "5000000"},
		{"1GB", 1e9, "1000000000"},
		{"-1", -1, "-1"},
		{"", -2, ""},
		{"MiB", -2, ""},
		{"1.5MiB", -2, ""},
		{"1TiB", -2, ""},
		{"1KiM", -2, ""},
		{"9999999999GiB", -2, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := config.ParseSize(tt.name)
			if (err != nil) != (tt.want == -2) {
				t.Fatalf("ParseSize(%q) = %v, %v", tt.name, got, err)
			}
			if err == nil && (got != tt.want || got.String() != tt.back) {
				t.Errorf("ParseSize(%q) = %d, %s; want %d, %s", tt.name, got, got, tt.want, tt.back)
			}
		})
	}
}

// TestDefaults shows what the smallest file becomes.
func TestDefaults(t *testing.T) {
	t.Parallel()
	f, problems := config.Parse("weir.yaml", []byte(goodHead), options())
	if f == nil {
		t.Fatal(texts(problems))
	}
	policy := config.Policy{SpecialTokens: "reject", OnOutputOverflow: "lower", OnContextOverflow: "reject", Mode: "enforce", ReserveQuantile: 0.9}
	want := &config.File{
		Version: 1,
		Server: config.Server{
			Listen: "127.0.0.1:8080", AdminListen: "127.0.0.1:8081", MaxBody: 20 << 20, MaxUpload: 200 << 20, MaxUploadDisk: 2 << 30, ShutdownGrace: 30 * time.Second,
		},
		Backends: map[string]config.Backend{"azure": {
			Kind: "azure", Endpoint: "https://a.openai.azure.com", APIVersion: "v1", Auth: config.Auth{APIKey: "0123456789abcdef"},
		}},
		Models: map[string]config.Model{"gpt-4o": {
			BaseModel: "gpt-4o", Deployments: []config.Deployment{{Backend: "azure", Deployment: "gpt-4o", Weight: 1, RPMWindow: 10 * time.Second}},
		}},
		Policies: map[string]config.Policy{"default": policy},
		Teams:    map[string]config.Team{"default": {Policy: "default"}},
		Resilience: config.Resilience{
			Timeout: config.Timeout{Connect: 5 * time.Second, FirstByte: time.Minute, StreamIdle: time.Minute, Total: 10 * time.Minute},
			Retry: config.Retry{
				MaxAttempts: 3, MaxRetryAfter: 10 * time.Second, CoolOn: "any_500", CoolBy: 0.75,
				Backoff: config.Backoff{Initial: 250 * time.Millisecond, Max: 8 * time.Second, Jitter: "full"},
			},
			Breaker: config.Breaker{
				Window: time.Minute, ConsecutiveFailures: 5, MinRequests: 20, FailureRatio: 0.5, OpenFor: 15 * time.Second,
			},
			Queue: config.Queue{MaxWait: 2 * time.Second, MaxLength: 1000},
			Twin:  true,
		},
		Telemetry: config.Telemetry{
			Log:       config.Log{Level: "info", Format: "auto"},
			AccessLog: config.AccessLog{Enabled: true, Exclude: []string{"/healthz", "/livez", "/readyz", "/metrics"}},
			Metrics:   config.Metrics{GenAI: true, TeamLabel: true},
		},
		State: config.State{
			Limits: config.LimitStore{
				Store: "memory", OnError: "local", Replicas: 1, Timeout: 25 * time.Millisecond, Slice: config.Slice{From: 200, Share: 0.05, For: 200 * time.Millisecond},
			},
			Ledger: config.Ledger{Retain: 32 * 24 * time.Hour, Durability: "batch", MaxRows: 100000},
		},
		Admin: config.Admin{Dashboard: true},
	}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
	if !f.Server.Local() {
		t.Error("Local = false")
	}
}

// TestValues reads values in every way they may be written.
func TestValues(t *testing.T) {
	t.Parallel()
	text := goodHead + `
server: { trusted_proxies: [10.1.2.3/8, "::1"], max_body: 4096, shutdown_grace: "1m30s" }
policies:
  default: { max_input_tokens: 100, special_tokens: escape }
  mid: { extends: default, max_turns: 7, special_tokens: reject }
  low: { extends: mid, max_input_tokens: 50 }
teams:
  a:
    policy: low
    owner: "$${KEY} ${NONE:-of ${KEY}"
    limits: { rpm: "${NUMBER}", tpm: "${EMPTY:-34}" }
    keys:
      - { id: file, value: "${file:/key}", expires: 2030-01-31 }
      - { id: time, value: "${KEY}", expires: 2030-01-31T12:00:00+01:00 }
telemetry: { access_log: { enabled: "${TRUE}", exclude: [] } }
`
	text = strings.Replace(text, "${NONE:-of ${KEY}", "${NONE:-of} ${NUMBER}", 1)
	text = strings.Replace(text, "deployment: gpt-4o }", "deployment: gpt-4o, fixed_temperature: false }", 1)
	f, problems := config.Parse("weir.yaml", []byte(strings.ReplaceAll(text, "\n", "\r\n")), options())
	if f == nil {
		t.Fatal(texts(problems))
	}
	server := config.Server{
		Listen: "127.0.0.1:8080", AdminListen: "127.0.0.1:8081", MaxBody: 4096, MaxUpload: 200 << 20, MaxUploadDisk: 2 << 30, ShutdownGrace: 90 * time.Second,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	}
	if diff := cmp.Diff(server, f.Server, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("server (-want +got):\n%s", diff)
	}
	low := config.Policy{
		Extends: "mid", SpecialTokens: "reject", MaxInputTokens: 50, MaxTurns: 7,
		OnOutputOverflow: "lower", OnContextOverflow: "reject", Mode: "enforce", ReserveQuantile: 0.9,
	}
	if diff := cmp.Diff(low, f.Policies["low"]); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
	idle := config.Budget{Period: "month", Zone: "UTC", AlertAt: []config.Percent{0.8, 1}, Mode: "enforce"}
	team := config.Team{
		Owner: "${KEY} of 12", Policy: "low", Limits: config.Limits{RPM: 12, TPM: 34, Mode: "enforce"}, Weight: 1, Budget: idle, Keys: []config.Key{
			{
				ID: "file", Value: "a-key-in-a-file-that-is-long", Expires: time.Date(2030, 2, 1, 0, 0, 0, 0, time.UTC),
				Priority: "normal", Limits: config.Limits{Mode: "enforce"}, Budget: idle,
			},
			{
				ID: "time", Value: "0123456789abcdef", Expires: time.Date(2030, 1, 31, 11, 0, 0, 0, time.UTC),
				Priority: "normal", Limits: config.Limits{Mode: "enforce"}, Budget: idle,
			},
		},
	}
	if diff := cmp.Diff(team, f.Teams["a"]); diff != "" {
		t.Errorf("team (-want +got):\n%s", diff)
	}
	if a := f.Telemetry.AccessLog; !a.Enabled || len(a.Exclude) != 0 {
		t.Errorf("access log %+v; want it on and nothing excluded", a)
	}
	if fixed := f.Models["gpt-4o"].Deployments[0].FixedTemperature; fixed == nil || *fixed {
		t.Errorf("fixed_temperature = %v; want a false", fixed)
	}
}

// TestInjection shows that what a variable holds stays one value.
func TestInjection(t *testing.T) {
	t.Parallel()
	o := options()
	o.Getenv = func(name string) (string, bool) {
		if name == "EVIL" {
			return "x\nteams: { b: {} }\n- \"${KEY}\" # {", true
		}
		return env(name)
	}
	f, problems := config.Parse("weir.yaml", []byte(goodHead+"teams: { a: { owner: \"${EVIL}\" } }\n"), o)
	if f == nil || len(f.Teams) != 1 || f.Teams["a"].Owner != "x\nteams: { b: {} }\n- \"${KEY}\" # {" {
		t.Errorf("Parse = %+v\n%s", f, texts(problems))
	}
}

func TestOverride(t *testing.T) {
	t.Parallel()
	o := options()
	o.Getenv = func(name string) (string, bool) {
		v, ok := map[string]string{
			"WEIR_LISTEN": "localhost:1", "WEIR_SERVER_MAX_BODY": "1MiB", "WEIR_RESILIENCE_RETRY_COOL_BY": "0.5",
			"WEIR_TELEMETRY_LOG_LEVEL": "debug", "WEIR_TELEMETRY_ACCESS_LOG_ENABLED": "false", "WEIR_VERSION": "1.0.0",
			"WEIR_RESILIENCE_RETRY_MAX_ATTEMPTS": "", "WEIR_TEAMS_A_OWNER": "x", "KEY": "k",
		}[name]
		return v, ok
	}
	f, problems := config.Parse("weir.yaml", []byte(goodHead+"telemetry: { log: { level: warn } }\n"), o)
	if f == nil {
		t.Fatal(texts(problems))
	}
	got := []any{f.Server.Listen, f.Server.MaxBody, f.Resilience.Retry.CoolBy, f.Telemetry.Log.Level, f.Telemetry.AccessLog.Enabled, f.Resilience.Retry.MaxAttempts}
	want := []any{"localhost:1", config.Size(1 << 20), 0.5, "debug", false, 3}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFromEnvironment(t *testing.T) {
	t.Parallel()
	const endpoint, key = "https://a.openai.azure.com", "0123456789abcdef"
	tests := []struct {
		name string
		env  map[string]string
		want string // file, code and path of the problems
	}{
		{"key and endpoint", map[string]string{"AZURE_OPENAI_ENDPOINT": endpoint, "AZURE_OPENAI_API_KEY": key}, ""},
		{"a socket", map[string]string{"AZURE_OPENAI_ENDPOINT": endpoint, "AZURE_OPENAI_API_KEY": key, "WEIR_LISTEN": "unix:/run/w"}, ""},
		{"nothing", nil, "AZURE_OPENAI_ENDPOINT E009 backends.azure.endpoint"},
		{"a bad endpoint", map[string]string{"AZURE_OPENAI_ENDPOINT": "http://" + canary, "AZURE_OPENAI_API_KEY": key}, "AZURE_OPENAI_ENDPOINT E018 backends.azure.endpoint"},
		{"a bad version", map[string]string{"AZURE_OPENAI_ENDPOINT": endpoint, "AZURE_OPENAI_API_KEY": key, "OPENAI_API_VERSION": canary}, "OPENAI_API_VERSION E008 backends.azure.api_version"},
		{"a bad level", map[string]string{"AZURE_OPENAI_ENDPOINT": endpoint, "AZURE_OPENAI_API_KEY": key, "WEIR_TELEMETRY_LOG_LEVEL": canary}, "WEIR_TELEMETRY_LOG_LEVEL E007 telemetry.log.level"},
		{"open", map[string]string{"AZURE_OPENAI_ENDPOINT": endpoint, "AZURE_OPENAI_API_KEY": key, "WEIR_LISTEN": ":8080"}, "WEIR_LISTEN E013 server.listen"},
		{"open with a key", map[string]string{"AZURE_OPENAI_ENDPOINT": endpoint, "AZURE_OPENAI_API_KEY": key, "WEIR_LISTEN": ":8080", "WEIR_KEY": canary + canary}, ""},
		{"open with a weak key", map[string]string{"AZURE_OPENAI_ENDPOINT": endpoint, "AZURE_OPENAI_API_KEY": key, "WEIR_LISTEN": ":8080", "WEIR_KEY": "CANARY-7"}, "WEIR_KEY E016 teams.default.keys[0].value"},
		{"open with a sample", map[string]string{"AZURE_OPENAI_ENDPOINT": endpoint, "AZURE_OPENAI_API_KEY": key, "WEIR_LISTEN": ":8080", "WEIR_KEY": "sk-demo"}, "WEIR_KEY E016 teams.default.keys[0]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, problems := config.FromEnvironment(config.Options{Getenv: func(name string) (string, bool) {
				v, ok := tt.env[name]
				return v, ok
			}})
			var got []string
			for _, p := range problems {
				got = append(got, strings.Join([]string{p.File, p.Code, p.Path}, " "))
			}
			if s := strings.Join(got, "; "); s != tt.want || (f == nil) == (tt.want == "") {
				t.Errorf("FromEnvironment = %v, %q; want %q\n%s", f != nil, s, tt.want, texts(problems))
			}
			if strings.Contains(texts(problems), "CANARY") {
				t.Errorf("a secret shows:\n%s", texts(problems))
			}
			if f == nil {
				return
			}
			b := config.Backend{Kind: "azure", Endpoint: endpoint, APIVersion: "v1", Auth: config.Auth{APIKey: key}}
			if diff := cmp.Diff(map[string]config.Backend{"azure": b}, f.Backends); diff != "" || f.PassThrough != "azure" {
				t.Errorf("pass-through %q, backends (-want +got):\n%s", f.PassThrough, diff)
			}
			if keys := f.Teams["default"].Keys; (len(keys) == 1) != (tt.env["WEIR_KEY"] != "") {
				t.Errorf("%d keys", len(keys))
			}
		})
	}
}

// FuzzParse shows that no file makes Parse panic, and that neither the value
// of a variable nor a literal key shows in a report.
func FuzzParse(f *testing.F) {
	for _, path := range []string{"../docs/examples/weir.yaml", "../docs/examples/minimal.yaml", "../docs/examples/sidecar.yaml", "../docs/examples/replicas.yaml"} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data), "")
	}
	f.Add(goodHead, "wrong: 1\n")
	f.Add("a: [1, {b: &c *d}]\n", "? x\n: y\n")
	f.Add("a: \"x\n", "\tb: |\n  c\n")
	o := config.Options{
		Getenv:   func(string) (string, bool) { return "CANARY-variable", true },
		ReadFile: func(string) ([]byte, error) { return []byte("CANARY-file"), nil },
		Now:      now(),
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		if len(before)+len(after) > 1<<12 || strings.Contains(before+after, "CANARY") {
			return
		}
		for _, text := range []string{before + after, before + "\nteams: { a: { keys: [{ value: CANARY-key }] } }\n" + after} {
			file, problems := config.Parse("weir.yaml", []byte(text), o)
			failed := false
			for _, p := range problems {
				failed = failed || p.Severity == config.Error
				if strings.Contains(fmt.Sprintf("%s %+v", p, p), "CANARY") {
					t.Fatalf("a secret shows:\n%s", p)
				}
			}
			if failed != (file == nil) {
				t.Fatalf("file %v with\n%s", file != nil, texts(problems))
			}
		}
	})
}
