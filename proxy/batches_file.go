package proxy

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/usage"
)

// lineBuffer is how much of a batch's file is read at once.
const lineBuffer = 64 << 10

// batchReader reads the requests of a batch's file, one a line, and writes them as
// they are to be sent. No more than one is held.
type batchReader struct {
	g    *Gateway
	team Team
	rec  *usage.Record // of the upload
	sum  *decision     // what was changed in all of them
	home owner         // where the file goes, by its first request
	file *form
	size int // of the longest line
}

// batchFile decides upon the requests in a form's file as if each were sent by
// itself, and puts what is to be sent in its place. The home is the first resource
// that has the model of the first request.
func (g *Gateway) batchFile(c echo.Context, team Team, f *form, sum *decision) (owner, error) {
	part, err := f.file()
	if err != nil {
		return owner{}, err
	}
	b := &batchReader{g: g, team: team, rec: usage.From(c.Request().Context()), sum: sum, file: f}
	from := f.size
	if err := b.read(c.Request().Context(), bufio.NewReaderSize(f.section(part.from, part.to), lineBuffer)); err != nil {
		return owner{}, err
	}
	if part.from, part.to = from, f.size; from == f.size {
		return owner{}, badLine(0, "", openai.BadRequest(openai.CodeInvalidValue, "", "It holds no request. Send one a line."))
	}
	return b.home, nil
}

// read reads the file to its end.
func (b *batchReader) read(ctx context.Context, src *bufio.Reader) error {
	for n := 1; ; n++ {
		line, err := b.line(src)
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return badLine(n, "", err)
		}
		if text := bytes.TrimSpace(line); len(text) > 0 {
			if err := b.take(n, text); err != nil {
				return err
			}
		}
		if end {
			return nil
		}
		if gone(ctx) {
			return context.Cause(ctx)
		}
	}
}

// line returns the next line, which must not be longer than a request may be.
func (b *batchReader) line(src *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		piece, err := src.ReadSlice('\n')
		if int64(len(line)+len(piece)) > b.g.cfg.MaxBody {
			return nil, tooLarge(b.g.cfg.MaxBody, "server.max_body")
		}
		if line = append(line, piece...); len(line) > b.size {
			b.size = len(line)
			b.file.held.resize(heldForm + int64(b.size))
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// take decides upon a line, and writes it.
func (b *batchReader) take(n int, text []byte) error {
	line, err := openai.ParseBatchLine(text)
	if err != nil {
		return badLine(n, line.CustomID, err)
	}
	model, err := b.g.modelFor(b.team, line.Request.Model, false)
	if err != nil {
		return badLine(n, line.CustomID, err)
	}
	if b.home.deployment == "" {
		b.home, err = b.g.homeOf(b.team, &model, line.Request.Model)
		if err != nil {
			return badLine(n, line.CustomID, err)
		}
	}
	deployment, ok := model.on(b.home.deployment, line.Request.Model)
	if !ok {
		return badLine(n, line.CustomID, openai.BadRequest(openai.CodeInvalidValue, "model", fmt.Sprintf("The model %q is not on the resource that has the model of the first line. "+
			"Send its requests in a file of their own.", model.Name)))
	}
	rec := &usage.Record{Team: b.team.Name, Key: b.rec.Key}
	d, err := b.g.decide(b.team, model, line.Request, rec)
	if err != nil {
		b.rec.Outcome = rec.Outcome
		return badLine(n, line.CustomID, err)
	}
	if !d.bind(b.home.deployment) {
		return badLine(n, line.CustomID, openai.BadRequest(openai.CodeInvalidValue, "model", "It refers to what another resource keeps than the one that has the model of the first line. Send it in a file of its own."))
	}
	b.note(d)
	sent := line.With(d.request, d.request.Root.Set("model", openai.Quote(deployment)))
	_, err = b.file.Write(append(oneLine(sent), '\n'))
	return err
}

// oneLine returns JSON that is one line to every reader: some take more for the end
// of a line than its feed, and what they then read nobody has looked at.
func oneLine(raw []byte) []byte {
	for _, end := range [...][2]string{{"\r", " "}, {"\u2028", `\u2028`}, {"\u2029", `\u2029`}, {"\u0085", `\u0085`}} {
		raw = bytes.ReplaceAll(raw, []byte(end[0]), []byte(end[1]))
	}
	return raw
}

// note adds up what was changed.
func (b *batchReader) note(d *decision) {
	b.sum.escaped += d.escaped
	b.sum.fitted.Trimmed += d.fitted.Trimmed
	b.sum.fitted.Lowered = cmp.Or(b.sum.fitted.Lowered, d.fitted.Lowered)
	for _, code := range d.shadow {
		if !slices.Contains(b.sum.shadow, code) {
			b.sum.shadow = append(b.sum.shadow, code)
		}
	}
}

// badLine says which line of a batch's file is at fault.
func badLine(n int, customID string, err error) error {
	e, ok := errors.AsType[*openai.Error](err)
	if !ok {
		return err
	}
	place := "The file of the batch"
	if n > 0 {
		place = fmt.Sprintf("Line %d of the file", n)
	}
	if customID != "" {
		place += fmt.Sprintf(" (custom_id %s)", shown(customID))
	}
	named := *e
	named.Param = "file"
	named.Message = place + " cannot be sent as a part of a batch. " + e.Message
	return &named
}

// homeOf returns where a file of requests for a model goes, whose first asks for it
// by that name: where a deployment is called so and no model is, or else to the first
// resource that has the model.
func (g *Gateway) homeOf(team Team, model *Model, asked string) (owner, error) {
	var first owner
	for _, r := range g.cfg.Resources {
		o, ok := g.at(team, r)
		if !ok {
			continue
		}
		name, has := model.on(r.Name, asked)
		if has && name == asked && name != model.Name {
			return o, nil
		}
		if has && first.deployment == "" {
			first = o
		}
	}
	if first.deployment != "" {
		return first, nil
	}
	return owner{}, openai.BadRequest(openai.CodeInvalidValue, "model", fmt.Sprintf("The model %q is on no resource that keeps files of team %q. "+
		"Send another model, or have files.backends name a resource that has it.", model.Name, team.Name))
}

// on returns the name of the model's deployment on a backend: the one that is asked
// for by its own name, or the first that is asked at all. A model that nobody
// configured is on any.
func (m *Model) on(backend, asked string) (string, bool) {
	if len(m.Prices) == 0 {
		return m.Name, true
	}
	if _, ok := m.Prices[backend+"/"+asked]; ok {
		return asked, true
	}
	for _, name := range m.Asked {
		if deployment, ok := strings.CutPrefix(name, backend+"/"); ok {
			return deployment, true
		}
	}
	return "", false
}
