package proxy

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/usage"
)

// content hands on an answer that is no JSON, as it comes. One that ends before it
// is whole ends in a broken connection.
func (g *Gateway) content(c echo.Context, a *openai.Answer, d *decision, rec *usage.Record) error {
	h := c.Response().Header()
	h.Set("Content-Type", contentType(http.Header(a.Header).Get("Content-Type")))
	rec.Status = a.Status
	book(rec, openai.Facts{}, d, nil)
	c.Response().WriteHeader(a.Status)
	p := newPipe(c.Response(), 0)
	err := copyContent(p, a.Content, func() {
		if rec.FirstToken == 0 {
			rec.FirstToken = time.Since(rec.Start)
		}
	})
	err = ended(c, err, rec)
	p.close()
	a.Close(err)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// contentType returns the type of an answer as it may be handed on.
func contentType(given string) string {
	if _, _, err := mime.ParseMediaType(given); err != nil {
		return "application/octet-stream"
	}
	return given
}

// copyContent writes all of src to the client. What reading fails with is a
// *openai.CutError.
func copyContent(p *pipe, src io.Reader, note func()) error {
	buf := make([]byte, flushAt)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			note()
			if err := p.write(buf[:n], true); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &openai.CutError{Err: err}
		}
	}
}
