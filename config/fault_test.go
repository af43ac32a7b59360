package config_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"weir/config"
)

// Parts of a good file that the tables below do not look at.
const (
	goodBackends = "backends: { azure: { endpoint: https://a.openai.azure.com, auth: { api_key: \"${KEY}\" } } }\n"
	goodModels   = "models: { gpt-4o: { deployments: [{ backend: azure, deployment: gpt-4o }] } }\n"
	goodHead     = "version: 1\n" + goodBackends + goodModels
	openHead     = goodHead + "server: { listen: \":8080\" }\n"
	goodHash     = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"
)

// env is the environment of the tables.
func env(name string) (string, bool) {
	v, ok := map[string]string{
		"KEY": "0123456789abcdef", "ZERO": "0", "WORD": "many", "EMPTY": "", "NUMBER": "12", "TRUE": "true",
		"ADDRESS": "nowhere", "SECRET": "CANARY-1", "SPACED": "CANARY 2", "DEMO": "sk-demo", "LONG": strings.Repeat("long", 8),
	}[name]
	return v, ok
}

func file(name string) ([]byte, error) {
	switch name {
	case "/key":
		return []byte("a-key-in-a-file-that-is-long\n"), nil
	case "/huge":
		return make([]byte, 1<<17), nil
	default:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
}

func options() config.Options {
	return config.Options{Getenv: env, ReadFile: file, Now: now(), KnownModel: func(base string) (int, bool) {
		return 128000, base == "gpt-4o"
	}, KnownPrice: func(base string) bool { return base == "gpt-4o" }, Writable: func(dir string) error {
		if dir == "/none" {
			return &fs.PathError{Op: "open", Path: dir, Err: fs.ErrNotExist}
		}
		return nil
	}}
}

type fault struct {
	name    string
	text    string // the fault is where § stands, which is not part of the file
	code    string
	path    string
	message string // a part of it
	hint    string // a part of it
}

// TestFaults has one fault a file, and wants that one and no other reported.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range slices.Concat(
		syntaxFaults(), valueFaults(), networkFaults(), authFaults(), modelFaults(), callerFaults(), idleFaults(),
		priceFaults(), budgetFaults(), limitStoreFaults(), ledgerFaults(), adminFaults(),
		uploadFaults(), passageFaults(),
	) {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before, _, marked := strings.Cut(tt.text, "§")
			line, column := 0, 0
			if marked {
				line = 1 + strings.Count(before, "\n")
				column = 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
			}
			f, problems := config.Parse("weir.yaml", []byte(strings.Replace(tt.text, "§", "", 1)), options())
			if len(problems) != 1 {
				t.Fatalf("%d problems; want one:\n%s", len(problems), texts(problems))
			}
			p := problems[0]
			if p.Line != line || p.Column != column {
				t.Errorf("at %d:%d; want %d:%d", p.Line, p.Column, line, column)
			}
			if p.File != "weir.yaml" || p.Code != tt.code || p.Path != tt.path {
				t.Errorf("file %q, code %q, path %q; want weir.yaml, %q, %q", p.File, p.Code, p.Path, tt.code, tt.path)
			}
			if !strings.Contains(p.Message, tt.message) || tt.message == "" {
				t.Errorf("message %q; want %q in it", p.Message, tt.message)
			}
			if !strings.Contains(p.Hint, tt.hint) || (tt.hint == "") != (p.Hint == "") {
				t.Errorf("hint %q; want %q in it", p.Hint, tt.hint)
			}
			if warning := tt.code[0] == 'W'; warning != (p.Severity == config.Warning) || warning != (f != nil) {
				t.Errorf("severity %v, file %v; want a file with warnings alone", p.Severity, f != nil)
			}
			if strings.Contains(p.String(), "CANARY") {
				t.Errorf("a secret shows:\n%s", p)
			}
			if line > 0 && p.Code != "E001" && !strings.HasSuffix(p.Snippet, "^") {
				t.Errorf("snippet %q; want a caret", p.Snippet)
			}
		})
	}
}

