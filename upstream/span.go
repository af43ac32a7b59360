package upstream

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"

	"weir/openai"
	"weir/policy"
	"weir/usage"
)

// Tracing says what is told of attempts. Its zero value tells nothing.
type Tracing struct {
	Tracer    trace.Tracer // begins a span for each attempt of a request whose own is kept; nil: none
	Propagate bool         // deployments are told which trace a request belongs to
	Content   Content
	Latest    bool // by the newest names of the GenAI conventions, instead of those of 1.41
}

// span is what a trace shows of an attempt. Its zero value shows nothing, and costs
// nothing.
type span struct {
	of   trace.Span // nil: nobody looks
	over sync.Once

	failure string         // why the attempt was no answer; "" it was one
	facts   *openai.Facts  // of the answer; nil: there are none
	stream  *openai.Stream // that facts are of; nil: of none
	body    []byte         // of a plain answer, where its content is told
	input   string         // what is told of the request's content, if the attempt fails
}

// traced begins the span of an attempt, where that of its request is kept.
func (a *attempt) traced(ctx context.Context) {
	cfg := &a.cfg.Tracing
	if cfg.Tracer == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return
	}
	name := http.MethodPost
	if p := a.call.Passage; p != nil {
		name = p.Method
	}
	out := facts{semconv.HTTPRequestMethodKey.String(name)}
	if op := a.rec.Operation; op != "" {
		name = op.GenAI() + " " + a.call.Model
		out = append(out, a.asks()...)
	}
	out = append(out, attribute.String("weir.deployment", a.member.ID()), attribute.Int("weir.attempt", len(a.rec.Attempts)+1))
	out = append(out, where(&a.member.Deployment)...)
	out.number(semconv.HTTPRequestResendCountKey, int64(len(a.rec.Attempts)-a.calls))
	out.wait("weir.wait_ms", a.wait)
	if len(a.rec.Attempts) == 0 {
		out.wait("weir.queued_ms", a.rec.Queued)
	}
	if t := a.added.temperature; t != nil {
		out = append(out, attribute.Bool("weir.cooled", true))
	}
	_, span := cfg.Tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(a.begun), trace.WithAttributes(out...))
	a.span.of = span
	a.span.input = a.tellInput()
	if cfg.Content == Always {
		a.span.set(semconv.GenAIInputMessagesKey.String(a.span.input))
	}
}

// where returns what a span says of the place that a request goes to.
func where(d *Deployment) []attribute.KeyValue {
	out := []attribute.KeyValue{semconv.ServerAddress(d.Endpoint.Hostname()), semconv.ServerPort(port(d.Endpoint))}
	if d.Kind == Azure {
		out = append(out, semconv.AzureResourceProviderNamespace("Microsoft.CognitiveServices"))
	}
	return out
}

func port(u *url.URL) int {
	n, err := strconv.Atoi(u.Port())
	switch {
	case err == nil:
		return n
	case u.Scheme == "http":
		return 80
	default:
		return 443
	}
}

// asks returns what a span says of the request as the deployment is sent it. What
// its stop sequences are is content, and is not said.
func (a *attempt) asks() []attribute.KeyValue {
	op, req := a.rec.Operation, a.call.Request
	provider := semconv.GenAIProviderNameAzureAIOpenAI
	if a.member.Kind == OpenAI {
		provider = semconv.GenAIProviderNameOpenAI
	}
	out := facts{
		semconv.GenAIOperationNameKey.String(op.GenAI()), provider,
		semconv.GenAIRequestModel(a.call.Model), semconv.GenAIRequestStream(req.Stream),
	}
	out.text(semconv.OpenAIAPITypeKey, op.API())
	out.number(semconv.GenAIRequestMaxTokensKey, req.MaxTokens)
	if t := cmp.Or(a.added.temperature, req.Temperature); t != nil {
		out = append(out, semconv.GenAIRequestTemperature(*t))
	}
	p := a.rec.Params
	if p == nil {
		return out
	}
	out.float(semconv.GenAIRequestTopPKey, p.TopP)
	out.float(semconv.GenAIRequestFrequencyPenaltyKey, p.FrequencyPenalty)
	out.float(semconv.GenAIRequestPresencePenaltyKey, p.PresencePenalty)
	if p.HasSeed {
		out = append(out, semconv.GenAIRequestSeed(int(p.Seed)))
	}
	if p.Choices > 1 {
		out.number(semconv.GenAIRequestChoiceCountKey, p.Choices)
	}
	out.number("weir.stop_sequences", int64(p.Stops))
	out.text(semconv.GenAIOutputTypeKey, p.Output)
	out.text(semconv.OpenAIRequestServiceTierKey, p.ServiceTier)
	if a.cfg.Tracing.Latest {
		out.text("gen_ai.request.reasoning.level", p.Reasoning)
	}
	return out
}

// tells puts the trace into a request's header, where deployments are told of it.
func (a *attempt) tells(ctx context.Context, h http.Header) {
	if !a.cfg.Tracing.Propagate {
		return
	}
	if a.span.of != nil {
		ctx = trace.ContextWithSpan(ctx, a.span.of)
	}
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
}

