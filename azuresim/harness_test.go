package azuresim_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/azuresim"
)

const (
	classicPath = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
	v1Path      = "/openai/v1/chat/completions"
	openAIPath  = "/v1/chat/completions"
)

// memory is a listener whose connections are pipes: a real server and a real
// client, without sockets, so that a bubble's time can pass.
type memory struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.done:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { m.once.Do(func() { close(m.done) }); return nil }
func (m *memory) Addr() net.Addr { return &net.IPAddr{} }

// serve returns a client of sim over pipes. Call it inside a bubble.
func serve(t *testing.T, sim http.Handler) *http.Client {
	t.Helper()
	m := &memory{conns: make(chan net.Conn), done: make(chan struct{})}
	server := &http.Server{Handler: sim}
	stopped := make(chan struct{})
	go func() { defer close(stopped); _ = server.Serve(m) }()
	transport := &http.Transport{
		DisableCompression: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			m.conns <- there
			return here, nil
		},
	}
	t.Cleanup(func() { transport.CloseIdleConnections(); _ = server.Close(); <-stopped })
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// reply is an answer as a client saw it.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // of the request, or of reading the body
}

func post(ctx context.Context, client *http.Client, path, body string, headers ...string) reply {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://sim"+path, strings.NewReader(body))
	if err != nil {
		return reply{err: err}
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(b), err}
}

// ask posts one user message in a bubble of its own.
func ask(t *testing.T, cfg azuresim.Config, path, body string, headers ...string) reply {
	t.Helper()
	var r reply
	synctest.Test(t, func(t *testing.T) {
		r = post(t.Context(), serve(t, azuresim.New(cfg)), path, body, headers...)
	})
	return r
}

func user(text string, more ...string) string {
	b, _ := json.Marshal(text)
	return `{"model":"gpt-4o","messages":[{"role":"user","content":` + string(b) + `}]` + strings.Join(more, "") + `}`
}

const streamed = `,"stream":true`

// chunks returns the data of each event of a stream.
func chunks(body string) []string {
	var all []string
	lines := bufio.NewScanner(strings.NewReader(body))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data:"); ok {
			all = append(all, strings.TrimPrefix(data, " "))
		}
	}
	return all
}

// content joins the text of a stream.
func content(t *testing.T, body string) string {
	t.Helper()
	var text strings.Builder
	for _, data := range chunks(body) {
		var chunk struct {
			Choices []struct {
				Delta struct{ Content string }
			}
		}
		if json.Unmarshal([]byte(data), &chunk) == nil {
			for _, c := range chunk.Choices {
				text.WriteString(c.Delta.Content)
			}
		}
	}
	return text.String()
}

func contextWithTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}
