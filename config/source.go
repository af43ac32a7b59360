package config

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	maxNesting = 32  // of brackets, and of dashes on one line
	maxWidth   = 120 // of a line in a snippet, in characters
)

// source is the text of the file with what of it may be shown. Everything is
// hidden but what was recognized as harmless.
type source struct {
	lines [][]rune
	shown map[int][]span // by line
}

// span is a part of a line: the characters from to to, counted from 0.
type span struct {
	from, to int
	comment  bool
}

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

// showStructure lets keys, punctuation and the place of comments be seen.
func (s *source) showStructure(tokens token.Tokens) {
	for i, t := range tokens {
		switch t.Type {
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.CollectEntryType,
			token.SequenceStartType, token.SequenceEndType, token.MappingStartType, token.MappingEndType,
			token.DocumentHeaderType, token.LiteralType, token.FoldedType, token.AnchorType, token.AliasType,
			token.MergeKeyType:
			s.show(t)
		case token.CommentType:
			s.showComment(t)
		default:
			if i+1 < len(tokens) && tokens[i+1].Type == token.MappingValueType && !looksSecret(t.Value) {
				s.show(t)
			}
		}
	}
}

// showScalars lets numbers be seen, and the values of keys that hold no
// secret. It is for files that are not YAML; decode knows better.
func (s *source) showScalars(tokens token.Tokens) {
	harmless := harmlessKeys()
	for i, t := range tokens {
		switch t.Type {
		case token.IntegerType, token.FloatType, token.BoolType, token.NullType:
			if len(t.Value) <= maxNumber {
				s.show(t)
			}
		case token.StringType, token.SingleQuoteType, token.DoubleQuoteType:
			if i >= 2 && tokens[i-1].Type == token.MappingValueType && harmless[tokens[i-2].Value] {
				s.show(t)
			}
		default:
		}
	}
}

// show lets one token be seen, if it stands on one line and where it says.
func (s *source) show(t *token.Token) {
	raw := []rune(strings.Trim(t.Origin, " \n\t"))
	from := t.Position.Column - 1
	line := t.Position.Line
	if line < 1 || line > len(s.lines) || from < 0 || from+len(raw) > len(s.lines[line-1]) {
		return
	}
	if string(s.lines[line-1][from:from+len(raw)]) == string(raw) {
		s.shown[line] = append(s.shown[line], span{from: from, to: from + len(raw)})
	}
}

// showComment lets it be seen that there is a comment, not what it says.
func (s *source) showComment(t *token.Token) {
	line, from := t.Position.Line, t.Position.Column-1
	if line < 1 || line > len(s.lines) || from < 0 || from >= len(s.lines[line-1]) || s.lines[line-1][from] != '#' {
		return
	}
	s.shown[line] = append(s.shown[line], span{from: from, to: len(s.lines[line-1]), comment: true})
}

// snippet returns a line and the one before it, with a caret under column.
func (s *source) snippet(line, column int) string {
	if line < 1 || line > len(s.lines) {
		return ""
	}
	var b strings.Builder
	if line > 1 {
		text, _ := s.visible(line-1, 1)
		b.WriteString(strings.TrimRight(fmt.Sprintf("  %3d | %s", line-1, text), " ") + "\n")
	}
	text, caret := s.visible(line, column)
	lead := fmt.Sprintf("> %3s | ", strconv.Itoa(line))
	b.WriteString(strings.TrimRight(lead+text, " ") + "\n")
	b.WriteString(strings.Repeat(" ", len(lead)+caret) + "^")
	return b.String()
}

// visible returns what may be seen of a line, clipped around column, and where
// column is in it, from 0.
func (s *source) visible(line, column int) (string, int) {
	text := s.lines[line-1]
	sight := make([]byte, len(text)) // 0 hidden, 's' seen, '#' a comment
	for _, p := range s.shown[line] {
		for i := p.from; i < p.to; i++ {
			sight[i] = 's'
			if p.comment {
				sight[i] = '#'
			}
		}
	}
	var out []rune
	caret := -1
	for i := 0; i < len(text); {
		if caret < 0 && i >= column-1 {
			caret = len(out)
		}
		end := i + 1
		switch {
		case sight[i] == '#':
			out = append(out, []rune("# …")...)
			end = len(text)
		case sight[i] == 's' || text[i] == ' ' || text[i] == '\t':
			out = append(out, plain(text[i]))
		default:
			out = append(out, []rune("[secret]")...)
			for end < len(text) && sight[end] == 0 {
				end++
			}
			for text[end-1] == ' ' {
				end--
			}
		}
		i = end
	}
	if caret < 0 {
		caret = len(out)
	}
	return clip(out, caret)
}

// plain returns a character that takes one column.
func plain(c rune) rune {
	if c == '\t' {
		return ' '
	}
	return c
}

// clip keeps the part of a line around the caret.
func clip(line []rune, caret int) (string, int) {
	from := 0
	if caret > maxWidth*2/3 {
		from = caret - maxWidth*2/3
	}
	to := min(len(line), from+maxWidth)
	text := string(line[from:to])
	if to < len(line) {
		text += "…"
	}
	if from > 0 {
		return "…" + text, caret - from + 1
	}
	return text, caret
}
