package main_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"weir/command"
	"weir/upstream"
	"weir/usage"
)

// beside is what the resources serve beside their deployments: an HTTP server of
// the test's own, since azuresim knows no path that Weir does not. Chats still go
// to azuresim.
type beside struct {
	serve http.HandlerFunc

	chats http.RoundTripper
	own   *http.Transport
	down  int // connections that fail first

	mu   sync.Mutex
	seen []besideRequest
}

type besideRequest struct {
	Method, URI, Host string
	Header            http.Header
	Size              int64
	Sum               [sha256.Size]byte // of the body
}

// RoundTrip sends a request where it belongs.
func (b *beside) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/chat/completions") {
		return b.chats.RoundTrip(r)
	}
	return b.own.RoundTrip(r)
}

// ServeHTTP keeps what is asked, and answers.
func (b *beside) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	b.mu.Lock()
	b.seen = append(b.seen, besideRequest{Method: r.Method, URI: r.RequestURI, Host: r.Host, Header: r.Header, Size: n, Sum: [sha256.Size]byte(sum.Sum(nil))})
	b.mu.Unlock()
	b.serve(w, r)
}

func (b *beside) asked() []besideRequest {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.seen)
}

// passages are the edits by which the plain gateway hands on a few paths.
func passages(more ...string) []string {
	return append([]string{
		"backends:\n", "backends:\n  local: { kind: openai, endpoint: \"http://127.0.0.1:83/v1\", auth: { api_key: \"${WEST_KEY}\" } }\n",
		"models:\n", "models:\n  llama: { price: { input: 1, output: 2 }, deployments: [{ backend: local, deployment: llama }] }\n",
		"teams:\n", `passthrough:
  - { path: vector_stores, backend: west }
  - { path: fine_tuning/jobs, methods: [GET, POST], backend: west, teams: [search] }
  - { path: assistants, backend: east, api_version: 2024-05-01-preview }
  - { path: rerank, backend: local }
teams:
`,
	}, more...)
}

// bubbleBeside runs test in a world with paths that are handed on.
func bubbleBeside(t *testing.T, serve http.HandlerFunc, test func(w *world, b *beside), edits ...string) {
	t.Helper()
	b := &beside{serve: serve}
	bubbleOf(t, plain, func(p *command.Parts) { b.chats, p.Transport = p.Transport, b }, func(w *world) {
		door := listen(w.t, &http.Server{Handler: b})
		own := upstream.NewTransport(upstream.Connection{Connect: 5 * time.Second, PerHost: 16})
		own.DialContext = func(context.Context, string, string) (net.Conn, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.down--; b.down >= 0 {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: io.ErrClosedPipe}
			}
			return door.dial()
		}
		b.own = own
		w.t.Cleanup(own.CloseIdleConnections)
		test(w, b)
		time.Sleep(time.Second) // connections that end with an answer linger
	}, passages(edits...)...)
}

// hello answers with what such APIs answer.
func hello(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Set-Cookie", "session=1")
	w.Header().Set("Apim-Request-Id", "apim-1")
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, `{ "id":"vs_1", "object":"vector_store","x":1.0 }`)
}

