package command

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"weir/dashboard"
)

// look is how an overview is drawn.
type look struct {
	width    int  // in columns
	height   int  // in lines; 0 any
	color    bool // may be used
	terminal bool // it is drawn in place
}

// The colors.
const (
	plain  = ""
	bold   = "1"
	faint  = "2"
	green  = "32"
	yellow = "33"
	red    = "31"
)

// paint returns a text in a color.
func (l look) paint(color, text string) string {
	if !l.color || color == plain || text == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// frame returns what draws lines in the place of those before.
func (l look) frame(text string) string {
	if !l.terminal {
		return text + "\n"
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if l.height > 1 && len(lines) > l.height-1 {
		lines = lines[:l.height-1]
	}
	// Erased before it is written: behind a line that fills the screen's width many
	// terminals would erase its last sign.
	return fromTop + eraseLine + strings.Join(lines, "\n"+eraseLine) + "\n" + eraseBelow
}

// draw returns the overview. Problem is why it is not that of now; "" it is.
func (l look) draw(st dashboard.Stats, problem string) string {
	const least = 2 // columns that either end of the first line has
	var b strings.Builder
	state, color := "serving", green
	if st.State != stateReady {
		state, color = printable(st.State), yellow
	}
	if !st.Config.OK {
		state, color = state+", the last reload failed", yellow
	}
	head := clip("weir "+printable(st.Version), max(least, l.width-1-least))
	right := "● " + state
	if st.Config.Hash != "" {
		right += " · config " + printable(st.Config.Hash)
	}
	right += " · " + st.Now.UTC().Format(time.TimeOnly)
	gap := max(1, l.width-utf8.RuneCountInString(head)-utf8.RuneCountInString(right))
	b.WriteString(l.paint(bold, head) + strings.Repeat(" ", gap) + l.paint(color, clip(right, max(least, l.width-1-utf8.RuneCountInString(head)))) + "\n")
	// Where a screen is too low the last lines are left out: this one must not be.
	if problem != "" {
		b.WriteString(l.paint(red, clip(printable(problem), l.width)))
	}
	b.WriteString("\n")
	l.numbers(&b, st.Rates)
	b.WriteString("\n")
	ofTeams, ofPlaces := l.fit(b.String(), len(st.Teams), len(st.Deployments))
	teams, more := few(st.Teams, ofTeams, busier)
	l.teams(&b, teams)
	l.besides(&b, more)
	b.WriteString("\n")
	places, more := few(st.Deployments, ofPlaces, worse)
	l.deployments(&b, places)
	l.besides(&b, more)
	return b.String()
}

// numbers draws the numbers of now, as many beside each other as there is room for.
func (l look) numbers(b *strings.Builder, r dashboard.Rates) {
	const column = 20
	all := []struct{ value, name, color string }{
		{quantity(r.Requests) + "/s", "requests", plain},
		{share(r.Errors), "errors", plain},
		{milliseconds(r.FirstToken), "p95 first token", plain},
		{milliseconds(r.Overhead), "added by us, p50", plain},
		{quantity(float64(r.Streams)), "streams open", plain},
		{money(r.Spent * 1e9).String(), "spent today", plain},
	}
	if r.Errors != nil && *r.Errors > 0.01 {
		all[1].color = red
	}
	beside := min(max(1, l.width/column), len(all))
	for from := 0; from < len(all); from += beside {
		row := all[from:min(from+beside, len(all))]
		for i, n := range row {
			b.WriteString(l.paint(cmp.Or(n.color, bold), padded(n.value, column, i == len(row)-1)))
		}
		b.WriteString("\n")
		for i, n := range row {
			b.WriteString(l.paint(faint, padded(n.name, column, i == len(row)-1)))
		}
		b.WriteString("\n")
	}
}

// padded returns a text in so many columns, the last of a line without blanks.
func padded(text string, columns int, last bool) string {
	text = clip(text, columns-1)
	if last {
		return text
	}
	return text + strings.Repeat(" ", columns-utf8.RuneCountInString(text))
}

// cell is what stands in a column.
type cell struct{ text, color string }

func (l look) teams(b *strings.Builder, teams []dashboard.TeamRow) {
	grid := [][]cell{{{"TEAM", faint}, {"REQUESTS/MIN", faint}, {"TOKENS/MIN", faint}, {"BUDGET", faint}, {"REFUSED 1H", faint}, {"P95 FIRST", faint}}}
	for i := range teams {
		t := &teams[i]
		refused := cell{quantity(float64(t.Refused)), plain}
		if t.Refused > 0 {
			refused.color = yellow
		}
		grid = append(grid, []cell{
			{printable(t.Name), plain}, used(t, "rpm", t.Requests), used(t, "tpm", t.Tokens), used(t, "budget", -1), refused, {milliseconds(t.FirstToken), plain},
		})
	}
	l.columns(b, grid)
}

// used returns how much of a team's limit is used: at a rate, or as the limit says.
func used(t *dashboard.TeamRow, name string, rate float64) cell {
	for _, limit := range t.Limits {
		if limit.Name != name || limit.Key != "" {
			continue
		}
		write, now, full := quantity, rate, 1-limit.Left/limit.Burst
		if rate < 0 {
			now = limit.Most - limit.Left
		}
		if name == "budget" {
			write = func(x float64) string { return money(math.Round(x * 1e9)).String() }
		}
		c := cell{write(now) + " / " + write(limit.Most), plain}
		switch full = max(full, now/limit.Most); {
		case full >= 1:
			c.color = red
		case full >= 0.8:
			c.color = yellow
		}
		return c
	}
	if rate > 0 {
		return cell{quantity(rate), plain}
	}
	return cell{"-", faint}
}

func (l look) deployments(b *strings.Builder, places []dashboard.PlaceRow) {
	grid := [][]cell{{{"DEPLOYMENT", faint}, {"STATE", faint}, {"IN FLIGHT", faint}, {"429/MIN", faint}, {"P95", faint}, {"TOKENS LEFT", faint}}}
	for i := range places {
		p := &places[i]
		throttled, left := cell{quantity(float64(p.Throttled)), plain}, cell{"-", faint}
		if p.Throttled > 0 {
			throttled.color = yellow
		}
		if p.Azure != nil && p.Azure.Tokens >= 0 {
			left = cell{quantity(float64(p.Azure.Tokens)), plain}
		}
		grid = append(grid, []cell{{printable(p.Name), plain}, doing(p), {quantity(float64(p.InFlight)), plain}, throttled, {milliseconds(p.P95), plain}, left})
	}
	l.columns(b, grid)
}

// doing returns the words for what a deployment is doing.
func doing(p *dashboard.PlaceRow) cell {
	switch p.State {
	case "closed":
		return cell{"closed", green}
	case "resting":
		text := fmt.Sprintf("resting %.0f s", math.Ceil(p.Rest))
		if p.Why != "" {
			text += " (" + printable(p.Why) + ")"
		}
		return cell{text, yellow}
	case "open":
		return cell{fmt.Sprintf("open, probe in %.0f s", math.Ceil(p.Probe)), red}
	default:
		return cell{printable(strings.ReplaceAll(p.State, "_", " ")), yellow}
	}
}

// columns draws lines of cells: two of words to the left, and numbers to the right.
// What does not fit beside the others is left out, from the right; the first gives
// up what else is too much.
func (l look) columns(b *strings.Builder, grid [][]cell) {
	widths := l.widths(grid)
	for _, line := range grid {
		var out strings.Builder
		for i, width := range widths {
			text := clip(line[i].text, width)
			if i == 0 && grid[0][1].text == "STATE" {
				text = clipStart(line[i].text, width)
			}
			pad := strings.Repeat(" ", width-utf8.RuneCountInString(text))
			shown := l.paint(line[i].color, text)
			if i < 1 || i == 1 && grid[0][1].text == "STATE" {
				out.WriteString(shown + pad)
			} else {
				out.WriteString(pad + shown)
			}
			if i < len(widths)-1 {
				out.WriteString(tableGap)
			}
		}
		b.WriteString(strings.TrimRight(out.String(), " ") + "\n")
	}
}

// clipStart cuts a text to so many columns, and keeps its end: of deployments that
// is what tells them apart.
func clipStart(text string, columns int) string {
	runes := []rune(text)
	if len(runes) <= columns {
		return text
	}
	return "…" + string(runes[len(runes)-columns+1:])
}

// widths returns how wide the columns are that there is room for.
func (l look) widths(grid [][]cell) []int {
	widths := make([]int, len(grid[0]))
	for _, line := range grid {
		for i, c := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	sum := func() int {
		n := len(tableGap) * (len(widths) - 1)
		for _, w := range widths {
			n += w
		}
		return n
	}
	const least = 12
	for len(widths) > 2 && sum() > l.width && sum()-l.width > widths[0]-least {
		widths = widths[:len(widths)-1]
	}
	widths[0] = max(min(widths[0], least), widths[0]-max(0, sum()-l.width))
	return widths
}
