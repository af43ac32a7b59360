package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/token"
)

const maxWidth = 120 // of a line in a snippet, in characters

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
	sight := s.sight(line)
	var out []rune
	caret := -1
	for i := 0; i < len(text); {
		if caret < 0 && i >= column-1 {
			caret = len(out)
		}
		end := i + 1
		switch sight[i] {
		case comment:
			out, end = append(out, []rune("# …")...), len(text)
		case seen:
			out = append(out, plain(text[i]))
		default:
			out = append(out, []rune("[secret]")...)
			for end < len(text) && sight[end] == hidden {
				end++
			}
		}
		i = end
	}
	if caret < 0 {
		caret = len(out)
	}
	return clip(out, caret)
}

// What may be seen of a character.
const (
	hidden byte = iota
	seen
	comment
)

// sight returns for each character of a line what may be seen of it. Spaces
// are seen but for those inside of what is hidden.
func (s *source) sight(line int) []byte {
	text := s.lines[line-1]
	sight := make([]byte, len(text))
	for _, p := range s.shown[line] {
		for i := p.from; i < p.to; i++ {
			sight[i] = seen
			if p.comment {
				sight[i] = comment
			}
		}
	}
	for i := 0; i < len(text); i++ {
		from := i
		i += spaces(text[i:])
		if from > 0 && sight[from-1] == hidden && i < len(text) && sight[i] == hidden {
			continue
		}
		for at := from; at < i; at++ {
			sight[at] = max(sight[at], seen)
		}
	}
	return sight
}

// spaces returns how many spaces and tabs text begins with.
func spaces(text []rune) int {
	for i, c := range text {
		if c != ' ' && c != '\t' {
			return i
		}
	}
	return len(text)
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
