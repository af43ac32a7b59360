package tokens_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"weir/tokens"
)

func count(t *testing.T, model, body string) tokens.Count {
	t.Helper()
	return shared(t).Counter(tokens.Lookup(model)).Request(parse(t, body))
}

// user returns a request with that content, and what more it has.
func user(content, more string) string {
	return `{"messages":[{"role":"user","content":` + content + `}]` + more + `}`
}

func TestCountsAddUp(t *testing.T) {
	t.Parallel()
	got := count(t, "gpt-4o", `{"messages":[
		{"role":"system","content":"You are a helpful assistant."},
		{"role":"user","content":[{"type":"text","text":"hello"},{"type":"image_url","image_url":{"url":"https://example.com/a.png","detail":"low"}}]}],
		"functions":[{"name":"foo"}],"function_call":{"name":"foo"}}`)
	want := tokens.Count{Total: 10 + 90 + 24 + 3, Messages: []int{10, 90}, Tools: 24, Overhead: 3, Images: 85, Estimated: true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Request (-want +got):\n%s", diff)
	}
}

// Each row is charged so many tokens more than the request with content "hello",
// which costs 8, would be.
func TestParts(t *testing.T) {
	t.Parallel()
	wav := "RIFF\x24\x66\x03\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\x3e\x00\x00\x00\x7d\x00\x00\x02\x00\x10\x00" +
		"LIST\x1a\x00\x00\x00INFOISFT\x0e\x00\x00\x00Lavf58.76.100\x00data\x00\x66\x03\x00" + strings.Repeat("\x00", 222_720)
	mp3 := "\xff\xfb\x74\xc4" + strings.Repeat("\x00", 53_800)
	audio := func(data string) string {
		return `[{"type":"input_audio","input_audio":{"format":"any","data":"` + base64.StdEncoding.EncodeToString([]byte(data)) + `"}}]`
	}
	hello := `"hello"`
	for _, tt := range []struct {
		name      string
		body      string
		want      int // less 7 for the message and the answer
		estimated bool
	}{
		{"text", user(hello, ""), 1, false},
		{"text part", user(`[{"type":"text","text":"hello"}]`, ""), 1, false},
		{"two text parts", user(`[{"type":"text","text":"hello"},{"type":"text","text":" world"}]`, ""), 2, false},
		{"a string as part", user(`["hello"]`, ""), 1, false},
		{"refusal part", user(`[{"type":"refusal","refusal":"hello"}]`, ""), 1, false},
		{"escapes are decoded", user(`"\u0068ell\u006f"`, ""), 1, false},
		{"null", user(`null`, ""), 0, false},
		{"special tokens are text", user(`"<|im_start|>"`, ""), 6, false},
		{"escaped special tokens too", user(`"\u003c|endoftext|>"`, ""), 7, false},
		{"refusal of a message", `{"messages":[{"role":"assistant","content":null,"refusal":"hello"}]}`, 1, false},
		{"unknown fields cost nothing", `{"messages":[{"role":"assistant","content":"hello","reasoning_content":"a b c"}],"user":"me","stop":["x y z"]}`, 1, false},
		{"an unknown role", `{"messages":[{"role":"a b c","content":"hello"}]}`, 3, false},
		{"name", `{"messages":[{"role":"user","content":"hello","name":"hello"}]}`, 3, false},
		{"WAV of 6.96 seconds", user(audio(wav), ""), 81 - 7, false}, // as recorded
		{"MP3 of 4.48 seconds at 96 kbit", user(audio(mp3), ""), 44 + 5, false},
		{"MP3 behind a tag", user(audio("ID3\x04\x00\x00\x00\x00\x01\x00"+strings.Repeat("x", 128)+mp3), ""), 44 + 5, false},
		{"MP3 of MPEG 2 at 64 kbit", user(audio("\xff\xf3\x80\xc4"+strings.Repeat("\x00", 16_000)), ""), 20 + 5, false},
		{"audio of no known kind", user(audio(strings.Repeat("x", 5000)), ""), 50 + 5, true},
		{"audio of another layer", user(audio("\xff\xfd"+strings.Repeat("x", 4998)), ""), 50 + 5, true},
		{"WAV without samples", user(audio(wav[:20]), ""), 0 + 5, true},
		{"an audio answer by its id", `{"messages":[{"role":"assistant","audio":{"id":"a"}}]}`, 4096, true},
		{"a file by its id", user(`[{"type":"file","file":{"file_id":"f"}}]`, ""), 4096, true},
		{"a file", user(`[{"type":"file","file":{"filename":"hello","file_data":"data:application/pdf;base64,`+strings.Repeat("AAAA", 160)+`"}}]`, ""), 1 + 4096 + 30, true},
		{"a part of a kind to come", user(`[{"type":"x"}]`, ""), 5, true},
		{"an image at a URL", user(`[{"type":"image_url","image_url":{"url":"https://example.com"}}]`, ""), 1445, true},
		{"an image as a string", user(`[{"type":"image_url","image_url":"https://example.com"}]`, ""), 1445, true},
		{"a data URL that is not base64", user(`[{"type":"image_url","image_url":{"url":"data:image/png,abc"}}]`, ""), 1445, true},
		{"prediction", user(hello, `,"prediction":{"type":"content","content":"hello world"}`), 1 + 2, true},
		{"prediction in parts", user(hello, `,"prediction":{"type":"content","content":[{"type":"text","text":"hello"}]}`), 1 + 1, true},
		{"text wanted", user(hello, `,"response_format":{"type":"text"}`), 1, false},
		{"JSON wanted", user(hello, `,"response_format":{"type":"json_object"}`), 1, false},
		{"data of one's own", user(hello, `,"data_sources":[{"type":"azure_search","parameters":{"role_information":"hello world"}}]`), 3, true},
		{"no tools", user(hello, `,"tools":[]`), 1, false},
		{"tools forbidden", user(hello, `,"tools":[{"type":"function","function":{"name":"foo"}}],"tool_choice":"none"`), 1 + 23 + 1, false},
		{"a tool named", user(hello, `,"tools":[{"type":"function","function":{"name":"foo"}}],"tool_choice":{"type":"function","function":{"name":"foo"}}`), 1 + 23 + 5, false},
		{"an answer to nobody's call", `{"messages":[{"role":"tool","tool_call_id":"x","content":"hello"}]}`, 5, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := count(t, "gpt-4o", tt.body)
			if got.Total != tt.want+7 || got.Estimated != tt.estimated {
				t.Errorf("Request(%.200s) = %+v, want a total of %d, estimated %v", tt.body, got, tt.want+7, tt.estimated)
			}
		})
	}
}

