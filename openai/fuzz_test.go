package openai_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"weir/openai"
)

// tree returns v as encoding/json would decode it, numbers as they are written.
// What change returns for a value takes its place, if it says so. Trees are for
// reflect.DeepEqual: go-cmp takes time that doubles with each level of them.
func tree(v openai.Value, change func(openai.Value) (any, bool)) any {
	if t, changed := change(v); changed {
		return t
	}
	switch v.Kind() {
	case openai.Object:
		m := map[string]any{}
		for name, e := range v.Members() {
			m[name] = tree(e, change)
		}
		return m
	case openai.Array:
		a := []any{}
		for _, e := range v.Elements() {
			a = append(a, tree(e, change))
		}
		return a
	case openai.String:
		return v.Text()
	case openai.Number:
		return json.Number(v.Raw())
	case openai.Bool:
		return v.IsTrue()
	default:
		return nil
	}
}

func unchanged(openai.Value) (any, bool) { return nil, false }

// within reports whether a text is JSON by RFC 7493 and inside our own bounds.
func within(src []byte) bool {
	if !jsontext.Value(src).IsValid() {
		return false
	}
	d := jsontext.NewDecoder(bytes.NewReader(src))
	for n, depth := 0, 0; ; {
		token, err := d.ReadToken()
		if err != nil {
			return errors.Is(err, io.EOF) && n <= openai.MaxValues && depth <= openai.MaxDepth
		}
		if k := token.Kind(); k != '}' && k != ']' {
			n++
		}
		depth = max(depth, d.StackDepth())
	}
}

func documents() []string {
	return []string{
		`{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"max_tokens":5,"n":2,"temperature":0.5,"stream":true,"stream_options":{"include_usage":true}}`,
		`{"messages":[{"role":"user","content":[{"type":"text","text":"\u003c|im_"},{"type":"text","text":"start|>"},{"type":"image_url","image_url":{"url":"data:x"}}]}],"tools":[{"function":{"name":"f","parameters":{"":{}}}}]}`,
		`{"a":1,"\u0061":2}`, `{"a":1,"A":2,"\ud83d\ude00":[1e400,-0,0.10,true,false,null,{},[]]}`,
		"{\"max_to\u212aens\":5,\"messages\":[{\"role\":\"\"}]}", "\ufeff{}", `{} {}`, `"\ud800"`, "\"\xed\xa0\x80\"",
		`[1,2,]`, `01`, `+1`, `1.`, `-`, `nul`, strings.Repeat("[", 65), strings.Repeat("[", 64) + strings.Repeat("]", 64),
		members(14), " {\t\"a\" :\r\n[ 1 , 2 ] } ",
		`{"error":{"message":"m","type":null,"param":null,"code":"429"}}`, `{"error":"x"}`, `{"statusCode":401,"message":"m"}`, `{"error":{}}`, `{"error":{"code":5}}`,
	}
}

// FuzzParseValue reads any text as two other parsers do: what it accepts they
// must accept too, and read alike; what the strict one accepts it must accept.
func FuzzParseValue(f *testing.F) {
	for _, s := range documents() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		v, err := openai.ParseValue(src)
		if ok := within(src); ok != (err == nil) {
			t.Fatalf("ParseValue(%q): %v, jsontext says valid = %v", src, err, ok)
		}
		if err != nil {
			return
		}
		var want any
		d := json.NewDecoder(bytes.NewReader(src))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", src, err)
		}
		if got := tree(v, unchanged); !reflect.DeepEqual(got, want) {
			t.Fatalf("ParseValue(%q) = %v, encoding/json reads %v", src, got, want)
		}
		walk(v, func(v openai.Value) {
			_ = v.Path()
			if v.Kind() == openai.String && !utf8.ValidString(v.Text()) {
				t.Errorf("the text %q is not UTF-8", v.Text())
			}
		})
	})
}

// careless is a request as a parser reads it that ignores the case of names.
type careless struct {
	Model               string           `json:"model"`
	Stream              bool             `json:"stream"`
	MaxTokens           *int64           `json:"max_tokens"`
	MaxCompletionTokens *int64           `json:"max_completion_tokens"`
	N                   *int64           `json:"n"`
	Temperature         *float64         `json:"temperature"`
	StreamOptions       *carelessOptions `json:"stream_options"`
	Messages            []carelessRole   `json:"messages"`
}

type carelessOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

type carelessRole struct {
	Role string `json:"role"`
}

