package policy_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"weir/openai"
	"weir/policy"
)

// places returns requests that hold the text, one for each place that a model
// reads; text is JSON. The last of them hold it in the halves that it is cut
// into.
func places(text, head, tail string) []string {
	return []string{
		`{"messages":[{"role":"user","content":` + text + `}]}`,
		`{"messages":[{"role":"system","content":"x","name":` + text + `}]}`,
		`{"messages":[{"role":"user","content":[{"type":"text","text":` + text + `}]}]}`,
		`{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":` + text + `}}]}]}`,
		`{"messages":[{"role":"user","content":"x"}],"tools":[{"function":{"name":"f","description":` + text + `}}]}`,
		`{"messages":[{"role":"user","content":"x"}],"tools":[{"function":{"name":"f","parameters":{"properties":{` + text + `:{}}}}}]}`,
		`{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema","json_schema":{"schema":{"title":` + text + `}}}}`,
		`{"messages":[{"role":"user","content":"x"}],"prediction":{"content":` + text + `}}`,
		`{"messages":[{"role":"user","content":[{"type":"text","text":` + head + `},{"type":"text","text":` + tail + `}]}]}`,
		`{"messages":[{"role":"user","content":[{"type":"text","text":` + head + `},{"type":"text","text":""},{"type":"text","text":` + tail + `}]}]}`,
	}
}

// quote writes s as JSON, with the characters escaped whose bit is set.
func quote(s string, escapes uint64) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, r := range []rune(s) {
		if r < 0x10000 && escapes>>(i%64)&1 == 1 {
			const hex = "0123456789abcdef"
			b.WriteString(`\u`)
			for shift := 12; shift >= 0; shift -= 4 {
				b.WriteByte(hex[r>>shift&15])
			}
			continue
		}
		raw, _ := json.Marshal(string(r))
		b.Write(raw[1 : len(raw)-1])
	}
	b.WriteByte('"')
	return b.String()
}

// FuzzScreen puts a marker into a request at any place, in any text, in any
// spelling and cut anywhere, and wants it found, and gone when it is escaped.
func FuzzScreen(f *testing.F) {
	f.Add("before", "after", uint8(5), uint8(0), uint8(3), uint64(0))
	f.Add("🙂<|", "|>", uint8(0), uint8(8), uint8(1), uint64(1<<63|5))
	f.Add("<", ">", uint8(21), uint8(9), uint8(2), ^uint64(0))
	f.Fuzz(func(t *testing.T, before, after string, marker, place, cut uint8, escapes uint64) {
		if !utf8.ValidString(before) || !utf8.ValidString(after) || len(before)+len(after) > 1000 {
			return
		}
		names := append(policy.Markers(), "reserved_7")
		literal := "<|" + names[int(marker)%len(names)] + "|>"
		at := len(before) + int(cut)%(len(literal)+1)
		text := before + literal + after
		all := places(quote(text, escapes), quote(text[:at], escapes), quote(text[at:], escapes))
		body := all[int(place)%len(all)]
		r, err := openai.Parse([]byte(body))
		if err != nil {
			t.Fatalf("Parse(%s): %v", body, err)
		}
		if _, err := policy.NewScreen(policy.Reject).Check(r); err == nil {
			t.Errorf("nothing is found in %s", body)
		}
		edits, err := policy.NewScreen(policy.Escape).Check(r)
		if err != nil || len(edits) == 0 {
			t.Fatalf("Check(%s) = %v, %v where it must escape", body, edits, err)
		}
		escaped, err := r.With(edits...)
		if err != nil {
			t.Fatalf("escaping %s: %v", body, err)
		}
		if _, err := policy.NewScreen(policy.Reject).Check(escaped); err != nil {
			t.Errorf("escaped to %s, which still has: %v", escaped.Body(), err)
		}
		var was, is any
		if json.Unmarshal(r.Body(), &was) != nil || json.Unmarshal(escaped.Body(), &is) != nil {
			t.Fatalf("no JSON: %s", escaped.Body())
		}
		var had, has int
		old, _ := json.Marshal(strip(was, &had))
		bare, _ := json.Marshal(strip(is, &has))
		if string(old) != string(bare) || has != had+len(edits) {
			t.Errorf("%d edits put %d joiners into %s: %s", len(edits), has-had, body, escaped.Body())
		}
	})
}

// FuzzRetryAfter wants of any header and any text a wait between none and a year.
func FuzzRetryAfter(f *testing.F) {
	f.Add("40", "", "7", "retry after 5 seconds")
	f.Add("NaN", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", "try again in 6m0s")
	f.Add("1e400", "inf", "0x1p4", "retry after ")
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, ms, xms, after, message string) {
		header := map[string]string{"Retry-After-Ms": ms, "X-Ms-Retry-After-Ms": xms, "Retry-After": after}
		d := policy.RetryAfter(func(name string) string { return header[name] }, message, now)
		if d < 0 || d > 365*24*time.Hour {
			t.Errorf("RetryAfter(%q, %q) = %v", header, message, d)
		}
	})
}

// FuzzRead wants of any answer a status and a meaning.
func FuzzRead(f *testing.F) {
	f.Add(500, []byte(`{"error":{"message":"invalid Unicode","code":500}}`), "1")
	f.Add(0, []byte(`{"error":{"code":"429"}}`), "")
	f.Add(400, []byte("<html>"), "x")
	f.Fuzz(func(t *testing.T, status int, body []byte, after string) {
		o := policy.Read(policy.Reply{Status: status, Header: func(string) string { return after }, Body: body})
		if status == 0 && (o.Status < 400 || o.Status > 599 || o.Class == policy.Answered) {
			t.Errorf("Read of the error event %q = %+v, want an error", body, o)
		}
		if status != 0 && o.Status != status {
			t.Errorf("Read(%d, %q) = %+v, want its status kept", status, body, o)
		}
		if (o.Class == policy.Answered) != (status >= 200 && status < 300) || (o.Reason == "") != (o.Class == policy.Answered) {
			t.Errorf("Read(%d, %q) = %+v", status, body, o)
		}
	})
}
