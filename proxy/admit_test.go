package proxy_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/policy"
	"weir/proxy"
	"weir/quota"
	"weir/usage"
)

// flat counts every prompt as 5 tokens.
type flat struct{}

func (flat) Prompt(*openai.Request) policy.Prompt { return policy.Prompt{Total: 5} }
func (flat) Bound(*openai.Request) int64          { return 5 }
func (flat) Text([]byte) int64                    { return 1 }
func (flat) Special(int64) bool                   { return false }

// ends is an upstream, a journal and a body that end a request each in their way;
// nil: they do not.
type ends struct {
	ask, note, read func() error
	asked           int
}

func (e *ends) Candidates(*openai.Call) []openai.Candidate { return nil }

func (e *ends) Do(_ context.Context, _ *openai.Call, rec *usage.Record) (*openai.Answer, error) {
	e.asked++
	err := e.ask()
	rec.Attempts = append(rec.Attempts, usage.Attempt{Sent: true})
	return nil, err
}

func (e *ends) Begin(context.Context, *usage.Record, bool) error {
	if e.note == nil {
		return nil
	}
	return e.note()
}

func (e *ends) Close() error             { return nil }
func (e *ends) Read([]byte) (int, error) { return 0, e.read() }

// TestUploadsEndSettled holds that what an upload has taken of the limits before and
// after it was read is settled in every ending, also where the gateway fails: once,
// and with the request alone where it was sent.
func TestUploadsEndSettled(t *testing.T) {
	t.Parallel()
	signer, err := openai.NewSigner("a secret of at least 32 characters")
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	fail, crash := func() error { return broken }, func() error { panic("broken") }
	tests := []struct {
		name  string
		ends  ends
		asked int
		taken int64 // requests
	}{
		{name: "no journal", ends: ends{note: fail}},
		{name: "a journal that crashes", ends: ends{note: crash}},
		{name: "a body that breaks off", ends: ends{read: fail}},
		{name: "a body that crashes", ends: ends{read: crash}},
		{name: "upstream fails", ends: ends{ask: fail}, asked: 1, taken: 1},
		{name: "upstream crashes before it has sent", ends: ends{ask: crash}, asked: 1},
	}
	for _, path := range []string{"/v1/audio/transcriptions", "/v1/files", "/v1/things"} {
		for _, tt := range tests {
			t.Run(tt.name+" at "+path, func(t *testing.T) {
				t.Parallel()
				end := tt.ends
				limits := quota.Limits{RequestsPerMinute: 1, BurstRequests: 10, TokensPerMinute: 1, BurstTokens: 100, Concurrency: 1}
				both := proxy.Allowance{Limits: limits, Shadow: limits}
				team := proxy.Team{Name: "t", Own: both, Keys: map[string]proxy.Allowance{"k": both}}
				limiter := quota.NewMemory(quota.MemoryConfig{})
				resource := proxy.Resource{Name: "r", Models: []string{"m"}}
				g := proxy.New(proxy.Config{
					Models: map[string]proxy.Model{"m": {Name: "m", Counter: flat{}}}, Names: proxy.Names{Models: map[string]string{"m": "m"}},
					Teams: map[string]proxy.Team{"t": team}, Limiter: limiter, Upstream: &end, Journal: &end, MaxBody: 1 << 20,
					Signer: signer, Uploads: proxy.Uploads{Max: 1 << 20},
					Resources: []proxy.Resource{resource}, Passages: []proxy.Passage{{Path: "things", Resource: resource}},
				})
				e := echo.New()
				rec := &usage.Record{Team: "t", Key: "k"}
				g.Routes(e, middleware(rec))
				body := "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n" +
					"--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n" +
					"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nx\r\n--b--\r\n"
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
				r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
				if end.read != nil {
					r.Body = &end
				}
				answer := httptest.NewRecorder()
				e.ServeHTTP(answer, r)
				if answer.Code == http.StatusOK || answer.Code == http.StatusTooManyRequests || end.asked != tt.asked {
					t.Fatalf("answered %d %s after %d calls", answer.Code, answer.Body, end.asked)
				}
				for _, s := range limiter.Levels(team.Accounts()) {
					if s.Slots.Remaining != 1 || s.Requests.Remaining != 10-tt.taken || s.Tokens.Remaining != 100 {
						t.Errorf("%s has %d slots, %d requests and %d tokens left", s.Slots.Account, s.Slots.Remaining, s.Requests.Remaining, s.Tokens.Remaining)
					}
				}
			})
		}
	}
}

// middleware gives a request its record, and takes a panic for an error.
func middleware(rec *usage.Record) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) (err error) {
			defer func() {
				if v := recover(); v != nil {
					err = echo.ErrInternalServerError
				}
			}()
			c.SetRequest(c.Request().WithContext(usage.With(c.Request().Context(), rec)))
			return next(c)
		}
	}
}
