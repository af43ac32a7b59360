package tokens_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"weir/openai"
	"weir/tokens"
)

// TestBound: whatever a request holds, its exact count is never above the bound.
func TestBound(t *testing.T) {
	t.Parallel()
	var encodings tokens.Encodings
	texts := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z ]{0,40}`), rapid.SampledFrom([]string{
		"", "\u0000", "\u202e\u2066", "中文字", "🙂👩‍👩‍👧", "<|endoftext|>", "\\\\\\", "\x7f", "'ſ", "aaaaaaaaaaaaaaaa", "\n \n\t",
	}))
	rapid.Check(t, func(t *rapid.T) {
		body, err := json.Marshal(map[string]any{
			"model": "gpt-4o", "messages": rapid.SliceOfN(message(texts), 1, 6).Draw(t, "messages"),
			"tools": rapid.SliceOfN(tool(texts), 0, 3).Draw(t, "tools"),
		})
		if err != nil {
			t.Fatal(err)
		}
		r, err := openai.Parse(body)
		if err != nil {
			t.Fatal(err)
		}
		model := tokens.Lookup(rapid.SampledFrom([]string{"gpt-4o", "gpt-4o-mini", "gpt-35-turbo", "gpt-5", "gpt-5.4", "o3", "never-heard"}).Draw(t, "model"))
		c := encodings.Counter(model)
		if exact, bound := c.Request(r).Total, c.Bound(r); exact > bound {
			t.Fatalf("%d tokens, bound %d: %s", exact, bound, body)
		}
	})
}

func message(texts *rapid.Generator[string]) *rapid.Generator[map[string]any] {
	return rapid.Custom(func(t *rapid.T) map[string]any {
		m := map[string]any{"role": rapid.SampledFrom([]string{"user", "system", "developer", "assistant"}).Draw(t, "role")}
		switch rapid.IntRange(0, 4).Draw(t, "form") {
		case 0:
			m["content"] = []any{part(t, texts), part(t, texts)}
		case 1:
			m["role"], m["content"] = "assistant", nil
			m["tool_calls"] = []any{map[string]any{"id": "c", "type": "function", "function": map[string]any{
				"name": texts.Draw(t, "name"), "arguments": texts.Draw(t, "arguments"),
			}}}
		case 2:
			m["role"], m["tool_call_id"], m["content"] = "tool", "c", texts.Draw(t, "result")
		case 3:
			m["content"], m["name"] = texts.Draw(t, "content"), texts.Draw(t, "name")
		default:
			m["content"] = texts.Draw(t, "content")
		}
		return m
	})
}

func part(t *rapid.T, texts *rapid.Generator[string]) map[string]any {
	switch rapid.IntRange(0, 4).Draw(t, "part") {
	case 0:
		detail := rapid.SampledFrom([]string{"low", "high", "auto", "original"}).Draw(t, "detail")
		return map[string]any{"type": "image_url", "image_url": map[string]any{"url": "https://example.com/a.png", "detail": detail}}
	case 1:
		return map[string]any{"type": "image_url", "image_url": map[string]any{"url": "data:image/png;base64," + png(t)}}
	case 2:
		return map[string]any{"type": "file", "file": map[string]any{"file_id": "file-1"}}
	case 3:
		return map[string]any{"type": "input_audio", "input_audio": map[string]any{"data": strings.Repeat("A", rapid.IntRange(0, 64).Draw(t, "audio")), "format": "mp3"}}
	default:
		return map[string]any{"type": "text", "text": texts.Draw(t, "text")}
	}
}

// png returns the beginning of a picture of some size, in base64.
func png(t *rapid.T) string {
	w, h := rapid.IntRange(1, 1<<16).Draw(t, "width"), rapid.IntRange(1, 1<<16).Draw(t, "height")
	head := fmt.Sprintf("\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR%c%c%c%c%c%c%c%c", 0, w>>16, w>>8&0x7f, w&0x7f, 0, h>>16, h>>8&0x7f, h&0x7f)
	b, err := json.Marshal([]byte(head))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Trim(string(b), `"`)
}

func tool(texts *rapid.Generator[string]) *rapid.Generator[map[string]any] {
	return rapid.Custom(func(t *rapid.T) map[string]any {
		leaf := map[string]any{"type": rapid.SampledFrom([]string{"string", "integer", "boolean"}).Draw(t, "type"), "description": texts.Draw(t, "about")}
		return map[string]any{"type": "function", "function": map[string]any{
			"name": texts.Draw(t, "name"), "description": texts.Draw(t, "description"),
			"parameters": map[string]any{"type": "object", "properties": map[string]any{texts.Draw(t, "property"): leaf, "nested": map[string]any{
				"type": "object", "properties": map[string]any{"leaf": leaf}, "anyOf": []any{leaf, leaf},
			}}},
		}}
	})
}
