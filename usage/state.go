package usage

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// LedgerState is how a ledger fares.
type LedgerState struct {
	Queued    int       `json:"queued"`              // rows that wait to be written
	Written   int64     `json:"written"`             // rows
	Lost      int64     `json:"lost"`                // rows that found no room, or that no database takes
	Late      int64     `json:"late"`                // answers that ended before their row was on disk, though strict
	Unsettled int64     `json:"unsettled"`           // requests of dead processes that this one settled at their estimate
	Failing   time.Time `json:"failing,omitzero"`    // since when nothing could be written; zero: all is well
	Error     string    `json:"last_error,omitzero"` // the last there was, also when all is well again
}

// State returns how the ledger fares.
func (l *Ledger) State() LedgerState {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.state
	s.Queued = l.waiting
	return s
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
