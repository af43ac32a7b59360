package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// field is what decode needs to know of the value it fills.
type field struct {
	path   string
	tag    reflect.StructTag
	global bool // no map or list stands above: an environment variable may set it
	silent bool // what is missing is known already
}

// entry is one key of a mapping with its value.
type entry struct {
	name  string
	key   ast.Node
	value ast.Node
}

// decode fills v from n and reports what does not fit. A nil n is a value that
// is not there: v gets its defaults.
func (r *reader) decode(n ast.Node, v reflect.Value, f field) {
	n = r.unwrap(n)
	if isScalar(v.Type()) {
		r.decodeScalar(n, v, f)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		r.decodeStruct(n, v.Elem(), f)
	case reflect.Struct:
		r.decodeStruct(n, v, f)
	case reflect.Map:
		r.decodeMap(n, v, f)
	default:
		r.decodeList(n, v, f)
	}
}

// isScalar reports whether a value of the type is written as one scalar.
func isScalar(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[time.Time](), reflect.TypeFor[netip.Prefix]():
		return true
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice:
		return false
	case reflect.Pointer:
		return t.Elem().Kind() != reflect.Struct
	default:
		return true
	}
}

// unwrap refuses anchors, aliases and tags, and returns what stands behind.
func (r *reader) unwrap(n ast.Node) ast.Node {
	for {
		switch w := n.(type) {
		case *ast.AnchorNode:
			r.refuse(n, "anchors (&) are not taken here", "write the value where it is used")
			n = w.Value
		case *ast.AliasNode:
			r.refuse(n, "aliases (*) are not taken here", "write the value out, or use extends in policies")
			return nil
		case *ast.TagNode:
			r.refuse(n, "tags (!) are not taken here", "remove the tag")
			n = w.Value
		case *ast.NullNode:
			return n
		default:
			return n
		}
	}
}

func (r *reader) refuse(n ast.Node, message, hint string) {
	r.faultAt(nodePlace(n), Problem{Code: codeSyntax, Message: message, Hint: hint})
}

// entries returns the keys of a mapping, and false where n is something else,
// which it reports.
func (r *reader) entries(n ast.Node, f field) ([]entry, bool) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return nil, true
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		r.wrongType(n, f, "a mapping of keys to values")
		return nil, false
	}
	list := make([]entry, 0, len(values))
	for _, v := range values {
		key := r.unwrap(v.Key)
		if k, ok := key.(*ast.MappingKeyNode); ok {
			key = r.unwrap(k.Value)
		}
		if v.Key.IsMergeKey() {
			r.refuse(v.Key, "merge keys (<<) are not taken here", "write the values out, or use extends in policies")
			continue
		}
		s, ok := key.(ast.ScalarNode)
		if !ok {
			r.refuse(v, "a key must be plain text", "")
			continue
		}
		list = append(list, entry{name: s.GetToken().Value, key: key, value: v.Value})
	}
	return list, true
}

// place notes where path is, or returns false and reports a key that stands
// twice, whose value is not looked at.
func (r *reader) place(e entry, path string, seen map[string]bool) bool {
	if seen[e.name] {
		r.showNumber(e.value)
		r.faultAt(nodePlace(e.key), Problem{
			Code: codeDuplicate, Path: path, Message: fmt.Sprintf("the key %s stands here twice", quote(e.name)),
			Hint: "first on line " + strconv.Itoa(r.places[path].line) + "; remove one",
		})
		return false
	}
	seen[e.name] = true
	r.places[path] = nodePlace(e.key)
	return true
}

func (r *reader) decodeStruct(n ast.Node, v reflect.Value, f field) {
	keys, t := map[string]int{}, v.Type()
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("yaml"); name != "-" {
			keys[name] = i
		}
	}
	seen := map[string]bool{}
	entries, ok := r.entries(n, f)
	f.silent = f.silent || !ok
	for _, e := range entries {
		i, ok := keys[e.name]
		if !ok {
			r.unknownKey(e, f, t)
			continue
		}
		if path := join(f.path, e.name); r.place(e, path, seen) {
			r.decode(e.value, v.Field(i), field{path: path, tag: t.Field(i).Tag, global: f.global})
		}
	}
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("yaml"); name != "-" {
			r.complete(v.Field(i), t.Field(i).Tag, f, seen[name])
		}
	}
}