func TestCallsCostWhatTheyHold(t *testing.T) {
	t.Parallel()
	call := func(kind, body string) string {
		return `{"messages":[{"role":"assistant",` + body + `"tool_calls":[{"id":"1","type":"` + kind + `"}]}]}`
	}
	plain := count(t, "gpt-4o", strings.Replace(call("function", ""), `"function"`, `"function","function":{"name":"get","arguments":"{}"}`, 1)).Total
	custom := count(t, "gpt-4o", strings.Replace(call("custom", ""), `"custom"`, `"custom","custom":{"name":"get","input":"{}"}`, 1)).Total
	spoken := count(t, "gpt-4o", strings.Replace(call("function", `"content":"hello",`), `"function"`, `"function","function":{"name":"get","arguments":"{}"}`, 1)).Total
	if custom != plain {
		t.Errorf("a custom call costs %d, want %d", custom, plain)
	}
	if spoken != plain+5 {
		t.Errorf("a call with content costs %d, want %d", spoken, plain+5)
	}
}

// rendering returns what the parameters of one function become, in tokens.
func rendering(t *testing.T, model, parameters string) int {
	t.Helper()
	return count(t, model, user(`"hello"`, `,"tools":[{"type":"function","function":{"name":"foo","parameters":`+parameters+`}}]`)).Tools
}

