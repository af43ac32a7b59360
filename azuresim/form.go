package azuresim

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"
)

// How much is kept of a part of a form: of a file that is uploaded, and of
// everything else and in the record.
const (
	partHeld     = 1 << 20
	partRecorded = 64 << 10
)

// Part is one part of a multipart form, as it arrived.
type Part struct {
	Name     string
	Filename string // "" of a value
	Header   textproto.MIMEHeader
	Value    []byte // its first 64 KiB
	Size     int64
	SHA256   string // of all of it, in hexadecimal
}

// form is a multipart form, with what is held of its parts.
type form struct {
	parts []Part
	held  int64 // of each part, at most
	size  int64 // of the body
	wrong error // why the form cannot be read to its end
}

// formBoundary returns the boundary of a multipart form, and whether r is one.
func formBoundary(r *http.Request) (string, bool) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return params["boundary"], err == nil && kind == "multipart/form-data"
}

// counter counts what is read, and keeps the error that ended it.
type counter struct {
	r   io.Reader
	n   int64
	err error
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	if err != nil {
		c.err = err
	}
	return n, err
}

// readForm reads a form to its end. The error is of the connection; a form that
// is wrong in itself says so in the form.
func readForm(body io.Reader, boundary string, held int64) (*form, error) {
	in := &counter{r: body}
	f := &form{held: held}
	reader := multipart.NewReader(in, boundary)
	for f.wrong == nil {
		p, err := reader.NextRawPart()
		if err == nil {
			err = f.add(p)
		}
		f.wrong = err
	}
	_, _ = io.Copy(io.Discard, in)
	f.size = in.n
	if f.wrong == io.EOF { //nolint:errorlint // NextRawPart says that the form is whole by exactly this.
		f.wrong = nil
	}
	if in.err == io.EOF { //nolint:errorlint // A reader's end is exactly this.
		in.err = nil
	}
	return f, in.err
}

func (f *form) add(p *multipart.Part) error {
	var kept bytes.Buffer
	sum := sha256.New()
	rest := io.TeeReader(p, sum)
	kept.Grow(512)
	size, err := io.Copy(&kept, io.LimitReader(rest, f.held))
	if err != nil {
		return err
	}
	more, err := io.Copy(io.Discard, rest)
	f.parts = append(f.parts, Part{
		Name: p.FormName(), Filename: p.FileName(), Header: p.Header, Value: kept.Bytes(),
		Size: size + more, SHA256: hex.EncodeToString(sum.Sum(nil)),
	})
	return err
}

// recorded returns the parts with what a record keeps of them.
func (f *form) recorded() []Part {
	list := make([]Part, len(f.parts))
	for i, p := range f.parts {
		p.Value = bytes.Clone(p.Value[:min(len(p.Value), partRecorded)])
		list[i] = p
	}
	return list
}

// part returns the first part called name, or called name[]; the zero Part where
// there is none.
func (f *form) part(name string) (Part, bool) {
	for _, p := range f.parts {
		if strings.TrimSuffix(p.Name, "[]") == name {
			return p, true
		}
	}
	return Part{}, false
}

func (f *form) value(name string) string {
	p, _ := f.part(name)
	return string(p.Value)
}

// count is how many parts are called name.
func (f *form) count(name string) int {
	n := 0
	for _, p := range f.parts {
		if strings.TrimSuffix(p.Name, "[]") == name {
			n++
		}
	}
	return n
}

// checkForm wants a form that can be read. Azure's texts for this are guessed.
func (c *call) checkForm() *Step {
	switch {
	case c.form == nil:
		return modelError(http.StatusUnsupportedMediaType,
			"Unsupported Media Type. Expected 'multipart/form-data'.", "invalid_request_error", "", "unsupported_media_type")
	case c.form.wrong != nil:
		return invalid("Could not parse multipart form", "", "")
	default:
		return nil
	}
}
