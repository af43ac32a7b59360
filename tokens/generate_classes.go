//go:build ignore

// This program writes classes.txt: every code point's class for the patterns, by
// the general categories of Unicode 16.0, which OpenAI's tiktoken goes by. It
// takes them from the Python package unicodedata2 of version 16.0.0, which has to
// be installed; Go's own unicode package is a version behind.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
)

// categories prints the category of each code point, one a line.
const categories = `
import unicodedata2
assert unicodedata2.unidata_version == "16.0.0", unicodedata2.unidata_version
print("\n".join(unicodedata2.category(chr(c)) for c in range(0x110000)))
`

// spaces are the code points of the property White_Space, which has not changed
// since Unicode 6.3 and is not a category.
const spaces = "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"

func main() {
	if err := write("classes.txt"); err != nil {
		slog.Error("generating classes", "err", err)
		os.Exit(1)
	}
}

func write(file string) error {
	all, err := exec.Command("python3", "-c", categories).Output()
	if err != nil {
		return fmt.Errorf("reading the categories: %w", err)
	}
	var out bytes.Buffer
	first, last, class := rune(0), rune(-1), ""
	end := func() {
		if class != "" {
			fmt.Fprintf(&out, "%04X %04X %s\n", first, last, class)
		}
	}
	lines := bufio.NewScanner(bytes.NewReader(all))
	for r := rune(0); lines.Scan(); r++ {
		if c := classOf(r, lines.Text()); c != class {
			end()
			first, class = r, c
		}
		last = r
	}
	end()
	return os.WriteFile(file, out.Bytes(), 0o644)
}

// classOf returns the letter that classes.txt has for a class, and nothing for
// what no pattern names.
func classOf(r rune, category string) string {
	switch {
	case strings.ContainsRune(spaces, r):
		return "S"
	case category == "Lu", category == "Lt":
		return "U"
	case category == "Ll":
		return "L"
	case category == "Lm", category == "Lo":
		return "O"
	case category[0] == 'M':
		return "M"
	case category[0] == 'N':
		return "N"
	default:
		return ""
	}
}
