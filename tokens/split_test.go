package tokens

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The pieces that the published expressions find, where that takes thought. How
// many tokens they make is compared elsewhere, with any text.
func TestPieces(t *testing.T) {
	t.Parallel()
	c := newClasses()
	for _, tt := range []struct {
		name    string
		pattern pattern
		text    string
		want    string // the pieces, divided by ¦
	}{
		{"a word takes what stands before it", cl100kPattern, "It (is)\tso", "It¦ (¦is¦)¦\tso"},
		{"a sign before a word", cl100kPattern, "!a !!a", "!a¦ !!¦a"},
		{"a line's end stays with signs", cl100kPattern, "x;\r\n\ny", "x¦;\r\n\n¦y"},
		{"no word takes a line's end", cl100kPattern, "\na", "\n¦a"},
		{"numbers by three", cl100kPattern, "12345½٣ 6", "123¦45½¦٣¦ ¦6"},
		{"contractions of any case", cl100kPattern, "I'LL'sſ'ſ'x", "I¦'LL¦'s¦ſ¦'ſ¦'x"},
		{"a mark is no letter", cl100kPattern, "e\u0301a \u0301", "e¦\u0301a¦ \u0301"},
		{"the last space goes on", cl100kPattern, "a   b", "a¦  ¦ b"},
		{"the last tab does not", cl100kPattern, "a\t\t1 \t", "a¦\t¦\t¦1¦ \t"},
		{"white space to the last line's end", cl100kPattern, " \n \n  b", " \n \n¦ ¦ b"},
		{"other white space", cl100kPattern, "\u00a0\u00a0b\u3000 c", "\u00a0¦\u00a0b¦\u3000¦ c"},

		{"a capital begins a word", o200kPattern, "HelloWorld ABCdef", "Hello¦World¦ ABCdef"},
		{"capitals alone", o200kPattern, "ABC'sX 'd", "ABC's¦X¦ '¦d"},
		{"a word keeps its contraction", o200kPattern, "don't I'ſ it'sn't", "don't¦ I'ſ¦ it's¦n't"},
		{"no contraction without a word", o200kPattern, "1'll", "1¦'ll"},
		{"back to the last letter without case", o200kPattern, "中Aʰ中BC d", "中Aʰ中¦BC¦ d"},
		{"not back before a small letter", o200kPattern, "中ABc", "中ABc"},
		{"a mark belongs to a word", o200kPattern, "e\u0301 \u0301a!\u0301", "e\u0301¦ \u0301a¦!\u0301"},
		{"a mark alone before capitals", o200kPattern, "\u0301AB", "\u0301¦AB"},
		{"a mark with its contraction", o200kPattern, "\u0301's", "\u0301's"},
		{"a sign before capitals", o200kPattern, "!AB", "!AB"},
		{"slashes stay with signs", o200kPattern, "=\n//\n/a", "=\n//\n/¦a"},
		{"a title is a capital", o200kPattern, "aǅb", "a¦ǅb"},
		{"signs before a mark", o200kPattern, "!!\u0301a", "!!\u0301¦a"},

		{"only a space stands before a word", r50kPattern, "a\tb !c", "a¦\t¦b¦ !¦c"},
		{"numbers of any length", r50kPattern, " 123456 7", " 123456¦ 7"},
		{"small contractions only", r50kPattern, "it's'S", "it¦'s¦'¦S"},
		{"a line's end is white space", r50kPattern, "a;\n\n  b\n", "a¦;¦\n\n ¦ b¦\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := splitter{classes: c, pattern: tt.pattern, text: []byte(tt.text)}
			var pieces []string
			for s.pos < len(tt.text) {
				from := s.pos
				s.next()
				pieces = append(pieces, tt.text[from:s.pos])
			}
			if diff := cmp.Diff(strings.Split(tt.want, "¦"), pieces); diff != "" {
				t.Errorf("the pieces of %q (-want +got):\n%s", tt.text, diff)
			}
		})
	}
}

func TestOutside(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		for place := range 8 {
			x := uint64('m') * ones
			x ^= (uint64('m') ^ uint64(c)) << (8 * place)
			want := uint64(0x80) << (8 * place)
			if 'a' <= c && c <= 'z' {
				want = 0
			}
			if got := outside(x); got != want {
				t.Fatalf("outside(%#x) = %#x, want %#x", x, got, want)
			}
		}
	}
}
