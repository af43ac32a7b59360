package openai_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"weir/openai"
	"weir/policy"
)

// relayed returns what a client of that profile is shown of the stream that answers
// the profile's operation, with its end.
func relayed(p openai.Profile, src string) string {
	s := openai.NewStreamOf(p.Operation, strings.NewReader(src))
	w := openai.NewRewriter(p)
	var out []byte
	for done := false; ; {
		e, err := s.Next()
		if errors.Is(err, io.EOF) {
			if !done && s.Failure() == nil {
				out = w.AppendEnd(out)
			}
			return string(out)
		}
		if err != nil {
			return string(w.AppendError(out, broke()))
		}
		out = w.Append(out, e)
		done = done || e.Done
	}
}

func broke() *openai.Error {
	return &openai.Error{Status: 502, Type: "server_error", Code: openai.CodeInterrupted, Message: "It broke."}
}

const brokeInner = `{"message":"It broke. (docs/errors.md#upstream_stream_interrupted)","type":"server_error","param":null,"code":"upstream_stream_interrupted"}`

// profiles are all of an operation.
func profiles(op openai.Operation) []openai.Profile {
	return []openai.Profile{
		{Operation: op}, {Operation: op, HideUsage: true}, {Operation: op, OpenAI: true}, {Operation: op, OpenAI: true, HideUsage: true},
	}
}

