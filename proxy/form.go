package proxy

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"weir/openai"
)

// The bounds of a form, beside that of its size.
const (
	maxParts    = 256
	maxHead     = 16 << 10  // of what stands before a part's content
	maxHeads    = 64 << 10  // of what is kept of that, of all parts together
	maxName     = 128       // of a part's name
	maxValue    = 64 << 10  // of a field that is read
	maxPrompt   = 128 << 10 // of one that holds a prompt: 32,000 characters
	maxBoundary = 70
)

// heldForm is how much memory a form takes at most while it is held: its spool, the
// field that is a prompt twice, what stands before its parts, and its buffers.
const heldForm = heldUpload + 3*maxPrompt + maxHeads + 64<<10

// form is a form that a client has sent, as it is sent on: every part with its
// name, its file's name, its type and its content as they were, but written anew,
// so that no two readers see two forms in it.
type form struct {
	spool    // the contents
	parts    []part
	values   map[string]string // of the fields that decide something
	heads    int               // what is kept of what stands before the contents, in bytes
	boundary string
	held     *place
}

// formRules say how a form is read.
type formRules struct {
	reads string // the fields that decide something, with spaces between: each may be there once, and its value is kept
	drops string // those of them that are not sent on
}

// expectForm returns what stands between the parts of the form that a request
// brings, of which nothing is read yet.
func (g *Gateway) expectForm(c echo.Context) (boundary string, err error) {
	boundary, err = boundaryOf(c.Request())
	if err != nil {
		leave(c)
		return "", err
	}
	return boundary, g.expect(c)
}

