package openai_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/openai"
)

func TestApply(t *testing.T) {
	t.Parallel()
	const src = "0123456789"
	for _, tt := range []struct {
		name  string
		edits []openai.Edit
		want  string
	}{
		{"none", nil, src},
		{"a replacement", []openai.Edit{{2, 4, "ab"}}, "01ab456789"},
		{"a removal", []openai.Edit{{2, 4, ""}}, "01456789"},
		{"an insertion", []openai.Edit{{2, 2, "ab"}}, "01ab23456789"},
		{"at the front", []openai.Edit{{0, 0, "a"}}, "a0123456789"},
		{"at the end", []openai.Edit{{10, 10, "a"}}, "0123456789a"},
		{"everything", []openai.Edit{{0, 10, "a"}}, "a"},
		{"in any order", []openai.Edit{{8, 9, "c"}, {0, 1, "a"}, {4, 5, "b"}}, "a123b567c9"},
		{"insertions at one place, in the order given", []openai.Edit{{3, 3, "a"}, {3, 3, "b"}, {3, 3, "c"}}, "012abc3456789"},
		{"an insertion where a removal begins", []openai.Edit{{3, 5, ""}, {3, 3, "a"}}, "012a56789"},
		{"an insertion where a removal ends", []openai.Edit{{5, 5, "a"}, {3, 5, ""}}, "012a56789"},
		{"an insertion inside a removal", []openai.Edit{{4, 4, "a"}, {3, 6, ""}}, "0126789"},
		{"a replacement inside a removal", []openai.Edit{{4, 5, "a"}, {3, 6, "-"}}, "012-6789"},
		{"a replacement at a removal's end", []openai.Edit{{5, 6, "a"}, {3, 6, ""}}, "0126789"},
		{"touching replacements", []openai.Edit{{4, 6, "b"}, {2, 4, "a"}}, "01ab6789"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			given := slices.Clone(tt.edits)
			text := []byte(src)
			if got := string(openai.Apply(text, tt.edits...)); got != tt.want {
				t.Errorf("Apply(%q, %v) = %q, want %q", src, tt.edits, got, tt.want)
			}
			if string(text) != src {
				t.Errorf("Apply changed its text to %q", text)
			}
			if diff := cmp.Diff(given, tt.edits); diff != "" {
				t.Errorf("Apply changed its edits (-want +got):\n%s", diff)
			}
		})
	}
}

func TestApplyKeepsTheOrderOfMany(t *testing.T) {
	t.Parallel()
	var edits []openai.Edit
	var want strings.Builder
	for i := range 100 {
		edits = append(edits, openai.Edit{Start: 1, End: 1, Text: fmt.Sprint(i, ",")}, openai.Edit{Start: 2, End: 2, Text: "x"})
		fmt.Fprint(&want, i, ",")
	}
	if got := string(openai.Apply([]byte("abc"), edits...)); got != "a"+want.String()+"b"+strings.Repeat("x", 100)+"c" {
		t.Errorf("Apply of 200 insertions makes %s", got)
	}
}

func TestApplyOfNothingCopiesNothing(t *testing.T) {
	t.Parallel()
	src := []byte("abc")
	if got := openai.Apply(src); &got[0] != &src[0] {
		t.Error("Apply without edits returns a copy")
	}
}

func TestSet(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, src, member, raw, want string }{
		{"into an empty object", `{}`, "a", "1", `{"a":1}`},
		{"into an empty object with space", "{ \n}", "a", "1", "{\"a\":1 \n}"},
		{"a new member", `{ "b": 2 }`, "a", "1", `{"a":1, "b": 2 }`},
		{"the first", `{"a": null ,"b":2}`, "a", "1", `{"a": 1 ,"b":2}`},
		{"the last", `{"b":2,"a":[1, 2]}`, "a", "{}", `{"b":2,"a":{}}`},
		{"the only one", `{"a":"x"}`, "a", "1", `{"a":1}`},
		{"one whose name is escaped", `{"\u0061":0,"b":2}`, "a", "1", `{"\u0061":1,"b":2}`},
		{"one that differs in case", `{"A":0}`, "a", "1", `{"a":1,"A":0}`},
		{"one of the same name deeper down", `{"b":{"a":0}}`, "a", "1", `{"a":1,"b":{"a":0}}`},
		{"a name that needs escapes", `{}`, "\"\\\x01\n\x7f<é>\u2028", "1", `{"\"\\\u0001\n` + "\x7f<é>" + `\u2028":1}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := string(openai.Apply([]byte(tt.src), mustParse(t, tt.src).Set(tt.member, tt.raw)))
			if got != tt.want {
				t.Errorf("Set(%q, %s) of %s makes %s, want %s", tt.member, tt.raw, tt.src, got, tt.want)
			}
			if v := mustParse(t, got).Get(tt.member); string(v.Raw()) != tt.raw {
				t.Errorf("Get(%q) is now %q, want %q", tt.member, v.Raw(), tt.raw)
			}
		})
	}
}

func TestUnset(t *testing.T) {
	t.Parallel()
	const abc = `{ "a" : 1 , "b" : 2 , "c" : 3 }`
	for _, tt := range []struct {
		name, src string
		names     []string
		want      string
	}{
		{"nothing", abc, nil, abc},
		{"what is not there", abc, []string{"d", "A"}, abc},
		{"the first", abc, []string{"a"}, `{ "b" : 2 , "c" : 3 }`},
		{"the middle", abc, []string{"b"}, `{ "a" : 1 , "c" : 3 }`},
		{"the last", abc, []string{"c"}, `{ "a" : 1 , "b" : 2 }`},
		{"the first two", abc, []string{"b", "a"}, `{ "c" : 3 }`},
		{"the last two", abc, []string{"b", "c"}, `{ "a" : 1 }`},
		{"the first and the last", abc, []string{"a", "c"}, `{ "b" : 2 }`},
		{"all", abc, []string{"c", "b", "a"}, `{  }`},
		{"the only one", `{"a":[{"a":1}]}`, []string{"a"}, `{}`},
		{"an escaped name", `{"\u0061":1,"b":2}`, []string{"a"}, `{"b":2}`},
		{"one that is deeper down too", `{"b":{"a":1},"a":1}`, []string{"a"}, `{"b":{"a":1}}`},
		{"of no object", `["a"]`, []string{"a"}, `["a"]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := string(openai.Apply([]byte(tt.src), mustParse(t, tt.src).Unset(tt.names...)...))
			if got != tt.want {
				t.Errorf("Unset(%q) of %s makes %s, want %s", tt.names, tt.src, got, tt.want)
			}
			mustParse(t, got)
		})
	}
}

