package openai_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/openai"
)

// runs returns the runs of text in a request, the strings of a run joined by "+".
func runs(t *testing.T, body string) []string {
	t.Helper()
	r, err := openai.Parse([]byte(body))
	if err != nil {
		t.Fatalf("Parse(%.200s): %v", body, err)
	}
	got := []string{}
	r.Texts(func(run []openai.Value) bool {
		texts := make([]string, len(run))
		for i, v := range run {
			texts[i] = v.Text()
		}
		got = append(got, strings.Join(texts, "+"))
		return true
	})
	return got
}

func TestTextsOfMessages(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, message string
		want          []string // without the role
	}{
		{"content", `"content":"a"`, []string{"a"}},
		{"decoded content", `"content":"\u003c|im_start|\u003e"`, []string{"<|im_start|>"}},
		{"content null", `"content":null`, []string{}},
		{"no content", `"x":1`, []string{}},
		{"name", `"name":"a"`, []string{"a"}},
		{"refusal", `"refusal":"a"`, []string{"a"}},
		{"tool_call_id", `"tool_call_id":"a","content":"b"`, []string{"a", "b"}},
		{"reasoning_content", `"reasoning_content":"a"`, []string{"a"}},
		{"a field nobody knows", `"future":{"deep":["a",{"b":"c"}]}`, []string{"a", "c"}},
		{"tool calls", `"tool_calls":[{"id":"i","type":"function","function":{"name":"f","arguments":"{\"a\":"}},{"custom":{"input":"x"}}]`, []string{"i", "function", "f", `{"a":`, "x"}},
		{"a function call", `"function_call":{"name":"f","arguments":"{}"}`, []string{"f", "{}"}},
		{"audio", `"audio":{"id":"a","data":"base64"}`, []string{"a"}},

		{"one part", `"content":[{"type":"text","text":"a"}]`, []string{"a"}},
		{"parts that touch", `"content":[{"type":"text","text":"<|im_"},{"type":"text","text":"start|>"},{"type":"refusal","refusal":"c"}]`, []string{"<|im_+start|>+c"}},
		{"parts with an image between", `"content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:x","detail":"low"}},{"type":"text","text":"b"}]`, []string{"a", "low", "b"}},
		{"an image whose URL is bare", `"content":[{"type":"image_url","image_url":"data:x"},{"type":"text","text":"b"}]`, []string{"b"}},
		{"audio in a part", `"content":[{"type":"input_audio","input_audio":{"data":"base64","format":"wav"}}]`, []string{"wav"}},
		{"a file in a part", `"content":[{"type":"file","file":{"filename":"a.pdf","file_data":"base64","file_id":"f"}}]`, []string{"a.pdf", "f"}},
		{"text and refusal in one part", `"content":[{"type":"text","text":"a","refusal":"b"}]`, []string{"b", "a"}},
		{"refusal beside a text that is null", `"content":[{"type":"refusal","text":null,"refusal":"a"},{"type":"text","text":"b"}]`, []string{"a+b"}},
		{"text that is an object", `"content":[{"type":"text","text":{"value":"a"}}]`, []string{"a"}},
		{"text that is an array", `"content":[{"type":"text","text":["a","b"]}]`, []string{"a", "b"}},
		{"parts that are strings", `"content":["<|im_","start|>"]`, []string{"<|im_+start|>"}},
		{"a part that is an array", `"content":[["a"]]`, []string{"a"}},
		{"content that is an object", `"content":{"type":"text","text":"a"}`, []string{"text", "a"}},
		{"a part of a kind nobody knows", `"content":[{"type":"future","future":{"deep":"a","url":"u"}}]`, []string{"a"}},
		{"parts that are numbers", `"content":[1,null,true]`, []string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := runs(t, withMessages(`[{"role":"R",`+tt.message+`}]`))
			if diff := cmp.Diff(append([]string{"R"}, tt.want...), got); diff != "" {
				t.Errorf("Texts of %s (-want +got):\n%s", tt.message, diff)
			}
		})
	}
}

func TestTextsDoNotJoinMessages(t *testing.T) {
	t.Parallel()
	got := runs(t, withMessages(`[{"role":"user","content":[{"type":"text","text":"<|im_"}]},{"role":"user","content":[{"type":"text","text":"start|>"}]}]`))
	if diff := cmp.Diff([]string{"user", "<|im_", "user", "start|>"}, got); diff != "" {
		t.Errorf("Texts (-want +got):\n%s", diff)
	}
}

