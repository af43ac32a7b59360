package config

import (
	"math"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// wanted names what a value of the type is written as.
func wanted(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a duration such as 30s, 5m or 30d"
	case reflect.TypeFor[Percent]():
		return "a share such as 80% or 0.8"
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

// convert sets v from s, or returns false.
func convert(v reflect.Value, s scalar) bool {
	text := s.any || s.kind == "text"
	number := strings.HasPrefix(s.kind, "a number")
	switch p := v.Addr().Interface().(type) {
	case *Percent:
		return (text || number) && store(p, s.text, ParsePercent)
	case *Size:
		return (text || number) && store(p, s.text, ParseSize)
	case *time.Duration, *time.Time, *netip.Prefix:
		return text && convertText(p, s.text)
	}
	if v.Kind() == reflect.String {
		v.SetString(s.text)
		return text
	}
	return convertPlain(v, s)
}

// convertText sets what p points to from text.
func convertText(p any, text string) bool {
	switch p := p.(type) {
	case *time.Duration:
		return store(p, text, ParseDuration)
	case *time.Time:
		return store(p, text, parseTime)
	case *netip.Prefix:
		return store(p, text, parsePrefix)
	default:
		return false
	}
}

// convertPlain sets v from s where it is a number, true or false.
func convertPlain(v reflect.Value, s scalar) bool {
	if !s.any && !fits(s.kind, wanted(v.Type())) {
		return false
	}
	switch p := v.Addr().Interface().(type) {
	case **bool:
		*p = new(bool)
		return store(*p, s.text, parseBool)
	case *bool:
		return store(p, s.text, parseBool)
	case *int:
		return store(p, s.text, parseInt)
	case *float64:
		return store(p, s.text, parseFloat)
	default:
		return false
	}
}

// fits reports whether YAML's kind of value may stand where another is wanted.
func fits(kind, want string) bool {
	switch want {
	case "a whole number":
		return kind == "a number"
	case "a number":
		return strings.HasPrefix(kind, want)
	default:
		return kind == want
	}
}

// store sets p to what parse makes of text, or returns false.
func store[T any](p *T, text string, parse func(string) (T, error)) bool {
	value, err := parse(text)
	if err == nil {
		*p = value
	}
	return err == nil
}

func parseFloat(text string) (float64, error) {
	x, err := strconv.ParseFloat(text, 64)
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0, strconv.ErrRange
	}
	return x, err
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
		items := strings.Fields(text)
		v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
		for i, item := range items {
			convert(v.Index(i), scalar{text: item, any: true})
		}
	default:
		convert(v, scalar{text: text, any: true})
	}
}
