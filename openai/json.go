package openai

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// The bounds of one document. They keep any input's cost within a small
// multiple of its size.
const (
	MaxDepth  = 64      // how deep arrays and objects may nest
	MaxValues = 200_000 // how many values and member names a document may have
)

// Kind is the kind of a JSON value.
type Kind uint8

// The kinds. Missing is the zero Value's: no such member or element.
const (
	Missing Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

// node is one value, or one member name, in the order of the text. The nodes of
// an array or object follow it directly, up to next.
type node struct {
	start, end uint32 // in the text, quotes and brackets included
	next       uint32 // the first node behind this one and all it holds
	kind       Kind
	escaped    bool // a string with at least one backslash
}

// document is one JSON text and its nodes.
type document struct {
	src   []byte
	nodes []node
}

// SyntaxError is a fault in a JSON text.
type SyntaxError struct {
	Offset  int    // in bytes
	Message string // what is wrong, without the text itself
}

// Error returns the fault and where it is.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s at byte %d", e.Message, e.Offset)
}

// ParseValue returns the one value that src holds. It is stricter than RFC 8259
// asks for, because a text that two parsers read differently is a way around
// every rule: it refuses duplicate names (however escaped), invalid UTF-8, lone
// surrogates, a byte order mark, text behind the value, and documents over
// MaxDepth and MaxValues. Numbers of any size and spelling are kept as they are.
// The value refers to src, which must not change while it is used. The error is
// a *SyntaxError.
func ParseValue(src []byte) (Value, error) {
	p := parser{document: &document{src: src, nodes: make([]node, 0, 16+len(src)/24)}}
	if err := p.parse(); err != nil {
		return Value{}, err
	}
	return Value{doc: p.document}, nil
}

// ReadValue returns the one value that src holds, as ParseValue does, but takes
// what an upstream may send and no rule is decided by: duplicate names, of which
// the first is found, half surrogates and bytes that are not UTF-8, which decode
// to U+FFFD and to themselves, a byte order mark, and ever so many values. What a
// member logprobs or embedding holds can be read as raw text alone. Who edits or hands on the
// text keeps all of it.
func ReadValue(src []byte) (Value, error) {
	p := parser{document: &document{src: src, nodes: make([]node, 0, 16+len(src)/24)}, lenient: true}
	if bytes.HasPrefix(src, []byte("\ufeff")) {
		p.pos = len("\ufeff")
	}
	if err := p.parse(); err != nil {
		return Value{}, err
	}
	return Value{doc: p.document}, nil
}

// parser reads one document.
type parser struct {
	*document
	lenient bool // as ReadValue is
	pos     int
	depth   int
	names   []int // the nodes of the names of every object that is open
}

func (p *parser) parse() error {
	if len(p.src) > 1<<31-1 {
		return p.fault(0, "the text is too large")
	}
	p.space()
	if err := p.value(); err != nil {
		return err
	}
	p.space()
	if p.pos < len(p.src) {
		return p.fault(p.pos, "there is more text behind the value")
	}
	return nil
}

func (p *parser) fault(at int, message string) error {
	return &SyntaxError{Offset: at, Message: message}
}