func syntaxFaults() []fault {
	return []fault{
		{"not YAML", goodHead + "teams: §[a\n", "E002", "", "not valid YAML", ""},
		{"an unclosed quote", goodHead + "teams: §\"a\n", "E002", "", "double-quoted", ""},
		{"a tab", goodHead + "server:\n§\tlisten: x\n", "E002", "", "a tab indents", "spaces"},
		{"an unquoted reference in braces", goodHead + "server: { max_body: $§{NUMBER} }\n", "E002", "", "not valid YAML", `"${NAME}"`},
		{"wrong indentation", goodHead + "server:\n  max_body: §1MiB\n   listen: x\n", "E002", "", "not allowed in this context", "indentation"},
		{"two documents", goodHead + "§---\nversion: 1\n", "E002", "", "second document", "one configuration"},
		{"a directive", "§%YAML 1.2\n---\n" + goodHead, "E002", "", "directives", "remove"},
		{"an anchor", goodHead + "telemetry: { log: { level: §&a info } }\n", "E002", "", "anchors", "write the value"},
		{"an alias", goodHead + "telemetry: { log: §*a }\n", "E002", "", "aliases", "write the value out"},
		{"a merge key", goodHead + "telemetry:\n  §<<: { log: {} }\n", "E002", "", "merge keys", "extends"},
		{"a tag", goodHead + "telemetry: { log: { level: §!!str info } }\n", "E002", "", "tags", "remove"},
		{"nested too deeply", "a: " + strings.Repeat("[", 32) + "§" + strings.Repeat("[", 9000), "E002", "", "nested too deeply", ""},
		{"nested dashes", strings.Repeat("- ", 128) + "§" + strings.Repeat("- ", 9000), "E002", "", "nested too deeply", ""},
		{"a byte order mark", "§\ufeff" + goodHead, "E001", "", "byte order mark", "UTF-8"},
		{"UTF-16", "§\xff\xfev\x00", "E001", "", "UTF-16", "UTF-8"},
		{"a NUL", goodHead + "# §\x00\n", "E001", "", "U+0000", "remove"},
		{"not UTF-8", goodHead + "# §\xff\n", "E001", "", "0xff", "UTF-8"},
		{"too large", strings.Repeat("#", 1<<20+1), "E001", "", "at most 1048576", ""},
		{"a list as the file", "§- a\n", "E005", "", "the file must be a mapping", ""},
		{"text as the file", "§CANARY\n", "E005", "", "the file must be a mapping", ""},
		{"a key twice", goodHead + "server: { max_body: 1MiB }\n§server: {}\n", "E003", "server", `"server" stands here twice`, "line 4"},
		{"a name twice", goodHead + "policies:\n  default: {}\n  §default: { mode: CANARY }\n", "E003", "policies.default", "twice", "line 5"},
		{"an unknown key", goodHead + "telemetry: { §logs: { level: info } }\n", "E004", "telemetry.logs", `unknown key "logs"`, `did you mean "log"?`},
		{"swapped letters", goodHead + "teams: { a: { limits: { §prm: 5 } } }\n", "E004", "teams.a.limits.prm", `unknown key "prm"`, `"rpm"`},
		{"a dash for an underscore", goodHead + "server: { §max-body: 5 }\n", "E004", "server.max-body", "unknown key", `"max_body"`},
		{"a key one floor up", goodHead + "teams: { a: { §rpm: 5 } }\n", "E004", "teams.a.rpm", "unknown key", "it belongs in teams.a.limits"},
		{"a key elsewhere", goodHead + "telemetry: { §max_attempts: 5 }\n", "E004", "telemetry.max_attempts", "unknown key", "it belongs in resilience.retry"},
		{"a key of a later part", goodHead + "teams: { a: { §quotas: { usd: 5 } } }\n", "E004", "teams.a.quotas", `unknown key "quotas"`, "known here: owner"},
		{"a secret as a key", goodHead + "teams: { a: { §sk-CANARY: x } }\n", "E004", "teams.a", "unknown key [secret]", "known here"},
		{"beyond ASCII", goodHead + "teams: { a: { owner: \"äöü\", §mödels: [] } }\n", "E004", "teams.a.mödels", "unknown key", `"models"`},
	}
}

