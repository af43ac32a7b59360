package openai_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"weir/openai"
)

// chatBody returns a chat request of about size bytes: turns of a few hundred
// bytes, some of their characters escaped.
func chatBody(size int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true},"max_completion_tokens":800,"temperature":0.7,"messages":[{"role":"system","content":"You are a helpful assistant."}`)
	for i := 0; b.Len() < size-400; i++ {
		role := [...]string{"user", "assistant"}[i%2]
		fmt.Fprintf(&b, `,{"role":%q,"content":"%s"}`, role, strings.Repeat(`Der schnelle braune Fuchs springt \u00fcber \"den\" faulen Hund.\n`, 6))
	}
	b.WriteString(`,{"role":"user","content":[{"type":"text","text":"What is in it?"}]}],"user":"u-1"}`)
	return b.Bytes()
}

func BenchmarkParse(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 100 << 10} {
		body := chatBody(size)
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, err := openai.Parse(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkTexts(b *testing.B) {
	r, err := openai.Parse(chatBody(16 << 10))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		r.Texts(func(run []openai.Value) bool {
			n += len(run)
			return true
		})
	}
}

func BenchmarkApply(b *testing.B) {
	r, err := openai.Parse(chatBody(16 << 10))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = r.Body(r.Root.Set("temperature", "0.75"), r.Root.Get("stream_options").Set("include_usage", "true"))
	}
}

// BenchmarkStream measures what one chunk of a stream costs to read and to show.
func BenchmarkStream(b *testing.B) {
	chunk := []byte(sse(chunkContent))
	for _, p := range []openai.Profile{{}, {OpenAI: true}, {OpenAI: true, HideUsage: true}} {
		b.Run(fmt.Sprintf("openai=%v,hide=%v", p.OpenAI, p.HideUsage), func(b *testing.B) {
			s, w := openai.NewStream(&endless{chunk: chunk}), openai.NewRewriter(p)
			var out []byte
			b.ReportAllocs()
			b.SetBytes(int64(len(chunk)))
			for b.Loop() {
				e, err := s.Next()
				if err != nil {
					b.Fatal(err)
				}
				out = w.Append(out[:0], e)
			}
		})
	}
}

// endless reads one chunk after another, each in one piece, as a network does.
type endless struct{ chunk []byte }

func (e *endless) Read(p []byte) (int, error) {
	if len(p) < len(e.chunk) {
		return 0, io.ErrShortBuffer
	}
	return copy(p, e.chunk), nil
}

// TestParseStaysInsideItsBudget states how often Parse may allocate, whatever
// the size of the body: the request, the document, its nodes (and once more where
// they outgrow the guess), the names of the objects that are open, and the few
// fields that are strings.
func TestParseStaysInsideItsBudget(t *testing.T) {
	const budget = 12
	for _, size := range []int{1 << 10, 16 << 10, 100 << 10, 700 << 10} {
		body := chatBody(size)
		got := testing.AllocsPerRun(20, func() {
			if _, err := openai.Parse(body); err != nil {
				t.Fatal(err)
			}
		})
		if got > budget {
			t.Errorf("Parse of %d bytes allocates %v times, want at most %d", len(body), got, budget)
		}
	}
}

// TestChunkStaysInsideItsBudget states how often a chunk that needs no edit may
// allocate on its way through: its document and its nodes.
func TestChunkStaysInsideItsBudget(t *testing.T) {
	const budget = 6
	for _, p := range []openai.Profile{{}, {OpenAI: true}} {
		s, w := openai.NewStream(&endless{chunk: []byte(sse(chunkContent))}), openai.NewRewriter(p)
		var out []byte
		got := testing.AllocsPerRun(200, func() {
			e, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			out = w.Append(out[:0], e)
		})
		if got > budget {
			t.Errorf("a chunk shown in %+v allocates %v times, want at most %d", p, got, budget)
		}
	}
}
