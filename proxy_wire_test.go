package main_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"weir/azuresim"
)

// connect returns a connection to the gateway that lasts as long as the test.
func (w *world) connect() net.Conn {
	w.t.Helper()
	conn, err := w.api.dial()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = conn.Close()
		time.Sleep(time.Second) // net/http gives the other side half of one
	})
	return conn
}

// exchange writes bytes to the gateway and returns every answer that comes, and
// how long the connection stayed open behind the last.
func (w *world) exchange(text string) (answers []reply, open time.Duration) {
	w.t.Helper()
	conn := w.connect()
	go func() { _, _ = io.WriteString(conn, text) }() // it ends when the connection does
	_ = conn.SetReadDeadline(time.Now().Add(time.Hour))
	start := time.Now()
	last := start
	for r := bufio.NewReader(conn); ; last = time.Now() {
		if _, err := r.Peek(1); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				w.t.Error("the connection was never closed")
			}
			return answers, time.Since(last)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			w.t.Fatalf("answer %d: %v", len(answers)+1, err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			w.t.Fatalf("answer %d: %v", len(answers)+1, err)
		}
		answers = append(answers, reply{status: resp.StatusCode, header: resp.Header, body: string(b), took: time.Since(start)})
	}
}

func statuses(answers []reply) []int {
	var all []int
	for _, a := range answers {
		all = append(all, a.status)
	}
	return all
}

// post writes a request head: the lines given, and a credential.
func post(lines ...string) string {
	return "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer " + searchKey + "\r\n" +
		strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// length is the header of a body's length.
func length(body string) string { return "Content-Length: " + strconv.Itoa(len(body)) }

// chunked writes a body in one chunk.
func chunked(body string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body) }

