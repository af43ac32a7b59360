package upstream

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"weir/openai"
)

// Kind is whose API a deployment speaks.
type Kind uint8

// The kinds.
const (
	Azure  Kind = iota // Azure OpenAI, the classic paths or the v1 paths
	OpenAI             // OpenAI itself, or any server that is compatible with it
)

// URL returns where requests for an operation go.
func (d *Deployment) URL(op openai.Operation) string { return d.address(op.Path(), d.named(op)) }

// passageURL returns where a passage goes.
func (d *Deployment) passageURL(p *openai.Passage) string {
	to := d.address(p.Path, p.Named && d.classic())
	version := p.Version
	if p.Preview && strings.HasSuffix(d.APIVersion, "-preview") {
		version = d.APIVersion
	}
	name := "model="
	if version != "" && d.Kind == Azure {
		name, to = "deployment=", d.dated(p.Path, version)
	}
	query := p.Query
	if p.Asked {
		query = strings.TrimSuffix(name+url.QueryEscape(d.Name)+"&"+query, "&")
	}
	switch {
	case query == "":
		return to
	case strings.Contains(to, "?"):
		return to + "&" + query
	default:
		return to + "?" + query
	}
}

// dated returns a path's place below Azure's classic base.
func (d *Deployment) dated(path, version string) string {
	return d.Endpoint.JoinPath("openai").JoinPath(strings.Split(path, "/")...).String() + "?api-version=" + url.QueryEscape(version)
}

// address returns a path's place below the API's base, or, where the path names
// the deployment, below that.
func (d *Deployment) address(path string, named bool) string {
	steps := strings.Split(path, "/")
	switch {
	case d.Kind == OpenAI && strings.Trim(d.Endpoint.Path, "/") == "":
		return d.Endpoint.JoinPath("v1").JoinPath(steps...).String()
	case d.Kind == OpenAI:
		return d.Endpoint.JoinPath(steps...).String()
	case named:
		return d.Endpoint.JoinPath("openai", "deployments", url.PathEscape(d.Name)).JoinPath(steps...).String() +
			"?api-version=" + url.QueryEscape(d.APIVersion)
	default:
		return d.Endpoint.JoinPath("openai", "v1").JoinPath(steps...).String()
	}
}

// named reports whether the path of an operation names the deployment, so that the
// body need not. Of the classic paths the Responses API has none.
func (d *Deployment) named(op openai.Operation) bool {
	return d.classic() && op != openai.Responses && op != openai.Compact && op != openai.Moderations
}

// classic reports whether the deployment is asked by Azure's classic paths.
func (d *Deployment) classic() bool {
	return d.Kind == Azure && d.APIVersion != "" && d.APIVersion != "v1"
}

// AsBearer returns a credential whose key is sent as a bearer, where OpenAI and its
// like look for it. A nil credential sends nothing.
func AsBearer(c Credential) Credential { return bearer{c} }

type bearer struct{ inner Credential }

// Authorize sets the Authorization header.
func (b bearer) Authorize(ctx context.Context, h http.Header) error {
	if b.inner == nil {
		return nil
	}
	if err := b.inner.Authorize(ctx, h); err != nil {
		return err
	}
	if key := h["Api-Key"]; len(key) > 0 {
		h["Authorization"] = []string{"Bearer " + key[0]}
		delete(h, "Api-Key")
	}
	return nil
}

// Renew reports whether there is another key than the one that was refused.
func (b bearer) Renew(refused http.Header) bool {
	inner, ok := b.inner.(renewer)
	return ok && inner.Renew(refused)
}

// fits reports whether a call may go to the deployment at all: whether it is in
// one of its regions, and the call fits it.
func (m *member) fits(c *openai.Call) bool { return m.within(c) && m.Deployment.fits(c) }

// within reports whether the deployment is where a call may go.
func (d *Deployment) within(c *openai.Call) bool {
	if c.Only != "" && !d.knows(c) {
		return false
	}
	return len(c.Regions) == 0 || slices.Contains(c.Regions, d.Region)
}

// knows reports whether the deployment can be asked for what a call refers to: as a
// passage only the one that it was made by, so that its name stays; to go on with it,
// or where it is the backend's alone, any of the same resource.
func (d *Deployment) knows(c *openai.Call) bool {
	backend, _, one := strings.Cut(c.Only, "/")
	return c.Only == openai.Owner(d.ID()) || (!one || c.Passage == nil) && backend == d.Backend
}
