package proxy

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/usage"
)

// listed is a model in OpenAI's listing, and in Azure's v1.
type listed struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

// capable is a model in Azure's classic listing.
type capable struct {
	ID              string          `json:"id"`
	Object          string          `json:"object"`
	Status          string          `json:"status"`
	CreatedAt       int64           `json:"created_at"`
	UpdatedAt       int64           `json:"updated_at"`
	Capabilities    map[string]bool `json:"capabilities"`
	LifecycleStatus string          `json:"lifecycle_status"`
	Deprecation     map[string]any  `json:"deprecation"`
}

// deployed is a deployment in Azure's classic listing.
type deployed struct {
	ID            string            `json:"id"`
	Object        string            `json:"object"`
	Model         string            `json:"model"`
	Owner         string            `json:"owner"`
	Status        string            `json:"status"`
	ScaleSettings map[string]string `json:"scale_settings"`
	CreatedAt     int64             `json:"created_at"`
	UpdatedAt     int64             `json:"updated_at"`
}

type list struct {
	Object string `json:"object"`
	Data   []any  `json:"data"`
}

// classic reports whether a route belongs to Azure's classic API.
func classic(route string) bool {
	return route == "/openai/models" || route == "/openai/models/:model"
}

// item returns a model as the listing of a route shows it.
func item(route, name string, m Model) any {
	if classic(route) {
		return capable{
			ID: name, Object: "model", Status: "succeeded", CreatedAt: m.Created, UpdatedAt: m.Created, LifecycleStatus: "generally-available",
			Capabilities: map[string]bool{"fine_tune": false, "inference": true, "completion": m.Does.Completion, "chat_completion": m.Does.Chat, "embeddings": m.Does.Embeddings},
			Deprecation:  map[string]any{},
		}
	}
	return listed{ID: name, Object: "model", Created: m.Created, OwnedBy: m.Owner}
}

// listModels lists what the caller's team may use, and nothing else.
func (g *Gateway) listModels(c echo.Context) error {
	rec := usage.From(c.Request().Context())
	team := g.cfg.Teams[rec.Team]
	out := list{Object: "list", Data: []any{}}
	for _, name := range team.models(g.cfg.Models) {
		out.Data = append(out.Data, item(c.Path(), name, g.cfg.Models[name]))
	}
	return g.json(c, rec, out)
}

// Models returns the names of the models that a team may use, sorted, as its
// listings have them.
func (g *Gateway) Models(team string) []string { return g.cfg.Teams[team].models(g.cfg.Models) }

// getModel shows one model that the caller's team may use, by any of its names.
func (g *Gateway) getModel(c echo.Context) error {
	rec := usage.From(c.Request().Context())
	team := g.cfg.Teams[rec.Team]
	name := inPath(c, "model")
	m, ok := g.model(name)
	if !ok || !team.mayCall(&m) {
		return &openai.Error{
			Status: http.StatusNotFound, Code: openai.CodeModelNotFound, Param: "model",
			Message: fmt.Sprintf("The model %s does not exist. %s", shown(name), team.mayUse(g.cfg.Models)),
		}
	}
	return g.json(c, rec, item(c.Path(), name, m))
}

// listDeployments lists the models that the caller's team may use in the form of
// Azure's oldest listing.
func (g *Gateway) listDeployments(c echo.Context) error {
	rec := usage.From(c.Request().Context())
	team := g.cfg.Teams[rec.Team]
	out := list{Object: "list", Data: []any{}}
	for _, name := range team.models(g.cfg.Models) {
		m := g.cfg.Models[name]
		out.Data = append(out.Data, deployed{
			ID: name, Object: "deployment", Model: m.Base, Owner: "organization-owner", Status: "succeeded",
			ScaleSettings: map[string]string{"scale_type": "standard"}, CreatedAt: m.Created, UpdatedAt: m.Created,
		})
	}
	return g.json(c, rec, out)
}

func (g *Gateway) json(c echo.Context, rec *usage.Record, body any) error {
	rec.Status, rec.Outcome = http.StatusOK, usage.OK
	limitWrite(c)
	return c.JSON(http.StatusOK, body)
}

// versionOf reports whether made is a version of a model: its name and a date or a
// number.
func versionOf(made, base string) bool {
	version, ok := strings.CutPrefix(made, base+"-")
	return ok && version != "" && strings.Trim(version, "0123456789-") == ""
}

// served returns the configured model that an answer's name is of, or is a version of.
func (n Names) served(made string) (name string, ok bool) {
	const longest = 64 // a version is
	if name, ok = n.find(made); ok {
		return name, true
	}
	for i := len(made) - 1; i > max(0, len(made)-longest); i-- { // the longest name first
		if made[i] != '-' || !versionOf(made, made[:i]) {
			continue
		}
		if name, ok = n.find(made[:i]); ok {
			return name, true
		}
	}
	return "", false
}