func (p *parser) space() {
	for p.pos < len(p.src) {
		switch p.src[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

// open appends a node that starts here.
func (p *parser) open(k Kind) (int, error) {
	if len(p.nodes) >= MaxValues && !p.lenient {
		return 0, p.fault(p.pos, fmt.Sprintf("there are more than %d values", MaxValues))
	}
	p.nodes = append(p.nodes, node{start: uint32(p.pos), kind: k}) //nolint:gosec // parse refuses texts of 2 GiB and more
	return len(p.nodes) - 1, nil
}

// shut ends node i here.
func (p *parser) shut(i int) {
	p.nodes[i].end = uint32(p.pos) //nolint:gosec // as in open
	p.nodes[i].next = uint32(len(p.nodes))
}

func (p *parser) value() error {
	if p.pos >= len(p.src) {
		return p.fault(p.pos, "the text ends where a value should be")
	}
	switch c := p.src[p.pos]; {
	case c == '"':
		return p.text()
	case c == '{':
		return p.object()
	case c == '[':
		return p.array()
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	case c == 't':
		return p.word("true", Bool)
	case c == 'f':
		return p.word("false", Bool)
	case c == 'n':
		return p.word("null", Null)
	default:
		return p.fault(p.pos, "there is no value that begins so")
	}
}

func (p *parser) word(w string, k Kind) error {
	if !strings.HasPrefix(string(p.src[p.pos:min(len(p.src), p.pos+len(w))]), w) {
		return p.fault(p.pos, "there is no value that begins so")
	}
	i, err := p.open(k)
	if err != nil {
		return err
	}
	p.pos += len(w)
	p.shut(i)
	return nil
}

func (p *parser) digits() bool {
	from := p.pos
	for p.pos < len(p.src) && p.src[p.pos] >= '0' && p.src[p.pos] <= '9' {
		p.pos++
	}
	return p.pos > from
}

// at reports whether the next byte is one of set.
func (p *parser) at(set string) bool {
	return p.pos < len(p.src) && strings.IndexByte(set, p.src[p.pos]) >= 0
}

func (p *parser) number() error {
	i, err := p.open(Number)
	if err != nil {
		return err
	}
	if p.at("-") {
		p.pos++
	}
	zero := p.at("0")
	from := p.pos
	if !p.digits() || zero && p.pos > from+1 {
		return p.fault(from, "a number has no digits or begins with a zero too many")
	}
	if p.at(".") {
		p.pos++
		if !p.digits() {
			return p.fault(p.pos, "a number has no digits behind its point")
		}
	}
	if p.at("eE") {
		p.pos++
		if p.at("+-") {
			p.pos++
		}
		if !p.digits() {
			return p.fault(p.pos, "a number has no digits in its exponent")
		}
	}
	p.shut(i)
	return nil
}

// nest counts one level down.
func (p *parser) nest() error {
	if p.depth++; p.depth > MaxDepth {
		return p.fault(p.pos, fmt.Sprintf("values are nested deeper than %d", MaxDepth))
	}
	p.pos++
	p.space()
	return nil
}

// leave counts one level up, over the closing bracket.
func (p *parser) leave(i int) {
	p.pos++
	p.depth--
	p.shut(i)
}

func (p *parser) array() error {
	i, err := p.open(Array)
	if err == nil {
		err = p.nest()
	}
	if err != nil {
		return err
	}
	for first := true; !p.at("]"); first = false {
		if err := p.comma(first); err != nil {
			return err
		}
		if err := p.value(); err != nil {
			return err
		}
		p.space()
	}
	p.leave(i)
	return nil
}

// comma reads what stands between two elements or members.
func (p *parser) comma(first bool) error {
	if first {
		return nil
	}
	if !p.at(",") {
		return p.fault(p.pos, "a comma or a closing bracket is missing")
	}
	p.pos++
	p.space()
	return nil
}

func (p *parser) object() error {
	i, err := p.open(Object)
	if err == nil {
		err = p.nest()
	}
	if err != nil {
		return err
	}
	outer := len(p.names)
	for first := true; !p.at("}"); first = false {
		if err := p.comma(first); err != nil {
			return err
		}
		if err := p.member(); err != nil {
			return err
		}
		p.space()
	}
	if !p.lenient {
		err = p.distinct(p.names[outer:])
	}
	p.names = p.names[:outer]
	p.leave(i)
	return err
}

func (p *parser) member() error {
	if !p.at(`"`) {
		return p.fault(p.pos, "a member's name is missing")
	}
	p.names = append(p.names, len(p.nodes))
	if err := p.text(); err != nil {
		return err
	}
	p.space()
	if !p.at(":") {
		return p.fault(p.pos, "a colon is missing")
	}
	p.pos++
	p.space()
	at := len(p.nodes)
	err := p.value()
	if name := (Value{p.document, at - 1}); p.lenient && err == nil && (name.Is("logprobs") || name.Is("embedding")) {
		p.nodes = p.nodes[:at+1]
		p.nodes[at].next = uint32(at + 1) //nolint:gosec // as in open
	}
	return err
}

// distinct refuses two equal names.
func (p *parser) distinct(names []int) error {
	const few = 12
	escaped := func(n int) bool { return p.nodes[n].escaped }
	if len(names) <= few && !slices.ContainsFunc(names, escaped) {
		for i, a := range names {
			for _, b := range names[:i] {
				if p.same(a, b) {
					return p.fault(int(p.nodes[a].start), "a name stands twice in one object")
				}
			}
		}
		return nil
	}
	seen := make(map[string]struct{}, len(names))
	for _, n := range names {
		name := Value{doc: p.document, at: n}.Text()
		if _, twice := seen[name]; twice {
			return p.fault(int(p.nodes[n].start), "a name stands twice in one object")
		}
		seen[name] = struct{}{}
	}
	return nil
}

// same compares two names that have no escapes.
func (p *parser) same(a, b int) bool {
	x, y := p.nodes[a], p.nodes[b]
	return string(p.src[x.start:x.end]) == string(p.src[y.start:y.end])
}
