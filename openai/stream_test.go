package openai_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"weir/openai"
)

// Chunks of a stream as Azure sends them.
const (
	chunkPrompt  = `{"id":"","object":"","created":0,"model":"","choices":[],"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}],"usage":null}`
	chunkRole    = `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}],"usage":null}`
	chunkContent = `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{"content":"Zażółć 🐢"},"finish_reason":null}],"usage":null}`
	chunkAsync   = `{"id":"","object":"","created":0,"model":"","choices":[{"index":0,"finish_reason":null,"content_filter_results":{},"content_filter_offsets":{"check_offset":44,"start_offset":44,"end_offset":198}}],"usage":null}`
	chunkFinish  = `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}`
	chunkUsage   = `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"gpt-4o-2024-08-06","choices":[],"usage":{"prompt_tokens":19,"completion_tokens":5,"total_tokens":24,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":2}}}`
)

// seen is what a test sees of an event.
type seen struct {
	Name, Data                     string
	Comment, Done, Content, Finish bool
	Err                            string
}

// readAll returns a stream's events, its facts, and how it ended.
func readAll(src io.Reader) ([]seen, openai.Facts, error) {
	s := openai.NewStream(src)
	events := []seen{}
	for {
		e, err := s.Next()
		if err != nil {
			if _, again := s.Next(); !errors.Is(again, err) && again.Error() != err.Error() {
				err = fmt.Errorf("the end is not the end: %w, then %w", err, again)
			}
			return events, s.Facts, err
		}
		events = append(events, seen{e.Name, string(e.Data), e.Comment, e.Done, e.Content, e.Finish, string(e.Err.Raw())})
	}
}

// sse returns events of those data, as they stand on the wire.
func sse(data ...string) string {
	var b strings.Builder
	for _, d := range data {
		b.WriteString("data: " + d + "\n\n")
	}
	return b.String()
}

// choppings returns readers of src that chop it in ways that differ.
func choppings(src string) map[string]io.Reader {
	m := map[string]io.Reader{
		"whole":                       strings.NewReader(src),
		"byte by byte":                iotest.OneByteReader(strings.NewReader(src)),
		"by halves":                   iotest.HalfReader(strings.NewReader(src)),
		"with the error beside bytes": iotest.DataErrReader(strings.NewReader(src)),
	}
	for seed := range uint64(4) {
		m[fmt.Sprintf("at random, seed %d", seed)] = &chopper{src: []byte(src), rand: rand.New(rand.NewPCG(seed, 1))}
	}
	return m
}

// chopper reads one to nine bytes at a time, and now and then none.
type chopper struct {
	src  []byte
	rand *rand.Rand
}

func (c *chopper) Read(p []byte) (int, error) {
	if len(c.src) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.rand.IntN(10))], c.src)
	c.src = c.src[n:]
	return n, nil
}