// readForm reads a request's form while it comes, and keeps it until it is closed.
func (g *Gateway) readForm(c echo.Context, boundary string, rules formRules) (*form, error) {
	held, err := g.hold(c, heldForm)
	if err != nil {
		return nil, err
	}
	f := &form{spool: spool{up: &g.cfg.Uploads}, held: held, values: map[string]string{}, boundary: rand.Text() + rand.Text()}
	if err := f.read(g.incoming(c), boundary, rules); err != nil {
		leave(c)
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// maxUploadKey is what the configuration calls the bound of an upload.
const maxUploadKey = "server.max_upload"

// expect refuses an upload that is larger than one may be, as its sender says.
func (g *Gateway) expect(c echo.Context) error {
	limit := g.cfg.Uploads.Max
	if c.Request().ContentLength <= limit {
		return nil
	}
	leave(c)
	return tooLarge(limit, maxUploadKey)
}

// incoming returns the body of an upload, which must be read to its end.
func (g *Gateway) incoming(c echo.Context) *paced {
	body := newPaced(c, g.cfg.Uploads.Max)
	body.key = maxUploadKey
	return body
}

// boundaryOf returns what stands between the parts of a request's form.
func boundaryOf(r *http.Request) (string, error) {
	if err := uncoded(r); err != nil {
		return "", err
	}
	var kind string
	var params map[string]string
	var err error
	if given := r.Header.Values("Content-Type"); len(given) == 1 {
		kind, params, err = mime.ParseMediaType(given[0])
	}
	if kind != "multipart/form-data" {
		return "", mediaType("Content-Type must be multipart/form-data. Send the file and the fields beside it as a form.")
	}
	boundary := params["boundary"]
	if err != nil || boundary == "" || len(boundary) > maxBoundary {
		return "", badForm("", fmt.Sprintf("Content-Type names no boundary between the form's parts, or one of more than %d characters. Let an HTTP library write the form.", maxBoundary))
	}
	return boundary, acceptableQuery(r.URL.RawQuery)
}

func badForm(param, message string) error {
	return openai.BadRequest(openai.CodeInvalidForm, param, message)
}

// source is what a form is read from. It bounds what is read at once where memory
// is taken for all of it, and keeps what reading failed with.
//
// To the reader of forms the end of the body is an error, behind the end of a line:
// it takes an end within what stands before a part's content for that of the form.
type source struct {
	body io.Reader
	left int64
	err  error
	end  []byte // what is still to be read at the end of the body
	over bool
}

var (
	errHead = errors.New("proxy: too much stands before a part's content")
	errCut  = errors.New("proxy: the form is not whole")
)

// Read reads no more than is left.
func (s *source) Read(b []byte) (int, error) {
	if s.left <= 0 {
		return 0, errHead
	}
	if s.over {
		n := copy(b, s.end)
		if s.end = s.end[n:]; n == 0 && len(b) > 0 {
			return 0, errCut
		}
		return n, nil
	}
	n, err := s.body.Read(b[:min(int64(len(b)), s.left)])
	s.left -= int64(n)
	if errors.Is(err, io.EOF) {
		s.over, s.end = true, []byte("\r\n")
		return n, nil
	}
	s.err = err
	return n, err
}

// read reads the form to its end, and what follows it.
func (f *form) read(body io.Reader, boundary string, rules formRules) error {
	src := &source{body: body}
	reader := multipart.NewReader(src, boundary)
	buf := make([]byte, 32<<10)
	for n := 0; ; n++ {
		src.left = maxHead
		p, err := reader.NextRawPart()
		src.left = math.MaxInt64
		switch {
		case err == io.EOF: //nolint:errorlint // NextRawPart says that the form is whole by exactly this.
			_, err = io.CopyBuffer(io.Discard, body, buf)
			return formError(err, err)
		case errors.Is(err, errHead):
			return badForm("", fmt.Sprintf("More than %d bytes stand before the content of a part of the form. Send shorter names.", maxHead))
		case err != nil:
			return formError(err, src.err)
		case n >= maxParts:
			return badForm("", fmt.Sprintf("The form has more than %d parts. Send fewer.", maxParts))
		}
		if err := f.add(p, rules, buf); err != nil {
			return formError(err, src.err)
		}
	}
}

// formError returns what is wrong with a form that cannot be read: what reading it
// failed with, else what is known of it.
func formError(err, reading error) error {
	known, ok := errors.AsType[*openai.Error](reading)
	switch {
	case ok && known.Code == openai.CodeInvalidJSON:
		return badForm("", known.Message)
	case reading != nil:
		return reading
	case err == nil:
		return nil
	}
	if _, ok := errors.AsType[*openai.Error](err); ok {
		return err
	}
	return badForm("", "The form cannot be read to its end: a part is not whole, or the boundary that ends the form is missing. Let an HTTP library write the form.")
}

// add takes a part of the form.
func (f *form) add(p *multipart.Part, rules formRules, buf []byte) error {
	next, err := readPart(p)
	if err != nil {
		return err
	}
	known, err := next.field(rules.reads)
	if err != nil {
		return err
	}
	if f.heads += len(next.name) + len(next.filename) + len(next.kind); f.heads > maxHeads {
		return badForm(next.name, fmt.Sprintf("The names and types of the form's parts come to more than %d bytes. Send shorter ones.", maxHeads))
	}
	content := io.Reader(p)
	if known {
		value, err := f.value(next, p)
		if err != nil {
			return err
		}
		if hasField(rules.drops, next.name) {
			return nil
		}
		content = strings.NewReader(value)
	}
	next.from = f.size
	_, err = io.CopyBuffer(f, content, buf)
	next.to = f.size
	f.parts = append(f.parts, next)
	return err
}

// value keeps the value of a field that decides something.
func (f *form) value(field part, src io.Reader) (string, error) {
	most := int64(maxValue)
	if field.name == "prompt" {
		most = maxPrompt
	}
	b, err := io.ReadAll(io.LimitReader(src, most+1))
	if err != nil {
		return "", err
	}
	_, twice := f.values[field.name]
	switch {
	case twice:
		return "", badForm(field.name, fmt.Sprintf("The field %s is in the form twice. Send it once.", field.name))
	case int64(len(b)) > most:
		return "", badForm(field.name, fmt.Sprintf("The field %s is longer than %d bytes. Send less.", field.name, most))
	case !utf8.Valid(b):
		return "", badForm(field.name, fmt.Sprintf("The field %s is not UTF-8. Send text.", field.name))
	}
	f.values[field.name] = string(b)
	return string(b), nil
}

// sent returns the form as it is sent, anew each time, its type and its size: a
// field with the value that is given, unless that is "", and then all that is kept.
func (f *form) sent(field, value string) (io.ReadCloser, string, int64, error) { //nolint:revive // a Passage asks for all four
	var size int64
	var readers []io.Reader
	add := func(head, content io.Reader, n int64) {
		readers, size = append(readers, head, content), size+n
	}
	if value != "" {
		p := part{name: field}
		head := p.head(f.boundary)
		add(strings.NewReader(head), strings.NewReader(value), int64(len(head)+len(value)))
	}
	for _, p := range f.parts {
		head := p.head(f.boundary)
		if size > 0 {
			head = "\r\n" + head
		}
		add(strings.NewReader(head), f.section(p.from, p.to), int64(len(head))+p.to-p.from)
	}
	end := "--" + f.boundary + "--\r\n"
	if size > 0 {
		end = "\r\n" + end
	}
	readers = append(readers, strings.NewReader(end))
	return io.NopCloser(io.MultiReader(readers...)), "multipart/form-data; boundary=" + f.boundary, size + int64(len(end)), nil
}

// Close lets go of the form. It may be called more than once.
func (f *form) Close() error {
	f.held.release()
	return f.spool.Close()
}
