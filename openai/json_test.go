package openai_test

import (
	"encoding/json"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/openai"
)

// mustParse returns the value that text holds.
func mustParse(t testing.TB, text string) openai.Value {
	t.Helper()
	v, err := openai.ParseValue([]byte(text))
	if err != nil {
		t.Fatalf("ParseValue(%.80q): %v", text, err)
	}
	return v
}

// members returns an object's text with n members.
func members(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`,"k` + strconv.Itoa(i) + `":0`)
	}
	return "{" + strings.TrimPrefix(b.String(), ",") + "}"
}

func TestParseValueRefuses(t *testing.T) {
	t.Parallel()
	const (
		begins   = "there is no value that begins so"
		ends     = "the text ends where a value should be"
		behind   = "there is more text behind the value"
		twice    = "a name stands twice in one object"
		utf8     = "a string is not valid UTF-8"
		escape   = "a string has an escape that means nothing"
		control  = "a string has a control character that is not escaped"
		digits   = "a number has no digits or begins with a zero too many"
		point    = "a number has no digits behind its point"
		exponent = "a number has no digits in its exponent"
		comma    = "a comma or a closing bracket is missing"
		name     = "a member's name is missing"
		colon    = "a colon is missing"
		open     = "a string has no end"
		deep     = "values are nested deeper than 64"
		many     = "there are more than 200000 values"
	)
	for _, tt := range []struct {
		name, src string
		message   string
		offset    int
	}{
		{"nothing", "", ends, 0},
		{"white space alone", " \t\r\n", ends, 4},
		{"byte order mark", "\ufeff{}", begins, 0},
		{"byte order mark of UTF-16, big end first", "\xfe\xff\x00{\x00}", begins, 0},
		{"byte order mark of UTF-16, small end first", "\xff\xfe{\x00}\x00", begins, 0},
		{"UTF-16 without a mark", "{\x00}\x00", name, 1},
		{"UTF-32", "\x00\x00\x00{\x00\x00\x00}", begins, 0},
		{"NUL alone", "\x00", begins, 0},
		{"NUL behind", "{}\x00", behind, 2},
		{"form feed as white space", "\f{}", begins, 0},
		{"vertical tab as white space", "[1,\v2]", begins, 3},
		{"no-break space as white space", "\u00a0{}", begins, 0},
		{"line separator as white space", "[\u2028]", begins, 1},
		{"comment of a line", "{}//x", behind, 2},
		{"comment of a block", "/**/{}", begins, 0},
		{"comment inside", "[1/**/]", comma, 2},

		{"names alike", `{"a":1,"a":2}`, twice, 7},
		{"names alike, one escaped", `{"a":1,"\u0061":2}`, twice, 7},
		{"names alike, both escaped, otherwise", `{"\u006d":1,"\u006D":2}`, twice, 12},
		{"names alike, escaped by one letter", `{"\/":1,"/":2}`, twice, 8},
		{"names alike, surrogates and raw", `{"😀":1,"\ud83d\ude00":2}`, twice, 10},
		{"names alike, empty", `{"":1,"":2}`, twice, 6},
		{"names alike, with NUL", `{"\u0000":1,"\u0000":2}`, twice, 12},
		{"names alike deep inside", `{"x":[{"y":{"a":1,"b":2,"a":3}}]}`, twice, 24},
		{"names alike around an object", `{"a":{"b":1},"a":2}`, twice, 13},
		{"names alike among many", strings.TrimSuffix(members(40), "}") + `,"k7":1}`, twice, 311},
		{"names alike among many, escaped", strings.TrimSuffix(members(40), "}") + `,"\u006b7":1}`, twice, 311},
		{"the thirteenth name like the first", strings.TrimSuffix(members(12), "}") + `,"k0":1}`, twice, 87},
		{"the twelfth name like the first", strings.TrimSuffix(members(11), "}") + `,"k0":1}`, twice, 79},

		{"high surrogate alone", `"\ud83d"`, escape, 1},
		{"high surrogate and text", `"a\ud83dx"`, escape, 2},
		{"high surrogate and another escape", `"\ud83d\n"`, escape, 1},
		{"high surrogate twice", `"\ud83d\ud83d"`, escape, 1},
		{"high surrogate and no surrogate", `"\ud83d\u0061"`, escape, 1},
		{"high surrogate and half an escape", `"\ud83d\ude0"`, escape, 1},
		{"low surrogate alone", `"\ude00"`, escape, 1},
		{"low surrogate twice", `"\ude00\ude00"`, escape, 1},
		{"high surrogate and the last high one", `"\ud83d\udbff"`, escape, 1},
		{"high surrogate and the first behind the low ones", `"\ud83d\ue000"`, escape, 1},
		{"surrogates in the wrong order", `"\ude00\ud83d"`, escape, 1},
		{"the last low surrogate", `"\udfff"`, escape, 1},
		{"surrogate in a name", `{"\ud800":1}`, escape, 2},
		{"surrogate encoded in UTF-8", "\"\xed\xa0\x80\"", utf8, 1},
		{"surrogate pair encoded in UTF-8", "\"\xed\xa0\xbd\xed\xb8\x80\"", utf8, 1},

		{"overlong slash", "\"\xc0\xaf\"", utf8, 1},
		{"overlong NUL", "\"\xc0\x80\"", utf8, 1},
		{"overlong in three bytes", "\"\xe0\x80\xaf\"", utf8, 1},
		{"overlong in four bytes", "\"\xf0\x80\x80\xaf\"", utf8, 1},
		{"overlong quote", "\"\xc0\xa2\"", utf8, 1},
		{"continuation alone", "\"abc\x80\"", utf8, 4},
		{"rune cut by the quote", "\"\xe2\x82\"", utf8, 1},
		{"rune cut by the end", "\"\xe2\x82", utf8, 1},
		{"beyond Unicode", "\"\xf4\x90\x80\x80\"", utf8, 1},
		{"five bytes", "\"\xf8\x88\x80\x80\x80\"", utf8, 1},
		{"0xFF", "\"\xff\"", utf8, 1},
		{"Latin-1", "\"na\xefve text\"", utf8, 3},
		{"bad UTF-8 in a name", "{\"\xff\":1}", utf8, 2},
		{"bad UTF-8 behind eight good bytes", "\"01234567\x9f\"", utf8, 9},

		{"escape of nothing", `"\x41"`, escape, 1},
		{"escape of a single quote", `"\'"`, escape, 1},
		{"escape of zero", `"\0"`, escape, 1},
		{"escape of a line's end", "\"\\\n\"", escape, 1},
		{"escape in capitals", `"\U0041"`, escape, 1},
		{"escape too short", `"\u004"`, escape, 1},
		{"escape with no digits", `"\u"`, escape, 1},
		{"escape with a sign", `"\u+041"`, escape, 1},
		{"escape with a wrong digit", `"\u00g1"`, escape, 1},
		{"escape with digits beyond ASCII", "\"\\u00４１\"", escape, 1},
		{"escape with braces", `"\u{41}"`, escape, 1},
		{"escape cut by the end", `"\`, escape, 1},
		{"escape of the closing quote", `"\"`, open, 0},
		{"line feed in a string", "\"a\nb\"", control, 2},
		{"tab in a string", "\"a\tb\"", control, 2},
		{"NUL in a string", "\"\x00\"", control, 1},
		{"0x1F in a string", "\"01234567\x1f\"", control, 9},
		{"control character in a name", "{\"a\rb\":1}", control, 3},
		{"string without an end", `"abc`, open, 0},
		{"string in single quotes", `'abc'`, begins, 0},

		{"NaN", "NaN", begins, 0},
		{"Infinity", "Infinity", begins, 0},
		{"minus Infinity", "-Infinity", digits, 1},
		{"minus NaN", `{"a":-NaN}`, digits, 6},
		{"undefined", "undefined", begins, 0},
		{"True", "True", begins, 0},
		{"NULL", "NULL", begins, 0},
		{"nul", "nul", begins, 0},
		{"nulL", "nulL", begins, 0},
		{"tru at the end", "[tru", begins, 1},
		{"truex", "truex", behind, 4},
		{"falsefalse", "[falsefalse]", comma, 6},
		{"a leading zero", "01", digits, 0},
		{"two zeros", "00", digits, 0},
		{"a negative leading zero", "-01", digits, 1},
		{"a leading zero before a point", "00.5", digits, 0},
		{"a plus", "+1", begins, 0},
		{"a plus in an object", `{"n":+1}`, begins, 5},
		{"a minus alone", "-", digits, 1},
		{"two minuses", "--1", digits, 1},
		{"a minus and a space", "- 1", digits, 1},
		{"no digit before the point", ".5", begins, 0},
		{"no digit behind the point", "1.", point, 2},
		{"no digit behind the point, exponent", "1.e1", point, 2},
		{"no digit in the exponent", "1e", exponent, 2},
		{"a sign alone in the exponent", "1e+", exponent, 3},
		{"two points", "1.2.3", behind, 3},
		{"a point in the exponent", "1e1.5", behind, 3},
		{"hexadecimal", "0x10", behind, 1},
		{"octal", "0o10", behind, 1},
		{"underscores", "1_000", behind, 1},
		{"thousands", "[1 000]", comma, 3},
		{"a suffix", "1n", behind, 1},
		{"digits beyond ASCII", "１", begins, 0},

		{"another document", "{} {}", behind, 3},
		{"another document on a line of its own", "{}\n{}", behind, 3},
		{"another value", "1 2", behind, 2},
		{"a closing bracket too many", "[]]", behind, 2},
		{"the wrong closing bracket", "[}", begins, 1},
		{"the wrong closing brace", `{"a":1]`, comma, 6},
		{"a comma behind", "[1,]", begins, 3},
		{"a comma behind a member", `{"a":1,}`, name, 7},
		{"a comma before", "[,1]", begins, 1},
		{"a comma before a member", `{,"a":1}`, name, 1},
		{"two commas", "[1,,2]", begins, 3},
		{"a comma alone", "[,]", begins, 1},
		{"no comma", "[1 2]", comma, 3},
		{"no comma between members", `{"a":1 "b":2}`, comma, 7},
		{"no colon", `{"a" 1}`, colon, 5},
		{"two colons", `{"a"::1}`, begins, 5},
		{"no value", `{"a":}`, begins, 5},
		{"no name", `{:1}`, name, 1},
		{"a name without quotes", `{a:1}`, name, 1},
		{"a name that is a number", `{1:1}`, name, 1},
		{"a name that is null", `{null:1}`, name, 1},
		{"a member in an array", `["a":1]`, comma, 4},
		{"an equals sign", `{"a"=1}`, colon, 4},
		{"an array without an end", "[1,2", comma, 4},
		{"an object without an end", `{"a":1`, comma, 6},
		{"an object that has begun", "{", name, 1},
		{"an array that has begun", "[", ends, 1},

		{"65 arrays", strings.Repeat("[", 65) + strings.Repeat("]", 65), deep, 64},
		{"65 objects", strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65), deep, 320},
		{"a hundred thousand arrays", strings.Repeat("[", 100_000), deep, 64},
		{"a million objects, all open", strings.Repeat(`{"a":`, 1_000_000), deep, 320},
		{"too many elements", "[" + strings.Repeat("0,", openai.MaxValues-1) + "0]", many, 2*openai.MaxValues - 1},
		{"too many objects", "[" + strings.Repeat("{},", 1_000_000) + "{}]", many, 3*(openai.MaxValues-1) + 1},
		{"too many names", members(openai.MaxValues / 2), many, len(members(openai.MaxValues/2)) - 2},
		{"a million commas", "[" + strings.Repeat(",", 1_000_000) + "]", begins, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v, err := openai.ParseValue([]byte(tt.src))
			fault, ok := errors.AsType[*openai.SyntaxError](err)
			if !ok {
				t.Fatalf("ParseValue(%.80q) = %.80q, %v, want a *SyntaxError", tt.src, v.Raw(), err)
			}
			want := &openai.SyntaxError{Offset: tt.offset, Message: tt.message}
			if diff := cmp.Diff(want, fault); diff != "" {
				t.Errorf("ParseValue(%.80q) (-want +got):\n%s", tt.src, diff)
			}
			if v != (openai.Value{}) {
				t.Errorf("ParseValue(%.80q) returns %v beside an error", tt.src, v.Kind())
			}
			if want := tt.message + " at byte " + strconv.Itoa(tt.offset); err.Error() != want {
				t.Errorf("Error() = %q, want %q", err, want)
			}
		})
	}
}

