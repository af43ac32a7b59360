package config

import (
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

const maxNumber = 12 // digits of a number that is shown wherever it stands

// scalar is a value as text, with what YAML took it for.
type scalar struct {
	text string
	kind string // as kindOf says
	any  bool   // it was expanded: text that may stand for any type
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
	if want, ok := convert(v, s); !ok {
		hint := ""
		switch {
		case s.kind == "text" && !s.any && (v.Kind() == reflect.Int || v.Kind() == reflect.Float64):
			if _, err := strconv.ParseFloat(s.text, 64); err == nil {
				hint = "remove the quotes"
			}
		case s.kind != "text" && v.Kind() == reflect.String:
			hint = "put it in quotes"
		case s.kind == "a number" && v.Type() == reflect.TypeFor[time.Duration]():
			hint = "add a unit, such as " + clipText(s.text) + "s"
		}
		code := codeType
		if s.kind == "text" && v.Kind() != reflect.Int && v.Kind() != reflect.Float64 && v.Kind() != reflect.Bool {
			code = codeMalformed
		}
		r.fault(f.path, code, fmt.Sprintf("%s must be %s, not %s", last(f.path), want, r.described(s, f)), hint)
		setDefault(v, f.tag)
		return
	}
	r.bounds(v, s, f)
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
	case at.hidden:
		return "this value"
	case at.expanded:
		return "what " + quote(at.raw) + " holds"
	default:
		return quote(text)
	}
}

// wanted names what a value of the type is written as.
func wanted(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a duration such as 30s or 5m"
	case reflect.TypeFor[Size]():
		return "a size such as 20MiB"
	case reflect.TypeFor[time.Time]():
		return "a date such as 2027-03-31 or a time such as 2027-03-31T12:00:00Z"
	case reflect.TypeFor[netip.Prefix]():
		return "an address or a range such as 10.0.0.0/8"
	case reflect.TypeFor[*bool]():
		return "true or false"
	}
	switch t.Kind() {
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	default:
		return "text"
	}
}

// convert sets v from s. Where it cannot, it returns what was wanted.
func convert(v reflect.Value, s scalar) (string, bool) {
	want := wanted(v.Type())
	ok := s.any || s.kind == "text"
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		d, err := time.ParseDuration(s.text)
		*p, ok = d, ok && err == nil
	case *Size:
		n, err := ParseSize(s.text)
		*p, ok = n, (ok || s.kind == "a number") && err == nil
	case *time.Time:
		t, err := parseTime(s.text)
		*p, ok = t, ok && err == nil
	case *netip.Prefix:
		prefix, err := parsePrefix(s.text)
		*p, ok = prefix, ok && err == nil
	case **bool:
		b, err := parseBool(s.text)
		*p, ok = &b, (s.any || s.kind == "true or false") && err == nil
	case *bool:
		b, err := parseBool(s.text)
		*p, ok = b, (s.any || s.kind == "true or false") && err == nil
	case *int:
		n, err := parseInt(s.text)
		*p, ok = n, (s.any || s.kind == "a number") && err == nil
	case *float64:
		x, err := strconv.ParseFloat(s.text, 64)
		*p, ok = x, (s.any || strings.HasPrefix(s.kind, "a number")) && err == nil && !math.IsNaN(x) && !math.IsInf(x, 0)
	default:
		v.SetString(s.text)
	}
	return want, ok
}

// parseInt reads a decimal number without ornaments: what other readers of
// YAML take for octal, or for text, is refused.
func parseInt(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err == nil && strconv.Itoa(n) != text {
		err = strconv.ErrSyntax
	}
	return n, err
}

func parseBool(text string) (bool, error) {
	switch text {
	case "true":
		return true, nil
	case "false":
		return false, nil
	default:
		return false, strconv.ErrSyntax
	}
}

// parseTime reads a time, or a day, which lasts until it ends in UTC.
func parseTime(text string) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day.AddDate(0, 0, 1), nil
	}
	return time.Parse(time.RFC3339, text)
}

func parsePrefix(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a.WithZone("").Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}

// setDefault gives v the default of its tag.
func setDefault(v reflect.Value, tag reflect.StructTag) {
	text, ok := tag.Lookup("default")
	switch {
	case !ok:
		v.SetZero()
	case v.Kind() == reflect.Slice:
		v.Set(reflect.ValueOf(strings.Fields(text)))
	default:
		convert(v, scalar{text: text, any: true})
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
		low = outside(v, f.tag.Get("above"), func(a, b reflect.Value) bool { return a.Float() <= b.Float() })
		high = outside(v, f.tag.Get("max"), func(a, b reflect.Value) bool { return a.Float() > b.Float() })
	default:
	}
	if !low && !high {
		return
	}
	hint := ""
	if s.text == "0" && f.tag.Get("min") == "1" {
		hint = "for no limit, remove the key"
	}
	r.fault(f.path, codeRange, fmt.Sprintf("%s must be %s, not %s", last(f.path), allowed(f.tag), r.described(s, f)), hint)
	setDefault(v, f.tag)
}

func (r *reader) emptyHint(path string) string {
	if at := r.places[path]; at.expanded {
		return quote(at.raw) + " is set and empty"
	}
	return ""
}

func (r *reader) choice(text string, choices []string, f field) {
	for _, c := range choices {
		if c == text {
			return
		}
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
