package usage

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"time"
)

// register enters this process among those that live, with so many batches written.
func (l *Ledger) register(ctx context.Context, db interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}, batches int64,
) error {
	_, err := db.ExecContext(ctx, l.dialect.bind(
		`INSERT INTO weir_instances (id, batch, adopted, seen) VALUES (?, ?, 0, `+l.dialect.now()+`)`), l.instance, batches)
	if err != nil {
		return fmt.Errorf("usage: registering with the ledger: %w", err)
	}
	return nil
}

// alive returns the condition that tells the processes that live, by the alias of
// their table. Nobody lives beside the owner of a file.
func (l *Ledger) alive(alias string) string {
	if l.dialect == SQLite {
		return "1 = 0"
	}
	return alias + ".seen >= " + l.dialect.now() + " - 60000000"
}

// adopt settles what dead processes left open at its estimate.
func (l *Ledger) adopt(ctx context.Context) error {
	rows, err := l.db.QueryContext(ctx, l.dialect.bind(`SELECT DISTINCT r.instance FROM weir_requests r
		WHERE r.state = 0 AND r.instance <> ? AND NOT EXISTS (
			SELECT 1 FROM weir_instances i WHERE i.id = r.instance AND `+l.alive("i")+`)`), l.instance)
	if err != nil {
		return fmt.Errorf("usage: looking for dead processes in the ledger: %w", err)
	}
	defer rows.Close()
	var dead []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return fmt.Errorf("usage: looking for dead processes in the ledger: %w", err)
		}
		dead = append(dead, id)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("usage: looking for dead processes in the ledger: %w", err)
	}
	for _, id := range dead {
		if err := l.adoptOne(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// adoptOne settles what one process left open. One that lives after all finds out
// by the count that this raises: both write the same row of the table.
func (l *Ledger) adoptOne(ctx context.Context, id int64) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("usage: settling for a dead process: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // It has been committed, or the error is told already.
	if _, err := tx.ExecContext(ctx, l.dialect.bind(
		`UPDATE weir_instances SET adopted = adopted + 1 WHERE id = ? AND NOT (`+l.alive("weir_instances")+`)`), id); err != nil {
		return fmt.Errorf("usage: settling for a dead process: %w", err)
	}
	s, n, err := l.settle(ctx, tx, id)
	if err != nil {
		return err
	}
	if err := s.write(ctx, tx, l.sums); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("usage: settling for a dead process: %w", err)
	}
	if n > 0 {
		l.mu.Lock()
		l.state.Unsettled += n
		l.mu.Unlock()
		l.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "requests of a process that died count at their estimate", slog.Int64("requests", n))
	}
	return nil
}

// settle marks the rows that a process left open, and returns what that changes.
func (l *Ledger) settle(ctx context.Context, tx *sql.Tx, id int64) (sums, int64, error) {
	rows, err := tx.QueryContext(ctx, l.dialect.bind(`UPDATE weir_requests SET state = 2, cost = reserved_cost
		WHERE instance = ? AND state = 0
		AND NOT EXISTS (SELECT 1 FROM weir_instances i WHERE i.id = weir_requests.instance AND `+l.alive("i")+`)
		RETURNING team, key_name, model, deployment, start, reserved_cost`), id)
	if err != nil {
		return nil, 0, fmt.Errorf("usage: settling for a dead process: %w", err)
	}
	defer rows.Close()
	s, n := sums{}, int64(0)
	for rows.Next() {
		var k sumKey
		var start, held int64
		if err := rows.Scan(&k.team, &k.key, &k.model, &k.deployment, &start, &held); err != nil {
			return nil, 0, fmt.Errorf("usage: settling for a dead process: %w", err)
		}
		k.quarter = quarter(time.UnixMicro(start))
		s.add(k, tally{tRequests: 1, tUnsettled: 1, tOpen: -1, tCost: held, tHeld: -held})
		n++
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("usage: settling for a dead process: %w", err)
	}
	return s, n, nil
}

// exec runs one statement of its own.
func (l *Ledger) exec(ctx context.Context, doing, statement string, args ...any) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	r, err := l.db.ExecContext(ctx, l.dialect.bind(statement), args...)
	if err != nil {
		return 0, fmt.Errorf("usage: %s: %w", doing, err)
	}
	n, err := r.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("usage: %s: %w", doing, err)
	}
	return n, nil
}

// upkeep does what is due every ten seconds.
func (l *Ledger) upkeep(ctx context.Context) error {
	_, err := l.exec(ctx, "giving a sign of life", `UPDATE weir_instances SET seen = `+l.dialect.now()+` WHERE id = ?`, l.instance)
	if err != nil {
		return err
	}
	if err := l.adoptNow(ctx); err != nil {
		return err
	}
	_, err = l.exec(ctx, "forgetting dead processes", `DELETE FROM weir_instances
		WHERE id <> ? AND (SELECT max(i.seen) FROM weir_instances i) - seen > 86400000000`, l.instance)
	if err != nil {
		return err
	}
	return l.expire(ctx)
}

func (l *Ledger) adoptNow(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	return l.adopt(ctx)
}

// removed is how many rows one statement removes: little enough for what has
// gathered meanwhile to be written in time.
const removed = 1000

// expire removes what is older than is kept.
func (l *Ledger) expire(ctx context.Context) error {
	if l.cfg.Retain <= 0 {
		return nil
	}
	now := l.cfg.Now()
	if err := l.remove(ctx, now.Add(-l.cfg.Retain)); err != nil {
		return err
	}
	_, err := l.exec(ctx, "removing old sums from the ledger", `DELETE FROM weir_sums WHERE quarter < ?`,
		quarter(now.Add(-max(l.cfg.Retain, sumsKept))))
	return err
}

// remove removes the rows of requests that began before a time, but never one that
// still runs.
func (l *Ledger) remove(ctx context.Context, before time.Time) error {
	const statement = `DELETE FROM weir_requests WHERE (instance, seq) IN (
		SELECT instance, seq FROM weir_requests WHERE state <> 0 AND start < ? LIMIT ?)`
	for {
		n, err := l.exec(ctx, "removing old rows from the ledger", statement, before.UnixMicro(), removed)
		if err != nil || n < removed {
			return err
		}
		l.drain(ctx)
	}
}

// trim keeps the number of rows within MaxRows. It looks when an eighth of them may
// be too many.
func (l *Ledger) trim(ctx context.Context) {
	if l.cfg.MaxRows <= 0 || l.fresh*8 < l.cfg.MaxRows {
		return
	}
	l.fresh = 0
	var oldest sql.NullInt64
	err := l.db.QueryRowContext(ctx, l.dialect.bind(`SELECT min(start) FROM (
		SELECT start FROM weir_requests ORDER BY start DESC LIMIT ?) newest`), l.cfg.MaxRows).Scan(&oldest)
	if err == nil && oldest.Valid {
		err = l.remove(ctx, time.UnixMicro(oldest.Int64))
	}
	l.note(ctx, err)
}

// leave takes this process off those that live.
func (l *Ledger) leave(ctx context.Context) {
	_, err := l.exec(ctx, "leaving the ledger", `DELETE FROM weir_instances WHERE id = ?`, l.instance)
	l.note(ctx, err)
}
