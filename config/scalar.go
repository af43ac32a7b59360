package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

const maxNumber = 12 // digits of a number that is shown wherever it stands

// scalar is a value as text, with what YAML took it for.
type scalar struct {
	text string
	kind string // as kindOf says
	any  bool   // it was expanded: text that may stand for any type

	quoted bool
}

// decodeScalar fills v from a scalar and reports what does not fit.
func (r *reader) decodeScalar(n ast.Node, v reflect.Value, f field) {
	setDefault(v, f.tag)
	if n == nil {
		return
	}
	secret := v.Type() == reflect.TypeFor[Secret]() || f.tag.Get("secret") != ""
	at := nodePlace(n)
	at.hidden = secret
	if literal, ok := n.(*ast.LiteralNode); ok {
		n = literal.Value
	}
	s := scalar{kind: kindOf(n)}
	switch n := n.(type) {
	case *ast.NullNode:
		r.faultAt(r.nearest(f.path), Problem{
			Code: codeMissing, Path: f.path, Message: last(f.path) + " has no value", Hint: "give it one, or remove the key",
		})
		return
	case *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode:
		r.faultAt(at, Problem{
			Code: codeType, Path: f.path,
			Message: fmt.Sprintf("%s must be %s, not %s", last(f.path), wanted(v.Type()), s.kind),
		})
		return
	case *ast.StringNode:
		at.raw = n.Value
		text, expanded, ok := r.expand(n.Value, at, f.path)
		s.text, s.any, at.expanded = text, expanded, expanded
		s.quoted = n.Token.Type == token.DoubleQuoteType || n.Token.Type == token.SingleQuoteType
		r.showString(n, secret)
		if !ok {
			r.places[f.path] = at
			return
		}
	default:
		s.text, at.raw = n.GetToken().Value, n.GetToken().Value
		if !secret {
			r.source.show(n.GetToken())
		}
	}
	r.places[f.path] = at
	r.set(v, s, f)
}

// showString lets a string be seen in snippets: a secret only where it is
// nothing but a reference, and nothing that looks like it holds a password.
func (r *reader) showString(n *ast.StringNode, secret bool) {
	switch {
	case secret && !isReference(n.Value):
	case strings.HasPrefix(n.Value, "sk-"):
	case strings.ContainsAny(n.Value, "@?") && strings.Contains(n.Value, "//"):
	default:
		r.source.show(n.GetToken())
	}
}

// override sets v from the environment variable of the path.
func (r *reader) override(v reflect.Value, f field) {
	names := []string{"WEIR_" + strings.ToUpper(strings.ReplaceAll(f.path, ".", "_"))}
	if short := f.tag.Get("env"); short != "" {
		names = append(names, short)
	}
	for _, name := range names {
		if text, ok := r.getenv(name); ok && text != "" {
			r.places[f.path] = place{file: name, expanded: true, raw: name}
			r.set(v, scalar{text: text, kind: "text", any: true}, f)
			return
		}
	}
}

// set gives v the value s, or reports why it cannot.
func (r *reader) set(v reflect.Value, s scalar, f field) {
	if convert(v, s) {
		r.bounds(v, s, f)
		return
	}
	code := codeType
	if s.kind == "text" && readsText(v.Type()) {
		code = codeMalformed
	}
	r.fault(f.path, code, fmt.Sprintf("%s must be %s, not %s", last(f.path), wanted(v.Type()), r.described(s, f)), typeHint(v, s))
	setDefault(v, f.tag)
}

// readsText reports whether values of the type are written as text.
func readsText(t reflect.Type) bool {
	switch wanted(t) {
	case "a whole number", "a number", "true or false":
		return false
	default:
		return true
	}
}