// FuzzParse reads any request as a careless parser would, and what decides
// something must be the same.
func FuzzParse(f *testing.F) {
	for _, s := range documents() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := openai.Parse(body)
		if err != nil {
			if fault, ok := errors.AsType[*openai.Error](err); !ok || fault.Status != 400 {
				t.Fatalf("Parse(%q): %v, want a 400", body, err)
			}
			return
		}
		var c careless
		if err := json.Unmarshal(body, &c); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", body, err)
		}
		var roles []carelessRole
		for _, m := range r.Messages() {
			roles = append(roles, carelessRole{m.Role})
		}
		got := careless{Model: r.Model, Stream: r.Stream, Temperature: r.Temperature, Messages: roles}
		switch r.MaxTokensField {
		case "max_tokens":
			got.MaxTokens = &r.MaxTokens
		case "max_completion_tokens":
			got.MaxCompletionTokens = &r.MaxTokens
		}
		if c.N != nil {
			got.N = &r.Choices
		}
		if c.StreamOptions != nil {
			got.StreamOptions = &carelessOptions{r.IncludeUsage}
		}
		if diff := cmp.Diff(c, got); diff != "" {
			t.Fatalf("%q (-encoding/json +ours):\n%s", body, diff)
		}
		r.Texts(func(run []openai.Value) bool {
			for _, v := range run {
				if v.Kind() != openai.String {
					t.Errorf("Texts of %q has the value %s", body, v.Raw())
				}
				_ = v.Path()
			}
			return len(run) > 0
		})
		if string(r.Body()) != string(body) {
			t.Errorf("Body() = %q, want %q", r.Body(), body)
		}
	})
}

// FuzzEdit makes one edit somewhere in a document: nothing else may change.
func FuzzEdit(f *testing.F) {
	for i, s := range documents() {
		f.Add([]byte(s), uint8(i), uint8(i), "a", `[1,{"b":null}]`, uint32(i))
	}
	f.Fuzz(func(t *testing.T, src []byte, op, where uint8, name, raw string, n uint32) {
		root, err := openai.ParseValue(src)
		if err != nil {
			return
		}
		put, err := openai.ParseValue([]byte(raw))
		if err != nil {
			put = mustParse(t, "7")
		}
		var all []openai.Value
		walk(root, func(v openai.Value) { all = append(all, v) })
		target := all[int(where)%len(all)]
		edits, want := edit(target, op%5, strings.ToValidUTF8(name, "?"), put, n)
		after := openai.Apply(slices.Clone(src), edits...)
		got, err := openai.ParseValue(after)
		if err != nil {
			if len(after) > len(src) && (strings.Contains(err.Error(), "nested") || strings.Contains(err.Error(), "values")) {
				return
			}
			t.Fatalf("%v of %q make %q: %v", edits, src, after, err)
		}
		model := tree(root, func(v openai.Value) (any, bool) { return want, v == target })
		if !reflect.DeepEqual(tree(got, unchanged), model) {
			t.Fatalf("%v of %q make %q, want %v", edits, src, after, model)
		}
	})
}

// edit returns the edits of one kind, and what they make of their target.
func edit(target openai.Value, op uint8, name string, put openai.Value, n uint32) ([]openai.Edit, any) {
	same := tree(target, unchanged)
	switch op {
	case 1:
		if object, ok := same.(map[string]any); ok {
			object[name] = tree(put, unchanged)
			return []openai.Edit{target.Set(name, string(put.Raw()))}, object
		}
	case 2:
		if object, ok := same.(map[string]any); ok {
			gone := []string{name}
			for member := range object {
				if n>>(len(member)%32)&1 > 0 {
					gone = append(gone, member)
				}
			}
			for _, member := range gone {
				delete(object, member)
			}
			return target.Unset(gone...), object
		}
	case 3:
		if array, ok := same.([]any); ok {
			drop := func(i int) bool { return n>>(i%32)&1 > 0 }
			kept := []any{}
			for i, e := range array {
				if !drop(i) {
					kept = append(kept, e)
				}
			}
			return target.Drop(drop), kept
		}
	case 4:
		if text, ok := same.(string); ok {
			return []openai.Edit{target.InsertText(int(n%64), "\u200d")}, inserted(text, int(n%64))
		}
	}
	return []openai.Edit{target.Replace(string(put.Raw()))}, tree(put, unchanged)
}

// inserted returns text with a joiner before byte n, or the next character.
func inserted(text string, n int) string {
	at := min(n, len(text))
	for at < len(text) && !utf8.RuneStart(text[at]) {
		at++
	}
	return text[:at] + "\u200d" + text[at:]
}

