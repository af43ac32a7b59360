// Package telemetry turns the records of requests into what people and machines
// watch.
//
// A record holds no content and no key, and nothing here asks for more: what is
// not in a record is in no log line.
package telemetry

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"weir/usage"
)

// AccessLog writes one line for each request. It is a usage.Sink.
type AccessLog struct {
	log     *slog.Logger
	exclude []string
}

var _ usage.Sink = (*AccessLog)(nil)

// NewAccessLog returns an AccessLog that writes to log, but for the routes in
// exclude.
func NewAccessLog(log *slog.Logger, exclude []string) *AccessLog {
	return &AccessLog{log: log, exclude: exclude}
}

// Take writes the line of a request.
func (a *AccessLog) Take(ctx context.Context, r *usage.Record) {
	if slices.Contains(a.exclude, r.Route) {
		return
	}
	l := make(line, 0, 48)
	l.text("request_id", r.RequestID)
	l.text("trace_id", r.TraceID)
	l.text("span_id", r.SpanID)
	l.text("team", r.Team)
	l.text("key", r.Key)
	l.text("method", r.Method)
	l.text("route", r.Route)
	l.text("operation", string(r.Operation))
	l = append(l, slog.Int("status", r.Status), slog.String("outcome", string(r.Outcome)))
	l.text("code", r.Code)
	l.text("limit", string(r.Limit))
	l.text("model", r.Model)
	l.text("deployment", r.Deployment)
	l = append(l, slog.Int("attempts", len(r.Attempts)))
	l.list("retry_reasons", retryReasons(r))
	l = append(l, slog.Bool("stream", r.Stream))
	l.used(r)
	l.text("finish_reason", r.FinishReason)
	l.answered(r)
	l.changed(r)
	l = append(l,
		slog.Float64("duration_ms", ms(r.Duration)), slog.Float64("first_token_ms", ms(r.FirstToken)),
		slog.Float64("upstream_ms", ms(r.Upstream)), slog.Float64("overhead_ms", ms(r.Overhead())))
	if r.Queued > 0 {
		l = append(l, slog.Float64("queued_ms", ms(r.Queued)))
	}
	l.text("client", r.Client)
	l.text("user_agent", r.UserAgent)
	l.text("azure_request_id", r.AzureRequestID)
	l.text("azure_region", r.AzureRegion)
	l.text("spilled_to", r.Spilled)
	a.log.LogAttrs(ctx, slog.LevelInfo, "request", l...)
}

// line is a log line. What has no value is left out of it.
type line []slog.Attr

func (l *line) text(name, value string) {
	if value != "" {
		*l = append(*l, slog.String(name, value))
	}
}

func (l *line) number(name string, value int64) {
	if value != 0 {
		*l = append(*l, slog.Int64(name, value))
	}
}

func (l *line) list(name string, values []string) {
	if len(values) > 0 {
		*l = append(*l, slog.Any(name, values))
	}
}

// used adds the tokens.
func (l *line) used(r *usage.Record) {
	l.number("input_tokens", r.Input)
	l.number("cached_tokens", r.Cached)
	l.number("output_tokens", r.Output)
	l.number("reasoning_tokens", r.Reasoning)
	l.number("estimated_input_tokens", r.EstimatedInput)
	if r.Counted {
		*l = append(*l, slog.Bool("counted", true))
	}
	if r.Cost != 0 {
		*l = append(*l, slog.Float64("cost_usd", r.Cost.Dollars()))
	}
}

// answered adds what upstream says of its answer.
func (l *line) answered(r *usage.Record) {
	l.text("served_model", r.Served)
	l.text("response_id", r.ResponseID)
	l.text("service_tier", r.ServiceTier)
	l.text("system_fingerprint", r.Fingerprint)
}

// changed adds what was done to the request.
func (l *line) changed(r *usage.Record) {
	l.text("policy", r.Policy)
	l.text("shadow_limit", string(r.ShadowLimit))
	l.number("escaped", int64(r.Escaped))
	l.number("trimmed_messages", int64(r.Trimmed))
	l.number("max_tokens_set", r.Lowered)
	l.list("shadowed", r.Shadowed)
	l.number("client_retry", int64(r.Retry))
}

// retryReasons returns why each attempt but an answering one failed.
func retryReasons(r *usage.Record) []string {
	var reasons []string
	for i := range r.Attempts {
		if reason := r.Failure(i); reason != "" {
			reasons = append(reasons, reason)
		}
	}
	return reasons
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