// TestRewriterOfTypedEvents relays them in every profile alike: conformance cases
// 51 and 52.
func TestRewriterOfTypedEvents(t *testing.T) {
	t.Parallel()
	whole := typed(respCreated, respProgress, respItem, respPart, respDelta, respText, respDone)
	broken := `,"code":"upstream_stream_interrupted","message":"It broke. (docs/errors.md#upstream_stream_interrupted)","param":null`
	for _, tt := range []struct {
		name      string
		op        openai.Operation
		src, want string
	}{
		{"a response", openai.Responses, whole, whole},
		{"with [DONE]", openai.Responses, whole + "data: [DONE] \n\n", whole + sse("[DONE]")},
		{"without names", openai.Responses, sse(respCreated, respDone), sse(respCreated, respDone)},
		{"comments, id and retry lines", openai.Responses, ": a\n\nid: 7\n" + typed(respCreated) + "retry: 1\n\n" + typed(respDone), ": keep-alive\n\n" + typed(respCreated, respDone)},
		{"data on many lines", openai.Responses, "event: response.completed\r\ndata: {\"type\":\"response.completed\",\r\ndata: \"a\":null}\r\n\r\n", "event: response.completed\ndata: {\"type\":\"response.completed\", \"a\":null}\n\n"},
		{"a response that failed", openai.Responses, typed(respCreated, respDelta, respFailed), typed(respCreated, respDelta, respFailed)},
		{"a choice without a delta, and usage", openai.Responses, typed(`{"type":"x","choices":[{}],"usage":null,"error":null}`, respDone), typed(`{"type":"x","choices":[{}],"usage":null}`, respDone)},

		{
			"a flat error", openai.Responses, typed(respCreated, `{"type":"error","code":"server_error","message":"m","param":"p","sequence_number":9}`),
			typed(respCreated, `{"type":"error","error":{"message":"m","type":"server_error","param":"p","code":"server_error"},"code":"server_error","message":"m","param":"p","sequence_number":9}`),
		},
		{
			"a nested error", openai.Responses, typed(respCreated, `{"type":"error","error":{"message":"m","type":"t","param":null,"code":null,"status":400}}`),
			typed(respCreated, `{"type":"error","error":{"message":"m","type":"t","param":null,"code":null,"status":400},"code":null,"message":"m","param":null,"sequence_number":1}`),
		},
		{
			"a nested error that lacks members", openai.Responses, sse(`{"error":{"code":"invalid_prompt"}}`),
			typed(`{"type":"error","error":{"message":"The upstream sent no message.","param":null,"type":"invalid_request_error","code":"invalid_prompt"},"code":"invalid_prompt","message":"The upstream sent no message.","param":null,"sequence_number":0}`),
		},
		{
			"an error that is a text", openai.Responses, "event: error\n" + sse(`{"error":"m"}`),
			typed(`{"type":"error","error":{"message":"m","type":"server_error","param":null,"code":"internal_server_error"},"code":"internal_server_error","message":"m","param":null,"sequence_number":0}`),
		},

		{"a response that is cut", openai.Responses, typed(respCreated, respDelta), typed(respCreated, respDelta, `{"type":"error","error":`+brokeInner+broken+`,"sequence_number":5}`)},
		{"a response that is cut at once", openai.Responses, "", typed(`{"type":"error","error":` + brokeInner + broken + `,"sequence_number":0}`)},
		{
			"numbers that make no sense", openai.Responses, typed(`{"type":"a","sequence_number":9223372036854775807}`, `{"type":"b","sequence_number":-3}`, `{"type":"c","sequence_number":"4"}`),
			typed(`{"type":"a","sequence_number":9223372036854775807}`, `{"type":"b","sequence_number":-3}`, `{"type":"c","sequence_number":"4"}`, `{"type":"error","error":`+brokeInner+broken+`,"sequence_number":2}`),
		},

		{
			"images", openai.Images, typed(`{"type":"image_generation.partial_image"}`, `{"type":"image_generation.completed"}`, `{"type":"image_generation.completed"}`),
			typed(`{"type":"image_generation.partial_image"}`, `{"type":"image_generation.completed"}`, `{"type":"image_generation.completed"}`),
		},
		{"images that are cut", openai.Images, typed(`{"type":"image_generation.partial_image"}`), typed(`{"type":"image_generation.partial_image"}`, `{"type":"error","error":`+brokeInner+broken+`}`)},
		{"images with numbers that are cut", openai.Images, typed(`{"type":"image_generation.partial_image","sequence_number":3}`), typed(`{"type":"image_generation.partial_image","sequence_number":3}`, `{"type":"error","error":`+brokeInner+broken+`,"sequence_number":4}`)},
		{"an error of images", openai.Images, typed(`{"type":"error","error":{"message":"m","type":"t","param":null,"code":"c"}}`), typed(`{"type":"error","error":{"message":"m","type":"t","param":null,"code":"c"},"code":"c","message":"m","param":null}`)},
		{"speech", openai.Speech, typed(`{"type":"speech.audio.done"}`), typed(`{"type":"speech.audio.done"}`)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, p := range profiles(tt.op) {
				if diff := cmp.Diff(strings.Split(tt.want, "\n"), strings.Split(relayed(p, tt.src), "\n")); diff != "" {
					t.Errorf("%+v (-want +got):\n%s", p, diff)
				}
			}
		})
	}
}

