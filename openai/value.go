package openai

import (
	"bytes"
	"iter"
	"strconv"
	"unicode/utf8"
)

// Value is one value of a JSON text, or, as its zero value, none. It is a
// cursor: small, copied freely, and good as long as the text is unchanged.
type Value struct {
	doc *document
	at  int
}

func (v Value) node() node {
	if v.doc == nil {
		return node{}
	}
	return v.doc.nodes[v.at]
}

// Kind returns the value's kind, Missing for the zero Value.
func (v Value) Kind() Kind { return v.node().kind }

// Raw returns the value as it stands in the text, nil for the zero Value.
func (v Value) Raw() []byte {
	if v.doc == nil {
		return nil
	}
	n := v.node()
	return v.doc.src[n.start:n.end:n.end]
}

// Members iterates over an object: each name, decoded, with its value. Any other
// kind has none.
func (v Value) Members() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for name, value := range v.pairs() {
			if !yield(name.Text(), value) {
				return
			}
		}
	}
}

// pairs iterates over an object: each name, as a string value, with its value.
func (v Value) pairs() iter.Seq2[Value, Value] {
	return func(yield func(Value, Value) bool) {
		if v.Kind() != Object {
			return
		}
		for i := v.at + 1; i < int(v.node().next); {
			value := Value{v.doc, i + 1}
			if !yield(Value{v.doc, i}, value) {
				return
			}
			i = int(value.node().next)
		}
	}
}

// Elements iterates over an array. Any other kind has none.
func (v Value) Elements() iter.Seq2[int, Value] {
	return func(yield func(int, Value) bool) {
		if v.Kind() != Array {
			return
		}
		for i, n := v.at+1, 0; i < int(v.node().next); n++ {
			e := Value{v.doc, i}
			if !yield(n, e) {
				return
			}
			i = int(e.node().next)
		}
	}
}

// Len returns the number of an array's elements or of an object's members.
func (v Value) Len() int {
	n := 0
	for range v.Elements() {
		n++
	}
	for range v.pairs() {
		n++
	}
	return n
}

// Get returns the object's member of that exact name, or the zero Value.
func (v Value) Get(name string) Value {
	for n, value := range v.pairs() {
		if n.Is(name) {
			return value
		}
	}
	return Value{}
}

// At returns element i of an array, counting from 0, or the zero Value.
func (v Value) At(i int) Value {
	for n, e := range v.Elements() {
		if n == i {
			return e
		}
	}
	return Value{}
}

// Text returns the decoded string, "" for every other kind.
func (v Value) Text() string {
	if !v.node().escaped {
		return string(v.inner())
	}
	return string(v.AppendText(nil))
}

// Bytes returns the decoded string without copying where the text has no
// escapes; it must not be changed. It is nil for every other kind.
func (v Value) Bytes() []byte {
	if !v.node().escaped {
		return v.inner()
	}
	return v.AppendText(nil)
}

// AppendText appends the decoded string to dst.
func (v Value) AppendText(dst []byte) []byte {
	in := v.inner()
	if !v.node().escaped {
		return append(dst, in...)
	}
	for {
		n := bytes.IndexByte(in, '\\')
		if n < 0 {
			return append(dst, in...)
		}
		dst = append(dst, in[:n]...)
		r, size, _ := unescape(in[n:])
		dst = utf8.AppendRune(dst, r)
		in = in[n+size:]
	}
}

// inner returns a string's text between its quotes, still escaped.
func (v Value) inner() []byte {
	n := v.node()
	if n.kind != String {
		return nil
	}
	return v.doc.src[n.start+1 : n.end-1 : n.end-1]
}

// Is reports whether the value is that string.
func (v Value) Is(s string) bool {
	if n := v.node(); n.kind != String || !n.escaped {
		return n.kind == String && string(v.inner()) == s
	}
	return v.Text() == s
}

// Int returns the number where it is written as an integer of 64 bits: no point,
// no exponent. Anything else is not ok.
func (v Value) Int() (n int64, ok bool) {
	if v.Kind() != Number {
		return 0, false
	}
	n, err := strconv.ParseInt(string(v.Raw()), 10, 64)
	return n, err == nil
}

// Float returns the number; one that no float64 can hold is not ok.
func (v Value) Float() (f float64, ok bool) {
	if v.Kind() != Number {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(v.Raw()), 64)
	return f, err == nil
}

// IsTrue reports whether the value is the literal true.
func (v Value) IsTrue() bool { return v.Kind() == Bool && v.Raw()[0] == 't' }

// Path returns how a person writes the way to v from the document's root, as in
// messages[3].content[0].text. The root itself is "".
func (v Value) Path() string {
	if v.doc == nil {
		return ""
	}
	path := ""
	for cur := (Value{doc: v.doc}); cur.at != v.at; {
		step, next := cur.toward(v.at)
		if next.at == cur.at {
			return path
		}
		if cur.Kind() == Object && cur.at != 0 {
			path += "."
		}
		path += step
		cur = next
	}
	return path
}

// toward returns the step from v to the child that holds node at. A member's
// name belongs to the member.
func (v Value) toward(at int) (string, Value) {
	for name, value := range v.pairs() {
		if at < int(value.node().next) {
			if at == name.at {
				return name.Text(), name
			}
			return name.Text(), value
		}
	}
	for i, e := range v.Elements() {
		if at < int(e.node().next) {
			return "[" + strconv.Itoa(i) + "]", e
		}
	}
	return "", v
}
