package usage_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"weir/usage"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("WEIR_TEST_LEDGER"); path != "" {
		writeUntilKilled(path, os.Getenv("WEIR_TEST_STRICT") != "")
	}
	code := m.Run()
	server.stop()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// store is a database that a ledger may be kept in.
type store struct {
	dialect usage.Dialect
	dsn     string
	db      *sql.DB
	path    string // of a file
	name    string // of a database of the server
	shared  bool   // several processes may write it
}

func (s *store) open(t testing.TB) *sql.DB {
	t.Helper()
	driver := "sqlite"
	if s.dialect == usage.Postgres {
		driver = "pgx"
	}
	db, err := sql.Open(driver, s.dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// stores are the kinds there are.
func stores() map[string]func(t testing.TB) *store {
	return map[string]func(t testing.TB) *store{
		"memory": func(t testing.TB) *store {
			s := &store{dsn: usage.SQLiteDSN("", false)}
			s.db = s.open(t)
			return s
		},
		"disk": func(t testing.TB) *store {
			path := filepath.Join(t.TempDir(), "a #1 100%?.db")
			s := &store{dsn: usage.SQLiteDSN(path, true), path: path}
			s.db = s.open(t)
			return s
		},
		"postgres": func(t testing.TB) *store {
			name := server.database(t)
			s := &store{dialect: usage.Postgres, dsn: server.dsn(name), name: name, shared: true}
			s.db = s.open(t)
			return s
		},
	}
}

// eachStore runs a test on every kind of store.
func eachStore(t *testing.T, test func(t *testing.T, s *store)) {
	t.Helper()
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// ledger opens a ledger that is closed with the test, unless the test does.
func (s *store) ledger(t testing.TB, cfg usage.LedgerConfig) *usage.Ledger {
	t.Helper()
	if cfg.DB == nil {
		cfg.DB = s.db
	}
	cfg.Dialect = s.dialect
	l, err := usage.OpenLedger(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(canceled()) })
	return l
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func closeLedger(t testing.TB, l *usage.Ledger) {
	t.Helper()
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// spent returns what the ledger holds against team a.
func spent(t testing.TB, l *usage.Ledger, key string, from time.Time) usage.USD {
	t.Helper()
	u, err := l.Spent(t.Context(), "a", key, from)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func recent(t testing.TB, l interface {
	Recent(ctx context.Context, n int, q usage.Query) ([]usage.Row, error)
}, q usage.Query,
) []usage.Row {
	t.Helper()
	rows, err := l.Recent(t.Context(), 100_000, q)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func sums(t testing.TB, l interface {
	Usage(ctx context.Context, q usage.Query) ([]usage.Sum, error)
}, q usage.Query,
) []usage.Sum {
	t.Helper()
	all, err := l.Usage(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// noon is when the tests' requests begin.
func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// record returns one with every fact that a row keeps.
func record() *usage.Record {
	return &usage.Record{
		Start: noon().Add(123456 * time.Microsecond), RequestID: "id", TraceID: "trace", Route: "/v1/chat/completions",
		Client: "10.0.0.1", UserAgent: "agent", Retry: 2, Team: "search", Key: "search-prod", Status: 200, Outcome: usage.OK,
		Code: "code", Model: "gpt-4o", Deployment: "east", Spilled: "west", Attempts: make([]usage.Attempt, 3), Stream: true,
		FinishReason: "stop", EstimatedInput: 11, Input: 12, Cached: 5, Output: 7, Reasoning: 3, Counted: true, Sound: 1500 * time.Millisecond,
		Reserved: 100, ReservedCost: 1000, Cost: 700, Escaped: 1, Trimmed: 4, Lowered: 64, Shadowed: []string{"a", "b"},
		Duration: time.Second, FirstToken: 100 * time.Millisecond, Upstream: 900 * time.Millisecond, Queued: time.Millisecond,
		AzureRequestID: "azure", AzureRegion: "East US 2",
	}
}

// row returns what the ledger keeps of record.
func row() usage.Row {
	return usage.Row{
		Start: noon().Add(123456 * time.Microsecond), RequestID: "id", TraceID: "trace", Route: "/v1/chat/completions",
		Retry: 2, Team: "search", Key: "search-prod", Status: 200, Outcome: usage.OK,
		Code: "code", Model: "gpt-4o", Deployment: "east", Spilled: "west", Attempts: 3, Stream: true,
		FinishReason: "stop", EstimatedInput: 11, Input: 12, Cached: 5, Output: 7, Reasoning: 3, Counted: true, Sound: 1500 * time.Millisecond,
		Reserved: 100, ReservedCost: 1000, Cost: 700, Escaped: 1, Trimmed: 4, Lowered: 64, Shadowed: "a,b",
		Duration: time.Second, FirstToken: 100 * time.Millisecond, Upstream: 900 * time.Millisecond, Queued: time.Millisecond,
		AzureRequestID: "azure", AzureRegion: "East US 2",
	}
}

// TestLedgerKeepsEveryFact holds what a row keeps, over a restart.
func TestLedgerKeepsEveryFact(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store) {
		l := s.ledger(t, usage.LedgerConfig{})
		r := record()
		if err := l.Begin(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		l.Take(t.Context(), r)
		l.Take(t.Context(), &usage.Record{Start: noon(), Status: 401}) // nobody's
		if err := l.Begin(t.Context(), &usage.Record{Start: noon()}); err != nil {
			t.Errorf("Begin of nobody's: %v", err)
		}
		closeLedger(t, l)
		l = s.ledger(t, usage.LedgerConfig{})
		if diff := cmp.Diff([]usage.Row{row()}, recent(t, l, usage.Query{})); diff != "" {
			t.Errorf("Recent (-want +got):\n%s", diff)
		}
		want := []usage.Sum{{Requests: 1, Input: 12, Cached: 5, Output: 7, Reasoning: 3, Cost: 700}}
		if diff := cmp.Diff(want, sums(t, l, usage.Query{})); diff != "" {
			t.Errorf("Usage (-want +got):\n%s", diff)
		}
		reader, err := usage.OpenLedgerReader(t.Context(), s.db, s.dialect)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, sums(t, reader, usage.Query{Team: "search", Key: "search-prod", Model: "gpt-4o", Deployment: "east"})); diff != "" {
			t.Errorf("a reader's Usage (-want +got):\n%s", diff)
		}
		for _, q := range []usage.Query{{Team: "x"}, {Key: "x"}, {Model: "x"}, {Deployment: "x"}, {Since: noon().Add(time.Hour)}, {Until: noon()}} {
			if rows, all := recent(t, l, q), sums(t, l, q); len(rows)+len(all) > 0 {
				t.Errorf("%+v finds %v and %v, want nothing", q, rows, all)
			}
		}
	})
}

// TestLedgerGroups holds how usage is told apart, by names and by the days and hours
// of a zone whose hours begin at a quarter.
func TestLedgerGroups(t *testing.T) {
	kathmandu := time.FixedZone("Asia/Kathmandu", 5*3600+45*60)
	eachStore(t, func(t *testing.T, s *store) {
		l := s.ledger(t, usage.LedgerConfig{})
		for _, r := range []usage.Record{
			{Start: noon(), Team: "a", Key: "k", Model: "m", Deployment: "d", Outcome: usage.OK, Input: 1, Cost: 1},
			{Start: noon().Add(6*time.Hour + 14*time.Minute), Team: "a", Key: "k2", Model: "m", Outcome: usage.RefusedLimit},
			{Start: noon().Add(6*time.Hour + 15*time.Minute), Team: "a", Key: "k", Model: "m", Deployment: "e", Outcome: usage.UpstreamError, Cost: 10},
			{Start: noon().Add(7 * time.Hour), Team: "b", Key: "k", Model: "n", Deployment: "d", Outcome: usage.RefusedPolicy, Cost: 100},
			{Start: noon().Add(-36 * time.Hour), Team: "b", Key: "k", Model: "n", Deployment: "d", Outcome: usage.ClientError, Cost: 1000},
		} {
			l.Take(t.Context(), &r)
		}
		closeLedger(t, l)
		day := func(d int) time.Time { return time.Date(2026, 11, d, 0, 0, 0, 0, kathmandu) }
		tests := []struct {
			name  string
			query usage.Query
			want  []usage.Sum
		}{
			{"nothing", usage.Query{}, []usage.Sum{{Requests: 5, Errors: 2, Refused: 2, Input: 1, Cost: 1111}}},
			{"team", usage.Query{By: []string{"team"}}, []usage.Sum{
				{Team: "a", Requests: 3, Errors: 1, Refused: 1, Input: 1, Cost: 11},
				{Team: "b", Requests: 2, Errors: 1, Refused: 1, Cost: 1100},
			}},
			{"key and deployment of a model", usage.Query{By: []string{"key", "deployment"}, Model: "m"}, []usage.Sum{
				{Key: "k", Deployment: "d", Requests: 1, Input: 1, Cost: 1},
				{Key: "k", Deployment: "e", Requests: 1, Errors: 1, Cost: 10},
				{Key: "k2", Requests: 1, Refused: 1},
			}},
			{"day", usage.Query{By: []string{"day"}, Zone: kathmandu}, []usage.Sum{
				{From: day(21), Requests: 1, Errors: 1, Cost: 1000},
				{From: day(22), Requests: 2, Refused: 1, Input: 1, Cost: 1},
				{From: day(23), Requests: 2, Errors: 1, Refused: 1, Cost: 110},
			}},
			{"hour of a team", usage.Query{By: []string{"hour", "day"}, Team: "a", Zone: kathmandu}, []usage.Sum{
				{From: day(22).Add(17 * time.Hour), Requests: 1, Input: 1, Cost: 1},
				{From: day(22).Add(23 * time.Hour), Requests: 1, Refused: 1},
				{From: day(23), Requests: 1, Errors: 1, Cost: 10},
			}},
			{"since and until", usage.Query{By: []string{"model"}, Since: noon(), Until: noon().Add(7 * time.Hour)}, []usage.Sum{
				{Model: "m", Requests: 3, Errors: 1, Refused: 1, Input: 1, Cost: 11},
			}},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				if diff := cmp.Diff(tt.want, sums(t, l, tt.query)); diff != "" {
					t.Errorf("Usage(%+v) (-want +got):\n%s", tt.query, diff)
				}
			})
		}
		if _, err := l.Usage(t.Context(), usage.Query{By: []string{"moon"}}); err == nil {
			t.Errorf("usage by moon: no error")
		}
		if got := spent(t, l, "k", day(23)); got != 10 {
			t.Errorf("spent since midnight in Kathmandu: %d, want 10", got)
		}
	})
}

// TestLedgerTellsFewModelsApart holds that names that clients make up take no room
// beyond the bound, and that what they cost is not lost.
func TestLedgerTellsFewModelsApart(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store) {
		l := s.ledger(t, usage.LedgerConfig{Models: 2})
		for i := range 500 {
			r := &usage.Record{
				Start: noon(), RequestID: strconv.Itoa(i), Team: "a", Key: "k", Model: "m" + strconv.Itoa(i%100), ReservedCost: 5,
			}
			if i%3 == 0 {
				if err := l.Begin(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			r.Deployment, r.Outcome, r.Input, r.Cost = "azure/"+r.Model, usage.OK, 1, 2
			l.Take(t.Context(), r)
		}
		closeLedger(t, l)
		want := []usage.Sum{
			{Model: "m0", Deployment: "azure/m0", Requests: 5, Input: 5, Cost: 10},
			{Model: "m1", Deployment: "azure/m1", Requests: 5, Input: 5, Cost: 10},
			{Model: "other", Deployment: "other", Requests: 490, Input: 490, Cost: 980},
		}
		if diff := cmp.Diff(want, sums(t, l, usage.Query{By: []string{"model", "deployment"}})); diff != "" {
			t.Errorf("Usage (-want +got):\n%s", diff)
		}
		var n int
		if err := s.db.QueryRowContext(t.Context(), `SELECT count(*) FROM weir_sums`).Scan(&n); err != nil || n > 6 {
			t.Errorf("%d sums, %v; want no more than six", n, err)
		}
	})
}

// TestLedgerSpendsWhatRuns holds that requests that run count at their estimate, and
// those whose process died, until they end.
func TestLedgerSpendsWhatRuns(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store) {
		l := s.ledger(t, usage.LedgerConfig{})
		a := &usage.Record{RequestID: "same", Start: noon(), Team: "a", Key: "k", Model: "m", ReservedCost: 100}
		b := &usage.Record{RequestID: "same", Start: noon(), Team: "a", Key: "k2", Model: "m", ReservedCost: 30}
		for _, r := range []*usage.Record{a, b} {
			if err := l.Begin(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Begin(t.Context(), a); err == nil {
			t.Errorf("a second Begin of the same request is no error")
		}
		if got, key := spent(t, l, "", noon()), spent(t, l, "k2", noon()); got != 130 || key != 30 {
			t.Errorf("while both run %d is spent, %d by a key, want 130, 30", got, key)
		}
		a.Outcome, a.Cost, a.Deployment = usage.OK, 60, "d"
		l.Take(t.Context(), a)
		if got := spent(t, l, "", noon()); got != 90 {
			t.Errorf("while one runs %d is spent, want 90", got)
		}
		closeLedger(t, l)

		l = s.ledger(t, usage.LedgerConfig{})
		if got := l.State().Unsettled; got != 1 {
			t.Errorf("the next process settled %d requests of the first, want 1", got)
		}
		want := []usage.Sum{
			{Key: "k", Deployment: "d", Requests: 1, Cost: 60},
			{Key: "k2", Requests: 1, Unsettled: 1, Cost: 30},
		}
		if diff := cmp.Diff(want, sums(t, l, usage.Query{By: []string{"deployment", "key"}})); diff != "" {
			t.Errorf("Usage (-want +got):\n%s", diff)
		}
		if got := spent(t, l, "", noon()); got != 90 {
			t.Errorf("after the process died %d is spent, want 90", got)
		}
		rows := recent(t, l, usage.Query{Key: "k2"})
		if len(rows) != 1 || !rows[0].Unsettled || rows[0].Open || rows[0].Cost != 30 {
			t.Errorf("the row of the request that died: %+v", rows)
		}
	})
}

// TestLedgerTakesAnything holds that no text and no number breaks what is written
// with it.
func TestLedgerTakesAnything(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store) {
		l := s.ledger(t, usage.LedgerConfig{})
		long := strings.Repeat("ü", 1000)
		odd := []usage.Record{
			{Start: noon(), Team: "nul\x00", Key: "\x00", Model: "m", RequestID: "\x00\x00"},
			{Start: noon(), Team: "bad\xff\xfe", Key: "k", Model: "\xc3"},
			{Start: noon(), Team: long, Key: long, Model: long, RequestID: long, AzureRegion: long, Shadowed: []string{long, "\x00"}},
			{Start: noon(), Team: "team 😀 ' \" \\ ; DROP", Key: "ключ", Model: "模型", Input: math.MaxInt64, Cost: math.MaxInt64},
			{Start: noon(), Team: "team 😀 ' \" \\ ; DROP", Key: "ключ", Model: "模型", Input: math.MaxInt64, Cost: math.MaxInt64},
			{Start: noon(), Team: "a", Input: math.MinInt64, Output: math.MaxInt64, Cost: math.MinInt64, Duration: math.MinInt64},
			{Team: "a", Retry: math.MaxInt, Status: math.MinInt},
			{Start: time.Unix(-1, 0), Team: "a"},
			{Start: noon().AddDate(5000, 0, 0), Team: "a"},
		}
		for i := range odd {
			if err := l.Begin(t.Context(), &odd[i]); err != nil {
				t.Errorf("Begin(%d): %v", i, err)
			}
			l.Take(t.Context(), &odd[i])
		}
		l.Take(t.Context(), &usage.Record{Start: noon(), Team: "good", Cost: 7})
		closeLedger(t, l)
		if rows, state := recent(t, l, usage.Query{}), l.State(); len(rows) != len(odd)+1 || state.Lost != 0 || state.Error != "" {
			t.Errorf("%d rows of %d, state %+v", len(rows), len(odd)+1, state)
		}
		if got := recent(t, l, usage.Query{Team: "nul\x00"}); len(got) != 1 || got[0].Team != "nul\uFFFD" {
			t.Errorf("the row of a team with a NUL: %+v", got)
		}
		if got := recent(t, l, usage.Query{Team: long}); len(got) != 1 || got[0].Team != long[:256] {
			t.Errorf("the row of a team with a long name: %+v", got)
		}
		if days := sums(t, l, usage.Query{By: []string{"day"}}); days[0].From.Year() != 1969 {
			t.Errorf("the first day is %v, want the one before 1970", days[0].From)
		}
		var requests int64
		for _, sum := range sums(t, l, usage.Query{By: []string{"day", "team", "key", "model"}}) {
			requests += sum.Requests
		}
		if requests != int64(len(odd)+1) {
			t.Errorf("sums of %d requests, want %d", requests, len(odd)+1)
		}
	})
}

// TestLedgerLeavesOutWhatNoDatabaseTakes holds that a row that the database refuses
// holds up none of those it was to be written with.
func TestLedgerLeavesOutWhatNoDatabaseTakes(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store) {
		l := s.ledger(t, usage.LedgerConfig{})
		poison := `CREATE TRIGGER poison BEFORE INSERT ON weir_requests WHEN 'poison' IN (NEW.code, NEW.model) BEGIN SELECT RAISE(ABORT, 'no'); END`
		if s.dialect == usage.Postgres {
			poison = `ALTER TABLE weir_requests ADD CHECK (code <> 'poison' AND model <> 'poison')`
		}
		if _, err := s.db.ExecContext(t.Context(), poison); err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for i := range 100 {
			group.Go(func() {
				r := &usage.Record{Start: noon(), Team: "a", Cost: 1}
				if i%10 == 3 {
					r.Code = "poison"
				}
				l.Take(t.Context(), r)
			})
		}
		r := &usage.Record{Start: noon(), Team: "a", Model: "poison", ReservedCost: 50}
		if err := l.Begin(t.Context(), r); err == nil {
			t.Errorf("Begin of a row that is left out: no error")
		}
		r.Model, r.Cost = "m", 10
		l.Take(t.Context(), r)
		group.Wait()
		closeLedger(t, l)
		want := []usage.Sum{{Requests: 91, Cost: 100}}
		if diff := cmp.Diff(want, sums(t, l, usage.Query{})); diff != "" {
			t.Errorf("Usage (-want +got):\n%s", diff)
		}
		if rows, lost := len(recent(t, l, usage.Query{})), l.State().Lost; rows != 91 || lost != 11 {
			t.Errorf("%d rows and %d lost, want 91 and 11", rows, lost)
		}
	})
}

