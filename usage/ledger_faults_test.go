package usage_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/usage"
)

// TestLedgerIsNotWrittenTwice holds that a commit that takes effect, but whose answer
// is lost, is not written again.
func TestLedgerIsNotWrittenTwice(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store) {
		deaf := &deafConnector{driver: s.db.Driver(), dsn: s.dsn}
		db := sql.OpenDB(deaf)
		defer db.Close()
		l := s.ledger(t, usage.LedgerConfig{DB: db})
		for i := range 5 {
			r := &usage.Record{Start: noon(), Team: "a", ReservedCost: 10, Cost: 7}
			deaf.commits.Store(int64(i % 2))
			if err := l.Begin(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			deaf.commits.Store(1)
			l.Take(t.Context(), r)
			eventually(t, func() bool { return l.State().Queued == 0 })
		}
		want := []usage.Sum{{Requests: 5, Cost: 35}}
		if diff := cmp.Diff(want, sums(t, l, usage.Query{})); diff != "" {
			t.Errorf("Usage (-want +got):\n%s", diff)
		}
		if state := l.State(); state.Error == "" {
			t.Errorf("no commit went unanswered: %+v", state)
		}
		closeLedger(t, l)
	})
}

// deafConnector makes connections that lose the answers of so many commits.
type deafConnector struct {
	driver  driver.Driver
	dsn     string
	commits atomic.Int64
}

func (c *deafConnector) Driver() driver.Driver { return c.driver }

func (c *deafConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	return deafConn{conn, c}, err
}

type deafConn struct {
	driver.Conn
	of *deafConnector
}

func (c deafConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
	return deafTx{tx, c.of}, err
}

func (c deafConn) CheckNamedValue(v *driver.NamedValue) error {
	if n, ok := c.Conn.(driver.NamedValueChecker); ok {
		return n.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

type deafTx struct {
	driver.Tx
	of *deafConnector
}

func (t deafTx) Commit() error {
	if err := t.Tx.Commit(); err != nil {
		return err
	}
	if t.of.commits.Add(-1) >= 0 {
		return errors.New("the answer is lost")
	}
	return nil
}

// TestLedgerSurvivesFullDisk holds that rows wait while the disk is full, and are
// written when it has room.
func TestLedgerSurvivesFullDisk(t *testing.T) {
	t.Parallel()
	s := stores()["disk"](t)
	s.db.SetMaxOpenConns(1) // The pragma is of a connection.
	l := s.ledger(t, usage.LedgerConfig{})
	pages := 0
	if err := s.db.QueryRowContext(t.Context(), `PRAGMA max_page_count = 1`).Scan(&pages); err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		l.Take(t.Context(), &usage.Record{Start: noon(), Team: "a", Cost: 1, RequestID: strings.Repeat("x", 100)})
	}
	eventually(t, func() bool { return !l.State().Failing.IsZero() })
	if state := l.State(); !strings.Contains(state.Error, "full") || state.Queued == 0 {
		t.Errorf("State() = %+v of %d pages, want a full disk", state, pages)
	}
	if got := spent(t, l, "", noon()); got != 2000 {
		t.Errorf("while the disk is full %d is spent, want 2000", got)
	}
	if err := s.db.QueryRowContext(t.Context(), `PRAGMA max_page_count = 1000000`).Scan(&pages); err != nil {
		t.Fatal(err)
	}
	closeLedger(t, l)
	if rows := recent(t, l, usage.Query{}); len(rows) != 2000 || l.State().Lost != 0 {
		t.Errorf("%d rows, %+v, want 2000 and none lost", len(rows), l.State())
	}
}

// TestLedgerClosesOnADeadDatabase holds that closing ends with its context, says what
// is lost, and lets nobody wait.
func TestLedgerClosesOnADeadDatabase(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store) {
		l := s.ledger(t, usage.LedgerConfig{})
		defer s.breaks(t)()
		l.Take(t.Context(), &usage.Record{Start: noon(), Team: "a"})
		eventually(t, func() bool { return !l.State().Failing.IsZero() })
		begun := make(chan error)
		go func() { begun <- l.Begin(context.Background(), &usage.Record{Start: noon(), Team: "a"}) }()
		eventually(t, func() bool { return l.State().Queued == 2 })
		if err := l.Close(canceled()); err == nil || !strings.Contains(err.Error(), "2 rows") {
			t.Errorf("Close: %v, want that 2 rows were not written", err)
		}
		if err := <-begun; err == nil {
			t.Errorf("Begin of what is lost: no error")
		}
		if err := l.Begin(t.Context(), &usage.Record{Start: noon(), Team: "a"}); err == nil {
			t.Errorf("Begin after Close: no error")
		}
		l.Take(t.Context(), &usage.Record{Start: noon(), Team: "a"})
		if got := l.State().Lost; got != 3 {
			t.Errorf("%d lost, want 3", got)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Errorf("a second Close: %v", err)
		}
	})
}

