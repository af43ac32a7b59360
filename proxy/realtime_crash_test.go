package proxy_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/policy"
	"weir/proxy"
	"weir/quota"
	"weir/usage"
)

// broken counts nothing: it panics.
type broken struct{}

func (broken) Prompt(*openai.Request) policy.Prompt { panic("broken") }
func (broken) Bound(*openai.Request) int64          { panic("broken") }
func (broken) Text([]byte) int64                    { panic("broken") }
func (broken) Special(int64) bool                   { panic("broken") }

// direct asks one address for every WebSocket.
type direct struct{ url string }

func (d direct) Candidates(*openai.Call) []openai.Candidate { return nil }

func (d direct) Do(ctx context.Context, call *openai.Call, rec *usage.Record) (*openai.Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header = call.Passage.Header
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	rec.Attempts = append(rec.Attempts, usage.Attempt{Sent: true})
	return &openai.Answer{Status: resp.StatusCode, Header: resp.Header, Socket: resp.Body.(io.ReadWriteCloser), Close: func(error) { _ = resp.Body.Close() }}, nil
}

// TestRealtimeCrash holds that a panic in a session ends that session, not the
// gateway, and is handed on to whoever looks for panics of requests.
func TestRealtimeCrash(t *testing.T) {
	t.Parallel()
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Errorf("the handshake with upstream: %v", err)
			return
		}
		_, _, _ = conn.Read(r.Context())
		_ = conn.CloseNow()
	}))
	defer far.Close()
	g := proxy.New(proxy.Config{
		Models: map[string]proxy.Model{"m": {Name: "m", Counter: broken{}}}, Names: proxy.Names{Models: map[string]string{"m": "m"}},
		Teams: map[string]proxy.Team{"": {}}, Limiter: quota.NewMemory(quota.MemoryConfig{}), Upstream: direct{far.URL}, MaxBody: 1 << 20,
	})
	caught := make(chan string, 1)
	e := echo.New()
	g.Routes(e, func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			defer func() {
				if v, ok := recover().(interface{ Stack() []byte }); ok {
					caught <- string(v.Stack())
				}
				close(caught)
			}()
			return next(c)
		}
	})
	near := httptest.NewServer(e)
	defer near.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, near.URL+"/v1/realtime?model=m", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Write(ctx, websocket.MessageText, []byte(`{"type":"session.update","session":{"instructions":"x"}}`)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.Read(ctx); websocket.CloseStatus(err) != websocket.StatusInternalError {
		t.Errorf("the session ended with %v", err)
	}
	if stack := <-caught; !strings.Contains(stack, "broken.Text") {
		t.Errorf("handed on: %s", stack)
	}
}
