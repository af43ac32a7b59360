package tokens

import (
	"math"
	"sync"
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

// Encodings holds the vocabularies, each built once, when it is first needed or
// warmed. The zero value is ready. All of a process's counters should come from
// one Encodings, since a vocabulary takes up to 9 MB and some 40 ms. It is safe
// for concurrent use and must not be copied once used.
type Encodings struct {
	cl100k, o200k, p50k, r50k vocabulary
}

// vocabulary is one encoding, once it is built.
type vocabulary struct {
	once    sync.Once
	workers sync.Pool
	roles   map[string]int // the counts of the roles that messages have
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
	v, file, p := &e.o200k, O200K, o200kPattern
	switch name {
	case CL100K:
		v, file, p = &e.cl100k, CL100K, cl100kPattern
	case P50K:
		v, file, p = &e.p50k, P50K, r50kPattern
	case R50K:
		v, file, p = &e.r50k, R50K, r50kPattern
	default:
	}
	v.once.Do(func() { v.build(file, p) })
	return v
}

// build reads the embedded vocabulary. Its faults are faults of the program's
// own files, which the tests would have found, hence no error.
func (v *vocabulary) build(file string, p pattern) {
	r, err := newRanks(file)
	if err != nil {
		panic(err)
	}
	c := newClasses()
	v.workers.New = func() any { return newWorker(r, c, p) }
	v.roles = make(map[string]int)
	for _, role := range []string{"system", "developer", "user", "assistant", "tool", "function"} {
		v.roles[role] = v.count([]byte(role), math.MaxInt)
	}
}

// count returns the tokens of b, or some number above limit where there are more
// than that.
func (v *vocabulary) count(b []byte, limit int) int {
	w, _ := v.workers.Get().(*worker)
	n := w.text(b, limit)
	v.workers.Put(w)
	return n
}
