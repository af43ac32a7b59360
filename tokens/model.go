package tokens

import "strings"

// Model is what has to be known of a model to count for it and to bound its
// requests. It is a plain value: configuration may override any field.
type Model struct {
	Prefix   string // of the names the row stands for; a longer one wins
	Known    bool   // false where no row fits and the newest rules are assumed
	Encoding string // one of the encodings' names; any other counts as o200k_base

	Overhead Overhead
	Image    ImageRule

	Reasoning        bool // thinks before it answers; wants max_completion_tokens
	FixedTemperature bool // takes no temperature but the default
	ResponsesOnly    bool // is not served at the chat endpoint
	Embedding        bool

	// The limits in tokens, 0 where unknown. They depend on the kind of
	// deployment too, so a deployment's configuration should name its own.
	ContextWindow int // prompt and answer together
	MaxInput      int // prompt alone
	MaxOutput     int // answer alone, reasoning included

	Source string // where the row comes from
	Date   string // of the source, year and month
}

// Overhead is what a family's chat format adds to the texts.
type Overhead struct {
	PerMessage int
	PerName    int // for a message that has a name; below 0 the role is left out
	Priming    int // once a request
}

// MaxCompletionField returns the name of the field that bounds the model's
// answer: reasoning models refuse max_tokens.
func (m Model) MaxCompletionField() string {
	if m.Reasoning {
		return "max_completion_tokens"
	}
	return "max_tokens"
}

// Lookup returns the row of the longest prefix of a model's name: gpt-4o-2024-08-06
// is gpt-4o, gpt-5.7-mini-2027-01-01 follows the rule of gpt-5. Azure's spelling
// gpt-35-turbo, a vendor before a slash and the ft: of fine-tuned models are
// understood. A name that no row fits gets the newest rules, with Known false.
// It walks the whole table: keep what it returns.
func Lookup(name string) Model {
	n := strings.ToLower(strings.TrimSpace(name))
	n = n[strings.LastIndexByte(n, '/')+1:]
	n = strings.TrimPrefix(n, "ft:")
	if rest, ok := strings.CutPrefix(n, "gpt-35-"); ok {
		n = "gpt-3.5-" + rest
	}
	best := Model{Encoding: O200K, Overhead: chat(3), Image: patches(1200, 2500, 10_000)}
	for _, m := range Models() {
		if len(m.Prefix) > len(best.Prefix) && fits(n, m.Prefix) {
			best = m
		}
	}
	return best
}

// fits reports whether prefix ends where a part of the name ends, so that gpt-4
// is not taken for the family of gpt-4o. A prefix that ends in a point is a
// family of versions.
func fits(name, prefix string) bool {
	rest, ok := strings.CutPrefix(name, prefix)
	return ok && (rest == "" || strings.HasSuffix(prefix, ".") || strings.IndexByte("-:@_", rest[0]) >= 0)
}

// chat returns the overhead of every family but the oldest.
func chat(priming int) Overhead { return Overhead{PerMessage: 3, PerName: 1, Priming: priming} }
