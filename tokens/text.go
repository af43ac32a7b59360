package tokens

import (
	"encoding/binary"
	"unicode/utf8"
)

const (
	shortPieces  = 1 << 12 // that a worker remembers, of at most 8 bytes
	middlePieces = 1 << 12 // of at most 16
	longPieces   = 1 << 11 // of at most 32
)

// worker counts texts, one at a time. It remembers what it counted: a piece lies
// at its hash, whole, until another takes the place. That is exact, saves merging
// what comes again, and keeps common words nearer than the vocabulary is.
type worker struct {
	merger
	classes *classes
	pattern pattern

	short  [shortPieces]shortPiece
	middle [middlePieces]middlePiece
	long   [longPieces]longPiece

	mended []byte // a piece without bytes that are not UTF-8
	padded [maxToken + padding]byte
}

// The pieces remembered; one with length 0 is none.
type (
	shortPiece struct {
		key           uint64
		length, count uint32
	}
	middlePiece struct {
		low, high     uint64
		length, count uint32
	}
	longPiece struct {
		key           [4]uint64
		length, count uint32
	}
)

func newWorker(r *ranks, c *classes, p pattern) *worker {
	return &worker{merger: merger{ranks: r}, classes: c, pattern: p}
}

// text returns the tokens of a text, or some number above limit where there are
// more than that.
func (w *worker) text(b []byte, limit int) int {
	total := 0
	s := splitter{classes: w.classes, pattern: w.pattern, text: b}
	for s.pos < len(b) && total <= limit {
		from := s.pos
		s.next()
		if s.bad {
			total += w.bad(b[from:s.pos], limit-total)
		} else {
			total += w.piece(b, from, s.pos, limit-total)
		}
	}
	return total
}

// bad returns the tokens of a piece that may have bytes that are not UTF-8. Each
// of them is read as a replacement character.
func (w *worker) bad(piece []byte, limit int) int {
	w.mended = w.mended[:0]
	for len(piece) > 0 {
		r, n := utf8.DecodeRune(piece)
		w.mended = utf8.AppendRune(w.mended, r)
		piece = piece[n:]
	}
	return w.piece(w.mended, 0, len(w.mended), limit)
}

// piece returns the tokens of the piece of b between two places.
func (w *worker) piece(b []byte, from, to, limit int) int {
	n := to - from
	switch {
	case n <= 8:
		return w.shortPiece(b, from, n)
	case n <= 16:
		return w.middlePiece(b, from, n)
	case n <= 32:
		return w.longPiece(b, from, n)
	case n > maxToken:
		return w.count(b[from:to], limit)
	default:
		return w.whole(b[from:to])
	}
}

func (w *worker) shortPiece(b []byte, from, n int) int {
	key := load(b, from) & mask(n)
	p := &w.short[hash8(key)>>16%shortPieces]
	if p.key != key || int(p.length) != n {
		count := 1
		if w.shortRank(key, n) == noRank {
			count = w.merge(b[from : from+n])
		}
		*p = shortPiece{key, narrow(n), narrow(count)}
	}
	return int(p.count)
}

func (w *worker) middlePiece(b []byte, from, n int) int {
	low, high := load(b, from), load(b, from+8)&mask(n-8)
	p := &w.middle[hash16(low, high)>>16%middlePieces]
	if p.low != low || p.high != high || int(p.length) != n {
		count := 1
		if w.middleRank(low, high, n) == noRank {
			count = w.merge(b[from : from+n])
		}
		*p = middlePiece{low, high, narrow(n), narrow(count)}
	}
	return int(p.count)
}

func (w *worker) longPiece(b []byte, from, n int) int {
	key := [4]uint64{load(b, from), load(b, from+8)}
	if n > 24 {
		key[2], key[3] = load(b, from+16), load(b, from+24)&mask(n-24)
	} else {
		key[2] = load(b, from+16) & mask(n-16)
	}
	p := &w.long[hash16(key[0]^key[2], key[1]+key[3])>>16%longPieces]
	if p.key != key || int(p.length) != n {
		*p = longPiece{key, narrow(n), narrow(w.whole(b[from : from+n]))}
	}
	return int(p.count)
}

// whole returns the tokens of a piece of at most maxToken bytes.
func (w *worker) whole(piece []byte) int {
	n := copy(w.padded[:], piece)
	clear(w.padded[n : n+padding])
	if w.rank(w.padded[:], n) != noRank {
		return 1
	}
	return w.merge(piece)
}

// load returns the eight bytes of b at i, the first one low, as if zeros
// followed b.
func load(b []byte, i int) uint64 {
	if i+8 <= len(b) {
		return binary.LittleEndian.Uint64(b[i:])
	}
	var last [8]byte
	copy(last[:], b[i:])
	return binary.LittleEndian.Uint64(last[:])
}
