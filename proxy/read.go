package proxy

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/usage"
)

// read returns the request, its body read once, whole and under the limits, and
// the function that gives up its place among the bodies that are held, which may
// be called more than once.
func (g *Gateway) read(c echo.Context, op openai.Operation, rec *usage.Record) (*openai.Request, func(), error) {
	body, release, err := g.body(c)
	if err != nil {
		return nil, nil, err
	}
	req, err := openai.ParseAs(op, body)
	if err != nil {
		release()
		return nil, nil, err
	}
	rec.Stream = req.Stream
	return req, release, nil
}

// body returns a request's body as read does.
func (g *Gateway) body(c echo.Context) ([]byte, func(), error) {
	r := c.Request()
	if err := acceptable(r); err != nil {
		return nil, nil, err
	}
	limit := g.cfg.MaxBody
	if r.ContentLength > limit {
		leave(c)
		return nil, nil, tooLarge(limit, "server.max_body")
	}
	held, err := g.hold(c, limit)
	if err != nil {
		return nil, nil, err
	}
	body, err := slowly(c, limit)
	if err != nil {
		held.release()
		leave(c)
		return nil, nil, err
	}
	held.resize(int64(len(body))) // of one in chunks the size is known only now
	return body, held.release, nil
}

// place is what a body takes of the memory for all of them.
type place struct {
	all  *atomic.Int64
	size int64
	once sync.Once
}

// hold takes the place of a request's body, of which at most limit bytes are held.
func (g *Gateway) hold(c echo.Context, limit int64) (*place, error) {
	p := &place{all: g.cfg.Bodies, size: limit}
	if n := c.Request().ContentLength; n >= 0 {
		p.size = min(n, limit)
	}
	if n := p.all.Add(p.size); g.cfg.MaxBodies > 0 && n > g.cfg.MaxBodies && n > p.size {
		p.release()
		leave(c)
		return nil, &openai.Error{
			Status: http.StatusServiceUnavailable, Code: openai.CodeOverloaded, RetryAfter: time.Second,
			Message: "The gateway holds as many request bodies as it may. Send the request again.",
		}
	}
	return p, nil
}

// resize makes the place as large as what it holds.
func (p *place) resize(size int64) {
	p.all.Add(size - p.size)
	p.size = size
}

// release gives the place up, once.
func (p *place) release() { p.once.Do(func() { p.all.Add(-p.size) }) }

// acceptable refuses a request whose body or query is in no form that we read.
func acceptable(r *http.Request) error {
	if err := uncoded(r); err != nil {
		return err
	}
	if t := r.Header.Get("Content-Type"); t != "" {
		kind, params, err := mime.ParseMediaType(t)
		if err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") || !plainCharset(params["charset"]) {
			return mediaType("Content-Type must be application/json, in UTF-8.")
		}
	}
	return acceptableQuery(r.URL.RawQuery)
}

// uncoded refuses a body that is compressed, or encoded in any other way.
func uncoded(r *http.Request) error {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return mediaType("Content-Encoding must be identity. Send the body uncompressed.")
	}
	return nil
}

// mediaType refuses a body of a type that is not read.
func mediaType(message string) error {
	return &openai.Error{Status: http.StatusUnsupportedMediaType, Code: openai.CodeMediaType, Message: message}
}

// plainCharset reports whether a text in that character set is one in UTF-8.
func plainCharset(name string) bool {
	return name == "" || strings.EqualFold(name, "utf-8") || strings.EqualFold(name, "utf8") || strings.EqualFold(name, "us-ascii")
}

// versionLike reports whether s looks like an api-version. What it says is not
// looked at: each deployment has its own.
func versionLike(s string) bool {
	switch s {
	case "", "v1", "preview", "latest":
		return true
	}
	return isDate(s)
}

// isDate reports whether an api-version is one of Azure's classic paths.
func isDate(version string) bool {
	_, err := time.Parse(time.DateOnly, strings.TrimSuffix(version, "-preview"))
	return err == nil
}

// acceptableQuery refuses a query that two readers could read differently.
func acceptableQuery(raw string) error {
	seen := false
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil || strings.ContainsAny(pair, ";") || strings.Contains(strings.ToLower(pair), "%26") || strings.Contains(pair, "%00") {
			return openai.BadRequest(openai.CodeInvalidValue, "api-version", "The query holds characters that it may not. Send api-version=YYYY-MM-DD and nothing else.")
		}
		if !strings.EqualFold(name, "api-version") {
			continue
		}
		if seen || !versionLike(value) {
			return openai.BadRequest(openai.CodeInvalidValue, "api-version", "api-version must be given once, as YYYY-MM-DD, YYYY-MM-DD-preview, v1 or preview.")
		}
		seen = true
	}
	return nil
}

// tooLarge says that a body is larger than what the configuration calls key.
func tooLarge(limit int64, key string) error {
	return &openai.Error{
		Status: http.StatusRequestEntityTooLarge, Code: openai.CodeRequestTooLarge,
		Message: fmt.Sprintf("The body is larger than %d bytes. Send less, or have %s raised.", limit, key),
	}
}

// leave answers without waiting for the rest of the body, which only works where
// the connection ends with the answer.
func leave(c echo.Context) { c.Response().Header().Set("Connection", "close") }
