package openai_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"weir/openai"
)

// TestMedia holds of what else than text a request and its answer are taken to be.
func TestMedia(t *testing.T) {
	t.Parallel()
	const user = `{"messages":[{"role":"user","content":CONTENT}]}`
	said := func(parts ...string) string {
		return strings.Replace(user, "CONTENT", "["+strings.Join(parts, ",")+"]", 1)
	}
	asked := func(fields string) string { return `{"messages":[{"role":"user","content":"a"}],` + fields + `}` }
	const (
		text  = `{"type":"text","text":"a"}`
		sound = `{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}`
		image = `{"type":"image_url","image_url":{"url":"data:"}}`
	)
	type m = openai.Media
	tests := []struct {
		name string
		op   openai.Operation
		body string
		want m
	}{
		{"a text", openai.Chat, strings.Replace(user, "CONTENT", `"a"`, 1), m{}},
		{"no content", openai.Chat, `{"messages":[{"role":"assistant"}]}`, m{}},
		{"parts of text", openai.Chat, said(text, text), m{}},
		{"a refusal", openai.Chat, said(`{"type":"refusal","refusal":"a"}`), m{}},
		{"sound", openai.Chat, said(text, sound), m{AudioInput: true}},
		{"an image", openai.Chat, said(image), m{ImageInput: true}},
		{"a file", openai.Chat, said(`{"type":"file","file":{"file_data":"x"}}`), m{ImageInput: true}},
		{"both", openai.Chat, said(image, sound), m{AudioInput: true, ImageInput: true}},
		{"a part of a kind to come", openai.Chat, said(`{"type":"smell"}`), m{AudioInput: true, ImageInput: true}},
		{"a part of no kind", openai.Chat, said(`{"text":"a"}`), m{AudioInput: true, ImageInput: true}},
		{"a part that is none", openai.Chat, said(`7`), m{AudioInput: true, ImageInput: true}},
		{"content that is none", openai.Chat, strings.Replace(user, "CONTENT", `{"type":"text"}`, 1), m{AudioInput: true, ImageInput: true}},
		{"an answer before, aloud", openai.Chat, `{"messages":[{"role":"assistant","audio":{"id":"audio_1"}}]}`, m{AudioInput: true}},
		{"modalities of text", openai.Chat, asked(`"modalities":["text"]`), m{}},
		{"no modalities", openai.Chat, asked(`"modalities":null`), m{}},
		{"modalities of both", openai.Chat, asked(`"modalities":["text","audio"]`), m{AudioOutput: true}},
		{"modalities that are empty", openai.Chat, asked(`"modalities":[]`), m{AudioOutput: true}},
		{"modalities that are no list", openai.Chat, asked(`"modalities":"text"`), m{AudioOutput: true}},
		{"modalities to come", openai.Chat, asked(`"modalities":["smell"]`), m{AudioOutput: true}},
		{"a response", openai.Responses, `{"input":"a"}`, m{}},
		{"items of text", openai.Responses, `{"input":[{"role":"user","content":"a"},{"type":"message","content":[{"type":"input_text","text":"a"},{"type":"output_text","text":"b"}]},{"type":"function_call","arguments":"{}"},{"type":"function_call_output","output":"c"},{"type":"reasoning","summary":[]}]}`, m{}},
		{"an item of sound", openai.Responses, `{"input":[{"role":"user","content":[{"type":"input_audio"}]}]}`, m{AudioInput: true}},
		{"an image of a tool's", openai.Responses, `{"input":[{"type":"function_call_output","output":[{"type":"input_image"}]}]}`, m{ImageInput: true}},
		{"an item that is named", openai.Responses, `{"input":[{"type":"item_reference","id":"x"}]}`, m{AudioInput: true, ImageInput: true}},
		{"what upstream keeps", openai.Responses, `{"input":"a","previous_response_id":"resp_1"}`, m{AudioInput: true, ImageInput: true}},
		{"a conversation", openai.Responses, `{"input":"a","conversation":"conv_1"}`, m{AudioInput: true, ImageInput: true}},
		{"a response aloud", openai.Responses, `{"input":"a","output_modalities":["audio"],"previous_response_id":null}`, m{AudioOutput: true}},
		{"images", openai.Images, `{"prompt":"a"}`, m{ImageOutput: true}},
		{"an edit", openai.ImageEdits, `{"prompt":"a"}`, m{ImageInput: true, ImageOutput: true}},
		{"speech", openai.Speech, `{"input":"a"}`, m{AudioOutput: true}},
		{"a transcript", openai.Transcriptions, `{}`, m{AudioInput: true}},
		{"embeddings", openai.Embeddings, `{"input":"a"}`, m{}},
		{"a session", openai.Realtime, `{"type":"x"}`, m{AudioInput: true, ImageInput: true, AudioOutput: true, ImageOutput: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := openai.ParseAs(tt.op, []byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Media(); got != tt.want {
				t.Errorf("%s is of %+v, want %+v", tt.body, got, tt.want)
			}
		})
	}
	for _, body := range []string{asked(`"Modalities":["audio"]`), asked(`"modalitie\u017f":["audio"]`), `{"messages":[{"role":"assistant","Audio":{"id":"x"}}]}`} {
		if _, err := openai.Parse([]byte(body)); err == nil {
			t.Errorf("%s is taken", body)
		}
	}
}

// TestSound holds how much of an answer is sound, and that sound is not counted as
// text.
func TestSound(t *testing.T) {
	t.Parallel()
	data := `"` + base64.StdEncoding.EncodeToString(make([]byte, 300)) + `"`
	tests := []struct {
		name, body string
		sound      int
		text       string
	}{
		{"a chunk", `{"choices":[{"delta":{"audio":{"id":"audio_1","data":` + data + `}}}]}`, 300, ""},
		{"what is said", `{"choices":[{"delta":{"audio":{"transcript":"hello"}}}]}`, 0, "hello"},
		{"an answer", `{"choices":[{"message":{"role":"assistant","content":null,"audio":{"id":"audio_1","data":` + data + `,"transcript":"hello","expires_at":7}}}]}`, 300, "hello"},
		{"two", `{"choices":[{"message":{"audio":{"data":` + data + `}}},{"message":{"audio":{"data":` + data + `}}}]}`, 600, ""},
		{"a text", `{"choices":[{"message":{"content":"hello"}}]}`, 0, "hello"},
		{"an event of a response", `{"type":"response.audio.delta","delta":` + data + `}`, 300, ""},
		{"an event of speech", `{"type":"speech.audio.delta","audio":` + data + `}`, 300, ""},
		{"another event", `{"type":"response.output_text.delta","delta":"hello"}`, 0, "hello"},
		{"no sound", `{"choices":[{"delta":{"audio":{"data":7}}},{"delta":{"audio":"hello"}}]}`, 0, "hello"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root, err := openai.ReadValue([]byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			openai.Generated(root, func(_ int64, v openai.Value) { text.WriteString(v.Text()) })
			if got := openai.Sound(root); got != tt.sound || text.String() != tt.text {
				t.Errorf("%d bytes of sound and %q, want %d and %q", got, text.String(), tt.sound, tt.text)
			}
		})
	}
}
