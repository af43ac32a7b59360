package proxy_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/proxy"
	"weir/quota"
	"weir/usage"
)

// speechless counts prompts, and panics where it is to count an answer.
type speechless struct{ flat }

func (speechless) Text([]byte) int64 { panic("broken") }

// streaming answers with one stream, and notes how it is closed.
type streaming struct{ closed []error }

func (s *streaming) Candidates(*openai.Call) []openai.Candidate { return nil }

func (s *streaming) Do(_ context.Context, _ *openai.Call, rec *usage.Record) (*openai.Answer, error) {
	rec.Attempts = append(rec.Attempts, usage.Attempt{Sent: true})
	events := `data: {"id":"c","choices":[{"index":0,"delta":{"content":"` + strings.Repeat("word ", 1000) + `"}}]}` + "\n\ndata: [DONE]\n\n"
	return &openai.Answer{
		Status: http.StatusOK, Header: http.Header{}, Stream: openai.NewStreamOf(openai.Chat, strings.NewReader(events)),
		Close: func(err error) { s.closed = append(s.closed, err) },
	}, nil
}

// TestRelayCrash holds that an answer is let go of where the gateway fails while it
// hands it on, and not as one that was whole.
func TestRelayCrash(t *testing.T) {
	t.Parallel()
	up := &streaming{}
	g := proxy.New(proxy.Config{
		Models: map[string]proxy.Model{"m": {Name: "m", Counter: speechless{}}}, Names: proxy.Names{Models: map[string]string{"m": "m"}},
		Teams: map[string]proxy.Team{"t": {Name: "t"}}, Limiter: quota.NewMemory(quota.MemoryConfig{}), Upstream: up, Journal: &ends{}, MaxBody: 1 << 20,
	})
	e := echo.New()
	g.Routes(e, middleware(&usage.Record{Team: "t"}))
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/chat/completions", strings.NewReader(`{"model":"m","stream":true,"messages":[{"role":"user","content":"hello"}]}`))
	e.ServeHTTP(httptest.NewRecorder(), r)
	if len(up.closed) == 0 || up.closed[0] == nil {
		t.Errorf("the answer was closed with %v", up.closed)
	}
}