// TestLedgerOutlivesImpatience holds that a reader or a beginning that is given up
// costs nothing, least of all the one connection of a database in memory.
func TestLedgerOutlivesImpatience(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store) {
		l := s.ledger(t, usage.LedgerConfig{})
		for i := range 200 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*5*time.Microsecond)
			r := &usage.Record{Start: noon(), Team: "a", ReservedCost: 5, Cost: 1}
			l.Begin(ctx, r)                  //nolint:errcheck // It may end either way.
			l.Usage(ctx, usage.Query{})      //nolint:errcheck // Nor is this looked at,
			l.Recent(ctx, 10, usage.Query{}) //nolint:errcheck // nor this,
			l.Spent(ctx, "a", "", noon())    //nolint:errcheck // nor this.
			cancel()
			l.Take(t.Context(), r)
		}
		if got := spent(t, l, "", noon()); got != 200 {
			t.Errorf("spent %d, want 200", got)
		}
		closeLedger(t, l)
		if rows := recent(t, l, usage.Query{}); len(rows) != 200 {
			t.Errorf("%d rows, want 200", len(rows))
		}
	})
}

// TestLedgerOwnsItsFile holds that a second process may read a file and not write it.
func TestLedgerOwnsItsFile(t *testing.T) {
	t.Parallel()
	s := stores()["disk"](t)
	empty, err := sql.Open("sqlite", usage.SQLiteDSN("", false))
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	if _, err := usage.OpenLedgerReader(t.Context(), empty, usage.SQLite); err == nil || !strings.Contains(err.Error(), "no ledger") {
		t.Errorf("a reader of nothing: %v", err)
	}
	l := s.ledger(t, usage.LedgerConfig{})
	l.Take(t.Context(), record())
	eventually(t, func() bool { return l.State().Queued == 0 })
	if _, err := usage.OpenLedger(t.Context(), usage.LedgerConfig{DB: s.open(t)}); err == nil || !strings.Contains(err.Error(), "another process writes") {
		t.Errorf("a second writer: %v", err)
	}
	db, err := sql.Open("sqlite", usage.SQLiteReaderDSN(s.path))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	reader, err := usage.OpenLedgerReader(t.Context(), db, usage.SQLite)
	if err != nil {
		t.Fatal(err)
	}
	if rows := recent(t, reader, usage.Query{}); len(rows) != 1 {
		t.Errorf("a reader sees %d rows, want 1", len(rows))
	}
	if got, err := reader.Spent(t.Context(), "search", "", noon()); got != 700 || err != nil {
		t.Errorf("a reader sees %d spent, %v, want 700", got, err)
	}
	closeLedger(t, l)
	if _, err := usage.OpenLedger(t.Context(), usage.LedgerConfig{DB: db}); err == nil || !strings.Contains(err.Error(), "readonly") {
		t.Errorf("a writer that may only read: %v", err)
	}
	closeLedger(t, s.ledger(t, usage.LedgerConfig{}))
}

// TestLedgerRefusesTheNewer holds that a ledger of a newer version is left alone.
func TestLedgerRefusesTheNewer(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store) {
		closeLedger(t, s.ledger(t, usage.LedgerConfig{}))
		if _, err := s.db.ExecContext(t.Context(), `INSERT INTO weir_versions (version) VALUES (1000)`); err != nil {
			t.Fatal(err)
		}
		if _, err := usage.OpenLedger(t.Context(), usage.LedgerConfig{DB: s.db, Dialect: s.dialect}); err == nil || !strings.Contains(err.Error(), "newer weir") {
			t.Errorf("OpenLedger: %v", err)
		}
		if _, err := usage.OpenLedgerReader(t.Context(), s.db, s.dialect); err == nil || !strings.Contains(err.Error(), "newer weir") {
			t.Errorf("OpenLedgerReader: %v", err)
		}
	})
}
