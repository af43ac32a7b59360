package config

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// checkUploads looks at where uploads are kept, and at how large they may be.
func (r *reader) checkUploads(s Server) {
	const dir, disk = "server.upload_dir", "server.max_upload_disk"
	if s.MaxUploadDisk > 0 && s.MaxUpload > s.MaxUploadDisk {
		at := disk
		if _, written := r.places[disk]; !written {
			at = "server.max_upload"
		}
		r.fault(at, codeNever, "an upload as large as max_upload, "+s.MaxUpload.String()+", can never pass: max_upload_disk is "+s.MaxUploadDisk.String(),
			"raise max_upload_disk, or lower max_upload")
	}
	if r.opts.Writable == nil || r.faulty(dir) {
		return
	}
	err := r.opts.Writable(s.UploadDir)
	switch {
	case err == nil:
	case s.UploadDir != "":
		r.fault(dir, codeUnwritable, "no file can be made in the directory: "+reason(err), "name one that exists and that the process may write to")
	default:
		r.fault(dir, codeNoUploads, "no file can be made in the system's temporary directory, so larger uploads are refused: "+reason(err),
			"have upload_dir name one that the process may write to")
	}
}

// checkFiles looks at who keeps files.
func (r *reader) checkFiles(f *File) {
	known := slices.Collect(maps.Keys(f.Backends))
	for i, name := range f.Files.Backends {
		at := item("files.backends", i)
		switch {
		case !r.reference(at, name, "backend", known):
		case slices.Contains(f.Files.Backends[:i], name):
			r.fault(at, codeTaken, "the backend "+quote(name)+" stands here twice", "remove one")
		case !f.Serves(name) && !r.dangling:
			r.fault(at, codeNever, "the backend "+quote(name)+" can never keep a file: no model has a deployment on it", "add a deployment, or remove it here")
		}
	}
}

// Serves reports whether a model has a deployment on a backend that is asked.
func (f *File) Serves(backend string) bool { return len(f.ModelsOn(backend)) > 0 }

// ModelsOn returns the models that have deployments on a backend that are asked,
// sorted.
func (f *File) ModelsOn(backend string) []string {
	var names []string
	for name, m := range sorted(f.Models) {
		if slices.ContainsFunc(m.Deployments, func(d Deployment) bool { return d.Backend == backend && d.Weight > 0 }) {
			names = append(names, name)
		}
	}
	return names
}

// checkPassages looks at the paths that are handed on.
func (r *reader) checkPassages(f *File) {
	backends, teams := slices.Collect(maps.Keys(f.Backends)), slices.Collect(maps.Keys(f.Teams))
	for i, p := range f.Passages {
		at := item("passthrough", i)
		if message, hint := r.handed(at+".path", p.Path); p.Path != "" && message != "" {
			r.fault(at+".path", codeMalformed, message, hint)
		} else if j := slices.IndexFunc(f.Passages[:i], func(o Passage) bool { return overlap(o.Path, p.Path) }); p.Path != "" && j >= 0 {
			r.fault(at+".path", codeTaken, item("passthrough", j)+" has "+quote(f.Passages[j].Path)+" already, and one of them is below the other",
				"what is below a path is handed on with it; keep one")
		}
		r.checkMethods(at+".methods", p.Methods)
		if r.reference(at+".backend", p.Backend, "backend", backends) && p.Backend != "" && !f.Serves(p.Backend) && !r.dangling {
			r.fault(at+".backend", codeNever, "nothing can ever go to the backend "+quote(p.Backend)+" here: no model has a deployment on it", "add a deployment")
		}
		r.checkPassageVersion(at+".api_version", p.APIVersion, f.Backends[p.Backend].Kind)
		for j, name := range p.Teams {
			r.checkPassageTeam(item(at+".teams", j), p, name, teams, f)
		}
	}
}

