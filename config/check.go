package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// check looks at what no single value can tell: names that must exist, values
// that must agree, and rules that can never apply. It completes f.
func (r *reader) check(f *File) {
	r.checkServer(&f.Server)
	r.checkUploads(f.Server)
	for name, b := range sorted(f.Backends) {
		r.checkBackend("backends."+name, &b)
		f.Backends[name] = b
		if f.PassThrough == "" {
			r.needAuth("backends."+name, b)
		}
	}
	r.checkModels(f)
	r.checkQuotas(f)
	r.resolvePolicies(f)
	r.checkTeams(f)
	r.checkFiles(f)
	r.checkPassages(f)
	r.checkResilience(f.Resilience)
	r.checkMoney(f)
	r.checkState(f)
	r.checkTelemetry(f)
	r.checkAdmin(f)
}

// sorted goes through a map in the order of its keys.
func sorted[V any](m map[string]V) func(yield func(string, V) bool) {
	return func(yield func(string, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}

// checkName refuses the names of things that could not stand in a log, a
// metric or a path.
func (r *reader) checkName(path, name, kind string) {
	switch {
	case kind == "name" && !isPlainName(name):
		r.fault(path, codeMalformed, "the name "+quote(name)+" has characters that names may not have",
			"use up to 64 letters, digits, dots, dashes and underscores, a letter or digit first")
	case kind == "model" && !isModelName(name):
		r.fault(path, codeMalformed, "the name "+quote(name)+" has characters that model names may not have",
			"use up to 128 printable characters without spaces around them")
	}
}

// isPlainName reports whether name may be that of a deployment, which stands
// in a URL, or of anything that stands in a metric.
func isPlainName(name string) bool {
	for i, c := range name {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return name != "" && len(name) <= 64
}

// isModelName reports whether name may be what clients put in "model".
func isModelName(name string) bool {
	return name != "" && len(name) <= 128 && strings.TrimSpace(name) == name &&
		!strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) })
}

// item returns the path of an item of a list.
func item(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// reference reports a name at path that is not among the known ones.
func (r *reader) reference(path, name, kind string, known []string) bool {
	if name == "" || slices.Contains(known, name) {
		return true
	}
	r.dangling = true
	if len(known) == 0 { // which is reported where they are missing
		return false
	}
	hint := didYouMean(name, known)
	if hint == "" {
		slices.Sort(known)
		hint = "known: " + strings.Join(known[:min(len(known), 12)], ", ")
	}
	r.fault(path, codeReference, "no "+kind+" is called "+r.said(path, name), hint)
	return false
}

func (r *reader) checkResilience(c Resilience) {
	t, path := c.Timeout, "resilience.timeout."
	for _, w := range []struct {
		key  string
		wait time.Duration
	}{{"connect", t.Connect}, {"first_byte", t.FirstByte}, {"first_content", t.FirstContent}, {"stream_idle", t.StreamIdle}} {
		if w.wait > t.Total {
			r.fault(path+w.key, codeNever, w.key+" can never apply: total ends the request after "+t.Total.String(),
				"make it shorter than total, or total longer")
		}
	}
	retry := c.Retry
	if retry.Backoff.Initial > retry.Backoff.Max {
		r.fault("resilience.retry.backoff.initial", codeContradict,
			"initial is longer than max, "+retry.Backoff.Max.String(), "make initial the shorter one")
	}
	if c.Queue.MaxWait > t.Total {
		r.fault("resilience.queue.max_wait", codeNever,
			"max_wait can never apply: total ends the request after "+t.Total.String(), "make it shorter than total")
	}
	if retry.MaxRetryAfter > t.Total {
		r.fault("resilience.retry.max_retry_after", codeNever,
			"max_retry_after can never apply: total ends the request after "+t.Total.String(), "")
	}
}
