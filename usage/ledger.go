package usage

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// LedgerConfig says where a ledger is kept and how.
type LedgerConfig struct {
	DB      *sql.DB // it stays the caller's, who closes it after the ledger
	Dialect Dialect
	Strict  bool             // no answer ends before its row is on disk; otherwise a kill loses what came in the last 100 ms at most
	Retain  time.Duration    // of rows, by when they began; 0: for ever. Sums are kept for 400 days at least
	MaxRows int64            // the newest that are kept, for a database in memory; 0: any number
	Models  int              // the first that are told apart, where clients name them as they like: all others are "other"; 0: any number
	Queue   int              // the most rows that wait to be written; 0: 10,000
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger     // of changes between writing and failing; nil: none
}

// The patience of a ledger.
const (
	strictWait = 5 * time.Second       // of the end of an answer for its row
	linger     = 20 * time.Millisecond // of a row for others, where nobody waits for it
	attempt    = 10 * time.Second      // of one transaction
	backoff    = 50 * time.Millisecond // after the first that failed, doubled after each
	maxBackoff = 5 * time.Second       // between two
	heartbeat  = 10 * time.Second      // between signs of life, and between the removals of what is old
	sumsKept   = 400 * 24 * time.Hour  // at least

	gathered = 256  // rows that wait for no others
	together = 1000 // rows in one transaction, at most: what many take must never be too long for all
)

// Ledger is the durable account of all requests: a row each, with facts and no
// content, and sums by the quarter of an hour that outlive the rows. It is a Sink,
// and safe for concurrent use.
//
// One goroutine writes, and writes what has gathered as soon as it is free. While
// the database fails, rows wait, up to the bound; beyond it they are counted in the
// sums and lost as rows, so that what was spent stays exact.
type Ledger struct {
	LedgerReader

	cfg      LedgerConfig
	instance int64
	file     *os.File // that is locked; nil none
	rows     *statements
	sums     *statements

	// turn is held while the database and the queue are moved or read together.
	turn    chan struct{}
	wake    chan struct{}
	closing chan struct{}
	done    chan struct{}
	stop    context.CancelFunc

	// Of the writer, under turn.
	writing []piece
	batches int64 // that were committed
	adopted int64 // times that others took this process for dead
	fenced  bool  // they did, at least once
	fresh   int64 // rows since the last look at MaxRows

	mu      sync.Mutex
	pending *batch
	number  int64 // of pending
	waiting int   // entries in pending and in the writer's hands
	seq     int64
	begun   map[*Record]*beginning
	models  names
	state   LedgerState
	full    bool // a row has found no room
	told    bool // that is in the log
	closed  bool
}

var _ Sink = (*Ledger)(nil)

// OpenLedger opens the ledger that cfg describes, makes its tables where there are
// none, and settles what dead processes left open at its estimate. A file of SQLite
// is for one writing process; the second is refused. The caller closes it.
func OpenLedger(ctx context.Context, cfg LedgerConfig) (*Ledger, error) {
	cfg.Queue = cmp.Or(cfg.Queue, 10_000)
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	var id [8]byte
	rand.Read(id[:])
	l := &Ledger{
		LedgerReader: LedgerReader{db: cfg.DB, dialect: cfg.Dialect},
		cfg:          cfg, instance: int64(binary.LittleEndian.Uint64(id[:]) >> 1),
		rows: &statements{db: cfg.DB, text: func(n int) string { return insertRows(cfg.Dialect, n) }},
		sums: &statements{db: cfg.DB, text: func(n int) string { return insertSums(cfg.Dialect, n) }},
		turn: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		closing: make(chan struct{}), done: make(chan struct{}),
		pending: &batch{}, number: 1, begun: map[*Record]*beginning{}, models: names{most: cfg.Models},
	}
	if err := l.open(ctx); err != nil {
		l.release()
		return nil, err
	}
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	go l.write(ctx)
	return l, nil
}

// open does what can fail.
func (l *Ledger) open(ctx context.Context) error {
	if l.cfg.Dialect == SQLite {
		if err := l.own(ctx); err != nil {
			return err
		}
	}
	if err := migrate(ctx, l.db, l.dialect); err != nil {
		return err
	}
	if err := l.register(ctx, l.db, 0); err != nil {
		return err
	}
	return l.adopt(ctx)
}

// own locks the file of an SQLite, and keeps one in memory on its one connection.
func (l *Ledger) own(ctx context.Context) error {
	var n int
	var name, path string
	if err := l.db.QueryRowContext(ctx, `PRAGMA database_list`).Scan(&n, &name, &path); err != nil {
		return fmt.Errorf("usage: opening the ledger: %w", err)
	}
	if path == "" {
		l.db.SetMaxOpenConns(1)
		l.db.SetConnMaxLifetime(0)
		l.db.SetConnMaxIdleTime(0)
		return nil
	}
	var err error
	l.file, err = lock(path)
	return err
}

