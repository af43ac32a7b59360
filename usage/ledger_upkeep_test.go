package usage_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/usage"
)

// replicas opens ledgers of several processes on one database.
func replicas(t *testing.T, n int) (*store, []*usage.Ledger) {
	t.Helper()
	s := stores()["postgres"](t)
	var all []*usage.Ledger
	for range n {
		all = append(all, s.ledger(t, usage.LedgerConfig{DB: s.open(t)}))
	}
	return s, all
}

func upkeep(t *testing.T, l *usage.Ledger) {
	t.Helper()
	if err := usage.Upkeep(t.Context(), l); err != nil {
		t.Fatal(err)
	}
}

func execute(t *testing.T, s *store, statement string) {
	t.Helper()
	if _, err := s.db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// TestReplicasShareSums holds that replicas that write the same sums at once do not
// hold each other up, and lose nothing.
func TestReplicasShareSums(t *testing.T) {
	t.Parallel()
	_, all := replicas(t, 3)
	var group sync.WaitGroup
	for _, l := range all {
		for range 4 {
			group.Go(func() {
				for i := range 100 {
					r := &usage.Record{Start: noon(), Team: "a", Key: "k", Model: string(rune('a' + i%7)), ReservedCost: 9, Cost: 2}
					if i%3 == 0 {
						if err := l.Begin(t.Context(), r); err != nil {
							t.Error(err)
						}
					}
					r.Deployment = "d"
					l.Take(t.Context(), r)
				}
			})
		}
	}
	group.Wait()
	for _, l := range all {
		closeLedger(t, l)
		if state := l.State(); state.Error != "" || state.Lost > 0 {
			t.Errorf("State() = %+v", state)
		}
	}
	if diff := cmp.Diff([]usage.Sum{{Requests: 1200, Cost: 2400}}, sums(t, all[0], usage.Query{})); diff != "" {
		t.Errorf("Usage (-want +got):\n%s", diff)
	}
	if got := len(recent(t, all[0], usage.Query{})); got != 1200 {
		t.Errorf("%d rows, want 1200", got)
	}
}

// TestReplicaTakenForDead holds what becomes of the requests of a replica that is not
// seen for a minute, and that what it settles when it is back replaces the estimate.
func TestReplicaTakenForDead(t *testing.T) {
	t.Parallel()
	s, all := replicas(t, 2)
	away, other := all[0], all[1]
	begin := func(l *usage.Ledger) *usage.Record {
		r := &usage.Record{Start: noon(), Team: "a", Key: "k", Model: "m", ReservedCost: 100}
		if err := l.Begin(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	want := func(when string, sum usage.Sum) {
		t.Helper()
		if diff := cmp.Diff([]usage.Sum{sum}, sums(t, other, usage.Query{})); diff != "" {
			t.Errorf("%s: Usage (-want +got):\n%s", when, diff)
		}
		for _, l := range all {
			if got := spent(t, l, "", noon()); got != sum.Cost+sum.Held {
				t.Errorf("%s: %d spent, want %d", when, got, sum.Cost+sum.Held)
			}
		}
	}
	end := func(l *usage.Ledger, r *usage.Record) {
		t.Helper()
		r.Deployment, r.Cost = "d", 60
		l.Take(t.Context(), r)
		eventually(t, func() bool { return l.State().Queued == 0 })
	}

	first, second := begin(away), begin(away)
	begin(other)
	upkeep(t, other)
	want("while both live", usage.Sum{Open: 3, Held: 300})
	execute(t, s, `UPDATE weir_instances SET seen = seen - 55000000`)
	upkeep(t, other)
	want("after 55 s", usage.Sum{Open: 3, Held: 300})
	execute(t, s, `UPDATE weir_instances SET seen = seen - 61000000`)
	upkeep(t, other)
	want("after 61 s", usage.Sum{Requests: 2, Unsettled: 2, Cost: 200, Open: 1, Held: 100})
	if got := other.State().Unsettled; got != 2 {
		t.Errorf("%d unsettled, want 2", got)
	}

	end(away, first)
	want("after one has ended", usage.Sum{Requests: 2, Unsettled: 1, Cost: 160, Open: 1, Held: 100})
	third := begin(away)
	upkeep(t, other)
	want("when it is back", usage.Sum{Requests: 2, Unsettled: 1, Cost: 160, Open: 2, Held: 200})
	execute(t, s, `UPDATE weir_instances SET seen = seen - 90000000000`)
	upkeep(t, other)
	want("after a day", usage.Sum{Requests: 3, Unsettled: 2, Cost: 260, Open: 1, Held: 100})
	end(away, second)
	end(away, third)
	want("when it is back", usage.Sum{Requests: 3, Cost: 180, Open: 1, Held: 100})
	end(away, begin(away))
	want("afterwards", usage.Sum{Requests: 4, Cost: 240, Open: 1, Held: 100})
	if state := away.State(); state.Error != "" {
		t.Errorf("State() = %+v", state)
	}
}

// TestReplicaForgotten holds that one that is away for a day settles what it had open
// all the same.
func TestReplicaForgotten(t *testing.T) {
	t.Parallel()
	s, all := replicas(t, 2)
	r := &usage.Record{Start: noon(), Team: "a", ReservedCost: 100}
	if err := all[0].Begin(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	execute(t, s, `UPDATE weir_instances SET seen = seen - 90000000000`)
	upkeep(t, all[1])
	if got := all[1].State().Unsettled; got != 1 {
		t.Errorf("%d unsettled, want 1", got)
	}
	r.Cost = 60
	all[0].Take(t.Context(), r)
	closeLedger(t, all[0])
	if diff := cmp.Diff([]usage.Sum{{Requests: 1, Cost: 60}}, sums(t, all[1], usage.Query{})); diff != "" {
		t.Errorf("Usage (-want +got):\n%s", diff)
	}
}

// TestLedgerRetains holds how long rows are kept, and sums.
func TestLedgerRetains(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store) {
		now := noon()
		l := s.ledger(t, usage.LedgerConfig{Retain: 30 * 24 * time.Hour, Now: func() time.Time { return now }})
		runs := &usage.Record{Start: noon(), Team: "a", ReservedCost: 5}
		if err := l.Begin(t.Context(), runs); err != nil {
			t.Fatal(err)
		}
		for _, at := range []time.Time{noon(), noon().Add(time.Hour)} {
			l.Take(t.Context(), &usage.Record{Start: at, Team: "a", Cost: 1})
		}
		eventually(t, func() bool { return l.State().Queued == 0 })
		for _, tt := range []struct {
			name  string
			after time.Duration
			rows  int
			spent usage.USD
		}{
			{"30 days", 30 * 24 * time.Hour, 3, 7},
			{"a second more", 30*24*time.Hour + time.Second, 2, 7},
			{"an hour more", 30*24*time.Hour + time.Hour + time.Second, 1, 7},
			{"400 days", 400*24*time.Hour + 14*time.Minute, 1, 7},
			{"a quarter more", 400*24*time.Hour + 15*time.Minute, 1, 1},
		} {
			now = noon().Add(tt.after)
			upkeep(t, l)
			if rows, got := len(recent(t, l, usage.Query{})), spent(t, l, "", noon()); rows != tt.rows || got != tt.spent {
				t.Errorf("after %s: %d rows and %d spent, want %d and %d", tt.name, rows, got, tt.rows, tt.spent)
			}
		}
	})
}

// TestLedgerKeepsItself holds that what is due happens by itself, and in batches of
// what has come in 20 ms where nobody waits.
func TestLedgerKeepsItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := stores()["memory"](t)
		l := s.ledger(t, usage.LedgerConfig{Retain: time.Hour})
		for i := range 3500 {
			l.Take(t.Context(), &usage.Record{Start: time.Now().Add(-time.Duration(i) * time.Millisecond), Team: "a", Cost: 1})
		}
		time.Sleep(time.Hour + 11*time.Second)
		synctest.Wait()
		if rows := recent(t, l, usage.Query{}); len(rows) != 0 {
			t.Errorf("%d rows after an hour, want none", len(rows))
		}
		r := &usage.Record{Start: time.Now(), Team: "a", Cost: 1}
		l.Take(t.Context(), r)
		time.Sleep(19 * time.Millisecond)
		synctest.Wait()
		if got := l.State().Queued; got != 1 {
			t.Errorf("after 19 ms %d wait, want 1", got)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := l.State().Queued; got != 0 {
			t.Errorf("after 20 ms %d wait, want none", got)
		}
		l.Take(t.Context(), r)
		began := time.Now()
		if err := l.Begin(t.Context(), &usage.Record{Start: time.Now(), Team: "a"}); err != nil || time.Since(began) > 0 {
			t.Errorf("Begin: %v, after %v, want at once", err, time.Since(began))
		}
		closeLedger(t, l)
		if got := spent(t, l, "", time.Now().Add(-3*time.Hour)); got != 3502 {
			t.Errorf("spent %d, want 3502", got)
		}
		s.db.Close()
	})
}

