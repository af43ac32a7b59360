package azuresim

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
)

// speaks reports whether a choice is said aloud: where sound is asked for, and
// there is a text.
func (c *call) speaks(m completion) bool {
	var modes []string
	_ = json.Unmarshal(c.chat.fields["modalities"], &modes) // What is no list asks for nothing.
	return slices.Contains(modes, "audio") && !m.refusal && m.text != ""
}

// answerTokens is what all choices cost: their thoughts, their text, and the sound
// of it, of which note is taken.
func (c *call) answerTokens(all []completion) int {
	output := c.reasoningTokens()
	c.spoken = 0
	for _, m := range all {
		n := textTokens(m.bytes())
		output += n
		if c.speaks(m) {
			c.spoken += n * secondTokens
		}
	}
	return output + c.spoken
}

// noise is the sound of a text: as long as its tokens say, at 16 bits and 24 kHz.
func noise(text string) string {
	const each = 48_000 / 20 // A token of an answer is a twentieth of a second.
	return base64.StdEncoding.EncodeToString(make([]byte, textTokens(len(text))*secondTokens*each))
}

// aloud is a choice that is said aloud.
func (c *call) aloud(i int, m completion) object {
	return object{
		"id": fmt.Sprintf("audio_%06d%03d", c.number, i), "expires_at": c.now.Unix() + 3600,
		"data": noise(m.text), "transcript": m.text,
	}
}

// soundEvents sends a choice piece by piece: what is said, and the sound of it.
func (c *call) soundEvents(i int, m completion) []event {
	whole := c.aloud(i, m)
	delta := func(o object) event {
		return c.chunk(kindContent, i, object{"audio": o}, object{})
	}
	list := []event{delta(object{"id": whole["id"], "transcript": ""})}
	for _, piece := range pieces(m.text, burst, c.step.shape.whole) {
		e := delta(object{"transcript": piece})
		e.bytes = len(piece)
		list = append(list, e, delta(object{"data": noise(piece)}))
	}
	return append(list, delta(object{"expires_at": whole["expires_at"]}))
}