// TestLedgerForgetsRowsNotSums holds what retention and a bound on rows remove.
func TestLedgerForgetsRowsNotSums(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store) {
		l := s.ledger(t, usage.LedgerConfig{MaxRows: 100})
		for i := range 2500 {
			l.Take(t.Context(), &usage.Record{Start: noon().Add(time.Duration(i) * time.Second), Team: "a", Cost: 1, RequestID: strconv.Itoa(i)})
		}
		closeLedger(t, l)
		rows := recent(t, l, usage.Query{})
		if len(rows) < 100 || len(rows) > 113 || rows[0].RequestID != "2499" {
			t.Errorf("%d rows, the newest %+v, want about the newest 100", len(rows), rows[:1])
		}
		if got := spent(t, s.ledger(t, usage.LedgerConfig{}), "", noon()); got != 2500 {
			t.Errorf("spent %d, want 2500", got)
		}
	})
}

// TestLedgerKeepsSumsExactWhenFull holds that without room rows are lost and what
// was spent is not, that no stream waits, and that the log says so once each way.
func TestLedgerKeepsSumsExactWhenFull(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store) {
		var log syncBuffer
		l := s.ledger(t, usage.LedgerConfig{Queue: 10, Log: logTo(&log)})
		runs := &usage.Record{Start: noon(), Team: "a", Model: "m", ReservedCost: 1000}
		if err := l.Begin(t.Context(), runs); err != nil {
			t.Fatal(err)
		}
		restore := s.breaks(t)
		for range 500 {
			l.Take(t.Context(), &usage.Record{Start: noon(), Team: "a", Model: "m", Deployment: "d", Outcome: usage.OK, Output: 2, Cost: 3})
		}
		runs.Cost = 50
		l.Take(t.Context(), runs)
		eventually(t, func() bool { return !l.State().Failing.IsZero() })
		state := l.State()
		if state.Queued > 11 || state.Lost < 489 || state.Error == "" {
			t.Errorf("State() = %+v, want at most 11 in the queue and the others lost", state)
		}
		if err := l.Begin(t.Context(), &usage.Record{Start: noon(), Team: "a"}); err == nil {
			t.Errorf("Begin without room: no error")
		}
		restore()
		closeLedger(t, l)
		want := []usage.Sum{{Requests: 501, Output: 1000, Cost: 1550}}
		if diff := cmp.Diff(want, sums(t, l, usage.Query{})); diff != "" {
			t.Errorf("Usage (-want +got):\n%s", diff)
		}
		if rows := recent(t, l, usage.Query{}); int64(len(rows)) != 501-state.Lost || rows[0].Open {
			t.Errorf("%d rows, want %d, none of them open", len(rows), 501-state.Lost)
		}
		for _, line := range []string{"cannot be written", "is written again", "too many rows wait", "has room"} {
			if n := strings.Count(log.String(), line); n != 1 {
				t.Errorf("the log says %d times %q:\n%s", n, line, log.String())
			}
		}
	})
}