// TestRewriterOfCompletions shows chunks with texts, which have no deltas.
func TestRewriterOfCompletions(t *testing.T) {
	t.Parallel()
	const (
		prompt   = `{"id":"","object":"","created":0,"model":"","choices":[],"prompt_filter_results":[1]}`
		text     = `{"id":"cmpl-1","object":"text_completion","created":7,"model":"m","choices":[{"text":"a","index":0,"finish_reason":null}],"usage":null}`
		emptyID  = `{"id":"","object":"","created":0,"model":"","choices":[{"text":"","index":0,"finish_reason":null}]}`
		filtered = `{"id":"","object":"","created":0,"model":"","choices":[{"index":0,"finish_reason":null,"content_filter_results":{}}]}`
		finish   = `{"id":"cmpl-1","choices":[{"index":0,"finish_reason":"content_filter"}]}`
		usage    = `{"id":"cmpl-1","object":"text_completion","created":7,"model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}`
	)
	src := sse(prompt, text, emptyID, filtered, finish, usage)
	if got, want := relayed(openai.Profile{Operation: openai.Completions}, src), src+sse("[DONE]"); got != want {
		t.Errorf("a client of Azure is shown\n%s\nwant\n%s", got, want)
	}
	want := sse(
		`{"prompt_filter_results":[1],`+without(text)[1:],
		`{"id":"cmpl-1","object":"text_completion","created":7,"model":"m","choices":[{"text":"","index":0,"finish_reason":null}]}`,
		`{"id":"cmpl-1","choices":[{"text":"","index":0,"finish_reason":"content_filter"}]}`, "[DONE]")
	got := relayed(openai.Profile{Operation: openai.Completions, OpenAI: true, HideUsage: true}, src)
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("a client of OpenAI (-want +got):\n%s", diff)
	}
	s := openai.NewStreamOf(openai.Completions, strings.NewReader(src))
	for range 5 {
		if _, err := s.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if s.Produced() != 2 || s.FinishReason != "content_filter" || !s.Filtered {
		t.Errorf("produced %d, %+v", s.Produced(), s.Facts)
	}
}

// TestRewriterEndsAStreamOfChunks as package functions do.
func TestRewriterEndsAStreamOfChunks(t *testing.T) {
	t.Parallel()
	for _, op := range []openai.Operation{openai.Chat, openai.Completions} {
		w := openai.NewRewriter(openai.Profile{Operation: op})
		if got := string(w.AppendEnd([]byte("x"))); got != "x"+sse("[DONE]") {
			t.Errorf("AppendEnd = %s", got)
		}
		if got := string(w.AppendError([]byte("x"), broke())); got != "x"+sse(`{"error":`+brokeInner+`}`) {
			t.Errorf("AppendError = %s", got)
		}
	}
}

// TestRewriterOfEditedEvents relays what a caller has made of an event's data, and
// is not misled by it where the event is an error.
func TestRewriterOfEditedEvents(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		respDelta: "event: response.output_text.delta\ndata: {}\n\n",
		`{"type":"error","sequence_number":1,"error":{"message":"m","code":"invalid_prompt","param":null}}`: typed(
			`{"type":"error","error":{"type":"invalid_request_error","message":"m","code":"invalid_prompt","param":null},"code":"invalid_prompt","message":"m","param":null,"sequence_number":1}`),
	} {
		e, err := openai.NewStreamOf(openai.Responses, strings.NewReader(typed(data))).Next()
		if err != nil {
			t.Fatal(err)
		}
		e.Data = []byte(`{}`)
		w := openai.NewRewriter(openai.Profile{Operation: openai.Responses})
		if got := string(w.Append(nil, e)); got != want {
			t.Errorf("%s is shown as %q, want %q", data, got, want)
		}
	}
}

// TestFailureIsReadAsAnAnswer has the error events of typed streams mean what the
// same errors mean as answers.
func TestFailureIsReadAsAnAnswer(t *testing.T) {
	t.Parallel()
	const unicode = "Failed to create completion as the model generated invalid Unicode output."
	for _, tt := range []struct {
		code, message string
		want          policy.Class
		status        int
	}{
		{"server_error", "m", policy.Fault, 500},
		{"server_error", unicode, policy.BadOutput, 500},
		{"invalid_model_output", "m", policy.BadOutput, 500},
		{"rate_limit_exceeded", "m", policy.Throttled, 429},
		{"insufficient_quota", "m", policy.Exhausted, 429},
		{"vector_store_timeout", "m", policy.Fault, 500},
		{"invalid_prompt", "m", policy.Refused, 400},
		{"context_length_exceeded", "m", policy.Refused, 400},
		{"content_filter", "m", policy.Refused, 400},
		{"bio_policy", "m", policy.Refused, 400},
		{"misalignment_policy_violation", "m", policy.Refused, 400},
		{"data_residency_mismatch", "m", policy.Refused, 400},
		{"image_too_large", "m", policy.Refused, 400},
		{"invalid_image_url", "m", policy.Refused, 400},
		{"failed_to_download_image", "m", policy.Refused, 400},
		{"a_code_of_the_future", "m", policy.Fault, 500},
	} {
		inner := `{"code":"` + tt.code + `","message":"` + tt.message + `"}`
		for _, event := range []string{
			`{"type":"response.failed","response":{"status":"failed","error":` + inner + `}}`,
			`{"type":"error","error":` + inner + `}`,
			`{"type":"error",` + inner[1:],
		} {
			s := openai.NewStreamOf(openai.Responses, strings.NewReader(typed(respCreated, event)))
			<-s.Ahead()
			got := policy.Read(policy.Reply{Header: func(string) string { return "" }, Body: s.Failure()})
			if got.Class != tt.want || got.Status != tt.status {
				t.Errorf("%s is %+v, want class %d, status %d", event, got, tt.want, tt.status)
			}
		}
	}
}

