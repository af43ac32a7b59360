package proxy

import (
	"weir/openai"
	"weir/usage"
)

// saidTokens is how many tokens of sound come to one of the text that is read out: at
// two and a half words a second three and a third of text, and twenty of sound.
const saidTokens = 6

// drawnTokens is the most that an image comes to, of any size, by its quality.
func drawnTokens(quality openai.Value) int64 {
	switch {
	case quality.Is("low"):
		return 408
	case quality.Is("medium"):
		return 1584
	default:
		return 6240
	}
}

// parted reports whether what a token is of makes a difference to its price.
func (m *Model) parted() bool {
	for _, p := range m.Prices {
		if p.Parted() {
			return true
		}
	}
	return m.Dearest.Parted()
}

// looks takes note of what else than text a request and its answer may be, of the
// first as far as that makes a difference to its price.
func (d *decision) looks() {
	if d.operation.Generates() {
		d.aloud, _ = openai.Aloud(d.request.Root)
	}
	if d.model.parted() {
		d.kinds = usage.Kinds(d.request.Media())
	}
	d.drawn = drawnTokens(d.request.Root.Get("quality"))
}

// made returns the tokens of what a request that asks for no text is thought to be
// answered with: as far as that can be told beforehand.
func (d *decision) made() int64 {
	switch d.operation {
	case openai.Images, openai.ImageEdits:
		return d.choices * d.drawn
	case openai.Speech:
		return d.fitted.Prompt * saidTokens
	default:
		return 0
	}
}

// sorted returns what was used, with that taken for what such a request is about of
// which nobody says what it is of.
func (d *decision) sorted(u openai.Usage) openai.Usage {
	file := max(0, u.Prompt-max(0, d.fitted.Prompt-d.attached.Prompt)) // the rest is text that was counted
	switch op := d.operation; {
	case op.Hears() && u.Audio.Input == 0:
		u.Audio.Input = file
	case op == openai.ImageEdits && u.Image.Input == 0:
		u.Image.Input = file
	}
	switch d.operation {
	case openai.Images, openai.ImageEdits:
		if u.Image.Output == 0 {
			u.Image.Output = u.Completion
		}
	case openai.Speech:
		u.Audio.Output = u.Completion
	default:
	}
	return u
}

// counted returns what an answer has used that does not say it: our own count of the
// prompt, and of what was seen of the answer; nil: it was no text. Files that cannot
// be told from text are charged as what is dearest.
func (d *decision) counted(seen *tally) openai.Usage {
	u := openai.Usage{Prompt: d.prompt()}
	switch {
	case d.operation == openai.Speech:
		u.Completion = d.made()
	case seen != nil:
		u.Audio.Output = seen.spoken()
		u.Completion = seen.total() + u.Audio.Output
	}
	if d.behind { // nobody will tell, so that what was reserved is taken
		u.Completion = max(u.Completion, d.reserved-u.Prompt)
	}
	if d.operation.Generates() && d.kinds.AudioInput {
		u.Audio.Input = u.Prompt
	}
	return u
}

// spent returns what was used as prices are charged for it.
func spent(u openai.Usage) usage.Tokens {
	return usage.Tokens{
		Input: u.Prompt, Cached: u.Cached, Output: u.Completion, Reasoning: u.Reasoning,
		Audio: usage.Part(u.Audio), Image: usage.Part(u.Image),
	}
}
