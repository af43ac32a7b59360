package usage_test

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"weir/usage"
)

// account is what a ledger should hold, kept the simplest way: every request, as its
// row is now.
type account struct {
	ended []usage.Record
	died  []usage.Record
	runs  []*usage.Record
}

// all calls f with each request and what it counts for.
func (a *account) all(f func(r *usage.Record, s usage.Sum)) {
	for i := range a.ended {
		r := &a.ended[i]
		s := usage.Sum{Requests: 1, Input: r.Input, Cached: r.Cached, Output: r.Output, Reasoning: r.Reasoning, Cost: r.Cost}
		switch r.Outcome {
		case usage.RefusedLimit, usage.RefusedPolicy:
			s.Refused = 1
		case usage.ClientError, usage.UpstreamError, usage.GatewayError:
			s.Errors = 1
		default:
		}
		f(r, s)
	}
	for i := range a.died {
		f(&a.died[i], usage.Sum{Requests: 1, Unsettled: 1, Cost: a.died[i].ReservedCost})
	}
	for _, r := range a.runs {
		f(r, usage.Sum{Open: 1, Held: r.ReservedCost})
	}
}

func (a *account) spent(team, key string, from time.Time) usage.USD {
	var u usage.USD
	a.all(func(r *usage.Record, s usage.Sum) {
		if r.Team == team && (key == "" || r.Key == key) && !r.Start.Before(from.Truncate(15*time.Minute)) {
			u += s.Cost + s.Held
		}
	})
	return u
}

func (a *account) usage(team string, by []string, zone *time.Location) []usage.Sum {
	groups := map[string]usage.Sum{}
	a.all(func(r *usage.Record, s usage.Sum) {
		if r.Team != team {
			return
		}
		t := r.Start.In(zone)
		for _, b := range by {
			switch b {
			case "team":
				s.Team = r.Team
			case "key":
				s.Key = r.Key
			case "model":
				s.Model = r.Model
			case "deployment":
				s.Deployment = r.Deployment
			case "day":
				s.From = time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, zone)
			case "hour":
				s.From = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), 0, 0, 0, zone)
			}
		}
		k := fmt.Sprintf("%q %q %q %q %v", s.Team, s.Key, s.Model, s.Deployment, s.From)
		g := groups[k]
		s.Requests += g.Requests
		s.Errors += g.Errors
		s.Refused += g.Refused
		s.Unsettled += g.Unsettled
		s.Open += g.Open
		s.Input += g.Input
		s.Cached += g.Cached
		s.Output += g.Output
		s.Reasoning += g.Reasoning
		s.Cost += g.Cost
		s.Held += g.Held
		groups[k] = s
	})
	out := []usage.Sum{}
	for _, s := range groups {
		out = append(out, s)
	}
	slices.SortFunc(out, bySum)
	return out
}

func bySum(a, b usage.Sum) int {
	return cmp.Or(
		a.From.Compare(b.From), cmp.Compare(a.Team, b.Team), cmp.Compare(a.Key, b.Key),
		cmp.Compare(a.Model, b.Model), cmp.Compare(a.Deployment, b.Deployment),
	)
}

// TestLedgerAddsUp holds that whatever happens, a kill included, rows, sums, usage
// told apart in any way and what was spent are the same requests.
func TestLedgerAddsUp(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store) {
		if s.path != "" {
			return // It is the one in memory, and slower.
		}
		run := 0
		rapid.Check(t, func(rt *rapid.T) {
			run++
			b := &bookkeeping{
				t: t, rt: rt, store: s, teams: []string{"a" + strconv.Itoa(run), "b" + strconv.Itoa(run)},
				ledger: s.ledger(t, usage.LedgerConfig{Queue: 100_000, Strict: run%2 == 0}),
			}
			rt.Repeat(map[string]func(*rapid.T){
				"take": func(*rapid.T) {
					r := b.request()
					b.end(r)
				},
				"begin": func(*rapid.T) {
					r := b.request()
					if err := b.ledger.Begin(t.Context(), r); err != nil {
						rt.Fatal(err)
					}
					b.want.runs = append(b.want.runs, r)
				},
				"end": func(*rapid.T) {
					if len(b.want.runs) > 0 {
						i := rapid.IntRange(0, len(b.want.runs)-1).Draw(rt, "which")
						r := b.want.runs[i]
						b.want.runs = slices.Delete(b.want.runs, i, i+1)
						b.end(r)
					}
				},
				"spend": func(*rapid.T) { b.checkSpent() },
				"kill": func(*rapid.T) {
					if rapid.IntRange(0, 3).Draw(rt, "kill") == 0 {
						b.restart()
					}
				},
			})
			b.checkSpent()
			b.restart()
			b.checkAll()
			if err := b.ledger.Close(t.Context()); err != nil {
				rt.Fatal(err)
			}
		})
	})
}

