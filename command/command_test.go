package command

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/config"
)

// whole is a configuration without a fault.
const whole = `version: 1
backends:
  azure: { endpoint: "https://example.openai.azure.com", auth: { api_key: "${AZURE_KEY:-none}" } }
models:
  gpt-4o: { deployments: [{ backend: azure, deployment: gpt-4o }] }
teams:
  search:
    keys:
      - { id: one, sha256: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752 }
`

// TestExitCodes holds what a shell sees of every way to call weir wrongly.
func TestExitCodes(t *testing.T) {
	alone(t)
	valid, broken := write(t, "weir.yaml", whole), write(t, "broken.yaml", "version: 2\n")
	tests := []struct {
		name string
		args string
		code int
		says string // on standard error
	}{
		{"help", "--help", exitOK, ""},
		{"help of a command", "help validate", exitOK, ""},
		{"help of nothing", "help nothing", exitUsage, `no command "weir nothing"`},
		{"no such command", "sirve", exitUsage, `did you mean "serve"`},
		{"no such command of a group", "key nwe", exitUsage, `no command "weir key nwe"`},
		{"a group alone", "key", exitOK, ""},
		{"no such flag", "--nothing", exitUsage, "unknown flag: --nothing"},
		{"no such flag of a command", "validate --nothing", exitUsage, "unknown flag: --nothing"},
		{"a flag without its value", "validate -c", exitUsage, "flag needs an argument"},
		{"a value that is not taken", "version -o xml", exitUsage, "it must be text or json"},
		{"serve with an argument", "serve weir.yaml", exitUsage, "weir serve --help"},
		{"demo with an argument", "demo now", exitUsage, "weir demo --help"},
		{"validate with an argument", "validate weir.yaml", exitUsage, "weir validate --help"},
		{"key new without a team", "key new", exitUsage, "weir key new --help"},
		{"key new for no name", "key new a/b", exitUsage, `"a/b" cannot be a team`},
		{"tokens without a file", "tokens", exitUsage, "weir tokens --help"},
		{"completion of no shell", "completion tcsh", exitUsage, "weir completion --help"},
		{"a URL that is none", "healthcheck --url localhost", exitUsage, "--url must be a URL"},
		{"valid", "validate -c " + valid, exitOK, ""},
		{"flags before the command", "-c " + valid + " validate", exitOK, ""},
		{"broken", "validate -c " + broken, exitError, "broken.yaml has "},
		{"nothing to serve", "serve", exitError, "AZURE_OPENAI_ENDPOINT: error: not set"},
		{"serving what is broken", "serve -c " + broken, exitError, "nothing was started"},
		{"lines of a file", "tokens --lines x", exitUsage, "weir tokens --help"},
		{"lines and a chat", "tokens --lines --chat x", exitUsage, "cannot be used together"},
		{"no such file", "tokens " + valid + "x", exitError, "no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := weir(t, "", strings.Fields(tt.args)...)
			if got.code != tt.code || !strings.Contains(got.err, tt.says) {
				t.Errorf("weir %s: code %d, says %q; want %d, %q", tt.args, got.code, got.err, tt.code, tt.says)
			}
		})
	}
}

func TestValidateReportsEveryProblem(t *testing.T) {
	alone(t)
	path := write(t, "weir.yaml", strings.Replace(whole, "  search:\n", "  search:\n    ownr: me\n    limits: { rpm: many }\n", 1))
	want := path + `:8:5: error: unknown key "ownr" (E004)
    7 |   search:
>   8 |     ownr: [secret]
            ^
  hint: did you mean "owner"?
` + path + `:9:20: error: rpm must be a whole number, not "many" (E005)
    8 |     ownr: [secret]
>   9 |     limits: { rpm: many }
                           ^
`
	text := weir(t, "", "validate", "-c", path)
	if diff := cmp.Diff(want, text.out); diff != "" || text.code != exitError {
		t.Errorf("validate: code %d (-want +got):\n%s", text.code, diff)
	}
	if want := "weir: " + path + " has 2 errors and 0 warnings\n"; text.err != want {
		t.Errorf("it ends with %q, want %q", text.err, want)
	}

	asked := weir(t, "", "validate", "-c", path, "-o", "json")
	var report struct {
		File     string
		Valid    bool
		Problems []struct{ Severity, Code, Path string }
	}
	if err := json.Unmarshal([]byte(asked.out), &report); err != nil {
		t.Fatalf("no JSON: %v\n%s", err, asked.out)
	}
	codes := make([]string, len(report.Problems))
	for i, p := range report.Problems {
		codes[i] = p.Severity + " " + p.Code + " " + p.Path
	}
	said := []string{"error E004 teams.search.ownr", "error E005 teams.search.limits.rpm"}
	if diff := cmp.Diff(said, codes); diff != "" || report.Valid || report.File != path || asked.code != exitError {
		t.Errorf("validate -o json: %+v, code %d (-want +got):\n%s", report, asked.code, diff)
	}
}

