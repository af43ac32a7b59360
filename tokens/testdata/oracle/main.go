// Command oracle compares the counts of package tokens with those that OpenAI's
// tiktoken made: it reads the records of corpus.py from standard input and prints
// what there was and what differed, by encoding.
package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"weir/tokens"
)

const shown = 20 // differences of an encoding that are printed

func main() {
	if err := compare(os.Stdin, os.Stdout); err != nil {
		slog.Error("comparing counts", "err", err)
		os.Exit(1)
	}
}

func compare(in io.Reader, out io.Writer) error {
	names := []string{tokens.CL100K, tokens.O200K, tokens.Harmony, tokens.P50K, tokens.R50K}
	encodings := new(tokens.Encodings)
	var counters []*tokens.Counter
	for _, name := range names {
		counters = append(counters, encodings.Counter(tokens.Model{Encoding: name}))
	}
	var records, size, differences int
	wrong := make([]int, len(names))
	sums := make([]int, len(names))
	r := bufio.NewReaderSize(in, 1<<20)
	for {
		var head [6]uint32
		if err := binary.Read(r, binary.LittleEndian, &head); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("reading a record: %w", err)
		}
		text := make([]byte, head[0])
		if _, err := io.ReadFull(r, text); err != nil {
			return fmt.Errorf("reading a text: %w", err)
		}
		records++
		size += len(text)
		for i, c := range counters {
			want := int(head[i+1])
			sums[i] += want
			got := c.Text(text)
			n, within := c.CountLimit(text, want)
			_, below := c.CountLimit(text, want-1)
			if got == want && n == want && within && !below {
				continue
			}
			differences++
			if wrong[i]++; wrong[i] <= shown {
				fmt.Fprintf(out, "%s: %.200q has %d tokens, want %d\n", names[i], text, got, want)
			}
		}
	}
	for i, name := range names {
		fmt.Fprintf(out, "%-14s %d texts, %d bytes, %d tokens, %d differences\n", name, records, size, sums[i], wrong[i])
	}
	if differences > 0 || records == 0 {
		return fmt.Errorf("%d differences in %d texts", differences, records)
	}
	return nil
}
