package tokens

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/bits"

	"github.com/pkoukk/tiktoken-go-loader/assets"
)

const (
	maxToken = 128     // bytes of the longest token of all encodings
	noRank   = 1 << 20 // more than any rank
	padding  = 16      // bytes that must follow a text whose parts are looked up
)

// ranks is a vocabulary: the rank of each token, which is its place in the order
// of merging. Tokens are found by their bytes, packed into words: one look-up
// costs a multiplication and mostly one probe.
type ranks struct {
	single [1 << 8]uint32
	pairs  [1 << 16]uint32 // by the two bytes, the first one low
	short  []shortToken    // tokens of 3 to 8 bytes
	middle []middleToken   // tokens of 9 to 16 bytes
	long   []longToken     // longer ones
	bytes  []byte          // of the longer ones

	// maybe has a bit for the hash of each token of 3 to 16 bytes: most of what
	// merging looks up is none, which this says from a nearer cache.
	maybe [maybeBits / 64]uint64

	units *units
}

const maybeBits = 1 << 21

// The tables are open: an entry lies at its hash or behind it, and one with
// length 0 is free.
type (
	shortToken struct {
		key    uint64
		rank   uint32
		length uint32
	}
	middleToken struct {
		low, high uint64
		rank      uint32
		length    uint32
	}
	longToken struct {
		rank, at, length uint32
	}
)

// tables are the sizes of the tables of a vocabulary, powers of two, and the hash
// that its publisher gives of its file.
type tables struct {
	short, middle, long int
	sha256              string
}

// sizes returns what is known of the embedded file of an encoding.
func sizes(file string) tables {
	switch file {
	case CL100K:
		return tables{1 << 17, 1 << 16, 1 << 12, "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"}
	case P50K:
		return tables{1 << 16, 1 << 14, 1 << 8, "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069"}
	case R50K:
		return tables{1 << 16, 1 << 14, 1 << 8, "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930"}
	default:
		return tables{1 << 18, 1 << 17, 1 << 13, "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"}
	}
}

