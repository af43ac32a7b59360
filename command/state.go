package command

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver of ledgers that replicas share
	_ "modernc.org/sqlite"             // the driver of all others

	"weir/config"
	"weir/proxy"
	"weir/quota"
	"weir/quota/redisquota"
	"weir/telemetry"
	"weir/usage"
)

// state is what a gateway knows beside its configuration, and keeps over a change
// of it.
type state struct {
	limiter quota.Limiter
	shared  *redisquota.Limiter // the same, where replicas share it; nil: they do not
	ledger  *usage.Ledger
	db      *sql.DB
	outputs *usage.Outputs
	counts  *usage.Calibrations
	metrics *telemetry.Metrics
	alerts  *telemetry.Alerts
}

// openState opens what f keeps state in.
func openState(ctx context.Context, f *config.File, p Parts) (st *state, err error) {
	st = &state{outputs: new(usage.Outputs), counts: new(usage.Calibrations)}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.close(ctx))
		}
	}()
	if st.metrics, err = telemetry.NewMetrics(); err != nil {
		return st, err
	}
	if err = st.openLedger(ctx, f, p.Log); err != nil {
		return st, fmt.Errorf("state.ledger: %w", err)
	}
	st.alerts, err = telemetry.NewAlerts(st.metrics, telemetry.AlertsConfig{
		Log: p.Log, Webhook: f.Telemetry.Alerts.Webhook.Reveal(), Client: &http.Client{}, Once: st.ledger.Once, Backoff: time.Second,
	})
	if err != nil {
		return st, err
	}
	l := f.State.Limits
	if l.Store != "redis" {
		st.limiter = quota.NewMemory(quota.MemoryConfig{Spent: st.spent})
		return st, nil
	}
	st.shared, err = redisquota.New(context.WithoutCancel(ctx), redisquota.Config{
		URL: l.URL.Reveal(), Replicas: l.Replicas, Spent: st.spent, Log: p.Log,
		Slice: slice(l.Slice),
	})
	if err != nil {
		return st, fmt.Errorf("state.limits: %w", err)
	}
	st.limiter = st.shared
	return st, nil
}

// slice returns what a process leases ahead for busy teams.
func slice(s config.Slice) redisquota.Slice {
	out := redisquota.Slice{Rate: s.From, Part: s.Share, Lasts: s.For}
	if s.From == 0 {
		out.Rate = -1 // none is
	}
	return out
}

// durable reports whether no answer may end before it is written down.
func durable(f *config.File) bool { return f.State.Ledger.Durability == "strict" }

// openLedger opens the database that requests are written down in.
func (s *state) openLedger(ctx context.Context, f *config.File, log *slog.Logger) error {
	l := f.State.Ledger
	cfg := usage.LedgerConfig{Strict: durable(f), Retain: l.Retain, Log: log}
	var err error
	if s.db, cfg.Dialect, err = openDatabase(l); err != nil {
		return err
	}
	cfg.DB = s.db
	if l.Path == "" && l.URL == "" {
		cfg.MaxRows = int64(l.MaxRows)
	}
	s.ledger, err = usage.OpenLedger(ctx, cfg)
	return err
}

// openDatabase opens the database of a ledger: PostgreSQL by its URL, SQLite in a
// file, or SQLite in memory.
func openDatabase(l config.Ledger) (*sql.DB, usage.Dialect, error) {
	if l.URL != "" {
		db, err := sql.Open("pgx", l.URL.Reveal())
		if err != nil {
			return nil, usage.Postgres, errors.New("the url is none of PostgreSQL's") // the driver's error may hold the password
		}
		return db, usage.Postgres, nil
	}
	db, err := sql.Open("sqlite", usage.SQLiteDSN(l.Path, l.Durability == "strict"))
	return db, usage.SQLite, err
}

// limitsState returns where the limits are counted, and how that fares.
func (s *state) limitsState() any {
	if s.shared == nil {
		return "local only: each replica counts alone"
	}
	return s.shared.State().String()
}

// sinks returns where the records of requests go.
func (s *state) sinks() []usage.Sink {
	return []usage.Sink{s.metrics, s.counts, s.outputs, s.ledger}
}

// Begin implements proxy.Journal.
func (s *state) Begin(ctx context.Context, r *usage.Record, wait bool) error {
	if !wait {
		s.ledger.Open(r)
		return nil
	}
	return s.ledger.Begin(ctx, r)
}

// spent returns what an account has spent since a time, as the ledger knows it.
func (s *state) spent(ctx context.Context, account string, from time.Time) (int64, error) {
	team, key := proxy.Holder(account)
	spent, err := s.ledger.Spent(ctx, team, key, from)
	return int64(spent), err
}

// close ends the state: what is not written yet is written first.
func (s *state) close(ctx context.Context) error {
	var errs []error
	if s.alerts != nil {
		s.alerts.Wait()
	}
	if s.shared != nil {
		errs = append(errs, s.shared.Close())
	}
	if s.ledger != nil {
		errs = append(errs, s.ledger.Close(ctx))
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(errs...)
}
