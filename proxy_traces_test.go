package main_test

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"weir/azuresim"
	"weir/command"
)

// The trace that callers in these tests are in.
const (
	callersTrace = "0af7651916cd43dd8448eb211c80319c"
	callersSpan  = "b7ad6b7169203331"
	sampled      = "00-" + callersTrace + "-" + callersSpan + "-01"
	unsampled    = "00-" + callersTrace + "-" + callersSpan + "-00"
)

// traced is bubble with what the gateway tells of its spans.
func traced(t *testing.T, test func(w *world, kept *tracetest.InMemoryExporter), edits ...string) {
	t.Helper()
	kept := tracetest.NewInMemoryExporter()
	bubbleOf(t, plain, func(p *command.Parts) { p.Spans = kept }, func(w *world) { test(w, kept) }, edits...)
}

// ended returns the spans that have ended, the first that began first.
func ended(kept *tracetest.InMemoryExporter) tracetest.SpanStubs {
	synctest.Wait()
	spans := kept.GetSpans()
	slices.SortStableFunc(spans, func(a, b tracetest.SpanStub) int {
		if d := a.StartTime.Compare(b.StartTime); d != 0 || a.SpanKind == b.SpanKind {
			return d
		}
		return int(a.SpanKind) - int(b.SpanKind) // a server's, then a client's
	})
	return spans
}

// told returns the attributes of a span.
func told(s tracetest.SpanStub) map[string]attribute.Value {
	all := map[string]attribute.Value{}
	for _, a := range s.Attributes {
		all[string(a.Key)] = a.Value
	}
	return all
}

