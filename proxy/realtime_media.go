package proxy

import (
	"weir/openai"
	"weir/quota"
	"weir/usage"
)

// voice is what is known of a session that decides of what its tokens are. The
// session's mu guards it.
type voice struct {
	media  openai.Media // of the conversation so far; what it answers with is not in it
	quiet  bool         // upstream has said that the session answers in text alone
	wished bool         // the client has asked for sound since, and not been told that it has it
	sound  int64        // of the tokens of the conversation those that are of sound, roughly
	begun  int64        // the bytes of sound that were sent since, less than a token's
}

// asked takes note of an event of the client, and returns how many tokens of sound it
// holds. Much sound comes in pieces that are less than a token.
func (v *voice) asked(root openai.Value) (heard int64) {
	if aloud, ok := openai.Aloud(root.Get("session")); ok && aloud {
		v.wished = true // for the contrary upstream is waited for
	}
	v.media = v.media.And(openai.MediaOf(root.Get("item")))
	for _, item := range root.Get("response").Get("input").Elements() {
		v.media = v.media.And(openai.MediaOf(item))
	}
	if sent := openai.Heard(root); sent > 0 {
		v.media.AudioInput = true
		v.begun += int64(sent)
		heard, v.begun = v.begun/soundRate, v.begun%soundRate
		v.sound += heard
	}
	return heard
}

// told takes note of the settings that upstream says the session has.
func (v *voice) told(session openai.Value) {
	if aloud, ok := openai.Aloud(session); ok {
		v.quiet, v.wished = !aloud, v.wished && !aloud
	}
}

// begins returns of what else than text a response may be that is asked for so. What
// it says is heard by those behind it.
func (v *voice) begins(response openai.Value) usage.Kinds {
	k := usage.Kinds(v.media)
	k.AudioOutput = !v.quiet || v.wished
	if aloud, ok := openai.Aloud(response); ok {
		k.AudioOutput = aloud
	}
	v.media.AudioInput = v.media.AudioInput || k.AudioOutput
	return k
}

// counted returns what was heard of a response that does not say it itself. The
// caller holds mu.
func (s *session) counted(u *utterance) openai.Usage {
	out := u.used(s.context+s.settings, s.d.model.Counter)
	out.Audio.Input = min(s.voice.sound, out.Prompt)
	return out
}

// charge adds what a response, or a transcript, has used to the record, and returns
// it as a cost. The caller holds mu.
func (s *session) charge(u openai.Usage, counted bool) quota.Cost {
	const heard = 10 // tokens a second: what a model hears that is paid for by them
	rec, price := s.rec, s.d.model.price(s.rec)
	length := lengthOf(u)
	switch {
	case u.Prompt > 0 || length == 0:
		length = 0
	case price.Second > 0:
		rec.Sound += length
	default:
		u.Prompt, length, counted = int64(length.Seconds()*heard)+1, 0, true
		u.Audio.Input = u.Prompt
	}
	cost := price.Cost(spent(u)).Plus(price.Sound(length))
	rec.Input, rec.Output = rec.Input+u.Prompt, rec.Output+u.Completion
	rec.Cached, rec.Reasoning = rec.Cached+u.Cached, rec.Reasoning+u.Reasoning
	rec.Cost = rec.Cost.Plus(cost)
	rec.Counted = rec.Counted || counted
	return quota.Cost{Tokens: u.Prompt + u.Completion, Spend: int64(cost)}
}
