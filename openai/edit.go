package openai

import (
	"cmp"
	"slices"
	"unicode/utf8"
)

// Edit replaces the bytes [Start, End) of a text by Text. An insertion has
// Start == End.
type Edit struct {
	Start, End int
	Text       string
}

// Apply returns src with the edits made; src itself is not changed, and is
// returned as it is where there are none. Edits may come in any order. Those at
// one place are made in the order given, and one inside a range that another
// edit removes goes with it.
func Apply(src []byte, edits ...Edit) []byte {
	if len(edits) == 0 {
		return src
	}
	sorted := slices.Clone(edits)
	slices.SortStableFunc(sorted, func(a, b Edit) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.End, b.End))
	})
	size := len(src)
	for _, e := range sorted {
		size += len(e.Text)
	}
	dst, from := make([]byte, 0, size), 0
	for _, e := range sorted {
		if e.Start < from {
			continue
		}
		dst = append(dst, src[from:e.Start]...)
		dst = append(dst, e.Text...)
		from = e.End
	}
	return append(dst, src[from:]...)
}

func (v Value) span() (start, end int) {
	n := v.node()
	return int(n.start), int(n.end)
}

// Replace returns the edit that puts raw, which must be JSON, in v's place.
func (v Value) Replace(raw string) Edit {
	start, end := v.span()
	return Edit{Start: start, End: end, Text: raw}
}

// Set returns the edit that gives the object v a member: the value of one that
// is there is replaced, a new one goes to the front. Raw must be JSON. An object
// without members takes only one new member at a time.
func (v Value) Set(name, raw string) Edit {
	if old := v.Get(name); old.Kind() != Missing {
		return old.Replace(raw)
	}
	start, _ := v.span()
	text := string(appendString(nil, name)) + ":" + raw
	if v.Len() > 0 {
		text += ","
	}
	return Edit{Start: start + 1, End: start + 1, Text: text}
}

// Unset returns the edits that take members, with their commas, out of the object
// v. Names that it does not have are passed over.
func (v Value) Unset(names ...string) []Edit {
	var starts, ends []int
	var gone []bool
	for n, value := range v.pairs() {
		start, _ := n.span()
		_, end := value.span()
		starts, ends = append(starts, start), append(ends, end)
		gone = append(gone, slices.ContainsFunc(names, n.Is))
	}
	return remove(starts, ends, func(i int) bool { return gone[i] })
}

// Drop returns the edits that take the chosen elements, with their commas, out
// of the array v.
func (v Value) Drop(drop func(i int) bool) []Edit {
	starts, ends := []int{}, []int{}
	for _, e := range v.Elements() {
		start, end := e.span()
		starts, ends = append(starts, start), append(ends, end)
	}
	return remove(starts, ends, drop)
}

// remove returns the edits that take items out of a list that is separated by
// commas.
func remove(starts, ends []int, drop func(i int) bool) []Edit {
	var edits []Edit
	for i := 0; i < len(starts); i++ {
		if !drop(i) {
			continue
		}
		from := i
		for i+1 < len(starts) && drop(i+1) {
			i++
		}
		switch {
		case i+1 < len(starts):
			edits = append(edits, Edit{Start: starts[from], End: starts[i+1]})
		case from > 0:
			edits = append(edits, Edit{Start: ends[from-1], End: ends[i]})
		default:
			edits = append(edits, Edit{Start: starts[from], End: ends[i]})
		}
	}
	return edits
}

// InsertText returns the edit that puts text, which must need no escapes, into
// the string v before byte n of its decoded form, or before the next character
// where n is inside of one.
func (v Value) InsertText(n int, text string) Edit {
	in := v.inner()
	raw, decoded := 0, 0
	for raw < len(in) && (decoded < n || !utf8.RuneStart(in[raw])) {
		if in[raw] != '\\' {
			raw++
			decoded++
			continue
		}
		r, size, _ := unescape(in[raw:])
		raw += size
		decoded += utf8.RuneLen(r)
	}
	start, _ := v.span()
	at := start + 1 + raw
	return Edit{Start: at, End: at, Text: text}
}

// Edit makes edits in what the event's data says. Root then tells of what they made,
// so that further edits are of that.
func (e *Event) Edit(edits ...Edit) {
	if len(edits) == 0 {
		return
	}
	e.Data = Apply(e.Data, edits...)
	if root, err := ReadValue(e.Data); err == nil {
		e.Root = root
	}
}