// bookkeeping is a ledger and what it should hold.
type bookkeeping struct {
	t      *testing.T
	rt     *rapid.T
	store  *store
	teams  []string
	ledger *usage.Ledger
	want   account
}

func (b *bookkeeping) request() *usage.Record {
	pick := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(b.rt, label) }
	return &usage.Record{
		Start: noon().Add(time.Duration(rapid.IntRange(-200, 200).Draw(b.rt, "minutes")) * time.Minute),
		Team:  pick("team", b.teams...), Key: pick("key", "k", "ключ"), Model: pick("model", "m", "n"),
		ReservedCost: usage.USD(rapid.IntRange(0, 100).Draw(b.rt, "reserved")), RequestID: "same",
	}
}

func (b *bookkeeping) end(r *usage.Record) {
	n := func(label string) int64 { return rapid.Int64Range(0, 100).Draw(b.rt, label) }
	r.Outcome = rapid.SampledFrom([]usage.Outcome{
		usage.OK, usage.RefusedLimit, usage.RefusedPolicy, usage.ClientError, usage.UpstreamError, usage.GatewayError, usage.ClientGone,
	}).Draw(b.rt, "outcome")
	r.Deployment = rapid.SampledFrom([]string{"", "d", "e"}).Draw(b.rt, "deployment")
	r.Input, r.Cached, r.Output, r.Reasoning, r.Cost = n("input"), n("cached"), n("output"), n("reasoning"), usage.USD(n("cost"))
	b.ledger.Take(b.t.Context(), r)
	b.want.ended = append(b.want.ended, *r)
}

func (b *bookkeeping) checkSpent() {
	team := rapid.SampledFrom(b.teams).Draw(b.rt, "team")
	key := rapid.SampledFrom([]string{"", "k", "ключ"}).Draw(b.rt, "key")
	from := noon().Add(time.Duration(rapid.IntRange(-220, 220).Draw(b.rt, "from")) * time.Minute)
	got, err := b.ledger.Spent(b.t.Context(), team, key, from)
	if want := b.want.spent(team, key, from); err != nil || got != want {
		b.rt.Fatalf("Spent(%s, %s, %v) = %d, %v, want %d", team, key, from, got, err, want)
	}
}

// restart kills the process once all is written, and starts the next.
func (b *bookkeeping) restart() {
	eventually(b.t, func() bool { return b.ledger.State().Queued == 0 })
	if err := b.ledger.Close(canceled()); err != nil {
		b.rt.Fatal(err)
	}
	if b.store.shared {
		// It could not say goodbye, and is long dead.
		if _, err := b.store.db.ExecContext(b.t.Context(), `UPDATE weir_instances SET seen = 0`); err != nil {
			b.rt.Fatal(err)
		}
	}
	for _, r := range b.want.runs {
		b.want.died = append(b.want.died, *r)
	}
	b.want.runs = nil
	b.ledger = b.store.ledger(b.t, usage.LedgerConfig{Queue: 100_000})
}

func (b *bookkeeping) checkAll() {
	by := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"team", "key", "model", "deployment", "hour"}), 0, 5, rapid.ID).Draw(b.rt, "by")
	if rapid.Bool().Draw(b.rt, "days") {
		by = append(slices.DeleteFunc(by, func(s string) bool { return s == "hour" }), "day")
	}
	zone := rapid.SampledFrom([]*time.Location{time.UTC, time.FixedZone("", 5*3600+45*60), time.FixedZone("", -(3*3600 + 30*60))}).Draw(b.rt, "zone")
	for _, team := range b.teams {
		got, err := b.ledger.Usage(b.t.Context(), usage.Query{By: by, Zone: zone, Team: team})
		if diff := gocmp.Diff(b.want.usage(team, by, zone), got); err != nil || diff != "" {
			b.rt.Fatalf("Usage by %v, %v (-want +got):\n%s", by, err, diff)
		}
		rows, err := b.ledger.Recent(b.t.Context(), 100_000, usage.Query{Team: team})
		if err != nil {
			b.rt.Fatal(err)
		}
		var requests int64
		var cost usage.USD
		for _, r := range rows {
			requests++
			cost += r.Cost
		}
		want := append(b.want.usage(team, nil, zone), usage.Sum{})[0]
		if requests != want.Requests || cost != want.Cost {
			b.rt.Fatalf("%d rows cost %d, want %d and %d", requests, cost, want.Requests, want.Cost)
		}
	}
}
