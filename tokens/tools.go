package tokens

import (
	"bytes"

	"weir/openai"
)

// Tools are shown to the model as TypeScript declarations, one a function, in a
// namespace. What follows writes that text, as far as it can be known: it agrees
// with every recorded usage of the tests.

const (
	maxNesting   = 8  // how deep references to definitions are followed
	maxIndent    = 16 // spaces before a member; more of them are one token too
	nestedIndent = 2
)

// schemas writes declarations.
type schemas struct {
	out  []byte
	room int // references are followed while out is shorter, so that few cannot make much

	// undescribed is how many functions have parameters and no description of
	// any of them. Each costs a token less in the newer encodings than the text.
	undescribed int
}

// namespace writes the declarations of functions.
func (s *schemas) namespace(functions []openai.Value) {
	s.add("namespace functions {\n\n")
	for _, f := range functions {
		s.function(f)
	}
	s.add("} // namespace functions")
}

func (s *schemas) add(text string) { s.out = append(s.out, text...) }

func (s *schemas) function(f openai.Value) {
	s.comment(f.Get("description"), 0)
	s.add("type ")
	s.out = f.Get("name").AppendText(s.out)
	parameters := f.Get("parameters")
	if parameters.Get("properties").Len() == 0 {
		s.add(" = () => any;\n\n")
		return
	}
	s.add(" = (_: {\n")
	w := writer{schemas: s, root: parameters}
	if !w.properties(parameters, 0, 0) {
		s.undescribed++
	}
	s.add("}) => any;\n\n")
}

// comment writes a description, each line behind two slashes.
func (s *schemas) comment(description openai.Value, indent int) bool {
	text := bytes.TrimRight(description.Bytes(), "\n")
	if len(text) == 0 {
		return false
	}
	for line := range bytes.SplitSeq(text, []byte{'\n'}) {
		s.indent(indent)
		s.add("//")
		if len(line) > 0 {
			s.add(" ")
			s.out = append(s.out, line...)
		}
		s.add("\n")
	}
	return true
}

func (s *schemas) indent(n int) {
	for range min(n, maxIndent) {
		s.out = append(s.out, ' ')
	}
}

// writer writes the parameters of one function.
type writer struct {
	*schemas
	root openai.Value // of the references
}

// properties writes the members of an object schema, and reports whether any has
// a description. Descriptions of nested members are not shown to the model.
func (w writer) properties(schema openai.Value, indent, depth int) (described bool) {
	required := names(schema.Get("required"))
	for name, property := range schema.Get("properties").Members() {
		if indent < nestedIndent && w.comment(property.Get("description"), indent) {
			described = true
		}
		w.indent(indent)
		w.add(name)
		if !required[name] {
			w.add("?")
		}
		w.add(": ")
		w.kind(property, indent, depth)
		w.add(",")
		if value := property.Get("default"); indent < nestedIndent && value.Kind() != openai.Missing {
			w.add(" // default: ")
			w.literal(value)
		}
		w.add("\n")
	}
	return described
}

// names returns the strings of an array as a set.
func names(list openai.Value) map[string]bool {
	set := make(map[string]bool)
	for _, name := range list.Elements() {
		set[name.Text()] = true
	}
	return set
}

// kind writes the type that a schema stands for.
func (w writer) kind(schema openai.Value, indent, depth int) {
	for _, union := range [...]string{"anyOf", "oneOf"} {
		if list := schema.Get(union); list.Kind() == openai.Array {
			w.join(list, " | ", func(v openai.Value) { w.kind(v, indent, depth) })
			return
		}
	}
	if list := schema.Get("allOf"); list.Kind() == openai.Array {
		w.join(list, " & ", func(v openai.Value) { w.kind(v, indent, depth) })
		return
	}
	if ref := schema.Get("$ref"); ref.Kind() == openai.String {
		w.reference(ref, indent, depth)
		return
	}
	if list := schema.Get("enum"); list.Kind() == openai.Array {
		w.join(list, " | ", w.literal)
		return
	}
	kind := schema.Get("type")
	if kind.Kind() == openai.Array {
		w.join(kind, " | ", func(one openai.Value) { w.named(one, schema, indent, depth) })
		return
	}
	w.named(kind, schema, indent, depth)
}

func (w writer) join(list openai.Value, between string, write func(openai.Value)) {
	for i, v := range list.Elements() {
		if i > 0 {
			w.add(between)
		}
		write(v)
	}
}

// named writes the type of that name, with what the schema says of it.
func (w writer) named(kind, schema openai.Value, indent, depth int) {
	switch {
	case kind.Is("integer"), kind.Is("number"):
		w.add("number")
	case kind.Is("object"), kind.Kind() == openai.Missing && schema.Get("properties").Kind() == openai.Object:
		w.add("{\n")
		w.properties(schema, indent+nestedIndent, depth)
		w.add("}")
	case kind.Is("array"):
		if items := schema.Get("items"); items.Kind() == openai.Object {
			w.kind(items, indent, depth)
		} else {
			w.add("any")
		}
		w.add("[]")
	case kind.Kind() == openai.String:
		w.out = kind.AppendText(w.out)
	default:
		w.add("any")
	}
}

// literal writes a value of an enumeration or a default.
func (w writer) literal(v openai.Value) {
	if v.Kind() != openai.String {
		w.out = append(w.out, v.Raw()...)
		return
	}
	w.add(`"`)
	w.out = v.AppendText(w.out)
	w.add(`"`)
}

// reference writes the definition that a pointer names, in place, as long as that
// cannot make a small schema large; else its name.
func (w writer) reference(ref openai.Value, indent, depth int) {
	pointer := ref.Bytes()
	at := w.root
	steps := bytes.Split(pointer, []byte{'/'})
	for _, step := range steps[1:] {
		at = at.Get(string(step))
	}
	if len(steps) < 2 || at.Kind() != openai.Object || depth >= maxNesting || len(w.out) >= w.room {
		w.out = append(w.out, steps[len(steps)-1]...)
		return
	}
	w.kind(at, indent, depth+1)
}
