package openai

import "strings"

// Word returns a name that upstream gave, as logs and spans may hold it: "" for what
// is none, because it is long, or has anything but visible signs of ASCII in it.
func Word(name string) string {
	const most = 128
	foreign := func(c rune) bool { return c <= ' ' || c > '~' }
	if len(name) > most || strings.ContainsFunc(name, foreign) {
		return ""
	}
	return name
}
