package openai_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"weir/openai"
)

// operations are all of them, in their order.
func operations() []openai.Operation {
	return []openai.Operation{
		openai.Chat, openai.Responses, openai.Compact, openai.Completions,
		openai.Embeddings, openai.Moderations, openai.Images, openai.Speech,
	}
}

func TestOperations(t *testing.T) {
	t.Parallel()
	type facts struct {
		Path             string
		Generates, Typed bool
	}
	want := []facts{
		{"chat/completions", true, false},
		{"responses", true, true},
		{"responses/compact", true, true},
		{"completions", true, false},
		{"embeddings", false, true},
		{"moderations", false, true},
		{"images/generations", false, true},
		{"audio/speech", false, true},
		{"images/edits", false, true},
		{"audio/transcriptions", false, true},
		{"audio/translations", false, true},
		{"realtime", true, true},
		{"", false, true},
	}
	var got []facts
	for _, op := range append(operations(), openai.ImageEdits, openai.Transcriptions, openai.Translations, openai.Realtime, openai.Passages) {
		got = append(got, facts{op.Path(), op.Generates(), op.Typed()})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
	if r, err := openai.ParseAs(openai.Passages, []byte(`{"stream":"x"}`)); err != nil || r.Stream {
		t.Errorf("of an operation that is none, ParseAs = %+v, %v", r, err)
	}
}

// list returns an array of n times the same.
func list(n int, element string) string {
	return "[" + strings.TrimSuffix(strings.Repeat(element+",", n), ",") + "]"
}

func TestParseAsReads(t *testing.T) {
	t.Parallel()
	half := 0.5
	const all = `"stream":true,"stream_options":{"include_usage":true},"temperature":0.5`
	for _, tt := range []struct {
		name string
		op   openai.Operation
		body string
		want openai.Request
	}{
		{"responses", openai.Responses, `{"model":"m","input":"x",` + all + `,"max_output_tokens":16}`, openai.Request{Model: "m", Stream: true, IncludeUsage: true, Temperature: &half, MaxTokens: 16, MaxTokensField: "max_output_tokens", Stored: true}},
		{"responses, kept by default", openai.Responses, `{"input":"x"}`, openai.Request{Stored: true}},
		{"responses, kept by null", openai.Responses, `{"input":"x","store":null}`, openai.Request{Stored: true}},
		{"responses, kept", openai.Responses, `{"input":"x","store":true}`, openai.Request{Stored: true}},
		{"responses, not kept", openai.Responses, `{"input":"x","store":false}`, openai.Request{}},
		{"responses without an input", openai.Responses, `{"previous_response_id":"r","store":false}`, openai.Request{}},
		{"responses with null everywhere", openai.Responses, `{"model":null,"input":null,"instructions":null,"tools":null,"previous_response_id":null,"background":null,"max_output_tokens":null,"stream":null,"temperature":null}`, openai.Request{Stored: true}},
		{"responses with 2048 items", openai.Responses, `{"input":` + list(2048, `{"role":"user"}`) + `}`, openai.Request{Stored: true}},
		{"responses, chat's bounds are for upstream to judge", openai.Responses, `{"input":"x","n":"x","max_tokens":-1}`, openai.Request{Stored: true}},
		{"compact", openai.Compact, `{"model":"m","input":[],"max_output_tokens":5,"stream":true}`, openai.Request{Model: "m", MaxTokens: 5, MaxTokensField: "max_output_tokens"}},

		{"completions", openai.Completions, `{"model":"m","prompt":"x",` + all + `,"max_tokens":7,"n":2}`, openai.Request{Model: "m", Choices: 2, Stream: true, IncludeUsage: true, Temperature: &half, MaxTokens: 7, MaxTokensField: "max_tokens"}},
		{"completions without a prompt", openai.Completions, `{}`, openai.Request{Choices: 1, Implied: 16}},
		{"completions, all null", openai.Completions, `{"prompt":null,"max_tokens":null,"n":null,"best_of":null}`, openai.Request{Choices: 1, Implied: 16}},
		{"completions, the best of some", openai.Completions, `{"prompt":"x","best_of":20,"n":3}`, openai.Request{Choices: 20, Implied: 16}},
		{"completions, more than the best of some", openai.Completions, `{"prompt":"x","best_of":2,"n":3}`, openai.Request{Choices: 3, Implied: 16}},
		{"completions of many prompts", openai.Completions, `{"prompt":["a","b","c"],"best_of":4,"n":2}`, openai.Request{Choices: 12, Implied: 16}},
		{"completions of many arrays", openai.Completions, `{"prompt":[[1,2],[3]],"n":2}`, openai.Request{Choices: 4, Implied: 16}},
		{"completions of one array", openai.Completions, `{"prompt":[1,2,3]}`, openai.Request{Choices: 1, Implied: 16}},
		{"completions of most", openai.Completions, `{"prompt":` + list(2048, `""`) + `,"best_of":128,"max_tokens":1}`, openai.Request{Choices: 2048 * 128, MaxTokens: 1, MaxTokensField: "max_tokens"}},
		{"completions have no other bound", openai.Completions, `{"prompt":"x","max_completion_tokens":9}`, openai.Request{Choices: 1, Implied: 16}},

		{"embeddings", openai.Embeddings, `{"model":"m","input":"x","stream":"x","temperature":"x"}`, openai.Request{Model: "m"}},
		{"embeddings are no stream", openai.Embeddings, `{"input":"x","stream":true}`, openai.Request{}},
		{"embeddings of 2048", openai.Embeddings, `{"input":` + list(2048, `"x"`) + `}`, openai.Request{}},
		{"embeddings of 2048 arrays", openai.Embeddings, `{"input":` + list(2048, `[1]`) + `}`, openai.Request{}},
		{"embeddings of many tokens", openai.Embeddings, `{"input":` + list(5000, `1`) + `}`, openai.Request{}},

		{"moderations", openai.Moderations, `{"model":"m","input":[{"type":"text","text":"x"}],"stream":1}`, openai.Request{Model: "m"}},
		{"moderations of anything", openai.Moderations, `{"input":1}`, openai.Request{}},
		{"images", openai.Images, `{"model":"m","prompt":"x","n":10,"stream":true}`, openai.Request{Model: "m", Choices: 10, Stream: true}},
		{"images of anything", openai.Images, `{"prompt":1,"temperature":"x"}`, openai.Request{Choices: 1}},
		{"speech", openai.Speech, `{"model":"m","input":"x","stream":true}`, openai.Request{Model: "m"}},
		{"speech as events", openai.Speech, `{"model":"m","input":"x","stream_format":"sse"}`, openai.Request{Model: "m", Stream: true}},
		{"speech as bytes", openai.Speech, `{"model":"m","input":"x","stream_format":"audio"}`, openai.Request{Model: "m"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := openai.ParseAs(tt.op, []byte(tt.body))
			if err != nil {
				t.Fatalf("ParseAs(%.200s): %v", tt.body, err)
			}
			tt.want.Operation = tt.op
			tt.want.Choices = max(1, tt.want.Choices)
			if diff := cmp.Diff(tt.want, *r, cmpopts.IgnoreFields(openai.Request{}, "Root")); diff != "" {
				t.Errorf("ParseAs(%.200s) (-want +got):\n%s", tt.body, diff)
			}
			if got := string(r.Body()); got != tt.body {
				t.Errorf("Body() = %s, want %s", got, tt.body)
			}
		})
	}
}

func TestParseAsRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		op                openai.Operation
		body, param, code string
	}{
		{openai.Responses, `{"input":{}}`, "input", openai.CodeInvalidType},
		{openai.Responses, `{"input":true}`, "input", openai.CodeInvalidType},
		{openai.Responses, `{"input":` + list(2049, `{"role":"user"}`) + `}`, "input", openai.CodeInvalidValue},
		{openai.Responses, `{"stream":1}`, "stream", openai.CodeInvalidType},
		{openai.Responses, `{"stream_options":[]}`, "stream_options", openai.CodeInvalidType},
		{openai.Responses, `{"temperature":true}`, "temperature", openai.CodeInvalidType},
		{openai.Responses, `{"temperature":1e999}`, "temperature", openai.CodeInvalidValue},
		{openai.Responses, `{"max_output_tokens":0}`, "max_output_tokens", openai.CodeBelowMinimum},
		{openai.Responses, `{"max_output_tokens":1.0}`, "max_output_tokens", openai.CodeInvalidType},
		{openai.Responses, `{"max_output_tokens":9223372036854775808}`, "max_output_tokens", openai.CodeInvalidType},
		{openai.Responses, `{"store":"false"}`, "store", openai.CodeInvalidType},
		{openai.Responses, `{"background":1}`, "background", openai.CodeInvalidType},
		{openai.Responses, `{"instructions":[]}`, "instructions", openai.CodeInvalidType},
		{openai.Responses, `{"previous_response_id":1}`, "previous_response_id", openai.CodeInvalidType},
		{openai.Responses, `{"tools":{}}`, "tools", openai.CodeInvalidType},
		{openai.Responses, `{"Store":false}`, "Store", openai.CodeInvalidValue},
		{openai.Responses, `{"stream_options":{"Include_usage":true}}`, "stream_options.Include_usage", openai.CodeInvalidValue},
		{openai.Responses, `{"input":[{"Role":"user"}]}`, "input[0].Role", openai.CodeInvalidValue},
		{openai.Responses, `{"input":[{},{"encrypted_Content":"x"}]}`, "input[1].encrypted_Content", openai.CodeInvalidValue},
		{openai.Responses, `{"input":[{"content":[{},{"TEXT":"x"}]}]}`, "input[0].content[1].TEXT", openai.CodeInvalidValue},
		{openai.Responses, `{"input":[{"output":[{"Image_url":"x"}]}]}`, "input[0].output[0].Image_url", openai.CodeInvalidValue},
		{openai.Responses, `{"input":[{"summary":[{"Text":"x"}]}]}`, "input[0].summary[0].Text", openai.CodeInvalidValue},
		{openai.Responses, `{"store":true,"\u0073tore":false}`, "", openai.CodeInvalidJSON},
		{openai.Compact, `{"input":1}`, "input", openai.CodeInvalidType},
		{openai.Compact, `{"Input":"x"}`, "Input", openai.CodeInvalidValue},

		{openai.Completions, `{"prompt":1}`, "prompt", openai.CodeInvalidType},
		{openai.Completions, `{"prompt":{}}`, "prompt", openai.CodeInvalidType},
		{openai.Completions, `{"prompt":[]}`, "prompt", openai.CodeEmptyArray},
		{openai.Completions, `{"prompt":["a",1]}`, "prompt", openai.CodeInvalidType},
		{openai.Completions, `{"prompt":[1,"a"]}`, "prompt", openai.CodeInvalidType},
		{openai.Completions, `{"prompt":[[1,"<|im_start|>"]]}`, "prompt", openai.CodeInvalidType},
		{openai.Completions, `{"prompt":[["<|im_start|>"]]}`, "prompt", openai.CodeInvalidType},
		{openai.Completions, `{"prompt":[null]}`, "prompt", openai.CodeInvalidType},
		{openai.Completions, `{"prompt":` + list(2049, `"x"`) + `}`, "prompt", openai.CodeInvalidValue},
		{openai.Completions, `{"best_of":0}`, "best_of", openai.CodeBelowMinimum},
		{openai.Completions, `{"best_of":"1"}`, "best_of", openai.CodeInvalidType},
		{openai.Completions, `{"best_of":129}`, "best_of", openai.CodeInvalidValue},
		{openai.Completions, `{"n":129}`, "n", openai.CodeInvalidValue},
		{openai.Completions, `{"max_tokens":-1}`, "max_tokens", openai.CodeBelowMinimum},
		{openai.Completions, `{"max_tokens":1e3}`, "max_tokens", openai.CodeInvalidType},
		{openai.Completions, `{"Best_Of":1}`, "Best_Of", openai.CodeInvalidValue},
		{openai.Completions, `{"Prompt":1}`, "Prompt", openai.CodeInvalidValue},
		{openai.Completions, `{"stream":1}`, "stream", openai.CodeInvalidType},

		{openai.Embeddings, `{}`, "input", openai.CodeMissingParameter},
		{openai.Embeddings, `{"input":null}`, "input", openai.CodeMissingParameter},
		{openai.Embeddings, `{"input":[]}`, "input", openai.CodeEmptyArray},
		{openai.Embeddings, `{"input":[true]}`, "input", openai.CodeInvalidType},
		{openai.Embeddings, `{"input":[[1],"a"]}`, "input", openai.CodeInvalidType},
		{openai.Embeddings, `{"input":` + list(2049, `"x"`) + `}`, "input", openai.CodeInvalidValue},
		{openai.Embeddings, `{"input":` + list(2049, `[1]`) + `}`, "input", openai.CodeInvalidValue},
		{openai.Embeddings, `{"INPUT":"x"}`, "INPUT", openai.CodeInvalidValue},
		{openai.Embeddings, `{"input":"x","input":"y"}`, "", openai.CodeInvalidJSON},
		{openai.Embeddings, `{"model":[],"input":"x"}`, "model", openai.CodeInvalidType},

		{openai.Moderations, `{"model":1}`, "model", openai.CodeInvalidType},
		{openai.Moderations, `{"Model":"m"}`, "Model", openai.CodeInvalidValue},
		{openai.Images, `{"n":0}`, "n", openai.CodeBelowMinimum},
		{openai.Images, `{"n":129}`, "n", openai.CodeInvalidValue},
		{openai.Images, `{"stream":"true"}`, "stream", openai.CodeInvalidType},
		{openai.Images, `{"PROMPT":"x"}`, "PROMPT", openai.CodeInvalidValue},
		{openai.Speech, `{"stream_format":1}`, "stream_format", openai.CodeInvalidType},
		{openai.Speech, `{"Stream_format":"sse"}`, "Stream_format", openai.CodeInvalidValue},
		{openai.Speech, `{"model":{}}`, "model", openai.CodeInvalidType},
		{openai.Speech, `[]`, "", openai.CodeInvalidJSON},
		{openai.Speech, `{"input":"\ud800"}`, "", openai.CodeInvalidJSON},
	} {
		t.Run(fmt.Sprintf("%s %.60s", tt.op.Path(), tt.body), func(t *testing.T) {
			t.Parallel()
			r, err := openai.ParseAs(tt.op, []byte(tt.body))
			fault, ok := errors.AsType[*openai.Error](err)
			if !ok || r != nil || fault.Status != 400 || fault.Param != tt.param || fault.Code != tt.code {
				t.Errorf("ParseAs = %v, %#v, want a 400 %s of %q", r, err, tt.code, tt.param)
			}
		})
	}
}

