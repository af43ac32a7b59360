package proxy

import (
	"context"
	"time"

	"github.com/coder/websocket"

	"weir/openai"
)

// saidRate is how many bytes of sound come to one token of an answer: a twentieth of
// a second of 16 bits at 24 kHz.
const saidRate = 2400

// utterance is a response of a session, from when it is asked for to its end.
type utterance struct {
	lease *reservation // of what it may use; nil: nothing was left for it
	event string       // the client's that asked for it; "" none did
	named bool         // by the gateway
	said  tally
	sound int // bytes
}

// used returns what was heard of a response that does not say it itself.
func (u *utterance) used(prompt int64, counter Counter) openai.Usage {
	u.said.counter = counter
	sound := int64(u.sound / saidRate)
	return openai.Usage{Prompt: prompt, Completion: u.said.total() + sound, Audio: openai.Part{Output: sound}}
}

// answered returns what is handed on of a deployment's event, and takes note of what
// it tells. Then is what is to be done behind that; nil: nothing.
func (s *session) answered(ctx context.Context, data []byte) (out []byte, then func()) {
	e := openai.ReadRealtime(data)
	refused, masked := s.hear(ctx, &e)
	if masked {
		return e.Unnamed(data), nil
	}
	if refused == nil {
		return data, nil
	}
	cancel := []byte(`{"type":"response.cancel","response_id":` + openai.Quote(e.Response) + `}`)
	return data, func() {
		// Who reads a side must not wait until it takes something in.
		s.all.Go(func() { _ = s.upstream.write(ctx, websocket.MessageText, cancel) }) // who reads it learns that it is gone
		s.tell(ctx, refused, "")
	}
}

// hear takes note of an event. Refused is why the response that it begins must not
// go on; masked that it names an event by an id of the gateway's.
func (s *session) hear(ctx context.Context, e *openai.RealtimeEvent) (refused error, masked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rec.FirstToken == 0 {
		s.rec.FirstToken = time.Since(s.rec.Start)
	}
	switch e.Type {
	case "response.created":
		return s.created(ctx, e.Response), false
	case "session.created", "session.updated":
		s.voice.told(e.Session)
	case "response.done":
		s.done(ctx, e)
	case "error":
		if u := s.tab.withdraw(e.ClientID); u != nil {
			s.tab.end(ctx, s, u, openai.Usage{}, false)
			s.leave()
			masked = u.named
		}
	case "conversation.item.input_audio_transcription.completed":
		if e.HasUsage {
			s.tab.owe(ctx, s, s.charge(e.Usage, false))
		}
	default:
		if u := s.tab.open[e.Response]; u != nil {
			u.sound += e.Sound
			if e.Text.Kind() == openai.String {
				u.said.counter = s.d.model.Counter
				u.said.add(0, e.Text)
			}
		}
	}
	return nil, masked
}

// created notes that a response has begun. The error is why it must not go on: one
// that nobody asked for must fit into the limits too. The caller holds mu.
func (s *session) created(ctx context.Context, id string) error {
	if s.tab.begin(id) {
		return nil
	}
	u := &utterance{}
	_, ended := s.obey()
	var err error
	switch {
	case ended != nil: // of which the client is told at the end
	case s.draining:
		err = stopping()
	default:
		u.lease, err = s.take(ctx, s.estimate(0, s.bound, s.voice.begins(openai.Value{})))
	}
	s.tab.add(id, u)
	return err
}

// done charges a response that has ended. The caller holds mu.
func (s *session) done(ctx context.Context, e *openai.RealtimeEvent) {
	s.rec.FinishReason = openai.Word(e.Status)
	u := s.tab.open[e.Response]
	if u == nil {
		u = &utterance{} // its beginning was not seen
	}
	delete(s.tab.open, e.Response)
	used, counted := e.Usage, false
	if !e.HasUsage {
		used, counted = s.counted(u), true
		if e.Status == "failed" && used.Completion == 0 {
			used, counted = openai.Usage{}, false
		}
	} else {
		s.context = max(0, used.Prompt+used.Completion-s.settings)
		s.voice.sound = used.Audio.Input + used.Audio.Output
	}
	s.tab.end(ctx, s, u, used, counted)
	s.leave()
}
