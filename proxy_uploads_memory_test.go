package main_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"weir/azuresim"
	"weir/command"
	"weir/upstream"
)

// uploadSize is that of the largest recording that is transcribed, nearly.
const uploadSize = 25_000_000

// gated is a body that says when so much of it was read, and then waits.
type gated struct {
	io.ReadCloser
	left    int64
	reached chan<- error
	open    <-chan struct{}
}

func (g *gated) Read(b []byte) (int, error) {
	n, err := g.ReadCloser.Read(b)
	if g.left >= 0 {
		if g.left -= int64(n); g.left < 0 {
			g.reached <- nil
			<-g.open
		}
	}
	return n, err
}

// zeros is a recording of silence.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// uploader is a gateway over real sockets, and what is before and behind it.
type uploader struct {
	url    string
	client *http.Client
	up     func(r io.ReadCloser) io.ReadCloser // what the resource reads
}

func newUploader(t testing.TB) *uploader {
	t.Helper()
	_, edits := forms(t)
	u := &uploader{up: func(r io.ReadCloser) io.ReadCloser { return r }}
	sim := azuresim.New(azuresim.Config{Key: eastKey, Deployments: map[string]azuresim.Deployment{"whisper": {Model: "whisper-1"}}})
	east := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = u.up(r.Body)
		sim.ServeHTTP(w, r)
	}))
	transport := upstream.NewTransport(upstream.Connection{Connect: 5 * time.Second, PerHost: 64})
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, east.Listener.Addr().String())
	}
	text := strings.NewReplacer(edits...).Replace(plain)
	text = strings.Replace(text, "max_upload: 2MiB, max_upload_disk: 2MiB", "max_upload: 25MiB", 1)
	g, err := command.Build(context.Background(), configure(t, text), command.Parts{
		Transport: transport, Encodings: vocabularies(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	gateway := httptest.NewUnstartedServer(g.API)
	gateway.Start()
	u.url, u.client = gateway.URL+"/openai/deployments/whisper/audio/transcriptions?api-version=2024-10-21", gateway.Client()
	t.Cleanup(func() {
		gateway.Close()
		transport.CloseIdleConnections()
		east.Close()
		if err := g.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return u
}

// send uploads a recording that is made while it is sent.
func (u *uploader) send() error {
	head, tail := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.pcm\"\r\n\r\n", "\r\n--b--\r\n"
	body := io.MultiReader(strings.NewReader(head), io.LimitReader(zeros{}, uploadSize), strings.NewReader(tail))
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, u.url, body)
	if err != nil {
		return err
	}
	req.ContentLength = int64(len(head) + uploadSize + len(tail))
	req.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	req.Header.Set("api-key", searchKey)
	resp, err := u.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(text, []byte("25000000 bytes")) {
		return &net.OpError{Op: string(text), Err: io.ErrUnexpectedEOF}
	}
	return nil
}

// heap returns how much memory is in use.
func heap() int64 {
	var m runtime.MemStats
	for range 3 { // what finalizers and pools let go of goes at the next
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestUploadsTakeLittleMemory: an upload of 25 MB is held in less than 2 MB of
// memory, when all of it has come and half of it has gone on, with its client and its
// resource in the same process.
func TestUploadsTakeLittleMemory(t *testing.T) {
	const uploads = 8
	const most = 2 << 20
	u := newUploader(t)
	if err := u.send(); err != nil { // what is built once is built
		t.Fatal(err)
	}
	reached, open := make(chan error, 2*uploads), make(chan struct{})
	u.up = func(r io.ReadCloser) io.ReadCloser {
		return &gated{ReadCloser: r, left: uploadSize / 2, reached: reached, open: open}
	}
	before := heap()
	ended := make(chan error, uploads)
	for range uploads {
		go func() {
			err := u.send()
			reached <- err // nobody waits for one that never came so far
			ended <- err
		}()
	}
	for range uploads {
		if err := <-reached; err != nil {
			t.Error(err)
		}
	}
	each := (heap() - before) / uploads
	t.Logf("an upload holds %d bytes", each)
	if each > most {
		t.Errorf("an upload holds %d bytes, and may hold %d", each, most)
	}
	close(open)
	for range uploads {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkUpload is an upload of 25 MB through the gateway.
func BenchmarkUpload(b *testing.B) {
	u := newUploader(b)
	b.SetBytes(uploadSize)
	b.ReportAllocs()
	for b.Loop() {
		if err := u.send(); err != nil {
			b.Fatal(err)
		}
	}
}