// TestFraming is T7: no request on the wire is one to the gateway and another, or
// two, to somebody before it. A second request is hidden in each that could hide
// one; it asks for a model of its own.
func TestFraming(t *testing.T) {
	t.Parallel()
	hello := say("hello")
	hidden := strings.Replace(hello, "gpt-4o", "gpt-35-turbo", 1)
	second := post(length(hidden)) + hidden
	tests := []struct {
		name   string
		raw    string
		want   []int // the answers
		open   bool  // the connection stays open behind them
		models int   // requests that reach a deployment
	}{
		{name: "two requests", raw: post(length(hello)) + hello + second, want: []int{200, 200}, open: true, models: 2},
		{name: "Content-Length and chunked", raw: post(length(hello), "Transfer-Encoding: chunked") + chunked(hello) + second, want: []int{200}, models: 1},
		{name: "chunked and Content-Length", raw: post("Transfer-Encoding: chunked", "Content-Length: 4") + chunked(hello) + second, want: []int{200}, models: 1},
		{name: "chunked", raw: post("Transfer-Encoding: chunked") + chunked(hello) + second, want: []int{200}, models: 1},
		{name: "chunked in capitals", raw: post("Transfer-Encoding: CHUNKED") + chunked(hello) + second, want: []int{200}, models: 1},
		{name: "two lengths", raw: post(length(hello), "Content-Length: 1") + hello + second, want: []int{400}},
		{name: "two equal lengths", raw: post(length(hello), length(hello)) + hello + second, want: []int{200, 200}, open: true, models: 2},
		{name: "a list of lengths", raw: post("Content-Length: 5, 5") + hello + second, want: []int{400}},
		{name: "a length with a plus", raw: post("Content-Length: +5") + hello + second, want: []int{400}},
		{name: "a negative length", raw: post("Content-Length: -1") + hello + second, want: []int{400}},
		{name: "a hexadecimal length", raw: post("Content-Length: 0x5") + hello + second, want: []int{400}},
		{name: "a length beyond 63 bits", raw: post("Content-Length: 18446744073709551621") + hello + second, want: []int{400}},
		{name: "an empty length", raw: post("Content-Length: ") + hello + second, want: []int{400}},
		{name: "xchunked", raw: post("Transfer-Encoding: xchunked") + chunked(hello) + second, want: []int{501}},
		{name: "chunked, identity", raw: post("Transfer-Encoding: chunked, identity") + chunked(hello) + second, want: []int{501}},
		{name: "identity", raw: post("Transfer-Encoding: identity", length(hello)) + hello + second, want: []int{501}},
		{name: "gzip, chunked", raw: post("Transfer-Encoding: gzip, chunked") + chunked(hello) + second, want: []int{501}},
		{name: "chunked twice", raw: post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + chunked(hello) + second, want: []int{501}},
		{name: "a vertical tab before chunked", raw: post("Transfer-Encoding: \x0bchunked") + chunked(hello) + second, want: []int{400}},
		{name: "space before the colon", raw: post("Content-Length : 5") + hello + second, want: []int{400}},
		{name: "space before the colon of chunked", raw: post("Transfer-Encoding : chunked") + chunked(hello) + second, want: []int{400}},
		{name: "space before the name", raw: strings.Replace(post(length(hello)), "Host:", " Host:", 1) + hello + second, want: []int{400}},
		{name: "NUL in a name", raw: post("Content\x00-Length: 5") + hello + second, want: []int{400}},
		{name: "NUL in a value", raw: post("X-Any: a\x00b", length(hello)) + hello + second, want: []int{400}},
		{name: "CR in a value", raw: post("X-Any: a\rb", length(hello)) + hello + second, want: []int{400}},
		{name: "an empty name", raw: post(": a", length(hello)) + hello + second, want: []int{400}},
		{name: "a line without a colon", raw: post("any", length(hello)) + hello + second, want: []int{400}},
		{name: "a folded value", raw: post("X-Any: a\r\n b", length(hello)) + hello + second, want: []int{200, 200}, open: true, models: 2},
		{name: "a folded length", raw: post("Content-Length:\r\n "+strconv.Itoa(len(hello))) + hello + second, want: []int{200, 200}, open: true, models: 2},
		{name: "a folded chunked", raw: post("Transfer-Encoding:\r\n chunked") + chunked(hello) + second, want: []int{200}, models: 1},
		{name: "bare line feeds", raw: strings.ReplaceAll(post(length(hello)), "\r\n", "\n") + hello + second, want: []int{200, 200}, open: true, models: 2},
		{name: "no host", raw: strings.Replace(post(length(hello)), "Host: gateway\r\n", "", 1) + hello, want: []int{400}},
		{name: "two hosts", raw: post("Host: other", length(hello)) + hello, want: []int{400}},
		{name: "a chunk size with a sign", raw: post("Transfer-Encoding: chunked") + "+5\r\nhello\r\n0\r\n\r\n" + second, want: []int{400}},
		{name: "a chunk size beyond 64 bits", raw: post("Transfer-Encoding: chunked") + "fffffffffffffffff\r\nhello\r\n0\r\n\r\n" + second, want: []int{400}},
		{name: "a chunk without its line break", raw: post("Transfer-Encoding: chunked") + "3\r\nhello\r\n0\r\n\r\n" + second, want: []int{400}},
		{name: "a chunk with an extension", raw: post("Transfer-Encoding: chunked") + strings.Replace(chunked(hello), "\r\n", ";a=b\r\n", 1) + second, want: []int{200}, models: 1},
		{name: "an extension without end", raw: post("Transfer-Encoding: chunked") + "5;" + strings.Repeat("a", 20_000) + "\r\nhello\r\n0\r\n\r\n", want: []int{400}},
		{name: "trailers", raw: post("Transfer-Encoding: chunked", "Trailer: Authorization") + strings.TrimSuffix(chunked(hello), "\r\n") + "Authorization: Bearer " + otherKey + "\r\n\r\n" + second, want: []int{200}, models: 1},
		{name: "HTTP/1.0 with chunked", raw: strings.Replace(post("Transfer-Encoding: chunked"), "HTTP/1.1", "HTTP/1.0", 1) + chunked(hello) + second, want: []int{400}},
		{name: "HTTP/1.0", raw: strings.Replace(post(length(hello)), "HTTP/1.1", "HTTP/1.0", 1) + hello + second, want: []int{200}, models: 1},
		{name: "HTTP/9.9", raw: strings.Replace(post(length(hello)), "HTTP/1.1", "HTTP/9.9", 1) + hello + second, want: []int{505}},
		{name: "HTTP/2 in clear", raw: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", want: []int{404}},
		{name: "a method in lower case", raw: strings.Replace(post(length(hello)), "POST", "post", 1) + hello, want: []int{405}, open: true},
		{name: "CONNECT", raw: strings.Replace(post(length(hello)), "POST /v1/chat/completions", "CONNECT evil.example.com:443", 1) + hello, want: []int{404}, open: true},
		{name: "another host's URL", raw: strings.Replace(post(length(hello)), "POST /", "POST http://evil.example.com/", 1) + hello, want: []int{200}, open: true, models: 1},
		{name: "headers beyond 20 KiB", raw: post("X-Any: "+strings.Repeat("a", 30_000), length(hello)) + hello, want: []int{431}},
	}
	bubble(t, plain, func(w *world) {
		for _, tt := range tests {
			w.forget()
			answers, open := w.exchange(tt.raw)
			if diff := gocmp.Diff(tt.want, statuses(answers)); diff != "" {
				w.t.Errorf("%s: answers (-want +got):\n%s%v", tt.name, diff, answers)
			}
			if n := len(w.asked()); n != tt.models {
				w.t.Errorf("%s: %d requests reached a deployment, want %d", tt.name, n, tt.models)
			}
			// A connection that is kept is closed when it has been idle for two
			// minutes; one that is not, within a second.
			if kept := open >= time.Minute; kept != tt.open || !kept && open > time.Second {
				w.t.Errorf("%s: the connection stayed open for %v", tt.name, open)
			}
			for _, a := range answers {
				if a.took > time.Second {
					w.t.Errorf("%s: an answer took %v", tt.name, a.took)
				}
			}
			w.serves(tt.name)
		}
	})
}

// TestLargeBodies is T1: a body that is too large is refused before it is read,
// and all bodies together have their bound.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	small := []string{"server: {", "server: { max_body: 2KiB,"}
	t.Run("announced", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			for _, raw := range []string{
				post("Content-Length: 2049"), post("Content-Length: 100000000000"),
				post("Content-Length: 2049", "Content-Type: application/json") + strings.Repeat(" ", 100),
				post("Transfer-Encoding: chunked") + chunked(strings.Repeat(" ", 2049)),
				post("Transfer-Encoding: chunked") + "FFFFFFF\r\n" + strings.Repeat(" ", 8<<10),
			} {
				answers, open := w.exchange(raw)
				if len(answers) != 1 || open > 11*time.Second { // what is still on its way is read so long
					w.t.Fatalf("%.300q: %d answers, and the connection open for %v", raw, len(answers), open)
				}
				got := answers[0]
				if code, _, _ := got.code(); got.status != 413 || code != "request_too_large" || got.took != 0 || got.header.Get("Connection") != "" && got.header.Get("Connection") != "close" {
					w.t.Errorf("%.300q: answered %d %q after %v", raw, got.status, code, got.took)
				}
				if n := len(w.asked()); n > 0 {
					w.t.Errorf("%.300q: upstream was asked", raw)
				}
			}
			fits := say("hello", `"x":"`) // up to the last byte
			fits = fits[:len(fits)-1] + strings.Repeat("a", 2048-len(fits)-1) + `"}`
			if got := w.chat(fits); len(fits) != 2048 || got.status != http.StatusOK {
				w.t.Errorf("a body of %d bytes was answered %d: %s", len(fits), got.status, got.body)
			}
		}, small...)
	})
	t.Run("all bodies together", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			const held = 256 / 20 // MiB, of each 20
			for range held {
				_, _ = io.WriteString(w.connect(), post("Content-Length: 20971520"))
			}
			synctest.Wait()
			answers, _ := w.exchange(post("Content-Length: 20971520"))
			got := answers[0]
			if code, _, _ := got.code(); got.status != 503 || code != "gateway_overloaded" || got.header.Get("Retry-After") != "1" || got.took != 0 {
				w.t.Errorf("answered %d %q after %v", got.status, code, got.took)
			}
			w.serves("one body too many")
			time.Sleep(11 * time.Second) // those that sent nothing are given up by now
			if answers, _ := w.exchange(post("Content-Length: 20971520")); answers[0].status != 408 {
				w.t.Errorf("behind them, answered %d", answers[0].status)
			}
		})
	})
	t.Run("bodies in chunks count as what they are", func(t *testing.T) {
		t.Parallel()
		bubble(t, plain, func(w *world) {
			const several = 3 * 256 / 20 // more than there is room for at their largest
			body := say("hello")
			for range several {
				w.east.Script(azuresim.Step{Delay: time.Minute})
				conn := w.connect()
				go func() { _, _ = io.WriteString(conn, post("Transfer-Encoding: chunked")+chunked(body)) }()
				synctest.Wait()
			}
			if n := len(w.asked()); n != several {
				w.t.Errorf("%d of %d reached a deployment", n, several)
			}
		})
	})
}

