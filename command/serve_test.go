package command

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// held is an Azure that answers each stream's beginning at once and the rest when
// it is let go on. azuresim ends what it began by itself; these tests need an
// answer that is under way for as long as they say.
type held struct {
	*httptest.Server

	begun   chan struct{} // one for each stream that has begun
	release chan struct{} // closed: go on
}

func newHeld(t *testing.T) *held {
	t.Helper()
	h := &held{begun: make(chan struct{}, 8), release: make(chan struct{})}
	h.Server = httptest.NewServer(http.HandlerFunc(h.answer))
	t.Cleanup(h.Close)
	return h
}

// The events of the one answer there is.
const (
	opening = `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[{"index":0,"delta":{"role":"assistant","content":"Once"},"finish_reason":null}]}` + "\n\n"
	closing = `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n" +
		`data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[],"usage":{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9}}` + "\n\ndata: [DONE]\n\n"
)

func (h *held) answer(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead { // a connection that is made ahead of time
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, opening)
	_ = http.NewResponseController(w).Flush()
	h.begun <- struct{}{}
	select {
	case <-h.release:
		_, _ = io.WriteString(w, closing)
	case <-r.Context().Done():
	}
}

// before is a configuration whose one deployment is at endpoint.
func before(endpoint, server string) string {
	return `version: 1
server: { admin_listen: "localhost:0", ` + server + ` }
backends: { azure: { endpoint: "` + endpoint + `", auth: { api_key: "key-of-azure" } } }
models: { gpt-4o: { deployments: [{ backend: azure, deployment: gpt-4o }] } }
`
}

// stream begins a streamed request and returns once its first event is there.
func stream(t *testing.T, api string) (rest func() (string, error)) {
	t.Helper()
	resp := ask(t, http.DefaultClient, api, `"stream":true,`)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the stream began with %s", resp.Status)
	}
	lines := bufio.NewReader(resp.Body)
	first, err := lines.ReadString('\n')
	if err != nil || !strings.Contains(first, "Once") {
		t.Fatalf("the first event is %q, %v", first, err)
	}
	return func() (string, error) {
		b, err := io.ReadAll(lines)
		return string(b), err
	}
}

// ask sends a chat request. The test closes its body.
func ask(t *testing.T, client *http.Client, api, member string) *http.Response {
	t.Helper()
	body := `{` + member + `"model":"gpt-4o","messages":[{"role":"user","content":"Tell me a story"}]}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, api+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// get returns the status and the body of a page.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// terminate sends this process, and so the gateway in it, what a supervisor sends.
