package config

import "time"

// Resilience holds time-outs, retries, the breaker and the queue.
type Resilience struct {
	// Timeout bounds the waits on a backend.
	Timeout Timeout `yaml:"timeout"`

	// Retry says how often and how long to try again.
	Retry Retry `yaml:"retry"`

	// Breaker says when a failing deployment is left alone.
	Breaker Breaker `yaml:"breaker"`

	// Queue lets requests wait for a moment where no deployment has room.
	Queue Queue `yaml:"queue"`

	// Twin keeps a model of each deployment's quota, so that none is asked that
	// would refuse.
	Twin bool `yaml:"twin" default:"true"`
}

// Queue lets requests wait for a moment where no deployment has room, fairly by
// team.
type Queue struct {
	// MaxWait is how long a request waits at most. It waits only where room is
	// expected by then. 0: none waits.
	MaxWait time.Duration `yaml:"max_wait" default:"2s" min:"0s" max:"10m"`

	// MaxLength is how many requests may wait for one model.
	MaxLength int `yaml:"max_length" default:"1000" min:"1" max:"1000000"`
}

// Timeout bounds the waits on a backend.
type Timeout struct {
	// Connect bounds connecting, TLS included.
	Connect time.Duration `yaml:"connect" default:"5s" min:"10ms" max:"5m"`

	// FirstByte bounds the wait for the answer's first byte.
	FirstByte time.Duration `yaml:"first_byte" default:"60s" min:"10ms" max:"1h"`

	// FirstContent bounds the wait for the first content of a stream, whatever
	// else comes before. 0: no bound.
	FirstContent time.Duration `yaml:"first_content" default:"0s" min:"0s" max:"1h"`

	// MinTokensPerSecond is how slow a stream may be: one that falls below it
	// for half a minute behind its first content is ended like one that
	// stands still. Tokens are taken as four bytes of text, or as one for
	// each event where that is more. 0: any speed will do.
	MinTokensPerSecond float64 `yaml:"min_tokens_per_second" default:"0" min:"0" max:"1000"`

	// StreamIdle bounds the wait between two events of a stream.
	StreamIdle time.Duration `yaml:"stream_idle" default:"60s" min:"10ms" max:"1h"`

	// Total bounds the whole request with all its attempts.
	Total time.Duration `yaml:"total" default:"10m" min:"10ms" max:"24h"`
}

// Retry says how often and how long to try again.
type Retry struct {
	// MaxAttempts is over all deployments, the first attempt included.
	MaxAttempts int `yaml:"max_attempts" default:"3" min:"1" max:"10"`

	// Backoff is the wait between two attempts.
	Backoff Backoff `yaml:"backoff"`

	// MaxRetryAfter is the longest wait a backend may ask for. For a longer
	// one another deployment is asked, or the 429 is handed on.
	MaxRetryAfter time.Duration `yaml:"max_retry_after" default:"10s" min:"0s" max:"10m"`

	// CoolOn says after which 500s the temperature falls: any, or only those
	// that complain of the model's own output.
	CoolOn string `yaml:"cool_on" default:"any_500" enum:"any_500 invalid_output"`

	// CoolBy multiplies the temperature at each cure. The result is never
	// above 0.8 and never below 0.1.
	CoolBy float64 `yaml:"cool_by" default:"0.75" above:"0" max:"1"`
}

// Backoff is the wait between two attempts, doubled each time.
type Backoff struct {
	// Initial is the first wait.
	Initial time.Duration `yaml:"initial" default:"250ms" min:"0s" max:"1m"`

	// Max is the longest wait.
	Max time.Duration `yaml:"max" default:"8s" min:"0s" max:"10m"`

	// Jitter is full for a random part of the wait, or none.
	Jitter string `yaml:"jitter" default:"full" enum:"full none"`
}

// Breaker says when a failing deployment is left alone.
type Breaker struct {
	// Window is how far back outcomes count.
	Window time.Duration `yaml:"window" default:"60s" min:"1s" max:"1h"`

	// ConsecutiveFailures open it.
	ConsecutiveFailures int `yaml:"consecutive_failures" default:"5" min:"1" max:"1000"`

	// MinRequests is how many must be in the window before the ratio counts.
	MinRequests int `yaml:"min_requests" default:"20" min:"1" max:"100000"`

	// FailureRatio in the window opens it.
	FailureRatio float64 `yaml:"failure_ratio" default:"0.5" above:"0" max:"1"`

	// OpenFor is how long it stays open before a probe.
	OpenFor time.Duration `yaml:"open_for" default:"15s" min:"100ms" max:"1h"`
}

// Telemetry holds the logs and the alerts.
type Telemetry struct {
	// Log is what the process says about itself.
	Log Log `yaml:"log"`

	// AccessLog is one line a request.
	AccessLog AccessLog `yaml:"access_log"`

	// Alerts says where alerts of budgets go, beside the log and the metrics.
	Alerts Alerts `yaml:"alerts"`

	// Metrics says what the metrics tell apart.
	Metrics Metrics `yaml:"metrics"`

	// CaptureContent is when spans tell of messages, which is never their text: who
	// speaks, and how many characters each part has. Empty is never, unless
	// OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT is true.
	CaptureContent string `yaml:"capture_content" enum:"never errors always"`

	// Traces says what becomes of traces.
	Traces Traces `yaml:"traces"`
}

// Traces says what becomes of traces. Whether there are any, and where spans go, is
// said by the standard variables of OpenTelemetry.
type Traces struct {
	// PropagateToAzure sends deployments the traceparent and tracestate of each
	// attempt.
	PropagateToAzure bool `yaml:"propagate_to_azure" default:"false"`
}

// Metrics says what the metrics at /metrics tell apart. Whether they are sent by OTLP
// too is said by the standard variables of OpenTelemetry.
type Metrics struct {
	// GenAI adds those that the GenAI conventions of OpenTelemetry define.
	GenAI bool `yaml:"gen_ai" default:"true"`

	// TeamLabel tells teams apart.
	TeamLabel bool `yaml:"team_label" default:"true"`

	// KeyLabel tells the keys of teams apart, in as many more series.
	KeyLabel bool `yaml:"key_label" default:"false"`
}

// Log is what the process says about itself.
type Log struct {
	// Level is the least that is written.
	Level string `yaml:"level" default:"info" enum:"debug info warn error"`

	// Format is text on a terminal and JSON elsewhere for auto.
	Format string `yaml:"format" default:"auto" enum:"auto text json"`
}

// AccessLog is one line a request.
type AccessLog struct {
	// Enabled writes the lines.
	Enabled bool `yaml:"enabled" default:"true"`

	// Exclude are request paths that write none.
	Exclude []string `yaml:"exclude" default:"/healthz /livez /readyz /metrics"`
}