func valueFaults() []fault {
	return []fault{
		{"no version", goodBackends + goodModels, "E009", "version", "the file has no version", "version: 1"},
		{"a later version", "version: §2\n" + goodBackends + goodModels, "E006", "version", "between 1 and 1", ""},
		{"no backends", "version: 1\n§backends: {}\n" + goodModels, "E009", "backends", "backends is empty", "endpoint"},
		{"no models", "version: 1\n" + goodBackends, "E009", "models", "the file has no models", "add models: { gpt-4o: { deployments: ["},
		{"no value", goodHead + "telemetry: { log: { §level: } }\n", "E009", "telemetry.log.level", "level has no value", "remove"},
		{"text for a number", goodHead + "resilience: { retry: { max_attempts: §three } }\n", "E005", "resilience.retry.max_attempts", `a whole number, not "three"`, ""},
		{"a number in quotes", goodHead + "resilience: { retry: { max_attempts: §\"3\" } }\n", "E005", "resilience.retry.max_attempts", "a whole number", "remove the quotes"},
		{"a fraction", goodHead + "resilience: { retry: { max_attempts: §1.5 } }\n", "E005", "resilience.retry.max_attempts", "not 1.5", ""},
		{"an octal number", goodHead + "resilience: { retry: { max_attempts: §03 } }\n", "E005", "resilience.retry.max_attempts", "not 03", ""},
		{"too many", goodHead + "resilience: { retry: { max_attempts: §11 } }\n", "E006", "resilience.retry.max_attempts", "between 1 and 10, not 11", ""},
		{"negative", goodHead + "teams: { a: { limits: { rpm: §-5 } } }\n", "E006", "teams.a.limits.rpm", "not -5", ""},
		{"zero", goodHead + "teams: { a: { limits: { rpm: §0 } } }\n", "E006", "teams.a.limits.rpm", "not 0", "for no limit, remove the key"},
		{"a number past all", goodHead + "teams: { a: { limits: { rpm: §99999999999999999999 } } }\n", "E005", "teams.a.limits.rpm", "a whole number", ""},
		{"cool_by of 0", goodHead + "resilience: { retry: { cool_by: §0 } }\n", "E006", "resilience.retry.cool_by", "above 0 and at most 1", ""},
		{"a ratio above 1", goodHead + "resilience: { breaker: { failure_ratio: §1.1 } }\n", "E006", "resilience.breaker.failure_ratio", "at most 1, not 1.1", ""},
		{"infinity", goodHead + "resilience: { breaker: { failure_ratio: §.inf } }\n", "E005", "resilience.breaker.failure_ratio", "a number", ""},
		{"a number for text", goodHead + "teams: { a: { owner: §7 } }\n", "E005", "teams.a.owner", "owner must be text, not 7", "quotes"},
		{"a list for text", goodHead + "teams: { a: { owner: §[x] } }\n", "E005", "teams.a.owner", "must be text, not a list", ""},
		{"text for a list", goodHead + "server: { trusted_proxies: §10.0.0.0/8 }\n", "E005", "server.trusted_proxies", "must be a list", ""},
		{"yes for true", goodHead + "telemetry: { access_log: { enabled: §yes } }\n", "E005", "telemetry.access_log.enabled", `true or false, not "yes"`, ""},
		{"a duration without unit", goodHead + "server: { shutdown_grace: §30 }\n", "E005", "server.shutdown_grace", "a duration such as", "such as 30s"},
		{"a bad duration", goodHead + "server: { shutdown_grace: §30 seconds }\n", "E008", "server.shutdown_grace", `not "30 seconds"`, ""},
		{"a negative duration", goodHead + "server: { shutdown_grace: §-1s }\n", "E006", "server.shutdown_grace", "between 0s and 1h", ""},
		{"a bad size", goodHead + "server: { max_body: §20Megs }\n", "E008", "server.max_body", "a size such as 20MiB", ""},
		{"a size past all", goodHead + "server: { max_body: §99999999999GiB }\n", "E008", "server.max_body", "a size such as 20MiB", ""},
		{"a bad choice", goodHead + "telemetry: { log: { format: §jsno } }\n", "E007", "telemetry.log.format", "auto or text or json", `did you mean "json"?`},
		{"an unset variable", goodHead + "teams: { a: { owner: §\"${NOBODY}\" } }\n", "E012", "teams.a.owner", "NOBODY is not set", "${NOBODY:-default}"},
		{"an unclosed reference", goodHead + "teams: { a: { owner: §\"${KEY\" } }\n", "E012", "teams.a.owner", "no } closes", "$${"},
		{"a bad reference", goodHead + "teams: { a: { owner: §\"${a b}\" } }\n", "E012", "teams.a.owner", "names no variable", "${NAME}"},
		{"a file that is not there", goodHead + "teams: { a: { owner: §\"${file:/none}\" } }\n", "E012", "teams.a.owner", `"/none" cannot be read`, ""},
		{"a file by half a path", goodHead + "teams: { a: { owner: §\"${file:none}\" } }\n", "E012", "teams.a.owner", "absolute path", "${file:/path}"},
		{"a file too large", goodHead + "teams: { a: { owner: §\"${file:/huge}\" } }\n", "E012", "teams.a.owner", "too large", ""},
		{"an expanded value of the wrong type", goodHead + "teams: { a: { limits: { rpm: §\"${SECRET}\" } } }\n", "E005", "teams.a.limits.rpm", `not what "${SECRET}" holds`, ""},
		{"an expanded choice", goodHead + "telemetry: { log: { level: §\"${SECRET}\" } }\n", "E007", "telemetry.log.level", `not what "${SECRET}" holds`, ""},
		{"an expanded zero", goodHead + "teams: { a: { limits: { rpm: §\"${ZERO}\" } } }\n", "E006", "teams.a.limits.rpm", "between 1 and", "for no limit"},
		{"a path without slash", goodHead + "telemetry: { access_log: { exclude: [/a, §b] } }\n", "E008", "telemetry.access_log.exclude[1]", "begins with /", ""},
	}
}

