package azuresim

import (
	"net/http"
	"time"
)

// file is what was uploaded, or what a batch put out.
type file struct {
	id, name, purpose string
	size              int64
	content           []byte // nil where it is larger than partHeld
	created           time.Time
}

func (f *file) object() object {
	return object{
		"id": f.id, "object": "file", "bytes": f.size, "created_at": f.created.Unix(), "filename": f.name,
		"purpose": f.purpose, "status": "processed", "status_details": nil, "expires_at": nil,
	}
}

// keepFile keeps f under a new id. Call it with the server's mutex held.
func (s *Server) keepFile(f *file) *file {
	f.id = s.newID("file-", 32)
	s.kept.files.put(f.id, f, len(f.content))
	return f
}

func (c *call) uploadFile() (*Step, []event) {
	if refused := c.checkForm(); refused != nil {
		return refused, nil
	}
	part, ok := c.form.part("file")
	purpose := c.form.value("purpose")
	switch {
	case !ok || part.Filename == "":
		return invalid("'file' is a required property", "", ""), nil
	case purpose == "":
		return invalid("'purpose' is a required property", "", ""), nil
	}
	f := &file{name: part.Filename, purpose: purpose, size: part.Size, created: c.now}
	if part.Size <= partHeld {
		f.content = part.Value
	}
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	return answer(http.StatusOK, c.srv.keepFile(f).object()), nil
}

func (c *call) listFiles() (*Step, []event) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	q := c.r.URL.Query()
	var list []object
	for _, f := range c.srv.kept.files.all() {
		if purpose := q.Get("purpose"); purpose == "" || purpose == f.purpose {
			list = append(list, f.object())
		}
	}
	return page(list, q, 10_000), nil
}

// keptFile returns the file that the path names, or the 404. Call it with the
// server's mutex held.
func (c *call) keptFile() (*file, *Step) {
	f, ok := c.srv.kept.files.get(c.route.id)
	if !ok {
		return nil, missing("No such File object: "+c.route.id, "id")
	}
	return f, nil
}

func (c *call) getFile() (*Step, []event) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	f, refused := c.keptFile()
	if refused != nil {
		return refused, nil
	}
	return answer(http.StatusOK, f.object()), nil
}

// fileContent sends what was uploaded. The simulator does not hold large files,
// and says so.
func (c *call) fileContent() (*Step, []event) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	f, refused := c.keptFile()
	switch {
	case refused != nil:
		return refused, nil
	case f.size > partHeld:
		return invalid("azuresim keeps no content of files larger than 1 MiB.", "id", ""), nil
	}
	return &Step{Status: http.StatusOK, Body: string(f.content), Header: http.Header{
		"Content-Type": {"application/octet-stream"}, "Content-Disposition": {`attachment; filename="` + f.name + `"`},
	}}, nil
}

func (c *call) deleteFile() (*Step, []event) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	if _, refused := c.keptFile(); refused != nil {
		return refused, nil
	}
	c.srv.kept.files.remove(c.route.id)
	return answer(http.StatusOK, object{"id": c.route.id, "object": "file", "deleted": true}), nil
}