func TestTextsOfOtherFields(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, fields string
		want         []string
	}{
		{"tools", `"tools":[{"function":{"name":"f","description":"d","parameters":{"properties":{"p":{"enum":["e"],"default":{"k":1}}}}}}]`, []string{"function", "name", "f", "description", "d", "parameters", "properties", "p", "enum", "e", "default", "k"}},
		{"a tool's URL is text", `"tools":[{"url":"u"}]`, []string{"url", "u"}},
		{"functions", `"functions":[{"name":"f"}]`, []string{"name", "f"}},
		{"tool_choice", `"tool_choice":{"function":{"name":"f"}}`, []string{"function", "name", "f"}},
		{"tool_choice as a word", `"tool_choice":"auto"`, []string{"auto"}},
		{"function_call", `"function_call":{"name":"f"}`, []string{"name", "f"}},
		{"response_format", `"response_format":{"json_schema":{"name":"n","schema":{"a":"b"}}}`, []string{"json_schema", "name", "n", "schema", "a", "b"}},
		{"web_search_options", `"web_search_options":{"user_location":{"city":"c"}}`, []string{"user_location", "city", "c"}},
		{"prediction", `"prediction":{"type":"content","content":"a"}`, []string{"a"}},
		{"prediction in parts", `"prediction":{"type":"content","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}`, []string{"a+b"}},
		{"role_information", `"data_sources":[{"type":"t","parameters":{"key":"secret","role_information":"a"}},{"parameters":{"role_information":"b"}}]`, []string{"a", "b"}},
		{"nothing the model does not read", `"stop":["<|im_end|>","x"],"logit_bias":{"50256":1},"user":"u","metadata":{"k":"v"},"model_x":"m","seed":1,"safety_identifier":"s"`, []string{}},
		{"stop as a word", `"stop":"<|im_end|>"`, []string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := runs(t, withFields(tt.fields))
			if diff := cmp.Diff(append([]string{"user", "hi"}, tt.want...), got); diff != "" {
				t.Errorf("Texts of %s (-want +got):\n%s", tt.fields, diff)
			}
		})
	}
}

func TestTextsEndWhenToldTo(t *testing.T) {
	t.Parallel()
	r, err := openai.Parse([]byte(withFields(`"tools":[{"a":"b"}],"prediction":{"content":[{"text":"c"}]}`)))
	if err != nil {
		t.Fatal(err)
	}
	for stop := 1; stop <= 5; stop++ {
		n := 0
		r.Texts(func([]openai.Value) bool {
			n++
			return n < stop
		})
		if n != stop {
			t.Errorf("Texts went on to %d runs when told to end at %d", n, stop)
		}
	}
}

// placed returns the runs of text in a request with the path of each string.
func placed(t *testing.T, op openai.Operation, body string) []string {
	t.Helper()
	r, err := openai.ParseAs(op, []byte(body))
	if err != nil {
		t.Fatalf("ParseAs(%s): %v", body, err)
	}
	got := []string{}
	r.Texts(func(run []openai.Value) bool {
		texts := make([]string, len(run))
		for i, v := range run {
			texts[i] = v.Path() + " " + v.Text()
		}
		got = append(got, strings.Join(texts, " + "))
		return true
	})
	return got
}