func terminate(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// TestDrain shows that a stream which is under way at SIGTERM is finished, and
// that nothing new is taken meanwhile.
func TestDrain(t *testing.T) {
	azure := newHeld(t)
	p := serve(t, before(azure.URL, `listen: "127.0.0.1:0", shutdown_grace: 1h`))
	if status, _ := get(t, p.admin+"/readyz"); status != http.StatusOK {
		t.Fatalf("/readyz answers %d before the signal", status)
	}
	rest := stream(t, p.api)
	<-azure.begun
	terminate(t)
	p.log.wait(t, "draining")

	for _, url := range []string{p.admin + "/readyz", p.api + "/readyz", p.admin + "/healthz", p.admin + "/readyz?verbose"} {
		if status, body := get(t, url); status != http.StatusServiceUnavailable || !strings.Contains(body, "draining") {
			t.Errorf("%s answers %d %q while draining", url, status, body)
		}
	}
	if status, _ := get(t, p.admin+"/livez"); status != http.StatusOK {
		t.Errorf("/livez answers %d while draining", status)
	}
	refused := ask(t, http.DefaultClient, p.api, "")
	body, err := io.ReadAll(refused.Body)
	if err != nil {
		t.Fatal(err)
	}
	if refused.StatusCode != http.StatusServiceUnavailable || !refused.Close || !strings.Contains(string(body), `"code":"shutting_down"`) {
		t.Errorf("a new request is answered %s, close %t, %s", refused.Status, refused.Close, body)
	}

	close(azure.release)
	if got, err := rest(); err != nil || !strings.HasSuffix(got, "data: [DONE]\n\n") {
		t.Errorf("the stream under way ended with %q, %v", got, err)
	}
	<-p.done
	if p.code != exitOK {
		t.Errorf("it ended with code %d", p.code)
	}
}

// TestBrokenOff shows that a stream which is not finished in time ends in an
// error, and never like one that is whole.
func TestBrokenOff(t *testing.T) {
	tests := []struct {
		name, grace string
		more        func(t *testing.T, p *process)
		says        string
	}{
		{"when the grace is over", "0s", func(*testing.T, *process) {}, "the grace is over: streams are broken off"},
		{"at the second signal", "1h", func(t *testing.T, p *process) {
			t.Helper()
			p.log.wait(t, "draining")
			terminate(t)
		}, "told twice: streams are broken off"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			azure := newHeld(t)
			p := serve(t, before(azure.URL, `listen: "127.0.0.1:0", shutdown_grace: `+tt.grace))
			rest := stream(t, p.api)
			<-azure.begun
			terminate(t)
			tt.more(t, p)
			got, err := rest()
			if err == nil || !strings.Contains(got, `"code":"upstream_stream_interrupted"`) || strings.Contains(got, "[DONE]") {
				t.Errorf("the stream ended with %q, %v; want an error event and a broken connection", got, err)
			}
			<-p.done
			if p.code != exitOK {
				t.Errorf("it ended with code %d", p.code)
			}
			p.log.wait(t, tt.says)
		})
	}
}

// TestStopWithoutASignal shows that a gateway whose context ends stops in the
// same good order.
func TestStopWithoutASignal(t *testing.T) {
	azure := newHeld(t)
	p := serve(t, before(azure.URL, `listen: "127.0.0.1:0"`))
	rest := stream(t, p.api)
	p.stop()
	p.log.wait(t, "draining")
	close(azure.release)
	if got, err := rest(); err != nil || !strings.HasSuffix(got, "data: [DONE]\n\n") {
		t.Errorf("the stream under way ended with %q, %v", got, err)
	}
	<-p.done
	p.log.wait(t, "stopped")
}

func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	at := taken.Addr().String()
	tests := []struct{ name, server, says string }{
		{"of the API", `listen: "` + at + `", admin_listen: "localhost:0"`, "server.listen: "},
		{"of the health endpoints", `listen: "127.0.0.1:0", admin_listen: "` + at + `"`, "server.admin_listen: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(before("https://example.openai.azure.com", "X"), `admin_listen: "localhost:0", X`, tt.server, 1)
			got := weir(t, "", "serve", "-c", write(t, "weir.yaml", text))
			want := "weir: " + tt.says + at + " is in use by another process: stop it, or choose another address\n"
			if got.code != exitError || !strings.HasSuffix(got.err, want) {
				t.Errorf("code %d, says %q; want 1, …%q", got.code, got.err, want)
			}
		})
	}
}

// TestBadConfigurationIsNotServed shows that serve says what validate says, and
// that no port is opened.
func TestBadConfigurationIsNotServed(t *testing.T) {
	path := write(t, "weir.yaml", strings.Replace(whole, "    keys:", "    limits: { tmp: 1000 }\n    keys:", 1))
	got := weir(t, "", "serve", "-c", path)
	want := path + `:8:15: error: unknown key "tmp" (E004)
    7 |   search:
>   8 |     limits: { tmp: 1000 }
                      ^
  hint: did you mean "tpm"?
weir: the configuration has errors: nothing was started
`
	if got.code != exitError || got.err != want {
		t.Errorf("code %d, says:\n%s\nwant 1 and:\n%s", got.code, got.err, want)
	}
}