// TestPassages: a path that is configured is handed on, with all below it, by each
// base and each form of a key, and both ways as it is.
func TestPassages(t *testing.T) {
	t.Parallel()
	tests := []struct{ method, path, want, host, key string }{
		{"POST", "/v1/vector_stores", "/openai/v1/vector_stores", "127.0.0.1:82", "api-key"},
		{"GET", "/vector_stores/vs_1", "/openai/v1/vector_stores/vs_1", "127.0.0.1:82", "api-key"},
		{"GET", "/openai/vector_stores/vs_1/files?api-version=2024-10-21&limit=5&after=a%26b", "", "", ""},
		{"GET", "/openai/vector_stores/vs_1/files?api-version=2024-10-21&limit=5&after=a+b", "/openai/v1/vector_stores/vs_1/files?after=a+b&limit=5", "127.0.0.1:82", "api-key"},
		{"PATCH", "/openai/v1/vector_stores/vs_1/?API-Version=2024-10-21", "/openai/v1/vector_stores/vs_1", "127.0.0.1:82", "api-key"},
		{"PUT", "/v1//vector_stores//a", "/openai/v1/vector_stores/a", "127.0.0.1:82", "api-key"},
		{"DELETE", "/v1/vector_stores/vs_1/files/file-1", "/openai/v1/vector_stores/vs_1/files/file-1", "127.0.0.1:82", "api-key"},
		{"GET", "/v1/vector_stores/a%20b/%C3%A4:@~+", "/openai/v1/vector_stores/a%20b/%C3%A4:@~+", "127.0.0.1:82", "api-key"},
		{"GET", "/v1/vector_stores/%61%3Fb%23", "/openai/v1/vector_stores/a%3Fb%23", "127.0.0.1:82", "api-key"},
		{"POST", "/v1/fine_tuning/jobs/j/cancel", "/openai/v1/fine_tuning/jobs/j/cancel", "127.0.0.1:82", "api-key"},
		{"POST", "/v1/assistants?x=1", "/openai/assistants?api-version=2024-05-01-preview&x=1", "127.0.0.1:81", "api-key"},
		{"GET", "/openai/assistants/a%20b?api-version=2025-01-01", "/openai/assistants/a%20b?api-version=2024-05-01-preview", "127.0.0.1:81", "api-key"},
		{"POST", "/v1/rerank", "/v1/rerank", "127.0.0.1:83", "Authorization"},
		{"POST", "/rerank/x", "/v1/rerank/x", "127.0.0.1:83", "Authorization"},
	}
	bubbleBeside(t, hello, func(w *world, b *beside) {
		for i, tt := range tests {
			body := "\x00\xffno JSON " + strconv.Itoa(i)
			if tt.method == http.MethodGet {
				body = `{"stream":true}` // as a client of OpenAI's sends
			}
			before := len(b.asked())
			got := w.do(w.t.Context(), tt.method, tt.path, body, "api-key", searchKey, "Content-Type", "application/x-own; a=b",
				"OpenAI-Beta", "assistants=v2", "Cookie", "a=b", "X-Other", "y", "X-Forwarded-For", "1.2.3.4", "User-Agent", "me")
			asked := b.asked()[before:]
			if tt.want == "" {
				if got.status != http.StatusBadRequest || len(asked) > 0 {
					t.Errorf("%s: %d %s, %d calls", tt.path, got.status, got.body, len(asked))
				}
				continue
			}
			if got.status != http.StatusCreated || got.body != `{ "id":"vs_1", "object":"vector_store","x":1.0 }` || got.header.Get("Content-Type") != "application/json" {
				t.Fatalf("%s %s: %d %s", tt.method, tt.path, got.status, got.body)
			}
			if got.header.Get("Set-Cookie") != "" || got.header.Get("Apim-Request-Id") != "apim-1" || got.header.Get("X-Weir-Attempts") != "1" {
				t.Errorf("%s: answered with %v", tt.path, got.header)
			}
			want, kind := besideRequest{Method: tt.method, URI: tt.want, Host: tt.host, Size: int64(len(body)), Sum: sha256.Sum256([]byte(body))}, "application/x-own; a=b"
			if tt.method == http.MethodGet {
				want.Size, want.Sum, kind = 0, sha256.Sum256(nil), ""
			}
			h := asked[0].Header
			asked[0].Header = nil
			if diff := gocmp.Diff([]besideRequest{want}, asked); diff != "" {
				t.Errorf("%s %s (-want +got):\n%s", tt.method, tt.path, diff)
			}
			if key := h.Get(tt.key); !strings.Contains(eastKey+westKey+" Bearer "+westKey, key) || key == "" || h.Get("Content-Type") != kind ||
				h.Get("OpenAI-Beta") != "assistants=v2" || h.Get("Cookie")+h.Get("X-Other")+h.Get("X-Forwarded-For") != "" || !strings.Contains(h.Get("User-Agent"), "me") {
				t.Errorf("%s: sent with %v", tt.path, h)
			}
			rec := w.record()
			if rec.Team != "search" || rec.Model != "" || rec.Outcome != usage.OK || rec.Status != http.StatusCreated || rec.Input+rec.Output != 0 || rec.Cost != 0 || strings.Contains(rec.Route, "vs_1") {
				t.Errorf("%s: recorded %+v", tt.path, rec)
			}
		}
	})
}

