package config

import (
	"maps"
	"slices"
	"strconv"
)

// checkModels completes the models and checks what they refer to.
func (r *reader) checkModels(f *File) {
	backends := slices.Collect(maps.Keys(f.Backends))
	owner := map[string]string{} // of each name and alias
	for name := range f.Models {
		owner[name] = name
	}
	for name, m := range sorted(f.Models) {
		path := "models." + name
		if m.BaseModel == "" {
			m.BaseModel = name
			f.Models[name] = m
		}
		r.checkPrices(path, m)
		r.checkAliases(path, name, m.Aliases, owner)
		r.checkTokens(path, m)
		r.checkDeployments(path, m, f, backends)
	}
}

func (r *reader) checkAliases(path, name string, aliases []string, owner map[string]string) {
	for i, alias := range aliases {
		at := item(path+".aliases", i)
		switch other, taken := owner[alias]; {
		case !isModelName(alias):
			r.fault(at, codeMalformed, "an alias is up to 128 printable characters, not "+r.said(at, alias), "")
		case taken && other == name:
			r.fault(at, codeTaken, "the model has the name "+r.said(at, alias)+" already", "remove it here")
		case taken:
			r.fault(at, codeTaken, "the model "+quote(other)+" has the name "+r.said(at, alias)+" already", "a name leads to one model; rename one")
		default:
			owner[alias] = name
		}
	}
}

// checkTokens reports bounds of a model that its window makes idle.
func (r *reader) checkTokens(path string, m Model) {
	const hint = "make it smaller than context_window"
	if m.ContextWindow == 0 {
		return
	}
	for _, b := range []struct {
		key    string
		tokens int
	}{{"max_input_tokens", m.MaxInputTokens}, {"max_output_tokens", m.MaxOutputTokens}} {
		if b.tokens > m.ContextWindow {
			r.fault(path+"."+b.key, codeNever, b.key+" can never apply: the context window has "+strconv.Itoa(m.ContextWindow), hint)
		}
	}
}

func (r *reader) checkDeployments(path string, m Model, f *File, backends []string) {
	type id struct{ backend, deployment string }
	seen := map[id]bool{}
	weights, first := map[int]int{}, map[int]string{}
	for i, d := range m.Deployments {
		at := item(path+".deployments", i)
		r.reference(at+".backend", d.Backend, "backend", backends)
		r.checkDeployment(at, d, f.Backends[d.Backend].Kind)
		if key := (id{d.Backend, d.Deployment}); key.deployment != "" {
			if seen[key] {
				r.fault(at, codeTaken, "this deployment stands here twice", "raise the weight of the first instead")
			}
			seen[key] = true
		}
		if _, ok := first[d.Priority]; !ok {
			first[d.Priority] = at
		}
		weights[d.Priority] += d.Weight
	}
	for priority, at := range first {
		if weights[priority] == 0 {
			r.fault(at+".weight", codeContradict,
				"every deployment of priority "+strconv.Itoa(priority)+" has weight 0, so none of them is ever asked",
				"give one a weight of 1, or remove them")
		}
	}
}

// checkDeployment looks at one deployment. A name stands in a URL in Azure, and
// in headers and metrics everywhere.
func (r *reader) checkDeployment(at string, d Deployment, kind string) {
	name := at + ".deployment"
	switch {
	case d.Deployment == "":
	case kind == kindOpenAI && (!isToken(d.Deployment) || len(d.Deployment) > 128):
		r.fault(name, codeMalformed, "the model's name at the server is up to 128 printable ASCII characters without spaces, not "+r.said(name, d.Deployment), "")
	case kind != kindOpenAI && !isPlainName(d.Deployment):
		r.fault(name, codeMalformed,
			"a deployment's name is up to 64 letters, digits, dots, dashes and underscores, not "+r.said(name, d.Deployment), "")
	}
	if d.NativeSpillover && kind == kindOpenAI {
		r.fault(at+".native_spillover", codeContradict, "native_spillover is Azure's, and the backend is of kind openai", "remove it")
	}
	if window := max(d.ContextWindow, 0); window > 0 && d.MaxOutputTokens > window {
		r.fault(at+".max_output_tokens", codeNever, "max_output_tokens can never apply: the context window has "+strconv.Itoa(window), "")
	}
}
