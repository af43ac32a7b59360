package proxy

import (
	"fmt"
	"mime"
	"mime/multipart"
	"strings"
)

// part is one part of a form.
type part struct {
	name     string
	filename string
	file     bool   // it has a filename, if only an empty one
	kind     string // its Content-Type; "" it has none
	from, to int64  // where its content stands in the spool
}

// readPart reads what stands before a part's content.
func readPart(p *multipart.Part) (part, error) {
	given := p.Header.Values("Content-Disposition")
	if len(given) != 1 {
		return part{}, badForm("", "A part of the form has no Content-Disposition, or several. Give each part one, with a name.")
	}
	kind, params, err := mime.ParseMediaType(given[0])
	name := params["name"]
	if err != nil || kind != "form-data" || name == "" || len(name) > maxName || strings.ContainsFunc(name, foreignToNames) {
		return part{}, badForm("", fmt.Sprintf("A part of the form has no name that can be read: its Content-Disposition is %s. Give it one, such as form-data; name=\"file\".", shown(given[0])))
	}
	out := part{name: name}
	out.filename, out.file = params["filename"]
	if kinds := p.Header.Values("Content-Type"); len(kinds) > 0 {
		out.kind = kinds[0]
	}
	return out, out.readable(p)
}

// readable refuses what of a part's head could be read in another way than it is
// written anew.
func (p *part) readable(given *multipart.Part) error {
	encoding := given.Header.Get("Content-Transfer-Encoding")
	switch {
	case len(given.Header.Values("Content-Type")) > 1, strings.ContainsFunc(p.kind, isControl):
		return badForm(p.name, fmt.Sprintf("The part %s of the form has a Content-Type that cannot be read, or several. Give it one, or none.", shown(p.name)))
	case strings.ContainsFunc(p.filename, isControl):
		return badForm(p.name, fmt.Sprintf("The filename of the part %s holds a control character. Send another name.", shown(p.name)))
	case encoding != "" && !strings.EqualFold(encoding, "binary") && !strings.EqualFold(encoding, "8bit") && !strings.EqualFold(encoding, "7bit"):
		return badForm(p.name, fmt.Sprintf("The part %s of the form has the Content-Transfer-Encoding %s. Send its bytes as they are.", shown(p.name), shown(encoding)))
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// foreignToNames reports what no name of a field holds, and readers of forms do not
// agree upon.
func foreignToNames(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' || r == '\\' }

// field reports whether a part is one of the fields that decide something. One that
// another reader could take for it is refused.
func (p *part) field(known string) (bool, error) {
	folded := p.folded()
	switch {
	case !hasField(known, folded):
		return false, nil
	case folded != p.name:
		return false, badForm(p.name, fmt.Sprintf("The field %s of the form is not spelled %q. Spell it so.", shown(p.name), folded))
	case p.file:
		return false, badForm(p.name, fmt.Sprintf("The field %s of the form is sent as a file. Send it without a filename.", p.name))
	default:
		return true, nil
	}
}

// folded returns the part's name as those readers take it that ignore its case, and
// that it may be one of a list.
func (p *part) folded() string { return strings.TrimSuffix(strings.ToLower(p.name), "[]") }

func hasField(list, name string) bool { return strings.Contains(" "+list+" ", " "+name+" ") }

// head returns what stands before the part's content.
func (p *part) head(boundary string) string {
	disposition := `form-data; name="` + p.name + `"`
	if p.file {
		disposition = multipart.FileContentDisposition(p.name, p.filename)
	}
	head := "--" + boundary + "\r\nContent-Disposition: " + disposition + "\r\n"
	if p.kind != "" {
		head += "Content-Type: " + p.kind + "\r\n"
	}
	return head + "\r\n"
}