func TestParseValueAccepts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, src string
		kind      openai.Kind
	}{
		{"null", "null", openai.Null},
		{"true", "true", openai.Bool},
		{"false", "false", openai.Bool},
		{"zero", "0", openai.Number},
		{"minus zero", "-0", openai.Number},
		{"a fraction", "-0.10", openai.Number},
		{"an exponent", "1E+05", openai.Number},
		{"a number that no float64 holds", "1e400", openai.Number},
		{"a number that is smaller than any float64", "1e-400", openai.Number},
		{"an integer of 400 digits", strings.Repeat("9", 400), openai.Number},
		{"the largest int64", "9223372036854775807", openai.Number},
		{"the empty string", `""`, openai.String},
		{"every short escape", `"\"\\\/\b\f\n\r\t"`, openai.String},
		{"an escaped NUL", `"\u0000"`, openai.String},
		{"a surrogate pair", `"\ud83d\ude00"`, openai.String},
		{"the last character of Unicode", `"\udbff\udfff"`, openai.String},
		{"a noncharacter", "\"\uffff\"", openai.String},
		{"the replacement character", "\"\ufffd\"", openai.String},
		{"a byte order mark inside a string", "\"\ufeff\"", openai.String},
		{"DEL, line separators and C1 controls", "\"\x7f\u2028\u2029\u0085\"", openai.String},
		{"the empty array", "[]", openai.Array},
		{"the empty array with space inside", "[ \n]", openai.Array},
		{"the empty object", "{}", openai.Object},
		{"space wherever it may stand", " { \"a\" : [ 1 , 2 ] ,\r\n\t\"b\" : { } } \n", openai.Object},
		{"names that differ in case", `{"a":1,"A":2}`, openai.Object},
		{"names that differ in their normal form", "{\"\u00e9\":1,\"e\u0301\":2}", openai.Object},
		{"one name in two objects", `[{"a":1},{"a":1,"b":{"a":1}}]`, openai.Array},
		{"a name escaped twice over", `{"a":1,"\\u0061":2}`, openai.Object},
		{"many names", members(5000), openai.Object},
		{"64 arrays", strings.Repeat("[", 64) + strings.Repeat("]", 64), openai.Array},
		{"64 objects", strings.Repeat(`{"a":`, 64) + "1" + strings.Repeat("}", 64), openai.Object},
		{"64 deep, twice", "[" + strings.Repeat("[", 63) + strings.Repeat("]", 63) + "," + strings.Repeat("[", 63) + strings.Repeat("]", 63) + "]", openai.Array},
		{"as many values as may be", "[" + strings.Repeat("0,", openai.MaxValues-2) + "0]", openai.Array},
		{"a long string", `"` + strings.Repeat("wörter ", 200_000) + `"`, openai.String},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v, err := openai.ParseValue([]byte(tt.src))
			if err != nil {
				t.Fatalf("ParseValue(%.80q): %v", tt.src, err)
			}
			if v.Kind() != tt.kind {
				t.Errorf("ParseValue(%.80q) is of kind %d, want %d", tt.src, v.Kind(), tt.kind)
			}
			if want := strings.Trim(tt.src, " \n"); string(v.Raw()) != want {
				t.Errorf("Raw() = %.80q, want %.80q", v.Raw(), want)
			}
			if !json.Valid(v.Raw()) {
				t.Errorf("encoding/json refuses %.80q", v.Raw())
			}
		})
	}
}