func TestValidateSaysValid(t *testing.T) {
	alone(t)
	fair := write(t, "weir.yaml", whole)
	warned := write(t, "warned.yaml", strings.Replace(whole, "${AZURE_KEY:-none}", "literal", 1))
	tests := []struct {
		name string
		args []string
		env  map[string]string
		last string
	}{
		{"a file", []string{"-c", fair}, nil, fair + " is valid (0 warnings)\n"},
		{"one warning", []string{"-c", warned}, nil, warned + " is valid (1 warning)\n"},
		{"named by the environment", nil, map[string]string{"WEIR_CONFIG": fair}, fair + " is valid (0 warnings)\n"},
		{"without a file", nil, map[string]string{
			"AZURE_OPENAI_ENDPOINT": "https://example.openai.azure.com", "AZURE_OPENAI_API_KEY": "secret",
		}, "environment is valid (0 warnings)\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			got := weir(t, "", append([]string{"validate"}, tt.args...)...)
			if got.code != exitOK || !strings.HasSuffix(got.out, tt.last) || got.err != "" {
				t.Errorf("code %d, out %q, err %q; want 0, …%q and nothing", got.code, got.out, got.err, tt.last)
			}
		})
	}
	got := weir(t, "", "validate", "-c", fair, "-o", "json")
	if want := fmt.Sprintf("{\n  \"file\": %q,\n  \"valid\": true,\n  \"problems\": []\n}\n", fair); got.out != want {
		t.Errorf("validate -o json printed %q, want %q", got.out, want)
	}
}

