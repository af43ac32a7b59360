package clienttest_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
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
	"text/template"
	"time"

	"weir/azuresim"
)

// What the gateway is configured with.
const (
	teamKey       = "sk-team-of-the-clients"
	strangerKey   = "sk-team-of-strangers"
	limitedPrefix = "sk-limited-" // followed by the client's name
	azureKey      = "key-of-the-resource"
)

// configuration is a file as a user would write it.
const configuration = `
version: 1
server:
  listen: "127.0.0.1:0"
  admin_listen: "127.0.0.1:0"
{{- if .Certificate}}
  tls: { cert_file: "{{.Certificate}}", key_file: "{{.Certificate}}" }
{{- end}}
backends:
  azure:
    endpoint: ${AZURE_ENDPOINT}
    api_version: "2024-10-21"
    auth: { api_key: "${AZURE_KEY}" }
  voice:
    endpoint: ${AZURE_ENDPOINT}
    api_version: v1
    auth: { api_key: "${AZURE_KEY}" }
  openai:
    kind: openai
    endpoint: ${AZURE_ENDPOINT}
    auth: { api_key: "${AZURE_KEY}" }
models:
  gpt-4o:
    deployments: [{ backend: azure, deployment: gpt-4o }]
  gpt-35-turbo:
    context_window: 4096
    deployments: [{ backend: azure, deployment: gpt-35-turbo }]
{{- range $model, $backend := .Others}}
  {{$model}}: { deployments: [{ backend: {{$backend}}, deployment: {{$model}} }] }
{{- end}}
teams:
  clients:
    keys: [{ id: clients, value: "{{.Team}}" }]
  strangers:
    keys: [{ id: strangers, value: "{{.Stranger}}" }]
{{- range $i, $client := .Clients}}
  limited-{{$i}}:
    limits: { rpm: 60, burst_requests: 1 }
    keys: [{ id: limited-{{$i}}, value: "{{$.Limited}}{{$client}}" }]
{{- end}}
`

// unhurried is a model that is still at work when its background response is cancelled.
const unhurried = "gpt-4o-unhurried"

// others returns the models of the other endpoints, and the backend of each: what
// Azure does not serve is served by one that speaks as OpenAI does, and sessions by
// Azure's v1, whose events have the names that today's clients know.
func others() map[string]string {
	return map[string]string{
		unhurried:                "azure",
		"text-embedding-3-small": "azure",
		"gpt-35-turbo-instruct":  "azure",
		"gpt-image-1":            "azure",
		"gpt-4o-mini-tts":        "azure",
		"gpt-4o-transcribe":      "azure",
		"whisper":                "azure",
		"gpt-realtime":           "voice",
		"omni-moderation-latest": "openai",
	}
}

// workshop is a folder for what all tests share, and binary the gateway in it,
// built by the first test that needs it.
var (
	workshop string
	binary   = sync.OnceValues(func() (string, error) {
		path := filepath.Join(workshop, "weir")
		out, err := exec.Command("go", "build", "-o", path, "weir").CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("building weir: %w\n%s", err, out)
		}
		return path, nil
	})
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "weir-clienttest")
	if err != nil {
		panic(err)
	}
	workshop = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// gateway is a running weir with a simulated Azure behind it.
type gateway struct {
	url         string
	certificate string // a file with it; "" where there is none
	azure       *azuresim.Server
	log         *transcript
}

// transcript keeps what a process writes.
type transcript struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// setting is what the gateways of two tests may differ in.
type setting struct {
	Clients     []string // each gets a team that may send one request a second
	Certificate string   // a file with certificate and key; "" for plain HTTP
}

