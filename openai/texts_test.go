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
