package tokens

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// pattern is one of the published patterns that cut a text into pieces.
type pattern uint8

const (
	cl100kPattern pattern = iota
	o200kPattern
	r50kPattern // p50k has the same
)

// splitter cuts a text into the pieces that the pattern's regular expression
// would find, which leave nothing out. The expressions stand beside their methods.
type splitter struct {
	*classes
	pattern pattern
	text    []byte
	pos     int  // where the next piece begins
	bad     bool // the last piece may have bytes that are not UTF-8
}

// next moves pos to the end of the piece that begins there.
func (s *splitter) next() {
	s.bad = false
	switch s.pattern {
	case cl100kPattern:
		s.pos = s.cl100k(s.pos)
	case r50kPattern:
		s.pos = s.r50k(s.pos)
	default:
		s.pos = s.o200k(s.pos)
	}
}

// cl100k returns the end of the piece that begins at i, by the expression
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
//	 ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
func (s *splitter) cl100k(i int) int {
	c, n := s.at(i)
	switch {
	case c&letter != 0:
		return s.letters(i + n)
	case c&number != 0:
		return s.digits(i + n)
	case s.text[i] == '\'':
		if end := s.contraction(i); end > i {
			return end
		}
	case c&newline != 0:
		return s.blank(i)
	}
	d, m := s.at(i + n)
	switch {
	case d&letter != 0:
		return s.letters(i + n + m)
	case c&sign != 0:
		return s.lineEnds(s.run(i+n, sign), false)
	case d&sign != 0 && s.text[i] == ' ':
		return s.lineEnds(s.run(i+n+m, sign), false)
	default:
		return s.blank(i)
	}
}

// o200k returns the end of the piece that begins at i, by the expression
//
//	[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|
//	[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|
//	\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
func (s *splitter) o200k(i int) int {
	c, n := s.at(i)
	switch {
	case c&(letter|mark) != 0:
		return s.contraction(s.word(i))
	case c&number != 0:
		return s.digits(i + n)
	case c&newline != 0:
		return s.blank(i)
	}
	j := i + n
	if end := s.word(j); end > j {
		return s.contraction(end)
	}
	switch {
	case c&symbol != 0:
		return s.lineEnds(s.run(j, sign), true)
	}
	if d, m := s.at(j); d&sign != 0 && s.text[i] == ' ' {
		return s.lineEnds(s.run(j+m, sign), true)
	}
	return s.blank(i)
}

// word returns the end of the word of o200k that begins at i, without a prefix
// and a contraction, or i where none does.
//
// Capitals and then small letters are a word. Letters without case and marks are
// both: where no small letter follows the capitals, the first alternative gives
// characters back until the last of them is such a one. It is preferred to the
// second, which takes capitals alone. So a mark is never a prefix of capitals, and
// as a prefix of anything else it is as good as a part of the word.
func (s *splitter) word(i int) int {
	last := 0 // the end of the last character that is capital and small
	for {
		c, n := s.at(i)
		if c&head == 0 {
			break
		}
		i += n
		if c&tail != 0 {
			last = i
		}
	}
	if end := s.smallLetters(i); end > i {
		return end
	}
	if last > 0 {
		return last
	}
	return i
}

// r50k returns the end of the piece that begins at i, by the expression
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
func (s *splitter) r50k(i int) int {
	c, n := s.at(i)
	j := i + n
	switch s.text[i] {
	case '\'':
		if end := s.contraction(i); end > i {
			return end
		}
	case ' ':
		d, m := s.at(j)
		if d&(letter|number|sign) != 0 {
			c, j = d, j+m
		}
	}
	switch {
	case c&letter != 0:
		return s.letters(j)
	case c&number != 0:
		return s.run(j, number)
	case c&sign != 0:
		return s.run(j, sign)
	default:
		return s.blank(i)
	}
}

