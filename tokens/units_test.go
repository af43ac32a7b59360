package tokens

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Each vocabulary has a token whose merging comes before a character's own, so
// that the character must not be one part from the start.
func TestUnits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		tokens map[string]uint32
		text   string
		want   int
	}{
		{"nothing is in the way", map[string]uint32{"é": 10}, "éé", 2},
		{"a token that crosses to the next", map[string]uint32{"ÿ": 9, "é": 10, "\xbf\xc3": 5}, "ÿé", 3},
		{"a longer token that crosses", map[string]uint32{"ÿ": 6, "é": 10, "ÿ\xc3": 8}, "ÿé", 2},
		{"only one character lies in its way", map[string]uint32{"ÿ": 4, "é": 10, "\xbf\xc3": 5}, "ÿé", 2},
		{"a token that holds it comes first", map[string]uint32{"é": 10, "aé": 5, "xa": 7, "yxa": 8}, "yxaé", 2},
		{"and so with a character beside it", map[string]uint32{"é": 10, "ÿ": 1, "ÿé": 5, "ß": 2, "ßÿ": 7, "æ": 3, "æßÿ": 8}, "æßÿé", 2},
		{"bytes that cross in the middle of three", map[string]uint32{"的": 12, "\xe7\x9a": 11, "\x84\xe7": 10}, "的的", 4},
		{"the last two bytes first", map[string]uint32{"的": 9, "\x9a\x84": 8, "\xe7\x9a": 10}, "的的", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := vocabulary8(tt.tokens)
			if got := len(plain(r, []byte(tt.text))); got != tt.want {
				t.Errorf("the rule of merging makes %d tokens of %q, want %d", got, tt.text, tt.want)
			}
			m := merger{ranks: r}
			if got := m.merge([]byte(tt.text)); got != tt.want {
				t.Errorf("merge(%q) = %d, want %d", tt.text, got, tt.want)
			}
		})
	}
}

// With few characters and vocabularies that no training made, in which anything
// may come before anything.
func TestUnitsOfAnyVocabulary(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	text := func(most int) []byte {
		var b []byte
		for range 1 + random.IntN(most) {
			b = append(b, [...]string{"é", "ÿ", "ß", "的", "中", "x"}[random.IntN(6)]...)
		}
		return b
	}
	held, joined := 0, 0
	for range 150 {
		tokens := make(map[string]uint32)
		for range 60 {
			b := text(3)
			from := random.IntN(len(b))
			if n := 2 + random.IntN(7); from+n <= len(b) {
				tokens[string(b[from:from+n])] = random.Uint32N(200)
			}
		}
		m := merger{ranks: vocabulary8(tokens)}
		for range 60 {
			b := text(12)
			want := len(plain(m.ranks, b))
			if got := m.merge(b); got != want {
				t.Fatalf("merge(%q) = %d, want %d, with %v", b, got, want, tokens)
			}
			if got, ok := m.windows(b, 8, math.MaxInt); ok && got != want {
				t.Fatalf("windows(%q) = %d, want %d, with %v", b, got, want, tokens)
			} else if ok && len(b) > 8 {
				joined++
			}
			if m.begin(b) < len(b) {
				held++
			}
		}
	}
	if held < 1000 || joined < 1000 {
		t.Errorf("characters were parts from the start in %d texts and windows met in %d, want at least 1000", held, joined)
	}
}

// vocabulary8 returns a vocabulary of tokens of at most 8 bytes and the bytes.
func vocabulary8(tokens map[string]uint32) *ranks {
	r := &ranks{short: make([]shortToken, 256), middle: make([]middleToken, 2), long: make([]longToken, 2), units: newUnits()}
	r.forget()
	for token, rank := range tokens {
		r.insert(append([]byte(token), make([]byte, padding)...), len(token), rank)
		r.units.add([]byte(token), rank)
	}
	r.units.finish(r)
	return r
}
