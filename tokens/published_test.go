package tokens_test

import (
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/pkoukk/tiktoken-go"
	loader "github.com/pkoukk/tiktoken-go-loader"

	"weir/tokens"
)

// reference is an encoding as tiktoken-go has it, which finds the pieces with the
// published expressions. It needs the square of a piece's length. It differs from
// OpenAI's own tiktoken, by which we go, in what is left out here: it does not
// take the long s for an s, and goes by the Unicode of Go's library.
type reference struct{ *tiktoken.Tiktoken }

func (r reference) count(text string) int { return len(r.EncodeOrdinary(text)) }

// alike reports whether the reference counts a text as OpenAI's tiktoken does.
func alike(text string) bool {
	for _, r := range text {
		if r == 'ſ' || r > unicode.MaxLatin1 && !assigned(r) {
			return false
		}
	}
	return true
}

// assigned reports whether Go's library knows a code point.
func assigned(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z, unicode.Cc, unicode.Cf, unicode.Co)
}

// published returns the references, by the names of their encodings.
var published = sync.OnceValue(func() map[string]reference {
	const (
		cl100k = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
		r50k   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	)
	o200k := strings.Join([]string{
		`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?`,
		`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?`,
		`\p{N}{1,3}`,
		` ?[^\s\p{L}\p{N}]+[\r\n/]*`,
		`\s*[\r\n]+`,
		`\s+(?!\S)`,
		`\s+`,
	}, "|")
	all := make(map[string]reference)
	for name, pattern := range map[string]string{tokens.CL100K: cl100k, tokens.O200K: o200k, tokens.P50K: r50k, tokens.R50K: r50k} {
		ranks, err := loader.NewOfflineLoader().LoadTiktokenBpe(name + ".tiktoken")
		if err != nil {
			panic(err)
		}
		core, err := tiktoken.NewCoreBPE(ranks, nil, pattern)
		if err != nil {
			panic(err)
		}
		all[name] = reference{tiktoken.NewTiktoken(core, nil, nil)}
	}
	return all
})

// agree compares our count of a text with the references'.
func agree(t testing.TB, text string) {
	t.Helper()
	if !alike(text) {
		return
	}
	for name, ref := range published() {
		c := shared(t).Counter(tokens.Model{Encoding: name})
		want := ref.count(text)
		if got := c.Text([]byte(text)); got != want {
			t.Errorf("%s: Text(%.300q) = %d, want %d", name, text, got, want)
		}
		if got, within := c.CountLimit([]byte(text), want); got != want || !within {
			t.Errorf("%s: CountLimit(%.300q, %d) = %d, %v, want %d, true", name, text, want, got, within, want)
		}
		if got, within := c.CountLimit([]byte(text), want-1); got < want || within {
			t.Errorf("%s: CountLimit(%.300q, %d) = %d, %v, want more, false", name, text, want-1, got, within)
		}
	}
}

func FuzzCount(f *testing.F) {
	for _, text := range []string{
		"Hello, world! It's 12345 o'clock.", "'S'lL'ſ'RE", "\n \n\t  x", "e\u0301\u0301Aʰb", "=\n/\r\n//x", "\xff\xe2\x82", "中文 한국어 👨\u200d👩", "<|endoftext|>",
		strings.Repeat("a", 1500), strings.Repeat(" ", 1100) + "x", strings.Repeat("中a", 300),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) <= 1600 {
			agree(t, text)
		}
	})
}

// Code points of all kinds, in several neighborhoods.
func TestCodePointsCountAsPublished(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if utf8.ValidRune(r) && alike(string(r)) && (r < 0x700 || r%97 == 0 && !unicode.In(r, unicode.Co)) {
			s := string(r)
			text.WriteString(s + "a" + s + s + "B " + s + "1\n" + s + "'s " + s)
		}
		if text.Len() > 1000 || r == utf8.MaxRune {
			agree(t, text.String())
			text.Reset()
		}
	}
}
