package openai

import "strings"

// Media says of what else than text the prompt and the answer of a request may be.
type Media struct{ AudioInput, ImageInput, AudioOutput, ImageOutput bool }

// And returns the media of which either is.
func (m Media) And(o Media) Media {
	return Media{m.AudioInput || o.AudioInput, m.ImageInput || o.ImageInput, m.AudioOutput || o.AudioOutput, m.ImageOutput || o.ImageOutput}
}

// anything is what a prompt may be of that cannot be looked into.
func anything() Media { return Media{AudioInput: true, ImageInput: true} }

// Media returns of what else than text the request and its answer may be. What is not
// known is taken for both.
func (r *Request) Media() Media {
	switch r.Operation {
	case Chat:
		m := Media{AudioOutput: speaks(r.Root)}
		for _, message := range r.Messages() {
			m = m.And(mediaOfList(message.Get("content")))
			m.AudioInput = m.AudioInput || message.Get("audio").Kind() == Object // an answer before
		}
		return m
	case Responses, Compact:
		return r.mediaOfItems()
	case Images:
		return Media{ImageOutput: true}
	case ImageEdits:
		return Media{ImageInput: true, ImageOutput: true}
	case Speech:
		return Media{AudioOutput: true}
	case Transcriptions, Translations:
		return Media{AudioInput: true}
	case Completions, Embeddings, Moderations:
		return Media{}
	default:
		return Media{AudioInput: true, ImageInput: true, AudioOutput: true, ImageOutput: true}
	}
}

// mediaOfItems returns the media of a request of the Responses API. What upstream has
// kept may be anything.
func (r *Request) mediaOfItems() Media {
	m := Media{AudioOutput: speaks(r.Root)}
	for _, kept := range [...]string{"previous_response_id", "conversation", "prompt"} {
		if k := r.Root.Get(kept).Kind(); k != Missing && k != Null {
			m = m.And(anything())
		}
	}
	for _, item := range r.Root.Get("input").Elements() {
		m = m.And(MediaOf(item))
	}
	return m
}

// MediaOf returns of what else than text an item of a conversation may be.
func MediaOf(item Value) Media {
	switch kind := item.Get("type"); {
	case kind.Kind() == Missing, kind.Is("message"), kind.Is("function_call_output"), kind.Is("custom_tool_call_output"):
		return mediaOfList(item.Get("content")).And(mediaOfList(item.Get("output")))
	case kind.Is("function_call"), kind.Is("custom_tool_call"), kind.Is("reasoning"):
		return Media{}
	default:
		return anything()
	}
}

// mediaOfList returns the media of the parts of a message.
func mediaOfList(content Value) Media {
	switch content.Kind() {
	case Missing, Null, String:
		return Media{}
	case Array:
	default:
		return anything()
	}
	var m Media
	for _, part := range content.Elements() {
		switch kind := part.Get("type"); {
		case kind.Is("text"), kind.Is("input_text"), kind.Is("output_text"), kind.Is("refusal"):
		case kind.Is("image_url"), kind.Is("input_image"), kind.Is("file"), kind.Is("input_file"):
			m.ImageInput = true
		case kind.Is("input_audio"), kind.Is("audio"), kind.Is("output_audio"):
			m.AudioInput = true
		default:
			return anything()
		}
	}
	return m
}

// speaks reports whether a request asks for sound.
func speaks(root Value) bool {
	aloud, _ := Aloud(root)
	return aloud
}

// Aloud reports whether what a request, a session or a response says of its
// modalities lets the answer be spoken, ok whether it says anything of them.
func Aloud(in Value) (aloud, ok bool) {
	for _, name := range [...]string{"output_modalities", "modalities"} {
		list := in.Get(name)
		switch list.Kind() {
		case Missing, Null:
			continue
		case Array:
		default:
			return true, true
		}
		aloud, ok = aloud || list.Len() == 0, true
		for _, e := range list.Elements() {
			aloud = aloud || !e.Is("text")
		}
	}
	return aloud, ok
}

// Sound returns how many bytes of sound the model has made in a chunk, in an event, or
// in a whole answer.
func Sound(root Value) int {
	if strings.HasSuffix(root.Get("type").Text(), "audio.delta") {
		return decoded(root.Get("delta")) + decoded(root.Get("audio"))
	}
	n := 0
	for _, c := range root.Get("choices").Elements() {
		for _, name := range [...]string{"delta", "message"} {
			n += decoded(c.Get(name).Get("audio").Get("data"))
		}
	}
	return n
}

// Heard returns how many bytes of sound an event of a realtime client holds: a piece of
// what is spoken, or the sound in items.
func Heard(event Value) int {
	n := decoded(event.Get("audio")) + heardIn(event.Get("item"))
	for _, item := range event.Get("response").Get("input").Elements() {
		n += heardIn(item)
	}
	return n
}

// heardIn is Heard of an item.
func heardIn(item Value) (n int) {
	for _, part := range item.Get("content").Elements() {
		n += decoded(part.Get("audio"))
	}
	return n
}

// decoded returns how many bytes a text in base64 stands for, 0 for what is no text.
func decoded(v Value) int {
	const bytes, letters = 3, 4
	return len(v.inner()) * bytes / letters
}
