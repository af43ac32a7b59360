package openai_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"weir/openai"
)

// walk calls visit with v and everything in it, and the names of members too
// where names is set.
func walk(v openai.Value, visit func(openai.Value)) {
	visit(v)
	for _, e := range v.Elements() {
		walk(e, visit)
	}
	for _, e := range v.Members() {
		walk(e, visit)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, src, want string }{
		{"empty", `""`, ""},
		{"plain", `"abc"`, "abc"},
		{"beyond ASCII", `"żółw 🐢"`, "żółw 🐢"},
		{"short escapes", `"\"\\\/\b\f\n\r\t"`, "\"\\/\b\f\n\r\t"},
		{"an escape first", `"\nabc"`, "\nabc"},
		{"an escape last", `"abc\n"`, "abc\n"},
		{"small and capital digits", `"\u00e9\u00E9"`, "éé"},
		{"an escaped marker", `"\u003c\u007Cim_start|\u003e"`, "<|im_start|>"},
		{"NUL", `"a\u0000b"`, "a\x00b"},
		{"a surrogate pair", `"x\ud83d\ude00y"`, "x😀y"},
		{"surrogate pairs in capitals", `"\uD83D\uDE00\uDBFF\uDFFF"`, "😀\U0010ffff"},
		{"the first beyond the base plane", `"\ud800\udc00"`, "\U00010000"},
		{"next to the surrogates", `"\ud7ff\ue000"`, "\ud7ff\ue000"},
		{"an escaped backslash and u", `"\\u0041"`, `\u0041`},
		{"the replacement character", `"\ufffd"`, "\ufffd"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := mustParse(t, tt.src)
			if got := v.Text(); got != tt.want {
				t.Errorf("Text() of %s = %q, want %q", tt.src, got, tt.want)
			}
			if got := string(v.Bytes()); got != tt.want {
				t.Errorf("Bytes() of %s = %q, want %q", tt.src, got, tt.want)
			}
			if got := string(v.AppendText([]byte("> "))); got != "> "+tt.want {
				t.Errorf("AppendText(%q) of %s = %q, want %q", "> ", tt.src, got, "> "+tt.want)
			}
			if !v.Is(tt.want) || v.Is(tt.want+"x") {
				t.Errorf("Is(%q) of %s = %v, Is of more = %v", tt.want, tt.src, v.Is(tt.want), v.Is(tt.want+"x"))
			}
			var std string
			if err := json.Unmarshal([]byte(tt.src), &std); err != nil || std != tt.want {
				t.Errorf("encoding/json reads %q, %v", std, err)
			}
		})
	}
}

func TestTextOfOtherKindsIsEmpty(t *testing.T) {
	t.Parallel()
	for _, src := range []string{"null", "true", "1", "[\"a\"]", `{"a":"b"}`, ""} {
		v, _ := openai.ParseValue([]byte(src))
		if v.Text() != "" || v.Bytes() != nil || v.AppendText(nil) != nil || v.Is("") {
			t.Errorf("%q has the text %q, %q, %q; Is(\"\") = %v", src, v.Text(), v.Bytes(), v.AppendText(nil), v.Is(""))
		}
	}
}

func TestZeroValueIsMissing(t *testing.T) {
	t.Parallel()
	var v openai.Value
	if v.Kind() != openai.Missing || v.Raw() != nil || v.Len() != 0 || v.Path() != "" || v.IsTrue() {
		t.Errorf("Value{} = kind %d, raw %q, len %d, path %q, true %v", v.Kind(), v.Raw(), v.Len(), v.Path(), v.IsTrue())
	}
	if v.Get("a") != v || v.At(0) != v {
		t.Errorf("Value{} has a member or an element")
	}
	if _, ok := v.Int(); ok {
		t.Error("Value{} is an integer")
	}
	if _, ok := v.Float(); ok {
		t.Error("Value{} is a float")
	}
	for range v.Members() {
		t.Error("Value{} has a member")
	}
	for range v.Elements() {
		t.Error("Value{} has an element")
	}
}

