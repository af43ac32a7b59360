package tokens

import (
	"bytes"
	"encoding/base64"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	loader "github.com/pkoukk/tiktoken-go-loader"
	"pgregory.net/rapid"
)

// Pathological returns so many bytes of each text that costs a careless counter
// the square of its length.
func Pathological(size int) map[string][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, size)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	some := func(runes string) []byte {
		all := []rune(runes)
		var b []byte
		for len(b) < size {
			b = append(b, string(all[random.IntN(len(all))])...)
		}
		return b
	}
	texts := map[string][]byte{
		"random letters":  some("abcdefghijklmnopqrstuvwxyz"),
		"common letters":  some("etaoinshrdlu"),
		"random Cyrillic": some("абвгдежзийклмнопрстуфхцчшщ"),
		"random Chinese":  some("的一是不了人我在有他这中大来上国"),
		"random signs":    some("=-_*#+!?;"),
		"random space":    some(" \t\u00a0\u3000"),
		"random breaks":   some(" \t\n\r"),
		"random marks":    some("\u0301\u0300\u0308\u0327"),
		"random emoji":    some("🙂😀👍🎉\u200d\ufe0f"),
		"base64":          []byte(base64.StdEncoding.EncodeToString(noise)),
		"random bytes":    noise,
	}
	for _, unit := range []string{
		"a", "A", "aA", "ab", "=", "中", "ก", "я", " ", "\n", "\t", "\r\n", " \n", "0", "½", "é", "e\u0301", "!\u0301", "!!\u0301", "\u0301", "中A", "ʰ",
		"🙂", "👨\u200d👩\u200d👧", "🇩🇪", "\x00", "\xff", "\u00a0", "\u0085", "\ufeff", "\u200b", "'", "'s", "'ſ", "//", "=\n", "_", "٣", "<|", "\\\"",
	} {
		texts[strings.ToValidUTF8(unit, "bad byte")] = bytes.Repeat([]byte(unit), size/len(unit)+1)
	}
	for name, text := range texts {
		texts[name] = text[:size]
	}
	return texts
}

// vocabularies returns the ranks of each file.
var vocabularies = sync.OnceValue(func() map[string]*ranks {
	all := make(map[string]*ranks)
	for _, name := range []string{CL100K, O200K, P50K, R50K} {
		r, err := newRanks(name)
		if err != nil {
			panic(err)
		}
		all[name] = r
	}
	return all
})

// plain merges as the rule of merging says, and no faster.
func plain(r *ranks, piece []byte) []int {
	text := append(slices.Clone(piece), make([]byte, maxToken+padding)...)
	var ends []int
	for i := range piece {
		ends = append(ends, i+1)
	}
	for {
		best, at := uint32(noRank), 0
		for i := range len(ends) - 1 {
			start := 0
			if i > 0 {
				start = ends[i-1]
			}
			if rank := r.rank(text[start:], ends[i+1]-start); rank < best {
				best, at = rank, i
			}
		}
		if best == noRank {
			return ends
		}
		ends = slices.Delete(ends, at, at+1)
	}
}

func TestRanks(t *testing.T) {
	t.Parallel()
	for name, r := range vocabularies() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all, err := loader.NewOfflineLoader().LoadTiktokenBpe(name + ".tiktoken")
			if err != nil {
				t.Fatal(err)
			}
			for token, want := range all {
				text := append([]byte(token), make([]byte, padding)...)
				if got := r.rank(text, len(token)); got != uint32(want) {
					t.Fatalf("rank(%q) = %d, want %d", token, got, want)
				}
				for n := range token {
					if _, ok := all[token[:n]]; !ok && n > 0 && r.rank(text, n) != noRank {
						t.Fatalf("rank(%q) = %d, want none", token[:n], r.rank(text, n))
					}
				}
				zero := append(text, make([]byte, padding)...)
				if _, ok := all[token+"\x00"]; !ok && r.rank(zero, len(token)+1) != noRank {
					t.Fatalf("rank(%q) is that of %q", token+"\x00", token)
				}
			}
			if r.rank(make([]byte, 200), 129) != noRank {
				t.Error("129 bytes have a rank")
			}
		})
	}
}

