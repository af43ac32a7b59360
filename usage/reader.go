package usage

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// LedgerReader reads a ledger that another process may be writing. It is safe for
// concurrent use.
type LedgerReader struct {
	db      *sql.DB
	dialect Dialect
}

// OpenLedgerReader returns a reader of the ledger in db, which stays the caller's,
// and writes nothing. It refuses a database without a ledger.
func OpenLedgerReader(ctx context.Context, db *sql.DB, d Dialect) (*LedgerReader, error) {
	if err := check(ctx, db, d); err != nil {
		return nil, err
	}
	return &LedgerReader{db, d}, nil
}

// Query asks for sums or rows. The zero value asks for all.
type Query struct {
	By    []string       // what sums are told apart by: team, key, model, deployment, day, hour
	Zone  *time.Location // of days and hours; nil: UTC
	Since time.Time      // when requests began; zero: any time. Sums go by whole quarters of an hour,
	Until time.Time      // and take in those that these two lie in

	Team, Key, Model, Deployment string // alone; "" any
}

// Sum is what requests add up to.
type Sum struct {
	Team       string    `json:"team,omitempty"`
	Key        string    `json:"key,omitempty"`
	Model      string    `json:"model,omitempty"`
	Deployment string    `json:"deployment,omitempty"`
	From       time.Time `json:"from,omitzero"` // when the day or hour begins

	Requests  int64 `json:"requests"`  // that have ended
	Errors    int64 `json:"errors"`    // of those, that failed
	Refused   int64 `json:"refused"`   // of those, that a policy or a limit refused
	Unsettled int64 `json:"unsettled"` // of those, whose process died: Cost has their estimates
	Open      int64 `json:"open"`      // that still run
	Input     int64 `json:"input"`     // tokens
	Cached    int64 `json:"cached"`    // part of Input
	Output    int64 `json:"output"`
	Reasoning int64 `json:"reasoning"` // part of Output
	Cost      USD   `json:"cost"`
	Held      USD   `json:"held"` // for those that still run, by estimate
}

// fields returns what is summed, in the order of tallyColumns.
func (s *Sum) fields() [tallied]*int64 {
	return [tallied]*int64{
		&s.Requests, &s.Errors, &s.Refused, &s.Unsettled, &s.Open,
		&s.Input, &s.Cached, &s.Output, &s.Reasoning, (*int64)(&s.Cost), (*int64)(&s.Held),
	}
}

// Usage returns what the requests that q asks for add up to, as far as they are
// written, in the order of time and names.
func (l *LedgerReader) Usage(ctx context.Context, q Query) ([]Sum, error) {
	by, span, err := q.columns()
	if err != nil {
		return nil, err
	}
	where, args := q.where()
	if !q.Since.IsZero() {
		where, args = append(where, "quarter >= ?"), append(args, quarter(q.Since))
	}
	if !q.Until.IsZero() {
		where, args = append(where, "quarter <= ?"), append(args, quarter(q.Until.Add(-1)))
	}
	var query strings.Builder
	query.WriteString("SELECT " + strings.Join(append(slices.Clone(by), summed()...), ", ") + " FROM weir_sums" + conditions(where))
	if len(by) > 0 {
		query.WriteString(" GROUP BY " + strings.Join(by, ", "))
	}
	rows, err := l.db.QueryContext(ctx, l.dialect.bind(query.String()), args...)
	if err != nil {
		return nil, fmt.Errorf("usage: reading the ledger: %w", err)
	}
	defer rows.Close()
	groups := map[Sum]*Sum{}
	for rows.Next() {
		var s Sum
		if err := s.scan(rows, by, q.Zone, span); err != nil {
			return nil, fmt.Errorf("usage: reading the ledger: %w", err)
		}
		k := Sum{Team: s.Team, Key: s.Key, Model: s.Model, Deployment: s.Deployment, From: s.From}
		if groups[k] == nil {
			groups[k] = &k
		}
		into, from := groups[k].fields(), s.fields()
		for i := range into {
			*into[i] += *from[i]
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("usage: reading the ledger: %w", err)
	}
	return sorted(groups), nil
}

// summed returns the columns of all that is summed.
func summed() []string {
	out := tallyColumns()
	for i, c := range out {
		out[i] = "CAST(coalesce(sum(" + c + "), 0) AS BIGINT)"
	}
	return out
}

// sorted returns the sums that are of anything at all.
func sorted(groups map[Sum]*Sum) []Sum {
	out := []Sum{}
	for s := range maps.Values(groups) {
		if s.Requests != 0 || s.Open != 0 {
			out = append(out, *s)
		}
	}
	slices.SortFunc(out, func(a, b Sum) int {
		return cmp.Or(
			a.From.Compare(b.From), strings.Compare(a.Team, b.Team), strings.Compare(a.Key, b.Key),
			strings.Compare(a.Model, b.Model), strings.Compare(a.Deployment, b.Deployment),
		)
	})
	return out
}

// columns returns the columns that q tells sums apart by, and how long a span of
// time, "" for none.
func (q *Query) columns() (columns []string, span string, err error) {
	names := map[string]string{
		"team": "team", "key": "key_name", "model": "model", "deployment": "deployment", "day": "quarter", "hour": "quarter",
	}
	for _, by := range q.By {
		c, ok := names[by]
		if !ok {
			return nil, "", fmt.Errorf("usage: usage by %q: there is team, key, model, deployment, day and hour", by)
		}
		if c == "quarter" && span != "hour" {
			span = by
		}
		if !slices.Contains(columns, c) {
			columns = append(columns, c)
		}
	}
	return columns, span, nil
}

// where returns the conditions of q on names, and their values.
func (q *Query) where() (where []string, args []any) {
	for _, f := range []struct{ column, value string }{
		{"team", q.Team}, {"key_name", q.Key}, {"model", q.Model}, {"deployment", q.Deployment},
	} {
		if f.value != "" {
			where, args = append(where, f.column+" = ?"), append(args, clean(f.value))
		}
	}
	return where, args
}

func conditions(where []string) string {
	if len(where) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(where, " AND ")
}

// scan reads the sum from the columns it is told apart by, and all that is summed.
func (s *Sum) scan(rows *sql.Rows, by []string, zone *time.Location, span string) error {
	var at int64
	to := make([]any, 0, len(by)+tallied)
	names := map[string]any{"team": &s.Team, "key_name": &s.Key, "model": &s.Model, "deployment": &s.Deployment, "quarter": &at}
	for _, c := range by {
		to = append(to, names[c])
	}
	for _, f := range s.fields() {
		to = append(to, f)
	}
	if err := rows.Scan(to...); err != nil {
		return err
	}
	if zone == nil {
		zone = time.UTC
	}
	t := quarterStart(at).In(zone)
	switch span {
	case "day":
		s.From = time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, zone)
	case "hour":
		s.From = t.Add(-time.Duration(t.Minute()) * time.Minute)
	}
	return nil
}

