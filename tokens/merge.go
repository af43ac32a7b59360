package tokens

// A piece that is no token is merged: as long as two neighboring parts, at first
// single bytes, make a token, the two whose token has the lowest rank become one,
// the leftmost of equals first.

const (
	groupBits = 5
	groupSize = 1 << groupBits // parts whose lowest rank is kept

	// firstWindow is how much of a long piece is merged at a time, at first.
	firstWindow = 1024
)

// merger merges pieces. The zero value with ranks is ready.
type merger struct {
	*ranks

	// By the place where a part begins: the rank of the token that it makes with
	// the part behind it, above the place itself, so that comparing two of them
	// compares ranks, then places. None where no part begins, or no token is made.
	keys  []int64
	least []int64 // the least key of each group of keys
	next  []int   // where the part behind it begins
	prev  []int   // where the part before it begins

	window []byte // what is merged, and padding
	size   int    // of what is merged
	steps  int    // look-ups and comparisons so far
}

const (
	placeBits = 32
	none      = noRank << placeBits
)

// count returns the tokens of a piece, or any number above limit where there are
// more than that.
//
// A long piece is merged in windows, so that neither time nor memory grows faster
// than the piece, and exactly so. Whether parts merge across a boundary depends
// only on the two tokens beside it: a row of tokens is what merging makes of their
// bytes if and only if each two neighbors are what merging makes of theirs. (The
// merges on both sides come in the same order, with or without the rest of the
// text; the first that crosses a boundary in one would cross it in the other.) So
// a window's tokens hold up to a token that the next window, which begins with
// it, makes too. If it does not, what the first window's end did to its tokens
// reaches back further than thought, and the windows are made larger.
func (m *merger) count(piece []byte, limit int) int {
	if len(piece) <= firstWindow {
		return m.merge(piece)
	}
	for size := firstWindow; ; size *= 2 {
		if n, ok := m.windows(piece, size, limit); ok {
			return n
		}
	}
}

// windows is count with windows of that size. It reports whether they were large
// enough.
func (m *merger) windows(piece []byte, size, limit int) (int, bool) {
	for total, first := 0, 0; ; {
		n := m.merge(piece[:min(size, len(piece))])
		if first > 0 && m.next[0] != first {
			return 0, false
		}
		if len(piece) <= size || total > limit {
			return total + n, true
		}
		at := 0
		for next := m.next[0]; next <= size-size/8; next = m.next[next] {
			at = next
			total++
		}
		if at == 0 {
			return 0, false
		}
		first = m.next[at] - at
		piece = piece[at:]
	}
}

// merge returns the tokens of a piece, and leaves where they begin in next.
func (m *merger) merge(piece []byte) int {
	count := m.begin(piece)
	for {
		key := int64(none)
		for _, k := range m.least {
			key = min(key, k)
		}
		m.steps += len(m.least)
		if key >= none {
			return count
		}
		m.join(int(key & (1<<placeBits - 1)))
		count--
	}
}

// begin makes parts of the bytes, or of characters where that is the same, and
// returns how many there are.
func (m *merger) begin(piece []byte) int {
	n := len(piece)
	m.size = n
	groups := (n + groupSize - 1) / groupSize
	if need := groups * groupSize; len(m.keys) < need {
		m.keys = make([]int64, need)
		m.next = make([]int, need)
		m.prev = make([]int, need+1)
		m.window = make([]byte, need+padding)
	}
	m.least = resize(m.least, groups)
	copy(m.window, piece)
	clear(m.window[n : n+padding])
	for i := range m.keys[:groups*groupSize] {
		m.keys[i] = none
	}
	parts := 0
	for i := 0; i < n; parts++ {
		end := i + m.units.size(m.window, i, n)
		m.next[i] = end
		m.prev[end] = i
		i = end
	}
	for i := 0; i < n; i = m.next[i] {
		m.look(i)
	}
	for g := range m.least {
		m.regroup(g)
	}
	return parts
}

func resize(s []int64, n int) []int64 {
	if cap(s) < n {
		return make([]int64, n)
	}
	return s[:n]
}

// join makes one part of the part at i and the one behind it.
func (m *merger) join(i int) {
	gone := m.next[i]
	end := m.next[gone]
	m.next[i] = end
	m.prev[end] = i
	m.keys[gone] = none
	m.look(i)
	if i > 0 {
		before := m.prev[i]
		m.look(before)
		if before>>groupBits != i>>groupBits {
			m.regroup(before >> groupBits)
		}
	}
	m.regroup(i >> groupBits)
	if gone>>groupBits != i>>groupBits {
		m.regroup(gone >> groupBits)
	}
}

// look finds the rank of the token that the part at i and the one behind it make.
func (m *merger) look(i int) {
	rank := uint32(noRank)
	if behind := m.next[i]; behind < m.size {
		rank = m.rank(m.window[i:], m.next[behind]-i)
	}
	m.keys[i] = int64(rank)<<placeBits | int64(i)
	m.steps++
}

// regroup finds the least key of a group, in four rows that do not wait for each
// other.
func (m *merger) regroup(g int) {
	k := (*[groupSize]int64)(m.keys[g*groupSize:])
	a, b, c, d := k[0], k[1], k[2], k[3]
	for i := 4; i < groupSize; i += 4 {
		a, b, c, d = min(a, k[i]), min(b, k[i+1]), min(c, k[i+2]), min(d, k[i+3])
	}
	m.least[g] = min(a, b, c, d)
	m.steps += groupSize
}