func (r *reader) checkMethods(path string, methods []string) {
	known := []string{"GET", "POST", "PUT", "PATCH", "DELETE"}
	for i, m := range methods {
		switch at := item(path, i); {
		case !slices.Contains(known, m):
			hint := "write " + strings.Join(known, ", ") + ", or leave methods away for all of them"
			r.fault(at, codeChoice, "a method must be "+strings.Join(known, " or ")+", not "+r.said(at, m), cmp.Or(didYouMean(m, known), hint))
		case slices.Contains(methods[:i], m):
			r.fault(at, codeTaken, m+" stands here twice", "remove one")
		}
	}
}

// checkPassageVersion looks at the version of a path that is handed on.
func (r *reader) checkPassageVersion(path, version, kind string) {
	_, written := r.places[path]
	switch {
	case kind == kindOpenAI && written:
		r.fault(path, codeContradict, "the backend is of kind openai, which has no api_version", "remove it")
	case version == "v1" || isDated(version):
	default:
		r.fault(path, codeMalformed, "api_version must be v1 or a date, not "+r.said(path, version), "write v1, 2024-10-21 or 2024-05-01-preview")
	}
}

// isDated reports whether text is a dated version, perhaps a preview.
func isDated(text string) bool {
	_, err := time.Parse(time.DateOnly, strings.TrimSuffix(text, "-preview"))
	return err == nil
}

// checkPassageTeam looks at a team that may call what is handed on.
func (r *reader) checkPassageTeam(at string, p Passage, name string, teams []string, f *File) {
	if !r.reference(at, name, "team", teams) {
		return
	}
	t, region := f.Teams[name], f.Backends[p.Backend].Region
	usable := slices.ContainsFunc(f.ModelsOn(p.Backend), func(m string) bool { return mayUse(t, m, f.Models[m]) })
	switch {
	case r.dangling || !f.Serves(p.Backend):
	case len(t.Regions) > 0 && !slices.Contains(t.Regions, region):
		r.fault(at, codeNever, "the team "+quote(name)+" can never call this: the backend "+quote(p.Backend)+" is in none of its regions, "+strings.Join(t.Regions, ", "),
			"remove it here, or add the region to the team's")
	case !usable:
		r.fault(at, codeNever, "the team "+quote(name)+" can never call this: it may use none of the models on the backend "+quote(p.Backend),
			"remove it here, or add one of them to the team's models")
	}
}

// handed says why a path is not one that may be handed on, and what to write
// instead.
func (r *reader) handed(at, path string) (message, hint string) {
	const plain = "write it below the base URL, such as vector_stores or fine_tuning/jobs"
	steps := strings.Split(path, "/")
	first := strings.ToLower(strings.Trim(path, "/"))
	switch {
	case first == "v1" || first == "openai" || strings.HasPrefix(first, "v1/") || strings.HasPrefix(first, "openai/"):
		return "the path begins with that of the base URL", plain
	case strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/"):
		return "the path has a slash around it", plain
	case len(path) > 200 || slices.ContainsFunc(steps, func(s string) bool { return !isPlainName(s) }):
		return "a path is up to 200 characters of plain names with single slashes between them, not " + r.said(at, path), plain
	}
	for _, own := range served() {
		if overlap(own, path) {
			return "Weir itself serves " + own + ", and handing on " + r.said(at, path) + " would be a way round it",
				"name a path that is neither that, nor above or below it"
		}
	}
	return "", ""
}

// overlap reports whether two paths are the same, or one is above the other, in
// whatever case they are written.
func overlap(a, b string) bool {
	a, b = strings.ToLower(a)+"/", strings.ToLower(b)+"/"
	return strings.HasPrefix(a, b) || strings.HasPrefix(b, a)
}

// served returns the paths that Weir itself serves, below any base URL, and those
// by which Azure serves them too.
func served() []string {
	return []string{
		"chat/completions", "completions", "responses", "embeddings", "moderations", "models", "deployments", "engines",
		"images/generations", "images/edits", "audio/speech", "audio/transcriptions", "audio/translations",
		"files", "batches", "realtime", "v1", "openai", "admin", "livez", "readyz", "healthz", "metrics",
	}
}
