package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const maxNesting = 32 // of brackets, and four times that of dashes on one line

// parse reads data as one YAML document. A nil node with true is an empty
// document.
func (r *reader) parse(data []byte) (ast.Node, bool) {
	if len(data) > maxFile {
		r.fault("", codeUnreadable, fmt.Sprintf("the file has %d bytes; at most %d are read", len(data), maxFile), "")
		return nil, false
	}
	text, ok := r.text(data)
	if !ok {
		return nil, false
	}
	r.source = source{shown: map[int][]span{}}
	for line := range strings.SplitSeq(text, "\n") {
		r.source.lines = append(r.source.lines, []rune(line))
	}
	tokens, file, err := tokenize(text)
	r.source.showStructure(tokens)
	if err != nil {
		r.source.showScalars(tokens)
		r.syntax(err)
		return nil, false
	}
	return r.document(file)
}

// text returns data as text with plain line ends, and reports what is not
// text.
func (r *reader) text(data []byte) (string, bool) {
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		r.faultAt(place{line: 1, column: 1}, Problem{
			Code: codeUnreadable, Message: "the file is UTF-16", Hint: "save it as UTF-8",
		})
		return "", false
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		r.faultAt(place{line: 1, column: 1}, Problem{
			Code: codeUnreadable, Message: "the file begins with a byte order mark", Hint: "save it as UTF-8 without one",
		})
		data = data[3:]
	}
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	line, column := 1, 0
	for i, c := range text {
		column++
		switch {
		case c == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD"):
			r.faultAt(place{line: line, column: column}, Problem{
				Code: codeUnreadable, Message: fmt.Sprintf("the byte 0x%02x is not UTF-8", text[i]), Hint: "save the file as UTF-8",
			})
			return "", false
		case c == '\n':
			line, column = line+1, 0
		case c < ' ' && c != '\t', c == 0x7f, c == 0x85, c == 0xfeff, c == 0x2028, c == 0x2029:
			r.faultAt(place{line: line, column: column}, Problem{
				Code: codeUnreadable, Message: fmt.Sprintf("the control character U+%04X has no place here", c), Hint: "remove it",
			})
			return "", false
		}
	}
	return text, true
}

// tokenize runs the parser. What the parser panics on is a syntax error too.
func tokenize(text string) (tokens token.Tokens, file *ast.File, err error) {
	defer func() {
		if recover() != nil {
			file, err = nil, errors.New("this cannot be read as YAML")
		}
	}()
	tokens = lexer.Tokenize(text)
	if at := tooDeep(tokens); at != nil {
		return tokens, nil, &yaml.SyntaxError{Message: "nested too deeply", Token: at}
	}
	file, err = parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	return tokens, file, err
}

// tooDeep returns the token at which the nesting becomes too deep for the
// parser, which recurses.
func tooDeep(tokens token.Tokens) *token.Token {
	flow, dashes, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, dashes = t.Position.Line, 0
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType:
			dashes++
		default:
		}
		if flow > maxNesting || dashes > 4*maxNesting {
			return t
		}
	}
	return nil
}

// syntax reports the first thing the parser stumbled upon.
func (r *reader) syntax(err error) {
	at, message, hint := place{}, err.Error(), ""
	if e, ok := errors.AsType[*yaml.SyntaxError](err); ok && e.Token != nil {
		at.line, at.column, message = e.Token.Position.Line, e.Token.Position.Column, e.Message
	}
	at.column = max(at.column, min(at.line, 1))
	if n := len(r.source.lines); at.line > n {
		at.line, at.column = n, 1
	}
	if at.line > 0 {
		line := string(r.source.lines[at.line-1])
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		switch {
		case strings.Contains(indent, "\t"):
			message, hint = "a tab indents this line", "indent with spaces"
			at.column = 1 + strings.IndexByte(indent, '\t')
		case strings.Contains(line, "${") && strings.ContainsAny(line, "{["):
			hint = `inside { } and [ ] put quotes around it: "${NAME}"`
		case strings.Contains(message, "not allowed in this context"):
			hint = "check the indentation of this line and the next, and quote text that holds \": \""
		}
	}
	r.faultAt(at, Problem{Code: codeSyntax, Message: "not valid YAML: " + message, Hint: hint})
}

// document returns the root of the only document.
func (r *reader) document(file *ast.File) (ast.Node, bool) {
	var root ast.Node
	for _, d := range file.Docs {
		switch body := d.Body.(type) {
		case nil:
		case *ast.DirectiveNode:
			r.faultAt(nodePlace(body), Problem{Code: codeSyntax, Message: "directives are not taken here", Hint: "remove the line"})
			return nil, false
		default:
			if root != nil {
				at := nodePlace(body)
				if d.Start != nil {
					at = place{line: d.Start.Position.Line, column: d.Start.Position.Column}
				}
				r.faultAt(at, Problem{
					Code: codeSyntax, Message: "a second document begins here", Hint: "a file holds one configuration; remove the ---",
				})
				return nil, false
			}
			root = body
		}
	}
	return root, true
}