// TestPassagesAreGuarded: a path that is handed on is no hole in the keys, teams,
// models, regions, methods and limits.
func TestPassagesAreGuarded(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, method, path string
		header, edits      []string
		status             int
		code, says         string
	}{
		{name: "no key", path: "vector_stores", header: []string{"Authorization", "none"}, status: 401, code: "invalid_api_key", says: "API key"},
		{name: "a wrong key", path: "vector_stores/a", header: []string{"api-key", "sk-nobody"}, status: 401, code: "invalid_api_key", says: "API key"},
		{name: "another team", path: "fine_tuning/jobs", header: asOther(), status: 403, code: "path_not_allowed", says: "not one of the path's teams"},
		{name: "another team, below", method: "GET", path: "fine_tuning/jobs/j", header: asOther(), status: 403, code: "path_not_allowed", says: "not one of the path's teams"},
		{name: "none of the backend's models", path: "vector_stores", header: asOther(), status: 403, code: "path_not_allowed", says: "none of the models"},
		{name: "one of the backend's models", path: "assistants", header: asOther(), status: 201},
		{name: "another region", path: "vector_stores", edits: pinned(), status: 403, code: "path_not_allowed", says: "regions, eu"},
		{name: "its own region", path: "assistants", edits: pinned(), status: 201},
		{name: "a region, and a backend without", path: "rerank", edits: pinned(), status: 403, code: "path_not_allowed", says: "regions, eu"},
		{name: "a method that is none of the path's", method: "DELETE", path: "fine_tuning/jobs/j", status: 405, code: "method_not_allowed", says: "GET"},
		{name: "which methods there are", method: "OPTIONS", path: "vector_stores", status: 204}, // which is answered here
		{name: "a method that no path has", method: "TRACE", path: "vector_stores", status: 405, code: "method_not_allowed", says: "POST"},
		{name: "an explanation", path: "vector_stores", header: []string{"X-Weir-Explain", "1"}, status: 400, code: "invalid_value", says: "cannot be explained"},
		{name: "a compressed body", path: "vector_stores", header: []string{"Content-Encoding", "gzip"}, status: 415, code: "unsupported_media_type", says: "uncompressed"},
		{name: "no type", path: "vector_stores", header: []string{"Content-Type", "a b; c"}, status: 415, code: "unsupported_media_type", says: "Content-Type"},
		{name: "a query of two readings", path: "vector_stores?a=b;c=d", status: 400, code: "invalid_value", says: "query"},
		{name: "a large body", path: "vector_stores", edits: []string{`server: {`, `server: { max_upload: 1KiB, `}, status: 413, code: "request_too_large", says: "server.max_upload"},
		{name: "requests a minute", path: "vector_stores", edits: limited("rpm: 1, burst_requests: 1"), status: 201, code: "rate_limit_exceeded", says: "requests per minute"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubbleBeside(t, hello, func(w *world, b *beside) {
				method := tt.method
				if method == "" {
					method = http.MethodPost
				}
				ask := func() reply {
					return w.do(w.t.Context(), method, "/v1/"+tt.path, strings.Repeat("x", 2000), tt.header...)
				}
				got, calls := ask(), 0
				if tt.status == http.StatusCreated {
					calls = 1
				}
				if tt.status == http.StatusCreated && tt.code != "" {
					tt.status, got = http.StatusTooManyRequests, ask()
				}
				if code, _, _ := got.code(); got.status != tt.status || code != tt.code || !strings.Contains(got.message(), tt.says) {
					t.Errorf("%d %s, want %d %s saying %q", got.status, got.body, tt.status, tt.code, tt.says)
				}
				if n := len(b.asked()); n != calls || len(w.asked()) > 0 {
					t.Errorf("%d calls, want %d", n, calls)
				}
			}, tt.edits...)
		})
	}
}

