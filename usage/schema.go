package usage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Dialect is the SQL that a database speaks.
type Dialect int

// The dialects.
const (
	SQLite Dialect = iota
	Postgres
)

// SQLiteDSN returns how the driver "sqlite" opens the ledger at path, and where
// path is "" one in memory. Strict makes a commit return only when it is on disk;
// otherwise what the system has not written yet is lost with the machine, though
// not with the process.
func SQLiteDSN(path string, strict bool) string {
	synchronous := "NORMAL"
	if strict {
		synchronous = "FULL"
	}
	pragmas := url.Values{"_txlock": {"immediate"}, "_pragma": {
		"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(" + synchronous + ")",
		"cache_size(-8000)", "journal_size_limit(67108864)", "temp_store(MEMORY)",
	}}
	if path == "" {
		return ":memory:?" + pragmas.Encode()
	}
	return sqliteURI(path, pragmas)
}

// SQLiteReaderDSN returns how the driver "sqlite" opens the ledger at path for
// reading only, also while another process writes it.
func SQLiteReaderDSN(path string) string {
	return sqliteURI(path, url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)"}})
}

func sqliteURI(path string, query url.Values) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + query.Encode()
}

// bind writes the placeholders of a statement, each a question mark, as the
// dialect has them.
func (d Dialect) bind(statement string) string {
	if d == SQLite {
		return statement
	}
	var b strings.Builder
	for i, part := range strings.Split(statement, "?") {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	return b.String()
}

// now returns the expression for the time in microseconds, by the database's clock.
func (d Dialect) now() string {
	if d == SQLite {
		return "CAST(strftime('%s', 'now') AS BIGINT) * 1000000"
	}
	return "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"
}

// clustered returns what makes a table lie in the order of its primary key.
func (d Dialect) clustered() string {
	if d == SQLite {
		return " WITHOUT ROWID"
	}
	return ""
}

// migrations returns the statements that lead from each version of the schema to
// the next. What was released is never changed, only added to.
func migrations(d Dialect) [][]string {
	return [][]string{{
		`CREATE TABLE weir_instances (
			id BIGINT PRIMARY KEY,
			batch BIGINT NOT NULL,
			adopted BIGINT NOT NULL,
			seen BIGINT NOT NULL)`,
		`CREATE TABLE weir_requests (
			instance BIGINT NOT NULL, seq BIGINT NOT NULL, state BIGINT NOT NULL, start BIGINT NOT NULL,
			request_id TEXT NOT NULL, trace_id TEXT NOT NULL, route TEXT NOT NULL,
			team TEXT NOT NULL, key_name TEXT NOT NULL, model TEXT NOT NULL, deployment TEXT NOT NULL, spilled TEXT NOT NULL,
			status BIGINT NOT NULL, outcome TEXT NOT NULL, code TEXT NOT NULL, finish_reason TEXT NOT NULL,
			attempts BIGINT NOT NULL, retry BIGINT NOT NULL, stream BIGINT NOT NULL,
			estimated_input BIGINT NOT NULL, input BIGINT NOT NULL, cached BIGINT NOT NULL,
			output BIGINT NOT NULL, reasoning BIGINT NOT NULL, counted BIGINT NOT NULL,
			reserved BIGINT NOT NULL, reserved_cost BIGINT NOT NULL, cost BIGINT NOT NULL,
			escaped BIGINT NOT NULL, trimmed BIGINT NOT NULL, lowered BIGINT NOT NULL, shadowed TEXT NOT NULL,
			duration BIGINT NOT NULL, first_token BIGINT NOT NULL, upstream BIGINT NOT NULL, queued BIGINT NOT NULL,
			azure_request_id TEXT NOT NULL, azure_region TEXT NOT NULL,
			PRIMARY KEY (instance, seq))` + d.clustered(),
		`CREATE INDEX weir_requests_start ON weir_requests (start)`,
		`CREATE INDEX weir_requests_open ON weir_requests (instance) WHERE state = 0`,
		`CREATE TABLE weir_sums (
			team TEXT NOT NULL, quarter BIGINT NOT NULL, key_name TEXT NOT NULL, model TEXT NOT NULL, deployment TEXT NOT NULL,
			requests BIGINT NOT NULL, errors BIGINT NOT NULL, refused BIGINT NOT NULL,
			unsettled BIGINT NOT NULL, open BIGINT NOT NULL,
			input BIGINT NOT NULL, cached BIGINT NOT NULL, output BIGINT NOT NULL, reasoning BIGINT NOT NULL,
			cost BIGINT NOT NULL, held BIGINT NOT NULL,
			PRIMARY KEY (team, quarter, key_name, model, deployment))` + d.clustered(),
		`CREATE INDEX weir_sums_quarter ON weir_sums (quarter)`,
	}, {
		`CREATE TABLE weir_marks (name TEXT PRIMARY KEY, made BIGINT NOT NULL)`,
	}, {
		`ALTER TABLE weir_requests ADD COLUMN sound BIGINT NOT NULL DEFAULT 0`,
	}}
}

// migrate brings the schema to the newest version, and refuses one that is newer.
func migrate(ctx context.Context, db *sql.DB, d Dialect) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("usage: opening the ledger: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // It has been committed, or the error is told already.
	steps := []string{`CREATE TABLE IF NOT EXISTS weir_versions (version BIGINT PRIMARY KEY)`}
	if d == Postgres {
		// Replicas start at the same time; the number is the lock's name and nothing else.
		steps = append([]string{`SELECT pg_advisory_xact_lock(7238430)`}, steps...)
	}
	if err := run(ctx, tx, steps); err != nil {
		return err
	}
	var version int
	if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(version), 0) FROM weir_versions`).Scan(&version); err != nil {
		return fmt.Errorf("usage: reading the ledger's version: %w", err)
	}
	all := migrations(d)
	if version > len(all) {
		return tooNew(version, len(all))
	}
	for ; version < len(all); version++ {
		steps := append(all[version], `INSERT INTO weir_versions (version) VALUES (`+strconv.Itoa(version+1)+`)`)
		if err := run(ctx, tx, steps); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("usage: making the ledger's tables: %w", err)
	}
	return nil
}

func run(ctx context.Context, tx *sql.Tx, statements []string) error {
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("usage: making the ledger's tables: %w", err)
		}
	}
	return nil
}

func tooNew(version, known int) error {
	return fmt.Errorf("usage: the ledger has version %d, written by a newer weir; this one knows %d", version, known)
}

// check refuses a database that holds no ledger of this version.
func check(ctx context.Context, db *sql.DB, d Dialect) error {
	var version int
	err := db.QueryRowContext(ctx, `SELECT coalesce(max(version), 0) FROM weir_versions`).Scan(&version)
	if err != nil {
		return fmt.Errorf("usage: the database holds no ledger: %w", err)
	}
	switch known := len(migrations(d)); {
	case version > known:
		return tooNew(version, known)
	case version < known:
		return errors.New("usage: the ledger is of an older weir; start the gateway once to bring it up to date")
	}
	return nil
}

// insert returns a statement that inserts n rows, and on a conflict of the key does
// what follows.
func insert(d Dialect, table string, columns []string, n int, conflict string) string {
	row := "(" + strings.Repeat("?, ", len(columns)-1) + "?)"
	return d.bind("INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES " +
		strings.Repeat(row+", ", n-1) + row + " ON CONFLICT " + conflict)
}
