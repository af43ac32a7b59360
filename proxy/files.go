package proxy

import (
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/quota"
	"weir/usage"
)

// batchPurpose is the purpose of a file that holds the requests of a batch.
const batchPurpose = "batch"

// files returns what files are.
func (g *Gateway) files() thing {
	return thing{
		operation: openai.Files, noun: "file", path: "files", is: isFileKind,
		each: 1000, usual: 10_000, most: 10_000,
		ids: func(team, backend string) func(openai.Value, string) []openai.Edit {
			return func(root openai.Value, _ string) []openai.Edit { return g.fileEdits(team, backend, root) }
		},
		mine: func(team string) func(openai.Value) bool {
			marks := g.nameMarks(team)
			return func(entry openai.Value) bool {
				_, ok := cutMark(entry.Get("filename").Text(), marks)
				return ok
			}
		},
		asks: filePurpose,
	}
}

// filePurpose reads of which purpose the files are that a listing is to show.
func filePurpose(given url.Values) (url.Values, func(openai.Value) bool, error) {
	purpose := given.Get("purpose")
	if purpose == "" {
		return url.Values{}, nil, nil
	}
	return url.Values{"purpose": {purpose}}, func(entry openai.Value) bool { return entry.Get("purpose").Is(purpose) }, nil
}

// isFileKind reports whether ids of files begin so: upstream's own do in several
// ways, but in none that other ids have.
func isFileKind(kind string) bool {
	const most = 17
	switch kind {
	case "", "-", "_", responseKind, sealedKind, batchKind, chatKind:
		return false
	}
	return len(kind) <= most && !strings.ContainsFunc(kind[:len(kind)-1], func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

// fileID returns the id under which a team knows a file.
func (g *Gateway) fileID(team, backend, upstream string) string {
	kind := kindOf(upstream)
	if !isFileKind(kind) {
		kind = fileKind
	}
	return g.cfg.Signer.Sign(kind, team, backend, upstream)
}

// fileEdits returns the edits that make a file what the team is to see.
func (g *Gateway) fileEdits(team, backend string, root openai.Value) []openai.Edit {
	var edits []openai.Edit
	if v := root.Get("id"); v.Text() != "" {
		edits = append(edits, v.Replace(openai.Quote(g.fileID(team, backend, v.Text()))))
	}
	if v := root.Get("filename"); v.Kind() == openai.String {
		if name, ok := cutMark(v.Text(), g.nameMarks(team)); ok {
			edits = append(edits, v.Replace(openai.Quote(name)))
		}
	}
	return edits
}

// nameMarks returns what the names of a team's files begin with upstream, the one
// first that is written.
func (g *Gateway) nameMarks(team string) []string {
	marks := g.cfg.Signer.Marks(team)
	for i, mark := range marks {
		marks[i] = "weir-" + mark + "-"
	}
	return marks
}

// marked returns a file's name with a mark in it.
func marked(name, mark string) string {
	at := lastStep(name)
	return name[:at] + mark + name[at:]
}

// cutMark returns a file's name without the team's mark, and whether it has one: where
// marked puts it, and nowhere else, for what stands there no other team has written.
func cutMark(name string, marks []string) (string, bool) {
	at := lastStep(name)
	for _, mark := range marks {
		if rest, ok := strings.CutPrefix(name[at:], mark); ok {
			return name[:at] + rest, true
		}
	}
	return name, false
}

// lastStep returns where a file's name begins behind what a resource may take for
// directories and cut off.
func lastStep(name string) int { return strings.LastIndexAny(name, `/\`) + 1 }

// unmarkedName returns a Content-Disposition, which may tell a name in two spellings,
// without the team's mark.
func (g *Gateway) unmarkedName(team, disposition string) string {
	for _, mark := range g.nameMarks(team) {
		disposition = strings.ReplaceAll(disposition, mark, "")
	}
	return disposition
}

// uploadFile serves an upload: it reads the form once the limits have let it in, has
// the requests of a batch decided upon, and sends it to the resource that is to keep it.
func (g *Gateway) uploadFile(c echo.Context) error {
	team, err := g.caller(c)
	if err != nil {
		return err
	}
	boundary, err := g.expectForm(c)
	if err != nil {
		return err
	}
	entry, err := g.admit(c, openai.Files)
	if err != nil {
		return err
	}
	defer entry.Settle(quota.Cost{}) // of what never got so far as to be settled
	f, err := g.readForm(c, boundary, formRules{reads: "purpose"})
	if err != nil {
		return err
	}
	release := func() { _ = f.Close() } // what it holds is gone either way
	defer release()
	file, err := f.file()
	if err != nil {
		return err
	}
	d := &decision{operation: openai.Files, free: true, team: team.Name, entry: entry}
	home, err := g.home(team)
	if err != nil {
		usage.From(c.Request().Context()).Outcome = usage.RefusedPolicy
		return err
	}
	if f.values["purpose"] == batchPurpose {
		if home, err = g.batchFile(c, team, f, d); err != nil {
			return err
		}
	}
	mark := g.nameMarks(team.Name)[0]
	file.filename = marked(file.filename, mark)
	d.names = map[string]string{mark: ""}
	d.ids = g.files().ids(team.Name, home.deployment)
	p := &openai.Passage{Path: "files", Body: func(string) (io.ReadCloser, string, int64, error) { return f.sent("", "") }}
	return g.forward(c, team, d, g.passage(c, team, home, openai.Files, p), release)
}

// home returns where the team's new files go: the first resource that it may use.
func (g *Gateway) home(team Team) (owner, error) {
	for _, r := range g.cfg.Resources {
		if o, ok := g.at(team, r); ok {
			return o, nil
		}
	}
	return owner{}, noHome(team)
}

func noHome(team Team) error {
	return forbidden(openai.CodeNoFiles, fmt.Sprintf("No resource that keeps files may be used by team %q. "+
		"Have files.backends name one that is in the team's regions and serves one of its models.", team.Name))
}

// file returns the form's file, of which there must be one, for a plain purpose.
func (f *form) file() (*part, error) {
	var file *part
	for i := range f.parts {
		p := &f.parts[i]
		if p.folded() != "file" {
			continue
		}
		switch {
		case p.name != "file":
			return nil, badForm(p.name, fmt.Sprintf("The field %s of the form is not spelled \"file\". Spell it so.", shown(p.name)))
		case file != nil:
			return nil, badForm("file", "The form has two files. Upload one at a time.")
		case p.filename == "":
			return nil, badForm("file", "The file has no name. Send file with a filename.")
		}
		file = p
	}
	if file == nil {
		return nil, openai.BadRequest(openai.CodeMissingParameter, "file", "file is missing. Send it as a part of the form, with a filename.")
	}
	return file, plainPurpose(f.values["purpose"])
}

// plainPurpose looks at what a file is for: what two readers could read differently
// would let the requests of a batch pass unread.
func plainPurpose(purpose string) error {
	foreign := func(r rune) bool { return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') }
	switch {
	case purpose == "":
		return openai.BadRequest(openai.CodeMissingParameter, "purpose", "purpose is missing. Say what the file is for, such as user_data, assistants or batch.")
	case strings.ContainsFunc(purpose, foreign):
		return openai.BadRequest(openai.CodeInvalidValue, "purpose", "purpose must be written in small letters, such as user_data, assistants or batch.")
	}
	return nil
}