// TestPassagesDrain: nothing is handed on once the gateway drains, and what is on
// its way may end; one slot of concurrency is one request.
func TestPassagesDrain(t *testing.T) {
	t.Parallel()
	slow := func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(10 * time.Second)
		hello(w, r)
	}
	bubbleBeside(t, slow, func(w *world, b *beside) {
		first := make(chan reply)
		go func() { first <- w.do(w.t.Context(), http.MethodPost, "/v1/vector_stores", "{}") }()
		time.Sleep(time.Second)
		if got := w.do(w.t.Context(), http.MethodGet, "/v1/vector_stores", ""); got.status != http.StatusTooManyRequests || !strings.Contains(got.message(), "1 requests open") {
			t.Errorf("beside it: %d %s", got.status, got.body)
		}
		empty := w.gateway.Drain()
		if got := w.do(w.t.Context(), http.MethodGet, "/v1/vector_stores", ""); got.status != http.StatusServiceUnavailable {
			t.Errorf("draining: %d %s", got.status, got.body)
		}
		if got := <-first; got.status != http.StatusCreated || got.took != 10*time.Second {
			t.Errorf("the first: %d after %v", got.status, got.took)
		}
		<-empty
		if n := len(b.asked()); n != 1 {
			t.Errorf("%d calls", n)
		}
	}, limited("concurrency: 1")...)
}

// TestPassagesKeepToTheirPath: whoever reads a path once more, nothing outside of
// what is configured can be reached.
func TestPassagesKeepToTheirPath(t *testing.T) {
	t.Parallel()
	bad := []string{
		"..", "../files", "a/../../files", "./files", ".", "a/.", "%2e%2e/files", "%2E%2E/files", ".%2e/files", "%2e./files", "%2e", "a/%2e%2e/%2e%2e/files",
		"..%2ffiles", "%2e%2e%2ffiles", "a%2fb", "a%2Fb", "%2f", "%2f%2fevil.example", "a%5cb", "%5c..%5cfiles", "..%5cfiles", `..\files`, `a\b`,
		"%252e%252e/files", "%252e%252e%252ffiles", "a%252fb", "%25", "a%25", "%25252e", "..;/files", "..;x=y/files", "a;b", "a%3bb", "%2e%2e%3b/files",
		"a%00", "%00", "a%0a", "a%0d%0aX-Evil:%20y", "a%7f", "%ff", "%c0%ae%c0%ae/files", "...", "%2e%2e%2e", "..%20/files", "%20", ". /files", "a/%20..",
		strings.Repeat("a", 257),
	}
	bubbleBeside(t, hello, func(w *world, b *beside) {
		for _, base := range []string{"/v1/", "/", "/openai/v1/", "/openai/"} {
			for _, path := range bad {
				for _, method := range []string{http.MethodGet, http.MethodPost} {
					line := base + "vector_stores/" + path
					status := w.raw(method, line)
					if n := len(b.asked()); n > 0 || status != http.StatusBadRequest && status != http.StatusNotFound {
						t.Fatalf("%s %s: %d, reached %d", method, line, status, n)
					}
				}
			}
			for _, line := range []string{base + "vector%5Fstores/a", base + "Vector_stores/a", base + "vector_storesx/a", base + "vector_stores%2fa", base + "x/../vector_stores/a", base + "fine_tuning", base + "fine_tuning/job"} {
				if status := w.raw(http.MethodGet, line); status != http.StatusNotFound || len(b.asked()) > 0 {
					t.Errorf("%s: %d", line, status)
				}
			}
		}
	})
}

