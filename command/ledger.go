package command

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver of ledgers that replicas share
	"modernc.org/sqlite"               // the driver of all others
	sqlite3 "modernc.org/sqlite/lib"

	"weir/config"
	"weir/usage"
)

// openWithin is how long a database may take to open the ledger.
const openWithin = 15 * time.Second

// durable reports whether no answer may end before it is written down.
func durable(f *config.File) bool { return f.State.Ledger.Durability == "strict" }

// openLedger opens the database that requests are written down in. An error is one
// line that names the setting and what to do.
func (s *state) openLedger(ctx context.Context, f *config.File, log *slog.Logger) error {
	l := f.State.Ledger
	cfg := usage.LedgerConfig{Strict: durable(f), Retain: l.Retain, Log: log}
	if f.PassThrough != "" {
		cfg.Models = maxPassed
	}
	if err := ledgerFile(l.Path); err != nil {
		return err
	}
	var err error
	if s.db, s.dialect, err = openDatabase(l); err != nil {
		return err
	}
	cfg.DB, cfg.Dialect = s.db, s.dialect
	if l.Path == "" && l.URL == "" {
		cfg.MaxRows = int64(l.MaxRows)
	}
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	if s.ledger, err = usage.OpenLedger(ctx, cfg); err != nil {
		return ledgerFault(l, err)
	}
	return nil
}

// openDatabase opens the database of a ledger: PostgreSQL by its URL, SQLite in a
// file, or SQLite in memory.
func openDatabase(l config.Ledger) (*sql.DB, usage.Dialect, error) {
	if l.URL != "" {
		db, err := sql.Open("pgx", l.URL.Reveal())
		if err != nil {
			return nil, usage.Postgres, errors.New("state.ledger.url: it is none of PostgreSQL's") // the driver's error may hold the password
		}
		return db, usage.Postgres, nil
	}
	db, err := sql.Open("sqlite", usage.SQLiteDSN(l.Path, l.Durability == "strict"))
	return db, usage.SQLite, err
}

// ledgerFile makes the file of a ledger where there is none, for its owner alone:
// the system says better than the database why it cannot be.
func ledgerFile(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names it
	if err == nil {
		return f.Close()
	}
	why, mend := reasonOf(err), "choose another path"
	switch folder := filepath.Dir(path); {
	case errors.Is(err, fs.ErrNotExist):
		why, mend = "there is no folder "+folder, "make it, or choose another path"
	case errors.Is(err, fs.ErrPermission):
		mend = fmt.Sprintf("let user %d write it and its folder, or choose another path", os.Getuid())
	case errors.Is(err, syscall.EROFS):
		mend = "mount a volume there that can be written, or choose another path"
	case errors.Is(err, syscall.ENOSPC):
		mend = "make room, or choose another path"
	}
	return fmt.Errorf("state.ledger.path: %s cannot be written: %s: %s", path, why, mend)
}

// reasonOf returns what the system says of a file, without its name.
func reasonOf(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}

// ledgerFault returns why a ledger cannot be opened, as its operator needs it.
func ledgerFault(l config.Ledger, err error) error {
	text := strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "usage: ", "")), " ")
	if l.URL != "" {
		return fmt.Errorf("state.ledger.url: %s: see that the PostgreSQL runs, and that the URL is right", text)
	}
	if l.Path == "" {
		return fmt.Errorf("state.ledger: %s", text)
	}
	mend := ""
	if fault, ok := errors.AsType[*sqlite.Error](err); ok {
		switch fault.Code() & 0xff {
		case sqlite3.SQLITE_FULL:
			mend = ": make room, or choose another path"
		case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
			mend = ": choose another path, or put a copy of the ledger in its place"
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			mend = ": end the program that has it open, or choose another path"
		default:
			mend = ": see that the file and its folder can be written, or choose another path"
		}
	}
	return fmt.Errorf("state.ledger.path: %s: %s%s", l.Path, text, mend)
}
