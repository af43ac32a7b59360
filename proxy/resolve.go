package proxy

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"weir/openai"
)

// Names is what clients may call models by. Each map leads to the name that the
// model is listed under.
type Names struct {
	Aliases     map[string]string
	Models      map[string]string
	Deployments map[string]string // as they are named in Azure
}

// find returns the model that name stands for: an alias, else a model, else a
// deployment, else one of these in another of the spellings that are in use. A model
// is not shadowed by the deployment of another one.
func (n Names) find(name string) (string, bool) {
	for _, spelling := range spellings(name) {
		for _, names := range []map[string]string{n.Aliases, n.Models, n.Deployments} {
			if model, ok := names[spelling]; ok {
				return model, true
			}
		}
	}
	return "", false
}

// spellings returns name and, behind it, other ways to write it: without the
// azure/ that some clients put before it, and with OpenAI's point in gpt-3.5
// for Azure's gpt-35, or without.
func spellings(name string) []string {
	all := []string{name}
	if bare, ok := strings.CutPrefix(name, "azure/"); ok {
		all = append(all, bare)
		name = bare
	}
	for _, pair := range [][2]string{{"gpt-3.5-turbo", "gpt-35-turbo"}, {"gpt-35-turbo", "gpt-3.5-turbo"}} {
		if rest, ok := strings.CutPrefix(name, pair[0]); ok {
			all = append(all, pair[1]+rest)
		}
	}
	return all
}

// usualModerator is the model of moderations that name none, by the API.
const usualModerator = "omni-moderation-latest"

// resolve returns the model that a request is for. The deployment in the path
// wins over the body's model, which many clients fill with anything.
func (g *Gateway) resolve(c echo.Context, team Team, req *openai.Request) (Model, error) {
	name, azure := req.Model, azurePath(c.Path())
	if name == "" && req.Operation == openai.Moderations {
		name = usualModerator
	}
	if deployment := inPath(c, "deployment"); deployment != "" {
		name = deployment
	}
	return g.modelFor(team, name, azure)
}

// inPath returns a part of a request's path as it is meant: where the path is not what
// its text unescapes to and escapes to again, its parts come escaped.
func inPath(c echo.Context, param string) string {
	part := c.Param(param)
	if c.Request().URL.RawPath == "" {
		return part
	}
	if plain, err := url.PathUnescape(part); err == nil {
		return plain
	}
	return part
}

// modelFor returns the model that a team asks for by a name; azure is whether the
// client expects Azure's errors.
func (g *Gateway) modelFor(team Team, name string, azure bool) (Model, error) {
	if name == "" {
		return Model{}, openai.BadRequest(openai.CodeMissingParameter, "model", "model is missing. "+team.mayUse(g.cfg.Models))
	}
	model, ok := g.model(name)
	switch {
	case !ok && azure:
		return Model{}, &openai.Error{
			Status: http.StatusNotFound, Code: openai.CodeDeployment, Param: "model",
			Message: fmt.Sprintf("The API deployment for this resource does not exist: %s. %s%s", shown(name), g.meant(team, name), team.mayUse(g.cfg.Models)),
		}
	case !ok:
		return Model{}, &openai.Error{
			Status: http.StatusNotFound, Code: openai.CodeModelNotFound, Param: "model",
			Message: fmt.Sprintf("The model %s is not configured. %s%s", shown(name), g.meant(team, name), team.mayUse(g.cfg.Models)),
		}
	case !team.uses(model.Name):
		return Model{}, g.notAllowed(team, model.Name, "model")
	}
	return model, nil
}

// within refuses a model that a request names besides its own, as of a tool or of a
// transcript, where it is one of the gateway's and not of the team's.
func (g *Gateway) within(team Team, name openai.Value) error {
	model, ok := g.model(name.Text())
	if !ok || team.uses(model.Name) {
		return nil
	}
	return g.notAllowed(team, model.Name, name.Path())
}

// notAllowed refuses a model, named in param, that is not one of the team's.
func (g *Gateway) notAllowed(team Team, model, param string) error {
	return &openai.Error{
		Status: http.StatusForbidden, Code: openai.CodeModelNotAllowed, Param: param,
		Message: fmt.Sprintf("Team %q may not use the model %q. %s", team.Name, model, team.mayUse(g.cfg.Models)),
	}
}

func (g *Gateway) model(name string) (Model, bool) {
	if listed, ok := g.cfg.Names.find(name); ok {
		return g.cfg.Models[listed], true
	}
	if g.cfg.Any != nil && deploymentLike(name) {
		return g.cfg.Any(name), true
	}
	return Model{}, false
}

// deploymentLike reports whether name could be a deployment's in Azure, and so
// be put into a URL.
func deploymentLike(name string) bool {
	const most = 64
	foreign := func(c rune) bool {
		return !strings.ContainsRune("-_.", c) && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
	}
	return name != "" && len(name) <= most && strings.Trim(name[:1], "-._") != "" &&
		!strings.ContainsFunc(name, foreign) && !strings.Contains(name, "..")
}

// shown returns a client's word as a message may quote it.
func shown(name string) string {
	const most = 100
	return fmt.Sprintf("%q", name[:min(len(name), most)])
}

// mayUse names the models that the team may use.
func (t Team) mayUse(models map[string]Model) string {
	names := t.models(models)
	if len(names) == 0 {
		return "It must be the name of a deployment."
	}
	return "Your key may use: " + strings.Join(names, ", ") + "."
}

// models returns the names of the models that the team may use, sorted.
func (t Team) models(models map[string]Model) []string {
	names := make([]string, 0, len(models))
	for name, m := range models {
		if t.mayCall(&m) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// uses reports whether a model is one of the team's.
func (t Team) uses(model string) bool { return t.Models == nil || t.Models[model] }

// mayCall reports whether the team may use a model, and it is where the team's
// requests may go.
func (t Team) mayCall(m *Model) bool {
	here := func(region string) bool { return slices.Contains(t.Regions, region) }
	return t.uses(m.Name) && (len(t.Regions) == 0 || slices.ContainsFunc(m.Regions, here))
}

// meant asks after a model whose name is name but for its case and punctuation.
func (g *Gateway) meant(team Team, name string) string {
	letters := func(s string) string {
		return strings.Map(func(c rune) rune {
			if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
				return c
			}
			return -1
		}, strings.ToLower(s))
	}
	for _, m := range team.models(g.cfg.Models) {
		if letters(m) == letters(name) {
			return fmt.Sprintf("Did you mean %q? ", m)
		}
	}
	return ""
}

// azurePath reports whether a route is one of Azure's, whose clients expect
// Azure's forms.
func azurePath(route string) bool {
	return strings.HasPrefix(route, "/openai/") || strings.Contains(route, "/deployments/")
}
