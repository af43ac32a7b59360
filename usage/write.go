package usage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
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

// piece is what one transaction writes: rows, or sums of rows that found no room.
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
	for part := range slices.Chunk(b.entries, together) {
		l.writing = append(l.writing, piece{entries: part})
	}
	if len(b.over) > 0 {
		l.writing = append(l.writing, piece{over: b.over})
	}
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
	case n > 1:
		l.writing = append([]piece{{entries: p.entries[:n/2]}, {entries: p.entries[n/2:]}}, rest...)
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
		return false, l.register(ctx, tx, l.batches+1)
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
