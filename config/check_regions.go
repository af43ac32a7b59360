package config

import (
	"slices"
	"strings"
)

// checkRegions reports a team's regions that no backend is in, and models that the
// team may use and that are in none of its regions.
func (r *reader) checkRegions(path string, t Team, f *File) {
	var names []string
	for _, b := range sorted(f.Backends) {
		if b.Region != "" && !slices.Contains(names, b.Region) {
			names = append(names, b.Region)
		}
	}
	known := true
	for i, region := range t.Regions {
		if at := item(path+".regions", i); len(names) == 0 {
			r.fault(at, codeReference, "no backend has a region", "add region: NAME to the backends that the team may use")
			known = false
		} else {
			known = r.reference(at, region, "region", names) && known
		}
	}
	if known && len(t.Regions) > 0 {
		r.checkElsewhere(path, t, f)
	}
}

// checkElsewhere warns of models that the team's regions keep from it.
func (r *reader) checkElsewhere(path string, t Team, f *File) {
	for name, m := range sorted(f.Models) {
		inside := func(d Deployment) bool {
			return d.Weight > 0 && slices.Contains(t.Regions, f.Backends[d.Backend].Region)
		}
		if !mayUse(t, name, m) || len(m.Deployments) == 0 || slices.ContainsFunc(m.Deployments, inside) {
			continue
		}
		at := path + ".regions"
		if i := slices.IndexFunc(t.Models, func(n string) bool { return n == name || slices.Contains(m.Aliases, n) }); i >= 0 {
			at = item(path+".models", i)
		}
		r.fault(at, codeNever, "the team "+quote(last(path))+" can never use the model "+quote(name)+
			": none of its deployments is in the team's regions, "+strings.Join(t.Regions, ", "),
			"add a deployment in one of them, or leave the model out of the team's models")
	}
}