// saw notes the head of what was answered.
func (a *attempt) saw(resp *http.Response) {
	if a.span.of == nil {
		return
	}
	out := facts{semconv.HTTPResponseStatusCode(resp.StatusCode)}
	out.text(semconv.AzureServiceRequestIDKey, cmp.Or(a.rec.AzureRequestID, openai.Word(resp.Header.Get("X-Ms-Request-Id")), openai.Word(resp.Header.Get("X-Request-Id"))))
	out.text("weir.azure_region", a.rec.AzureRegion)
	out.text("weir.spilled_to", a.rec.Spilled)
	a.span.set(out...)
}

// set notes attributes, where anybody looks.
func (s *span) set(attributes ...attribute.KeyValue) {
	if s.of != nil {
		s.of.SetAttributes(attributes...)
	}
}

// fail notes why an attempt was no answer. What a client did is no failure of
// the deployment's.
func (s *span) fail(o policy.Outcome) {
	if s.of == nil {
		return
	}
	s.failure = cmp.Or(o.Reason, strconv.Itoa(o.Status))
	kind := s.failure
	switch {
	case o.Class == policy.TimedOut:
		kind = "timeout"
	case o.Status >= http.StatusBadRequest:
		kind = strconv.Itoa(o.Status)
	}
	s.set(semconv.ErrorTypeKey.String(kind), attribute.String("weir.reason", s.failure))
	if o.Class != policy.Gone {
		s.of.SetStatus(codes.Error, "")
	}
}

// ended ends the span of an attempt whose answer was handed on, or given up for the
// reason that err is.
func (a *attempt) ended(err error) {
	if a.span.of == nil {
		return
	}
	if err != nil && a.span.failure == "" {
		_, cut := errors.AsType[*openai.CutError](err)
		switch cause := context.Cause(a.ctx); {
		case errors.Is(cause, errTime):
			a.span.fail(policy.Outcome{Class: policy.TimedOut, Reason: "timeout"})
		case cut && cause == nil:
			a.span.fail(policy.Outcome{Class: policy.Interrupted, Reason: "cut_stream"})
		case errors.Is(cause, errStopped):
			a.span.fail(policy.Outcome{Class: policy.Gone, Reason: "stopped"})
		default:
			a.span.fail(policy.Outcome{Class: policy.Gone, Reason: "client_gone"})
		}
	}
	a.span.over.Do(a.endSpan)
}

// endSpan says what is known of the answer, and ends the span. It is for ended
// alone.
func (a *attempt) endSpan() {
	s := &a.span
	if s.facts != nil {
		s.set(answered(s.facts)...)
	}
	if a.body != nil && a.body.stream && a.body.first > 0 {
		s.set(semconv.GenAIResponseTimeToFirstChunk(a.body.first.Seconds()))
	}
	switch content := a.cfg.Tracing.Content; {
	case content == Errors && s.failure != "":
		s.set(semconv.GenAIInputMessagesKey.String(s.input))
		fallthrough
	case content == Always:
		if told := s.tellOutput(); told != "" {
			s.set(semconv.GenAIOutputMessagesKey.String(told))
		}
	}
	s.of.End()
	s.facts, s.stream, s.body, s.input = nil, nil, nil, ""
}

// answered returns what a span says of an answer.
func answered(f *openai.Facts) []attribute.KeyValue {
	var out facts
	out.text(semconv.GenAIResponseIDKey, openai.Word(f.ID))
	out.text(semconv.GenAIResponseModelKey, f.Model)
	if f.FinishReason != "" {
		out = append(out, semconv.GenAIResponseFinishReasons(f.FinishReason))
	}
	out.text(semconv.OpenAIResponseServiceTierKey, f.ServiceTier)
	out.text(semconv.OpenAIResponseSystemFingerprintKey, f.Fingerprint)
	if f.HasUsage {
		out = append(out, semconv.GenAIUsageInputTokens(int(f.Usage.Prompt)), semconv.GenAIUsageOutputTokens(int(f.Usage.Completion)))
		out.number(semconv.GenAIUsageCacheReadInputTokensKey, f.Usage.Cached)
		out.number(semconv.GenAIUsageReasoningOutputTokensKey, f.Usage.Reasoning)
	}
	return out
}

// facts are attributes. What has no value is left out of them.
type facts []attribute.KeyValue

func (f *facts) text(name attribute.Key, value string) {
	if value != "" {
		*f = append(*f, name.String(value))
	}
}

func (f *facts) number(name attribute.Key, value int64) {
	if value != 0 {
		*f = append(*f, name.Int64(value))
	}
}

func (f *facts) float(name attribute.Key, value usage.Number) {
	if value.Set {
		*f = append(*f, name.Float64(value.Value))
	}
}

func (f *facts) wait(name attribute.Key, value time.Duration) {
	if value != 0 {
		*f = append(*f, name.Float64(float64(value.Microseconds())/1000))
	}
}
