package openai_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"weir/openai"
)

// typed returns typed events, each with its name, as they stand on the wire.
func typed(data ...string) string {
	var b strings.Builder
	for _, d := range data {
		if _, rest, ok := strings.Cut(d, `"type":"`); ok {
			name, _, _ := strings.Cut(rest, `"`)
			b.WriteString("event: " + name + "\n")
		}
		b.WriteString("data: " + d + "\n\n")
	}
	return b.String()
}

// Events of a response's stream.
const (
	respCreated  = `{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","status":"in_progress","error":null,"model":"gpt-4o-2024-08-06","usage":null,"output":[]}}`
	respProgress = `{"type":"response.in_progress","sequence_number":1,"response":{"id":"resp_1","object":"response","status":"in_progress","error":null}}`
	respItem     = `{"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":{"id":"msg_1","type":"message","status":"in_progress","role":"assistant","content":[]}}`
	respPart     = `{"type":"response.content_part.added","sequence_number":3,"item_id":"msg_1","part":{"type":"output_text","text":""}}`
	respDelta    = `{"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_1","delta":"Za\u017c\u00f3\u0142\u0107","obfuscation":"xYz"}`
	respText     = `{"type":"response.output_text.done","sequence_number":5,"item_id":"msg_1","text":"Za\u017c\u00f3\u0142\u0107"}`
	respDone     = `{"type":"response.completed","sequence_number":6,"response":{"id":"resp_1","object":"response","status":"completed","error":null,"incomplete_details":null,"model":"gpt-4o-2024-08-06","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Za\u017c\u00f3\u0142\u0107"}]}],"usage":{"input_tokens":19,"input_tokens_details":{"cached_tokens":3},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":24}}}`
	respFailed   = `{"type":"response.failed","sequence_number":6,"response":{"id":"resp_1","object":"response","status":"failed","error":{"code":"server_error","message":"It broke."}}}`
)

// typedEnd is how a typed stream ended, and with what.
type typedEnd struct {
	Last      string // the flags of the last event
	Whole     bool
	Failure   string
	Committed string // the type of the event that Ahead stops at; "" none
}

func flags(e openai.Event) string {
	var set []string
	for _, f := range []struct {
		set  bool
		name string
	}{{e.Content, "content"}, {e.Finish, "finish"}, {e.Done, "done"}, {e.Err.Kind() != openai.Missing, "error"}} {
		if f.set {
			set = append(set, f.name)
		}
	}
	return strings.Join(set, " ")
}

func endOf(t *testing.T, op openai.Operation, src io.Reader) typedEnd {
	t.Helper()
	s := openai.NewStreamOf(op, src)
	<-s.Ahead()
	var end typedEnd
	if e, err := s.Commit(); err == nil {
		end.Committed = e.Root.Get("type").Text()
	}
	for {
		e, err := s.Next()
		if err != nil {
			_, cut := errors.AsType[*openai.CutError](err)
			end.Whole, end.Failure = errors.Is(err, io.EOF), string(s.Failure())
			if cut == end.Whole {
				t.Errorf("the end is %v", err)
			}
			return end
		}
		end.Last = flags(e)
	}
}