// drawn returns a trace as a tree of one line a span, with those of the named
// attributes that it has. Whatever is in another trace, or hangs elsewhere than
// below the request's span, is told too.
func drawn(spans tracetest.SpanStubs, names ...string) []string {
	var lines []string
	for _, s := range spans {
		words := []string{s.SpanKind.String(), s.Name}
		if s.Status.Code != 0 {
			words = append(words, s.Status.Code.String())
		}
		if s.Status.Description != "" {
			words = append(words, "with a text")
		}
		for _, name := range names {
			if v, ok := told(s)[name]; ok {
				words = append(words, name[strings.LastIndexByte(name, '.')+1:]+"="+v.String())
			}
		}
		if s.SpanContext.TraceID() != spans[0].SpanContext.TraceID() {
			words = append(words, "in another trace")
		}
		if s.SpanKind.String() == "client" && s.Parent.SpanID() != spans[0].SpanContext.SpanID() {
			words = append(words, "below another span")
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return lines
}

// TestTraces holds what a trace shows of a request: one span for it, one for each
// attempt, and on each what became of it and why.
func TestTraces(t *testing.T) {
	t.Parallel()
	hello := say("hello")
	common := []string{"http.response.status_code", "weir.outcome", "weir.code", "weir.deployment", "error.type", "weir.reason"}
	tests := []struct {
		name  string
		path  string
		body  string
		key   string
		east  []azuresim.Step
		edits []string
		names []string // of attributes, beside the common ones
		want  []string
	}{
		{
			name: "an answer", body: hello,
			names: []string{"http.route", "url.path", "gen_ai.provider.name", "gen_ai.usage.input_tokens", "gen_ai.response.finish_reasons", "gen_ai.response.model", "weir.team", "weir.key"},
			want: []string{
				"server POST /v1/chat/completions status_code=200 outcome=ok deployment=east/gpt-4o-east route=/v1/chat/completions path=/v1/chat/completions team=search key=search-1",
				`client chat gpt-4o status_code=200 deployment=east/gpt-4o-east name=azure.ai.openai input_tokens=8 finish_reasons=["stop"] model=gpt-4o-2024-11-20`,
			},
		},
		{
			name: "failover", body: hello, east: steps("rate-limit 40ms"), names: []string{"http.request.resend_count", "weir.attempt"},
			want: []string{
				"server POST /v1/chat/completions status_code=200 outcome=ok deployment=west/gpt-4o-west",
				"client chat gpt-4o Error status_code=429 deployment=east/gpt-4o-east type=429 reason=429 attempt=1",
				"client chat gpt-4o status_code=200 deployment=west/gpt-4o-west resend_count=1 attempt=2",
			},
		},
		{
			name: "a cure", body: say("hello", `"temperature":1`), east: steps("unicode-500"), names: []string{"gen_ai.request.temperature", "weir.cooled"},
			want: []string{
				"server POST /v1/chat/completions status_code=200 outcome=ok deployment=east/gpt-4o-east",
				"client chat gpt-4o Error status_code=500 deployment=east/gpt-4o-east type=500 reason=unicode_500 temperature=1",
				"client chat gpt-4o status_code=200 deployment=east/gpt-4o-east temperature=0.75 cooled=true",
			},
		},
		{
			name: "waits and a failure", body: of("gpt-35-turbo", hello), east: steps("server-error", "server-error", "server-error"), names: []string{"weir.wait_ms", "weir.attempts"},
			want: []string{
				"server POST /v1/chat/completions Error status_code=500 outcome=upstream_error deployment=east/gpt-35-turbo type=500 attempts=3",
				"client chat gpt-35-turbo Error status_code=500 deployment=east/gpt-35-turbo type=500 reason=500",
				"client chat gpt-35-turbo Error status_code=500 deployment=east/gpt-35-turbo type=500 reason=500 wait_ms=100",
				"client chat gpt-35-turbo Error status_code=500 deployment=east/gpt-35-turbo type=500 reason=500 wait_ms=200",
			},
		},
		{
			name: "no connection", body: of("gpt-35-turbo", hello), east: steps("close-after-read"), edits: []string{"retry: {", "retry: { max_attempts: 1,"},
			want: []string{
				"server POST /v1/chat/completions Error status_code=502 outcome=upstream_error code=upstream_unreachable deployment=east/gpt-35-turbo type=502",
				"client chat gpt-35-turbo Error deployment=east/gpt-35-turbo type=interrupted reason=interrupted",
			},
		},
		{
			name: "what is asked for", body: say("hello", `"top_p":0.5,"max_tokens":9,"seed":7,"n":2,"frequency_penalty":1,"presence_penalty":-1,"stop":["a","b"],"service_tier":"default","response_format":{"type":"json_object"}`),
			names: []string{
				"gen_ai.request.top_p", "gen_ai.request.max_tokens", "gen_ai.request.seed", "gen_ai.request.choice.count", "gen_ai.request.frequency_penalty",
				"gen_ai.request.presence_penalty", "weir.stop_sequences", "openai.request.service_tier", "gen_ai.output.type", "openai.api.type",
			},
			want: []string{
				"server POST /v1/chat/completions status_code=200 outcome=ok deployment=east/gpt-4o-east",
				"client chat gpt-4o status_code=200 deployment=east/gpt-4o-east top_p=0.5 max_tokens=9 seed=7 count=2 frequency_penalty=1 presence_penalty=-1 stop_sequences=2 service_tier=default type=json type=chat_completions",
			},
		},
		{
			name: "a stream", body: say("hello", stream, `"stream_options":{"include_usage":true}`), names: []string{"gen_ai.request.stream", "gen_ai.usage.input_tokens", "gen_ai.response.finish_reasons"},
			want: []string{
				"server POST /v1/chat/completions status_code=200 outcome=ok deployment=east/gpt-4o-east",
				`client chat gpt-4o status_code=200 deployment=east/gpt-4o-east stream=true input_tokens=8 finish_reasons=["stop"]`,
			},
		},
		{
			name: "a stream that is cut", body: say("hello", stream), east: steps("reset-between"),
			want: []string{
				"server POST /v1/chat/completions Error status_code=200 outcome=upstream_error code=upstream_stream_interrupted deployment=east/gpt-4o-east type=upstream_stream_interrupted",
				"client chat gpt-4o Error status_code=200 deployment=east/gpt-4o-east type=cut_stream reason=cut_stream",
			},
		},
		{
			name: "a stream that ends in an error", body: say("hello", stream), east: steps("error-late"),
			want: []string{
				"server POST /v1/chat/completions Error status_code=200 outcome=upstream_error code=upstream_stream_interrupted deployment=east/gpt-4o-east type=upstream_stream_interrupted",
				"client chat gpt-4o Error status_code=200 deployment=east/gpt-4o-east type=500 reason=500",
			},
		},
		{
			name: "a refusal", body: say("<|im_start|>system"),
			want: []string{"server POST /v1/chat/completions status_code=400 outcome=refused_policy code=special_tokens_in_input"},
		},
		{
			name: "a refused key", body: hello, key: "sk-nobodys", names: []string{"weir.team"},
			want: []string{"server POST /v1/chat/completions status_code=401 outcome=client_error code=invalid_api_key"},
		},
		{
			name: "no such path", path: "/v1/canary", body: hello, names: []string{"http.route", "url.path"},
			want: []string{"server POST status_code=404 outcome=client_error code=unknown_url"},
		},
		{
			name: "a path with a name in it", path: "/openai/deployments/gpt-4o-east/chat/completions?api-version=2024-10-21", body: hello, names: []string{"http.route", "url.path"},
			want: []string{
				"server POST /openai/deployments/:deployment/chat/completions status_code=200 outcome=ok deployment=east/gpt-4o-east route=/openai/deployments/:deployment/chat/completions",
				"client chat gpt-4o status_code=200 deployment=east/gpt-4o-east",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			traced(t, func(w *world, kept *tracetest.InMemoryExporter) {
				w.east.Script(tt.east...)
				path, headers := "/v1/chat/completions", []string{}
				if tt.path != "" {
					path = tt.path
				}
				if tt.key != "" {
					headers = []string{"api-key", tt.key}
				}
				w.do(w.t.Context(), http.MethodPost, path, tt.body, headers...)
				if diff := cmp.Diff(tt.want, drawn(ended(kept), append(common, tt.names...)...)); diff != "" {
					t.Errorf("the trace (-want +got):\n%s", diff)
				}
				for _, s := range kept.GetSpans() {
					if len(s.Events) > 0 || s.DroppedAttributes > 0 {
						t.Errorf("%s has events %v, and lost %d attributes", s.Name, s.Events, s.DroppedAttributes)
					}
				}
			}, tt.edits...)
		})
	}
}

// TestTraceOfSeveralCalls holds that what a request asks for next is not told as sent
// again.
func TestTraceOfSeveralCalls(t *testing.T) {
	t.Parallel()
	traced(t, func(w *world, kept *tracetest.InMemoryExporter) {
		w.gets("files")
		want := []string{
			"server GET /v1/files",
			"client GET attempt=1",
			"client GET attempt=2",
		}
		if diff := cmp.Diff(want, drawn(ended(kept), "http.request.resend_count", "weir.attempt")); diff != "" {
			t.Errorf("the trace (-want +got):\n%s", diff)
		}
	})
}

// TestTraceOfAStream holds that a streamed attempt's span lasts until its last
// event, and says when its first came.
func TestTraceOfAStream(t *testing.T) {
	t.Parallel()
	traced(t, func(w *world, kept *tracetest.InMemoryExporter) {
		w.east.Script(azuresim.Step{Content: twelve, Delay: time.Second, Gap: time.Second})
		got := w.chat(say("hello", stream))
		spans := ended(kept)
		if len(spans) != 2 || got.took < 5*time.Second {
			t.Fatalf("%d spans after %v", len(spans), got.took)
		}
		for _, s := range spans {
			if took := s.EndTime.Sub(s.StartTime); took != got.took {
				t.Errorf("%s lasts %v, and the answer took %v", s.Name, took, got.took)
			}
		}
		if first := told(spans[1])["gen_ai.response.time_to_first_chunk"].AsFloat64(); first != 1 {
			t.Errorf("the first chunk came after %v s", first)
		}
	})
}

// TestTraceOfALeaver holds what spans say where the client leaves: that it did, and
// that nothing failed.
func TestTraceOfALeaver(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body string
		step       azuresim.Step
	}{
		{"before an answer", say("hello"), azuresim.Step{Hang: true}},
		{"in a stream", say("hello", stream), azuresim.Step{Content: twelve, Pause: time.Hour, PauseAt: 2, OfContent: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			traced(t, func(w *world, kept *tracetest.InMemoryExporter) {
				w.east.Script(tt.step)
				ctx, leave := context.WithTimeout(w.t.Context(), 3*time.Second)
				defer leave()
				w.do(ctx, http.MethodPost, "/v1/chat/completions", tt.body)
				want := []string{
					"server POST /v1/chat/completions outcome=client_gone status_code=499",
					"client chat gpt-4o type=client_gone",
				}
				got := drawn(ended(kept), "weir.outcome", "error.type")
				spans := kept.GetSpans()
				for i := range got {
					if strings.HasPrefix(got[i], "server") {
						got[i] += " status_code=" + told(ended(kept)[i])["http.response.status_code"].String()
					}
				}
				if diff := cmp.Diff(want, got); diff != "" || len(spans) != 2 {
					t.Errorf("the trace (-want +got):\n%s", diff)
				}
				for _, s := range spans {
					if took := s.EndTime.Sub(s.StartTime); took != 3*time.Second {
						t.Errorf("%s lasts %v", s.Name, took)
					}
				}
			})
		})
	}
}

// TestTraceIsJoined holds that the caller's trace goes on, is kept where the caller
// keeps it, and is told to deployments only where that is configured. Baggage goes
// nowhere.
func TestTraceIsJoined(t *testing.T) {
	t.Parallel()
	propagate := []string{"resilience:", "telemetry: { traces: { propagate_to_azure: true } }\nresilience:"}
	tests := []struct {
		name   string
		parent string
		edits  []string
		spans  int
		joined bool // the spans are in the caller's trace
		logged bool // and the request's line
		told   string
	}{
		{name: "a trace that is kept", parent: sampled, spans: 2, joined: true, logged: true},
		{name: "a trace that is not kept", parent: unsampled, logged: true},
		{name: "no trace", spans: 2},
		{name: "nonsense", parent: "00-xyz", spans: 2},
		{name: "deployments are told", parent: sampled, edits: propagate, spans: 2, joined: true, logged: true, told: "its own"},
		{name: "of a trace that is not kept", parent: unsampled, edits: propagate, logged: true, told: "a request's"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			traced(t, func(w *world, kept *tracetest.InMemoryExporter) {
				headers := []string{"Baggage", "who=canary", "Tracestate", "vendor=1"}
				if tt.parent != "" {
					headers = append(headers, "Traceparent", tt.parent)
				}
				w.chat(say("hello"), headers...)
				spans := ended(kept)
				if len(spans) != tt.spans {
					t.Fatalf("%d spans, want %d", len(spans), tt.spans)
				}
				for _, s := range spans {
					if got := s.SpanContext.TraceID().String() == callersTrace; got != tt.joined {
						t.Errorf("%s: in the caller's trace: %v", s.Name, got)
					}
				}
				if tt.joined && (spans[0].Parent.SpanID().String() != callersSpan || !spans[0].Parent.IsRemote() || spans[0].SpanContext.TraceState().String() != "vendor=1") {
					t.Errorf("the request's span is below %v", spans[0].Parent)
				}
				rec := w.record()
				if got := rec.TraceID == callersTrace; got != tt.logged || tt.spans > 0 && rec.SpanID != spans[0].SpanContext.SpanID().String() {
					t.Errorf("recorded is span %q of trace %q", rec.SpanID, rec.TraceID)
				}
				if !strings.Contains(w.log.String(), `"span_id":"`+rec.SpanID+`"`) {
					t.Errorf("the request's line has no span:\n%s", w.log)
				}
				h := w.asked()[0].Header
				want := map[string]string{"": "", "a request's": "-" + rec.SpanID + "-00"}[tt.told]
				if tt.told == "its own" {
					want = "-" + spans[1].SpanContext.SpanID().String() + "-01"
				}
				if got := h.Get("Traceparent"); (got == "") != (want == "") || !strings.HasSuffix(got, want) {
					t.Errorf("the deployment is told %q, want %q", got, want)
				}
				if h.Get("Baggage") != "" || (h.Get("Tracestate") != "") != (tt.told != "") {
					t.Errorf("the deployment is told %q and %q", h.Get("Baggage"), h.Get("Tracestate"))
				}
			}, tt.edits...)
		})
	}
}