// Spent returns what the requests of a team that began at or after from have cost:
// for those that still run, or whose process died, what was reserved. A key of ""
// is the whole team. It goes by whole quarters of an hour, and takes in the one
// that from lies in.
func (l *LedgerReader) Spent(ctx context.Context, team, key string, from time.Time) (USD, error) {
	query := `SELECT CAST(coalesce(sum(cost + held), 0) AS BIGINT) FROM weir_sums WHERE team = ? AND quarter >= ?`
	args := []any{clean(team), quarter(from)}
	if key != "" {
		query, args = query+` AND key_name = ?`, append(args, clean(key))
	}
	var spent USD
	if err := l.db.QueryRowContext(ctx, l.dialect.bind(query), args...).Scan(&spent); err != nil {
		return 0, fmt.Errorf("usage: reading what was spent: %w", err)
	}
	return spent, nil
}

// Spent is that of LedgerReader, and includes what is not written yet.
func (l *Ledger) Spent(ctx context.Context, team, key string, from time.Time) (USD, error) {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return 0, fmt.Errorf("usage: reading what was spent: %w", context.Cause(ctx))
	}
	defer func() { <-l.turn }()
	// What is entered from here on is not part of the answer, so the order does not matter.
	waiting := sums{}
	l.mu.Lock()
	for _, p := range append(slices.Clone(l.writing), piece{l.pending.entries, l.pending.over}) {
		for k, t := range p.sums() {
			waiting.add(k, t)
		}
	}
	l.mu.Unlock()
	written, err := l.LedgerReader.Spent(ctx, team, key, from)
	if err != nil {
		return 0, err
	}
	return written + waiting.of(clean(team), clean(key), quarter(from)), nil
}

// Recent returns the n rows that began last of those that q asks for, the newest
// first, as far as they are written. It takes no account of q.By.
func (l *LedgerReader) Recent(ctx context.Context, n int, q Query) ([]Row, error) {
	where, args := q.where()
	if !q.Since.IsZero() {
		where, args = append(where, "start >= ?"), append(args, q.Since.UnixMicro())
	}
	if !q.Until.IsZero() {
		where, args = append(where, "start < ?"), append(args, q.Until.UnixMicro())
	}
	query := "SELECT " + strings.Join(rowColumns(), ", ") + " FROM weir_requests" + conditions(where) +
		" ORDER BY start DESC, instance, seq DESC LIMIT ?"
	rows, err := l.db.QueryContext(ctx, l.dialect.bind(query), append(args, n)...)
	if err != nil {
		return nil, fmt.Errorf("usage: reading the ledger: %w", err)
	}
	defer rows.Close()
	out := []Row{}
	for rows.Next() {
		var r Row
		if err := r.scan(rows.Scan); err != nil {
			return nil, fmt.Errorf("usage: reading the ledger: %w", err)
		}
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("usage: reading the ledger: %w", err)
	}
	return out, nil
}
