package main_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"weir/command"
	"weir/upstream"
	"weir/usage"
)

// far is the deployment's end of a session, for what the simulator never does by
// itself: begin a response, say nonsense, fall silent.
type far struct {
	ctx  context.Context // ends a session that nothing comes of
	conn *websocket.Conn
	path string
	h    http.Header
}

// say sends events, as far as anybody listens.
func (f *far) say(events ...string) {
	for _, e := range events {
		if f.conn.Write(f.ctx, websocket.MessageText, []byte(e)) != nil {
			return
		}
	}
}

// hear returns the next message.
func (f *far) hear() string {
	_, b, err := f.conn.Read(f.ctx)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// before runs test on a gateway in front of a resource whose sessions are served by
// serve, and are over when it returns.
func before(t *testing.T, serve func(f *far), test func(w *world), edits ...string) {
	t.Helper()
	encodings := vocabularies()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, log: new(bytes.Buffer)}
		resource := listen(t, &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			conn, err := websocket.Accept(rw, r, &websocket.AcceptOptions{Subprotocols: []string{"realtime"}})
			if err != nil {
				t.Errorf("the handshake with upstream: %v", err)
				return
			}
			conn.SetReadLimit(64 << 20)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
			defer cancel()
			serve(&far{ctx: ctx, conn: conn, path: r.URL.String(), h: r.Header.Clone()})
			_ = conn.CloseNow()
		})})
		transport := upstream.NewTransport(upstream.Connection{Connect: 5 * time.Second, PerHost: 16})
		transport.DialContext = func(context.Context, string, string) (net.Conn, error) { return resource.dial() }
		g, err := command.Build(t.Context(), configure(t, strings.NewReplacer(edits...).Replace(plain)), command.Parts{
			Transport: transport, Encodings: encodings, Sinks: []usage.Sink{w}, Jitter: func() float64 { return 0 },
			Log: slog.New(slog.NewJSONHandler(&lockedWriter{w: w.log}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		if err != nil {
			t.Fatal(err)
		}
		closeLater(t, g)
		w.gateway, w.api = g, listen(t, command.NewServer(g.API, slog.New(slog.DiscardHandler)))
		client := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return w.api.dial() }}
		w.client = &http.Client{Transport: client}
		t.Cleanup(func() {
			client.CloseIdleConnections()
			transport.CloseIdleConnections()
		})
		test(w)
		synctest.Wait()
	})
}