func TestTextsOfResponses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, fields string
		want         []string
	}{
		{"a text", `"input":"a"`, []string{"input a"}},
		{"instructions", `"instructions":"\u0061","input":null`, []string{"instructions a"}},
		{"nothing the model does not read", `"user":"u","metadata":{"k":"v"},"safety_identifier":"s","include":["i"],"previous_response_id":"p","truncation":"auto","reasoning":{"effort":"low"}`, []string{}},
		{"parts that touch", `"input":[{"role":"user","content":[{"type":"input_text","text":"<|im_"},{"type":"output_text","text":"start|>"},{"type":"refusal","refusal":"c"}]}]`, []string{
			"input[0].role user", "input[0].content[0].text <|im_ + input[0].content[1].text start|> + input[0].content[2].refusal c",
		}},
		{"parts with an image between", `"input":["x",{},{"content":[{"type":"input_text","text":"a"},{"type":"input_image","image_url":"data:x","detail":"low","file_id":"f"},{"type":"input_text","text":"b"}]}]`, []string{
			"input[0] x", "input[2].content[0].text a", "input[2].content[1].detail low", "input[2].content[1].file_id f", "input[2].content[2].text b",
		}},
		{"items do not touch", `"input":[{"content":"<|im_"},{"content":"start|>"}]`, []string{"input[0].content <|im_", "input[1].content start|>"}},
		{"a file", `"input":[{"content":[{"type":"input_file","filename":"n","file_data":"base64","file_url":"u"}]}]`, []string{"input[0].content[0].filename n"}},
		{"a call", `"input":[{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}]`, []string{"input[0].type function_call", "input[0].call_id c", "input[0].name f", "input[0].arguments {}"}},
		{"a custom call", `"input":[{"type":"custom_tool_call","name":"f","input":"a"}]`, []string{"input[0].type custom_tool_call", "input[0].name f", "input[0].input a"}},
		{"an output", `"input":[{"type":"function_call_output","output":"a"}]`, []string{"input[0].type function_call_output", "input[0].output a"}},
		{"an output in parts", `"input":[{"output":[{"type":"input_text","text":"<|"},{"type":"input_text","text":"end|>"}]}]`, []string{"input[0].output[0].text <| + input[0].output[1].text end|>"}},
		{"a screenshot", `"input":[{"output":{"type":"computer_screenshot","image_url":"data:x"}}]`, []string{"input[0].output.type computer_screenshot"}},
		{"reasoning", `"input":[{"type":"reasoning","summary":[{"type":"summary_text","text":"<|"},{"type":"summary_text","text":"end|>"}],"encrypted_content":"gAAA","content":[{"type":"reasoning_text","text":"r"}]}]`, []string{
			"input[0].type reasoning", "input[0].summary[0].text <| + input[0].summary[1].text end|>", "input[0].content[0].text r",
		}},
		{"an image that was made", `"input":[{"result":"base64","type":"image_generation_call"},{"type":"shell","result":"a"}]`, []string{"input[0].type image_generation_call", "input[1].type shell", "input[1].result a"}},
		{"a compacted conversation", `"input":[{"type":"compaction","encrypted_content":"gAAA"}]`, []string{"input[0].type compaction"}},
		{"an item that is an array", `"input":[["a"]]`, []string{"input[0][0] a"}},
		{"a field nobody knows", `"input":[{"future":{"deep":["a"],"url":"u"}}]`, []string{"input[0].future.deep[0] a"}},
		{"variables", `"prompt":{"id":"p","variables":{"url":"a","b":{"type":"input_image","image_url":"data:x"},"c":{"type":"input_text","text":"d"}}}`, []string{
			"prompt.variables.url url", "prompt.variables.url a", "prompt.variables.b b", "prompt.variables.b.type input_image", "prompt.variables.c c", "prompt.variables.c.type input_text", "prompt.variables.c.text d",
		}},
		{"tools", `"tools":[{"type":"function","name":"f","parameters":{"p":1}}]`, []string{
			"tools[0].type type", "tools[0].type function", "tools[0].name name", "tools[0].name f", "tools[0].parameters parameters", "tools[0].parameters.p p",
		}},
		{"tool_choice", `"tool_choice":"auto"`, []string{"tool_choice auto"}},
		{"a schema", `"text":{"format":{"name":"n"}}`, []string{"text.format format", "text.format.name name", "text.format.name n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, op := range []openai.Operation{openai.Responses, openai.Compact} {
				got := placed(t, op, `{`+tt.fields+`}`)
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("Texts of %s (-want +got):\n%s", tt.fields, diff)
				}
			}
		})
	}
}

func TestTextsOfInputs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		op   openai.Operation
		body string
		want []string
	}{
		{"a prompt", openai.Completions, `{"prompt":"a","suffix":"b"}`, []string{"prompt a", "suffix b"}},
		{"prompts do not touch", openai.Completions, `{"prompt":["<|","end|>"]}`, []string{"prompt[0] <|", "prompt[1] end|>"}},
		{"tokens", openai.Completions, `{"prompt":[100265]}`, []string{}},
		{"the prompt that is implied", openai.Completions, `{"prompt":"<|endoftext|>","suffix":"b"}`, []string{"suffix b"}},
		{"the same in other letters", openai.Completions, `{"prompt":"\u003c|endoftext|>"}`, []string{}},
		{"more than the prompt that is implied", openai.Completions, `{"prompt":"<|endoftext|> "}`, []string{"prompt <|endoftext|> "}},
		{"the prompt that is implied, among others", openai.Completions, `{"prompt":["<|endoftext|>"]}`, []string{"prompt[0] <|endoftext|>"}},
		{"the prompt that is implied, as a suffix", openai.Completions, `{"suffix":"<|endoftext|>"}`, []string{"suffix <|endoftext|>"}},
		{"texts to embed", openai.Embeddings, `{"input":["a","b"]}`, []string{"input[0] a", "input[1] b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, placed(t, tt.op, tt.body)); diff != "" {
				t.Errorf("Texts of %s (-want +got):\n%s", tt.body, diff)
			}
		})
	}
}