func TestStream(t *testing.T) {
	t.Parallel()
	role := seen{Data: chunkRole}
	content := seen{Data: chunkContent, Content: true}
	finish := seen{Data: chunkFinish, Content: true, Finish: true}
	done := seen{Data: "[DONE]", Done: true}
	cut := &openai.CutError{Err: io.ErrUnexpectedEOF}
	for _, tt := range []struct {
		name, src string
		want      []seen
		end       error
	}{
		{"plain", sse(chunkRole, chunkContent, chunkFinish, "[DONE]"), []seen{role, content, finish, done}, io.EOF},
		{"no space behind data:", strings.ReplaceAll(sse(chunkContent, chunkFinish, "[DONE]"), "data: ", "data:"), []seen{content, finish, done}, io.EOF},
		{"CRLF", strings.ReplaceAll(sse(chunkContent, chunkFinish, "[DONE]"), "\n", "\r\n"), []seen{content, finish, done}, io.EOF},
		{"CR", strings.ReplaceAll(sse(chunkContent, chunkFinish, "[DONE]"), "\n", "\r"), []seen{content, finish, done}, io.EOF},
		{"line ends mixed", "data: " + chunkContent + "\r\n\n" + "data: " + chunkFinish + "\n\r\n" + "data: [DONE]\r\r\n", []seen{content, finish, done}, io.EOF},
		{"empty lines between", "\n\n\r\n" + sse(chunkContent) + "\n\n\n" + sse("[DONE]") + "\r\n\r\n", []seen{content, done}, io.EOF},
		{"id and retry lines", "id: 1\n" + sse(chunkContent) + "retry: 1000\n\nid: 2\nretry: 5\n" + sse(chunkFinish) + "id: 3\n\n" + sse("[DONE]"), []seen{content, finish, done}, io.EOF},
		{"a line that is no field", "data\nfoo\nfoo: bar\n" + sse(chunkContent, "[DONE]"), []seen{{Data: "\n" + chunkContent, Content: true}, done}, io.EOF},
		{"comments", ": a\n\n" + sse(chunkContent) + ":\n\n:b\n:c\n\n" + sse("[DONE]"), []seen{{Comment: true}, content, {Comment: true}, {Comment: true}, done}, io.EOF},
		{"a comment inside an event", ": a\n" + sse(chunkContent, "[DONE]"), []seen{content, done}, io.EOF},
		{"an id and then a comment", "id: 1\n\n: ping\n\n" + sse(chunkContent, "[DONE]"), []seen{{Comment: true}, content, done}, io.EOF},
		{"data on many lines", "data: {\"choices\":\ndata:[{\"delta\":\ndata: {\"content\":\"x\"}}]}\n\n" + sse("[DONE]"), []seen{{Data: "{\"choices\":\n[{\"delta\":\n{\"content\":\"x\"}}]}", Content: true}, done}, io.EOF},
		{"empty data lines", "data:\n\n" + "data: \n\n" + "data\n\n" + sse(chunkContent, "[DONE]"), []seen{content, done}, io.EOF},
		{"an event's name", "event: message\n" + sse(chunkContent, "[DONE]"), []seen{{Name: "message", Data: chunkContent, Content: true}, done}, io.EOF},
		{"no empty line behind the last", strings.TrimSuffix(sse(chunkContent, chunkFinish, "[DONE]"), "\n"), []seen{content, finish, done}, io.EOF},
		{"no line end behind the last", strings.TrimSuffix(sse(chunkContent, chunkFinish, "[DONE]"), "\n\n"), []seen{content, finish, done}, io.EOF},
		{"[DONE] with a space behind", sse(chunkContent, "[DONE] "), []seen{content, {Data: "[DONE] ", Done: true}}, io.EOF},
		{"[DONE] alone", sse("[DONE]"), []seen{done}, io.EOF},
		{"something behind [DONE]", sse("[DONE]") + "data: x\n\n", []seen{done}, io.EOF},

		{"an error first", sse(`{"error":{"message":"m"}}`), []seen{{Data: `{"error":{"message":"m"}}`, Err: `{"message":"m"}`}}, io.EOF},
		{"an error behind content", sse(chunkContent, `{"id":"x","error":{"code":"c"}}`), []seen{content, {Data: `{"id":"x","error":{"code":"c"}}`, Err: `{"code":"c"}`}}, io.EOF},
		{"an error and [DONE]", sse(`{"error":{}}`, "[DONE]"), []seen{{Data: `{"error":{}}`, Err: `{}`}, done}, io.EOF},
		{"an error that is a string", sse(`{"error":"broken"}`), []seen{{Data: `{"error":"broken"}`, Err: `"broken"`}}, io.EOF},
		{"event: error", "event: error\n" + sse(`{"error":{"message":"m"}}`), []seen{{Name: "error", Data: `{"error":{"message":"m"}}`, Err: `{"message":"m"}`}}, io.EOF},
		{"event: error, flat", "event: error\n" + sse(`{"message":"m"}`), []seen{{Name: "error", Data: `{"message":"m"}`, Err: `{"message":"m"}`}}, io.EOF},
		{"error null", sse(`{"error":null,"choices":[]}`, "[DONE]"), []seen{{Data: `{"error":null,"choices":[]}`}, done}, io.EOF},

		{"nothing", "", []seen{}, cut},
		{"line ends alone", "\n\r\n\n", []seen{}, cut},
		{"a clean end behind a finish reason", sse(chunkContent, chunkFinish), []seen{content, finish}, io.EOF},
		{"a clean end behind usage", sse(chunkFinish, chunkUsage), []seen{finish, {Data: chunkUsage}}, io.EOF},
		{"a clean end without a finish reason", sse(chunkRole, chunkContent), []seen{role, content}, cut},
		{"a finish reason that is empty is none", sse(`{"choices":[{"delta":{"role":"assistant"},"finish_reason":""}]}`), []seen{{Data: `{"choices":[{"delta":{"role":"assistant"},"finish_reason":""}]}`}}, cut},
		{"a comment at the end", sse(chunkContent) + ": ping", []seen{content, {Comment: true}}, cut},
		{"a name without data", sse(chunkFinish) + "event: x\n\n", []seen{finish}, io.EOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for how, src := range choppings(tt.src) {
				got, _, end := readAll(src)
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("events, read %s (-want +got):\n%s", how, diff)
				}
				if end.Error() != tt.end.Error() || !errors.Is(end, errors.Unwrap(tt.end)) && !errors.Is(end, tt.end) {
					t.Errorf("the end, read %s, is %v, want %v", how, end, tt.end)
				}
			}
		})
	}
}

