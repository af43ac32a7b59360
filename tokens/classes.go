package tokens

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

//go:generate go run generate_classes.go

// classText has the classes of all code points by Unicode 16.0, a range a line:
// first and last in hexadecimal, and U for Lu and Lt, L for Ll, O for Lm and Lo,
// M for marks, N for numbers, S for white space. What is not there is a symbol.
//
//go:embed classes.txt
var classText string

// class is a bit for each of the kinds of characters that the patterns tell apart.
type class uint8

const (
	symbol class = 1 << iota
	upper
	lower
	caseless // a letter that is neither
	mark
	number
	space
	newline // CR or LF, which is not in space

	letter = upper | lower | caseless
	head   = upper | caseless | mark // what a word of o200k begins with
	tail   = lower | caseless | mark // what it goes on with
	sign   = symbol | mark
	white  = space | newline
	prefix = symbol | mark | space // what may stand before a word
)

const (
	blockBits = 7
	blockSize = 1 << blockBits
)

// classes is the class of every code point.
type classes struct {
	ascii  [utf8.RuneSelf]class
	blocks [(utf8.MaxRune + 1) >> blockBits]*block // those of one class are shared
}

// block is the classes of so many code points in a row.
type block [blockSize]class

// newBlock returns a block of one class.
func newBlock(c class) *block {
	b := new(block)
	for i := range b {
		b[i] = c
	}
	return b
}

// newClasses reads classText. A fault in it is a fault of the program.
func newClasses() *classes {
	c := new(classes)
	symbols := newBlock(symbol)
	for i := range c.blocks {
		c.blocks[i] = symbols
	}
	kinds := map[string]class{"U": upper, "L": lower, "O": caseless, "M": mark, "N": number, "S": space}
	full := make(map[class]*block)
	for _, kind := range kinds {
		full[kind] = newBlock(kind)
	}
	for line := range strings.Lines(classText) {
		fields := strings.Fields(line)
		first, err1 := strconv.ParseUint(fields[0], 16, 21)
		last, err2 := strconv.ParseUint(fields[1], 16, 21)
		kind := kinds[fields[2]]
		if err1 != nil || err2 != nil || kind == 0 {
			panic(fmt.Sprintf("tokens: reading the embedded classes: %q", line))
		}
		for r := first; r <= last; r++ {
			b := &c.blocks[r>>blockBits]
			if r%blockSize == 0 && last-r >= blockSize {
				*b = full[kind]
				r += blockSize - 1
				continue
			}
			if *b == symbols {
				*b = newBlock(symbol)
			}
			(*b)[r%blockSize] = kind
		}
	}
	c.blocks[0]['\r'], c.blocks[0]['\n'] = newline, newline
	copy(c.ascii[:], c.blocks[0][:])
	return c
}

// of returns the class of a code point that is not ASCII.
func (c *classes) of(r rune) class {
	return c.blocks[r>>blockBits][r&(blockSize-1)]
}
