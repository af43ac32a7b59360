package tokens_test

import (
	"encoding/json"
	"sync"
	"testing"

	"weir/tokens"
)

// shared returns the encodings that all tests count with.
func shared(t testing.TB) *tokens.Encodings {
	t.Helper()
	return encodings()
}

var encodings = sync.OnceValue(func() *tokens.Encodings { return new(tokens.Encodings) })

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
