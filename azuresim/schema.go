package azuresim

import (
	"encoding/json"
	"slices"
	"strings"
)

// schemaDepth bounds recursion through references.
const schemaDepth = 12

// instance returns a small instance of a JSON schema, as encoded JSON. Where the
// schema says nothing it is an empty object.
func instance(schema json.RawMessage) string {
	var root object
	if json.Unmarshal(schema, &root) != nil || root == nil {
		return "{}"
	}
	return encode(schemaWalk{root}.value(root, "answer", 0))
}

type schemaWalk struct{ root object }

// value returns an instance of node, whose property is called name.
func (w schemaWalk) value(node object, name string, depth int) any {
	node = w.resolve(node)
	if depth > schemaDepth {
		return nil
	}
	if v, ok := given(node); ok {
		return v
	}
	for _, key := range []string{"anyOf", "oneOf", "allOf"} {
		if all, ok := node[key].([]any); ok && len(all) > 0 {
			first, _ := all[0].(object)
			return w.value(first, name, depth+1)
		}
	}
	switch kindOf(node) {
	case "object":
		return w.object(node, depth)
	case "array":
		return w.array(node, name, depth)
	case "string":
		return text(node, name)
	case "integer", "number":
		return numberOf(node, "minimum", numberOf(node, "exclusiveMinimum", 0)+1)
	case "boolean":
		return true
	default:
		return nil
	}
}

// given returns the value that node names itself.
func given(node object) (any, bool) {
	for _, key := range []string{"const", "default"} {
		if v, ok := node[key]; ok {
			return v, true
		}
	}
	if all, ok := node["enum"].([]any); ok && len(all) > 0 {
		return all[0], true
	}
	return nil, false
}

// array has as many items as it must.
func (w schemaWalk) array(node object, name string, depth int) []any {
	items, _ := node["items"].(object)
	list := []any{}
	for range int(numberOf(node, "minItems", 0)) {
		list = append(list, w.value(items, name, depth+1))
	}
	return list
}

// object fills the required properties, or all where none is required.
func (w schemaWalk) object(node object, depth int) object {
	properties, _ := node["properties"].(object)
	required, some := node["required"].([]any)
	o := object{}
	for name, p := range properties {
		if sub, ok := p.(object); ok && (!some || slices.Contains(required, any(name))) {
			o[name] = w.value(sub, name, depth+1)
		}
	}
	return o
}

// resolve follows references inside the schema.
func (w schemaWalk) resolve(node object) object {
	for range schemaDepth {
		ref, ok := node["$ref"].(string)
		if !ok {
			return node
		}
		target := any(w.root)
		for step := range strings.SplitSeq(strings.Trim(strings.TrimPrefix(ref, "#"), "/"), "/") {
			if o, ok := target.(object); ok && step != "" {
				target = o[step]
			}
		}
		node, _ = target.(object)
	}
	return node
}

func kindOf(node object) string {
	switch kind := node["type"].(type) {
	case string:
		return kind
	case []any:
		if len(kind) > 0 {
			first, _ := kind[0].(string)
			return first
		}
	}
	if _, ok := node["properties"]; ok {
		return "object"
	}
	return ""
}

func numberOf(node object, key string, otherwise float64) float64 {
	if v, ok := node[key].(float64); ok {
		return v
	}
	return otherwise
}

func text(node object, name string) string {
	format, _ := node["format"].(string)
	switch format {
	case "date-time":
		return "2026-01-02T03:04:05Z"
	case "date":
		return "2026-01-02"
	case "time":
		return "03:04:05Z"
	case "uuid":
		return "00000000-0000-4000-8000-000000000000"
	case "email":
		return "someone@example.com"
	case "uri":
		return "https://example.com/"
	}
	short := int(numberOf(node, "minLength", 0)) - len(name)
	full := name + strings.Repeat("x", max(0, short))
	return full[:min(len(full), int(numberOf(node, "maxLength", float64(len(full)))))]
}
