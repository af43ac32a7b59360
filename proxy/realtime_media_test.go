package proxy

import (
	"strings"
	"testing"

	"weir/openai"
	"weir/usage"
)

// TestVoice holds of what else than text a response is taken to be, by what client and
// deployment have said before.
func TestVoice(t *testing.T) {
	t.Parallel()
	const (
		loud   = `c{"type":"session.update","session":{"output_modalities":["audio"]}}`
		quiet  = `c{"type":"session.update","session":{"output_modalities":["text"]}}`
		isLoud = `d{"output_modalities":["audio"]}`
		isMute = `d{"modalities":["text"]}`
		other  = `d{"voice":"alloy"}`
		ask    = `r{}`
	)
	type k = usage.Kinds
	tests := []struct {
		name string
		says []string // of the client, of the deployment's settings, and responses that are asked for
		want usage.Kinds
	}{
		{"nothing", []string{ask}, k{AudioOutput: true}},
		{"nothing, once more", []string{ask, ask}, k{AudioInput: true, AudioOutput: true}},
		{"settings that say nothing of it", []string{other, ask}, k{AudioOutput: true}},
		{"the client's wish for text alone", []string{quiet, ask}, k{AudioOutput: true}},
		{"text", []string{quiet, isMute, ask}, k{}},
		{"text, once more", []string{isMute, ask, ask}, k{}},
		{"text, and sound is wished for", []string{isMute, loud, ask}, k{AudioOutput: true}},
		{"text, and the wish is not heard yet", []string{quiet, loud, isMute, ask}, k{AudioOutput: true}},
		{"text, and the wish is heard", []string{quiet, loud, isMute, isLoud, ask}, k{AudioOutput: true}},
		{"sound, and then text", []string{loud, isLoud, quiet, isMute, ask}, k{}},
		{"a response aloud", []string{isMute, `r{"modalities":["audio"]}`}, k{AudioOutput: true}},
		{"one behind it", []string{isMute, `r{"modalities":["audio"]}`, ask}, k{AudioInput: true}},
		{"a response in text", []string{`r{"output_modalities":["text"]}`}, k{}},
		{"one of two minds", []string{isMute, `r{"output_modalities":["text"],"modalities":["audio"]}`}, k{AudioOutput: true}},
		{"sound that was sent", []string{isMute, `c{"type":"input_audio_buffer.append","audio":"AAAA"}`, ask}, k{AudioInput: true}},
		{"an item of sound", []string{isMute, `c{"item":{"type":"message","content":[{"type":"input_audio"}]}}`, ask}, k{AudioInput: true}},
		{"an item of an image", []string{isMute, `c{"item":{"type":"message","content":[{"type":"input_image"}]}}`, ask}, k{ImageInput: true}},
		{"an item of text", []string{isMute, `c{"item":{"type":"message","content":[{"type":"input_text"}]}}`, ask}, k{}},
		{"input of a response", []string{isMute, `c{"type":"response.create","response":{"input":[{"type":"item_reference","id":"x"}]}}`, ask}, k{AudioInput: true, ImageInput: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var v voice
			var got usage.Kinds
			for _, said := range tt.says {
				root, err := openai.ReadValue([]byte(said[1:]))
				if err != nil {
					t.Fatal(err)
				}
				switch said[0] {
				case 'c':
					v.asked(root)
				case 'd':
					v.told(root)
				default:
					got = v.begins(root)
				}
			}
			if got != tt.want {
				t.Errorf("behind %v the last response is of %+v, want %+v", tt.says, got, tt.want)
			}
		})
	}
}

// TestVoiceHearsItems holds that sound counts in whatever event it is sent.
func TestVoiceHearsItems(t *testing.T) {
	t.Parallel()
	part := `{"content":[{"type":"input_text","text":"hi"},{"type":"input_audio","audio":"` + strings.Repeat("A", 48000*4/3) + `"}]}`
	for _, event := range []string{
		`{"type":"conversation.item.create","item":` + part + `}`,
		`{"type":"response.create","response":{"input":[` + part + `]}}`,
		`{"type":"input_audio_buffer.append","audio":"` + strings.Repeat("A", 48000*4/3) + `"}`,
	} {
		root, err := openai.ReadValue([]byte(event))
		if err != nil {
			t.Fatal(err)
		}
		var v voice
		if got := v.asked(root); got != 10 || v.sound != 10 || !v.media.AudioInput {
			t.Errorf("%.40s: a second of sound is %d tokens, %d of them sound", event, got, v.sound)
		}
	}
}

// TestVoiceAddsUpSound holds that sound is as long in many small pieces as in one.
func TestVoiceAddsUpSound(t *testing.T) {
	t.Parallel()
	var v voice
	sum := int64(0)
	for range 500 { // of 20 ms
		root, err := openai.ReadValue([]byte(`{"type":"input_audio_buffer.append","audio":"` + strings.Repeat("A", 960*4/3) + `"}`))
		if err != nil {
			t.Fatal(err)
		}
		sum += v.asked(root)
	}
	if v.sound != sum || sum < 99 || sum > 101 {
		t.Errorf("ten seconds of sound are %d tokens, and %d were told", v.sound, sum)
	}
}