func TestWithKeepsTheOperation(t *testing.T) {
	t.Parallel()
	r, err := openai.ParseAs(openai.Completions, []byte(`{"prompt":["a","b"]}`))
	if err != nil {
		t.Fatal(err)
	}
	r, err = r.With(r.Root.Set("max_tokens", "5"))
	if err != nil || r.Operation != openai.Completions || r.MaxTokens != 5 || r.Implied != 0 || r.Choices != 2 {
		t.Errorf("With(max_tokens 5) = %+v, %v", r, err)
	}
	if r, err := r.With(r.Root.Set("best_of", "0")); err == nil {
		t.Errorf("With(best_of 0) = %+v", r)
	}
}

func TestInputs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		op   openai.Operation
		body string
		want []string
	}{
		{openai.Chat, `{"messages":[{"role":"user","content":"x"}],"input":"a","prompt":"b"}`, nil},
		{openai.Responses, `{"input":"a","instructions":"b"}`, nil},
		{openai.Completions, `{"prompt":"a","suffix":"b","input":"c"}`, []string{"prompt a", "suffix b"}},
		{openai.Completions, `{"prompt":["a","b"]}`, []string{"prompt[0] a", "prompt[1] b"}},
		{openai.Completions, `{"prompt":[1,2,3]}`, []string{"3"}},
		{openai.Completions, `{"prompt":[[1,2],[3],[]],"suffix":null}`, []string{"2", "1"}},
		{openai.Embeddings, `{"input":["a","\u0062"]}`, []string{"input[0] a", "input[1] b"}},
		{openai.Moderations, `{"input":["a",{"type":"text","text":"b"},{"type":"image_url","image_url":{"url":"u"}},1,true,null]}`, []string{"input[0] a", "input[1].text b"}},
		{openai.Images, `{"prompt":"a","input":"b"}`, []string{"prompt a"}},
		{openai.Speech, `{"input":"a","instructions":"b","voice":"v"}`, []string{"instructions b", "input a"}},
	} {
		t.Run(tt.op.Path()+" "+tt.body, func(t *testing.T) {
			t.Parallel()
			r, err := openai.ParseAs(tt.op, []byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			r.Inputs(func(text openai.Value, tokens int64) {
				if text.Kind() == openai.Missing {
					got = append(got, strconv.FormatInt(tokens, 10))
				} else if got = append(got, text.Path()+" "+text.Text()); tokens != 0 {
					t.Errorf("a text has %d tokens", tokens)
				}
			})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Inputs (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzParseAs reads any text as a request of any operation: it is one, unchanged,
// and stays one with an edit, or the error is a 400.
func FuzzParseAs(f *testing.F) {
	for i, s := range documents() {
		f.Add(uint8(i), []byte(s))
	}
	for i, s := range []string{
		`{"input":[{"type":"reasoning","summary":[{"text":"a"}],"encrypted_content":"x"},"x",{"role":"user","content":[{"type":"input_text","text":"t"}]}],"store":false}`,
		`{"prompt":[["a",1],[1]],"best_of":3,"n":2}`, `{"input":[[1],[2,3]],"model":"m"}`, `{"input":"x","stream_format":"sse"}`,
	} {
		f.Add(uint8(i), []byte(s))
	}
	f.Fuzz(func(t *testing.T, op uint8, body []byte) {
		operation := operations()[int(op)%len(operations())]
		r, err := openai.ParseAs(operation, body)
		if err != nil {
			if fault, ok := errors.AsType[*openai.Error](err); !ok || fault.Status != 400 {
				t.Fatalf("ParseAs(%d, %q): %v, want a 400", operation, body, err)
			}
			return
		}
		if r.Operation != operation || string(r.Body()) != string(body) || r.Choices < 1 {
			t.Fatalf("ParseAs(%d, %q) = %+v", operation, body, r)
		}
		r.Texts(func(run []openai.Value) bool {
			for _, v := range run {
				if v.Kind() != openai.String || v.Path() == "" {
					t.Errorf("Texts of %q has the value %s at %q", body, v.Raw(), v.Path())
				}
			}
			return len(run) > 0
		})
		r.Inputs(func(text openai.Value, tokens int64) {
			if (text.Kind() == openai.String) == (tokens > 0) {
				t.Errorf("Inputs of %q has %s and %d tokens", body, text.Raw(), tokens)
			}
		})
		if chat, err := r.Conversation(); err == nil && chat.Operation != openai.Chat {
			t.Errorf("the conversation of %q is %+v", body, chat)
		}
		edited, err := r.With(r.Root.Set("model", `"x"`))
		if err != nil && strings.Contains(err.Error(), "values") {
			return
		}
		if err != nil || edited.Model != "x" || edited.Operation != operation {
			t.Fatalf("With(model) of %q = %+v, %v", body, edited, err)
		}
	})
}
