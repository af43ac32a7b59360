package config

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"time"
)

const shortestKey = 20 // characters of a plain key beyond loopback

// checkTeams checks the teams with their keys, and adds the team without a key
// that a sidecar has.
func (r *reader) checkTeams(f *File) {
	if len(f.Teams) == 0 {
		if !f.Server.Local() && f.Server.Listen != "" {
			r.open(f)
		}
		f.Teams = map[string]Team{"default": {Policy: "default"}}
	}
	owners := map[[sha256.Size]byte]string{}
	names := modelNames(f)
	for name, t := range sorted(f.Teams) {
		path := "teams." + name
		r.reference(path+".policy", t.Policy, "policy", slices.Collect(maps.Keys(f.Policies)))
		for i, model := range t.Models {
			if f.PassThrough == "" {
				r.reference(item(path+".models", i), model, "model", slices.Collect(maps.Keys(names)))
			}
		}
		r.checkRegions(path, t, f)
		r.checkLimits(path+".limits", t.Limits)
		r.checkKeys(path, t, f.Server.Local(), owners)
		if _, written := r.places[path]; written && len(t.Keys) == 0 {
			r.keyless(path, name, f)
		}
		r.checkReach(path, t, f)
	}
	if !r.dangling {
		r.unusedPolicies(f)
		r.unusedModels(f, names)
	}
}

// open reports an API that anybody could use.
func (r *reader) open(f *File) {
	const at = "server.listen"
	hint := "add teams with keys (weir key new TEAM prints one), or listen on 127.0.0.1:8080"
	if f.PassThrough != "" {
		hint = "set WEIR_KEY to a key that callers must present, or listen on 127.0.0.1:8080"
	}
	r.fault(at, codeOpen, "listening on "+r.said(at, f.Server.Listen)+" without a single team key would let anybody in", hint)
}

func (r *reader) keyless(path, name string, f *File) {
	hint := "run weir key new " + name + " and add the line it prints under keys"
	switch {
	case !f.Server.Local():
		r.fault(path, codeOpen, "the team "+quote(name)+" has no key, and the API is reached from other machines", hint)
	case len(f.Teams) > 1:
		r.fault(path, codeMissing, "the team "+quote(name)+" has no key; only a single team may do without", hint)
	}
}

// modelNames returns which model each name and alias leads to.
func modelNames(f *File) map[string]string {
	names := map[string]string{}
	for name, m := range f.Models {
		names[name] = name
		for _, alias := range m.Aliases {
			names[alias] = name
		}
	}
	return names
}

func (r *reader) checkLimits(path string, l Limits) {
	if l.BurstRequests > 0 && l.RPM == 0 {
		r.fault(path+".burst_requests", codeNever, "burst_requests can never apply: there is no rpm", "add rpm, or remove it")
	}
	if l.BurstTokens > 0 && l.TPM == 0 {
		r.fault(path+".burst_tokens", codeNever, "burst_tokens can never apply: there is no tpm", "add tpm, or remove it")
	}
	if l.Mode == modeShadow && l.RPM == 0 && l.TPM == 0 && l.Concurrency == 0 {
		r.fault(path+".mode", codeNever, "mode can never apply: there is no limit", "add rpm, tpm or concurrency, or remove it")
	}
}

func (r *reader) checkKeys(path string, t Team, local bool, owners map[[sha256.Size]byte]string) {
	ids := map[string]bool{}
	for i, k := range t.Keys {
		at := item(path+".keys", i)
		switch {
		case k.ID == "":
		case !isPlainName(k.ID):
			r.fault(at+".id", codeMalformed, "a key's id is up to 64 letters, digits, dots, dashes and underscores", "the key itself goes into sha256 or value")
		case ids[k.ID]:
			r.fault(at+".id", codeTaken, "the team has a key "+quote(k.ID)+" already", "give each key an id of its own")
		}
		ids[k.ID] = true
		if r.checkKey(at, k, local) {
			sum := k.Hash()
			if other, ok := owners[sum]; ok {
				r.fault(at, codeSharedKey, "this key is the same as "+other, "give each its own; weir key new TEAM prints one")
			} else {
				owners[sum] = at
			}
		}
		if now := r.opts.Now; !now.IsZero() && !k.Expires.IsZero() && !k.Expires.After(now) {
			r.fault(at+".expires", codeExpired, "the key expired at "+k.Expires.UTC().Format(time.RFC3339), "remove it, or give it a later date")
		}
		r.checkLimits(at+".limits", k.Limits)
		r.checkKeyLimits(at+".limits", k.Limits, t.Limits)
	}
}

// checkKey reports whether the key can be told from others, after reporting
// what is wrong with it.
func (r *reader) checkKey(at string, k Key, local bool) bool {
	_, hashed := r.places[at+".sha256"]
	_, plain := r.places[at+".value"]
	switch {
	case hashed && plain:
		r.fault(at, codeContradict, "a key is given as sha256 or as value, not as both", "remove value")
		return false
	case !hashed && !plain:
		r.fault(at, codeMissing, "the key has neither sha256 nor value", "weir key new TEAM prints the line")
		return false
	case hashed && !isHash(k.SHA256):
		r.fault(at+".sha256", codeMalformed, "sha256 must be 64 hexadecimal digits", "weir key new TEAM prints them; a plain key goes into value")
		return false
	case plain && k.Value == "":
		r.fault(at+".value", codeMissing, "the key is empty", r.emptyHint(at+".value"))
		return false
	case plain && !isToken(k.Value.Reveal()):
		r.fault(at+".value", codeMalformed, "the key holds spaces or characters that no header carries", "use letters, digits and punctuation of ASCII")
		return false
	}
	if !local {
		r.checkOpenKey(at, k, plain)
	}
	return true
}

