package config

// checkQuotas warns of quotas of deployments that nothing looks at.
func (r *reader) checkQuotas(f *File) {
	for name, m := range sorted(f.Models) {
		for i, d := range m.Deployments {
			at := item("models."+name+".deployments", i)
			if _, written := r.places[at+".rpm_window"]; written && d.RPM == 0 {
				r.fault(at+".rpm_window", codeNever, "rpm_window can never apply: there is no rpm", "add rpm, or remove it")
			}
			for key, quota := range sorted(map[string]int{"tpm": d.TPM, "rpm": d.RPM}) {
				if quota > 0 && !f.Resilience.Twin {
					r.fault(at+"."+key, codeNever, key+" can never apply: resilience.twin is false", "remove it, or make twin true")
				}
			}
		}
	}
}