func networkFaults() []fault {
	backend := func(endpoint string) string {
		return "version: 1\nbackends:\n  azure: { endpoint: §" + endpoint + ", auth: { api_key: \"${KEY}\" } }\n" + goodModels
	}
	at := "backends.azure.endpoint"
	return []fault{
		{"listen on words", goodHead + "server: { listen: §nowhere }\n", "E008", "server.listen", `host:port, not "nowhere"`, "127.0.0.1:8080"},
		{"listen on a bare port", goodHead + "server: { listen: §\"8080\" }\n", "E008", "server.listen", "host:port", "write :8080"},
		{"listen on a port past all", goodHead + "server: { listen: §\"127.0.0.1:70000\" }\n", "E008", "server.listen", "host:port", "127.0.0.1"},
		{"listen on a relative socket", goodHead + "server: { listen: §\"unix:weir.sock\" }\n", "E008", "server.listen", "absolute path", "unix:/run"},
		{"listen on an expanded value", goodHead + "server: { listen: §\"${ADDRESS}\" }\n", "E008", "server.listen", `what "${ADDRESS}" holds`, "127.0.0.1"},
		{"the same address twice", goodHead + "server: { admin_listen: §\"127.0.0.1:8080\" }\n", "E017", "server.admin_listen", "same address", "port of its own"},
		{"half a certificate", goodHead + "server: { §tls: { cert_file: /a } }\n", "E009", "server.tls.key_file", "no key_file", "key_file:"},
		{"a proxy that is none", goodHead + "server: { trusted_proxies: [10.0.0.0/8, §10.0.0.0/99] }\n", "E008", "server.trusted_proxies[1]", "10.0.0.0/99", ""},
		{"open to all", goodHead + "server: { listen: §\":8080\" }\n", "E013", "server.listen", "let anybody in", "weir key new"},
		{"no endpoint", "version: 1\nbackends:\n  §azure: { auth: { api_key: \"${KEY}\" } }\n" + goodModels, "E009", at, "has no endpoint", "https://NAME"},
		{"an empty endpoint", backend("\"${EMPTY}\""), "E009", at, "endpoint is empty", "set and empty"},
		{"no URL", backend("a.openai.azure.com"), "E018", at, "not a URL", "https://NAME"},
		{"another scheme", backend("ftp://a.openai.azure.com"), "E018", at, "must begin with https", "https://NAME"},
		{"plain http", backend("http://a.openai.azure.com"), "E018", at, "loopback", "https://"},
		{"a credential in the endpoint", backend("https://user:CANARY@a.openai.azure.com"), "E018", at, "credential", "auth.api_key"},
		{"a query", backend("https://a.openai.azure.com/?key=CANARY"), "E018", at, "query", "api_version"},
		{"link-local", backend("https://169.254.169.254"), "E018", at, "metadata", "https://NAME"},
		{"link-local in IPv6", backend("\"https://[::ffff:169.254.169.254]\""), "E018", at, "metadata", "https://NAME"},
		{"the wire server", backend("https://168.63.129.16"), "E018", at, "metadata", "https://NAME"},
		{"metadata by name", backend("https://metadata.google.internal"), "E018", at, "metadata", "https://NAME"},
		{"an address as a number", backend("https://2852039166"), "E018", at, "number", "https://NAME"},
		{"an address in hexadecimal", backend("https://0xa9fea9fe"), "E018", at, "number", "https://NAME"},
		{"every interface", backend("https://0.0.0.0"), "E018", at, "not the address", "https://NAME"},
		{"traversal", backend("https://a.openai.azure.com/x/../y"), "E018", at, "dots", "plainly"},
		{"hidden traversal", backend("https://a.openai.azure.com/%2e%2e/y"), "E018", at, "dots", "plainly"},
		{"too far", backend("https://a.openai.azure.com/openai/v1/"), "E018", at, "too far", "write https://a.openai.azure.com"},
		{"no key of the backend", "version: 1\nbackends: { azure: { endpoint: https://a.openai.azure.com, §auth: {} } }\n" + goodModels, "E009", "backends.azure.auth", "no credential", "AZURE_OPENAI_API_KEY"},
		{"a key with a space", "version: 1\nbackends: { azure: { endpoint: https://a.openai.azure.com, auth: { api_key: §\"${SPACED}\" } } }\n" + goodModels, "E008", "backends.azure.auth.api_key", "spaces", "line end"},
		{"a literal secret", "version: 1\nbackends: { azure: { endpoint: https://a.openai.azure.com, auth: { api_key: §CANARY } } }\n" + goodModels, "W001", "backends.azure.auth.api_key", "written in the file", "environment"},
		{"an unknown kind", "version: 1\nbackends: { azure: { kind: §opnai, endpoint: https://a.openai.azure.com, auth: { api_key: \"${KEY}\" } } }\n" + goodModels, "E007", "backends.azure.kind", "azure or openai", "openai"},
		{"a version of another kind", "version: 1\nbackends: { azure: { kind: openai, api_version: §v1, endpoint: https://a.example/v1, auth: { api_key: \"${KEY}\" } } }\n" + goodModels, "E017", "backends.azure.api_version", "has no api_version", "kind: azure"},
		{"no credential beyond this machine", "version: 1\nbackends: { §azure: { kind: openai, endpoint: https://a.example/v1 } }\n" + goodModels, "E009", "backends.azure.auth", "has no auth", "api_key"},
		{"too far for any kind", "version: 1\nbackends: { azure: { kind: openai, endpoint: §https://a.example/v1/chat/completions, auth: { api_key: \"${KEY}\" } } }\n" + goodModels, "E018", "backends.azure.endpoint", "too far", "base URL"},
		{"a region that is no name", "version: 1\nbackends: { azure: { region: §\"East US\", endpoint: https://a.openai.azure.com, auth: { api_key: \"${KEY}\" } } }\n" + goodModels, "E008", "backends.azure.region", "East US", ""},
		{"a proxy that is none", "version: 1\nbackends: { azure: { proxy: §socks5://p:1, endpoint: https://a.openai.azure.com, auth: { api_key: \"${KEY}\" } } }\n" + goodModels, "E008", "backends.azure.proxy", "http://", "HOST:PORT"},
		{"a proxy with a credential", "version: 1\nbackends: { azure: { proxy: §http://u:CANARY@p:1, endpoint: https://a.openai.azure.com, auth: { api_key: \"${KEY}\" } } }\n" + goodModels, "E008", "backends.azure.proxy", "credential", "HOST:PORT"},
		{"a proxy that is a metadata service", "version: 1\nbackends: { azure: { proxy: §http://169.254.169.254, endpoint: https://a.openai.azure.com, auth: { api_key: \"${KEY}\" } } }\n" + goodModels, "E018", "backends.azure.proxy", "metadata", "HOST:PORT"},
		{"no file of certificates", "version: 1\nbackends: { azure: { ca_file: §/none, endpoint: https://a.openai.azure.com, auth: { api_key: \"${KEY}\" } } }\n" + goodModels, "E001", "backends.azure.ca_file", "cannot be read", ""},
		{"a file without certificates", "version: 1\nbackends: { azure: { ca_file: §/key, endpoint: https://a.openai.azure.com, auth: { api_key: \"${KEY}\" } } }\n" + goodModels, "E008", "backends.azure.ca_file", "no certificate", "CERTIFICATE"},
		{"a region that nobody is in", goodHead + "teams: { default: { regions: [§eu] } }\n", "E010", "teams.default.regions[0]", "no backend has a region", "region: NAME"},
		{"a version that is none", "version: 1\nbackends: { azure: { api_version: §latest, endpoint: https://a.openai.azure.com, auth: { api_key: \"${KEY}\" } } }\n" + goodModels, "E008", "backends.azure.api_version", `not "latest"`, "2024-10-21"},
	}
}