// TestUnixSocket serves at a socket, and takes the place of one that was left
// behind.
func TestUnixSocket(t *testing.T) {
	azure := newHeld(t)
	close(azure.release)
	path := filepath.Join(t.TempDir(), "weir.sock")
	abandoned, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	abandoned.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := abandoned.Close(); err != nil {
		t.Fatal(err)
	}
	p := serve(t, before(azure.URL, `listen: "unix:`+path+`"`))
	if want := "http://unix:" + path; p.api != want {
		t.Errorf("it listens at %q, want %q", p.api, want)
	}
	var d net.Dialer
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", path) },
	}}
	defer client.CloseIdleConnections()
	resp := ask(t, client, "http://weir", `"stream":true,`)
	if b, err := io.ReadAll(resp.Body); err != nil || !strings.HasSuffix(string(b), "data: [DONE]\n\n") {
		t.Errorf("the answer is %q, %v", b, err)
	}
	again := weir(t, "", "serve", "-c", write(t, "weir.yaml", before(azure.URL, `listen: "unix:`+path+`"`)))
	if again.code != exitError || !strings.Contains(again.err, path+" is in use by another process") {
		t.Errorf("a second gateway at the socket: code %d, says %q", again.code, again.err)
	}
}

// demo is a demo that runs in this process.
type demo struct{ api, text string }

// startDemo runs the demo until the test ends.
func startDemo(t *testing.T) *demo {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out := newJournal()
	s := &streams{in: strings.NewReader(""), out: out, err: io.Discard}
	done := make(chan int, 1)
	go func() {
		done <- s.main(ctx, []string{"demo", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"})
		out.end()
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-done; code != exitOK {
			t.Errorf("the demo ended with code %d", code)
		}
	})
	text := out.said(t, "Your own Azure")
	return &demo{api: regexp.MustCompile(`API +(\S+)/v1 `).FindStringSubmatch(text)[1], text: text}
}

// curl does what curl would with these words, against this demo, and returns the
// answer, head and body.
func (d *demo) curl(t *testing.T, words []string) string {
	t.Helper()
	var url, body string
	header := http.Header{}
	for i := 1; i < len(words); i++ {
		switch word := words[i]; {
		case word == "-H":
			i++
			name, value, _ := strings.Cut(words[i], ": ")
			header.Set(name, value)
		case word == "-d":
			i++
			body = words[i]
		case !strings.HasPrefix(word, "-"):
			url = regexp.MustCompile(`^http://[^/]+`).ReplaceAllString(word, d.api)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := httputil.DumpResponse(resp, true)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// TestDemo sends each request that the demo prints, as it is printed.
func TestDemo(t *testing.T) {
	d := startDemo(t)
	tests := []struct {
		name  string
		holds []string
	}{
		{"an answer", []string{"HTTP/1.1 200 OK", "X-Weir-Attempts: 1", "You said: hello."}},
		{"a special token", []string{"HTTP/1.1 400 Bad Request", `"code":"special_tokens_in_input"`}},
		{"a cured 500", []string{"HTTP/1.1 200 OK", "X-Weir-Attempts: 2", `"finish_reason":"stop"`}},
	}
	printed := regexp.MustCompile(`(?m)^ +curl (?:.*\\\n)*.*`).FindAllString(d.text, -1)
	if len(printed) != len(tests) {
		t.Fatalf("it prints %d requests, want %d:\n%s", len(printed), len(tests), d.text)
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			words := split(strings.TrimSpace(printed[i]))
			if want := d.api + "/v1/chat/completions"; !slices.Contains(words, want) {
				t.Errorf("it does not ask %s: %q", want, words)
			}
			answer := d.curl(t, words)
			for _, want := range tt.holds {
				if !strings.Contains(answer, want) {
					t.Errorf("%s\nwants %s in\n%s", printed[i], want, answer)
				}
			}
		})
	}
}
