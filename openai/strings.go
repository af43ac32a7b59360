package openai

import (
	"encoding/binary"
	"math/bits"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// plain returns how many of the leading bytes of b are ASCII that stands for
// itself in a string. It looks at eight bytes at a time.
func plain(b []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(b)-n >= 8; n += 8 {
		w := binary.LittleEndian.Uint64(b[n:])
		quote, slash := w^ones*'"', w^ones*'\\'
		stop := (quote - ones) &^ quote
		stop |= (slash - ones) &^ slash
		stop |= (w - ones*' ') &^ w
		if stop = (stop | w) & highs; stop != 0 {
			return n + bits.TrailingZeros64(stop)/8
		}
	}
	for ; n < len(b); n++ {
		if c := b[n]; c == '"' || c == '\\' || c < ' ' || c >= utf8.RuneSelf {
			break
		}
	}
	return n
}

func (p *parser) text() error {
	i, err := p.open(String)
	if err != nil {
		return err
	}
	for p.pos++; ; {
		p.pos += plain(p.src[p.pos:])
		if p.pos >= len(p.src) {
			return p.fault(int(p.nodes[i].start), "a string has no end")
		}
		switch p.src[p.pos] {
		case '"':
			p.pos++
			p.shut(i)
			return nil
		case '\\':
			p.nodes[i].escaped = true
			err = p.escape()
		default:
			err = p.character()
		}
		if err != nil {
			return err
		}
	}
}

// escape reads an escape.
func (p *parser) escape() error {
	_, n, half := unescape(p.src[p.pos:])
	if n == 0 || half && !p.lenient {
		return p.fault(p.pos, "a string has an escape that means nothing")
	}
	p.pos += n
	return nil
}

// character reads a character that is not ASCII, or that may not stand in a
// string.
func (p *parser) character() error {
	if p.src[p.pos] < ' ' {
		return p.fault(p.pos, "a string has a control character that is not escaped")
	}
	r, n := utf8.DecodeRune(p.src[p.pos:])
	if r == utf8.RuneError && n == 1 && !p.lenient {
		return p.fault(p.pos, "a string is not valid UTF-8")
	}
	p.pos += n
	return nil
}

// unescape returns the character that the escape at the head of b stands for,
// and the escape's length, which is 0 where it is none. Half a surrogate pair
// stands for U+FFFD.
func unescape(b []byte) (r rune, n int, half bool) {
	if len(b) < 2 {
		return 0, 0, false
	}
	const from, to = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	if i := strings.IndexByte(from, b[1]); i >= 0 {
		return rune(to[i]), 2, false
	}
	high, ok := hex4(b)
	switch {
	case !ok:
		return 0, 0, false
	case !utf16.IsSurrogate(high):
		return high, 6, false
	}
	if low, ok := hex4(b[6:]); ok {
		if r := utf16.DecodeRune(high, low); r != utf8.RuneError {
			return r, 12, false
		}
	}
	return utf8.RuneError, 6, true
}

// hex4 reads \uXXXX.
func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
