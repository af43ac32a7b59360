package tokens

import (
	"testing"
	"unicode"
	"unicode/utf8"
)

// Go's own tables are a version of Unicode behind: what they know has to be the
// same. The code points are some that they do not know.
func TestClassesAgreeWithUnicode(t *testing.T) {
	t.Parallel()
	c := newClasses()
	newer := 0
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if r == 0x32400 {
			r = 0xE0000 // nothing is between
		} else if r == 0xE0200 {
			break
		}
		got := c.blocks[r>>blockBits][r&(blockSize-1)]
		if r < utf8.RuneSelf && got != c.ascii[r] {
			t.Errorf("the class of %U is %b and %b", r, got, c.ascii[r])
		}
		want := symbol
		switch {
		case r == '\r' || r == '\n':
			want = newline
		case unicode.Is(unicode.White_Space, r):
			want = space
		case unicode.In(r, unicode.Lu, unicode.Lt):
			want = upper
		case unicode.Is(unicode.Ll, r):
			want = lower
		case unicode.In(r, unicode.Lm, unicode.Lo):
			want = caseless
		case unicode.Is(unicode.M, r):
			want = mark
		case unicode.Is(unicode.N, r):
			want = number
		case !unicode.In(r, unicode.P, unicode.S, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs) && got != symbol:
			newer++
			continue
		}
		if got != want {
			t.Errorf("the class of %U is %b, want %b", r, got, want)
		}
	}
	if newer != 5055 {
		t.Errorf("%d code points are newer than Unicode %s, want 5055", newer, unicode.Version)
	}
	for r, want := range map[rune]class{'\u0897': mark, '\u1C89': upper, '\u1C8A': lower, 0x105C0: caseless, 0x10D40: number, 0x2EBF0: caseless} {
		if got := c.of(r); got != want {
			t.Errorf("the class of %U is %b, want %b", r, got, want)
		}
	}
}
