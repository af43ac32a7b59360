package tokens

import (
	"bytes"
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// pathological returns a megabyte of each text that costs a careless counter the
// square of its length.
func pathological() map[string][]byte {
	const size = 1 << 20
	random := rand.New(rand.NewPCG(1, 2))
	word := make([]byte, size)
	noise := make([]byte, size/4*3)
	for i := range word {
		word[i] = byte('a' + random.IntN(26))
	}
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	texts := map[string][]byte{
		"random letters": word,
		"base64":         []byte(base64.StdEncoding.EncodeToString(noise)),
		"invalid":        noise,
	}
	for _, unit := range []string{
		"a", "A", "aA", "=", "中", "ก", "я", " ", "\n", "\t", "\r\n", " \n", "0", "½", "é", "e\u0301", "!\u0301",
		"!!\u0301", "\u0301", "🙂", "\x00", "\xff", "\u00a0", "\u0085", "\ufeff", "\u200b", "'", "'s", "//", "=\n", "_", "٣",
	} {
		texts[strings.ToValidUTF8(unit, "bad byte")] = bytes.Repeat([]byte(unit), size/len(unit))
	}
	return texts
}

// longestPiece returns an upper bound on the bytes of a piece that any of the
// patterns may make of s: the longest run of what the pieces' classes allow.
func longestPiece(s string) int {
	longest := 0
	for _, class := range []func(rune) bool{
		func(r rune) bool { return unicode.IsLetter(r) || unicode.IsMark(r) },
		unicode.IsNumber,
		unicode.IsSpace,
		func(r rune) bool { return !unicode.IsSpace(r) && !unicode.IsLetter(r) && !unicode.IsNumber(r) },
	} {
		run := 0
		for i, r := range s {
			if class(r) {
				_, size := utf8.DecodeRuneInString(s[i:])
				run += size
				longest = max(longest, run)
			} else {
				run = 0
			}
		}
	}
	return longest
}

// The encoder's cost is the square of a piece's length: what is held here is the
// work given to it, not its time.
func TestNoTextReachesTheEncoderWithLongPieces(t *testing.T) {
	t.Parallel()
	for name, text := range pathological() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls, sum := 0, 0
			split(text, func(s string) int {
				calls++
				sum += len(s)
				if len(s) > maxWindow {
					t.Fatalf("a window has %d bytes, want at most %d", len(s), maxWindow)
				}
				if n := longestPiece(s); n > maxRun+utf8.UTFMax {
					t.Fatalf("a piece may have %d bytes, want at most %d", n, maxRun)
				}
				return 1
			})
			if sum != len(text) {
				t.Errorf("the windows have %d bytes in all, want %d", sum, len(text))
			}
			if most := len(text)/(maxRun-utf8.UTFMax) + 1; calls > most {
				t.Errorf("there are %d windows, want at most %d", calls, most)
			}
		})
	}
}

// Windows that end between words must not change the count, and a cut in a long
// run must not lower it.
func TestWindowsKeepTheCount(t *testing.T) {
	t.Parallel()
	var encodings Encodings
	unit := rapid.SampledFrom([]string{
		"word", " word", " The", "  ", "\n", "\n\n", " \n \n", "\t", "1", "1234", " 5", ".", ", ", "'s", " it's", "!!!", " =", "()",
		"é", " über", "中文", "。", "привет", " мир", "🙂", "e\u0301", "\u00a0", "Ab", "aB", "//\n", "/", " a", " x\n", "\"", " \"a",
	})
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		for text.Len() < maxRun {
			text.WriteString(rapid.StringOfN(rapid.RuneFrom([]rune("ab ")), 0, 4, -1).Draw(t, "letters"))
			text.WriteString(strings.Repeat(unit.Draw(t, "unit"), rapid.IntRange(1, 40).Draw(t, "times")))
		}
		const window = 200
		whole := text.String()
		v := encodings.vocabulary(rapid.SampledFrom([]string{CL100K, R50K}).Draw(t, "encoding"))
		got, want := splitAt([]byte(whole), window, v.count), v.count(whole)
		if longestPiece(whole) < maxRun && got != want {
			t.Fatalf("split(%q…) = %d, want %d", text.String(), got, want)
		}
		if got < want {
			t.Fatalf("split(%q…) = %d, want at least %d", text.String(), got, want)
		}
	})
}

func TestEachCutCostsATokenAndNoTokenLessThanAByte(t *testing.T) {
	t.Parallel()
	text := bytes.Repeat([]byte("a"), 3*maxRun)
	one := func(string) int { return 1 }
	length := func(s string) int { return len(s) }
	for _, tt := range []struct {
		name  string
		text  []byte
		count func(string) int
		want  int
	}{
		{"three windows and two cuts", text, one, 5},
		{"as many as bytes", text, length, len(text)},
		{"invalid bytes are read as three", bytes.Repeat([]byte("\xff"), 3*maxRun), length, 3*maxRun + 2},
		{"short enough", text[:maxRun], one, 1},
		{"nothing", nil, one, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := split(tt.text, tt.count); got != tt.want {
				t.Errorf("split = %d, want %d", got, tt.want)
			}
		})
	}
}

func TestCutsAreAnUpperBound(t *testing.T) {
	t.Parallel()
	var encodings Encodings
	v := encodings.vocabulary(CL100K)
	for name, text := range pathological() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			part := text[:3000]
			got, want := split(part, v.count), v.count(string(part))
			if got < want || got > want+want/8+8 {
				t.Errorf("split = %d, want %d or a little more", got, want)
			}
		})
	}
}
