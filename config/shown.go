package config

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// Shown returns a configuration as YAML for people to read: with its defaults and
// with what its policies inherit, and without its secrets. What is not set and has
// no default is left out.
func Shown(f *File) string {
	b, err := yaml.MarshalWithOptions(shown(reflect.ValueOf(*f)), yaml.IndentSequence(true))
	if err != nil {
		return "# " + err.Error() + "\n" // it holds plain values alone, so it cannot fail
	}
	return string(b)
}

// shown returns a value as plain maps, lists and scalars.
func shown(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case Secret:
		return x.String()
	case time.Time:
		return x.Format(time.RFC3339)
	case fmt.Stringer: // durations, sizes, shares, addresses
		return x.String()
	}
	switch v.Kind() {
	case reflect.Pointer:
		return shown(v.Elem())
	case reflect.Struct:
		return shownFields(v)
	case reflect.Map:
		out := yaml.MapSlice{}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			out = append(out, yaml.MapItem{Key: k.String(), Value: shown(v.MapIndex(k))})
		}
		return out
	case reflect.Slice:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = shown(v.Index(i))
		}
		return out
	case reflect.String:
		return withoutPassword(v.String())
	default:
		return v.Interface()
	}
}

// shownFields returns the fields of a struct that are set, or that have a default.
func shownFields(v reflect.Value) yaml.MapSlice {
	out := yaml.MapSlice{}
	for i := range v.NumField() {
		f, value := v.Type().Field(i), v.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		_, usual := f.Tag.Lookup("default")
		nothing := value.IsZero() || value.Kind() == reflect.Map && value.Len() == 0
		if name == "-" || nothing && (!usual || value.Kind() == reflect.String) {
			continue
		}
		item := yaml.MapItem{Key: name}
		if f.Tag.Get("secret") != "" {
			item.Value = Secret("").String()
		} else {
			item.Value = shown(value)
		}
		if fields, ok := item.Value.(yaml.MapSlice); ok && len(fields) == 0 {
			continue
		}
		out = append(out, item)
	}
	return out
}

// withoutPassword returns a text, but of a URL with a user in it that one masked.
func withoutPassword(text string) string {
	if !strings.Contains(text, "://") || !strings.Contains(text, "@") {
		return text
	}
	u, err := url.Parse(text)
	if err != nil {
		return Secret("").String()
	}
	if u.User != nil {
		u.User = url.User("[secret]")
	}
	return strings.Replace(u.String(), url.User("[secret]").String()+"@", "[secret]@", 1)
}