func TestEndsOfTypedStreams(t *testing.T) {
	t.Parallel()
	const image = `{"type":"image_generation.completed","b64_json":"x"}`
	event := func(kind string) string { return `{"type":"` + kind + `"}` }
	for _, tt := range []struct {
		name string
		op   openai.Operation
		src  string
		want typedEnd
	}{
		{"completed", openai.Responses, typed(respCreated, respProgress, respItem, respPart, respDelta, respText, respDone), typedEnd{"content finish done", true, "", "response.output_text.delta"}},
		{"completed, and [DONE]", openai.Responses, typed(respCreated, respDelta, respDone) + sse("[DONE]"), typedEnd{"done", true, "", "response.output_text.delta"}},
		{"completed at once", openai.Responses, typed(respCreated, respDone), typedEnd{"content finish done", true, "", "response.completed"}},
		{"incomplete", openai.Responses, typed(respCreated, respDelta, event("response.incomplete")), typedEnd{"content finish done", true, "", "response.output_text.delta"}},
		{"cancelled", openai.Responses, typed(respCreated, event("response.cancelled")), typedEnd{"content finish done", true, "", "response.cancelled"}},
		{"without names", openai.Responses, sse(respCreated, respDelta, respDone), typedEnd{"content finish done", true, "", "response.output_text.delta"}},
		{"with names alone", openai.Responses, "event: response.created\n" + sse(`{}`) + "event: response.completed\n" + sse(`{}`), typedEnd{"content finish done", true, "", ""}},
		{"cut behind text", openai.Responses, typed(respCreated, respDelta, respText), typedEnd{"content", false, "", "response.output_text.delta"}},
		{"cut behind an item", openai.Responses, typed(respCreated, respDelta, event("response.output_item.done")), typedEnd{"content", false, "", "response.output_text.delta"}},
		{"cut before any text", openai.Responses, typed(respCreated, respProgress, respItem, respPart), typedEnd{"", false, "", ""}},
		{"[DONE] before its end", openai.Responses, typed(respCreated, respDelta) + sse("[DONE]"), typedEnd{"content", false, "", "response.output_text.delta"}},
		{"a finish reason is none of its own", openai.Responses, typed(respDelta) + sse(chunkFinish), typedEnd{"content", false, "", "response.output_text.delta"}},

		{"failed before any text", openai.Responses, typed(respCreated, respProgress, respFailed), typedEnd{"finish done error", true, `{"error":{"message":"It broke.","type":"server_error","param":null,"code":"server_error"}}`, "response.failed"}},
		{"failed behind text", openai.Responses, typed(respCreated, respDelta, respFailed) + sse("[DONE]"), typedEnd{"done", true, `{"error":{"message":"It broke.","type":"server_error","param":null,"code":"server_error"}}`, "response.output_text.delta"}},
		{"failed for no reason", openai.Responses, typed(`{"type":"response.failed","response":{"error":null}}`), typedEnd{"finish done error", true, `{"error":{"message":"The upstream ended the stream with an error, and gave no reason.","type":"server_error","param":null,"code":null}}`, "response.failed"}},
		{"an error, flat", openai.Responses, typed(respCreated, `{"type":"error","code":"rate_limit_exceeded","message":"Wait.","param":null,"sequence_number":2}`), typedEnd{"error", true, `{"error":{"message":"Wait.","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}`, "error"}},
		{"an error, nested", openai.Responses, typed(respCreated, `{"type":"error","error":{"type":"server_error","code":null,"message":"m","param":null},"sequence_number":2}`), typedEnd{"error", true, `{"type":"error","error":{"type":"server_error","code":null,"message":"m","param":null},"sequence_number":2}`, "error"}},
		{"an error, nested, without its type", openai.Responses, typed(`{"type":"error","error":{"code":"invalid_prompt","message":"m"}}`), typedEnd{"error", true, `{"type":"error","error":{"type":"invalid_request_error","code":"invalid_prompt","message":"m"}}`, "error"}},
		{"an error that is a text", openai.Responses, typed(`{"type":"error","error":"m"}`), typedEnd{"error", true, `{"type":"error","error":"m"}`, "error"}},
		{"an error that is nothing but a text", openai.Responses, "event: error\n" + sse(`"m"`), typedEnd{"error", true, `{"error":{"message":"m","type":"server_error","param":null,"code":null}}`, ""}},
		{"an error as chat has it", openai.Responses, sse(`{"error":{"message":"m","type":"server_error"}}`), typedEnd{"error", true, `{"error":{"message":"m","type":"server_error"}}`, ""}},
		{"nothing", openai.Responses, "", typedEnd{}},

		{"an image", openai.Images, typed(event("image_generation.partial_image"), image), typedEnd{"content finish", true, "", "image_generation.partial_image"}},
		{"two images", openai.Images, typed(image, event("image_generation.partial_image"), image), typedEnd{"content finish", true, "", "image_generation.completed"}},
		{"an edited image", openai.Images, typed(event("image_edit.completed")) + sse("[DONE]"), typedEnd{"done", true, "", "image_edit.completed"}},
		{"an image that is cut", openai.Images, typed(event("image_generation.partial_image")), typedEnd{"content", false, "", "image_generation.partial_image"}},
		{"speech", openai.Speech, typed(event("speech.audio.delta"), event("speech.audio.done")), typedEnd{"content finish done", true, "", "speech.audio.delta"}},
		{"speech that is cut", openai.Speech, typed(event("speech.audio.delta")), typedEnd{"content", false, "", "speech.audio.delta"}},
		{"a transcript", openai.Speech, typed(`{"type":"transcript.text.delta","delta":"a"}`, event("transcript.text.done")), typedEnd{"content finish done", true, "", "transcript.text.delta"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for how, src := range choppings(tt.src) {
				if diff := cmp.Diff(tt.want, endOf(t, tt.op, src)); diff != "" {
					t.Errorf("read %s (-want +got):\n%s", how, diff)
				}
			}
		})
	}
}

