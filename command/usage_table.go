package command

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	screen   = 80 // columns of a terminal
	narrow   = 8  // that names have at least
	tableGap = "  "
)

// writeTable writes a list for people: in the order of time, the dearest first, and
// the total below.
func writeTable(w io.Writer, list usageList) error {
	var b strings.Builder
	const form = "2006-01-02 15:04"
	fmt.Fprintf(&b, "Usage from %s to %s, %s\n\n", list.Since.Format(form), list.Until.Format(form), printable(list.Zone))
	rows := slices.Clone(list.Data)
	slices.SortStableFunc(rows, func(a, b usageRow) int {
		return cmp.Or(
			strings.Compare(a.name("day"), b.name("day")), began(&a).Compare(began(&b)),
			cmp.Compare(b.Cost, a.Cost), cmp.Compare(b.Requests, a.Requests),
		)
	})
	var head []string
	for _, by := range list.By {
		head = append(head, printable(strings.ToUpper(by)))
	}
	grid := [][]string{append(head, "REQUESTS", "ERRORS", "REFUSED", "INPUT", "OUTPUT", "COST")}
	total := usageRow{}
	for i := range rows {
		grid = append(grid, rows[i].cells(list.By))
		total.add(&rows[i])
	}
	last := total.cells(list.By)
	clear(last[:len(list.By)])
	last[0] = "total"
	draw(&b, append(grid, last), len(list.By))
	if total.Open > 0 {
		fmt.Fprintf(&b, "\n%s open, and %s held for what they may cost.\n", grouped(total.Open), total.Held)
	}
	if total.Unsettled > 0 {
		fmt.Fprintf(&b, "\n%s of a process that died, charged at what was reserved.\n", grouped(total.Unsettled))
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("writing usage: %w", err)
	}
	return nil
}

// began returns when the hour of a row begins. In the night that a zone's clocks go
// back, two hours have one name.
func began(r *usageRow) time.Time {
	t, _ := time.Parse(time.RFC3339, r.name("hour")) // zero where it has none
	return t
}

// add adds what the table shows of another row.
func (r *usageRow) add(o *usageRow) {
	r.Requests += o.Requests
	r.Errors += o.Errors
	r.Refused += o.Refused
	r.Unsettled += o.Unsettled
	r.Open += o.Open
	r.Input += o.Input
	r.Output += o.Output
	r.Cost += o.Cost
	r.Held += o.Held
}

// cells returns what a row shows: as many names as it is told apart by, and sums.
func (r *usageRow) cells(by []string) []string {
	var out []string
	for _, name := range by {
		out = append(out, printable(r.name(name)))
	}
	for _, n := range []int64{r.Requests, r.Errors, r.Refused, r.Input, r.Output} {
		out = append(out, grouped(n))
	}
	return append(out, r.Cost.String())
}

// printable returns a name as a terminal may show it: a dash for none.
func printable(name string) string {
	if name == "" {
		return "-"
	}
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return utf8.RuneError
		}
		return c
	}, name)
}

// draw writes lines of cells in columns: names to the left, numbers to the right.
// One column of names is clipped to what the screen has.
func draw(b *strings.Builder, grid [][]string, names int) {
	widths := make([]int, len(grid[0]))
	sum := len(tableGap) * (len(widths) - 1)
	for i := range widths {
		for _, line := range grid {
			widths[i] = max(widths[i], utf8.RuneCountInString(line[i]))
		}
		sum += widths[i]
	}
	if names == 1 && sum > screen {
		widths[0] = max(min(narrow, widths[0]), widths[0]-(sum-screen))
	}
	for _, line := range grid {
		for i, cell := range line {
			cell = clip(cell, widths[i])
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i < names {
				b.WriteString(cell + pad + tableGap)
				continue
			}
			b.WriteString(pad + cell)
			if i < len(line)-1 {
				b.WriteString(tableGap)
			}
		}
		b.WriteString("\n")
	}
}

// clip returns the beginning of a text that is too long.
func clip(text string, width int) string {
	if r := []rune(text); len(r) > width {
		return string(r[:width-1]) + "…"
	}
	return text
}

// grouped returns a number with a comma before every three digits.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// String returns the amount in dollars and cents: $1,234.56. Less than half a cent
// is not nothing.
func (m money) String() string {
	const cent = 1e7
	sign, cents := "", (int64(m)+cent/2)/cent
	switch {
	case m < 0:
		sign, cents = "-", (-int64(m)+cent/2)/cent
	case m > 0 && cents == 0:
		return "<$0.01"
	}
	return fmt.Sprintf("%s$%s.%02d", sign, grouped(cents/100), cents%100)
}
