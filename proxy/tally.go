package proxy

import "weir/openai"

// tallyAt is how much text of a choice is gathered before it is counted, in
// bytes. The text of a stream is not kept.
const tallyAt = 2 << 10

// maxTallied is how many choices are counted apart.
const maxTallied = 8

// tally counts the tokens of a streamed answer, for one that ends without its
// usage.
type tally struct {
	counter Counter
	counted int64
	pending [maxTallied][]byte
	sound   int // bytes
}

// add takes a piece of a choice's text.
func (t *tally) add(choice int64, text openai.Value) {
	i := choice % maxTallied
	if i < 0 {
		return
	}
	t.pending[i] = text.AppendText(t.pending[i])
	if len(t.pending[i]) >= tallyAt {
		t.count(i)
	}
}

// write takes a piece of a text that is the whole answer.
func (t *tally) write(text []byte) {
	t.pending[0] = append(t.pending[0], text...)
	if len(t.pending[0]) >= tallyAt {
		t.count(0)
	}
}

// hear takes the sound in an answer, or in a piece of one.
func (t *tally) hear(root openai.Value) { t.sound += openai.Sound(root) }

// spoken returns the tokens of the sound that was heard.
func (t *tally) spoken() int64 { return int64(t.sound / saidRate) }

func (t *tally) count(i int64) {
	if len(t.pending[i]) > 0 {
		t.counted += t.counter.Text(t.pending[i])
		t.pending[i] = t.pending[i][:0]
	}
}

// total returns the tokens of everything that was added.
func (t *tally) total() int64 {
	for i := range t.pending {
		t.count(int64(i))
	}
	return t.counted
}