// newRanks reads the embedded vocabulary of that name, a token in base64 and its
// rank a line.
func newRanks(name string) (*ranks, error) {
	file, err := assets.Assets.Open(name + ".tiktoken")
	if err != nil {
		return nil, fmt.Errorf("tokens: opening a vocabulary: %w", err)
	}
	defer file.Close()
	want := sizes(name)
	t := &ranks{
		short:  make([]shortToken, want.short),
		middle: make([]middleToken, want.middle),
		long:   make([]longToken, want.long),
		units:  newUnits(),
	}
	t.forget()
	hash := sha256.New()
	lines := bufio.NewScanner(io.TeeReader(file, hash))
	for lines.Scan() {
		if err := t.parse(lines.Bytes()); err != nil {
			return nil, fmt.Errorf("tokens: reading %s: %w", name, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("tokens: reading %s: %w", name, err)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != want.sha256 {
		return nil, fmt.Errorf("tokens: reading %s: its hash is %s, want %s", name, got, want.sha256)
	}
	t.units.finish(t)
	return t, nil
}

// forget makes what the two bytes and the single ones are looked up in empty.
func (t *ranks) forget() {
	for i := range t.single {
		t.single[i] = noRank
	}
	for i := range t.pairs {
		t.pairs[i] = noRank
	}
}

// parse adds the token of a line.
func (t *ranks) parse(line []byte) error {
	text, number, _ := bytes.Cut(line, []byte{' '})
	var token [maxToken + 3 + padding]byte
	if base64.StdEncoding.DecodedLen(len(text)) > len(token)-padding {
		return fmt.Errorf("a token of %d characters is too long", len(text))
	}
	n, err := base64.StdEncoding.Decode(token[:], text)
	if err != nil {
		return fmt.Errorf("decoding a token: %w", err)
	}
	rank := uint32(0)
	for _, c := range number {
		if rank = 10*rank + uint32(c-'0'); c < '0' || c > '9' || rank >= noRank {
			return fmt.Errorf("%q is no rank", number)
		}
	}
	clear(token[n:])
	t.insert(token[:], n, rank)
	t.units.add(token[:n], rank)
	return nil
}

// insert adds the token of the first n bytes of b, behind which there is padding.
func (t *ranks) insert(b []byte, n int, rank uint32) {
	low := binary.LittleEndian.Uint64(b)
	high := binary.LittleEndian.Uint64(b[8:])
	switch {
	case n == 1:
		t.single[b[0]] = rank
	case n == 2:
		t.pairs[low&0xFFFF] = rank
	case n <= 8:
		h := hash8(low)
		t.note(h)
		i := slot(h, len(t.short))
		for t.short[i].length != 0 {
			i = (i + 1) & (len(t.short) - 1)
		}
		t.short[i] = shortToken{low, rank, narrow(n)}
	case n <= 16:
		h := hash16(low, high)
		t.note(h)
		i := slot(h, len(t.middle))
		for t.middle[i].length != 0 {
			i = (i + 1) & (len(t.middle) - 1)
		}
		t.middle[i] = middleToken{low, high, rank, narrow(n)}
	default:
		i := slot(hashLong(b, n), len(t.long))
		for t.long[i].length != 0 {
			i = (i + 1) & (len(t.long) - 1)
		}
		t.long[i] = longToken{rank, narrow(len(t.bytes)), narrow(n)}
		t.bytes = append(t.bytes, b[:n]...)
	}
}

// note remembers that there is a token of that hash.
func (t *ranks) note(hash uint64) { t.maybe[hash%maybeBits/64] |= 1 << (hash % 64) }

// rank returns the rank of the token of the first n bytes of b, or noRank. There
// must be padding behind them.
func (t *ranks) rank(b []byte, n int) uint32 {
	low := binary.LittleEndian.Uint64(b)
	switch {
	case n <= 2:
		return t.shortRank(low&mask(n), n)
	case n <= 8:
		low &= mask(n)
		if t.no(hash8(low)) {
			return noRank
		}
		return t.shortRank(low, n)
	case n <= 16:
		high := binary.LittleEndian.Uint64(b[8:]) & mask(n-8)
		if t.no(hash16(low, high)) {
			return noRank
		}
		return t.middleRank(low, high, n)
	case n <= maxToken:
		return t.longRank(b, n)
	default:
		return noRank
	}
}

// no reports whether no token of 3 to 16 bytes has that hash.
func (t *ranks) no(hash uint64) bool { return t.maybe[hash%maybeBits/64]>>(hash%64)&1 == 0 }

// shortRank returns the rank of the token of the n low bytes of key.
func (t *ranks) shortRank(key uint64, n int) uint32 {
	if n <= 2 {
		if n == 1 {
			return t.single[key&0xFF]
		}
		return t.pairs[key&0xFFFF]
	}
	for i := slot(hash8(key), len(t.short)); ; i++ {
		e := &t.short[i&(len(t.short)-1)]
		if e.key == key && int(e.length) == n {
			return e.rank
		}
		if e.length == 0 {
			return noRank
		}
	}
}

func (t *ranks) middleRank(low, high uint64, n int) uint32 {
	for i := slot(hash16(low, high), len(t.middle)); ; i++ {
		e := &t.middle[i&(len(t.middle)-1)]
		if e.low == low && e.high == high && int(e.length) == n {
			return e.rank
		}
		if e.length == 0 {
			return noRank
		}
	}
}

func (t *ranks) longRank(b []byte, n int) uint32 {
	for i := slot(hashLong(b, n), len(t.long)); ; i++ {
		e := &t.long[i&(len(t.long)-1)]
		if int(e.length) == n && bytes.Equal(t.bytes[e.at:e.at+e.length], b[:n]) {
			return e.rank
		}
		if e.length == 0 {
			return noRank
		}
	}
}

// narrow returns a length or a place in 32 bits.
func narrow(n int) uint32 { return uint32(n) } //nolint:gosec // all of them are small

// mask returns the bits of the n low bytes, n from 1 to 8.
func mask(n int) uint64 { return ^uint64(0) >> (64 - 8*uint(n)) }

const odd = 0x9E3779B97F4A7C15 // the fraction of the golden ratio

func hash8(key uint64) uint64 {
	h := key * odd
	return h ^ h>>29
}

func hash16(low, high uint64) uint64 {
	h, l := bits.Mul64(low^odd, high^0xD6E8FEB86659FD93)
	return h ^ l
}

func hashLong(b []byte, n int) uint64 {
	h := uint64(odd)
	for i := 0; i < n; i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		if n-i < 8 {
			w &= mask(n - i)
		}
		h = (bits.RotateLeft64(h, 23) ^ w) * odd
	}
	return h ^ h>>32
}

// slot returns the place of a hash in a table of that size.
func slot(h uint64, size int) int { return int(h>>16) & (size - 1) }
