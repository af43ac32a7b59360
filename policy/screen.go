package policy

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"weir/openai"
)

// SpecialTokens says what becomes of special tokens in the text of a request.
type SpecialTokens string

// The ways to treat special tokens. The zero value is Reject.
const (
	Reject SpecialTokens = "reject" // refuse the request
	Escape SpecialTokens = "escape" // make them ordinary text
	Allow  SpecialTokens = "allow"  // let them pass
)

// joiner stands behind the first bar of an escaped special token: a zero-width
// joiner, which shows as nothing.
const joiner = "\u200d"

// Markers returns the names of the special tokens of OpenAI's vocabularies and
// formats, each of which stands in text as <|name|>. Besides them there is
// reserved_ with any digits.
//
// Source: the vocabularies of tiktoken 0.14 and the formats of ChatML and
// Harmony, August 2026.
func Markers() []string {
	return []string{
		"endoftext", "endofprompt", "fim_prefix", "fim_middle", "fim_suffix",
		"im_start", "im_end", "im_sep",
		"startoftext", "start", "end", "message", "channel", "constrain", "return", "call",
		"refusal", "untrusted", "end_untrusted", "meta_sep", "meta_end",
	}
}

// Screen looks for special tokens in everything that the model reads as text. Its
// zero value rejects them.
type Screen struct {
	Mode    SpecialTokens
	markers map[string]bool
}

// NewScreen returns a Screen.
func NewScreen(mode SpecialTokens) Screen {
	s := Screen{Mode: mode, markers: map[string]bool{}}
	for _, name := range Markers() {
		s.markers[name] = true
	}
	return s
}

// Check returns the edits that make the request's special tokens harmless, one
// for each, where the mode is Escape. Where it is Reject, a request that has one
// is an *openai.Error that names the token, its field and the character at which
// it begins. A request that no model answers with text of its own may hold any.
func (s Screen) Check(r *openai.Request) ([]openai.Edit, error) {
	if s.Mode == Allow || !r.Operation.Generates() || !mayHold(r.Body()) {
		return nil, nil
	}
	if s.markers == nil {
		s = NewScreen(s.Mode)
	}
	var edits []openai.Edit
	var err error
	var joined []byte
	r.Texts(func(run []openai.Value) bool {
		text := run[0].Bytes()
		if len(run) > 1 {
			joined = joined[:0]
			for _, v := range run {
				joined = v.AppendText(joined)
			}
			text = joined
		}
		for from := 0; ; {
			start, end := s.find(text, from)
			if start < 0 {
				return true
			}
			if s.Mode != Escape {
				err = found(run, start, string(text[start:end]))
				return false
			}
			v, at := locate(run, start+1)
			edits = append(edits, v.InsertText(at+1, joiner))
			from = end
		}
	})
	return edits, err
}

// CheckNumbers refuses a request that sends tokens as numbers, and special ones among
// them, unless the mode is Allow: there is no text in them that could be escaped.
// Special says which numbers stand for no text of the model's. The error is an
// *openai.Error that names the number and its place.
func (s Screen) CheckNumbers(r *openai.Request, special func(token int64) bool) error {
	if s.Mode == Allow {
		return nil
	}
	var err error
	r.Tokens(func(token openai.Value) bool {
		if n, whole := token.Int(); whole && !special(n) {
			return true
		}
		field := token.Path()
		err = openai.BadRequest(openai.CodeSpecialTokens, field, fmt.Sprintf(
			"Failed to generate output due to special tokens in the input. %s, at %s, is no token of text in this model's vocabulary. Remove it.",
			shortened(token.Raw()), field))
		return false
	})
	return err
}

// shortened returns a number as a message may quote it.
func shortened(number []byte) string {
	const most = 32
	return string(number[:min(len(number), most)])
}

// mayHold reports whether a body could hold a special token in any spelling:
// each has two bars, plain or as an escape.
func mayHold(body []byte) bool {
	return bytes.IndexByte(body, '|') >= 0 || bytes.Contains(body, []byte(`\u007`))
}

// find returns where the next special token from byte from on begins and ends;
// start is -1 where there is none.
func (s Screen) find(text []byte, from int) (start, end int) {
	for {
		i := bytes.Index(text[from:], []byte("<|"))
		if i < 0 {
			return -1, -1
		}
		start = from + i
		end = start + 2
		for end < len(text) && (text[end] == '_' || text[end] >= 'a' && text[end] <= 'z' || text[end] >= '0' && text[end] <= '9') {
			end++
		}
		if bytes.HasPrefix(text[end:], []byte("|>")) && s.is(text[start+2:end]) {
			return start, end + 2
		}
		from = start + 2
	}
}

// is reports whether name is that of a special token.
func (s Screen) is(name []byte) bool {
	if digits, ok := bytes.CutPrefix(name, []byte("reserved_")); ok {
		return len(digits) > 0 && len(bytes.Trim(digits, "0123456789")) == 0
	}
	return s.markers[string(name)]
}

// locate returns the string of the run that holds byte n of the whole, and where
// in it.
func locate(run []openai.Value, n int) (openai.Value, int) {
	for _, v := range run {
		size := len(v.Bytes())
		if n < size {
			return v, n
		}
		n -= size
	}
	return openai.Value{}, 0
}

// found is the refusal of a special token.
func found(run []openai.Value, start int, literal string) error {
	v, at := locate(run, start)
	field := v.Path()
	return openai.BadRequest(openai.CodeSpecialTokens, field, fmt.Sprintf(
		"Failed to generate output due to special tokens in the input. Found %q in %s at character %d. "+
			"Remove it, or ask for a policy with special_tokens: escape.",
		literal, field, utf8.RuneCount(v.Bytes()[:at])))
}
