// Reservations replays one trace of requests, hours of virtual time, through several
// ways of setting tokens aside for answers whose length nobody knows, and prints
// what each of them admits, lets pass beyond the limit, and leaves unused.
//
// The trace is made from a fixed seed, so every run prints the same table. What
// reserves, learns and counts is the code that the gateway runs.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"
)

// hours is how much time the trace covers.
const hours = 6

func main() {
	ctx := context.Background() //nolint:forbidigo // the program's own
	if err := report(ctx, os.Stdout, hours*time.Hour); err != nil {
		fmt.Fprintln(os.Stderr, "reservations:", err)
		os.Exit(1)
	}
}

// report replays a trace of this length and writes a table for each team, and one for
// all of them.
func report(ctx context.Context, to io.Writer, length time.Duration) error {
	teams := teams()
	all := trace(teams, length)
	results := make([][]result, len(strategies()))
	for i, s := range strategies() {
		got, err := replay(ctx, s, teams, all, length)
		if err != nil {
			return err
		}
		results[i] = append(got, together(got))
	}
	out := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "%d requests in %v of virtual time\n", len(all), length)
	wanted, allowed := int64(0), int64(0)
	for i := range len(teams) + 1 {
		name := "all teams"
		if i < len(teams) {
			name = teams[i].name
			w, a := wants(all, i), teams[i].perMinute*int64(length/time.Minute)
			wanted, allowed = wanted+w, allowed+a
			header(out, name, w, a)
		} else {
			header(out, name, wanted, allowed)
		}
		for k, s := range strategies() {
			row(out, s.name, results[k][i])
		}
	}
	return out.Flush()
}

// wants returns the tokens that a team's requests would use if all were admitted.
func wants(all []request, team int) (tokens int64) {
	for _, r := range all {
		if r.team == team {
			tokens += r.prompt + r.used()
		}
	}
	return tokens
}

func header(w io.Writer, name string, wanted, allowed int64) {
	fmt.Fprintf(w, "\n%s: wants %.0f %% of %d tokens\n", name, share(wanted, allowed), allowed)
	fmt.Fprintln(w, "\tadmitted\trefused\ttokens used\tbeyond, at worst\tbeyond, in all\tidle while refusing\t")
}

func row(w io.Writer, name string, r result) {
	fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%.1f %%\t%.2f %%\t%.1f %%\t\n", name, r.admitted, r.refused, r.used,
		100*r.worst, share(r.excess, r.used), share(r.idle, r.scarce))
}

// share returns a in percent of b.
func share(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return 100 * float64(a) / float64(b)
}
