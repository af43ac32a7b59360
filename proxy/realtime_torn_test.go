package proxy_test

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/proxy"
	"weir/quota"
	"weir/usage"
)

// pipes are connections within the process, of which time knows that they stand still.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// transport returns what asks whoever accepts the connections.
func (p pipes) transport() *http.Transport {
	return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		p <- far
		return near, nil
	}}
}

// far is an upstream that opens every WebSocket over pipes.
type far struct{ pipes }

func (f far) Candidates(*openai.Call) []openai.Candidate { return nil }

func (f far) Do(ctx context.Context, call *openai.Call, rec *usage.Record) (*openai.Answer, error) {
	rec.Attempts = append(rec.Attempts, usage.Attempt{Sent: true})
	u := &url.URL{Scheme: "http", Host: "far"}
	resp, err := f.transport().RoundTrip((&http.Request{Method: http.MethodGet, URL: u, Header: call.Passage.Header}).WithContext(ctx))
	if err != nil {
		return nil, err
	}
	socket, _ := resp.Body.(interface {
		Read(p []byte) (int, error)
		Write(p []byte) (int, error)
		Close() error
	})
	return &openai.Answer{Status: resp.StatusCode, Header: resp.Header, Socket: socket, Close: func(error) { _ = resp.Body.Close() }}, nil
}

// session opens a session of team t with a gateway, in front of an upstream that hears
// two events at most; now returns the gateway of the moment.
func session(t *testing.T, cfg proxy.Config, now func(begun *proxy.Gateway) *proxy.Gateway) *websocket.Conn {
	t.Helper()
	up, down := make(pipes), make(pipes)
	upstream := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		_, _, _ = conn.Read(r.Context())
		_, _, _ = conn.Read(r.Context())
		_ = conn.CloseNow()
	})}
	var g *proxy.Gateway
	cfg.Upstream = far{up}
	cfg.Today = func(*http.Request) proxy.Today {
		return func() (*proxy.Gateway, string, string) { return now(g), "t", "" }
	}
	g = proxy.New(cfg)
	e := echo.New()
	g.Routes(e, middleware(&usage.Record{Team: "t"}))
	gateway := &http.Server{Handler: e}
	go func() { _ = upstream.Serve(up) }()
	go func() { _ = gateway.Serve(down) }()
	conn, _, err := websocket.Dial(t.Context(), "ws://near/v1/realtime?model=m", &websocket.DialOptions{HTTPClient: &http.Client{Transport: down.transport()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.CloseNow()
		close(up)
		close(down)
	})
	return conn
}

// TestRealtimeTornByToday holds that a session ends, gives back its slot and leaves
// nothing behind where what tells whose it is fails in a panic: at an event of the
// client's, and where nothing is said.
func TestRealtimeTornByToday(t *testing.T) {
	t.Parallel()
	for name, say := range map[string]string{
		"at an event":        `{"type":"response.create"}`,
		"at nothing":         "",
		"at an event of its": `{"type":"input_audio_buffer.commit"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				limiter := quota.NewMemory(quota.MemoryConfig{})
				team := proxy.Team{Name: "t", Own: proxy.Allowance{Limits: quota.Limits{Concurrency: 1}}}
				var torn atomic.Bool
				conn := session(t, proxy.Config{
					Models: map[string]proxy.Model{"m": {Name: "m", Counter: flat{}}}, Names: proxy.Names{Models: map[string]string{"m": "m"}},
					Teams: map[string]proxy.Team{"t": team}, Limiter: limiter, MaxBody: 1 << 20,
				}, func(begun *proxy.Gateway) *proxy.Gateway {
					if torn.Load() {
						panic("torn")
					}
					return begun
				})
				torn.Store(true)
				if say != "" {
					if err := conn.Write(t.Context(), websocket.MessageText, []byte(say)); err != nil {
						t.Fatal(err)
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if _, _, err := conn.Read(ctx); websocket.CloseStatus(err) != websocket.StatusInternalError {
					t.Errorf("the session ended with %v", err)
				}
				synctest.Wait()
				if s := limiter.Levels(team.Accounts())[0]; s.Slots.Remaining != 1 {
					t.Errorf("%d slots are left", s.Slots.Remaining)
				}
			})
		})
	}
}
