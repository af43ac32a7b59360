package azuresim_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"weir/azuresim"
)

// TestSpokenChat holds what a chat says that is heard and answered aloud, plain and
// in a stream, and which of its tokens are of sound.
func TestSpokenChat(t *testing.T) {
	t.Parallel()
	const heard = `{"type":"input_audio","input_audio":{"format":"wav","data":"` // two seconds
	content := `[{"type":"text","text":"!echo one two three"},` + heard + base64.StdEncoding.EncodeToString(make([]byte, 64_000)) + `"}}]`
	body := `{"modalities":["text","audio"],"messages":[{"role":"user","content":` + content + `}]`
	type audio struct{ ID, Data, Transcript string }
	type chunk struct {
		Choices []struct {
			Message, Delta struct {
				Content *string
				Audio   audio
			}
		}
		Usage struct {
			PromptTokens     int `json:"prompt_tokens"`
			CompletionTokens int `json:"completion_tokens"`
			PromptDetails    struct {
				Audio int `json:"audio_tokens"`
			} `json:"prompt_tokens_details"`
			CompletionDetails struct {
				Audio int `json:"audio_tokens"`
			} `json:"completion_tokens_details"`
		}
	}
	for _, tt := range []struct{ name, body string }{
		{"plain", body + "}"},
		{"a stream", body + `,"stream":true,"stream_options":{"include_usage":true}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := ask(t, azuresim.Config{}, classicPath, tt.body)
			all := []string{r.body}
			if tt.name != "plain" {
				all = chunks(r.body)
			}
			var said audio
			var last chunk
			for _, data := range all {
				var c chunk
				if json.Unmarshal([]byte(data), &c) != nil {
					continue
				}
				last = c
				for _, choice := range c.Choices {
					if text := choice.Message.Content; text != nil {
						t.Errorf("the answer has a text: %s", *text)
					}
					for _, part := range []audio{choice.Message.Audio, choice.Delta.Audio} {
						b, err := base64.StdEncoding.DecodeString(part.Data)
						if err != nil {
							t.Error(err)
						}
						said.ID, said.Transcript, said.Data = said.ID+part.ID, said.Transcript+part.Transcript, said.Data+string(b)
					}
				}
			}
			u := last.Usage
			if said.Transcript != "one two three" || !strings.HasPrefix(said.ID, "audio_") || len(said.Data) != 40*2400 {
				t.Errorf("%s said %q in %d bytes", said.ID, said.Transcript, len(said.Data))
			}
			if u.PromptDetails.Audio != 20 || u.CompletionDetails.Audio != 40 || u.PromptTokens <= 20 || u.CompletionTokens != 44 {
				t.Errorf("usage %+v", u)
			}
		})
	}
}
