package proxy

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sentPart is a part as Go's own reader sees it.
type sentPart struct{ Name, Filename, Kind, Content string }

// parts reads a form with Go's own reader. It is not ok where that cannot.
func parts(body io.Reader, contentType string) (all []sentPart, ok bool) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, false
	}
	r := multipart.NewReader(body, params["boundary"])
	for {
		p, err := r.NextRawPart()
		if err == io.EOF { //nolint:errorlint // NextRawPart says that the form is whole by exactly this.
			return all, true
		}
		if err != nil {
			return nil, false
		}
		content, err := io.ReadAll(p)
		if err != nil {
			return nil, false
		}
		_, given, _ := mime.ParseMediaType(p.Header.Get("Content-Disposition"))
		all = append(all, sentPart{p.FormName(), given["filename"], p.Header.Get("Content-Type"), string(content)})
	}
}

// newForm returns a form that nothing has been read into.
func newForm(t testing.TB) *form {
	t.Helper()
	up := &Uploads{Dir: t.TempDir(), Used: new(atomic.Int64)}
	f := &form{spool: spool{up: up}, held: &place{all: new(atomic.Int64)}, values: map[string]string{}, boundary: "weir-boundary"}
	t.Cleanup(func() {
		if err := f.Close(); err != nil || up.Used.Load() != 0 {
			t.Errorf("closing: %v, %d bytes are still counted", err, up.Used.Load())
		}
	})
	return f
}

// FuzzForm: of any form that is taken, what is sent is what Go's own reader saw in
// it, without the model; and that is so as often as it is sent.
func FuzzForm(f *testing.F) {
	const line = "\r\n"
	part := func(head, value string) string {
		return "--b" + line + "Content-Disposition: form-data; " + head + line + line + value + line
	}
	for _, body := range []string{
		part(`name="file"; filename="a.wav"`, "abc") + part(`name="model"`, "m") + "--b--" + line,
		part(`name="file"; filename="a\"b\\c"`, "--b") + "--b--",
		part(`name=file; filename*=UTF-8''%e2%82%ac`, "\r\n--") + "--b--" + line + "behind",
		"before" + line + part(`name="a"; filename=""`, "") + part(`name="model"`, "m") + "--b--  " + line,
		strings.ReplaceAll(part(`name="prompt"`, "x")+"--b--"+line, line, "\n"),
		part(`name="prompt"`, "x") + "--b" + line + "Content-Disposition: for",
		"--b" + line + "Content-Type: a/b" + line + "Content-Disposition: form-data; name=\"a\"" + line + line + line + "--b--",
		"--b--",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		form := newForm(t)
		err := form.read(bytes.NewReader(body), "b", formRules{reads: "model prompt", drops: "model"})
		if err != nil {
			return
		}
		all, ok := parts(bytes.NewReader(body), "multipart/form-data; boundary=b")
		if !ok {
			t.Fatal("it is taken, and Go's own reader does not")
		}
		var want []sentPart
		for _, p := range all {
			if p.Name == "model" {
				if form.values["model"] != p.Content {
					t.Fatalf("the model is %q, want %q", form.values["model"], p.Content)
				}
				continue
			}
			want = append(want, p)
		}
		for _, model := range []string{"", "deployment"} {
			sent, kind, size, err := form.sent("model", model)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(sent)
			if err != nil || int64(len(text)) != size {
				t.Fatalf("%d bytes, said to be %d: %v", len(text), size, err)
			}
			got, ok := parts(bytes.NewReader(text), kind)
			if model != "" && len(got) > 0 && got[0] == (sentPart{"model", "", "", model}) {
				got = got[1:]
			}
			if diff := cmp.Diff(want, append([]sentPart(nil), got...)); diff != "" || !ok {
				t.Fatalf("sent (-given +sent):\n%s\n%q", diff, text)
			}
		}
	})
}

// TestSpool: what is written is read again, from anywhere, whatever of it is in a
// file.
func TestSpool(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, heldUpload - 1, heldUpload, heldUpload + 1, 3*heldUpload + 5} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			t.Parallel()
			up := &Uploads{Dir: t.TempDir(), Used: new(atomic.Int64)}
			s := &spool{up: up}
			all := make([]byte, size)
			for i := range all {
				all[i] = byte(i * i >> 3)
			}
			for part := all; len(part) > 0; {
				n := min(len(part), 10_007)
				if _, err := s.Write(part[:n]); err != nil {
					t.Fatal(err)
				}
				part = part[n:]
			}
			for _, at := range [][2]int{{0, size}, {size / 3, size}, {0, size / 2}, {min(size, heldUpload), size}, {size, size}} {
				got, err := io.ReadAll(s.section(int64(at[0]), int64(at[1])))
				if err != nil || !bytes.Equal(got, all[at[0]:at[1]]) {
					t.Errorf("%v: %d bytes, %v", at, len(got), err)
				}
			}
			if kept := max(0, size-heldUpload); up.Used.Load() != int64(kept) {
				t.Errorf("%d bytes are counted of %d in the file", up.Used.Load(), kept)
			}
			open := s.section(0, int64(size))
			if err := s.Close(); err != nil || up.Used.Load() != 0 {
				t.Errorf("closing: %v, %d bytes are still counted", err, up.Used.Load())
			}
			if got, err := io.ReadAll(open); size > heldUpload && err == nil {
				t.Errorf("%d bytes were read of what is gone", len(got))
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