// TestCutStreamIsNotWhole cuts a stream short at each of its bytes, once by a
// clean end and once by an error: only a stream that has said that it is over
// may end in io.EOF, and every event must be one of the whole stream's.
func TestCutStreamIsNotWhole(t *testing.T) {
	t.Parallel()
	whole := sse(chunkPrompt, chunkRole, chunkContent, chunkFinish, chunkUsage, "[DONE]")
	all, _, _ := readAll(strings.NewReader(whole))
	finished := strings.Index(whole, chunkFinish) + len(chunkFinish)
	usage := strings.Index(whole, chunkUsage)
	done := strings.Index(whole, "[DONE]") + len("[DONE]")
	broken := errors.New("connection reset")
	for i := range len(whole) {
		events, _, end := readAll(strings.NewReader(whole[:i]))
		if diff := cmp.Diff(all[:len(events)], events); diff != "" {
			t.Fatalf("events of %d bytes (-want +got):\n%s", i, diff)
		}
		if _, isCut := errors.AsType[*openai.CutError](end); !isCut && i < finished {
			t.Errorf("the end after %d bytes, before any finish reason, is %v", i, end)
		} else if isCut && i >= done {
			t.Errorf("the end after %d bytes, behind [DONE], is %v", i, end)
		} else if !isCut && i > usage+len("{") && i < usage+len(chunkUsage) {
			t.Errorf("the end after %d bytes, inside of an event, is %v", i, end)
		}

		src := io.MultiReader(strings.NewReader(whole[:i]), iotest.ErrReader(broken))
		events, _, end = readAll(src)
		if diff := cmp.Diff(all[:len(events)], events); diff != "" {
			t.Fatalf("events of %d bytes and an error (-want +got):\n%s", i, diff)
		}
		if over := len(events) == len(all); over != errors.Is(end, io.EOF) || over == errors.Is(end, broken) {
			t.Errorf("the end after %d bytes and an error is %v", i, end)
		}
	}
}

func TestStreamRefusesWhatIsNotJSON(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"hello", `{"a":1`, `{"a":1}{}`, "[DONE]x", "<html>"} {
		events, _, end := readAll(strings.NewReader(sse(chunkContent, data, chunkFinish, "[DONE]")))
		if len(events) != 1 {
			t.Errorf("%q: %d events, want the one before it", data, len(events))
		}
		_, isCut := errors.AsType[*openai.CutError](end)
		_, isSyntax := errors.AsType[*openai.SyntaxError](end)
		if !isCut || !isSyntax || errors.Is(end, io.EOF) {
			t.Errorf("%q: the end is %v, want a *CutError that wraps a *SyntaxError", data, end)
		}
	}
}