// TestLedgerSpentIsExactWhileItWrites holds that nothing is missed or counted twice
// on its way from the queue to the database.
func TestLedgerSpentIsExactWhileItWrites(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store) {
		l := s.ledger(t, usage.LedgerConfig{})
		ctx, stop := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() {
			for ctx.Err() == nil {
				if err := l.Begin(t.Context(), &usage.Record{Start: noon(), Team: "hurry"}); err != nil {
					t.Error(err)
				}
			}
		})
		for i := range 500 {
			l.Take(t.Context(), &usage.Record{Start: noon(), Team: "a", Cost: 1})
			if got := spent(t, l, "", noon()); got != usage.USD(i+1) {
				t.Fatalf("after %d requests %d is spent", i+1, got)
			}
		}
		stop()
		group.Wait()
	})
}

// TestLedgerWritesOnce holds that a request that begins and ends before anything of
// it is written is one row.
func TestLedgerWritesOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store) {
		l := s.ledger(t, usage.LedgerConfig{})
		mend := s.breaks(t)
		l.Take(t.Context(), &usage.Record{Start: noon(), Team: "a"})
		eventually(t, func() bool { return !l.State().Failing.IsZero() })
		r := record()
		if err := l.Begin(canceled(), r); err == nil {
			t.Errorf("Begin on a dead database: no error")
		}
		l.Take(t.Context(), r)
		if got := l.State().Queued; got != 2 {
			t.Errorf("%d rows wait, want 2", got)
		}
		mend()
		closeLedger(t, l)
		if got := l.State().Written; got != 2 {
			t.Errorf("%d rows written, want 2", got)
		}
		if diff := cmp.Diff([]usage.Row{row()}, recent(t, l, usage.Query{Team: "search"})); diff != "" {
			t.Errorf("Recent (-want +got):\n%s", diff)
		}
	})
}

// breaks makes the database fail, and returns what mends it.
func (s *store) breaks(t testing.TB) (mend func()) {
	t.Helper()
	exec := func(db *sql.DB, statement string) {
		if _, err := db.ExecContext(context.Background(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if s.dialect == usage.Postgres {
		server.admin(t, `ALTER DATABASE `+s.name+` ALLOW_CONNECTIONS false`)
		server.admin(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '`+s.name+`'`)
		return func() { server.admin(t, `ALTER DATABASE `+s.name+` ALLOW_CONNECTIONS true`) }
	}
	if s.path != "" {
		// The pragma is of a connection.
		s.db.SetMaxOpenConns(1)
	}
	exec(s.db, `PRAGMA query_only = 1`)
	return func() { exec(s.db, `PRAGMA query_only = 0`) }
}

// eventually waits for what another goroutine does.
func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	for !ok() {
		select {
		case <-t.Context().Done():
			t.Fatal("it never happens")
		case <-time.After(time.Millisecond):
		}
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func logTo(b *syncBuffer) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
