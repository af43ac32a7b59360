package tokens_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"weir/openai"
	"weir/tokens"
)

// usage is a request whose prompt_tokens somebody has seen the API answer. The
// lines of testdata/usage.jsonl come from the Azure and OpenAI documentation, the
// OpenAI cookbook's notebook on counting, hmarr's openai-chat-tokens (measured
// with gpt-3.5-turbo), and answers recorded for the tests of pydantic-ai.
type usage struct {
	Name    string          `json:"name"`
	Model   string          `json:"model"`
	Tokens  int             `json:"tokens"`
	Bound   bool            `json:"bound"` // we charge no less
	Request json.RawMessage `json:"request"`
}

// lines calls read with each line of a file of testdata.
func lines(t *testing.T, file string, read func([]byte)) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(bytes.NewReader(b))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		read(sc.Bytes())
	}
}

func parse(t *testing.T, body string) *openai.Request {
	t.Helper()
	r, err := openai.Parse([]byte(body))
	if err != nil {
		t.Fatalf("Parse(%s): %v", body, err)
	}
	return r
}

func TestRecordedUsage(t *testing.T) {
	t.Parallel()
	encodings := shared(t)
	lines(t, "usage.jsonl", func(line []byte) {
		var u usage
		if err := json.Unmarshal(line, &u); err != nil {
			t.Fatal(err)
		}
		t.Run(u.Name, func(t *testing.T) {
			t.Parallel()
			got := encodings.Counter(tokens.Lookup(u.Model)).Request(parse(t, string(u.Request)))
			if got.Total < u.Tokens || got.Total > u.Tokens && !u.Bound {
				t.Errorf("Request(%s) for %s = %+v, want a total of %d", u.Request, u.Model, got, u.Tokens)
			}
			if u.Bound != got.Estimated {
				t.Errorf("Request(%s) is estimated: %v, want %v", u.Request, got.Estimated, u.Bound)
			}
		})
	})
}