// TestATypedEndOutlastsItsConnection takes for whole what broke off behind its
// last event, and for cut what broke off behind an image: another might have come.
func TestATypedEndOutlastsItsConnection(t *testing.T) {
	t.Parallel()
	for src, whole := range map[string]bool{
		typed(respCreated, respDone):                   true,
		typed(respCreated, respFailed):                 true,
		typed(`{"type":"image_generation.completed"}`): false,
	} {
		broken := io.MultiReader(strings.NewReader(src), iotest.ErrReader(errors.New("connection reset")))
		if got := endOf(t, openai.Responses, broken); got.Whole != whole {
			t.Errorf("%s is whole: %v, want %v", src, got.Whole, whole)
		}
	}
}

func TestContentOfTypedEvents(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		data string
		want bool
	}{
		{respCreated, false},
		{`{"type":"response.queued"}`, false},
		{respProgress, false},
		{respItem, false},
		{`{"type":"response.output_item.added","item":{"type":"reasoning","summary":[]}}`, false},
		{`{"type":"response.output_item.added","item":{"type":"function_call","name":"f"}}`, true},
		{`{"type":"response.output_item.added","item":{"type":"web_search_call"}}`, true},
		{respPart, false},
		{`{"type":"response.reasoning_summary_part.added"}`, false},
		{`{"type":"response.reasoning_summary_text.delta","delta":"a"}`, true},
		{`{"type":"response.output_text.delta","delta":""}`, false},
		{respDelta, true},
		{`{"type":"response.shell_call_output_content.delta","delta":{"stdout":"a"}}`, true},
		{`{"type":"response.output_item.done"}`, true},
		{`{"type":"response.mcp_list_tools.in_progress"}`, true},
		{`{"type":"keepalive"}`, false},
		{`{"type":"future.event"}`, true},
	} {
		e, err := openai.NewStreamOf(openai.Responses, strings.NewReader(typed(tt.data))).Next()
		if err != nil || e.Content != tt.want || e.Finish || e.Done {
			t.Errorf("%s is %q, %v, want content %v", tt.data, flags(e), err, tt.want)
		}
	}
}

// TestAheadOfALongRequest holds back the events that repeat a request of some
// hundred kilobytes, and not without end.
func TestAheadOfALongRequest(t *testing.T) {
	t.Parallel()
	long := func(kilobytes int) string {
		return strings.Replace(respCreated, `"output":[]`, `"instructions":"`+strings.Repeat("x", kilobytes<<10)+`"`, 1)
	}
	for kilobytes, want := range map[int]string{200: "response.output_text.delta", 1100: "response.created"} {
		s := openai.NewStreamOf(openai.Responses, strings.NewReader(typed(long(kilobytes), respDelta, respDone)))
		<-s.Ahead()
		if e, err := s.Commit(); err != nil || !e.Root.Get("type").Is(want) {
			t.Errorf("behind %d kB, Commit() = %.60s, %v, want %s", kilobytes, e.Data, err, want)
		}
	}
}