func TestDrop(t *testing.T) {
	t.Parallel()
	const src = `[0, 1, {"a":[2, 2]}, "3"]`
	for _, tt := range []struct {
		name string
		drop []int
		want string
	}{
		{"none", nil, src},
		{"the first", []int{0}, `[1, {"a":[2, 2]}, "3"]`},
		{"the second", []int{1}, `[0, {"a":[2, 2]}, "3"]`},
		{"the last", []int{3}, `[0, 1, {"a":[2, 2]}]`},
		{"the ends", []int{0, 3}, `[1, {"a":[2, 2]}]`},
		{"the middle", []int{1, 2}, `[0, "3"]`},
		{"every other", []int{0, 2}, `[1, "3"]`},
		{"all but the first", []int{1, 2, 3}, `[0]`},
		{"all but the last", []int{0, 1, 2}, `["3"]`},
		{"all", []int{0, 1, 2, 3}, `[]`},
		{"one that is not there", []int{9}, src},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			edits := mustParse(t, src).Drop(func(i int) bool { return slices.Contains(tt.drop, i) })
			if got := string(openai.Apply([]byte(src), edits...)); got != tt.want {
				t.Errorf("Drop(%v) makes %s, want %s", tt.drop, got, tt.want)
			}
		})
	}
	if edits := mustParse(t, `{"a":1}`).Drop(func(int) bool { return true }); len(edits) > 0 {
		t.Errorf("Drop of an object's elements makes %v", edits)
	}
}

// TestEditsTogether makes the edits that one request may see at once.
func TestEditsTogether(t *testing.T) {
	t.Parallel()
	const src = `{"n":1,"stop":null,"messages":[{"role":"user","content":"a<|b"},{"role":"user","content":"c<|d"}],"user":"u"}`
	v := mustParse(t, src)
	edits := []openai.Edit{
		v.Set("max_tokens", "5"),
		v.Set("temperature", "0.75"),
		v.Get("n").Replace("2"),
		v.Get("messages").At(0).Get("content").InsertText(3, "-"),
		v.Get("messages").At(1).Get("content").InsertText(3, "-"),
	}
	edits = append(edits, v.Get("messages").Drop(func(i int) bool { return i == 0 })...)
	edits = append(edits, v.Unset("stop", "user")...)
	want := `{"max_tokens":5,"temperature":0.75,"n":2,"messages":[{"role":"user","content":"c<|-d"}]}`
	for range edits {
		edits = append(edits[1:], edits[0])
		got := string(openai.Apply([]byte(src), edits...))
		if v := mustParse(t, got); len(got) != len(want) || v.Get("max_tokens").Raw() == nil || v.Get("messages").Len() != 1 {
			t.Errorf("Apply makes %s, want %s", got, want)
		}
	}
	if got := string(openai.Apply([]byte(src), edits...)); got != want {
		t.Errorf("Apply makes %s, want %s", got, want)
	}
}

// TestSetBesideUnset adds a member where the first one goes.
func TestSetBesideUnset(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ src, want string }{
		{`{"a":1,"b":2}`, `{"new":0,"b":2}`},
		{`{ "a":1,"b":2}`, `{"new":0, "b":2}`},
		{`{"b":2,"a":1}`, `{"new":0,"b":2}`},
	} {
		v := mustParse(t, tt.src)
		got := string(openai.Apply([]byte(tt.src), append(v.Unset("a"), v.Set("new", "0"))...))
		if got != tt.want {
			t.Errorf("Set and Unset of %s make %s, want %s", tt.src, got, tt.want)
		}
	}
}
