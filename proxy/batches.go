package proxy

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/usage"
)

// batches returns what batches are.
func (g *Gateway) batches() thing {
	return thing{
		operation: openai.Batches, noun: "batch", path: "batches",
		is:   func(kind string) bool { return kind == batchKind },
		each: 100, usual: 20, most: 100,
		ids: func(team, backend string) func(openai.Value, string) []openai.Edit {
			return func(root openai.Value, _ string) []openai.Edit { return g.batchEdits(team, backend, root) }
		},
		mine: g.hasMark,
		asks: func(url.Values) (url.Values, func(openai.Value) bool, error) { return url.Values{}, nil, nil },
	}
}

// batchEdits returns the edits that make a batch what the team is to see.
func (g *Gateway) batchEdits(team, backend string, root openai.Value) []openai.Edit {
	edits := unmarked(root.Get("metadata"), "null")
	if v := root.Get("id"); v.Text() != "" {
		edits = append(edits, v.Replace(openai.Quote(g.cfg.Signer.Sign(batchKind, team, backend, v.Text()))))
	}
	for _, name := range [...]string{"input_file_id", "output_file_id", "error_file_id"} {
		if v := root.Get(name); v.Text() != "" {
			edits = append(edits, v.Replace(openai.Quote(g.fileID(team, backend, v.Text()))))
		}
	}
	return edits
}

// createBatch begins the work on a file of requests, where the file is.
func (g *Gateway) createBatch(c echo.Context) error {
	team, err := g.caller(c)
	if err != nil {
		return err
	}
	rec := usage.From(c.Request().Context())
	req, release, err := g.read(c, openai.Batches, rec)
	if err != nil {
		return err
	}
	defer release()
	if !team.Batches {
		rec.Outcome = usage.RefusedPolicy
		return forbidden(openai.CodeNoBatches, fmt.Sprintf("Team %q may have no batches, because no limit counts their tokens. To allow them, set teams.%s.batches to true.", team.Name, team.Name))
	}
	for _, name := range [...]string{"input_blob", "output_folder"} {
		if v := req.Root.Get(name); v.Kind() != openai.Missing && v.Kind() != openai.Null {
			return openai.BadRequest(openai.CodeInvalidValue, name, name+" is not served here: nobody has seen what the file holds. Upload the file, and send its id as input_file_id.")
		}
	}
	input := req.Root.Get("input_file_id")
	if input.Text() == "" {
		return openai.BadRequest(openai.CodeMissingParameter, "input_file_id", "input_file_id is missing. Upload a file with purpose=batch, and send its id.")
	}
	home, id, ok := g.opened(team, input.Text(), isFileKind)
	if !ok {
		return noFile("input_file_id", input.Text())
	}
	edits, err := g.markMetadata(team, req.Root)
	if err != nil {
		return err
	}
	t := g.batches()
	d := t.decision(team, home)
	d.names = map[string]string{id: input.Text()}
	p := &openai.Passage{Path: "batches", Body: jsonBody(req.Body(append(edits, input.Replace(openai.Quote(id)))...))}
	begin, look := g.passage(c, team, home, openai.Batches, p), g.look(c, team, home, "files/"+url.PathEscape(id))
	d.ask = func(ctx context.Context, rec *usage.Record) (*openai.Answer, error) {
		return g.begin(ctx, rec, look, begin)
	}
	return g.forward(c, team, d, nil, release)
}

// begin begins a batch, once it has looked at its file.
func (g *Gateway) begin(ctx context.Context, rec *usage.Record, look, begin *openai.Call) (*openai.Answer, error) {
	file, err := g.cfg.Upstream.Do(ctx, look, rec)
	if err != nil || file.Status >= http.StatusMultipleChoices {
		return file, err
	}
	file.Close(nil)
	if !wasRead(file.Body) {
		return nil, openai.BadRequest(openai.CodeInvalidValue, "input_file_id", "The file was not uploaded with purpose=batch, so its requests were not read. Upload it with that purpose, and send its id.")
	}
	return g.cfg.Upstream.Do(ctx, begin, rec)
}

// look returns a call that only reads, on behalf of a request that does more.
func (g *Gateway) look(c echo.Context, team Team, home owner, path string) *openai.Call {
	call := g.passage(c, team, home, openai.Files, &openai.Passage{Path: path})
	call.Passage.Method, call.Request.Stored = http.MethodGet, false
	return call
}

// wasRead reports whether a file's requests were read when it was uploaded, as they
// are where it was for a batch. Azure takes no other for one, but what only speaks as
// Azure does may.
func wasRead(file []byte) bool {
	root, err := openai.ReadValue(file)
	return err == nil && root.Get("purpose").Is(batchPurpose)
}