// TestValidateFindsTheFileHere shows that ./weir.yaml is taken.
func TestValidateFindsTheFileHere(t *testing.T) {
	alone(t)
	if err := os.WriteFile(defaultFile, []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := weir(t, "", "validate"); got.out != "weir.yaml is valid (0 warnings)\n" {
		t.Errorf("validate printed %q and %q", got.out, got.err)
	}
}

// TestNewKeyFits pastes what is printed and looks whether the key is let in.
func TestNewKeyFits(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, team := range []string{"search", strings.Repeat("x", 64), "7"} {
		got := weir(t, "", "key", "new", team)
		key := regexp.MustCompile(`(?m)^ {2}(sk-weir-[A-Za-z0-9_-]{43})$`).FindStringSubmatch(got.out)
		line := regexp.MustCompile(`(?m)^ {2}(- \{.*\})$`).FindStringSubmatch(got.out)
		if got.code != exitOK || key == nil || line == nil {
			t.Fatalf("key new printed %q and %q", got.out, got.err)
		}
		if seen[key[1]] || strings.Count(got.out, key[1]) != 1 {
			t.Errorf("the key is not new, or printed more than once:\n%s", got.out)
		}
		seen[key[1]] = true
		text := whole[:strings.Index(whole, "teams:")] + "teams:\n  " + strconv.Quote(team) + ":\n    keys:\n      " + line[1] + "\n"
		f, problems := config.Parse("weir.yaml", []byte(text), config.Options{})
		if f == nil {
			t.Fatalf("the line does not fit: %v\n%s", problems, text)
		}
		if hashed := weir(t, key[1]+"\n", "key", "hash"); hashed.out != f.Teams[team].Keys[0].SHA256+"\n" {
			t.Errorf("key hash printed %q, and the line has %q", hashed.out, f.Teams[team].Keys[0].SHA256)
		}
	}
}

func TestKeyHash(t *testing.T) {
	t.Parallel()
	const sum = "f77894fdfa58e447c57e077eaa9708e8e009c84dc6aba2db80461275e9b85be7\n" // of sk-demo, by sha256sum
	tests := []struct {
		name, in string
		code     int
		out      string
	}{
		{"bare", "sk-demo", exitOK, sum},
		{"a line", "sk-demo\n", exitOK, sum},
		{"a line of Windows", "sk-demo\r\n", exitOK, sum},
		{"nothing", "", exitError, ""},
		{"an empty line", "\n", exitError, ""},
		{"two lines", "sk-demo\nsk-other\n", exitError, ""},
		{"two words", "sk-demo sk-other", exitError, ""},
		{"far too long", strings.Repeat("x", maxKey+1), exitError, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := weir(t, tt.in, "key", "hash"); got.code != tt.code || got.out != tt.out {
				t.Errorf("code %d, printed %q; want %d, %q", got.code, got.out, tt.code, tt.out)
			}
		})
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	greeting, empty := write(t, "greeting.txt", "hello world"), write(t, "empty.txt", "")
	tests := []struct {
		name, in string
		args     []string
		out, err string
	}{
		{"one file", "", []string{greeting}, "       2  " + greeting + "\n", ""},
		{"standard input", "hello world", []string{"-"}, "       2  -\n", ""},
		{"several", "hello world!", []string{greeting, "-", empty}, "       2  " + greeting + "\n       3  -\n       0  " + empty + "\n       5  total\n", ""},
		{"a special token is text", "<|im_start|>", []string{"-"}, "       6  -\n", ""},
		{"another vocabulary", "hello world", []string{"--model", "gpt-4", "-"}, "       2  -\n", ""},
		{"lines", "\"hello world\"\n\"\"\n\"caf\\u00e9 \\ud83d\"\n", []string{"--lines"}, "2\n0\n3\n", ""},
		{
			"a chat request", `{"messages":[{"role":"system","content":"Assistant is a large language model trained by OpenAI."},{"role":"user","content":"Who were the founders of Microsoft?"}]}`,
			[]string{"--chat", "-"},
			"      15  messages[0] system\n      11  messages[1] user\n       3  beginning of the answer\n      29  -\n", "",
		},
		{
			"a picture", `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com/a.png","detail":"low"}}]}]}`,
			[]string{"--chat", "-"},
			"      89  messages[0] user\n       3  beginning of the answer\n      85  images, which their messages include\n      92  -, of which a part has no public rule and is charged by a bound\n", "",
		},
		{"a model nobody knows", "hello world", []string{"--model", "mine", "-"}, "       2  -\n", "weir: the model \"mine\" is not known: counting with o200k_base\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := weir(t, tt.in, append([]string{"tokens"}, tt.args...)...)
			if got.code != exitOK || got.out != tt.out || got.err != tt.err {
				t.Errorf("code %d, printed %q, said %q; want 0, %q, %q", got.code, got.out, got.err, tt.out, tt.err)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	text := weir(t, "", "version")
	if want := "weir " + version() + " (commit "; text.code != exitOK || !strings.HasPrefix(text.out, want) || !strings.Contains(text.out, runtime.Version()) {
		t.Errorf("version printed %q, want %q… with %s", text.out, want, runtime.Version())
	}
	var got build
	if err := json.Unmarshal([]byte(weir(t, "", "version", "-o", "json").out), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(built(), got); diff != "" {
		t.Errorf("version -o json (-want +got):\n%s", diff)
	}
	full := build{Version: "v1.0.0", Commit: "abc", Modified: true, Go: "go1.26.8", Platform: "linux/arm64"}
	if got, want := full.String(), "weir v1.0.0 (commit abc, modified, go1.26.8, linux/arm64)"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
}

func TestConfigSchema(t *testing.T) {
	t.Parallel()
	if got := weir(t, "", "config", "schema"); got.code != exitOK || got.out != string(config.Schema()) {
		t.Errorf("config schema: code %d, %d bytes, want those of the schema", got.code, len(got.out))
	}
}

// TestConfigShow holds that a configuration is shown with its defaults, without its
// secrets, and not at all where it has errors.
func TestConfigShow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "weir.yaml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const file = "version: 1\nbackends: { azure: { endpoint: https://a.openai.azure.com, auth: { api_key: canary-of-the-key } } }\n" +
		"models: { gpt-4o: { deployments: [{ backend: azure, deployment: chat }] } }\n"
	write(file)
	got := weir(t, "", "config", "show", "-c", path)
	if got.code != exitOK || !strings.Contains(got.out, "deployment: chat") || !strings.Contains(got.out, "listen: 127.0.0.1:8080") || strings.Contains(got.out+got.err, "canary") {
		t.Errorf("config show: code %d\n%s%s", got.code, got.out, got.err)
	}
	write(file + "nonsense: 1\n")
	if got := weir(t, "", "config", "show", "-c", path); got.code == exitOK || got.out != "" || !strings.Contains(got.err, "nonsense") {
		t.Errorf("of what has errors: code %d\n%s%s", got.code, got.out, got.err)
	}
}

// TestCompletion shows that every shell gets a script, and that the script is
// answered.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := weir(t, "", "completion", shell); got.code != exitOK || !strings.Contains(got.out, "weir") {
			t.Errorf("completion %s: code %d, printed %d bytes", shell, got.code, len(got.out))
		}
	}
	tests := []struct {
		args string
		want []string
	}{
		{"val", []string{"validate\tCheck a configuration and report every fault in it"}},
		{"tokens --model gpt-3.5-turbo-1", []string{"gpt-3.5-turbo-16k"}},
		{"validate -o ", []string{"text", "json"}},
		{"serve -c ", []string{"yaml", "yml"}},
		{"key h", []string{"hash\tPrint the SHA-256 of a key that is read from standard input"}},
	}
	for _, tt := range tests {
		got := weir(t, "", append([]string{"__complete"}, strings.Split(tt.args, " ")...)...)
		lines := strings.Split(got.out, "\n")
		if diff := cmp.Diff(tt.want, lines[:len(lines)-2]); diff != "" {
			t.Errorf("completing %q (-want +got):\n%s", tt.args, diff)
		}
	}
}

func TestHealthcheck(t *testing.T) {
	alone(t)
	status := http.StatusOK
	var asked string
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.URL.Path
		w.WriteHeader(status)
	}))
	defer admin.Close()
	port := admin.Listener.Addr().String()[len("127.0.0.1:"):]
	gone := httptest.NewServer(nil)
	gone.Close()
	at := func(listen string) string {
		return write(t, "weir.yaml", strings.Replace(whole, "backends:", "server: { admin_listen: \""+listen+"\" }\nbackends:", 1))
	}
	tests := []struct {
		name   string
		args   []string
		listen string // in the environment
		status int
		code   int
		out    string
	}{
		{"ready", []string{"-c", at("127.0.0.1:" + port)}, "", http.StatusOK, exitOK, "ok\n"},
		{"every interface", []string{"-c", at("0.0.0.0:" + port)}, "", http.StatusOK, exitOK, "ok\n"},
		{"draining", []string{"-c", at("127.0.0.1:" + port)}, "", http.StatusServiceUnavailable, exitUnhealthy, ""},
		{"a redirect is no answer", []string{"-c", at("127.0.0.1:" + port)}, "", http.StatusFound, exitUnhealthy, ""},
		{"nobody there", []string{"--url", gone.URL + "/readyz"}, "", http.StatusOK, exitUnhealthy, ""},
		{"by its URL", []string{"--url", admin.URL + "/readyz"}, "", http.StatusOK, exitOK, "ok\n"},
		{"the environment wins", []string{"-c", at("127.0.0.1:1")}, "127.0.0.1:" + port, http.StatusOK, exitOK, "ok\n"},
		{"a file spoiled meanwhile", []string{"-c", write(t, "weir.yaml", "versio: 1")}, "127.0.0.1:" + port, http.StatusOK, exitOK, "ok\n"},
		{"no file, as in the demo", nil, "127.0.0.1:" + port, http.StatusOK, exitOK, "ok\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("WEIR_ADMIN_LISTEN", tt.listen)
			status, asked = tt.status, ""
			got := weir(t, "", append([]string{"healthcheck"}, tt.args...)...)
			if got.code != tt.code || got.out != tt.out {
				t.Errorf("code %d, printed %q, said %q; want %d, %q", got.code, got.out, got.err, tt.code, tt.out)
			}
			if tt.name != "nobody there" && asked != "GET /readyz" {
				t.Errorf("it asked %q", asked)
			}
		})
	}
	if f, problems := config.Parse("defaults", []byte(bare), config.Options{}); f == nil || f.Server.AdminListen != "127.0.0.1:8081" {
		t.Errorf("the defaults cannot be read: %v", problems)
	}
}

func TestReachable(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		":8081":          "localhost:8081",
		"0.0.0.0:8081":   "localhost:8081",
		"[::]:8081":      "localhost:8081",
		"10.1.2.3:8081":  "10.1.2.3:8081",
		"[fd00::1]:8081": "[fd00::1]:8081",
	} {
		if got := reachable(listen); got != want {
			t.Errorf("reachable(%q) = %q, want %q", listen, got, want)
		}
	}
}
