package tokens

import (
	"fmt"
	"strings"
	"sync"

	"github.com/pkoukk/tiktoken-go"
	loader "github.com/pkoukk/tiktoken-go-loader"
)

// The encodings. Harmony has the ranks of o200k_base and more special tokens, so
// that ordinary text counts the same in both.
const (
	CL100K  = "cl100k_base"
	O200K   = "o200k_base"
	Harmony = "o200k_harmony"
	P50K    = "p50k_base"
	R50K    = "r50k_base"
)

// The patterns that cut a text into pieces before anything is merged.
const (
	cl100kPattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	r50kPattern   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
)

// o200kPattern returns the pattern of o200k_base, one kind of piece a line.
func o200kPattern() string {
	return strings.Join([]string{
		`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?`,
		`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?`,
		`\p{N}{1,3}`,
		` ?[^\s\p{L}\p{N}]+[\r\n/]*`,
		`\s*[\r\n]+`,
		`\s+(?!\S)`,
		`\s+`,
	}, "|")
}

// Encodings holds the vocabularies, each built once, when it is first needed or
// warmed. The zero value is ready. All of a process's counters should come from
// one Encodings, since a vocabulary takes some 20 MB and up to half a second. It
// is safe for concurrent use and must not be copied once used.
type Encodings struct {
	cl100k, o200k, p50k, r50k vocabulary
}

// vocabulary is one encoding, once it is built.
type vocabulary struct {
	once  sync.Once
	bpe   *tiktoken.Tiktoken
	roles map[string]int // the counts of the roles that messages have
}

// Known reports whether name is an encoding of this package.
func Known(name string) bool {
	switch name {
	case CL100K, O200K, Harmony, P50K, R50K:
		return true
	default:
		return false
	}
}

// Warm builds the encodings of those names, so that no request has to wait for
// them. It returns when they are built; call it in a goroutine. A name that is
// not known stands for o200k_base, as it does in a Model.
func (e *Encodings) Warm(names ...string) {
	for _, name := range names {
		e.vocabulary(name)
	}
}

// vocabulary returns the built encoding of that name, or o200k_base.
func (e *Encodings) vocabulary(name string) *vocabulary {
	v, file, pattern := &e.o200k, O200K, ""
	switch name {
	case CL100K:
		v, file, pattern = &e.cl100k, CL100K, cl100kPattern
	case P50K:
		v, file, pattern = &e.p50k, P50K, r50kPattern
	case R50K:
		v, file, pattern = &e.r50k, R50K, r50kPattern
	default:
		pattern = o200kPattern()
	}
	v.once.Do(func() { v.build(file, pattern) })
	return v
}

// build reads the embedded vocabulary. Its faults are faults of the program's
// own files, which the tests would have found, hence no error.
func (v *vocabulary) build(file, pattern string) {
	ranks, err := loader.NewOfflineLoader().LoadTiktokenBpe(file + ".tiktoken")
	if err != nil {
		panic(fmt.Errorf("tokens: reading the embedded %s: %w", file, err))
	}
	// There are no special tokens: their literals are ordinary text.
	core, err := tiktoken.NewCoreBPE(ranks, nil, pattern)
	if err != nil {
		panic(fmt.Errorf("tokens: building %s: %w", file, err))
	}
	v.bpe = tiktoken.NewTiktoken(core, nil, nil)
	v.roles = make(map[string]int)
	for _, role := range []string{"system", "developer", "user", "assistant", "tool", "function"} {
		v.roles[role] = v.count(role)
	}
}

// count returns the tokens of s. Its cost grows with the square of the longest
// piece, so only split may give it a text that a client wrote.
func (v *vocabulary) count(s string) int { return len(v.bpe.EncodeOrdinary(s)) }
