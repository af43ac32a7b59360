package tokens

import (
	"unicode"
	"unicode/utf8"
)

// The bounds that keep the cost of any text within a multiple of its size. Merging
// a piece costs the square of its length and memory grows with the window.
const (
	maxRun    = 512      // bytes of text that may be one piece
	window    = 4 << 10  // a text is counted in windows of about so many bytes
	maxWindow = 32 << 10 // and of at most so many
)

// split calls count with the parts of b, one after the other, none longer than
// maxWindow and none with a piece much longer than maxRun, and returns the sum.
//
// Windows end where every pattern begins a piece anyway, before a single space
// between a word's end and a letter, and so change nothing. Where a run of
// letters, digits, spaces or symbols exceeds maxRun, or a window has no such
// place, the text is cut at the next rune and one token more is charged: the
// pieces at a cut may merge worse apart, and that token makes the count an upper
// bound in practice. Words of that length do not occur in natural languages; the
// count of everything else is exact.
func split(b []byte, count func(string) int) int { return splitAt(b, window, count) }

// splitAt is split with windows of about that many bytes.
func splitAt(b []byte, window int, count func(string) int) int {
	if len(b) <= maxRun {
		if len(b) == 0 {
			return 0
		}
		return count(string(b))
	}
	total, cuts := 0, 0
	s := scanner{text: b, window: window}
	for s.pos < len(b) {
		from := s.pos
		forced := s.next()
		total += count(string(b[from:s.pos]))
		if forced {
			cuts++
		}
	}
	if cuts == 0 {
		return total
	}
	// No token is shorter than a byte, and an invalid byte is read as three.
	most := len(b)
	if !utf8.Valid(b) {
		most *= 3
	}
	return min(total+cuts, most)
}

// scanner finds the ends of the windows of a text.
type scanner struct {
	text   []byte
	window int
	pos    int

	// How many bytes there are since the last rune that cannot be in a piece of
	// letters, digits, spaces or symbols. Marks may stand in two of them.
	letters, digits, spaces, symbols int
}

// next moves to the end of the next window and reports whether it had to be cut
// where a piece may go on.
func (s *scanner) next() (forced bool) {
	start, safe := s.pos, s.pos
	s.letters, s.digits, s.spaces, s.symbols = 0, 0, 0, 0
	for i := start; i < len(s.text); {
		if s.between(i) {
			if i-start >= s.window {
				s.pos = i
				return false
			}
			safe = i
		}
		size := s.add(i)
		i += size
		if max(s.letters, s.digits, s.spaces, s.symbols) >= maxRun || i-start >= maxWindow-utf8.UTFMax {
			if safe > start && i-safe > 2*maxRun {
				s.pos = safe
				return false
			}
			s.pos = i
			return i < len(s.text)
		}
	}
	s.pos = len(s.text)
	return false
}

// between reports whether a space that begins the next word stands at i.
func (s *scanner) between(i int) bool {
	if s.text[i] != ' ' || i == 0 || i+1 >= len(s.text) {
		return false
	}
	next := s.text[i+1] | 0x20
	prev := s.text[i-1]
	return next >= 'a' && next <= 'z' && prev > ' ' && prev < utf8.RuneSelf
}

// add counts the rune at i into the runs it may belong to and returns its size.
func (s *scanner) add(i int) int {
	r, size := rune(s.text[i]), 1
	if r >= utf8.RuneSelf {
		r, size = utf8.DecodeRune(s.text[i:])
	}
	ascii := r < utf8.RuneSelf
	letter, digit := unicode.IsLetter(r), unicode.IsNumber(r)
	mark := !ascii && unicode.IsMark(r)
	space := unicode.IsSpace(r)
	run(&s.letters, size, letter || mark)
	run(&s.digits, size, digit)
	run(&s.symbols, size, !letter && !digit && (!ascii || !space))
	run(&s.spaces, size, space || !ascii && !letter && !digit)
	return size
}

func run(n *int, size int, goesOn bool) {
	if goesOn {
		*n += size
	} else {
		*n = 0
	}
}
