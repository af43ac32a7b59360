package proxy_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/proxy"
	"weir/quota"
	"weir/usage"
)

// TestRealtimeMessagesTakeRoom holds that large messages of sessions count among the
// bodies that are held, and that nothing of them is counted once they are gone.
func TestRealtimeMessagesTakeRoom(t *testing.T) {
	t.Parallel()
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Errorf("the handshake with upstream: %v", err)
			return
		}
		conn.SetReadLimit(-1)
		for {
			kind, b, err := conn.Read(r.Context())
			if err != nil || conn.Write(r.Context(), kind, b) != nil {
				_ = conn.CloseNow()
				return
			}
		}
	}))
	t.Cleanup(far.Close)
	for _, tt := range []struct {
		name    string
		others  int64
		size    int
		want    websocket.StatusCode // -1: it is handed on
		outcome usage.Outcome
		code    string
	}{
		{name: "small", others: 1 << 20, size: 60 << 10, want: -1, outcome: usage.OK},
		{name: "large, alone", size: 2 << 20, want: -1, outcome: usage.OK},
		{name: "large, with room", others: 1 << 19, size: 100 << 10, want: -1, outcome: usage.OK},
		{name: "large, without room", others: 1 << 20, size: 100 << 10, want: websocket.StatusTryAgainLater, outcome: usage.GatewayError, code: openai.CodeOverloaded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var held atomic.Int64
			held.Store(tt.others)
			g := proxy.New(proxy.Config{
				Models: map[string]proxy.Model{"m": {Name: "m", Counter: broken{}}}, Names: proxy.Names{Models: map[string]string{"m": "m"}},
				Teams: map[string]proxy.Team{"": {}}, Limiter: quota.NewMemory(quota.MemoryConfig{}), Upstream: direct{far.URL},
				MaxBody: 1 << 20, MaxBodies: 1 << 20, Bodies: &held,
			})
			rec, over := &usage.Record{}, make(chan struct{})
			e := echo.New()
			g.Routes(e, func(next echo.HandlerFunc) echo.HandlerFunc {
				return func(c echo.Context) error {
					defer close(over)
					c.SetRequest(c.Request().WithContext(usage.With(c.Request().Context(), rec)))
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
			conn.SetReadLimit(-1)
			said := `{"type":"x","audio":"` + strings.Repeat("A", tt.size) + `"}`
			_ = conn.Write(ctx, websocket.MessageText, []byte(said)) // which fails where the gateway has closed before
			_, heard, err := conn.Read(ctx)
			if got := websocket.CloseStatus(err); got != tt.want || tt.want == -1 && string(heard) != said {
				t.Errorf("%d bytes came back, %v", len(heard), err)
			}
			_ = conn.Close(websocket.StatusNormalClosure, "")
			<-over
			if n := held.Load(); n != tt.others || rec.Outcome != tt.outcome || rec.Code != tt.code {
				t.Errorf("%d bytes are counted, recorded %s %s", n, rec.Outcome, rec.Code)
			}
		})
	}
}