// TestFactsOfTypedAnswers reads what streams and whole answers say of themselves.
func TestFactsOfTypedAnswers(t *testing.T) {
	t.Parallel()
	used := openai.Usage{Prompt: 19, Completion: 5, Cached: 3, Reasoning: 2}
	const usage = `"usage":{"input_tokens":19,"input_tokens_details":{"cached_tokens":3},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":2}}`
	image := func(in, out int) string {
		return fmt.Sprintf(`{"type":"image_generation.completed","usage":{"input_tokens":%d,"output_tokens":%d}}`, in, out)
	}
	for _, tt := range []struct {
		name   string
		events string // a stream, or
		answer string
		want   openai.Facts
	}{
		{"a stream", typed(respCreated, respProgress, respDelta, respDone), "", openai.Facts{ID: "resp_1", Model: "gpt-4o-2024-08-06", FinishReason: "completed", Usage: used, HasUsage: true}},
		{"a stream that is not over", typed(respCreated, respDelta), "", openai.Facts{ID: "resp_1", Model: "gpt-4o-2024-08-06"}},
		{"a stream that failed", typed(respCreated, respFailed), "", openai.Facts{ID: "resp_1", Model: "gpt-4o-2024-08-06", FinishReason: "failed"}},
		{"an answer", "", `{"id":"resp_1","object":"response","model":"m","status":"completed",` + usage + `}`, openai.Facts{ID: "resp_1", Model: "m", FinishReason: "completed", Usage: used, HasUsage: true}},
		{"an answer that is queued", "", `{"id":"resp_1","object":"response","status":"queued","usage":null}`, openai.Facts{ID: "resp_1"}},
		{"an answer that is too long", "", `{"object":"response","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}`, openai.Facts{FinishReason: "max_output_tokens"}},
		{"an answer that is filtered", "", `{"object":"response","status":"incomplete","incomplete_details":{"reason":"content_filter"}}`, openai.Facts{FinishReason: "content_filter", Filtered: true}},
		{"an answer that Azure blocked", "", `{"object":"response","status":"completed","content_filters":[{"blocked":false},{"blocked":true}]}`, openai.Facts{FinishReason: "completed", Filtered: true}},
		{"an answer that failed in a filter", "", `{"object":"response","status":"failed","error":{"code":"content_filter"}}`, openai.Facts{FinishReason: "failed", Filtered: true}},
		{"a status of something else", "", `{"object":"batch","status":"completed","id":"b"}`, openai.Facts{ID: "b"}},
		{"a compacted conversation", "", `{"id":"c","object":"response.compaction",` + usage + `}`, openai.Facts{ID: "c", Usage: used, HasUsage: true}},
		{"embeddings", "", `{"object":"list","model":"m","data":[{"embedding":[1,-2e-3]}],"usage":{"prompt_tokens":8,"total_tokens":8}}`, openai.Facts{Model: "m", Usage: openai.Usage{Prompt: 8}, HasUsage: true}},
		{"images", "", `{"created":1,"data":[{"b64_json":"x"}],"usage":{"input_tokens":5,"output_tokens":100,"input_tokens_details":{"text_tokens":5}}}`, openai.Facts{Usage: openai.Usage{Prompt: 5, Completion: 100}, HasUsage: true}},
		{"images without usage", "", `{"created":1,"data":[{"url":"x"}]}`, openai.Facts{}},
		{"a stream of images", typed(image(5, 100), image(5, 120), image(6, 10)), "", openai.Facts{Usage: openai.Usage{Prompt: 6, Completion: 230}, HasUsage: true}},
		{"a transcript in tokens", "", `{"text":"a","usage":{"type":"tokens","input_tokens":14,"input_token_details":{"audio_tokens":14},"output_tokens":45,"total_tokens":59}}`, openai.Facts{Usage: openai.Usage{Prompt: 14, Completion: 45, Audio: openai.Part{Input: 14}}, HasUsage: true}},
		{"a transcript in seconds", "", `{"text":"a","usage":{"type":"duration","seconds":12.5}}`, openai.Facts{Usage: openai.Usage{Seconds: 12.5}, HasUsage: true}},
		{"a transcript in nothing", "", `{"text":"a","usage":{"type":"duration"}}`, openai.Facts{}},
		{"a streamed transcript", typed(`{"type":"transcript.text.delta","delta":"a"}`, `{"type":"transcript.text.done","text":"a","usage":{"type":"tokens","input_tokens":14,"output_tokens":45}}`), "", openai.Facts{Usage: openai.Usage{Prompt: 14, Completion: 45}, HasUsage: true}},
		{"speech", typed(`{"type":"speech.audio.delta","audio":"x"}`, `{"type":"speech.audio.done","usage":{"input_tokens":14,"output_tokens":45,"total_tokens":59}}`), "", openai.Facts{Usage: openai.Usage{Prompt: 14, Completion: 45}, HasUsage: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := openai.ReadAnswer([]byte(tt.answer))
			if tt.events != "" {
				s := openai.NewStreamOf(openai.Responses, strings.NewReader(tt.events))
				for err = nil; err == nil; {
					_, err = s.Next()
				}
				got, err = s.Facts, nil
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
		})
	}
}

// TestGeneratedOfResponses finds in a stream what it finds in the whole answer, and
// nothing that is data, that repeats, or that a tool or a user has said.
func TestGeneratedOfResponses(t *testing.T) {
	t.Parallel()
	texts := func(data ...string) string {
		var all strings.Builder
		for _, d := range data {
			root, err := openai.ReadValue([]byte(d))
			if err != nil {
				t.Fatalf("%s: %v", d, err)
			}
			openai.Generated(root, func(choice int64, text openai.Value) {
				fmt.Fprintf(&all, "%d%s ", choice, text.Text())
			})
		}
		return all.String()
	}
	stream := []string{
		respCreated,
		`{"type":"response.output_item.added","item":{"type":"reasoning","summary":[]}}`,
		`{"type":"response.reasoning_summary_text.delta","delta":"s"}`, `{"type":"response.reasoning_summary_text.done","text":"s"}`,
		`{"type":"response.reasoning_text.delta","delta":"r"}`,
		`{"type":"response.output_item.done","item":{"type":"reasoning","encrypted_content":"gAAA","summary":[{"type":"summary_text","text":"s"}]}}`,
		respItem, respPart, respDelta, respText, `{"type":"response.refusal.delta","delta":"no"}`,
		`{"type":"response.output_text.annotation.added","annotation":{"title":"t"}}`,
		`{"type":"response.output_item.added","item":{"type":"function_call","name":"f","arguments":""}}`,
		`{"type":"response.function_call_arguments.delta","delta":"{}"}`, `{"type":"response.function_call_arguments.done","name":"f","arguments":"{}"}`,
		`{"type":"response.output_item.added","item":{"type":"custom_tool_call","name":"g"}}`,
		`{"type":"response.custom_tool_call_input.delta","delta":"in"}`,
		`{"type":"response.code_interpreter_call_code.delta","delta":"1+1"}`,
		`{"type":"response.shell_call_output_content.delta","delta":{"stdout":"x"}}`,
		`{"type":"response.audio.delta","delta":"base64"}`, `{"type":"response.output_audio.delta","delta":"base64"}`,
		`{"type":"response.audio.transcript.delta","delta":"said"}`,
		`{"type":"response.image_generation_call.partial_image","partial_image_b64":"base64"}`,
		respDone,
	}
	const whole = `{"id":"resp_1","object":"response","output":[
		{"type":"reasoning","encrypted_content":"gAAA","summary":[{"type":"summary_text","text":"s"}],"content":[{"type":"reasoning_text","text":"r"}]},
		{"type":"message","role":"assistant","id":"i","content":[{"type":"output_text","text":"Zażółć","annotations":[{"title":"t"}]},{"type":"refusal","refusal":"no"}]},
		{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},
		{"type":"custom_tool_call","name":"g","input":"in"},
		{"type":"code_interpreter_call","code":"1+1","outputs":[{"type":"logs","logs":"2"}]},
		{"type":"message","role":"assistant","content":[{"type":"output_audio","transcript":"said","data":"base64"}]},
		{"type":"image_generation_call","result":"base64"},
		{"type":"message","role":"user","content":[{"type":"input_text","text":"mine"}]}]}`
	const want = "0s 0r 0Zażółć 0no 0f 0{} 0g 0in 01+1 0said "
	if diff := cmp.Diff(want, texts(stream...)); diff != "" {
		t.Errorf("of the stream (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, texts(whole)); diff != "" {
		t.Errorf("of the answer (-want +got):\n%s", diff)
	}
	if got := texts(`{"choices":[{"index":1,"text":"a"}]}`); got != "1a " {
		t.Errorf("of a completion: %q", got)
	}
}