func authFaults() []fault {
	auth := func(text string) string {
		return "version: 1\nbackends: { azure: { endpoint: https://a.openai.azure.com, auth: " + text + " } }\n" + goodModels
	}
	entra := func(text string) string { return auth("{ entra: { " + text + " } }") }
	const at = "backends.azure.auth"
	const id = "tenant_id: t, client_id: c, "
	return []fault{
		{"no credential", "version: 1\nbackends: { azure: { endpoint: https://a.openai.azure.com, §auth: { pass_through: false } } }\n" + goodModels, "E009", at, "no credential", "entra: {}"},
		{"two credentials", auth("{ api_key: \"${KEY}\", §entra: {} }"), "E017", at + ".entra", "both api_key and entra", "keep one"},
		{"a key beside the caller's", auth("{ api_key: \"${KEY}\", pass_through: §true }"), "E017", at + ".pass_through", "both api_key and pass_through", "keep one"},
		{"an empty key", auth("{ api_key: §\"${EMPTY}\" }"), "E009", at + ".api_key", "is empty", "set and empty"},
		{"one key of two", auth("{ §api_keys: [\"${KEY}\"] }"), "E006", at + ".api_keys", "two keys", "api_key"},
		{"a literal key of two", auth("{ api_keys: [\"${KEY}\", §CANARY] }"), "W001", at + ".api_keys[1]", "written in the file", "environment"},
		{"a spaced key of two", auth("{ api_keys: [\"${KEY}\", §\"${SPACED}\"] }"), "E008", at + ".api_keys[1]", "spaces", "line end"},
		{"a key file that is not there", auth("{ api_key_file: §/nowhere }"), "E012", at + ".api_key_file", "cannot be read", ""},
		{"a key file by half a path", auth("{ api_key_file: §key }"), "E008", at + ".api_key_file", "absolute path", "/path"},
		{"a key file without a key", auth("{ api_key_file: §/huge }"), "E008", at + ".api_key_file", "holds no key", "nothing else"},
		{"two ways to sign in", entra(id + "client_secret: \"${SECRET}\", client_certificate_file: §/key"), "E017", at + ".entra.client_certificate_file", "both client_secret and", "keep one"},
		{"a secret of nobody", auth("{ §entra: { tenant_id: t, client_secret: \"${SECRET}\" } }"), "E009", at + ".entra.client_id", "has no client_id", "AZURE_CLIENT_ID"},
		{"a literal client secret", entra(id + "client_secret: §CANARY"), "W001", at + ".entra.client_secret", "written in the file", "environment"},
		{"no certificate", entra(id + "client_certificate_file: §/nowhere"), "E012", at + ".entra.client_certificate_file", "cannot be read", ""},
		{"no federated token", entra(id + "federated_token_file: §/nowhere"), "E012", at + ".entra.federated_token_file", "cannot be read", ""},
		{"a tenant that is none", entra("cli: true, tenant_id: §\"a b\""), "E008", at + ".entra.tenant_id", "not an id", "1111"},
		{"a tenant of a managed identity", entra("managed_identity: true, tenant_id: §t"), "W002", at + ".entra.tenant_id", "never apply", "remove"},
		{"an authority without TLS", entra("authority: §\"http://login.microsoftonline.com\""), "E008", at + ".entra.authority", "https://HOST", "login.microsoftonline.com"},
		{"an authority with a path", entra("authority: §\"https://login.microsoftonline.com/tenant\""), "E008", at + ".entra.authority", "https://HOST", "login.microsoftonline.com"},
		{"a scope that is none", entra("scope: §\"https://cognitiveservices.azure.com\""), "E008", at + ".entra.scope", "/.default", "cognitiveservices"},
	}
}