// raw sends a request line as it is written, which no client would.
func (w *world) raw(method, path string) int {
	w.t.Helper()
	conn, err := w.api.dial()
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	go func() {
		_, _ = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer %s\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
			method, strings.ReplaceAll(path, " ", "%20"), searchKey)
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		w.t.Fatalf("%s: %v", path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// TestUnknownPaths: whatever is not known here is our 404 in every base and by
// every method, and nobody is asked.
func TestUnknownPaths(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	bases := []string{"/v1/", "/", "/openai/v1/", "/openai/", "/openai/deployments/gpt-4o/", "/deployments/gpt-4o/", "/V1/", "/v2/", "/api/v1/", "/OpenAI/v1/"}
	known := []string{"chat/completions", "responses", "embeddings", "files", "batches", "models", "images/generations", "audio/speech", "realtime", "vector_stores"}
	mutate := []func(string) string{
		strings.ToUpper,
		func(s string) string { return s + "x" },
		func(s string) string { return "x" + s },
		func(s string) string { return "%" + strconv.FormatInt(int64(s[0]), 16) + s[1:] },
		func(s string) string { return strings.ReplaceAll(s+"/", "/", "%2f") },
		func(s string) string { return "x/../" + s },
		func(s string) string { return s + "/a/b/c/d/e/f" },
	}
	unknown := func() string {
		if random.IntN(3) == 0 {
			at := random.IntN(len(mutate))
			name := pick(known...)
			if at == len(mutate)-1 && name == "vector_stores" { // all below it is handed on
				name = "files"
			}
			return mutate[at](name)
		}
		steps := []string{pick("threads", "runs", "uploads", "evals", "containers", "organization", "usage", "edits", "engines", "answers", "search", "extensions",
			"authoring", "ingestion", "video", "skills", "admin", "management", "metrics", "debug", ".env", "wp-login.php", "%2e%2e", "..", "chat", "images", "audio", "fine_tuning")}
		for range random.IntN(4) {
			steps = append(steps, pick("a", "jobs1", "generations", "completions", "..", "%2e%2e", "x%00", "%ff", "files", strconv.Itoa(random.Int())))
		}
		return strings.Join(steps, "/")
	}
	bubbleBeside(t, hello, func(w *world, b *beside) {
		for range 1000 {
			method, path := pick("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"), pick(bases...)+unknown()
			if got := w.raw(method, path); got != http.StatusNotFound {
				t.Errorf("%s %s: %d", method, path, got)
			}
		}
		if len(b.asked()) > 0 || len(w.asked()) > 0 {
			t.Errorf("asked %v", b.asked())
		}
		got := w.do(w.t.Context(), http.MethodGet, "/v1/threads", "")
		if code, _, _ := got.code(); got.status != http.StatusNotFound || code != "unknown_url" {
			t.Errorf("%d %s", got.status, got.body)
		}
		if diff := gocmp.Diff([]string{"code", "message", "param", "type"}, errorKeys(w.t, got)); diff != "" {
			t.Error(diff)
		}
	})
}

// TestPassagesStream: events go on as they come; a client that leaves is followed;
// a stream that breaks off does so here too, and no deployment is blamed.
func TestPassagesStream(t *testing.T) {
	t.Parallel()
	var left sync.WaitGroup
	events := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		w.Header().Set("Content-Disposition", `attachment; filename="a.txt"`)
		for i := range 5 {
			_, _ = fmt.Fprintf(w, "event: thread.message.delta\ndata: {\"i\":%d}\n\n", i)
			_ = http.NewResponseController(w).Flush()
			if r.URL.Query().Get("cut") != "" && i == 2 {
				panic(http.ErrAbortHandler)
			}
			select {
			case <-time.After(time.Second):
			case <-r.Context().Done():
				left.Done()
				return
			}
		}
	}
	bubbleBeside(t, events, func(w *world, b *beside) {
		start := time.Now()
		resp, err := w.send(w.t.Context(), http.MethodPost, "/v1/vector_stores/a", "{}")
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(resp.Body)
		for i := 0; lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "data: ") {
				if took := time.Since(start); took != time.Duration(i)*time.Second {
					t.Errorf("event %d came after %v", i, took)
				}
				i++
			}
		}
		_ = resp.Body.Close()
		if h := resp.Header; h.Get("Content-Type") != "text/event-stream; charset=utf-8" || h.Get("Content-Disposition") == "" || h.Get("X-Accel-Buffering") != "no" {
			t.Errorf("answered with %v", h)
		}
		if rec := w.record(); !rec.Stream || rec.Outcome != usage.OK || rec.Duration != 5*time.Second || rec.FirstToken > time.Second {
			t.Errorf("recorded %+v", rec)
		}

		ctx, leave := context.WithTimeout(w.t.Context(), 1500*time.Millisecond)
		defer leave()
		left.Add(1)
		w.do(ctx, http.MethodPost, "/v1/vector_stores/a", "{}")
		left.Wait()
		if rec := w.record(); rec.Outcome != usage.ClientGone {
			t.Errorf("recorded %+v", rec)
		}

		for range 8 {
			got := w.do(w.t.Context(), http.MethodPost, "/v1/vector_stores/a?cut=1", "{}")
			if got.err == nil || strings.Count(got.body, "data: ") != 3 {
				t.Fatalf("%v %q", got.err, got.body)
			}
		}
		if rec := w.record(); rec.Outcome != usage.UpstreamError || len(rec.Attempts) != 1 {
			t.Errorf("recorded %+v", rec)
		}
		if diff := gocmp.Diff(map[string]string{}, w.unwell()); diff != "" {
			t.Error(diff)
		}
		if n := len(b.asked()); n != 10 {
			t.Errorf("%d calls", n)
		}
	})
}