// start runs the gateway until the test ends. It must then stop in good order
// and have logged neither a key nor a prompt.
func start(t *testing.T, set setting) *gateway {
	t.Helper()
	weir, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	deployments := map[string]azuresim.Deployment{
		"gpt-4o":       {Model: "gpt-4o-2024-11-20"},
		"gpt-35-turbo": {Model: "gpt-35-turbo-0125"},
	}
	for model := range others() {
		deployments[model] = azuresim.Deployment{Model: model}
	}
	deployments[unhurried] = azuresim.Deployment{Model: "gpt-4o-2024-11-20", Latency: time.Hour}
	azure := azuresim.New(azuresim.Config{Deployments: deployments, Key: azureKey, Now: hurried()})
	server := httptest.NewServer(azure)
	t.Cleanup(server.Close)

	cmd := exec.Command(weir, "serve", "-c", writeConfiguration(t, set))
	cmd.Env = []string{"AZURE_ENDPOINT=" + server.URL, "AZURE_KEY=" + azureKey, "HOME=" + t.TempDir()}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	g := &gateway{certificate: set.Certificate, azure: azure, log: new(transcript)}
	listening := make(chan string, 1)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		follow(io.TeeReader(stderr, g.log), listening)
	}()
	t.Cleanup(func() { g.stop(t, cmd, drained) })

	select {
	case g.url = <-listening:
	case <-drained:
		t.Fatalf("the gateway ended before it listened:\n%s", g.log)
	case <-time.After(time.Minute):
		t.Fatalf("the gateway did not say where it listens:\n%s", g.log)
	}
	return g
}

// hurried returns a clock on which two seconds are a minute, which is how long the
// simulator works at a batch.
func hurried() func() time.Time {
	begun := time.Now()
	return func() time.Time { return begun.Add(30 * time.Since(begun)) }
}

// writeConfiguration returns the path of the configuration.
func writeConfiguration(t *testing.T, set setting) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.yaml")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	err = template.Must(template.New("").Parse(configuration)).Execute(file, struct {
		setting
		Team, Stranger, Limited string
		Others                  map[string]string
	}{set, teamKey, strangerKey, limitedPrefix, others()})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// follow reads the log to its end and sends the API's address once it appears.
func follow(log io.Reader, listening chan<- string) {
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct{ Msg, API string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			listening <- line.API
		}
	}
}

// stop asks the gateway to end, as a supervisor does, and reads what it left.
func (g *gateway) stop(t *testing.T, cmd *exec.Cmd, drained <-chan struct{}) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("asking the gateway to stop: %v", err)
	}
	<-drained
	if err := cmd.Wait(); err != nil {
		t.Errorf("the gateway ended with %v", err)
	}
	log := g.log.String()
	for _, secret := range []string{teamKey, strangerKey, limitedPrefix, azureKey, "Say hello", "im_start"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log contains %q", secret)
		}
	}
	if t.Failed() {
		t.Logf("the gateway's log:\n%s", log)
	}
}

// environ returns the variables a user of any of the libraries would set, and
// nothing of this process's own but the path.
func (g *gateway) environ(t *testing.T) []string {
	t.Helper()
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + t.TempDir(),
		"PYTHONDONTWRITEBYTECODE=1",
		"OPENAI_BASE_URL=" + g.url + "/v1",
		"OPENAI_API_KEY=" + teamKey,
		"AZURE_OPENAI_ENDPOINT=" + g.url,
		"AZURE_OPENAI_API_KEY=" + teamKey,
		"OPENAI_API_VERSION=2024-10-21",
		"AZURE_OPENAI_API_VERSION=2024-10-21",
		"LIMITED_KEY_PREFIX=" + limitedPrefix,
		"STRANGER_KEY=" + strangerKey,
		"SSL_CERT_FILE=" + g.certificate,       // of Python
		"NODE_EXTRA_CA_CERTS=" + g.certificate, // of Node
	}
}

// chats returns the chat requests that reached the resource. What the gateway
// itself sends, to have a connection ready, is none.
func (g *gateway) chats() []azuresim.Request {
	return slices.DeleteFunc(g.azure.Requests(), func(r azuresim.Request) bool { return r.Method != http.MethodPost })
}
