package proxy

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/usage"
)

// upload is a body that a client has sent, whatever it is.
type upload struct {
	spool
	held *place
}

// release lets go of the body. It may be called more than once.
func (u *upload) release() {
	u.held.release()
	_ = u.Close() // nothing more is read of it
}

// expectAny returns the type of a request's body as it may be sent on. Nothing of the
// body is read yet.
func (g *Gateway) expectAny(c echo.Context) (kind string, err error) {
	kind, err = bodyType(c.Request())
	if err != nil {
		leave(c)
		return "", err
	}
	return kind, g.expect(c)
}

// take reads a request's body to its end, and lets the call send it anew with each
// attempt, unless there is none. What comes with a GET is not sent.
func (g *Gateway) take(c echo.Context, kind string, call *openai.Call) (*upload, error) {
	held, err := g.hold(c, heldUpload)
	if err != nil {
		return nil, err
	}
	body := &upload{spool: spool{up: &g.cfg.Uploads}, held: held}
	into := io.Writer(&body.spool)
	if c.Request().Method == http.MethodGet {
		into = io.Discard
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{into}, g.incoming(c), make([]byte, 32<<10)); err != nil {
		body.release()
		leave(c)
		return nil, cutBody(err)
	}
	if size := body.size; size > 0 {
		call.Passage.Body = func(string) (io.ReadCloser, string, int64, error) {
			return io.NopCloser(body.section(0, size)), kind, size, nil
		}
	}
	return body, nil
}

// cutBody returns what reading a body failed with, which need not be JSON.
func cutBody(err error) error {
	if e, ok := errors.AsType[*openai.Error](err); ok && e.Code == openai.CodeInvalidJSON {
		return openai.BadRequest(openai.CodeInvalidValue, "", e.Message)
	}
	return err
}

// bodyType returns the type of a request's body as it may be sent on.
func bodyType(r *http.Request) (string, error) {
	if err := uncoded(r); err != nil {
		return "", err
	}
	given := r.Header.Values("Content-Type")
	if len(given) == 0 {
		return "application/octet-stream", nil
	}
	if _, _, err := mime.ParseMediaType(given[0]); err != nil || len(given) > 1 {
		return "", mediaType("Content-Type cannot be read, or there are several. Send one, such as application/json.")
	}
	return given[0], nil
}

// mostGlimpsed is how long an answer may be that is looked at for what it used.
const mostGlimpsed = 1 << 20

// glimpse is the copy of an answer that is handed on.
type glimpse struct {
	seen []byte
	over bool // it is too long to be read
}

// Write adds to the copy.
func (s *glimpse) Write(b []byte) (int, error) {
	if s.over = s.over || len(s.seen)+len(b) > mostGlimpsed; s.over {
		s.seen = nil
		return len(b), nil
	}
	s.seen = append(s.seen, b...)
	return len(b), nil
}

// glimpsed returns an answer that is handed on, of which what is read is copied too
// where it is JSON.
func (d *decision) glimpsed(a *openai.Answer) (io.Reader, *glimpse) {
	kind, _, _ := mime.ParseMediaType(http.Header(a.Header).Get("Content-Type"))
	if !d.metered || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return a.Content, &glimpse{over: true}
	}
	s := new(glimpse)
	return io.TeeReader(a.Content, s), s
}

// charge notes what an answer says that it used: the tokens, and their price where
// it names a model that is configured.
func (g *Gateway) charge(rec *usage.Record, s *glimpse) {
	if s.over {
		return
	}
	f, err := openai.ReadAnswer(s.seen)
	if err != nil || !f.HasUsage {
		return
	}
	u := f.Usage
	rec.Input, rec.Output, rec.Cached, rec.Reasoning = u.Prompt, u.Completion, u.Cached, u.Reasoning
	if name, ok := g.cfg.Names.served(f.Model); ok {
		model := g.cfg.Models[name]
		rec.Model = name
		rec.Cost = model.price(rec).Cost(spent(u))
	}
}
