package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"

	"weir/middleware"
	"weir/openai"
	"weir/usage"
)

// book is a sink that keeps copies of what it is given.
type book struct{ records []usage.Record }

func (b *book) Take(ctx context.Context, r *usage.Record) {
	if ctx.Err() != nil {
		panic("the sink's context is done")
	}
	b.records = append(b.records, *r)
}

// serve makes one request to a server with these in front of its one handler.
// Its errors are written as their status and code.
func serve(r *http.Request, handle echo.HandlerFunc, before []echo.MiddlewareFunc, use ...echo.MiddlewareFunc) *httptest.ResponseRecorder {
	e := echo.New()
	e.IPExtractor = echo.ExtractIPDirect()
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		if shown, ok := errors.AsType[*openai.Error](err); ok {
			_ = c.String(shown.Status, shown.Code+": "+shown.Message)
			return
		}
		if routing, ok := errors.AsType[*echo.HTTPError](err); ok {
			_ = c.String(routing.Code, "routing")
			return
		}
		_ = c.String(http.StatusInternalServerError, "internal")
	}
	e.Pre(before...)
	e.Use(use...)
	e.Any("/v1/:name", handle)
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

func get(path string, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	r.Host = "localhost"
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func fine(c echo.Context) error { return c.String(http.StatusOK, "fine") }

func newID() string { return "made" }

// TestRecord holds what a record has of each request, and that every sink gets
// it once, on whatever path the request ended.
func TestRecord(t *testing.T) {
	t.Parallel()
	say := func(status int) echo.HandlerFunc {
		return func(c echo.Context) error {
			time.Sleep(2 * time.Second)
			return c.String(status, "x")
		}
	}
	long := strings.Repeat("x", 129)
	tests := []struct {
		name    string
		request *http.Request
		handle  echo.HandlerFunc
		want    usage.Record // but for its times
		id      string       // that the client gets
		aborts  bool
	}{
		{"fine", get("/v1/chat", "X-Request-Id", "abc", "User-Agent", "client/1", "X-Stainless-Retry-Count", "2"), say(200), usage.Record{RequestID: "abc", UserAgent: "client/1", Retry: 2, Route: "/v1/:name", Status: 200, Outcome: usage.OK}, "abc", false},
		{"what the handler says stays", get("/v1/chat"), func(c echo.Context) error {
			r := usage.From(c.Request().Context())
			r.Status, r.Outcome, r.Team = 499, usage.ClientGone, "a"
			return say(200)(c)
		}, usage.Record{RequestID: "made", Route: "/v1/:name", Status: 499, Outcome: usage.ClientGone, Team: "a"}, "made", false},
		{"refused", get("/v1/chat"), func(echo.Context) error {
			time.Sleep(2 * time.Second)
			return openai.BadRequest("x", "", "y")
		}, usage.Record{RequestID: "made", Route: "/v1/:name", Status: 400, Outcome: usage.ClientError}, "made", false},
		{"failed", get("/v1/chat"), func(echo.Context) error {
			time.Sleep(2 * time.Second)
			return errors.New("boom")
		}, usage.Record{RequestID: "made", Route: "/v1/:name", Status: 500, Outcome: usage.GatewayError}, "made", false},
		{"upstream failed", get("/v1/chat"), say(503), usage.Record{RequestID: "made", Route: "/v1/:name", Status: 503, Outcome: usage.UpstreamError}, "made", false},
		{"panics", get("/v1/chat"), func(echo.Context) error { time.Sleep(2 * time.Second); panic("boom") }, usage.Record{RequestID: "made", Route: "/v1/:name", Status: 500, Outcome: usage.GatewayError}, "made", false},
		{"aborts", get("/v1/chat"), func(c echo.Context) error {
			_ = say(200)(c)
			panic(http.ErrAbortHandler)
		}, usage.Record{RequestID: "made", Route: "/v1/:name", Status: 200, Outcome: usage.OK}, "made", true},
		{"panics behind its head", get("/v1/chat"), func(c echo.Context) error {
			_ = say(200)(c)
			panic("boom")
		}, usage.Record{RequestID: "made", Route: "/v1/:name", Status: 200, Outcome: usage.GatewayError}, "made", true},
		{"its client gone", get("/v1/chat").WithContext(gone()), say(200), usage.Record{RequestID: "made", Route: "/v1/:name", Status: 200, Outcome: usage.OK}, "made", false},
		{"no such path", get("/secret/path"), say(200), usage.Record{RequestID: "made", Status: 404, Outcome: usage.ClientError}, "made", false},
		{"an id that is too long", get("/v1/chat", "X-Request-Id", long), say(200), usage.Record{RequestID: "made", Route: "/v1/:name", Status: 200, Outcome: usage.OK}, "made", false},
		{"the longest id", get("/v1/chat", "X-Request-Id", long[1:]), say(200), usage.Record{RequestID: long[1:], Route: "/v1/:name", Status: 200, Outcome: usage.OK}, long[1:], false},
		{"an id with a space", get("/v1/chat", "X-Request-Id", "a b"), say(200), usage.Record{RequestID: "made", Route: "/v1/:name", Status: 200, Outcome: usage.OK}, "made", false},
		{"an id that is not ASCII", get("/v1/chat", "X-Request-Id", "é"), say(200), usage.Record{RequestID: "made", Route: "/v1/:name", Status: 200, Outcome: usage.OK}, "made", false},
		{"a long user agent", get("/v1/chat", "User-Agent", strings.Repeat("é", 200)), say(200), usage.Record{RequestID: "made", UserAgent: strings.Repeat("é", 128), Route: "/v1/:name", Status: 200, Outcome: usage.OK}, "made", false},
		{"a retry count that is none", get("/v1/chat", "X-Stainless-Retry-Count", "-1"), say(200), usage.Record{RequestID: "made", Route: "/v1/:name", Status: 200, Outcome: usage.OK}, "made", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				one, two := &book{}, &book{}
				var w *httptest.ResponseRecorder
				panicked := func() (v any) {
					defer func() { v = recover() }()
					w = serve(tt.request, tt.handle, nil, middleware.Record(newID, one, two), middleware.Recover(slog.New(slog.DiscardHandler)))
					return nil
				}()
				if err, ok := panicked.(error); ok != tt.aborts || ok && !errors.Is(err, http.ErrAbortHandler) {
					t.Fatalf("it panics with %v, want an abort: %t", panicked, tt.aborts)
				}
				want := tt.want
				want.Method, want.Client = http.MethodGet, "192.0.2.1"
				want.Start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
				if want.Route != "" {
					want.Duration = 2 * time.Second
				}
				for _, b := range []*book{one, two} {
					for i := range b.records {
						b.records[i].Start = b.records[i].Start.UTC()
					}
					if diff := cmp.Diff([]usage.Record{want}, b.records); diff != "" {
						t.Errorf("records (-want +got):\n%s", diff)
					}
				}
				if w != nil && w.Header().Get("X-Request-Id") != tt.id {
					t.Errorf("the client gets the id %q, want %q", w.Header().Get("X-Request-Id"), tt.id)
				}
			})
		})
	}
}