// typeHint says how a value of the wrong type may have been meant.
func typeHint(v reflect.Value, s scalar) string {
	switch {
	case s.kind != "text" && v.Kind() == reflect.String:
		return "put it in quotes"
	case s.kind == "a number" && v.Type() == reflect.TypeFor[time.Duration]():
		return "add a unit, such as " + clipText(s.text) + "s"
	case s.quoted && !s.any && !readsText(v.Type()) && convert(reflect.New(v.Type()).Elem(), scalar{text: s.text, any: true}):
		return "remove the quotes"
	default:
		return ""
	}
}

// described says what a value is, without saying a secret.
func (r *reader) described(s scalar, f field) string {
	if at := r.places[f.path]; at.hidden {
		return s.kind
	}
	if s.kind == "text" {
		return r.said(f.path, s.text)
	}
	return clipText(s.text)
}

// said quotes the value of path for a message. A value that was expanded is
// named as it was written.
func (r *reader) said(path, text string) string {
	at := r.places[path]
	switch {
	case at.hidden, strings.HasPrefix(text, "sk-"):
		return "this value"
	case at.expanded:
		return "what " + quote(at.raw) + " holds"
	default:
		return quote(text)
	}
}

// bounds reports a value that is not among those its tag allows.
func (r *reader) bounds(v reflect.Value, s scalar, f field) {
	if choices := strings.Fields(f.tag.Get("enum")); len(choices) > 0 {
		r.choice(s.text, choices, f)
	}
	if v.Kind() == reflect.String && v.String() == "" {
		if f.tag.Get("required") != "" {
			r.fault(f.path, codeMissing, last(f.path)+" is empty", r.emptyHint(f.path))
		}
		return
	}
	var low, high bool
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		low = outside(v, f.tag.Get("min"), func(a, b reflect.Value) bool { return a.Int() < b.Int() })
		high = outside(v, f.tag.Get("max"), func(a, b reflect.Value) bool { return a.Int() > b.Int() })
	case reflect.Float64:
		low = tooSmall(v, f.tag)
		high = outside(v, f.tag.Get("max"), func(a, b reflect.Value) bool { return a.Float() > b.Float() })
	default:
	}
	if !low && !high {
		return
	}
	r.fault(f.path, codeRange, fmt.Sprintf("%s must be %s, not %s", last(f.path), allowed(f.tag), r.described(s, f)), zeroHint(s, f.tag))
	setDefault(v, f.tag)
}

// zeroHint says how no limit is written, where a 0 was meant so.
func zeroHint(s scalar, tag reflect.StructTag) string {
	if _, preset := tag.Lookup("default"); s.text == "0" && tag.Get("min") == "1" && !preset {
		return "for no limit, remove the key"
	}
	return ""
}

func (r *reader) emptyHint(path string) string {
	if at := r.places[path]; at.expanded {
		return quote(at.raw) + " is set and empty"
	}
	return ""
}

func (r *reader) choice(text string, choices []string, f field) {
	if slices.Contains(choices, text) {
		return
	}
	r.fault(f.path, codeChoice,
		fmt.Sprintf("%s must be %s, not %s", last(f.path), strings.Join(choices, " or "), r.said(f.path, text)),
		didYouMean(text, choices))
}

// allowed says in words what range a tag allows.
func allowed(tag reflect.StructTag) string {
	if above := tag.Get("above"); above != "" {
		return "above " + above + " and at most " + tag.Get("max")
	}
	return "between " + tag.Get("min") + " and " + tag.Get("max")
}

// tooSmall compares a number with its lower bound, which it may reach or not.
func tooSmall(v reflect.Value, tag reflect.StructTag) bool {
	return outside(v, tag.Get("above"), func(a, b reflect.Value) bool { return a.Float() <= b.Float() }) ||
		outside(v, tag.Get("min"), func(a, b reflect.Value) bool { return a.Float() < b.Float() })
}

// outside compares v with a bound written as its type is written. No bound holds
// for anything.
func outside(v reflect.Value, bound string, beyond func(a, b reflect.Value) bool) bool {
	if bound == "" {
		return false
	}
	b := reflect.New(v.Type()).Elem()
	convert(b, scalar{text: bound, any: true})
	return beyond(v, b)
}