func modelFaults() []fault {
	model := func(text string) string {
		return "version: 1\n" + goodBackends + "models:\n  gpt-4o:\n" + text
	}
	const good = "    deployments: [{ backend: azure, deployment: gpt-4o }]\n"
	return []fault{
		{"no deployments", "version: 1\n" + goodBackends + "models:\n  §gpt-4o: {}\n", "E009", "models.gpt-4o.deployments", "no deployments", "backend:"},
		{"an empty list", model("    §deployments: []\n"), "E009", "models.gpt-4o.deployments", "is empty", "backend:"},
		{"an unknown backend", model("    deployments: [{ backend: §azrue, deployment: x }]\n"), "E010", "models.gpt-4o.deployments[0].backend", `no backend is called "azrue"`, `did you mean "azure"?`},
		{"no deployment's name", model("    deployments:\n      - §backend: azure\n"), "E009", "models.gpt-4o.deployments[0].deployment", "has no deployment", ""},
		{"text for a deployment", model("    deployments: [§azure]\n"), "E005", "models.gpt-4o.deployments[0]", "an item of deployments must be a mapping", ""},
		{"a traversing name", model("    deployments: [{ backend: azure, deployment: §../x }]\n"), "E008", "models.gpt-4o.deployments[0].deployment", `not "../x"`, ""},
		{"one deployment twice", model("    deployments:\n      - { backend: azure, deployment: x }\n      - §{ backend: azure, deployment: x }\n"), "E014", "models.gpt-4o.deployments[1]", "twice", "weight"},
		{"nothing with weight", model("    deployments: [{ backend: azure, deployment: x, weight: §0 }]\n"), "E017", "models.gpt-4o.deployments[0].weight", "ever asked", "weight of 1"},
		{"an alias of another", model("    aliases: [§o3]\n" + good + "  o3:\n" + good), "E014", "models.gpt-4o.aliases[0]", `"o3" has the name`, "rename"},
		{"an alias twice", model("    aliases: [a, §a]\n" + good), "E014", "models.gpt-4o.aliases[1]", "already", "remove"},
		{"an alias with a control character", model("    aliases: [§\"a\\tb\"]\n" + good), "E008", "models.gpt-4o.aliases[0]", "printable", ""},
		{"a name with spaces around", "version: 1\n" + goodBackends + "models:\n  §\" x\":\n" + good, "E008", "models. x", "characters", "printable"},
		{"an unknown tokenizer", model("    tokenizer: §o20k_base\n" + good), "E007", "models.gpt-4o.tokenizer", "o200k_base or", `"o200k_base"`},
		{"a bound above the window", model("    context_window: 1000\n    max_input_tokens: §2000\n" + good), "W002", "models.gpt-4o.max_input_tokens", "can never apply", "context_window"},
		{"a deployment's bound above its window", model("    deployments: [{ backend: azure, deployment: x, context_window: 10, max_output_tokens: §20 }]\n"), "W002", "models.gpt-4o.deployments[0].max_output_tokens", "can never apply", ""},
		{"a quota that nothing looks at", model("    deployments: [{ backend: azure, deployment: x, tpm: §2000 }]\n") + "resilience: { twin: false }\n", "W002", "models.gpt-4o.deployments[0].tpm", "can never apply", "twin"},
		{"a window without a quota", model("    deployments: [{ backend: azure, deployment: x, rpm_window: §1s }]\n"), "W002", "models.gpt-4o.deployments[0].rpm_window", "can never apply", "rpm"},
	}
}

