package command

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"weir/dashboard"
)

// fit returns how many of the teams and the deployments are drawn on a screen of which
// the lines above are taken: each may have half of what is left, and what the other
// does not need. Where some are left out a line says so.
func (l look) fit(above string, teams, places int) (ofTeams, ofPlaces int) {
	const around = 4 // a head each, an empty line between, and the one below
	room := l.height - strings.Count(above, "\n") - around
	if !l.terminal || l.height <= 1 || teams+places <= room {
		return teams, places
	}
	ofPlaces = min(places, max(room/2, room-teams))
	return min(teams, room-ofPlaces), ofPlaces
}

// few returns the n that rank first, in the order in which they came; one less where
// a line must say how many there are besides, and that line.
func few[T any](all []T, n int, rank func(a, b *T) int) (some []T, more string) {
	if n >= len(all) || len(all) == 0 {
		return all, ""
	}
	n = max(0, n-1)
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return rank(&all[a], &all[b]) })
	order = order[:n]
	slices.Sort(order)
	for _, i := range order {
		some = append(some, all[i])
	}
	return some, fmt.Sprintf("and %d less busy", len(all)-n)
}

// besides draws the line that says how many there are besides, where there is one. Its
// color ends before the line does: the next may be cut off.
func (l look) besides(b *strings.Builder, more string) {
	if more != "" {
		b.WriteString(l.paint(faint, more) + "\n")
	}
}

// busier ranks teams.
func busier(a, b *dashboard.TeamRow) int {
	return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(b.Served, a.Served))
}

// worse ranks deployments: those that do not answer before those that do.
func worse(a, b *dashboard.PlaceRow) int {
	ill := func(p *dashboard.PlaceRow) int {
		if p.State == "closed" {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(ill(b), ill(a)), cmp.Compare(b.Attempts, a.Attempts), cmp.Compare(b.InFlight, a.InFlight))
}
