package proxy

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/quota"
	"weir/usage"
)

// upload serves one request whose body is a form: a file, or several, and fields
// beside it. Nothing of the form is read before the limits have let the request in;
// its tokens and its price are asked of them once it is read.
func (g *Gateway) upload(c echo.Context, op openai.Operation) error {
	rec := usage.From(c.Request().Context())
	rec.Operation = named(op)
	boundary, err := g.expectForm(c)
	if err != nil {
		return err
	}
	entry, err := g.admit(c, op)
	if err != nil {
		return err
	}
	defer entry.Settle(quota.Cost{}) // of what never got so far as to be settled
	f, err := g.readForm(c, boundary, formRules{reads: fieldsOf(op), drops: "model"})
	if err != nil {
		return err
	}
	release := sync.OnceFunc(func() { _ = f.Close() }) // nobody reads it any more
	defer release()
	req, err := f.request(op)
	if err != nil {
		return err
	}
	rec.Stream = req.Stream
	return g.handle(c, req, f.passage(op), release, entry)
}

// fieldsOf returns the fields of an operation's form that decide something.
func fieldsOf(op openai.Operation) string {
	if op == openai.ImageEdits {
		return "model prompt n stream input_fidelity"
	}
	return "model prompt stream response_format"
}

// request returns the view of the form: that of a JSON object with its fields.
func (f *form) request(op openai.Operation) (*openai.Request, error) {
	var fields []string
	for _, name := range []string{"model", "prompt", "n", "stream"} {
		value, ok := f.values[name]
		if !ok {
			continue
		}
		raw := openai.Quote(value)
		switch name {
		case "stream":
			if value != "true" && value != "false" {
				return nil, openai.BadRequest(openai.CodeInvalidType, name, "stream must be true or false.")
			}
			raw = value
		case "n":
			if n, err := strconv.ParseInt(value, 10, 64); err == nil && strconv.FormatInt(n, 10) == value {
				raw = value
			}
		}
		fields = append(fields, openai.Quote(name)+":"+raw)
	}
	r, err := openai.ParseAs(op, []byte("{"+strings.Join(fields, ",")+"}"))
	if err != nil {
		return nil, err
	}
	r.Attached = f.attached(op)
	return r, nil
}

// passage returns what is sent upstream: the form with the deployment's name as its
// model, where that is not in the path.
func (f *form) passage(op openai.Operation) *openai.Passage {
	return &openai.Passage{
		Method: http.MethodPost, Path: op.Path(), Named: true,
		Body: func(deployment string) (io.ReadCloser, string, int64, error) { return f.sent("model", deployment) },
	}
}

// What the files of a form come to, before anyone has looked into them.
//
// Sound is ten tokens a second, as OpenAI says of speech that a model hears. An
// image is scaled until its shorter side has 512 pixels and then has 65 tokens and
// 129 for each square of 512 that it reaches into, of which there are four at most;
// in high fidelity there are up to 6,240 more.
const (
	soundTokens = 10
	imageTokens = 65 + 4*129
	finerTokens = 6240
)

// attached returns roughly what the form's files come to.
func (f *form) attached(op openai.Operation) openai.Usage {
	var u openai.Usage
	for _, p := range f.parts {
		switch name := p.folded(); {
		case op == openai.ImageEdits && name == "image":
			u.Prompt += imageTokens
			if f.values["input_fidelity"] == "high" {
				u.Prompt += finerTokens
			}
		case op != openai.ImageEdits && name == "file":
			length := soundLength(f.section(p.from, p.to), p.to-p.from)
			u.Seconds += length.Seconds()
			u.Prompt += int64(length.Seconds() * soundTokens)
		}
	}
	return u
}
