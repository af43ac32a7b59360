package proxy_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/policy"
	"weir/proxy"
	"weir/quota"
	"weir/usage"
)

// nought counts nothing.
type nought struct{}

func (nought) Prompt(*openai.Request) policy.Prompt { return policy.Prompt{} }
func (nought) Bound(*openai.Request) int64          { return 0 }
func (nought) Text([]byte) int64                    { return 0 }
func (nought) Special(int64) bool                   { return false }

// texts answers every call with a text.
type texts struct{ content io.Reader }

func (u texts) Candidates(*openai.Call) []openai.Candidate { return nil }

func (u texts) Do(_ context.Context, _ *openai.Call, rec *usage.Record) (*openai.Answer, error) {
	rec.Attempts = append(rec.Attempts, usage.Attempt{Sent: true})
	return &openai.Answer{Status: http.StatusOK, Header: http.Header{"Content-Type": {"text/plain"}}, Content: u.content, Close: func(error) {}}, nil
}

// TestCutTranscriptIsChargedWhole holds that a transcript of which only the beginning
// came is charged by the length of the sound, all of which upstream has heard.
func TestCutTranscriptIsChargedWhole(t *testing.T) {
	t.Parallel()
	const caption = "1\n00:00:00,000 --> 00:00:03,000\nThis is\n\n"
	for _, tt := range []struct {
		name string
		rest io.Reader
		want time.Duration
	}{
		{"whole", strings.NewReader(""), 3 * time.Second},
		{"cut", iotest.ErrReader(errors.New("cut")), 60 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := proxy.New(proxy.Config{
				Models: map[string]proxy.Model{"m": {Name: "m", Counter: nought{}, Dearest: usage.Price{Second: 100}}}, Names: proxy.Names{Models: map[string]string{"m": "m"}},
				Teams: map[string]proxy.Team{"": {}}, Limiter: quota.NewMemory(quota.MemoryConfig{}), Upstream: texts{io.MultiReader(strings.NewReader(caption), tt.rest)},
				MaxBody: 1 << 20, Uploads: proxy.Uploads{Dir: t.TempDir(), Max: 1 << 20},
			})
			e := echo.New()
			g.Routes(e)
			var form bytes.Buffer
			w := multipart.NewWriter(&form)
			for _, field := range [][2]string{{"model", "m"}, {"response_format", "srt"}} {
				if err := w.WriteField(field[0], field[1]); err != nil {
					t.Fatal(err)
				}
			}
			file, err := w.CreateFormFile("file", "a.wav")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := file.Write(wave(60)); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			rec := &usage.Record{}
			r := httptest.NewRequestWithContext(usage.With(t.Context(), rec), http.MethodPost, "/v1/audio/transcriptions", &form)
			r.Header.Set("Content-Type", w.FormDataContentType())
			func() {
				defer func() { _ = recover() }() // what is cut aborts the connection
				e.ServeHTTP(httptest.NewRecorder(), r)
			}()
			if rec.Sound != tt.want || rec.Cost == 0 {
				t.Errorf("charged for %v of sound: %+v", rec.Sound, rec)
			}
		})
	}
}

// wave returns sound of 1,000 bytes a second.
func wave(seconds int) []byte {
	b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00")
	b = binary.LittleEndian.AppendUint32(b, 1000) // samples a second
	b = binary.LittleEndian.AppendUint32(b, 1000)
	b = append(b, 1, 0, 8, 0)
	b = binary.LittleEndian.AppendUint32(append(b, "data"...), uint32(1000*seconds))
	return append(b, make([]byte, 1000*seconds)...)
}
