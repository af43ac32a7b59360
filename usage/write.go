package usage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// batch is what has gathered since the writer last took what there was.
type batch struct {
	entries []entry
	over    sums // of rows that found no room
	written chan struct{}
}

// wait returns what is closed when the batch is written, or given up.
func (b *batch) wait() <-chan struct{} {
	if b.written == nil {
		b.written = make(chan struct{})
	}
	return b.written
}

func (b *batch) overflow(r *Row) {
	if b.over == nil {
		b.over = sums{}
	}
	b.over.add(keyOf(r), worth(r))
}

func (b *batch) empty() bool { return len(b.entries) == 0 && len(b.over) == 0 }

// piece is what one transaction writes.
type piece struct {
	entries []entry
	over    sums
}

func (p *piece) sums() sums {
	s := make(sums, len(p.over)+4)
	for k, t := range p.over {
		s.add(k, t)
	}
	for i := range p.entries {
		p.entries[i].addTo(s)
	}
	return s
}

// write is the writer. It ends when the ledger is closing and nothing waits, or
// with ctx.
func (l *Ledger) write(ctx context.Context) {
	defer close(l.done)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for closing := false; !closing; {
		select {
		case <-l.wake:
			l.gather()
		case <-beat.C:
			l.note(ctx, l.upkeep(ctx))
		case <-l.closing:
			closing = true
		}
		l.flush(ctx)
	}
	l.leave(ctx)
}

// gather lets a batch grow for as long as nobody waits for it.
func (l *Ledger) gather() {
	if l.cfg.Strict {
		return
	}
	timer := time.NewTimer(linger)
	defer timer.Stop()
	for l.idle() {
		select {
		case <-l.wake:
		case <-l.closing:
			return
		case <-timer.C:
			return
		}
	}
}

// idle reports whether what is pending can wait.
func (l *Ledger) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pending.written == nil && len(l.pending.entries) < gathered
}

// flush writes until nothing waits, and keeps the number of rows within its bound.
func (l *Ledger) flush(ctx context.Context) {
	l.drain(ctx)
	l.trim(ctx)
}

// drain writes until nothing waits.
func (l *Ledger) drain(ctx context.Context) {
	for ctx.Err() == nil {
		b := l.swap()
		if b == nil {
			return
		}
		l.fresh += int64(len(b.entries))
		l.writeAll(ctx)
		if b.written != nil {
			close(b.written)
		}
	}
}

// swap takes what waits into the writer's hands; nil nothing.
func (l *Ledger) swap() *batch {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.pending
	if b.empty() {
		return nil
	}
	l.pending = &batch{entries: make([]entry, 0, min(len(b.entries), 1024))}
	l.number++
	l.writing = []piece{{b.entries, b.over}}
	return b
}

// writeAll writes what is in the writer's hands, and gives up only with ctx.
func (l *Ledger) writeAll(ctx context.Context) {
	for pause := backoff; len(l.writing) > 0; {
		err := l.step(ctx)
		l.note(ctx, err)
		if err == nil {
			pause = backoff
			continue
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			for _, p := range l.writing {
				abandon(p.entries)
			}
			return
		}
		pause = min(2*pause, maxBackoff)
	}
}

// step writes one piece. One with a row that no database takes is divided until
// that row is alone and can be left out.
func (l *Ledger) step(ctx context.Context) error {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	p := l.writing[0]
	err := l.commit(ctx, &p)
	if err != nil && !poisoned(err) {
		return err
	}
	rest := l.writing[1:]
	n := len(p.entries)
	switch {
	case err == nil:
		l.batches++
	case n > 1 || n == 1 && len(p.over) > 0:
		l.writing = append([]piece{{entries: p.entries[:n/2]}, {entries: p.entries[n/2:]}, {over: p.over}}, rest...)
		return nil
	default:
		l.drop(ctx, &p, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing = rest
	l.waiting -= n
	if err == nil {
		l.state.Written += int64(n)
	}
	return nil
}

// drop counts a piece that no database takes as lost.
func (l *Ledger) drop(ctx context.Context, p *piece, why error) {
	abandon(p.entries)
	l.mu.Lock()
	l.state.Lost += int64(len(p.entries))
	l.mu.Unlock()
	l.cfg.Log.LogAttrs(ctx, slog.LevelError, "the ledger leaves out a row that the database does not take", slog.Any("error", why))
}

// abandon ends the wait for what will not be written.
func abandon(entries []entry) {
	for i := range entries {
		if b := entries[i].began; b != nil {
			b.dropped = true
		}
	}
}

// giveUp abandons what the writer has left behind when it ended.
func (l *Ledger) giveUp() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.writing) == 0 && l.pending.empty() {
		return nil
	}
	abandon(l.pending.entries)
	if l.pending.written != nil {
		close(l.pending.written)
	}
	lost := l.waiting
	l.state.Lost += int64(lost)
	l.waiting, l.pending, l.writing = 0, &batch{}, nil
	return fmt.Errorf("usage: closing the ledger: %d rows were not written: %s", lost, l.state.Error)
}