// TestParseValueOfEveryPiece cuts a document short at each of its bytes, and
// puts each byte in the place of each: what is not refused must be JSON.
func TestParseValueOfEveryPiece(t *testing.T) {
	t.Parallel()
	const doc = `{"model":"gpt-4o","n":-1.5e+3,"a":[true,false,null,{}],"t":"é\u00e9\ud83d\ude00\n"}`
	mustParse(t, doc)
	for i := range len(doc) {
		if v, err := openai.ParseValue([]byte(doc[:i])); err == nil {
			t.Errorf("ParseValue(%q) = %q, want an error", doc[:i], v.Raw())
		}
	}
	for i := range len(doc) {
		for c := range 256 {
			src := []byte(doc)
			src[i] = byte(c)
			if _, err := openai.ParseValue(src); err == nil && !json.Valid(src) {
				t.Errorf("ParseValue accepts %q", src)
			}
		}
	}
}

// TestParseValueTakesLittleOfHostileText feeds texts that make careless parsers
// slow, or large. All that is allocated for any of them, what was given back
// included, must stay below a small multiple of it.
func TestParseValueTakesLittleOfHostileText(t *testing.T) {
	const budget = 12 * 4 << 20
	const size = 4 << 20
	for _, tt := range []struct{ name, src string }{
		{"brackets", strings.Repeat("[", size)},
		{"braces", strings.Repeat("{},", size/3)},
		{"escapes", `"` + strings.Repeat(`\n`, size/2) + `"`},
		{"escaped quotes", strings.Repeat(`\"`, size/2)},
		{"escapes in names", `{"` + strings.Repeat(`\u0061`, size/24) + `b":1,"` + strings.Repeat(`\u0061`, size/24) + `c":1}`},
		{"twelve long escaped names", longNames(12, size/12)},
		{"thirteen long escaped names", longNames(13, size/13)},
		{"one digit after another", strings.Repeat("9", size)},
		{"minus signs", strings.Repeat("-", size)},
		{"space", strings.Repeat(" ", size)},
		{"many small objects", "[" + strings.Repeat(`{"a":1,"b":2},`, 30_000) + "0]"},
		{"no end", `"` + strings.Repeat("a", size)},
		{"many names", members(openai.MaxValues/2 - 1)},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = openai.ParseValue([]byte(tt.src))
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > budget {
			t.Errorf("%s: ParseValue of %d bytes allocates %d, want at most %d", tt.name, len(tt.src), got, budget)
		}
	}
}

// longNames returns an object with n names of size bytes that differ at their end.
func longNames(n, size int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`,"` + strings.Repeat(`\u0061`, size/6) + strconv.Itoa(i) + `":0`)
	}
	return "{" + strings.TrimPrefix(b.String(), ",") + "}"
}