func callerFaults() []fault {
	key := func(text string) string { return openHead + "teams:\n  a:\n    keys:\n      - " + text + "\n" }
	keys := "teams.a.keys[0]"
	return []fault{
		{"an unknown policy to extend", goodHead + "policies: { default: { extends: §dfault } }\n", "E010", "policies.default.extends", "no policy", `"default"`},
		{"a circle", goodHead + "policies: { default: { extends: b }, b: { extends: §default } }\n", "E011", "policies.b.extends", "circle", "remove"},
		{"a policy that extends itself", goodHead + "policies: { default: { extends: §default } }\n", "E011", "policies.default.extends", "default → default", "remove"},
		{"a default above the bound", goodHead + "policies: { default: { max_output_tokens: 5, default_output_tokens: §6 } }\n", "E017", "policies.default.default_output_tokens", "above max_output_tokens, 5", "at most"},
		{"an inherited default above the bound", goodHead + "policies: { default: { default_output_tokens: 6 }, §b: { extends: default, max_output_tokens: 5 } }\nteams: { a: { policy: b } }\n", "E017", "policies.b.default_output_tokens", "above max_output_tokens, 5", "at most"},
		{"a bad name", goodHead + "policies: { §\"a b\": {}, default: { extends: a b } }\n", "E008", "policies.a b", "characters", "letters"},
		{"an unknown policy", goodHead + "teams: { a: { policy: §defalt } }\n", "E010", "teams.a.policy", "no policy", `"default"`},
		{"an unknown model", goodHead + "teams: { a: { models: [gpt-4o, §gpt4o] } }\n", "E010", "teams.a.models[1]", "no model", `"gpt-4o"`},
		{"a team without key among others", goodHead + "teams: { §a: {}, b: { keys: [{ id: x, sha256: " + goodHash + " }] } }\n", "E009", "teams.a", "has no key", "weir key new a"},
		{"a team without key, open", openHead + "teams: { §a: {} }\n", "E013", "teams.a", "has no key", "weir key new a"},
		{"a key without id", key("§sha256: " + goodHash), "E009", keys + ".id", "has no id", ""},
		{"a key without anything", key("§id: x"), "E009", keys, "neither sha256 nor value", "weir key new"},
		{"a key with both", key("§{ id: x, sha256: " + goodHash + ", value: \"${LONG}\" }"), "E017", keys, "not as both", "remove value"},
		{"a hash that is none", key("{ id: x, sha256: §CANARY }"), "E008", keys + ".sha256", "64 hexadecimal", "weir key new"},
		{"a short key", key("{ id: x, value: §\"${SECRET}\" }"), "E016", keys + ".value", "shorter than 20", "weir key new"},
		{"an empty key", key("{ id: x, value: §\"${EMPTY}\" }"), "E009", keys + ".value", "is empty", "set and empty"},
		{"a sample by hash", key("§{ id: x, sha256: f77894fdfa58e447c57e077eaa9708e8e009c84dc6aba2db80461275e9b85be7 }"), "E016", keys, "well-known sample", "weir key new"},
		{"a literal key", key("{ id: x, value: §CANARY-CANARY-CANARY-CANARY }"), "W001", keys + ".value", "written in the file", "sha256"},
		{"a key with spaces", key("{ id: x, value: §\"${LONG} ${LONG}\" }"), "E008", keys + ".value", "spaces", "ASCII"},
		{"an id twice", openHead + "teams: { a: { keys: [{ id: x, sha256: " + goodHash + " }, { id: §x, value: \"${LONG}\" }] } }\n", "E014", "teams.a.keys[1].id", "already", "its own"},
		{"an id with a key in it", key("{ id: §\"sk-CANARY/==\", sha256: " + goodHash + " }"), "E008", keys + ".id", "a key's id", "sha256"},
		{"one key for two teams", openHead + "teams: { a: { keys: [{ id: x, sha256: " + goodHash + " }] }, b: { keys: [§{ id: y, sha256: " + strings.ToUpper(goodHash) + " }] } }\n", "E015", "teams.b.keys[0]", "the same as teams.a.keys[0]", "its own"},
		{"a bad date", key("{ id: x, sha256: " + goodHash + ", expires: §tomorrow }"), "E008", keys + ".expires", "a date such as", ""},
		{"an expired key", key("{ id: x, sha256: " + goodHash + ", expires: §2026-11-21 }"), "W005", keys + ".expires", "2026-11-22T00:00:00Z", "remove"},
	}
}

// twoRegions is a file with backends in two regions, and a model that is in one of
// them alone.
const twoRegions = `version: 1
backends:
  west: { region: us, endpoint: "https://w.openai.azure.com", auth: { api_key: "${SECRET}" } }
  north: { region: eu, endpoint: "https://n.openai.azure.com", auth: { api_key: "${SECRET}" } }
models:
  gpt-4o: { deployments: [{ backend: north, deployment: a }, { backend: west, deployment: a, weight: 0 }] }
  o3: { aliases: [think], deployments: [{ backend: west, deployment: b }] }
`

