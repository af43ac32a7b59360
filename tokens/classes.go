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
	blocks [(utf8.MaxRune + 1) >> blockBits]*[blockSize]class // equal ones are shared
}

// newClasses reads classText. A fault in it is a fault of the program.
func newClasses() *classes {
	whole := make([]class, utf8.MaxRune+1)
	for i := range whole {
		whole[i] = symbol
	}
	kinds := map[string]class{"U": upper, "L": lower, "O": caseless, "M": mark, "N": number, "S": space}
	for line := range strings.Lines(classText) {
		fields := strings.Fields(line)
		first, err1 := strconv.ParseUint(fields[0], 16, 21)
		last, err2 := strconv.ParseUint(fields[1], 16, 21)
		kind := kinds[fields[2]]
		if err1 != nil || err2 != nil || kind == 0 {
			panic(fmt.Sprintf("tokens: reading the embedded classes: %q", line))
		}
		for r := first; r <= last; r++ {
			whole[r] = kind
		}
	}
	whole['\r'], whole['\n'] = newline, newline

	c := new(classes)
	copy(c.ascii[:], whole)
	known := make(map[[blockSize]class]*[blockSize]class)
	for i := range c.blocks {
		block := [blockSize]class(whole[i<<blockBits:])
		if known[block] == nil {
			known[block] = &block
		}
		c.blocks[i] = known[block]
	}
	return c
}

// of returns the class of a code point that is not ASCII.
func (c *classes) of(r rune) class {
	return c.blocks[r>>blockBits][r&(blockSize-1)]
}
