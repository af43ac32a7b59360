package openai_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"weir/openai"
)

// TestAhead reads ahead to the commit point, and then reads the stream as if it
// had not been read ahead.
func TestAhead(t *testing.T) {
	t.Parallel()
	long := `{"choices":[],"x":"` + strings.Repeat("x", 40<<10) + `"}`
	for _, tt := range []struct {
		name, src string
		commit    string // the event that Ahead stops at
		err       error  // what it ends with, if it does
	}{
		{"content", sse(chunkPrompt, chunkRole, chunkContent, chunkFinish, "[DONE]"), chunkContent, nil},
		{"content first", sse(chunkContent, "[DONE]"), chunkContent, nil},
		{"comments on the way", ": a\n\n" + sse(chunkRole) + ": b\n\n: c\n\n" + sse(chunkContent, "[DONE]"), chunkContent, nil},
		{"a finish reason", sse(chunkRole, chunkFinish, "[DONE]"), chunkFinish, nil},
		{"[DONE]", sse(chunkRole, "[DONE]"), "[DONE]", nil},
		{"an error", sse(chunkRole, `{"error":{"message":"m"}}`), `{"error":{"message":"m"}}`, nil},
		{"an error by its event's name", sse(chunkRole) + "event: error\n" + sse(`{"message":"m"}`), `{"message":"m"}`, nil},
		{"more than may be held back", sse(long, long, long, chunkContent, "[DONE]"), long, nil},
		{"a cut", sse(chunkRole), "", io.ErrUnexpectedEOF},
		{"nothing", "", "", io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for how, src := range choppings(tt.src) {
				s := openai.NewStream(src)
				ready := s.Ahead()
				<-ready
				e, err := s.Commit()
				if string(e.Data) != tt.commit || !errors.Is(err, tt.err) {
					t.Errorf("read %s, Commit() = %.80q, %v, want %.80q, %v", how, e.Data, err, tt.commit, tt.err)
				}
				var want, got []string
				plain := openai.NewStream(strings.NewReader(tt.src))
				for {
					e, err := plain.Next()
					if err != nil {
						want = append(want, err.Error())
						break
					}
					if !e.Comment {
						want = append(want, string(e.Data)+string(e.Err.Raw())+string(e.Root.Raw()))
					}
				}
				for {
					e, err := s.Next()
					if err != nil {
						got = append(got, err.Error())
						break
					}
					if e.Root.Kind() != openai.Missing && string(e.Root.Raw()) != string(e.Data) {
						t.Errorf("read %s, the root of %q is %q", how, e.Data, e.Root.Raw())
					}
					got = append(got, string(e.Data)+string(e.Err.Raw())+string(e.Root.Raw()))
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("events, read %s (-want +got):\n%s", how, diff)
				}
				if s.Facts != plain.Facts {
					t.Errorf("read %s, the facts are %+v, want %+v", how, s.Facts, plain.Facts)
				}
			}
		})
	}
}

func TestAheadKeepsWhatReadingFailedWith(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	s := openai.NewStream(io.MultiReader(strings.NewReader(sse(chunkRole)), iotest.ErrReader(broken)))
	<-s.Ahead()
	if _, err := s.Commit(); !errors.Is(err, broken) {
		t.Errorf("Commit() = %v, want %v", err, broken)
	}
	if e, err := s.Next(); err != nil || string(e.Data) != chunkRole {
		t.Errorf("Next() = %s, %v, want the role", e.Data, err)
	}
	if _, err := s.Next(); !errors.Is(err, broken) {
		t.Errorf("Next() = %v, want %v", err, broken)
	}
}

func TestWaiting(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	s := openai.NewStream(r)
	if s.Waiting() {
		t.Error("a stream that reads nothing ahead waits")
	}
	ready := s.Ahead()
	if !s.Waiting() {
		t.Error("a stream without a beginning does not wait")
	}
	go func() { _, _ = io.WriteString(w, sse(chunkContent)) }()
	<-ready
	if s.Waiting() {
		t.Error("a stream waits that has begun")
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