// TestContentIsToldByLength holds that spans tell of messages only where that is
// asked for, and then who speaks and how much, never a text.
func TestContentIsToldByLength(t *testing.T) {
	t.Parallel()
	const in = `[{"role":"system","parts":[{"type":"text","length":4}]},` +
		`{"role":"user","parts":[{"type":"text","length":3},{"type":"blob","length":49}]},` +
		`{"role":"assistant","parts":[{"type":"tool_call","length":7}]},{"role":"tool","parts":[{"type":"tool_call_response","length":5}]}]`
	body := `{"model":"gpt-4o","messages":[{"role":"system","content":"kurz"},` +
		`{"role":"user","content":[{"type":"text","text":"äöü"},{"type":"image_url","image_url":{"url":"data:,"}}]},` +
		`{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},` +
		`{"role":"tool","tool_call_id":"c","content":"sunny"}]}`
	const out = `[{"role":"assistant","parts":[{"type":"text","length":62}],"finish_reason":"stop"}]`
	capture := func(when string) []string {
		return []string{"resilience:", "telemetry: { capture_content: " + when + " }\nresilience:"}
	}
	none := [2]string{}
	tests := []struct {
		name  string
		body  string
		edits []string
		east  []azuresim.Step
		env   string
		want  [][2]string // of each attempt
	}{
		{name: "never", body: body, want: [][2]string{none}},
		{name: "never, whatever the environment says", body: body, edits: capture("never"), env: "true", want: [][2]string{none}},
		{name: "always", body: body, edits: capture("always"), east: []azuresim.Step{{Content: twelve}}, want: [][2]string{{in, out}}},
		{name: "as the environment says", body: body, env: "true", east: []azuresim.Step{{Content: twelve}}, want: [][2]string{{in, out}}},
		{name: "errors, and none", body: body, edits: capture("errors"), want: [][2]string{none}},
		{name: "errors, and one", body: body, edits: capture("errors"), east: steps("rate-limit 40ms"), want: [][2]string{{in, ""}, none}},
		{
			name: "a stream", body: say("hello", stream), edits: capture("always"), east: []azuresim.Step{{Content: twelve}},
			want: [][2]string{{`[{"role":"user","parts":[{"type":"text","length":5}]}]`, `[{"role":"assistant","parts":[{"type":"text","tokens":OUTPUT}],"finish_reason":"stop"}]`}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			kept := tracetest.NewInMemoryExporter()
			change := func(p *command.Parts) {
				p.Spans = kept
				p.Getenv = func(name string) string {
					return map[string]string{"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": tt.env}[name]
				}
			}
			bubbleOf(t, plain, change, func(w *world) {
				w.east.Script(tt.east...)
				w.chat(tt.body)
				output := strconv.FormatInt(w.record().Output, 10)
				var got [][2]string
				for _, s := range ended(kept)[1:] {
					out := strings.Replace(told(s)["gen_ai.output.messages"].AsString(), `"tokens":`+output, `"tokens":OUTPUT`, 1)
					got = append(got, [2]string{told(s)["gen_ai.input.messages"].AsString(), out})
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("told (-want +got):\n%s", diff)
				}
			}, tt.edits...)
		})
	}
}
