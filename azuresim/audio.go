package azuresim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A second of audio has so many bytes and costs so many tokens, whatever its
// format.
const (
	secondBytes  = 32_000
	secondTokens = 10
	audioMost    = 25 << 20 // of a file to be transcribed
)

// readTranscript decodes a transcription or a translation; its prompt, where
// there is one, is the message.
func (c *call) readTranscript() *Step {
	if refused := c.checkForm(); refused != nil {
		return refused
	}
	c.chat = c.formChat("prompt")
	return nil
}

// checkTranscript refuses with OpenAI's texts; what Azure says is guessed to be
// the same.
func (c *call) checkTranscript() *Step {
	file, ok := c.form.part("file")
	format := c.transcriptFormat()
	switch {
	case !ok || file.Filename == "":
		return invalid("Missing required parameter: 'file'.", "file", "missing_required_parameter")
	case file.Size > audioMost:
		return modelError(http.StatusRequestEntityTooLarge,
			fmt.Sprintf("Maximum content size limit (%d) exceeded (%d bytes read)", audioMost, file.Size), "server_error", "", "")
	case file.Size == 0:
		return invalid("Audio file might be corrupted or unsupported", "file", "invalid_value")
	case !slices.Contains([]string{"json", "text", "srt", "vtt", "verbose_json"}, format):
		return invalid("Invalid value: '"+format+"'.", "response_format", "invalid_value")
	case !c.whisper() && format != "json" && format != "text":
		return invalid("response_format '"+format+"' is not compatible with model '"+c.dep.Model+"'. Use 'json' or 'text' instead.", "response_format", "unsupported_value")
	}
	c.chat.tokens = int(c.seconds() * secondTokens)
	return nil
}

func (c *call) transcriptFormat() string {
	return cmp.Or(c.form.value("response_format"), "json")
}

// whisper reports whether the model is of the older kind, which bills seconds
// and does not stream.
func (c *call) whisper() bool { return strings.Contains(strings.ToLower(c.dep.Model), "whisper") }

// seconds is how long the file plays.
func (c *call) seconds() float64 {
	file, _ := c.form.part("file")
	return math.Ceil(float64(file.Size) / secondBytes)
}

// transcript is what the file says.
func (c *call) transcript() string {
	file, _ := c.form.part("file")
	said := c.chat.lastUser()
	if c.step.Content != "" || strings.HasPrefix(said, "!words ") {
		return c.reply(said, ".")
	}
	return fmt.Sprintf("This is %s of %d bytes.", file.Filename, file.Size)
}

func (c *call) composeTranscript() (*Step, []event) {
	text := c.transcript()
	if c.wantsStream() && !c.whisper() {
		return nil, c.transcriptEvents(text)
	}
	output := textTokens(len(text))
	c.bill(output)
	format := c.transcriptFormat()
	if body := c.captions(format, text); body != "" {
		step := &Step{Status: http.StatusOK, Body: body, Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}}
		if format == "vtt" {
			step.Header = http.Header{"Content-Type": {"text/vtt; charset=utf-8"}}
		}
		return step, nil
	}
	o := object{"text": text}
	if !c.step.shape.noUsage {
		o["usage"] = c.audioUsage(output)
	}
	if format == "verbose_json" {
		o["task"], o["language"], o["duration"] = "transcribe", cmp.Or(c.form.value("language"), "english"), c.seconds()
		if strings.HasSuffix(c.route.path, "translations") {
			o["task"] = "translate"
		}
		o["segments"] = []object{{
			"id": 0, "seek": 0, "start": 0.0, "end": c.seconds(), "text": text, "tokens": []int{50364},
			"temperature": 0.0, "avg_logprob": -0.25, "compression_ratio": 1.0, "no_speech_prob": 0.01,
		}}
	}
	return answer(http.StatusOK, c.adorn(o)), nil
}

// captions is the answer in one of the formats of text, "" for the others.
func (c *call) captions(format, text string) string {
	end := time.Duration(c.seconds() * float64(time.Second))
	clock := func(comma string) string {
		return fmt.Sprintf("%02d:%02d:%02d%s000", int(end.Hours()), int(end.Minutes())%60, int(end.Seconds())%60, comma)
	}
	switch format {
	case "text":
		return text + "\n"
	case "srt":
		return "1\n00:00:00,000 --> " + clock(",") + "\n" + text + "\n\n"
	case "vtt":
		return "WEBVTT\n\n00:00:00.000 --> " + clock(".") + "\n" + text + "\n\n"
	default:
		return ""
	}
}

// audioUsage is in seconds for the older models and in tokens for the newer.
func (c *call) audioUsage(output int) object {
	if c.whisper() {
		return object{"type": "duration", "seconds": c.seconds()}
	}
	prompt := c.chat.promptTokens()
	return object{
		"type": "tokens", "input_tokens": prompt, "output_tokens": output, "total_tokens": prompt + output,
		"input_token_details": object{"audio_tokens": c.chat.tokens, "text_tokens": prompt - c.chat.tokens},
	}
}

func (c *call) transcriptEvents(text string) []event {
	var list []event
	for _, piece := range pieces(text, burst, c.step.shape.whole) {
		list = append(list, event{kind: kindContent, bytes: len(piece), data: encode(c.adorn(object{"type": "transcript.text.delta", "delta": piece}))})
	}
	done := object{"type": "transcript.text.done", "text": text}
	if !c.step.shape.noUsage {
		done["usage"] = c.audioUsage(textTokens(len(text)))
	}
	list = append(list, event{kind: kindFinish, data: encode(c.adorn(done))})
	if !c.step.NoDone {
		list = append(list, event{kind: kindDone, data: cmp.Or(c.step.shape.done, "[DONE]")})
	}
	return c.hide(list)
}

// readModeration decodes an input of text, texts or parts.
func (c *call) readModeration() *Step {
	q := &chatRequest{n: 1, plain: true, mute: true}
	var input json.RawMessage
	if refused := c.readFields(q, map[string]any{"input": &input}); refused != nil {
		return refused
	}
	c.chat = q
	m := message{Role: "user", Content: input}
	if m.read(); m.text != "" {
		q.messages = []message{m}
		return nil
	}
	if q.has("input") && !q.readTexts(input) {
		return invalidInput()
	}
	return nil
}

func (c *call) checkModeration() *Step {
	if len(c.chat.messages) == 0 {
		return invalid("Missing required parameter: 'input'.", "input", "missing_required_parameter")
	}
	return nil
}

// composeModeration flags a text that speaks of killing, as violence.
func (c *call) composeModeration() (*Step, []event) {
	results := make([]any, len(c.chat.messages))
	for i, m := range c.chat.messages {
		bad := strings.Contains(m.text, "kill")
		flags, scores, kinds := object{}, object{}, object{}
		for _, category := range []string{
			"harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent",
			"self-harm", "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
		} {
			flags[category], scores[category], kinds[category] = false, 0.0001, []string{"text"}
		}
		if bad {
			flags["violence"], scores["violence"] = true, 0.98
		}
		results[i] = object{"flagged": bad, "categories": flags, "category_scores": scores, "category_applied_input_types": kinds}
	}
	c.bill(0)
	return answer(http.StatusOK, c.adorn(object{"id": fmt.Sprintf("modr-sim%06d", c.number), "model": c.dep.Model, "results": results})), nil
}
