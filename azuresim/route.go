package azuresim

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// family is one of the surfaces a resource serves.
type family int

const (
	familyNone    family = iota
	familyClassic        // /openai/deployments/{d}/…?api-version=
	familyV1             // /openai/v1/…
	familyOpenAI         // /v1/…, as OpenAI itself and its imitators serve it
)

// route is what a request's method and path say.
type route struct {
	endpoint
	family     family
	deployment string
	id         string // of what the path names
	version    string
}

// parseRoute finds the endpoint. Its family is familyNone where there is none.
func (s *Server) parseRoute(r *http.Request) route {
	rt := route{version: r.URL.Query().Get("api-version")}
	f, rest := surface(r.URL.EscapedPath())
	name := ""
	if after, ok := strings.CutPrefix(rest, "deployments/"); ok && f == familyClassic {
		name, rest, _ = strings.Cut(after, "/")
	}
	deployment, err := url.PathUnescape(name)
	if err != nil {
		return rt
	}
	for _, e := range s.routes() {
		inPath := e.names == namesInPath && f == familyClassic
		if id, ok := e.match(r.Method, rest); ok && inPath == (name != "") {
			rt.endpoint, rt.family, rt.deployment, rt.id = e, f, deployment, id
			break
		}
	}
	return rt
}

// surface returns whose path this is, and what follows its prefix.
func surface(path string) (family, string) {
	for _, p := range []struct {
		family family
		prefix string
	}{{familyV1, "/openai/v1/"}, {familyOpenAI, "/v1/"}, {familyClassic, "/openai/"}} {
		if rest, ok := strings.CutPrefix(path, p.prefix); ok {
			return p.family, rest
		}
	}
	return familyNone, ""
}

func modelOf(body []byte) string {
	var fields map[string]json.RawMessage
	var model string
	if json.Unmarshal(body, &fields) != nil || json.Unmarshal(fields["model"], &model) != nil {
		return ""
	}
	return model
}

func (c *call) checkKey() *Step {
	key, token := c.srv.cfg.Key, c.srv.cfg.Token
	if key == "" && token == "" {
		return nil
	}
	sent := c.r.Header.Get("api-key")
	scheme, bearer, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") {
		bearer = ""
	}
	bearer = strings.TrimSpace(bearer)
	switch {
	case key != "" && (sent == key || bearer == key), token != "" && bearer == token:
		return nil
	case c.route.family == familyOpenAI:
		return openAIKeyRefused(sent + bearer)
	case token != "" && sent == "":
		return entraRefused()
	default:
		return keyRefused()
	}
}

func (c *call) checkRoute() *Step {
	if c.route.family == familyNone {
		return notFound()
	}
	return nil
}

// checkVersion wants a dated api-version on the classic surface, and none or v1
// or preview on the v1 surface.
func (c *call) checkVersion() *Step {
	v := c.route.version
	switch c.route.family {
	case familyClassic:
		if !regexp.MustCompile(`^20\d\d-\d\d-\d\d(-preview)?$`).MatchString(v) {
			return notFound()
		}
		if c.route.since != "" && c.route.before(c.route.since[:len("2006-01-02")]) {
			return onlyFrom("Azure OpenAI Responses API", c.route.since)
		}
	case familyV1:
		if v != "" && v != "v1" && v != "preview" {
			return badRequest("API version not supported")
		}
	default:
	}
	return nil
}

// before reports whether the request's version is older than date.
func (rt route) before(date string) bool {
	return rt.family == familyClassic && len(rt.version) >= len(date) && rt.version[:len(date)] < date
}

func (c *call) checkDeployment() *Step {
	switch {
	case c.route.names == namesNothing || c.known:
		return nil
	case c.route.family == familyOpenAI:
		return modelNotFound(c.route.deployment)
	default:
		return deploymentNotFound()
	}
}

// listModels lists the models, or tells one.
func (c *call) listModels() (*Step, []event) {
	data := []any{}
	for _, m := range c.srv.models() {
		item := object{"id": m, "object": "model", "created": 1730000000, "owned_by": "azure"}
		if c.route.family == familyClassic {
			item = object{
				"id": m, "object": "model", "status": "succeeded",
				"created_at": 1730000000, "updated_at": 1730000000,
				"capabilities": object{
					"fine_tune": false, "inference": true, "completion": false,
					"chat_completion": true, "embeddings": false,
				},
				"lifecycle_status": "generally-available", "deprecation": object{"inference": 1893456000},
			}
		}
		if m == c.route.id {
			return answer(http.StatusOK, item), nil
		}
		data = append(data, item)
	}
	if c.route.id != "" {
		return modelNotFound(c.route.id), nil
	}
	return answer(http.StatusOK, object{"object": "list", "data": data}), nil
}
