package usage

import (
	"context"
	"fmt"
	"time"
)

// markLife is how long it is known that something was asked about.
const markLife = 400 * 24 * time.Hour

// Once reports whether a name is asked about for the first time, over all that
// share the database and over their lives. Names are forgotten after 400 days.
func (l *Ledger) Once(ctx context.Context, name string) (first bool, err error) {
	now := l.cfg.Now()
	_, err = l.db.ExecContext(ctx, l.dialect.bind(`DELETE FROM weir_marks WHERE made < ?`), now.Add(-markLife).UnixMicro())
	if err != nil {
		return false, fmt.Errorf("usage: marking: %w", err)
	}
	done, err := l.db.ExecContext(ctx, l.dialect.bind(`INSERT INTO weir_marks (name, made) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`), clean(name), now.UnixMicro())
	if err != nil {
		return false, fmt.Errorf("usage: marking: %w", err)
	}
	n, err := done.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("usage: marking: %w", err)
	}
	return n == 1, nil
}

// Open enters r as a request that runs, as Begin does, and does not wait until it
// is written. Where there is no room the request is told of when it ends.
func (l *Ledger) Open(r *Record) {
	if r.Team == "" {
		return
	}
	if _, _, err := l.begin(r, false); err == nil {
		l.rouse()
	}
}
