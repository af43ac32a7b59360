package tokens_test

import (
	"bytes"
	"fmt"
	"go/build"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/tokens"
)

// samples returns texts of about that size: code is Go's own, English its comments,
// Chinese and Russian are the Declaration of Human Rights, repeated where it is
// too short.
func samples(t testing.TB, size int) map[string][]byte {
	t.Helper()
	read := func(path string) []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var code, english []byte
	files, err := filepath.Glob(filepath.Join(build.Default.GOROOT, "src/net/http/[r-t]*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("finding Go's own code: %v", err)
	}
	for _, file := range files {
		text := read(file)
		code = append(code, text...)
		for line := range bytes.Lines(text) {
			if comment, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("// ")); ok {
				english = append(append(english, comment...), '\n')
			}
		}
	}
	texts := map[string][]byte{
		"English": english[800:],
		"code":    code[2000:],
		"JSON":    read("testdata/usage.jsonl"),
		"Chinese": read("testdata/prose_zh.txt"),
		"Russian": read("testdata/prose_ru.txt"),
	}
	var mixed strings.Builder
	for i := 0; mixed.Len() < size; i++ {
		for _, kind := range []string{"English", "code", "JSON", "Chinese", "Russian"} {
			from := i * 200 % (len(texts[kind]) - 200)
			mixed.WriteString(strings.ToValidUTF8(string(texts[kind][from:from+200]), ""))
			mixed.WriteString(" 🙂\n\n")
		}
	}
	texts["mixed"] = []byte(mixed.String())
	for kind, text := range texts {
		text = bytes.Repeat(text, size/len(text)+1)[:size]
		texts[kind] = bytes.ToValidUTF8(text, nil)
	}
	return texts
}

// BenchmarkCount measures our counter and tiktoken-go beside each other, and how
// many times faster ours is, by the best time of each.
func BenchmarkCount(b *testing.B) {
	for _, name := range []string{tokens.CL100K, tokens.O200K} {
		for _, size := range []int{100, 2000, 100_000} {
			for kind, text := range samples(b, size) {
				b.Run(fmt.Sprintf("%s/%s/%d", name, kind, size), func(b *testing.B) {
					ref := published()[name]
					theirs := best(max(3, 200_000/size), func() { ref.count(string(text)) })
					c := shared(b).Counter(tokens.Model{Encoding: name})
					c.Text(text)
					b.SetBytes(int64(len(text)))
					b.ReportAllocs()
					ours := time.Duration(1<<63 - 1)
					for b.Loop() {
						start := time.Now()
						c.Text(text)
						ours = min(ours, time.Since(start))
					}
					b.ReportMetric(float64(theirs)/float64(ours), "x_tiktoken-go")
				})
			}
		}
	}
}

// BenchmarkPathological counts a megabyte of what is made to be hard, and says how
// many times longer that takes than a tenth of it.
func BenchmarkPathological(b *testing.B) {
	for _, name := range []string{tokens.CL100K, tokens.O200K, tokens.P50K} {
		c := shared(b).Counter(tokens.Model{Encoding: name})
		for kind, text := range tokens.Pathological(1 << 20) {
			b.Run(name+"/"+strings.ReplaceAll(fmt.Sprintf("%+q", kind), " ", "_"), func(b *testing.B) {
				// All ten of them, or the pieces of one would be remembered.
				tenth := best(5, func() {
					for part := range slices.Chunk(text, len(text)/10) {
						c.Text(part)
					}
				}) / 10
				b.SetBytes(int64(len(text)))
				whole := time.Duration(1<<63 - 1)
				for b.Loop() {
					whole = min(whole, best(1, func() { c.Text(text) }))
				}
				b.ReportMetric(whole.Seconds(), "s/MB")
				b.ReportMetric(float64(whole)/float64(tenth), "x_tenth")
			})
		}
	}
}

// BenchmarkLoad builds an encoding.
func BenchmarkLoad(b *testing.B) {
	for _, name := range []string{tokens.CL100K, tokens.O200K, tokens.P50K, tokens.R50K} {
		b.Run(name, func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			e := new(tokens.Encodings)
			shortest := best(1, func() { e.Warm(name) })
			runtime.GC()
			runtime.ReadMemStats(&after)
			for b.Loop() {
				shortest = min(shortest, best(1, func() { new(tokens.Encodings).Warm(name) }))
			}
			runtime.KeepAlive(e)
			b.ReportMetric(float64(shortest.Microseconds())/1000, "ms")
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB")
		})
	}
}

// best returns the shortest time that f takes of n.
func best(n int, f func()) time.Duration {
	shortest := time.Duration(1<<63 - 1)
	for range n {
		start := time.Now()
		f()
		shortest = min(shortest, time.Since(start))
	}
	return shortest
}
