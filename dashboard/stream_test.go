package dashboard_test

import (
	"bufio"
	stdcontext "context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/dashboard"
	"weir/usage"
)

type context = stdcontext.Context

func withCancel(ctx context) (context, func()) { return stdcontext.WithCancel(ctx) }

// listening is a client of the stream whose reading can be held up.
type listening struct {
	header http.Header
	out    *io.PipeWriter
	lines  *bufio.Scanner
	stop   func()
	done   chan struct{}
}

func (l *listening) Header() http.Header         { return l.header }
func (l *listening) WriteHeader(int)             {}
func (l *listening) Write(b []byte) (int, error) { return l.out.Write(b) }
func (l *listening) Flush()                      {}

// listen opens a stream. It must be ended within the bubble.
func listen(t *testing.T, d *dashboard.Dashboard, query string) *listening {
	t.Helper()
	in, out := io.Pipe()
	ctx, stop := withCancel(t.Context())
	l := &listening{header: http.Header{}, out: out, lines: bufio.NewScanner(in), done: make(chan struct{})}
	l.lines.Buffer(nil, 1<<20)
	l.stop = func() {
		stop()
		_ = in.Close()
		<-l.done
	}
	go func() {
		defer close(l.done)
		d.Routes()["GET /admin/v1/stream"].ServeHTTP(l, httptest.NewRequest(http.MethodGet, "/admin/v1/stream?"+query, nil).WithContext(ctx))
		_ = out.Close()
	}()
	return l
}

// next returns the next event; a comment is one without a name.
func (l *listening) next() (name, data string) {
	for l.lines.Scan() {
		line := l.lines.Text()
		switch {
		case line == "":
			return name, data
		case strings.HasPrefix(line, ": "):
			data = line
		default:
			if n, ok := strings.CutPrefix(line, "event: "); ok {
				name = n
			}
			if n, ok := strings.CutPrefix(line, "data: "); ok {
				data = n
			}
		}
	}
	return "end", ""
}

// TestStream tells of stats each second, of series each step, and of requests as
// they end, but those that nobody has asked for.
func TestStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := dashboard.New(dashboard.Config{})
		l := listen(t, d, "team=search")
		defer l.stop()
		for i, want := range []string{"stats", "series", "stats"} {
			if name, data := l.next(); name != want || !json.Valid([]byte(data)) {
				t.Fatalf("event %d is %s, want %s\n%s", i, name, want, data)
			}
		}
		d.Take(t.Context(), ended(func(r *usage.Record) { r.Team = "other" }))
		d.Take(t.Context(), ended(func(r *usage.Record) { r.RequestID = "wanted" }))
		for {
			name, data := l.next()
			if name == "stats" || name == "series" {
				continue
			}
			var r dashboard.Request
			if err := json.Unmarshal([]byte(data), &r); err != nil || name != "request" || r.RequestID != "wanted" {
				t.Errorf("it tells %s %s", name, data)
			}
			break
		}
		if got := l.header.Get("Content-Type"); got != "text/event-stream" {
			t.Errorf("its type is %s", got)
		}
	})
}

// TestSlowReaderLosesTheOldest: what waits for it is bounded, and it is told.
func TestSlowReaderLosesTheOldest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := dashboard.New(dashboard.Config{})
		l := listen(t, d, "events=request")
		defer l.stop()
		l.next() // that it is there
		d.Take(t.Context(), ended(nil))
		synctest.Wait() // it hangs in its first write, which nobody reads
		for i := range 1000 {
			d.Take(t.Context(), ended(func(r *usage.Record) { r.RequestID = strconv.Itoa(i) }))
		}
		l.next()
		name, data := l.next()
		if name != "lost" || data != "744" {
			t.Fatalf("it tells %s %s, want lost 744", name, data)
		}
		for i := 744; i < 1000; i++ {
			var r dashboard.Request
			if name, data := l.next(); json.Unmarshal([]byte(data), &r) != nil || name != "request" || r.RequestID != strconv.Itoa(i) {
				t.Fatalf("it tells %s %s, want %d", name, data, i)
			}
		}
	})
}

// TestHeartbeat: a stream in which nothing happens shows that it is there.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := dashboard.New(dashboard.Config{})
		l := listen(t, d, "events=request")
		defer l.stop()
		began := time.Now()
		l.next()
		if name, data := l.next(); name != "" || !strings.HasPrefix(data, ":") || time.Since(began) != 10*time.Second {
			t.Errorf("after %v it tells %q %q", time.Since(began), name, data)
		}
	})
}

// TestStreamsAreBounded: as many pages listen as may, and Close ends them all.
func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := dashboard.New(dashboard.Config{})
		var all []*listening
		for range 64 {
			l := listen(t, d, "events=request")
			l.next()
			all = append(all, l)
		}
		if w := ask(d, "GET", "/admin/v1/stream?events=stats", ""); w.Code != http.StatusTooManyRequests {
			t.Errorf("one more is answered %d", w.Code)
		}
		d.Close()
		for _, l := range all {
			for name := ""; name != "end"; {
				name, _ = l.next()
			}
			l.stop()
		}
	})
}
