package proxy

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/labstack/echo/v4"

	"weir/openai"
)

// How slowly a body may arrive: nothing for bodyIdle, or, after bodyStart, less
// than bodyRate bytes a second.
const (
	bodyIdle  = 10 * time.Second
	bodyStart = 5 * time.Second
	bodyRate  = 1 << 10
)

// firstRead is how much memory a body gets before any of it has come: what its
// sender says of its size is not believed. Of a body in chunks no more than
// chunkRead is read at once, because reading lasts until all that was asked for
// is there, and the slowest body that is let in brings so much in bodyIdle.
const (
	firstRead = 64 << 10
	chunkRead = 8 << 10
)

// paced is a request's body that fails where it hardly comes, or is too large. What
// it fails with is an *openai.Error.
type paced struct {
	body    io.Reader
	control *http.ResponseController
	limit   int64
	key     string // what the configuration calls limit
	start   time.Time
	read    int64
}

func newPaced(c echo.Context, limit int64) *paced {
	return &paced{body: c.Request().Body, control: http.NewResponseController(c.Response()), limit: limit, key: "server.max_body", start: time.Now()}
}

// Read reads what has come.
func (p *paced) Read(b []byte) (int, error) {
	last := p.start.Add(bodyStart + bodyIdle + time.Duration(p.read)*time.Second/bodyRate)
	deadline := time.Now().Add(bodyIdle)
	if last.Before(deadline) {
		deadline = last
	}
	_ = p.control.SetReadDeadline(deadline) // where it cannot be set there is no slow network either
	n, err := p.body.Read(b)
	p.read += int64(n)
	switch {
	case p.read > p.limit:
		return n, tooLarge(p.limit, p.key)
	case errors.Is(err, io.EOF):
		_ = p.control.SetReadDeadline(time.Time{})
		return n, io.EOF
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, &openai.Error{Status: http.StatusRequestTimeout, Code: openai.CodeRequestTimeout, Message: "The body arrived too slowly."}
	case err != nil:
		return n, openai.BadRequest(openai.CodeInvalidJSON, "", "The body ended before it was whole.")
	}
	return n, nil
}

// slowly reads a body whole, and gives up on one that hardly comes.
func slowly(c echo.Context, limit int64) ([]byte, error) {
	r := c.Request()
	size, most := firstRead, int(limit)
	if r.ContentLength >= 0 {
		size = min(size, int(r.ContentLength)+1) // the last is for the end to be seen
	} else {
		most = chunkRead
	}
	src := newPaced(c, limit)
	for body := make([]byte, 0, size); ; {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		n, err := src.Read(body[len(body):min(cap(body), len(body)+most)])
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) {
			return body, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
