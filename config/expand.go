package config

import (
	"strings"
)

// maxExpanded is the largest file that a ${file:/path} may name, in bytes.
const maxExpanded = 64 << 10

// expand replaces ${NAME}, ${NAME:-default} and ${file:/path} in text, and
// $${ by a plain ${. It reports what cannot be replaced and returns false
// then.
func (r *reader) expand(text string, at place, path string) (string, bool, bool) {
	var b strings.Builder
	expanded, ok := false, true
	for rest := text; rest != ""; {
		i := strings.Index(rest, "${")
		if i < 0 {
			b.WriteString(rest)
			break
		}
		if i > 0 && rest[i-1] == '$' {
			b.WriteString(rest[:i-1] + "${")
			rest = rest[i+2:]
			continue
		}
		b.WriteString(rest[:i])
		name, after, closed := strings.Cut(rest[i+2:], "}")
		value, message, hint := "", "a ${ that no } closes", "write $${ for a plain ${"
		if closed {
			value, message, hint = r.lookup(name)
		}
		if message != "" {
			r.faultAt(at, Problem{Code: codeExpansion, Path: path, Message: message, Hint: hint})
			ok = false
		}
		b.WriteString(value)
		expanded, rest = true, after
	}
	return b.String(), expanded, ok
}

// lookup returns the value that ${reference} stands for, or a message and a
// hint.
func (r *reader) lookup(reference string) (value, message, hint string) {
	if path, ok := strings.CutPrefix(reference, "file:"); ok {
		return r.lookupFile(path)
	}
	name, fallback, hasFallback := strings.Cut(reference, ":-")
	if !isVariable(name) {
		return "", "a ${ } that names no variable", "write ${NAME}, ${NAME:-default} or ${file:/path}, or $${ for a plain ${"
	}
	value, set := r.getenv(name)
	switch {
	case value != "":
		return value, "", ""
	case hasFallback:
		return fallback, "", ""
	case !set:
		return "", "the environment variable " + clipText(name) + " is not set", "set it, or write ${" + clipText(name) + ":-default}"
	default:
		return "", "", ""
	}
}

func (r *reader) lookupFile(path string) (value, message, hint string) {
	if !strings.HasPrefix(path, "/") {
		return "", "a ${file:} without an absolute path", "write ${file:/path}"
	}
	data, err := r.readFile(path)
	switch {
	case err != nil:
		return "", "the file " + quote(path) + " cannot be read: " + reason(err), ""
	case len(data) > maxExpanded:
		return "", "the file " + quote(path) + " is too large for a value", ""
	default:
		return strings.TrimRight(string(data), "\r\n"), "", ""
	}
}

// isVariable reports whether name may be that of an environment variable.
func isVariable(name string) bool {
	for i, c := range name {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// isReference reports whether text is a single reference without a default,
// so that nothing of it is a secret.
func isReference(text string) bool {
	inner, ok := strings.CutPrefix(text, "${")
	inner, closed := strings.CutSuffix(inner, "}")
	return ok && closed && (isVariable(inner) || strings.HasPrefix(inner, "file:/") && !strings.Contains(inner, "}"))
}
