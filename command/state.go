package command

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"weir/config"
	"weir/middleware"
	"weir/proxy"
	"weir/quota"
	"weir/quota/redisquota"
	"weir/telemetry"
	"weir/upstream"
	"weir/usage"
)

// state is what a gateway knows beside its configuration, and keeps over a change
// of it.
type state struct {
	limiter *refusals
	shared  *redisquota.Limiter // the same, where replicas share it; nil: they do not
	ledger  *usage.Ledger
	db      *sql.DB
	dialect usage.Dialect // that db speaks
	outputs *usage.Outputs
	counts  *usage.Calibrations
	metrics *telemetry.Metrics
	alerts  *telemetry.Alerts
	tracing *telemetry.Tracing

	throttle *middleware.Throttle
	bodies   atomic.Int64 // bytes of requests that are held
	uploads  atomic.Int64 // and of uploads that are kept in files
	signing  signing
}

// openState opens what f keeps state in.
func openState(ctx context.Context, f *config.File, p Parts) (st *state, err error) {
	st = &state{outputs: new(usage.Outputs), counts: new(usage.Calibrations), throttle: middleware.NewThrottle(p.Log)}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.close(ctx))
		}
	}()
	if st.metrics, err = telemetry.NewMetrics(ctx, metricsConfig(f, p)); err != nil {
		return st, err
	}
	st.tracing, err = telemetry.NewTracing(ctx, telemetry.TracingConfig{Getenv: p.Getenv, Exporter: p.Spans, Version: version(), Log: p.Log})
	if err != nil {
		return st, err
	}
	if err = st.openLedger(ctx, f, p.Log); err != nil {
		return st, err
	}
	st.alerts, err = telemetry.NewAlerts(st.metrics, telemetry.AlertsConfig{
		Log: p.Log, Webhook: f.Telemetry.Alerts.Webhook.Reveal(), Client: poster(), Once: st.ledger.Once, Backoff: time.Second,
	})
	if err != nil {
		return st, err
	}
	l := f.State.Limits
	if l.Store != "redis" {
		st.limiter = newRefusals(quota.NewMemory(quota.MemoryConfig{Spent: st.spent}))
		return st, nil
	}
	st.shared, err = redisquota.New(context.WithoutCancel(ctx), redisquota.Config{
		URL: l.URL.Reveal(), Replicas: l.Replicas, Timeout: l.Timeout, Spent: st.spent, Log: p.Log,
		Slice: slice(l.Slice), Observe: st.metrics.Stored,
	})
	if err != nil {
		return st, fmt.Errorf("state.limits.url: %w", err)
	}
	st.limiter = newRefusals(st.shared)
	return st, nil
}

// poster returns what posts alerts, directly as everything else.
func poster() *http.Client {
	return &http.Client{
		Transport:     upstream.NewTransport(upstream.Connection{Connect: 5 * time.Second, PerHost: 1}),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// slice returns what a process leases ahead for busy teams.
func slice(s config.Slice) redisquota.Slice {
	out := redisquota.Slice{Rate: s.From, Part: s.Share, Lasts: s.For}
	if s.From == 0 {
		out.Rate = -1 // none is
	}
	return out
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
		soon, cancel := context.WithTimeout(ctx, last)
		s.alerts.Close(soon)
		cancel()
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
	if s.metrics != nil {
		errs = append(errs, s.metrics.Close(ctx))
	}
	if s.tracing != nil {
		errs = append(errs, s.tracing.Close(ctx))
	}
	return errors.Join(errs...)
}
