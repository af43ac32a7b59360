package proxy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"weir/openai"
)

// continues makes of the ids in a request those that upstream knows, and sends the
// request to the resource that keeps what they stand for.
func (d *decision) continues(g *Gateway, team Team) error {
	if d.operation != openai.Chat && !d.operation.Keeps() {
		return nil
	}
	if d.operation.Keeps() {
		for _, tool := range d.request.Root.Get("tools").Elements() {
			if err := g.within(team, tool.Get("model")); err != nil {
				return err
			}
		}
	}
	var edits []openai.Edit
	for _, read := range []func(*Gateway, Team) ([]openai.Edit, error){d.kept, d.previous, d.sealed, d.files} {
		more, err := read(g, team)
		if err != nil {
			return err
		}
		edits = append(edits, more...)
	}
	if err := d.reachable(); err != nil {
		return err
	}
	var err error
	d.request, err = d.request.With(edits...)
	return err
}

// kept prepares for what upstream keeps of the request itself.
func (d *decision) kept(g *Gateway, team Team) ([]openai.Edit, error) {
	switch {
	case d.operation.Keeps():
		d.ids = g.responseIDs(team.Name)
	case d.request.Stored:
		d.ids = g.chatIDs(team.Name)
		return g.markMetadata(team, d.request.Root)
	}
	return nil, nil
}

// previous reads what a Responses request goes on with.
func (d *decision) previous(g *Gateway, team Team) ([]openai.Edit, error) {
	if !d.operation.Keeps() {
		return nil, nil
	}
	root := d.request.Root
	if v := root.Get("conversation"); v.Kind() == openai.String || v.Kind() == openai.Object {
		return nil, openai.BadRequest(openai.CodeInvalidValue, "conversation", "conversation is not served here. Send previous_response_id, or all of the conversation in input.")
	}
	v := root.Get("previous_response_id")
	if v.Kind() != openai.String {
		return nil, nil
	}
	o, id, err := g.keeper(team, v.Text())
	if err != nil {
		return nil, openai.BadRequest(openai.CodeNoPrevious, "previous_response_id", fmt.Sprintf("Previous response with id %s not found. Send an id that this gateway gave to one of your team's keys.", shown(v.Text())))
	}
	d.only = o.deployment
	d.known(id, v)
	return []openai.Edit{v.Replace(openai.Quote(id))}, nil
}

// sealed takes the marks from reasoning that only one resource can read.
func (d *decision) sealed(g *Gateway, team Team) ([]openai.Edit, error) {
	if !d.operation.Keeps() {
		return nil, nil
	}
	var edits []openai.Edit
	for _, item := range d.request.Root.Get("input").Elements() {
		sealed := item.Get("encrypted_content")
		tag, content, ok := strings.Cut(sealed.Text(), ".")
		if !ok || !strings.HasPrefix(tag, sealedKind) {
			continue
		}
		name, _, ok := g.cfg.Signer.Open(team.Name, tag)
		if !ok || !d.bind(name) {
			return nil, openai.BadRequest(openai.CodeInvalidValue, sealed.Path(), "The encrypted content was not given to your team, or by another resource than the rest of the request needs. Leave the item out.")
		}
		edits = append(edits, sealed.Replace(openai.Quote(content)))
	}
	return edits, nil
}

// files reads the files that the request refers to.
func (d *decision) files(g *Gateway, team Team) ([]openai.Edit, error) {
	var edits []openai.Edit
	err := d.request.FileIDs(func(v openai.Value) error {
		o, id, ok := g.opened(team, v.Text(), isFileKind)
		if !ok {
			return noFile(v.Path(), v.Text())
		}
		if !d.bind(o.deployment) {
			return openai.BadRequest(openai.CodeInvalidValue, v.Path(), fmt.Sprintf("The file %s is kept by another resource than the rest of the request needs. "+
				"Upload its files anew, and send nothing else that is kept.", shown(v.Text())))
		}
		d.known(id, v)
		edits = append(edits, v.Replace(openai.Quote(id)))
		return nil
	})
	return edits, err
}

func noFile(param, id string) error {
	return openai.BadRequest(openai.CodeNoFile, param, fmt.Sprintf("The file %s in %s does not exist, or is not your team's. Upload it through this gateway, and send the id that it gives.", shown(id), param))
}

// known notes by which id the team knows what upstream calls id.
func (d *decision) known(id string, as openai.Value) {
	if d.names == nil {
		d.names = map[string]string{}
	}
	d.names[id] = as.Text()
}

// bind sends the request to the resource of a deployment, and reports whether
// nothing else in it needs another one.
func (d *decision) bind(deployment string) bool {
	if d.only != "" {
		return backendOf(d.only) == backendOf(deployment)
	}
	d.only = deployment
	return true
}

func backendOf(deployment string) string {
	backend, _, _ := strings.Cut(deployment, "/")
	return backend
}

// reachable refuses a request for a model that is not where it must be sent, and one
// that refers to something of which nobody knows where it is.
func (d *decision) reachable() error {
	backends := d.model.backends()
	if d.only != "" && len(backends) > 0 && !slices.Contains(backends, backendOf(d.only)) {
		return openai.BadRequest(openai.CodeInvalidValue, "model", fmt.Sprintf("What the request refers to is kept by a resource that the model %q is not on. "+
			"Use the model that it was made with, or upload the file for this one.", d.model.Name))
	}
	if item := d.request.ItemReference(); item.Kind() != openai.Missing && d.only == "" && len(backends) > 1 {
		return openai.BadRequest(openai.CodeInvalidValue, item.Path(), "An item_reference alone does not say which of several resources keeps the item. "+
			"Send previous_response_id beside it, or the item itself.")
	}
	return nil
}

// backends returns the backends that have deployments of the model, sorted; none of
// a model that nobody configured.
func (m *Model) backends() []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(m.Prices)) {
		if b := backendOf(name); !slices.Contains(all, b) {
			all = append(all, b)
		}
	}
	return all
}