func TestSchemasRender(t *testing.T) {
	t.Parallel()
	text := func(body string) int {
		all := "namespace functions {\n\ntype foo = (_: {\n" + body + "}) => any;\n\n} // namespace functions"
		return shared(t).Counter(tokens.Lookup("gpt-4")).Text([]byte(all)) + 9
	}
	for _, tt := range []struct {
		name       string
		properties string
		want       string
	}{
		{"oneOf", `{"a":{"oneOf":[{"type":"string"},{"type":"null"}]}}`, "a?: string | null,\n"},
		{"allOf", `{"a":{"allOf":[{"type":"string"},{"type":"boolean"}]}}`, "a?: string & boolean,\n"},
		{"types", `{"a":{"type":["integer","null"]}}`, "a?: number | null,\n"},
		{"enum of numbers", `{"a":{"enum":[1,2.50,null,"x"]}}`, "a?: 1 | 2.50 | null | \"x\",\n"},
		{"array of any", `{"a":{"type":"array"}}`, "a?: any[],\n"},
		{"array of arrays", `{"a":{"type":"array","items":{"type":"array","items":{"type":"integer"}}}}`, "a?: number[][],\n"},
		{"no type", `{"a":{}}`, "a?: any,\n"},
		{"object without type", `{"a":{"properties":{"b":{"type":"string"}}}}`, "a?: {\n  b?: string,\n},\n"},
		{
			"nested twice, inner description dropped", `{"a":{"type":"object","required":["b"],"properties":{"b":{"type":"object","description":"no","properties":{"c":{"type":"string","default":1}}}}}}`,
			"a?: {\n  b: {\n    c?: string,\n},\n},\n",
		},
		{"description of lines", `{"a":{"type":"string","description":"one\n\ntwo\n"}}`, "// one\n//\n// two\na?: string,\n"},
		{"default", `{"a":{"type":"string","default":"x"},"b":{"type":"integer","default":3}}`, "a?: string, // default: \"x\"\nb?: number, // default: 3\n"},
		{"reference", `{"a":{"$ref":"#/$defs/T"}}`, "a?: {\n  x?: number,\n},\n"},
		{"reference to nowhere", `{"a":{"$ref":"#/$defs/U"},"b":{"$ref":"T"}}`, "a?: U,\nb?: T,\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			schema := `{"type":"object","properties":` + tt.properties + `,"$defs":{"T":{"type":"object","properties":{"x":{"type":"integer"}}}}}`
			if got, want := rendering(t, "gpt-4", schema), text(tt.want); got != want {
				t.Errorf("%s renders to %d tokens, want the %d of %q", tt.properties, got, want, tt.want)
			}
		})
	}
}

// A schema that refers to itself, or doubles with each reference, must cost no
// more than a few times its text.
func TestReferencesStayBounded(t *testing.T) {
	t.Parallel()
	var defs strings.Builder
	for i := range 30 {
		fmt.Fprintf(&defs, `"T%d":{"anyOf":[`+strings.Repeat(`{"$ref":"#/$defs/T%[2]d"},`, 9)+`{}]},`, i, i+1)
	}
	doubling := `{"properties":{"a":{"$ref":"#/$defs/T0"}},"$defs":{` + defs.String() + `"T30":{"type":"string"}}}`
	if n := rendering(t, "gpt-4o", doubling); n > 2*len(doubling) {
		t.Errorf("a schema of %d bytes became %d tokens", len(doubling), n)
	}
	endless := `{"properties":{"a":{"$ref":"#/$defs/T"}},"$defs":{"T":{"anyOf":[{"$ref":"#/$defs/T"},{"$ref":"#"}]}}}`
	if n := rendering(t, "gpt-4o", endless); n > 2*len(endless) {
		t.Errorf("a schema of %d bytes became %d tokens", len(endless), n)
	}
}