func idleFaults() []fault {
	team := func(text string) string { return goodHead + "teams:\n  a: " + text + "\n" }
	return []fault{
		{"a queue longer than total", goodHead + "resilience: { timeout: { total: 10s, first_byte: 5s, stream_idle: 5s }, queue: { max_wait: §11s } }\n", "W002", "resilience.queue.max_wait", "can never apply", "total"},
		{"first_byte above total", goodHead + "resilience: { timeout: { total: 10s, first_byte: §20s, stream_idle: 5s } }\n", "W002", "resilience.timeout.first_byte", "can never apply", "total"},
		{"a backoff that falls", goodHead + "resilience: { retry: { backoff: { initial: §9s } } }\n", "E017", "resilience.retry.backoff.initial", "longer than max, 8s", "shorter"},
		{"a wait above total", goodHead + "resilience: { timeout: { total: 2m }, retry: { max_retry_after: §3m } }\n", "W002", "resilience.retry.max_retry_after", "can never apply", ""},
		{"tpm below the longest answer", goodHead + "policies: { default: { max_output_tokens: 4096 } }\nteams: { a: { limits: { tpm: §4000 } } }\n", "W002", "teams.a.limits.tpm", "can never pass", "raise tpm"},
		{"a burst below the longest answer", goodHead + "policies: { default: { max_output_tokens: 4096 } }\nteams: { a: { limits: { tpm: 9000, burst_tokens: §4000 } } }\n", "W002", "teams.a.limits.burst_tokens", "can never pass", "burst_tokens"},
		{"a burst of nothing", team("{ limits: { burst_requests: §5 } }"), "W002", "teams.a.limits.burst_requests", "no rpm", "add rpm"},
		{"a burst of no tokens", team("{ limits: { burst_tokens: §5 } }"), "W002", "teams.a.limits.burst_tokens", "no tpm", "add tpm"},
		{"a key above its team", team("{ limits: { rpm: 5 }, keys: [{ id: x, sha256: " + goodHash + ", limits: { rpm: §6 } }] }"), "W002", "teams.a.keys[0].limits.rpm", "the team has 5", "smaller"},
		{"input above every window", goodHead + "policies: { default: { max_input_tokens: §200000 } }\n", "W002", "policies.default.max_input_tokens", "128000", "context window"},
		{"a model of another region", twoRegions + "teams:\n  a:\n    §regions: [eu]\n", "W002", "teams.a.regions", `the team "a" can never use the model "o3": none of its deployments is in the team's regions, eu`, "add a deployment"},
		{"a model of another region, named", twoRegions + "teams:\n  a:\n    regions: [eu]\n    models: [gpt-4o, §o3]\n", "W002", "teams.a.models[1]", `the team "a" can never use the model "o3"`, "leave the model out"},
		{"a model of another region, by an alias", twoRegions + "teams: { a: { regions: [eu], models: [gpt-4o, §think] } }\n", "W002", "teams.a.models[1]", `the model "o3"`, "add a deployment"},
		{"a model without weight in the region", twoRegions + "teams: { a: { regions: [us], models: [§gpt-4o, o3] } }\n", "W002", "teams.a.models[0]", `"gpt-4o": none of its deployments is in the team's regions, us`, "add a deployment"},
		{"a policy nobody uses", goodHead + "policies: { §b: {} }\n", "W004", "policies.b", "no team uses", "remove it"},
		{"a model nobody may use", "version: 1\n" + goodBackends + "models:\n  gpt-4o: { deployments: [{ backend: azure, deployment: a }] }\n  §o3: { deployments: [{ backend: azure, deployment: b }] }\nteams: { a: { models: [gpt-4o] } }\n", "W003", "models.o3", "no team may use", "add it"},
		{"trimming an unknown window", "version: 1\n" + goodBackends + "models:\n  mine: { deployments: [{ backend: azure, deployment: a }] }\npolicies: { default: { on_context_overflow: §trim_oldest } }\n", "W006", "policies.default.on_context_overflow", `"mine"`, "context_window"},
	}
}

// TestAnyPortTwice: a port that the system chooses is another one each time.
func TestAnyPortTwice(t *testing.T) {
	t.Parallel()
	_, problems := config.Parse("weir.yaml", []byte(goodHead+"server: { listen: \"127.0.0.1:0\", admin_listen: \"127.0.0.1:0\" }\n"), config.Options{Getenv: env})
	if len(problems) > 0 {
		t.Errorf("port 0 twice: %v", problems)
	}
}

// TestUnreadable has the faults of reading the file itself.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, hint string
		err        error
	}{
		{"not there", "WEIR_CONFIG", &fs.PathError{Op: "open", Path: "weir.yaml", Err: fs.ErrNotExist}},
		{"not ours", "", &fs.PathError{Op: "open", Path: "weir.yaml", Err: fs.ErrPermission}},
		{"broken", "", errors.New("input/output error")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, problems := config.Load("weir.yaml", config.Options{ReadFile: func(string) ([]byte, error) { return nil, tt.err }})
			if f != nil || len(problems) != 1 || problems[0].Code != "E001" || !strings.Contains(problems[0].Hint, tt.hint) {
				t.Errorf("Load = %v, %v; want E001 with %q", f, problems, tt.hint)
			}
		})
	}
}