// contraction returns the end of the contraction that begins at i, or i. Only
// r50k knows capitals from small letters. The long s is an s without case.
func (s *splitter) contraction(i int) int {
	if s.octet(i) != '\'' {
		return i
	}
	var fold byte = 0x20
	if s.pattern == r50kPattern {
		fold = 0
	}
	a, b := s.octet(i+1)|fold, s.octet(i+2)|fold
	switch a {
	case 's', 't', 'm', 'd':
		return i + 2
	case 'r', 'v':
		if b == 'e' {
			return i + 3
		}
	case 'l':
		if b == 'l' {
			return i + 3
		}
	case "ſ"[0] | 0x20:
		if r, n := utf8.DecodeRune(s.text[i+1:]); r == 'ſ' && fold != 0 {
			return i + 1 + n
		}
	}
	return i
}

// octet returns the byte at i, 0 at the end.
func (s *splitter) octet(i int) byte {
	if i >= len(s.text) {
		return 0
	}
	return s.text[i]
}

// digits returns the end of at most three numbers, of which one ends at i.
func (s *splitter) digits(i int) int {
	for range 2 {
		c, n := s.at(i)
		if c&number == 0 {
			break
		}
		i += n
	}
	return i
}

// lineEnds returns the end of the newlines, and slashes, that follow signs.
func (s *splitter) lineEnds(i int, slashes bool) int {
	for i < len(s.text) && (s.text[i] == '\n' || s.text[i] == '\r' || s.text[i] == '/' && slashes) {
		i++
	}
	return i
}

// blank returns the end of a piece of white space: after the last newline, else
// before the last character, which belongs to what follows, unless nothing does
// or it is the only one.
func (s *splitter) blank(i int) int {
	line, before, end := 0, i, i
	for {
		c, n := s.at(end)
		if c&white == 0 {
			break
		}
		before = end
		end += n
		if c&newline != 0 {
			line = end
		}
	}
	switch {
	case line > 0 && s.pattern != r50kPattern:
		return line
	case end < len(s.text) && before > i:
		return before
	default:
		return end
	}
}

// at returns the class of the character at i and its bytes, no class at the end.
func (s *splitter) at(i int) (class, int) {
	if uint(i) >= uint(len(s.text)) {
		return 0, 0
	}
	if c := s.text[i]; c < utf8.RuneSelf {
		return s.ascii[c], 1
	}
	return s.wide(i)
}

// wide is at for a character that is not ASCII. A byte that is not UTF-8 is the
// replacement character.
func (s *splitter) wide(i int) (class, int) {
	r, n := utf8.DecodeRune(s.text[i:])
	if n == 1 {
		s.bad = true
	}
	return s.of(r), n
}

// run returns the end of the characters of those classes that begin at i.
func (s *splitter) run(i int, set class) int {
	for {
		c, n := s.at(i)
		if c&set == 0 {
			return i
		}
		i += n
	}
}

// letters returns the end of the letters that begin at i.
func (s *splitter) letters(i int) int {
	for i+8 <= len(s.text) {
		x := binary.LittleEndian.Uint64(s.text[i:])
		if other := outside(x | 0x20*ones); other != 0 {
			i += bits.TrailingZeros64(other) / 8
			break
		}
		i += 8
	}
	return s.run(i, letter)
}

// smallLetters returns the end of what a word of o200k goes on with.
func (s *splitter) smallLetters(i int) int {
	for i+8 <= len(s.text) {
		x := binary.LittleEndian.Uint64(s.text[i:])
		if other := outside(x); other != 0 {
			i += bits.TrailingZeros64(other) / 8
			break
		}
		i += 8
	}
	return s.run(i, tail)
}

const ones = 0x0101010101010101 // in each of eight bytes

// outside returns the eight bytes of x with the high bit set, and nothing else,
// in those that are not from a to z.
func outside(x uint64) uint64 {
	low := x &^ (0x80 * ones)
	fromA := low + (0x80-'a')*ones
	pastZ := low + (0x80-'z'-1)*ones
	return ^(fromA &^ pastZ &^ x) & (0x80 * ones)
}
