package usage

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// sumKey names a sum: what a quarter of an hour came to for a team, a key, a model
// and a deployment.
type sumKey struct {
	team, key, model, deployment string
	quarter                      int64
}

// compare orders keys. All replicas write sums in this order, so that none of them
// waits for another that waits for it.
func (k sumKey) compare(o sumKey) int {
	return cmp.Or(
		strings.Compare(k.team, o.team), cmp.Compare(k.quarter, o.quarter), strings.Compare(k.key, o.key),
		strings.Compare(k.model, o.model), strings.Compare(k.deployment, o.deployment),
	)
}

// What is summed, in the order of tallyColumns.
const (
	tRequests = iota
	tErrors
	tRefused
	tUnsettled
	tOpen
	tInput
	tCached
	tOutput
	tReasoning
	tCost
	tHeld
	tallied
)

// tally is a sum, or what is added to one.
type tally [tallied]int64

func tallyColumns() []string {
	return []string{
		"requests", "errors", "refused", "unsettled", "open",
		"input", "cached", "output", "reasoning", "cost", "held",
	}
}

func (t *tally) add(o tally) {
	for i := range t {
		t[i] += o[i]
	}
}

// sums are what a batch adds to the sums of the database.
type sums map[sumKey]tally

func (s sums) add(k sumKey, t tally) {
	have := s[k]
	have.add(t)
	s[k] = have
}

// of returns what all of s comes to in money for a team, or one key of it, since a
// quarter: what is spent and what is held.
func (s sums) of(team, key string, since int64) USD {
	var spent int64
	for k, t := range s {
		if k.team == team && (key == "" || k.key == key) && k.quarter >= since {
			spent += t[tCost] + t[tHeld]
		}
	}
	return USD(spent)
}

// entry is a row to be written.
type entry struct {
	seq int64
	row Row
	// of is the beginning of the request that the row ends, where that is a row
	// already or an entry before this one; nil where it is neither.
	of *beginning
	// began is the beginning that this entry is itself.
	began *beginning
}

// beginning is what Begin has entered for a request that still runs.
type beginning struct {
	seq  int64
	key  sumKey
	held USD

	// The place of its entry in the batch of that number, as long as it is pending.
	batch int64
	place int

	dropped bool // it was never written, and will not be
	adopted bool // another process took this one for dead, and settled the row at its estimate
}

// addTo adds what the entry changes in the sums.
func (e *entry) addTo(s sums) {
	s.add(keyOf(&e.row), worth(&e.row))
	if e.of == nil || e.of.dropped {
		return
	}
	if e.of.adopted {
		s.add(e.of.key, tally{tRequests: -1, tUnsettled: -1, tCost: -int64(e.of.held)})
		return
	}
	s.add(e.of.key, tally{tOpen: -1, tHeld: -int64(e.of.held)})
}

func keyOf(r *Row) sumKey {
	return sumKey{r.Team, r.Key, r.Model, r.Deployment, quarter(r.Start)}
}

// worth returns what a row adds to its sum.
func worth(r *Row) tally {
	if r.Open {
		return tally{tOpen: 1, tHeld: int64(r.ReservedCost)}
	}
	t := tally{
		tRequests: 1, tInput: r.Input, tCached: r.Cached, tOutput: r.Output, tReasoning: r.Reasoning, tCost: int64(r.Cost),
	}
	switch r.Outcome {
	case RefusedPolicy, RefusedLimit:
		t[tRefused] = 1
	case ClientError, UpstreamError, GatewayError:
		t[tErrors] = 1
	default:
	}
	return t
}

// statements are the ways to write so many rows of a table at once, each prepared
// when it is first needed.
type statements struct {
	db   *sql.DB
	text func(rows int) string

	mu       sync.Mutex
	prepared map[int]*sql.Stmt
}

// parts returns what n rows are written in, the most first.
func parts(n int) []int {
	var all []int
	for _, size := range []int{64, 16, 4, 1} {
		for ; n >= size; n -= size {
			all = append(all, size)
		}
	}
	return all
}

// prepare prepares to write n rows. It is not called in a transaction, which may
// hold the only connection there is.
func (s *statements) prepare(ctx context.Context, n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, size := range parts(n) {
		if s.prepared[size] != nil {
			continue
		}
		stmt, err := s.db.PrepareContext(ctx, s.text(size))
		if err != nil {
			return fmt.Errorf("usage: preparing to write the ledger: %w", err)
		}
		if s.prepared == nil {
			s.prepared = map[int]*sql.Stmt{}
		}
		s.prepared[size] = stmt
	}
	return nil
}

func (s *statements) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stmt := range s.prepared {
		stmt.Close()
	}
}

// write inserts n rows, whose values row appends.
func (s *statements) write(ctx context.Context, tx *sql.Tx, n int, row func(args []any, i int) []any) error {
	var args []any
	i := 0
	for _, size := range parts(n) {
		args = args[:0]
		for range size {
			args = row(args, i)
			i++
		}
		if err := s.exec(ctx, tx, size, args); err != nil {
			return fmt.Errorf("usage: writing the ledger: %w", err)
		}
	}
	return nil
}

func (s *statements) exec(ctx context.Context, tx *sql.Tx, size int, args []any) error {
	s.mu.Lock()
	stmt := s.prepared[size]
	s.mu.Unlock()
	if stmt == nil {
		_, err := tx.ExecContext(ctx, s.text(size), args...)
		return err
	}
	_, err := tx.StmtContext(ctx, stmt).ExecContext(ctx, args...)
	return err
}

// insertRows returns the statement that writes n rows, over what Begin wrote.
func insertRows(d Dialect, n int) string {
	columns := rowColumns()
	var set []string
	for _, c := range columns[2:] {
		set = append(set, c+" = excluded."+c)
	}
	return insert(d, "weir_requests", columns, n, "(instance, seq) DO UPDATE SET "+strings.Join(set, ", "))
}

// insertSums returns the statement that adds n sums to those there are.
func insertSums(d Dialect, n int) string {
	names := tallyColumns()
	var set []string
	for _, c := range names {
		set = append(set, c+" = weir_sums."+c+" + excluded."+c)
	}
	columns := append([]string{"team", "quarter", "key_name", "model", "deployment"}, names...)
	return insert(d, "weir_sums", columns, n, "(team, quarter, key_name, model, deployment) DO UPDATE SET "+strings.Join(set, ", "))
}

// write adds s to the sums of the database.
func (s sums) write(ctx context.Context, tx *sql.Tx, to *statements) error {
	keys := slices.SortedFunc(maps.Keys(s), sumKey.compare)
	return to.write(ctx, tx, len(keys), func(args []any, i int) []any {
		k := keys[i]
		args = append(args, k.team, k.quarter, k.key, k.model, k.deployment)
		for _, n := range s[k] {
			args = append(args, n)
		}
		return args
	})
}