// TestPassagesAreRetried: only what has certainly not been done is done again, and
// how it fares is held against no deployment.
func TestPassagesAreRetried(t *testing.T) {
	t.Parallel()
	const refused = `{"error":{"code":"x","message":"no"}}`
	tests := []struct {
		name   string
		method string
		down   int
		fails  int // answers that are
		with   int // status; 0 breaks the connection
		header string
		status int
		calls  int
		took   time.Duration
	}{
		{name: "500", method: "POST", fails: 9, with: 500, status: 500, calls: 1},
		{name: "500, deleted", method: "DELETE", fails: 9, with: 500, status: 500, calls: 1},
		{name: "503", method: "POST", fails: 9, with: 503, status: 503, calls: 1},
		{name: "broken", method: "POST", fails: 9, status: 502, calls: 1},
		{name: "500, read", method: "GET", fails: 1, with: 500, status: 201, calls: 2},
		{name: "broken, read", method: "GET", fails: 1, status: 201, calls: 2},
		{name: "no connection", method: "POST", down: 1, status: 201, calls: 1},
		{name: "429", method: "POST", fails: 1, with: 429, header: "3", status: 201, calls: 2, took: 3 * time.Second},
		{name: "429 for long", method: "POST", fails: 9, with: 429, header: "30", status: 429, calls: 1},
		{name: "404", method: "GET", fails: 9, with: 404, status: 404, calls: 1},
		{name: "401", method: "POST", fails: 9, with: 401, status: 502, calls: 1},
		{name: "400", method: "POST", fails: 9, with: 400, status: 400, calls: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fails := tt.fails
			serve := func(w http.ResponseWriter, r *http.Request) {
				if fails--; fails < 0 {
					hello(w, r)
					return
				}
				if tt.with == 0 {
					panic(http.ErrAbortHandler)
				}
				w.Header().Set("Content-Type", "application/json")
				if tt.header != "" {
					w.Header().Set("Retry-After", tt.header)
				}
				w.WriteHeader(tt.with)
				_, _ = io.WriteString(w, refused)
			}
			bubbleBeside(t, serve, func(w *world, b *beside) {
				b.down = tt.down
				got := w.do(w.t.Context(), tt.method, "/v1/vector_stores/a", "{}")
				if got.status != tt.status || len(b.asked()) != tt.calls || tt.took > 0 && got.took != tt.took {
					t.Errorf("%d %s after %d calls and %v, want %d after %d and %v", got.status, got.body, len(b.asked()), got.took, tt.status, tt.calls, tt.took)
				}
				if tt.status >= 400 {
					if diff := gocmp.Diff([]string{"code", "message", "param", "type"}, errorKeys(w.t, got)); diff != "" {
						t.Error(diff)
					}
				}
				for range 7 { // often enough to open a breaker
					w.do(w.t.Context(), tt.method, "/v1/vector_stores/a", "{}")
				}
				if diff := gocmp.Diff(map[string]string{}, w.unwell()); diff != "" {
					t.Errorf("the deployments (-want +got):\n%s", diff)
				}
				if got := w.chat(of("d2", say("hello"))); got.status != http.StatusOK {
					t.Errorf("a chat: %d %s", got.status, got.body)
				}
			})
		})
	}
}