func TestStreamTakesLargeEvents(t *testing.T) {
	t.Parallel()
	chunk := func(n int) string {
		return `{"choices":[{"index":0,"delta":{"content":"` + strings.Repeat("x", n) + `"}}]}`
	}
	most := openai.Chat.Largest()
	for _, n := range []int{1 << 20, most - 100} {
		src := sse(chunkRole, chunk(n), chunkFinish, "[DONE]")
		for how, r := range map[string]io.Reader{"whole": strings.NewReader(src), "by halves": iotest.HalfReader(strings.NewReader(src))} {
			events, _, end := readAll(r)
			if len(events) != 4 || events[1].Data != chunk(n) || !errors.Is(end, io.EOF) {
				t.Errorf("%d bytes, read %s: %d events, end %v", n, how, len(events), end)
			}
		}
	}
	for _, src := range []string{sse(chunkRole, chunk(most)), sse(chunkRole) + "data: " + strings.Repeat("x", most), sse(chunkRole) + strings.Repeat(": ping pong\n", most/10)} {
		events, _, end := readAll(strings.NewReader(src))
		_, isCut := errors.AsType[*openai.CutError](end)
		if want := fmt.Sprintf("openai: the stream was cut: an event is larger than %d bytes", most); len(events) != 1 || !isCut || end.Error() != want {
			t.Errorf("%d bytes: %d events, end %v, want 1, %s", len(src), len(events), end, want)
		}
	}
}

// TestResponsesMayHoldImages: the last event of a response repeats all of it, and so the
// images that its tools have made.
func TestResponsesMayHoldImages(t *testing.T) {
	t.Parallel()
	whole := `{"type":"response.completed","response":{"output":[{"type":"image_generation_call","result":"` + strings.Repeat("A", 20<<20) +
		`"}],"usage":{"input_tokens":7,"output_tokens":9}}}`
	s := openai.NewStreamOf(openai.Responses, strings.NewReader("event: response.completed\ndata: "+whole+"\n\n"))
	e, err := s.Next()
	if _, end := s.Next(); err != nil || string(e.Data) != whole || !errors.Is(end, io.EOF) || s.Usage.Prompt != 7 || s.Usage.Completion != 9 {
		t.Errorf("%d bytes, %v, then %v; usage %+v", len(e.Data), err, end, s.Usage)
	}
}

func TestStreamFacts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		data []string
		want openai.Facts
	}{
		{"whole", []string{chunkPrompt, chunkRole, chunkContent, chunkAsync, chunkFinish, chunkUsage, "[DONE]"}, openai.Facts{
			ID: "chatcmpl-1", Model: "gpt-4o-2024-08-06", FinishReason: "stop",
			Usage: openai.Usage{Prompt: 19, Completion: 5, Cached: 3, Reasoning: 2}, HasUsage: true,
		}},
		{"without usage", []string{chunkRole, chunkFinish}, openai.Facts{ID: "chatcmpl-1", Model: "gpt-4o-2024-08-06", FinishReason: "stop"}},
		{"filtered", []string{`{"id":"a","choices":[{"finish_reason":"content_filter"}]}`}, openai.Facts{ID: "a", FinishReason: "content_filter", Filtered: true}},
		{"one of two filtered", []string{`{"choices":[{"index":0,"finish_reason":"content_filter"}]}`, `{"choices":[{"index":1,"finish_reason":"length"}]}`}, openai.Facts{FinishReason: "length", Filtered: true}},
		{"the last usage", []string{`{"usage":{"prompt_tokens":1,"completion_tokens":1}}`, `{"usage":{"prompt_tokens":1,"completion_tokens":2}}`}, openai.Facts{Usage: openai.Usage{Prompt: 1, Completion: 2}, HasUsage: true}},
		{"usage that is none", []string{`{"usage":{}}`, `{"usage":[]}`, `{"usage":"x"}`, `{"usage":{"prompt_tokens":1.5}}`}, openai.Facts{}},
		{"the first id", []string{`{"id":"","model":""}`, `{"id":"a","model":"b"}`, `{"id":"c","model":"d"}`}, openai.Facts{ID: "a", Model: "b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, got, _ := readAll(strings.NewReader(sse(tt.data...)))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Facts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadAnswer(t *testing.T) {
	t.Parallel()
	got, err := openai.ReadAnswer([]byte(`{"choices":[{"finish_reason":"stop","index":0,"message":{"content":"Hi."}}],"id":"chatcmpl-X","model":"gpt-5.4",` +
		`"usage":{"prompt_tokens":19,"completion_tokens":5,"latency_checkpoint":{"engine_ttft_ms":84}},"routing":{}}`))
	want := openai.Facts{ID: "chatcmpl-X", Model: "gpt-5.4", FinishReason: "stop", Usage: openai.Usage{Prompt: 19, Completion: 5}, HasUsage: true}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("ReadAnswer: %v (-want +got):\n%s", err, diff)
	}
	for _, body := range []string{"", "[]", `"x"`, "<html>", `{"id":"a"`, "null"} {
		if f, err := openai.ReadAnswer([]byte(body)); err == nil || f != (openai.Facts{}) {
			t.Errorf("ReadAnswer(%q) = %+v, %v, want an error", body, f, err)
		}
	}
}

func TestContent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		delta string
		want  bool
	}{
		{`{}`, false},
		{`null`, false},
		{`"x"`, false},
		{`{"role":"assistant"}`, false},
		{`{"role":"assistant","content":"","refusal":null}`, false},
		{`{"content":null,"tool_calls":[],"function_call":{},"n":0,"b":true}`, false},
		{`{"content":"x"}`, true},
		{`{"content":"\n"}`, true},
		{`{"refusal":"x"}`, true},
		{`{"reasoning_content":"x"}`, true},
		{`{"tool_calls":[{"index":0}]}`, true},
		{`{"function_call":{"name":"f"}}`, true},
		{`{"audio":{"id":"a"}}`, true},
	} {
		events, _, _ := readAll(strings.NewReader(sse(`{"choices":[{"delta":{}},{"delta":` + tt.delta + `}]}`)))
		if events[0].Content != tt.want {
			t.Errorf("Content of %s = %v, want %v", tt.delta, events[0].Content, tt.want)
		}
	}
}

