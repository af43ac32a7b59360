package command

import (
	"fmt"
	"net/url"
	"time"

	"weir/config"
	"weir/policy"
	"weir/tokens"
	"weir/upstream"
)

// upstream returns what the pool of deployments works with.
func (b *builder) upstream() (upstream.Config, error) {
	r := b.file.Resilience
	cfg := upstream.Config{
		Models: map[string]upstream.Model{},
		Retry: policy.Retry{
			Attempts: r.Retry.MaxAttempts, Backoff: r.Retry.Backoff.Initial, MaxBackoff: r.Retry.Backoff.Max,
			MaxRetryAfter: r.Retry.MaxRetryAfter, CoolBy: r.Retry.CoolBy, OnlyInvalid: r.Retry.CoolOn == "invalid_output",
		},
		Breaker: upstream.Breaker{
			Window: r.Breaker.Window, Consecutive: r.Breaker.ConsecutiveFailures, MinRequests: r.Breaker.MinRequests,
			Ratio: r.Breaker.FailureRatio, Open: r.Breaker.OpenFor, Watchdog: min(r.Timeout.FirstByte, 20*time.Second),
		},
		Timeouts: upstream.Timeouts{
			FirstByte: r.Timeout.FirstByte, FirstContent: r.Timeout.FirstContent, Idle: r.Timeout.StreamIdle,
			Floor: r.Timeout.MinTokensPerSecond, Total: r.Timeout.Total, Commit: keepAlive,
		},
		Transport: b.parts.Transport, Log: b.parts.Log,
		Queue: upstream.Queue{MaxWait: r.Queue.MaxWait, MaxLength: r.Queue.MaxLength}, Twin: r.Twin,
		Jitter: b.parts.Jitter, Steady: r.Retry.Backoff.Jitter == "none",
		Tracing: b.tracing(), Pauses: b.file.Telemetry.Metrics.GenAI,
	}
	for name, m := range b.file.Models {
		model := upstream.Model{Temperature: temperature(m.FixedTemperature, b.facts(name, m))}
		for _, d := range m.Deployments {
			deployment, err := b.deployment(d)
			if err != nil {
				return cfg, err
			}
			model.Deployments = append(model.Deployments, deployment)
		}
		cfg.Models[name] = model
	}
	if b.file.PassThrough != "" {
		d, err := b.deployment(config.Deployment{Backend: b.file.PassThrough, Weight: 1})
		if err != nil {
			return cfg, err
		}
		cfg.Any = &d
	}
	return cfg, nil
}

// tracing returns what is told of attempts.
func (b *builder) tracing() upstream.Tracing {
	if b.state == nil {
		return upstream.Tracing{}
	}
	t := upstream.Tracing{
		Tracer: b.state.tracing.Tracer(), Latest: b.state.tracing.Latest(), Propagate: b.file.Telemetry.Traces.PropagateToAzure,
	}
	switch content := b.file.Telemetry.CaptureContent; {
	case content == "always", content == "" && b.state.tracing.Content():
		t.Content = upstream.Always
	case content == "errors":
		t.Content = upstream.Errors
	}
	return t
}

// temperature returns whether a model's temperature may be changed: as the
// configuration says, or else as the table knows.
func temperature(fixed *bool, t tokens.Model) upstream.Temperature {
	switch {
	case fixed != nil && *fixed, fixed == nil && t.FixedTemperature:
		return upstream.Fixed
	case fixed != nil, t.Known:
		return upstream.Adjustable
	default:
		return upstream.Unknown
	}
}

// bearing returns a credential as a server of kind openai takes it: a key as a
// bearer, which a token is already, or nothing where there is none.
func bearing(a config.Auth, c upstream.Credential) upstream.Credential {
	switch form := a.Kind(); {
	case form == "entra", form == "pass_through":
		return c
	case form == "api_key" && a.APIKey == "":
		return upstream.AsBearer(nil)
	default:
		return upstream.AsBearer(c)
	}
}

func (b *builder) deployment(d config.Deployment) (upstream.Deployment, error) {
	backend := b.file.Backends[d.Backend]
	endpoint, err := url.Parse(backend.Endpoint)
	if err != nil {
		return upstream.Deployment{}, fmt.Errorf("command: backends.%s.endpoint is no URL", d.Backend)
	}
	credential, err := b.credential(d.Backend)
	if err != nil {
		return upstream.Deployment{}, err
	}
	out := upstream.Deployment{
		Backend: d.Backend, Name: d.Deployment, Endpoint: endpoint, APIVersion: backend.APIVersion,
		Region: backend.Region, Transport: b.transports[d.Backend], Spills: d.NativeSpillover,
		Credential: credential,
		Priority:   d.Priority, Weight: d.Weight, MaxInFlight: d.MaxInFlight,
		ContextWindow: int64(d.ContextWindow), MaxOutput: int64(d.MaxOutputTokens),
		Quota: policy.Quota{Tokens: int64(d.TPM), Requests: int64(d.RPM), Slice: d.RPMWindow},
	}
	if backend.Kind == "openai" {
		out.Kind, out.Credential = upstream.OpenAI, bearing(backend.Auth, credential)
	}
	if d.FixedTemperature != nil {
		out.Temperature = temperature(d.FixedTemperature, tokens.Model{})
	}
	return out, nil
}