// TestPassagesGoByAnyModel: one deployment that rests keeps nothing from being
// handed on.
func TestPassagesGoByAnyModel(t *testing.T) {
	t.Parallel()
	bubbleBeside(t, hello, func(w *world, b *beside) {
		w.west.Script(steps("rate-limit 20 s")...)
		if got := w.chat(of("d2", say("hello"))); got.status != http.StatusTooManyRequests {
			t.Fatalf("a chat: %d %s", got.status, got.body)
		}
		if got := w.do(w.t.Context(), http.MethodPost, "/v1/vector_stores", "{}"); got.status != http.StatusCreated || len(b.asked()) != 1 {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

// TestPassagesAreCharged: what an answer says that it used is charged, once.
func TestPassagesAreCharged(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, method, body string
		kind               string
		tokens             int64
		cost               usage.USD
		model              string
	}{
		{name: "a known model", method: "POST", body: `{"model":"llama","usage":{"prompt_tokens":10,"completion_tokens":5}}`, tokens: 15, cost: 20_000, model: "llama"},
		{name: "a version of one", method: "POST", body: `{"model":"llama-2024-11-20","usage":{"input_tokens":10,"output_tokens":5}}`, tokens: 15, cost: 20_000, model: "llama"},
		{name: "one that nobody knows", method: "POST", body: `{"model":"else","usage":{"prompt_tokens":10}}`, tokens: 10},
		{name: "no model", method: "PUT", body: `{"usage":{"prompt_tokens":10}}`, tokens: 10},
		{name: "read", method: "GET", body: `{"model":"llama","usage":{"prompt_tokens":10}}`},
		{name: "of another form", method: "POST", body: `{"model":"llama","usage":{"units":10}}`},
		{name: "below nothing", method: "POST", body: `{"model":"llama","usage":{"prompt_tokens":-10,"completion_tokens":-1}}`, model: "llama"},
		{name: "no JSON", method: "POST", body: `{"model":"llama","usage":{"prompt_tokens":10`},
		{name: "no JSON by its type", method: "POST", kind: "text/plain", body: `{"model":"llama","usage":{"prompt_tokens":10}}`},
		{name: "JSON of a kind", method: "POST", kind: "application/vnd.own+json", body: `{"model":"llama","usage":{"prompt_tokens":10}}`, tokens: 10, cost: 10_000, model: "llama"},
		{name: "too long to be looked at", method: "POST", body: `{"model":"llama","usage":{"prompt_tokens":10},"x":"` + strings.Repeat("x", 2<<20) + `"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			serve := func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if tt.kind != "" {
					w.Header().Set("Content-Type", tt.kind)
				}
				_, _ = io.WriteString(w, tt.body)
			}
			bubbleBeside(t, serve, func(w *world, b *beside) {
				got := w.do(w.t.Context(), tt.method, "/v1/rerank", "{}")
				if got.status != http.StatusOK || got.body != tt.body {
					t.Fatalf("%d, %d bytes", got.status, len(got.body))
				}
				rec := w.record()
				if rec.Input+rec.Output != tt.tokens || rec.Cost != tt.cost || rec.Model != tt.model {
					t.Errorf("recorded %d tokens, %d, model %q; want %d, %d, %q", rec.Input+rec.Output, rec.Cost, rec.Model, tt.tokens, tt.cost, tt.model)
				}
				again := w.do(w.t.Context(), tt.method, "/v1/rerank", "{}")
				if over := tt.tokens > 8; (again.status == http.StatusTooManyRequests) != over || len(b.asked()) != 2 && !over {
					t.Errorf("and then %d %s", again.status, again.body)
				}
			}, limited("tpm: 8")...)
		})
	}
}

// TestPassagesTakeUploads: a body of any size goes through a file and leaves none
// behind, and what may be kept of all of them is counted over a reload.
func TestPassagesTakeUploads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := func(more string) []string {
		return []string{`server: {`, `server: { upload_dir: "` + dir + `", max_upload: 2MiB, max_upload_disk: 2MiB` + more + `,`}
	}
	hold := make(chan struct{})
	serve := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("hold") {
			<-hold
		}
		hello(w, r)
	}
	bubbleBeside(t, serve, func(w *world, b *beside) {
		hold = make(chan struct{})
		body := strings.Repeat("0123456789abcdef", 2<<16) // 2 MiB, of which 1.5 are in a file
		post := func(query string) reply {
			return w.do(w.t.Context(), http.MethodPost, "/v1/vector_stores"+query, body, "Content-Type", "multipart/form-data; boundary=x")
		}
		for range 3 {
			if got := post(""); got.status != http.StatusCreated {
				t.Fatal(got.status, got.body)
			}
		}
		for _, r := range b.asked() {
			if r.Size != 2<<20 || r.Sum != sha256.Sum256([]byte(body)) || r.Header.Get("Content-Type") != "multipart/form-data; boundary=x" {
				t.Errorf("sent %d bytes as %s", r.Size, r.Header.Get("Content-Type"))
			}
		}
		if got := w.do(w.t.Context(), http.MethodPost, "/v1/vector_stores", body+"x"); got.status != http.StatusRequestEntityTooLarge {
			t.Errorf("too large: %d %s", got.status, got.body)
		}
		b.mu.Lock()
		b.down = 3 // as often as one is tried
		b.mu.Unlock()
		b.own.CloseIdleConnections()
		if got := post(""); got.status != http.StatusBadGateway {
			t.Errorf("without a connection: %d %s", got.status, got.body)
		}
		first := make(chan reply)
		go func() { first <- post("?hold=1") }()
		synctest.Wait()
		if got := post(""); got.status != http.StatusServiceUnavailable {
			t.Errorf("beside another: %d %s", got.status, got.body)
		}
		edits := passages(server(", shutdown_grace: 1s")...)
		if _, err := w.gateway.Reload(configure(w.t, strings.NewReplacer(edits...).Replace(plain))); err != nil {
			t.Fatal(err)
		}
		if got := post(""); got.status != http.StatusServiceUnavailable {
			t.Errorf("beside another of before the reload: %d %s", got.status, got.body)
		}
		close(hold)
		if got := <-first; got.status != http.StatusCreated {
			t.Errorf("the first: %d %s", got.status, got.body)
		}
		if got := post(""); got.status != http.StatusCreated {
			t.Errorf("behind it: %d %s", got.status, got.body)
		}
		left, err := os.ReadDir(dir)
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
	}, server("")...)
	bubbleBeside(t, hello, func(w *world, b *beside) {
		got := w.do(w.t.Context(), http.MethodPost, "/v1/vector_stores", strings.Repeat("x", 1<<20))
		if code, _, _ := got.code(); got.status != http.StatusInsufficientStorage || code != "no_room_for_upload" || strings.Contains(got.body, dir) || len(b.asked()) > 0 {
			t.Errorf("without a directory: %d %s", got.status, got.body)
		}
		if got := w.do(w.t.Context(), http.MethodPost, "/v1/vector_stores", "small"); got.status != http.StatusCreated {
			t.Errorf("a small one: %d %s", got.status, got.body)
		}
	}, `server: {`, `server: { upload_dir: "`+dir+`/none",`)
}