// checkOpenKey reports a key that is too weak for an API that others reach.
func (r *reader) checkOpenKey(at string, k Key, plain bool) {
	const others = ", and the API is reached from other machines"
	if isSample(k) {
		r.fault(at, codeWeakKey, "the key is a well-known sample"+others, "weir key new TEAM prints one of your own")
		return
	}
	if plain && len(k.Value) < shortestKey {
		r.fault(at+".value", codeWeakKey, "the key is shorter than "+strconv.Itoa(shortestKey)+" characters"+others, "weir key new TEAM prints a long one")
	}
	if plain && !r.places[at+".value"].expanded {
		r.fault(at+".value", codeLiteral, "a secret is written in the file", `write its sha256, or "${NAME}"`)
	}
}

func isHash(text string) bool {
	b, err := hex.DecodeString(text)
	return err == nil && len(b) == sha256.Size
}

// isSample reports whether a key is one that stands in documentation.
func isSample(k Key) bool {
	samples := []string{
		"sk-demo", "sk-1234", "sk-12345", "sk-123456", "sk-test", "sk-xxx", "sk-local", "test", "demo", "secret", "changeme", "dummy", "EMPTY",
	}
	sum := k.Hash()
	return slices.ContainsFunc(samples, func(s string) bool { return sha256.Sum256([]byte(s)) == sum })
}

// checkKeyLimits warns of limits of a key that its team's make idle.
func (r *reader) checkKeyLimits(path string, key, team Limits) {
	for _, l := range []struct {
		name      string
		key, team int
	}{{"rpm", key.RPM, team.RPM}, {"tpm", key.TPM, team.TPM}, {"concurrency", key.Concurrency, team.Concurrency}} {
		if l.team > 0 && l.key > l.team && team.Mode != modeShadow {
			r.fault(path+"."+l.name, codeNever, l.name+" can never apply: the team has "+strconv.Itoa(l.team), "make it smaller than the team's")
		}
	}
}

// checkReach warns of what the team's limits, policy and models together make
// impossible or idle.
func (r *reader) checkReach(path string, t Team, f *File) {
	p := f.Policies[t.Policy]
	bucket, key := t.Limits.TPM, "tpm"
	if t.Limits.BurstTokens > 0 {
		bucket, key = t.Limits.BurstTokens, "burst_tokens"
	}
	if bucket > 0 && bucket < p.MaxOutputTokens && t.Limits.Mode != modeShadow {
		r.fault(path+".limits."+key, codeNever,
			"a request that asks for all of the policy's max_output_tokens, "+strconv.Itoa(p.MaxOutputTokens)+", can never pass: "+key+" is smaller",
			"raise "+key+", or lower max_output_tokens of the policy "+quote(t.Policy))
	}
	widest, unknown := r.windows(t, f)
	policy := "policies." + t.Policy
	if widest > 0 && p.MaxInputTokens > widest {
		r.fault(policy+".max_input_tokens", codeNever, "max_input_tokens can never apply for the team "+last(path)+
			": the widest model it may use has "+strconv.Itoa(widest), "make it smaller than the context window")
	}
	if p.OnContextOverflow == "trim_oldest" && p.MaxInputTokens == 0 && unknown != "" {
		r.fault(policy+".on_context_overflow", codeWindow, "trim_oldest cannot trim for the model "+quote(unknown)+", whose context window is not known",
			"set context_window there, or max_input_tokens here")
	}
}

// windows returns the widest context window that a team may use, 0 where that
// cannot be told, and a model whose window is not known.
func (r *reader) windows(t Team, f *File) (widest int, unknown string) {
	told := true
	for name, m := range sorted(f.Models) {
		if !mayUse(t, name, m) {
			continue
		}
		window, known := r.window(m)
		widest = max(widest, window)
		told = told && window > 0
		if !known && unknown == "" && m.MaxInputTokens == 0 {
			unknown = name
		}
	}
	if !told {
		widest = 0
	}
	return widest, unknown
}

// window returns the widest context window of a model, and whether there is
// one that is known or may be.
func (r *reader) window(m Model) (tokens int, known bool) {
	for _, d := range m.Deployments {
		tokens = max(tokens, d.ContextWindow)
	}
	tokens = max(tokens, m.ContextWindow)
	switch {
	case tokens > 0:
		return tokens, true
	case r.opts.KnownModel == nil:
		return 0, true
	default:
		return r.opts.KnownModel(m.BaseModel)
	}
}

// mayUse reports whether a team may use a model.
func mayUse(t Team, name string, m Model) bool {
	return len(t.Models) == 0 || slices.Contains(t.Models, name) ||
		slices.ContainsFunc(m.Aliases, func(a string) bool { return slices.Contains(t.Models, a) })
}

func (r *reader) unusedModels(f *File, names map[string]string) {
	used := map[string]bool{}
	for _, t := range f.Teams {
		if len(t.Models) == 0 {
			return
		}
		for _, model := range t.Models {
			used[names[model]] = true
		}
	}
	for name := range f.Models {
		if !used[name] {
			r.fault("models."+name, codeUnusedModel, "no team may use the model "+quote(name), "add it to the models of a team, or remove it")
		}
	}
}
