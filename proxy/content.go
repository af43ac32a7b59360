package proxy

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/usage"
)

// content hands on an answer that is no JSON, as it comes. One that ends before it
// is whole ends in a broken connection.
func (g *Gateway) content(c echo.Context, a *openai.Answer, d *decision, rec *usage.Record) error {
	h := c.Response().Header()
	describe(h, a, rec)
	if name := h.Get("Content-Disposition"); d.operation == openai.Files && name != "" {
		h.Set("Content-Disposition", g.unmarkedName(d.team, name))
	}
	rec.Status = a.Status
	book(rec, openai.Facts{}, d, nil)
	c.Response().WriteHeader(a.Status)
	p := newPipe(c.Response(), 0)
	src, seen := d.glimpsed(a)
	err := copyContent(p, src, func() {
		if rec.FirstToken == 0 {
			rec.FirstToken = time.Since(rec.Start)
		}
	})
	g.charge(rec, seen)
	err = ended(c, err, rec)
	p.close()
	a.Close(err)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// describe says of an answer what it is, and under which name it may be kept.
func describe(h http.Header, a *openai.Answer, rec *usage.Record) {
	if a.Status == http.StatusNoContent {
		return
	}
	given := http.Header(a.Header)
	kind := contentType(given.Get("Content-Type"))
	h.Set("Content-Type", kind)
	if name := given.Get("Content-Disposition"); name != "" {
		h.Set("Content-Disposition", name)
	}
	if strings.HasPrefix(kind, "text/event-stream") {
		rec.Stream = true
		h.Set("Cache-Control", "no-cache")
		h.Set("X-Accel-Buffering", "no")
	}
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