// TestSlowBodies is T18: a body that hardly comes is given up at an exact time,
// also where nobody wants to read it, and its connection with it.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		head   string
		every  time.Duration // between pieces; 0: nothing comes at all
		piece  string
		status int
		code   string
		took   time.Duration
	}{
		{name: "nothing comes", head: post("Content-Length: 100"), status: 408, code: "request_timeout", took: 10 * time.Second},
		{name: "a byte every nine seconds", head: post("Content-Length: 100"), every: 9 * time.Second, piece: " ", status: 408, code: "request_timeout", took: 15*time.Second + time.Second/1024},
		{name: "less than 1 KiB a second", head: post("Content-Length: 100000"), every: time.Second, piece: strings.Repeat(" ", 500), status: 408, code: "request_timeout", took: 15*time.Second + 14_000*time.Second/1024},
		{name: "chunks that never end", head: post("Transfer-Encoding: chunked"), every: 5 * time.Second, piece: "1\r\n \r\n", status: 408, code: "request_timeout", took: 15*time.Second + 3*time.Second/1024},
		{name: "one chunk, less than 1 KiB a second", head: post("Transfer-Encoding: chunked") + "ffffff\r\n", every: time.Second, piece: strings.Repeat(" ", 500), status: 408, code: "request_timeout", took: 10 * time.Second},
		{name: "a wrong key", head: strings.Replace(post("Content-Length: 100"), searchKey, "sk-wrong", 1), status: 401, code: "invalid_api_key", took: 10 * time.Second},
		{name: "a wrong path", head: strings.Replace(post("Content-Length: 100"), "chat", "chit", 1), status: 404, code: "unknown_url", took: 10 * time.Second},
		{name: "a listing", head: strings.Replace(post("Content-Length: 100"), "POST /v1/chat/completions", "GET /v1/models", 1), status: 200, took: 10 * time.Second},
		{name: "no end of the header", head: strings.TrimSuffix(post("Content-Length: 100"), "\r\n"), took: 10 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				conn := w.connect()
				start, done := time.Now(), make(chan struct{})
				defer close(done)
				go func() {
					_, err := io.WriteString(conn, tt.head)
					for err == nil && tt.every > 0 {
						select {
						case <-time.After(tt.every):
							_, err = io.WriteString(conn, tt.piece)
						case <-done:
							return
						}
					}
				}()
				r := bufio.NewReader(conn)
				_, err := r.Peek(1)
				if took := time.Since(start); took.Round(time.Millisecond) != tt.took.Round(time.Millisecond) {
					w.t.Errorf("it took %v, want %v", took, tt.took)
				}
				if tt.status == 0 {
					if !errors.Is(err, io.EOF) {
						w.t.Errorf("reading: %v", err)
					}
					return
				}
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					w.t.Fatal(err)
				}
				b, _ := io.ReadAll(resp.Body)
				code, _, _ := reply{body: string(b)}.code()
				if resp.StatusCode != tt.status || code != tt.code || !resp.Close {
					w.t.Errorf("answered %d %q, Close %v", resp.StatusCode, code, resp.Close)
				}
				if _, err := r.Peek(1); !errors.Is(err, io.EOF) {
					w.t.Errorf("behind the answer: %v", err)
				}
				if n := len(w.asked()); n > 0 {
					w.t.Errorf("upstream was asked %d times", n)
				}
				w.serves("a slow body")
			})
		})
	}
}
