package telemetry

import (
	"errors"
	"log/slog"
	"net/url"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
)

// Hear lets log have what OpenTelemetry says of itself, such as that it does not
// understand a variable, in the place of standard error. It holds for the process.
func Hear(log *slog.Logger) {
	otel.SetLogger(logr.New(diagnosis{log}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.Warn("OpenTelemetry complains", "reason", reason(err))
	}))
}

// diagnosis is a logr.LogSink. It leaves out the values that come with a message: those
// of OTEL_EXPORTER_OTLP_HEADERS are secrets.
type diagnosis struct{ log *slog.Logger }

// warnings is the level of logr up to which something is said: warnings.
const warnings = 1

func (diagnosis) Init(logr.RuntimeInfo)  {}
func (diagnosis) Enabled(level int) bool { return level <= warnings }

func (d diagnosis) Info(_ int, msg string, _ ...any) {
	d.log.Warn("OpenTelemetry complains", "reason", msg)
}

func (d diagnosis) Error(err error, msg string, _ ...any) {
	why := msg
	// What is wrong with a URL is told with a part of it, which may be one of a password.
	if at, ok := errors.AsType[*url.Error](err); err != nil && (!ok || at.Op != "parse") {
		why += ": " + reason(err)
	}
	d.log.Warn("OpenTelemetry complains", "reason", why)
}

func (d diagnosis) WithValues(...any) logr.LogSink { return d }
func (d diagnosis) WithName(string) logr.LogSink   { return d }
