package azuresim

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"slices"
	"unicode/utf8"
)

// speechMost is how many characters can be spoken at once.
const speechMost = 4096

// readSpeech decodes a text to be spoken, which is the message.
func (c *call) readSpeech() *Step {
	q := &chatRequest{n: 1, plain: true, mute: true}
	var input string
	if refused := c.readFields(q, map[string]any{"input": &input}); refused != nil {
		return refused
	}
	q.stream = q.text("stream_format") == "sse"
	if input != "" {
		q.messages = []message{{Role: "user", text: input}}
	}
	c.chat = q
	return nil
}

// speechTypes are the content types by format.
func speechTypes() map[string]string {
	return map[string]string{
		"mp3": "audio/mpeg", "opus": "audio/ogg", "aac": "audio/aac", "flac": "audio/flac", "wav": "audio/wav", "pcm": "audio/pcm",
	}
}

func (c *call) checkSpeech() *Step {
	q := c.chat
	format := q.text("response_format")
	switch {
	case len(q.messages) == 0:
		return invalid("Missing required parameter: 'input'.", "input", "missing_required_parameter")
	case !q.has("voice"):
		return invalid("Missing required parameter: 'voice'.", "voice", "missing_required_parameter")
	case utf8.RuneCountInString(q.messages[0].text) > speechMost:
		return invalid("Invalid 'input': string too long. Expected a string with maximum length 4096.", "input", "string_above_max_length")
	case format != "" && speechTypes()[format] == "":
		return invalid("Invalid value: '"+format+"'.", "response_format", "invalid_value")
	default:
		return nil
	}
}

// speech is sound of a length that the text decides: noise behind the head of
// its format, where that is WAV.
func (c *call) speech() []byte {
	text := c.chat.messages[0].text
	sound := make([]byte, 200*len(text))
	for i := range sound {
		sound[i] = text[i/200] ^ byte(i)
	}
	if c.chat.text("response_format") != "wav" {
		return sound
	}
	head := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00")
	binary.LittleEndian.PutUint32(head[4:], uint32(36+len(sound))) //nolint:gosec // At most 16 KiB spoken.
	head = binary.LittleEndian.AppendUint32(head, 24000)
	head = binary.LittleEndian.AppendUint32(head, 48000)
	head = append(head, "\x02\x00\x10\x00data"...)
	head = binary.LittleEndian.AppendUint32(head, uint32(len(sound))) //nolint:gosec // At most 16 KiB spoken.
	return append(head, sound...)
}

// composeSpeech sends the sound in pieces, as it is or inside events.
func (c *call) composeSpeech() (*Step, []event) {
	output := textTokens(len(c.chat.messages[0].text)) * secondTokens
	var list []event
	var chunks []string
	for piece := range slices.Chunk(c.speech(), 4096) {
		chunks = append(chunks, string(piece))
		list = append(list, event{kind: kindContent, data: encode(object{"type": "speech.audio.delta", "audio": base64.StdEncoding.EncodeToString(piece)})})
	}
	if !c.wantsStream() {
		c.bill(output)
		mime := speechTypes()[cmp.Or(c.chat.text("response_format"), "mp3")]
		return &Step{Status: http.StatusOK, Chunks: chunks, Header: http.Header{"Content-Type": {mime}}}, nil
	}
	done := object{"type": "speech.audio.done"}
	if prompt := c.chat.promptTokens(); !c.step.shape.noUsage {
		done["usage"] = object{"input_tokens": prompt, "output_tokens": output, "total_tokens": prompt + output}
	}
	return nil, c.hide(append(list, event{kind: kindFinish, data: encode(done), bytes: 4 * output}))
}