func (l *Ledger) release() {
	l.rows.close()
	l.sums.close()
	if l.file != nil {
		l.file.Close()
	}
}

// Begin enters r as a request that runs, at its estimate, and returns once that is
// written; strict: on disk. It is an error where there is no room or ctx ends
// first; Take is due all the same. A request of no team is no row.
func (l *Ledger) Begin(ctx context.Context, r *Record) error {
	if r.Team == "" {
		return nil
	}
	b, written, err := l.begin(r, true)
	if err != nil {
		return err
	}
	l.rouse()
	select {
	case <-written:
	case <-ctx.Done():
		return fmt.Errorf("usage: entering a request: %w", context.Cause(ctx))
	}
	if b.dropped {
		return errors.New("usage: entering a request: the ledger did not take it")
	}
	return nil
}

// begin enters r and returns what is closed when that is written, if it is to be
// waited for.
func (l *Ledger) begin(r *Record, wait bool) (b *beginning, written <-chan struct{}, err error) {
	row := newRow(&Record{
		Start: r.Start, RequestID: r.RequestID, TraceID: r.TraceID, Route: r.Route, Team: r.Team, Key: r.Key, Model: r.Model,
		Stream: r.Stream, EstimatedInput: r.EstimatedInput, Reserved: r.Reserved, ReservedCost: r.ReservedCost, Retry: r.Retry,
	}, l.cfg.Now)
	row.Open = true
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, nil, errors.New("usage: entering a request: the ledger is closed")
	case l.waiting >= l.cfg.Queue:
		return nil, nil, errors.New("usage: entering a request: too many rows wait to be written")
	case l.begun[r] != nil:
		return nil, nil, errors.New("usage: entering a request: it has begun already")
	}
	l.models.fold(&row)
	l.seq++
	b = &beginning{seq: l.seq, key: keyOf(&row), held: row.ReservedCost, batch: l.number, place: len(l.pending.entries)}
	l.begun[r] = b
	l.waiting++
	l.pending.entries = append(l.pending.entries, entry{seq: l.seq, row: row, began: b})
	if wait {
		written = l.pending.wait()
	}
	return b, written, nil
}

// Take enters the end of r. Strict, it returns when the row is on disk, or after
// five seconds; otherwise at once.
func (l *Ledger) Take(ctx context.Context, r *Record) {
	if r.Team == "" {
		return
	}
	written, rouse := l.enter(r, newRow(r, l.cfg.Now))
	if rouse {
		l.rouse()
	}
	if written == nil {
		return
	}
	late := time.NewTimer(strictWait)
	defer late.Stop()
	select {
	case <-written:
	case <-late.C:
		l.mu.Lock()
		l.state.Late++
		l.mu.Unlock()
		l.cfg.Log.LogAttrs(ctx, slog.LevelError, "an answer ended before the ledger had it on disk", slog.String("request_id", r.RequestID))
	}
}

// enter puts a row into the queue, in the place of its beginning where that is
// still there. It returns what to wait for, nil for nothing, and whether the writer
// must hear of it.
func (l *Ledger) enter(r *Record, row Row) (written <-chan struct{}, rouse bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	rouse = l.cfg.Strict || l.pending.empty() || len(l.pending.entries) == gathered-1
	b := l.begun[r]
	delete(l.begun, r)
	l.models.fold(&row)
	switch p := l.pending; {
	case l.closed:
		l.state.Lost++
		return nil, false
	case b != nil && b.batch == l.number:
		p.entries[b.place] = entry{seq: b.seq, row: row, began: b}
	case b != nil:
		// Without room, too: the row that runs must end, and there are no more of them than requests.
		p.entries = append(p.entries, entry{seq: b.seq, row: row, of: b})
		l.waiting++
	case l.waiting >= l.cfg.Queue:
		p.overflow(&row)
		l.state.Lost++
		l.full = true
	default:
		l.seq++
		l.waiting++
		p.entries = append(p.entries, entry{seq: l.seq, row: row})
	}
	if l.cfg.Strict {
		written = l.pending.wait()
	}
	return written, rouse
}

// rouse tells the writer that there is something to write.
func (l *Ledger) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Close writes what waits and ends the ledger. What is not written when ctx ends is
// lost, and that is an error.
func (l *Ledger) Close(ctx context.Context) error {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	l.mu.Unlock()
	if first {
		close(l.closing)
	}
	select {
	case <-l.done:
	case <-ctx.Done():
		l.stop()
		<-l.done
	}
	l.stop()
	if !first {
		return nil
	}
	l.release()
	return l.giveUp()
}