// Merging has to give the tokens of the plain rule, and where it reports that
// windows of any size were large enough, their count.
func TestMerge(t *testing.T) {
	t.Parallel()
	unit := rapid.SampledFrom([]string{
		"a", "aa", "ab", "the", "ing", "er", "x", "Q", "中", "文", "я", "=", "==", "-", " ", "  ", "\n", "\xff", "\u0301", "🙂", "\x00",
		"，", "。", "の", "ある", "한", "ก", "ा", "и", "ть", "œ", "“", "€", "\x80", "\xe4", "\xe3\x81", "\xb8\xad",
	})
	rapid.Check(t, func(t *rapid.T) {
		var text []byte
		for range rapid.IntRange(1, 12).Draw(t, "parts") {
			text = append(text, strings.Repeat(unit.Draw(t, "unit"), rapid.IntRange(1, 40).Draw(t, "times"))...)
			letters := rapid.SampledFrom([]string{"aeinrst", "的一是不了人我在有他", "оеаинтсрвлкм", "のにはをたがでてとし", "이다는을의가에", "اليمونتر", "γα  τοςην。，、"}).Draw(t, "script")
			text = append(text, rapid.StringOfN(rapid.RuneFrom([]rune(letters)), 0, 20, -1).Draw(t, "letters")...)
		}
		name := rapid.SampledFrom([]string{CL100K, O200K, P50K, R50K}).Draw(t, "encoding")
		m := merger{ranks: vocabularies()[name]}
		want := plain(m.ranks, text)
		if got := m.merge(text); got != len(want) {
			t.Fatalf("merge(%q) = %d, want %d", text, got, len(want))
		}
		at := 0
		for _, end := range want {
			if at = m.next[at]; at != end {
				t.Fatalf("merge(%q) has a part that ends at %d, want %d", text, at, end)
			}
		}
		size := rapid.IntRange(8, 600).Draw(t, "window")
		if got, ok := m.windows(text, size, math.MaxInt); ok && got != len(want) {
			t.Fatalf("windows(%q, %d) = %d, want %d", text, size, got, len(want))
		}
	})
}

// chain returns a text in which each byte makes a token with the one behind it of
// a lower rank than with the one before it, so that the end of a window decides
// how all of it is merged.
func chain(r *ranks, size int) []byte {
	// longest[b] is the longest chain that begins with b; pairs come by rank.
	var pairs []int
	for p, rank := range r.pairs {
		a, b := byte(p), byte(p>>8)
		if rank != noRank && a|0x20 >= 'a' && a|0x20 <= 'z' && b|0x20 >= 'a' && b|0x20 <= 'z' {
			pairs = append(pairs, p)
		}
	}
	slices.SortFunc(pairs, func(p, q int) int { return int(r.pairs[p]) - int(r.pairs[q]) })
	var longest [256][]byte
	for _, p := range pairs {
		a, b := byte(p), byte(p>>8)
		if next := longest[b]; len(next)+1 > len(longest[a]) {
			longest[a] = append([]byte{a}, append(slices.Clone(next), b)[:max(1, len(next))]...)
		}
	}
	best := slices.MaxFunc(longest[:], func(x, y []byte) int { return len(x) - len(y) })
	return bytes.Repeat(best, size/len(best)+1)[:size]
}

// What a window's end does must never show, on texts made to carry it far.
func TestWindowsAreExact(t *testing.T) {
	t.Parallel()
	for name, r := range vocabularies() {
		m := merger{ranks: r}
		texts := Pathological(3000)
		texts["chain"] = chain(r, 3000)
		for kind, text := range texts {
			want := m.merge(text)
			if got := m.count(text, math.MaxInt); got != want {
				t.Errorf("%s: count(%s) = %d, want %d", name, kind, got, want)
			}
			for _, size := range []int{130, 200, 300} {
				if got, ok := m.windows(text, size, math.MaxInt); ok && got != want {
					t.Errorf("%s: windows(%s, %d) = %d, want %d", name, kind, size, got, want)
				}
			}
		}
	}
}

// The work must not grow faster than the text. Steps are counted, not time.
func TestWorkGrowsWithTheText(t *testing.T) {
	t.Parallel()
	const part, most = 3000, 400 // steps a byte
	c := newClasses()
	for name, p := range map[string]pattern{CL100K: cl100kPattern, O200K: o200kPattern, P50K: r50kPattern} {
		r := vocabularies()[name]
		texts := Pathological(4 * part)
		texts["chain"] = chain(r, 4*part)
		for kind, text := range texts {
			var steps [2]int
			for i, n := range []int{part, 4 * part} {
				w := newWorker(r, c, p)
				w.text(text[:n], math.MaxInt)
				steps[i] = w.steps
			}
			if steps[1] > most*4*part || steps[1] > 5*steps[0]+most*firstWindow {
				t.Errorf("%s, %s: %d bytes take %d steps, %d take %d", name, kind, part, steps[0], 4*part, steps[1])
			}
		}
	}
}