func TestDeltas(t *testing.T) {
	t.Parallel()
	s := openai.NewStream(strings.NewReader(sse(`{"id":"x","choices":[` +
		`{"index":1,"delta":{"role":"assistant","content":"a\u00e9"},"content_filter_results":{"hate":{"severity":"safe"}}},` +
		`{"index":0,"delta":{"refusal":"no","content":null}},` +
		`{"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\""}},{"index":1,"function":{"arguments":":1}"}}]}},` +
		`{"index":3}]}`)))
	e, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	openai.Generated(e.Root, func(choice int64, text openai.Value) {
		got = append(got, fmt.Sprintf("%d %s", choice, text.Text()))
	})
	want := []string{"1 aé", "0 no", "0 f", `0 {"a"`, "0 :1}"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Deltas (-want +got):\n%s", diff)
	}
	openai.Generated(openai.Value{}, func(int64, openai.Value) { t.Error("the zero Event has deltas") })
}

func TestStreamSaysWhetherMoreIsHere(t *testing.T) {
	t.Parallel()
	s := openai.NewStream(io.MultiReader(strings.NewReader(sse(chunkRole, chunkFinish)+"data: "), strings.NewReader("[DONE]\n\n")))
	var got []bool
	for {
		if _, err := s.Next(); err != nil {
			break
		}
		got = append(got, s.Buffered())
	}
	if diff := cmp.Diff([]bool{true, false, false}, got); diff != "" {
		t.Errorf("Buffered() behind each event (-want +got):\n%s", diff)
	}
	s = openai.NewStream(strings.NewReader(sse(chunkRole, chunkContent)))
	<-s.Ahead()
	if _, err := s.Next(); err != nil || !s.Buffered() {
		t.Errorf("an event that is held back is not here: %v", err)
	}
}

// TestStreamReadsNoMoreThanItMust makes sure that an event is handed out before
// the stream asks for what comes behind it.
func TestStreamReadsNoMoreThanItMust(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"\n\n", "\r\n\r\n"} {
		r, w := io.Pipe()
		go func() { _, _ = io.Copy(w, bytes.NewReader([]byte("data: "+chunkContent+end))) }()
		if e, err := openai.NewStream(r).Next(); err != nil || string(e.Data) != chunkContent {
			t.Errorf("Next() = %s, %v", e.Data, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
