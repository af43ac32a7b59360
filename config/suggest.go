package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"
)

// unknownKey reports a key that the struct does not have, with the one that
// was probably meant.
func (r *reader) unknownKey(e entry, f field, t reflect.Type) {
	known := keysOf(t)
	hint := didYouMean(e.name, known)
	homes := homesOf(t, e.name, f.path)
	if len(homes) == 0 {
		homes = homesOf(reflect.TypeFor[File](), e.name, "")
	}
	if hint == "" && len(homes) > 0 {
		hint = "it belongs in " + strings.Join(homes[:min(len(homes), 2)], " or ")
	}
	if hint == "" {
		hint = "known here: " + strings.Join(known, ", ")
	}
	name := quote(e.name)
	path := join(f.path, clipText(e.name))
	if looksSecret(e.name) {
		name, path, hint = "[secret]", f.path, "known here: "+strings.Join(known, ", ")
	}
	r.faultAt(nodePlace(e.key), Problem{Code: codeUnknownKey, Path: path, Message: "unknown key " + name, Hint: hint})
	r.showNumber(e.value)
}

// showNumber lets a number, true or false be seen where nothing is known of
// the key.
func (r *reader) showNumber(n ast.Node) {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		if len(n.GetToken().Value) <= maxNumber {
			r.source.show(n.GetToken())
		}
	}
}

// keysOf returns the keys of a struct as they are written.
func keysOf(t reflect.Type) []string {
	var names []string
	for f := range t.Fields() {
		if name := f.Tag.Get("yaml"); name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// homesOf returns where below path, which has type t, a key belongs.
func homesOf(t reflect.Type, key, path string) []string {
	var homes []string
	for f := range t.Fields() {
		sub, below := elementOf(f.Type)
		if sub == nil {
			continue
		}
		at := join(path, f.Tag.Get("yaml")+below)
		if slices.Contains(keysOf(sub), key) {
			homes = append(homes, at)
		}
		homes = append(homes, homesOf(sub, key, at)...)
	}
	return homes
}

// elementOf returns the struct that a field holds, and how a path goes into
// it.
func elementOf(t reflect.Type) (reflect.Type, string) {
	below := ""
	switch t.Kind() {
	case reflect.Map:
		t, below = t.Elem(), ".NAME"
	case reflect.Slice:
		t, below = t.Elem(), "[]"
	case reflect.Pointer:
		t = t.Elem()
	default:
	}
	if t.Kind() != reflect.Struct || isScalar(t) {
		return nil, ""
	}
	return t, below
}

// harmlessKeys returns the keys whose values are never secret.
func harmlessKeys() map[string]bool {
	keys, secret := map[string]bool{}, map[string]bool{"endpoint": true}
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		for f := range t.Fields() {
			if sub, _ := elementOf(f.Type); sub != nil {
				walk(sub)
				continue
			}
			keys[f.Tag.Get("yaml")] = true
			if f.Type == reflect.TypeFor[Secret]() || f.Tag.Get("secret") != "" {
				secret[f.Tag.Get("yaml")] = true
			}
		}
	}
	walk(reflect.TypeFor[File]())
	for name := range secret {
		delete(keys, name)
	}
	return keys
}

// didYouMean returns a hint that names the candidate nearest to name, or ""
// where none is near.
func didYouMean(name string, candidates []string) string {
	best, least := "", 0
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		d := distance(folded(name), folded(c))
		if best == "" || d < least {
			best, least = c, d
		}
	}
	if best == "" || least > max(1, min(len(name), len(best))/3) {
		return ""
	}
	return "did you mean " + quote(best) + "?"
}

// folded removes what people write differently without meaning it.
func folded(s string) []rune {
	return []rune(strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(clipText(s))))
}

// distance returns how many letters must be added, removed, replaced or
// swapped with their neighbor to make b of a.
func distance(a, b []rune) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// looksSecret reports whether text looks like a key that slipped into the
// wrong place.
func looksSecret(text string) bool {
	if strings.HasPrefix(text, "sk-") {
		return true
	}
	return len(text) >= 20 && strings.ContainsAny(text, "0123456789") && strings.IndexFunc(text, unicode.IsUpper) >= 0 ||
		len(text) >= 32 && strings.ContainsAny(text, "0123456789")
}

// quote returns text in quotes, shortened where it is long.
func quote(text string) string { return strconv.Quote(clipText(text)) }

// clipText shortens long text.
func clipText(text string) string {
	if r := []rune(text); len(r) > 64 {
		return string(r[:64]) + "…"
	}
	return text
}
