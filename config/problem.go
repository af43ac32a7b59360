package config

import (
	"fmt"
	"strings"
)

// Severity says whether a Problem forbids the configuration.
type Severity int

// The severities. A configuration with an Error never takes effect.
const (
	Error Severity = iota
	Warning
)

// String returns "error" or "warning".
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// MarshalText returns the same as String.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Problem is one fault of a configuration, where it is and how to mend it. No
// field holds a secret.
type Problem struct {
	Severity Severity `json:"severity"`
	Code     string   `json:"code"`              // stable: E001 or W001
	File     string   `json:"file"`              // or the environment variable at fault
	Line     int      `json:"line,omitempty"`    // from 1; 0: no line is at fault
	Column   int      `json:"column,omitempty"`  // in characters, from 1
	Path     string   `json:"path,omitempty"`    // teams.search.limits.rpm
	Message  string   `json:"message"`           // what is wrong
	Hint     string   `json:"hint,omitempty"`    // what to do; may be empty
	Snippet  string   `json:"snippet,omitempty"` // the lines around it and a caret
}

// String returns the whole report of the problem, over several lines where it
// has a snippet or a hint, without a line end.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	fmt.Fprintf(&b, ": %s: %s (%s)", p.Severity, p.Message, p.Code)
	if p.Snippet != "" {
		b.WriteString("\n" + p.Snippet)
	}
	if p.Hint != "" {
		b.WriteString("\n  hint: " + p.Hint)
	}
	return b.String()
}
