package tokens_test

import (
	"bytes"
	"encoding/json"
	"strconv"
	"sync"
	"testing"

	"github.com/pkoukk/tiktoken-go-loader/assets"

	"weir/tokens"
)

// shared returns the encodings that all tests count with.
func shared(t testing.TB) *tokens.Encodings {
	t.Helper()
	return encodings()
}

var encodings = sync.OnceValue(func() *tokens.Encodings { return new(tokens.Encodings) })

// TestSpecialNumbers holds that the numbers that stand for no text are all but those of
// the published vocabulary.
func TestSpecialNumbers(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		tokens.CL100K: tokens.CL100K, tokens.O200K: tokens.O200K, tokens.P50K: tokens.P50K, tokens.R50K: tokens.R50K,
		tokens.Harmony: tokens.O200K, "another": tokens.O200K,
	} {
		vocabulary, err := assets.Assets.ReadFile(file + ".tiktoken")
		if err != nil {
			t.Fatal(err)
		}
		texts := map[int64]bool{}
		for line := range bytes.Lines(vocabulary) {
			_, number, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
			n, err := strconv.ParseInt(string(number), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			texts[n] = true
		}
		c := shared(t).Counter(tokens.Model{Encoding: name})
		for n := int64(-2); n < 210_000; n++ {
			if got := c.Special(n); got == texts[n] {
				t.Errorf("%s: Special(%d) = %v", name, n, got)
			}
		}
	}
}

// TestGoldenCounts compares with the counts that OpenAI's own tiktoken 0.14 for
// Python made: a text and its count in cl100k, o200k, p50k and r50k a line. The
// first file has texts found and written, the second is what testdata/oracle makes.
func TestGoldenCounts(t *testing.T) {
	t.Parallel()
	for i, name := range []string{tokens.CL100K, tokens.O200K, tokens.P50K, tokens.R50K, tokens.Harmony} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := shared(t).Counter(tokens.Model{Encoding: name})
			n := 0
			check := func(line []byte) {
				var text string
				var counts [5]int
				row := []any{&text, &counts[0], &counts[1], &counts[2], &counts[3]}
				if err := json.Unmarshal(line, &row); err != nil {
					t.Fatal(err)
				}
				counts[4] = counts[1] // the same ranks
				n++
				if got := c.Text([]byte(text)); got != counts[i] {
					t.Errorf("Text(%.80q) = %d, want %d", text, got, counts[i])
				}
			}
			lines(t, "golden.jsonl", check)
			lines(t, "golden_made.jsonl", check)
			if n < 2000 {
				t.Errorf("there are %d texts, want at least 2000", n)
			}
		})
	}
}