// gone returns the context of a client that has left.
func gone() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// TestRecordAnswers holds the headers that every answer gets.
func TestRecordAnswers(t *testing.T) {
	t.Parallel()
	record := middleware.Record(newID)
	for given, want := range map[string]string{"abc-1": "abc-1", "a b": "", strings.Repeat("x", 129): "", "": ""} {
		if got := serve(get("/v1/x", "X-Ms-Client-Request-Id", given), fine, nil, record).Header().Get("X-Ms-Client-Request-Id"); got != want {
			t.Errorf("a client's request id %q is returned as %q, want %q", given, got, want)
		}
	}
	r := get("/v1/x")
	if got := serve(r, fine, nil, record).Header().Get("Connection"); got != "" {
		t.Errorf("Connection is %q", got)
	}
	r.TransferEncoding = []string{"chunked"}
	if got := serve(r, fine, nil, record).Header().Get("Connection"); got != "close" {
		t.Errorf("behind a body in chunks Connection is %q, want close", got)
	}
}

// TestRecover holds that a panic tells a client and the log nothing of what was
// being done.
func TestRecover(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	w := serve(get("/v1/x"), func(echo.Context) error { panic(fmt.Errorf("SENTINEL %s", "prompt")) }, nil,
		middleware.Recover(slog.New(slog.NewTextHandler(&log, nil))))
	if w.Code != http.StatusInternalServerError || !strings.HasPrefix(w.Body.String(), "internal_error: ") {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "type=*fmt.wrapError") && !strings.Contains(log.String(), "type=*errors.errorString") && !strings.Contains(log.String(), "type=*fmt.fmtError") {
		t.Errorf("the log does not say what panicked: %s", log.String())
	}
	if strings.Contains(log.String()+w.Body.String(), "SENTINEL") {
		t.Errorf("what panicked is told: %s, %s", w.Body, log.String())
	}
}

// TestDrain holds that requests are refused while draining, and only then.
func TestDrain(t *testing.T) {
	t.Parallel()
	for _, draining := range []bool{false, true} {
		var got error
		keep := func(next echo.HandlerFunc) echo.HandlerFunc {
			return func(c echo.Context) error { got = next(c); return got }
		}
		w := serve(get("/v1/x"), fine, nil, keep, middleware.Drain(func() bool { return draining }))
		if !draining {
			if w.Code != http.StatusOK || w.Header().Get("Connection") != "" {
				t.Errorf("answered %d, Connection %q", w.Code, w.Header().Get("Connection"))
			}
			continue
		}
		e, ok := errors.AsType[*openai.Error](got)
		if !ok || e.Status != 503 || e.Code != openai.CodeShuttingDown || e.RetryAfter != time.Millisecond || e.NoRetry {
			t.Errorf("refused with %+v", got)
		}
		if w.Header().Get("Connection") != "close" {
			t.Errorf("Connection is %q, want close", w.Header().Get("Connection"))
		}
	}
}

// TestCleanPath holds which paths are one and the same.
func TestCleanPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/v1/chat":     "chat",
		"/v1/chat/":    "chat",
		"//v1//chat":   "chat",
		"/v1///chat//": "chat",
		"/v1/a%2Fb/":   "a%2Fb",
		"/v1/a%20b":    "a%20b",
		"/v1":          "",
		"/":            "",
		"//":           "",
		"/V1/chat":     "",
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			r := get("/x")
			u, err := r.URL.Parse("http://gateway" + path)
			if err != nil {
				t.Fatal(err)
			}
			r.URL = u
			name := ""
			w := serve(r, func(c echo.Context) error {
				name = c.Param("name")
				return fine(c)
			}, []echo.MiddlewareFunc{middleware.CleanPath})
			if name != want && name != strings.ReplaceAll(want, "%20", " ") || w.Code/100 == 3 || (w.Code == 200) != (want != "") {
				t.Errorf("answered %d for %q, want %q", w.Code, name, want)
			}
		})
	}
}