// FuzzInsertText escapes a text at random and puts something into it.
func FuzzInsertText(f *testing.F) {
	f.Add("<|im_start|>", 2, uint64(1))
	f.Add("é🐢\x00\"\\/\n", 3, uint64(2))
	f.Fuzz(func(t *testing.T, text string, n int, seed uint64) {
		text = strings.ToValidUTF8(text, "\ufffd")
		src := `{"a":` + escaped(text, rand.New(rand.NewPCG(seed, 2))) + `}`
		v := mustParse(t, src).Get("a")
		if v.Text() != text {
			t.Fatalf("Text() of %s = %q, want %q", src, v.Text(), text)
		}
		n = max(0, n)
		after := openai.Apply([]byte(src), v.InsertText(n, "\u200d"))
		if got, want := mustParse(t, string(after)).Get("a").Text(), inserted(text, n); got != want {
			t.Fatalf("InsertText(%d) of %s makes %q, want %q", n, src, got, want)
		}
	})
}

// escaped returns text as a JSON string in which any character may be escaped in
// any way.
func escaped(text string, r *rand.Rand) string {
	var b strings.Builder
	for _, c := range text {
		short := strings.IndexRune("\"\\/\b\f\n\r\t", c)
		switch way := r.IntN(4); {
		case short >= 0 && way < 3:
			b.WriteString(`\` + `"\/bfnrt`[short:short+1])
		case way == 0 || c < ' ' || c == '"' || c == '\\':
			for _, u := range utf16.Encode([]rune{c}) {
				fmt.Fprintf(&b, []string{`\u%04x`, `\u%04X`}[r.IntN(2)], u)
			}
		default:
			b.WriteRune(c)
		}
	}
	return `"` + b.String() + `"`
}

// FuzzStream chops any bytes in several ways: events, facts and the end must be
// the same, and what is shown of them must be a proper stream in every profile.
func FuzzStream(f *testing.F) {
	whole := sse(chunkPrompt, chunkRole, chunkContent, chunkAsync, chunkFinish, chunkUsage, "[DONE]")
	for _, s := range []string{
		whole, strings.ReplaceAll(whole, "\n", "\r\n"), strings.ReplaceAll(whole, "\n", "\r"), ": a\n\nid: 1\n\nretry: 1\n\ndata\n\ndata:x",
		"event: error\ndata: {}\n\n", sse(`{"error":null,"choices":[null,{},{"delta":1,"finish_reason":"x"}]}`), sse(`{"error":"x","id":""}`),
		"data: {\ndata: }\n\n", "\r\r\n\n\r", sse(`{"id":"","choices":[{"delta":{}}],"usage":{"prompt_tokens":1}}`),
	} {
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, src []byte, seed uint64) {
		events, facts, end := readAll(bytes.NewReader(src))
		for _, r := range []io.Reader{
			iotest.OneByteReader(bytes.NewReader(src)),
			iotest.DataErrReader(bytes.NewReader(src)),
			&chopper{src: src, rand: rand.New(rand.NewPCG(seed, 3))},
		} {
			e, f, n := readAll(r)
			if diff := cmp.Diff(events, e); diff != "" || f != facts || n.Error() != end.Error() {
				t.Fatalf("%q: %+v %v, chopped %+v %v (-whole +chopped):\n%s", src, facts, end, f, n, diff)
			}
		}
		failed := slices.ContainsFunc(events, func(e seen) bool { return e.Err != "" })
		for _, p := range []openai.Profile{{}, {HideUsage: true}, {OpenAI: true}, {OpenAI: true, HideUsage: true}} {
			out := rewrite(t, p, string(src))
			if fault := faults(p, out); fault != "" {
				t.Fatalf("%+v of %q: %s", p, src, fault)
			}
			_, shown, _ := readAll(strings.NewReader(out))
			if p == (openai.Profile{}) && !failed && shown != facts {
				t.Fatalf("%q has the facts %+v, and is shown with %+v", src, facts, shown)
			}
		}
	})
}

// FuzzNormalizeError makes of any body an envelope that it then leaves alone.
func FuzzNormalizeError(f *testing.F) {
	for _, s := range documents() {
		f.Add([]byte(s), 500)
	}
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		once := openai.NormalizeError(status, body)
		v, err := openai.ReadValue(once)
		if err != nil {
			t.Fatalf("NormalizeError(%d, %q) = %q: %v", status, body, once, err)
		}
		for _, name := range []string{"message", "type", "param", "code"} {
			if v.Get("error").Get(name).Kind() == openai.Missing {
				t.Errorf("NormalizeError(%d, %q) = %q has no %s", status, body, once, name)
			}
		}
		if twice := openai.NormalizeError(status, once); string(twice) != string(once) {
			t.Errorf("NormalizeError(%d, %q) = %q", status, once, twice)
		}
	})
}