// TestRowsAreWrittenInTime holds the bound on what a kill may lose: under a steady
// load no row that nobody waits for is older than 100 ms when it is written.
func TestRowsAreWrittenInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := stores()["memory"](t)
		l := s.ledger(t, usage.LedgerConfig{})
		const each = time.Millisecond
		late := 0
		for range 2000 {
			l.Open(&usage.Record{Start: time.Now(), Team: "a"})
			l.Take(t.Context(), &usage.Record{Start: time.Now(), Team: "a", Cost: 1})
			time.Sleep(each)
			synctest.Wait()
			late = max(late, l.State().Queued)
		}
		if most := 2 * int(100*time.Millisecond/each); late == 0 || late > most {
			t.Errorf("up to %d rows waited, want some and at most %d", late, most)
		}
		t.Logf("up to %d rows waited, those of %v", late, time.Duration(late/2)*each)
		closeLedger(t, l)
		s.db.Close()
	})
}

// TestStrictLedgerHoldsTheEnd holds that, strict, an answer ends when its row is
// written, and after five seconds without.
func TestStrictLedgerHoldsTheEnd(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store) {
		l := s.ledger(t, usage.LedgerConfig{Strict: true})
		for i := range 20 {
			l.Take(t.Context(), record())
			if got := len(recent(t, l, usage.Query{})); got != i+1 {
				t.Fatalf("%d rows after %d answers", got, i+1)
			}
		}
		closeLedger(t, l)
	})
	synctest.Test(t, func(t *testing.T) {
		s := stores()["memory"](t)
		var log syncBuffer
		l := s.ledger(t, usage.LedgerConfig{Strict: true, Log: logTo(&log)})
		mend := s.breaks(t)
		began := time.Now()
		l.Take(context.WithoutCancel(t.Context()), record())
		if waited, late := time.Since(began), l.State().Late; waited != 5*time.Second || late != 1 || !strings.Contains(log.String(), "before the ledger had it on disk") {
			t.Errorf("without a database an answer ends after %v, %d of them late, log:\n%s", waited, late, log.String())
		}
		mend()
		closeLedger(t, l)
		if got := len(recent(t, l, usage.Query{})); got != 1 {
			t.Errorf("%d rows, want 1", got)
		}
		s.db.Close()
	})
}

// TestSQLiteDSN holds what a file is opened with, whatever its name.
func TestSQLiteDSN(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		strict bool
		want   string
	}{{"batch", false, "1"}, {"strict", true, "2"}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := t.TempDir() + "/a?b#c%d e.db"
			s := &store{dsn: usage.SQLiteDSN(path, tt.strict), path: path}
			db := s.open(t)
			for pragma, want := range map[string]string{
				"synchronous": tt.want, "journal_mode": "wal", "busy_timeout": "5000",
			} {
				var got string
				if err := db.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
					t.Errorf("PRAGMA %s = %s, %v, want %s", pragma, got, err, want)
				}
			}
			var n int
			var name, file string
			if err := db.QueryRowContext(t.Context(), `PRAGMA database_list`).Scan(&n, &name, &file); err != nil || file != path {
				t.Errorf("it opens %q, %v, want %q", file, err, path)
			}
		})
	}
}