func TestGet(t *testing.T) {
	t.Parallel()
	v := mustParse(t, `{"a":1,"\u0062":2,"c\/d":3,"\ud83d\ude00":4,"":5,"A":6,"n":null,"o":{"a":7},"l":["a"]}`)
	for _, tt := range []struct{ name, want string }{
		{"a", "1"},
		{"b", "2"},
		{"c/d", "3"},
		{"😀", "4"},
		{"", "5"},
		{"A", "6"},
		{"n", "null"},
		{"o", `{"a":7}`},
		{`\u0062`, ""},
		{"B", ""},
		{"zz", ""},
		{"d", ""},
	} {
		if got := string(v.Get(tt.name).Raw()); got != tt.want {
			t.Errorf("Get(%q) = %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := v.Get("l").Get("a"); got.Kind() != openai.Missing {
		t.Errorf("Get(a) of an array = %q", got.Raw())
	}
	if got := v.Get("o").Get("a").Get("x"); got.Kind() != openai.Missing {
		t.Errorf("Get(x) of a number = %q", got.Raw())
	}
}

func TestAtAndLen(t *testing.T) {
	t.Parallel()
	v := mustParse(t, `[[],{"a":1,"b":[1,2]},"x",[3,[4]]]`)
	for i, want := range []string{"[]", `{"a":1,"b":[1,2]}`, `"x"`, "[3,[4]]", ""} {
		if got := string(v.At(i).Raw()); got != want {
			t.Errorf("At(%d) = %q, want %q", i, got, want)
		}
	}
	if got := v.At(-1); got.Kind() != openai.Missing {
		t.Errorf("At(-1) = %q", got.Raw())
	}
	for i, want := range []int{0, 2, 0, 2} {
		if got := v.At(i).Len(); got != want {
			t.Errorf("Len() of %s = %d, want %d", v.At(i).Raw(), got, want)
		}
	}
	if got := v.Len(); got != 4 {
		t.Errorf("Len() = %d, want 4", got)
	}
}

func TestIterationStops(t *testing.T) {
	t.Parallel()
	v := mustParse(t, `{"a":[1,2,3],"b":2,"c":3}`)
	var got []string
	for name := range v.Members() {
		got = append(got, name)
		if name == "b" {
			break
		}
	}
	for i, e := range v.Get("a").Elements() {
		got = append(got, string(e.Raw()))
		if i == 1 {
			break
		}
	}
	if diff := cmp.Diff([]string{"a", "b", "1", "2"}, got); diff != "" {
		t.Errorf("visited (-want +got):\n%s", diff)
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		src   string
		n     int64
		isInt bool
		f     float64
		isF   bool
	}{
		{"0", 0, true, 0, true},
		{"-0", 0, true, 0, true},
		{"42", 42, true, 42, true},
		{"-7", -7, true, -7, true},
		{"9223372036854775807", 9223372036854775807, true, 9223372036854775807, true},
		{"-9223372036854775808", -9223372036854775808, true, -9223372036854775808, true},
		{"9223372036854775808", 0, false, 9223372036854775808, true},
		{"1.0", 0, false, 1, true},
		{"1e3", 0, false, 1000, true},
		{"0.75", 0, false, 0.75, true},
		{"1e400", 0, false, 0, false},
		{"1e-400", 0, false, 0, true},
		{`"1"`, 0, false, 0, false},
		{"true", 0, false, 0, false},
	} {
		v := mustParse(t, tt.src)
		if n, ok := v.Int(); ok != tt.isInt || ok && n != tt.n {
			t.Errorf("Int() of %s = %d, %v, want %d, %v", tt.src, n, ok, tt.n, tt.isInt)
		}
		if f, ok := v.Float(); ok != tt.isF || ok && f != tt.f {
			t.Errorf("Float() of %s = %v, %v, want %v, %v", tt.src, f, ok, tt.f, tt.isF)
		}
	}
}

func TestIsTrue(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]bool{"true": true, "false": false, "null": false, `"true"`: false, "1": false} {
		if got := mustParse(t, src).IsTrue(); got != want {
			t.Errorf("IsTrue() of %s = %v, want %v", src, got, want)
		}
	}
}

func TestPath(t *testing.T) {
	t.Parallel()
	const src = `{"messages":[{"role":"user","content":[{"text":"a"},{"text":"b"}]},[[1,2]]],` +
		`"a":{"":{"":"empty"},"[0]":"bracket","x.y":"dot","\u0065":"escaped"},"":["top"]}`
	got := map[string]string{}
	walk(mustParse(t, src), func(v openai.Value) {
		if v.Kind() != openai.Array && v.Kind() != openai.Object {
			got[v.Path()] = string(v.Raw())
		}
	})
	want := map[string]string{
		"messages[0].role":            `"user"`,
		"messages[0].content[0].text": `"a"`,
		"messages[0].content[1].text": `"b"`,
		"messages[1][0][0]":           "1",
		"messages[1][0][1]":           "2",
		"a..":                         `"empty"`,
		"a.[0]":                       `"bracket"`,
		"a.x.y":                       `"dot"`,
		"a.e":                         `"escaped"`,
		"[0]":                         `"top"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	if path := mustParse(t, `{"a":1}`).Path(); path != "" {
		t.Errorf("Path() of the root = %q, want none", path)
	}
}

// TestPathOfName reads the path of a member's name, which Texts hands out.
func TestPathOfName(t *testing.T) {
	t.Parallel()
	r, err := openai.Parse([]byte(`{"messages":[{"role":"user"}],"tools":[{"p":{"":{"x":1},"b":2}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	r.Texts(func(run []openai.Value) bool {
		got = append(got, run[0].Path())
		return true
	})
	want := []string{"messages[0].role", "tools[0].p", "tools[0].p.", "tools[0].p..x", "tools[0].p.b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	v := mustParse(t, `{"messages":[{"role":"user","content":"hello"}],"n":2,"b":true}`)
	got := testing.AllocsPerRun(100, func() {
		m := v.Get("messages").At(0)
		if !m.Get("role").Is("user") || len(m.Get("content").Bytes()) != 5 || !v.Get("b").IsTrue() || v.Len() != 3 {
			t.Fatal("the value reads otherwise")
		}
	})
	if got > 0 {
		t.Errorf("reading allocates %v times, want 0", got)
	}
}

func TestInsertTextAtEveryByte(t *testing.T) {
	t.Parallel()
	const src = `{"a":"x\n<\u007cim\ud83d\ude00é🐢\"\\u0041z","b":1}`
	v := mustParse(t, src).Get("a")
	text := v.Text()
	for n := range len(text) + 2 {
		got := mustParse(t, string(openai.Apply([]byte(src), v.InsertText(n, "\u200d"))))
		at := min(n, len(text))
		for at < len(text) && !utf8.RuneStart(text[at]) {
			at++
		}
		if want := text[:at] + "\u200d" + text[at:]; got.Get("a").Text() != want {
			t.Errorf("InsertText(%d) makes %q, want %q", n, got.Get("a").Text(), want)
		}
		if string(got.Get("b").Raw()) != "1" {
			t.Errorf("InsertText(%d) changes b to %s", n, got.Get("b").Raw())
		}
	}
}

func TestInsertTextAtManyPlaces(t *testing.T) {
	t.Parallel()
	const src = `{"a":"<\u007ca|><|b|>"}`
	v := mustParse(t, src).Get("a")
	got := string(openai.Apply([]byte(src), v.InsertText(7, "-"), v.InsertText(2, "-"), v.InsertText(0, "^"), v.InsertText(10, "$")))
	if want := `{"a":"^<\u007c-a|><|-b|>$"}`; got != want {
		t.Errorf("Apply makes %s, want %s", got, want)
	}
}

// TestRawIsClipped makes sure that appending to what a Value hands out cannot
// write into the text.
func TestRawIsClipped(t *testing.T) {
	t.Parallel()
	src := []byte(`{"a":"x","b":2}`)
	v, err := openai.ParseValue(src)
	if err != nil {
		t.Fatal(err)
	}
	before := string(src)
	_ = append(v.Get("a").Raw(), "!!!!"...)
	_ = append(v.Get("a").Bytes(), "!!!!"...)
	if string(src) != before {
		t.Errorf("the text is now %s", src)
	}
	if names := slices.Collect(keys(v)); strings.Join(names, "") != "ab" {
		t.Errorf("Members() = %q", names)
	}
}

// keys iterates over an object's names.
func keys(v openai.Value) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range v.Members() {
			if !yield(name) {
				return
			}
		}
	}
}
