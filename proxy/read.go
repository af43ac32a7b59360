package proxy

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/usage"
)

// How slowly a body may arrive: nothing for bodyIdle, or, after bodyStart, less
// than bodyRate bytes a second.
const (
	bodyIdle  = 10 * time.Second
	bodyStart = 5 * time.Second
	bodyRate  = 1 << 10
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

// forwarded returns what goes along of a client's header: what upstream reads and
// cannot be used against the gateway.
func forwarded(h http.Header) map[string][]string {
	kept := map[string][]string{}
	for _, name := range []string{"User-Agent", "X-Ms-Client-Request-Id", "Aoai-Evals", "Extra-Parameters"} {
		if v := h.Values(name); len(v) == 1 {
			kept[name] = v
		}
	}
	return kept
}

// bearer returns the token that a client sent of its own: what Authorization
// holds, where it looks like a signed token and so like no key of ours.
func bearer(h http.Header) string {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(strings.TrimSpace(values[0]), " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") || !isJWT(token) {
		return ""
	}
	return token
}

// isJWT reports whether text looks like a signed JSON web token.
func isJWT(text string) bool {
	parts := strings.Split(text, ".")
	for _, part := range parts {
		if _, err := base64.RawURLEncoding.DecodeString(part); err != nil || part == "" {
			return false
		}
	}
	return len(parts) == 3 && strings.HasPrefix(text, "eyJ")
}

// patience returns how long the client waits for the beginning of an answer, as
// its library says in a header of its own; 0 where it does not. A stream is
// waited for byte by byte, so the bound on reading holds for its beginning too.
func patience(h http.Header) time.Duration {
	var least time.Duration
	for _, name := range []string{"X-Stainless-Timeout", "X-Stainless-Read-Timeout"} {
		seconds, err := strconv.ParseFloat(h.Get(name), 64)
		if err != nil || seconds <= 0 || seconds > 24*60*60 {
			continue
		}
		if d := time.Duration(seconds * float64(time.Second)); least == 0 || d < least {
			least = d
		}
	}
	return least
}