// What is left of a request that has only text is never more tokens than bytes,
// and its parts always add up.
func TestBytesBoundTokens(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune("a \n=<|>é中\u0301🙂0'"))), rapid.SampledFrom([]string{
		"", strings.Repeat("a", 3000), strings.Repeat("\u0301", 900), strings.Repeat("\x01\x02", 700), "<|im_start|>",
	}))
	rapid.Check(t, func(rt *rapid.T) {
		var messages []map[string]any
		for range rapid.IntRange(1, 5).Draw(rt, "messages") {
			m := map[string]any{"role": rapid.SampledFrom([]string{"system", "user", "assistant", "tool", "function", "x"}).Draw(rt, "role")}
			m["content"] = text.Draw(rt, "content")
			if rapid.Bool().Draw(rt, "named") {
				m["name"] = text.Draw(rt, "name")
			}
			if m["role"] == "assistant" && rapid.Bool().Draw(rt, "calls") {
				f := map[string]any{"name": text.Draw(rt, "function"), "arguments": text.Draw(rt, "arguments")}
				m["tool_calls"] = []any{map[string]any{"id": "1", "type": "function", "function": f}}
			}
			messages = append(messages, m)
		}
		body, err := json.Marshal(map[string]any{"messages": messages})
		if err != nil {
			rt.Fatal(err)
		}
		for _, model := range []string{"gpt-4", "gpt-5"} {
			got := count(t, model, string(body))
			if got.Total > len(body)+32 {
				rt.Fatalf("%d bytes have %d tokens: %s", len(body), got.Total, body)
			}
			sum := got.Tools + got.ResponseFormat + got.Prediction + got.Overhead
			for _, n := range got.Messages {
				sum += n
			}
			if sum != got.Total || len(got.Messages) != len(messages) {
				rt.Fatalf("%+v does not add up", got)
			}
		}
	})
}

func TestAnyBytesHaveACount(t *testing.T) {
	t.Parallel()
	c := shared(t).Counter(tokens.Model{Encoding: tokens.R50K})
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		if n := c.Text(b); n < 0 || n > 3*len(b) || n == 0 && len(b) > 0 {
			t.Fatalf("Text(%q) = %d", b, n)
		}
	})
}

func TestKnownDifference(t *testing.T) {
	t.Parallel()
	// The regular expressions that split the text do not take the long s for an
	// s, so that this is 10 tokens here and 5 for OpenAI.
	if n := shared(t).Counter(tokens.Lookup("gpt-4o")).Text([]byte("'M'ſ'lLb")); n < 5 {
		t.Errorf("Text = %d, want at least 5", n)
	}
}

func TestHarmonyCountsAsItsBase(t *testing.T) {
	t.Parallel()
	text := []byte("Hello, <|channel|>analysis<|message|> 世界")
	base := shared(t).Counter(tokens.Model{Encoding: tokens.O200K}).Text(text)
	for _, name := range []string{tokens.Harmony, "", "nothing known"} {
		if got := shared(t).Counter(tokens.Model{Encoding: name}).Text(text); got != base {
			t.Errorf("Text with %q = %d, want %d", name, got, base)
		}
	}
}

func TestManyCountAtOnce(t *testing.T) {
	t.Parallel()
	var encodings tokens.Encodings
	c := encodings.Counter(tokens.Model{Encoding: tokens.R50K})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { encodings.Warm(tokens.R50K, tokens.P50K) })
		wg.Go(func() {
			if n := c.Text([]byte("hello world")); n != 2 {
				t.Errorf("Text = %d, want 2", n)
			}
		})
	}
	wg.Wait()
	if got := c.Model().Encoding; got != tokens.R50K {
		t.Errorf("Model().Encoding = %q", got)
	}
}

// A request of 2 KB of English.
func BenchmarkRequest(b *testing.B) {
	text := strings.Repeat("The quick brown fox jumps over the lazy dog, and nobody minds. ", 33)[:2048]
	body := user(`"`+text+`"`, "")
	r := parse(new(testing.T), body)
	for _, model := range []string{"gpt-4", "gpt-4o"} {
		b.Run(model, func(b *testing.B) {
			c := shared(b).Counter(tokens.Lookup(model))
			c.Text([]byte(text))
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				c.Request(r)
			}
		})
	}
}
