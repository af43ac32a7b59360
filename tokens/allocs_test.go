//go:build !race

package tokens_test

import (
	"bytes"
	"runtime"
	"testing"

	"weir/tokens"
)

// The race detector makes pools forget, so this is not for it.
func TestCountingAllocatesNothing(t *testing.T) {
	for _, name := range []string{tokens.CL100K, tokens.O200K, tokens.P50K, tokens.R50K} {
		c := shared(t).Counter(tokens.Model{Encoding: name})
		for kind, text := range samples(t, 20_000) {
			c.Text(text)
			if n := testing.AllocsPerRun(10, func() { c.Text(text) }); n != 0 {
				t.Errorf("%s: Text of %s allocates %v times, want 0", name, kind, n)
			}
		}
		long := bytes.Repeat([]byte("\xffa"), 10_000)
		if n := testing.AllocsPerRun(10, func() { c.CountLimit(long, 1000) }); n != 0 {
			t.Errorf("%s: CountLimit allocates %v times, want 0", name, n)
		}
	}
}

// All that building an encoding allocates, garbage included.
func TestEncodingsAreSmall(t *testing.T) {
	for _, name := range []string{tokens.CL100K, tokens.O200K, tokens.P50K, tokens.R50K} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		new(tokens.Encodings).Warm(name)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 10_000_000 {
			t.Errorf("building %s allocates %d bytes, want at most 10 MB", name, got)
		}
	}
}
