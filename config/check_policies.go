package config

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// resolvePolicies gives every policy what it inherits, adds "default" where it
// is not written, and checks each as it comes out.
func (r *reader) resolvePolicies(f *File) {
	if _, ok := f.Policies["default"]; !ok {
		if f.Policies == nil {
			f.Policies = map[string]Policy{}
		}
		f.Policies["default"] = defaultPolicy()
	}
	known := slices.Collect(maps.Keys(f.Policies))
	written := maps.Clone(f.Policies)
	for name, p := range sorted(written) {
		if !r.reference("policies."+name+".extends", p.Extends, "policy", known) {
			continue
		}
		line, circle := ancestry(name, written)
		if circle && line[0] == slices.Min(line) {
			r.fault("policies."+name+".extends", codeCycle,
				"policies extend each other in a circle: "+strings.Join(append(line, name), " → "), "remove one extends")
		}
		if !circle {
			f.Policies[name] = r.inherited(line, written)
		}
	}
	for name, p := range sorted(f.Policies) {
		r.checkPolicy("policies."+name, p)
	}
}

// checkPolicy checks a policy that has all that it inherits.
func (r *reader) checkPolicy(path string, p Policy) {
	if p.MaxOutputTokens > 0 && p.DefaultOutputTokens > p.MaxOutputTokens {
		r.fault(path+".default_output_tokens", codeContradict,
			"default_output_tokens is above max_output_tokens, "+strconv.Itoa(p.MaxOutputTokens), "make it at most that")
	}
	if _, written := r.places[path+".reserve_quantile"]; written && p.DefaultOutputTokens > 0 {
		r.fault(path+".reserve_quantile", codeNever,
			"reserve_quantile can never apply: default_output_tokens bounds every answer", "remove one of them")
	}
}

func defaultPolicy() Policy {
	var p Policy
	v := reflect.ValueOf(&p).Elem()
	for i := range v.NumField() {
		setDefault(v.Field(i), v.Type().Field(i).Tag)
	}
	return p
}

// ancestry returns a policy and all it extends, nearest first, and whether it
// comes back to the policy itself. Policies that do not exist, and circles
// further up, end it.
func ancestry(name string, policies map[string]Policy) (line []string, circle bool) {
	for at := name; !slices.Contains(line, at); {
		p, ok := policies[at]
		if !ok {
			return line, false
		}
		line = append(line, at)
		if at = p.Extends; at == name {
			return line, true
		}
	}
	return line, false
}

// inherited lays the policies of a line over each other, the nearest on top.
func (r *reader) inherited(line []string, written map[string]Policy) Policy {
	result := defaultPolicy()
	v := reflect.ValueOf(&result).Elem()
	for _, name := range slices.Backward(line) {
		p := reflect.ValueOf(written[name])
		for i := range v.NumField() {
			if _, ok := r.places["policies."+name+"."+v.Type().Field(i).Tag.Get("yaml")]; ok {
				v.Field(i).Set(p.Field(i))
			}
		}
	}
	result.Extends = written[line[0]].Extends
	return result
}

// unusedPolicies warns of policies that no team uses, not even by way of
// extends.
func (r *reader) unusedPolicies(f *File) {
	used := map[string]bool{}
	for _, t := range f.Teams {
		line, _ := ancestry(t.Policy, f.Policies)
		for _, name := range line {
			used[name] = true
		}
	}
	for name := range f.Policies {
		if _, written := r.places["policies."+name]; written && !used[name] {
			r.fault("policies."+name, codeUnusedPolicy, "no team uses the policy "+quote(name), "name it in a team's policy, or remove it")
		}
	}
}