// FuzzTypedStream chops any bytes in several ways, and relays them: events, facts
// and the end must be the same, and what is relayed must mean what came.
func FuzzTypedStream(f *testing.F) {
	for i, s := range []string{
		typed(respCreated, respProgress, respItem, respPart, respDelta, respText, respDone) + sse("[DONE]"),
		typed(respCreated, respDelta, respFailed), typed(respCreated) + "event: error\n" + sse(`{"code":5,"message":[]}`), sse("[DONE]", respDone),
		typed(`{"type":"image_generation.completed","usage":{"input_tokens":1}}`, `{"type":"image_generation.completed","usage":{"input_tokens":1}}`),
		": a\n\nid: 1\nevent: response.completed\ndata: {\ndata: }\n\n", typed(`{"type":"error","error":{"a":1}}`, `{"type":"error","error":"x"}`, `{"type":"error"}`),
	} {
		f.Add([]byte(s), uint64(i))
	}
	f.Fuzz(func(t *testing.T, src []byte, seed uint64) {
		events, facts, end := readTyped(bytes.NewReader(src))
		for _, r := range []io.Reader{iotest.OneByteReader(bytes.NewReader(src)), &chopper{src: src, rand: rand.New(rand.NewPCG(seed, 3))}} {
			e, f, n := readTyped(r)
			if diff := cmp.Diff(events, e); diff != "" || f != facts || n.Error() != end.Error() {
				t.Fatalf("%q: %+v %v, chopped %+v %v (-whole +chopped):\n%s", src, facts, end, f, n, diff)
			}
		}
		w := openai.NewRewriter(openai.Profile{Operation: openai.Responses, OpenAI: true})
		var out []byte
		s := openai.NewStreamOf(openai.Responses, bytes.NewReader(src))
		for {
			e, err := s.Next()
			if err != nil {
				break
			}
			out = w.Append(out, e)
		}
		shown, known, _ := readTyped(bytes.NewReader(out))
		if len(shown) != len(events) || known.Usage != facts.Usage || known.FinishReason != facts.FinishReason {
			t.Fatalf("%q is shown as %q: %+v, want %+v", src, out, known, facts)
		}
		for i := range shown {
			if shown[i].Content != events[i].Content || shown[i].Done != events[i].Done || (shown[i].Err == "") != (events[i].Err == "") {
				t.Fatalf("event %d of %q is %+v, shown as %+v", i, src, events[i], shown[i])
			}
		}
	})
}

// readTyped is readAll of a typed stream.
func readTyped(src io.Reader) ([]seen, openai.Facts, error) {
	s := openai.NewStreamOf(openai.Responses, src)
	events := []seen{}
	for {
		e, err := s.Next()
		if err != nil {
			return events, s.Facts, err
		}
		events = append(events, seen{e.Name, string(e.Data), e.Comment, e.Done, e.Content, e.Finish, string(e.Err.Raw())})
	}
}
