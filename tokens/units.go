package tokens

import "unicode/utf8"

// Merging a text that is not ASCII spends most of its steps on making characters
// of their bytes. For most characters that can be left out: units says which may
// be one part from the start, where they stand, without a change to the result.
//
// Let r be the highest rank of the tokens that merging the character alone makes,
// the character itself the last of them. It may be one part if every token that
// holds it and more has a rank above r, and so has every token that holds a part
// of it and crosses its boundary to a neighbor. For then, until its bytes have
// become one part, no other merge can touch them, and as one part it takes no part
// in any merge that could have come before.
type units struct {
	// highest is r, by code point; noRank for a character that is no token or is
	// held by a token of a rank not above r.
	highest [1 << 16]uint32

	// crossing is the lowest rank of a token that has those two bytes in a row, a
	// character's last and another's first by their low six bits, and is not whole
	// characters.
	crossing [1 << 6][1 << 6]uint32
}

func newUnits() *units {
	u := new(units)
	for i := range u.highest {
		u.highest[i] = noRank
	}
	for i := range u.crossing {
		for j := range u.crossing[i] {
			u.crossing[i][j] = noRank
		}
	}
	return u
}

// add notes a token. Until finish, highest is the lowest rank of the tokens that
// hold the character and more.
func (u *units) add(token []byte, rank uint32) {
	whole := true
	for i := 0; i < len(token); {
		r, n := rune(token[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRune(token[i:])
			whole = whole && n > 1
			if n > 1 && n < len(token) && int(r) < len(u.highest) {
				u.highest[r] = min(u.highest[r], rank)
			}
		}
		i += n
	}
	if whole {
		return
	}
	for i := 1; i < len(token); i++ {
		if token[i-1]&0xC0 == 0x80 && token[i] >= 0xC0 {
			c := &u.crossing[token[i-1]&0x3F][token[i]&0x3F]
			*c = min(*c, rank)
		}
	}
}

// finish makes highest what it should be, when all tokens are known.
func (u *units) finish(t *ranks) {
	var b [utf8.UTFMax + padding]byte
	for r := range rune(len(u.highest)) {
		more := u.highest[r]
		u.highest[r] = noRank
		if n := utf8.EncodeRune(b[:], r); r >= utf8.RuneSelf && utf8.ValidRune(r) {
			highest := t.rank(b[:], n)
			if n == 3 {
				highest = max(highest, min(t.rank(b[:], 2), t.rank(b[1:], 2)))
			}
			if highest < more {
				u.highest[r] = highest
			}
		}
	}
}

// size returns the bytes of the part that may begin at i of the text b, behind
// whose n bytes there is padding: those of a character, or 1.
func (u *units) size(b []byte, i, n int) int {
	r, size := character(b[i:])
	if size == 1 || u.highest[r] == noRank {
		return 1
	}
	if i > 0 && !u.apart(b[i-1], b[i], u.highest[r]) {
		return 1
	}
	if end := i + size; end < n && !u.apart(b[end-1], b[end], u.highest[r]) {
		return 1
	}
	return size
}

// apart reports whether bytes in a row are the last of a character and the first
// of another, and no token crosses from one to the other at a rank up to r.
func (u *units) apart(last, first byte, r uint32) bool {
	return last&0xC0 == 0x80 && first >= 0xC0 && u.crossing[last&0x3F][first&0x3F] > r
}

// character returns the character of 2 or 3 bytes that b begins with, and its
// bytes; or 1 for anything else.
func character(b []byte) (uint16, int) {
	switch {
	case b[0] >= 0xC2 && b[0] < 0xE0 && b[1]&0xC0 == 0x80:
		return uint16(b[0]&0x1F)<<6 | uint16(b[1]&0x3F), 2
	case b[0]&0xF0 == 0xE0 && b[1]&0xC0 == 0x80 && b[2]&0xC0 == 0x80:
		if r := uint16(b[0])<<12 | uint16(b[1]&0x3F)<<6 | uint16(b[2]&0x3F); r >= 0x800 {
			return r, 3
		}
	}
	return 0, 1
}