// complete gives a field of a struct its default, reports it as missing, or
// lets the environment set it.
func (r *reader) complete(v reflect.Value, tag reflect.StructTag, f field, written bool) {
	sub := field{path: join(f.path, tag.Get("yaml")), tag: tag, global: f.global, silent: f.silent}
	if !written && tag.Get("required") != "" && !f.silent {
		r.missing(sub, f)
		sub.silent = true
	}
	switch {
	case written:
	case v.Kind() == reflect.Struct && !isScalar(v.Type()):
		sub.silent = true // what it requires is required where it is written
		r.decode(nil, v, sub)
	default:
		setDefault(v, tag)
	}
	if f.global && isScalar(v.Type()) && sub.path != "version" {
		r.override(v, sub)
	}
}

func (r *reader) missing(sub, f field) {
	where := "the file"
	if f.path != "" {
		where = f.path
	}
	r.faultAt(r.nearest(f.path), Problem{
		Code: codeMissing, Path: sub.path,
		Message: fmt.Sprintf("%s has no %s", where, sub.tag.Get("yaml")), Hint: example(sub.path),
	})
}

// example returns how a required key may be written.
func example(path string) string {
	switch path[strings.LastIndexByte(path, '.')+1:] {
	case "version":
		return "begin the file with version: 1"
	case "backends":
		return `add backends: { azure: { endpoint: "https://NAME.openai.azure.com", auth: { api_key: "${AZURE_OPENAI_API_KEY}" } } }`
	case "models":
		return "add models: { gpt-4o: { deployments: [{ backend: BACKEND, deployment: DEPLOYMENT }] } }"
	case "deployments":
		return "add deployments: [{ backend: BACKEND, deployment: DEPLOYMENT }]"
	case "endpoint":
		return "add endpoint: https://NAME.openai.azure.com"
	case "auth":
		return `add auth: { api_key: "${AZURE_OPENAI_API_KEY}" }`
	default:
		return ""
	}
}

func (r *reader) decodeMap(n ast.Node, v reflect.Value, f field) {
	entries, ok := r.entries(n, f)
	if ok && len(entries) == 0 && n != nil && f.tag.Get("minItems") != "" {
		r.fault(f.path, codeMissing, f.path+" is empty", example(f.path))
	}
	m := reflect.MakeMap(v.Type())
	seen := map[string]bool{}
	for _, e := range entries {
		path := join(f.path, e.name)
		if !r.place(e, path, seen) {
			continue
		}
		item := reflect.New(v.Type().Elem()).Elem()
		r.checkName(path, e.name, f.tag.Get("names"))
		r.decode(e.value, item, field{path: path})
		m.SetMapIndex(reflect.ValueOf(e.name), item)
	}
	v.Set(m)
}

func (r *reader) decodeList(n ast.Node, v reflect.Value, f field) {
	v.SetZero()
	switch n := n.(type) {
	case nil, *ast.NullNode:
	case *ast.SequenceNode:
		list := reflect.MakeSlice(v.Type(), len(n.Values), len(n.Values))
		for i, value := range n.Values {
			path := f.path + "[" + strconv.Itoa(i) + "]"
			r.places[path] = nodePlace(value)
			r.decode(value, list.Index(i), field{path: path})
		}
		v.Set(list)
	default:
		r.wrongType(n, f, "a list: [a, b], or lines that begin with a dash")
		return
	}
	if v.Len() == 0 && n != nil && f.tag.Get("minItems") != "" {
		r.fault(f.path, codeMissing, f.path+" is empty", example(f.path))
	}
}

// wrongType reports a value that is not of the wanted kind.
func (r *reader) wrongType(n ast.Node, f field, want string) {
	r.faultAt(nodePlace(n), Problem{
		Code: codeType, Path: f.path, Message: fmt.Sprintf("%s must be %s, not %s", last(f.path), want, kindOf(n)),
	})
}