// note keeps what became of a transaction, and logs where that has changed.
func (l *Ledger) note(ctx context.Context, err error) {
	if err != nil && ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	was, waiting := l.state.Failing, l.waiting
	l.state.Failing = time.Time{}
	if err != nil {
		l.state.Error = err.Error()
		l.state.Failing = was
		if was.IsZero() {
			l.state.Failing = l.cfg.Now()
		}
	}
	full := l.full
	if waiting < l.cfg.Queue/2 {
		l.full = false
	}
	told := l.told
	l.told = full
	l.mu.Unlock()
	l.tell(ctx, err, !was.IsZero(), waiting)
	switch {
	case full && !told:
		l.cfg.Log.LogAttrs(ctx, slog.LevelError, "too many rows wait for the ledger: more are summed up and lost as rows", slog.Int("waiting", waiting))
	case told && !full:
		l.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "the ledger has room for rows again", slog.Int("waiting", waiting))
	}
}

// tell logs that the database fails, or fails no more.
func (l *Ledger) tell(ctx context.Context, err error, failed bool, waiting int) {
	switch {
	case err != nil && !failed:
		l.cfg.Log.LogAttrs(ctx, slog.LevelError, "the ledger cannot be written; rows wait", slog.Any("error", err))
	case err == nil && failed:
		l.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "the ledger is written again", slog.Int("waiting", waiting))
	}
}

// poisoned reports whether it was a value that the database refused, which no
// trying again can cure.
func poisoned(err error) bool {
	if e, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok {
		class := e.SQLState()
		return len(class) == 5 && (class[:2] == "21" || class[:2] == "22" || class[:2] == "23")
	}
	if e, ok := errors.AsType[interface {
		error
		Code() int
	}](err); ok {
		const tooBig, constraint, mismatch, outOfRange = 18, 19, 20, 25
		switch e.Code() & 0xff {
		case tooBig, constraint, mismatch, outOfRange:
			return true
		}
	}
	return false
}

// commit writes p in one transaction.
func (l *Ledger) commit(ctx context.Context, p *piece) error {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	if err := l.rows.prepare(ctx, len(p.entries)); err != nil {
		return err
	}
	if err := l.sums.prepare(ctx, len(p.sums())); err != nil {
		return err
	}
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("usage: writing the ledger: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // It has been committed, or the error is told already.
	if done, err := l.claim(ctx, tx); done || err != nil {
		return err
	}
	if err := l.recheck(ctx, tx, p); err != nil {
		return err
	}
	err = l.rows.write(ctx, tx, len(p.entries), func(args []any, i int) []any {
		e := &p.entries[i]
		return e.row.values(args, l.instance, e.seq)
	})
	if err != nil {
		return err
	}
	if err := p.sums().write(ctx, tx, l.sums); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("usage: writing the ledger: %w", err)
	}
	return nil
}

// claim counts the batch, so that one whose commit was not answered is not written
// twice: it is done where the database counts it already. It is a sign of life, too.
func (l *Ledger) claim(ctx context.Context, tx *sql.Tx) (done bool, err error) {
	if l.cfg.Strict && l.dialect == Postgres {
		if _, err := tx.ExecContext(ctx, `SET LOCAL synchronous_commit = on`); err != nil {
			return false, fmt.Errorf("usage: writing the ledger: %w", err)
		}
	}
	var batches, adopted int64
	err = tx.QueryRowContext(ctx, l.dialect.bind(
		`UPDATE weir_instances SET batch = batch + 1, seen = `+l.dialect.now()+` WHERE id = ? RETURNING batch, adopted`),
		l.instance).Scan(&batches, &adopted)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		// We were away for so long that others have forgotten us.
		l.fenced, l.adopted = true, 0
		l.batches++
		err = l.register(ctx, tx)
		l.batches--
		return false, err
	case err != nil:
		return false, fmt.Errorf("usage: writing the ledger: %w", err)
	}
	if adopted != l.adopted {
		l.fenced, l.adopted = true, adopted
	}
	return batches > l.batches+1, nil
}

// recheck finds the beginnings that another process has settled at their estimate,
// because it took this one for dead.
func (l *Ledger) recheck(ctx context.Context, tx *sql.Tx, p *piece) error {
	if !l.fenced {
		return nil
	}
	query := l.dialect.bind(`SELECT count(*) FROM weir_requests WHERE instance = ? AND seq = ? AND state = 2`)
	for i := range p.entries {
		of := p.entries[i].of
		if of == nil {
			continue
		}
		var n int
		if err := tx.QueryRowContext(ctx, query, l.instance, of.seq).Scan(&n); err != nil {
			return fmt.Errorf("usage: writing the ledger: %w", err)
		}
		of.adopted = n > 0
	}
	return nil
}
