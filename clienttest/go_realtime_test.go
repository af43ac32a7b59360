package clienttest_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/realtime"
)

// goRealtime returns what openai-go must do in realtime sessions, which it opens on
// OpenAI's paths alone.
func goRealtime() []goCase {
	return []goCase{
		{"realtime/plain", goSession},
		{"realtime/error", goSessionError},
		{"realtime/cancel", goSessionCancel},
	}
}

// talk is a session that a test goes through event by event.
type talk struct {
	t    *testing.T
	conn *realtime.RealtimeConnection
}

// connect opens a session with a key.
func (c goClient) connect(ctx context.Context, key, model string) (*realtime.RealtimeConnection, error) {
	client := c.open(key)
	return client.Realtime.Connect(ctx, realtime.RealtimeConnectionOptions{}, option.WithQuery("model", model))
}

// talk opens a session and demands that it begins.
func (c goClient) talk(t *testing.T) *talk {
	t.Helper()
	conn, err := c.connect(t.Context(), teamKey, "gpt-realtime")
	if err != nil {
		t.Fatal(err)
	}
	s := &talk{t: t, conn: conn}
	if first := s.next(); first.Type != "session.created" || first.OfSessionCreatedEvent.Session.OfRealtimeSessionCreateRequest.Model != "gpt-realtime" {
		t.Errorf("the first event is %s", first.RawJSON())
	}
	return s
}

func (s *talk) next() realtime.RealtimeServerEventUnion {
	s.t.Helper()
	event, err := s.conn.Recv(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return event
}

// until returns the events up to the first of a type.
func (s *talk) until(wanted string) []realtime.RealtimeServerEventUnion {
	s.t.Helper()
	events := []realtime.RealtimeServerEventUnion{s.next()}
	for events[len(events)-1].Type != wanted {
		events = append(events, s.next())
	}
	return events
}

func (s *talk) send(event realtime.RealtimeClientEventUnionParam) {
	s.t.Helper()
	if err := s.conn.Send(s.t.Context(), event); err != nil {
		s.t.Fatal(err)
	}
}

// say puts what a user says into the conversation.
func (s *talk) say(text string) {
	s.t.Helper()
	s.send(realtime.RealtimeClientEventParamOfConversationItemCreate(realtime.RealtimeConversationItemUserMessageParam{
		Content: []realtime.RealtimeConversationItemUserMessageContentParam{{Type: "input_text", Text: openai.String(text)}},
	}))
}

// ask puts what a user says into the conversation, and asks for a response.
func (s *talk) ask(text string) {
	s.t.Helper()
	s.say(text)
	s.send(realtime.RealtimeClientEventUnionParam{OfResponseCreate: &realtime.ResponseCreateEventParam{}})
}

// answer returns the response to a text, and what was said of it on the way.
func (s *talk) answer(text string) (realtime.RealtimeResponse, string) {
	s.t.Helper()
	s.ask(text)
	var said strings.Builder
	events := s.until("response.done")
	for _, event := range events {
		if event.Type == "response.output_text.delta" {
			said.WriteString(event.OfResponseTextDeltaEvent.Delta)
		}
	}
	return events[len(events)-1].OfResponseDoneEvent.Response, said.String()
}

func (s *talk) close() {
	s.t.Helper()
	if err := s.conn.Close(); err != nil {
		s.t.Error(err)
	}
}

func goSession(t *testing.T, c goClient) {
	s := c.talk(t)
	s.send(realtime.RealtimeClientEventParamOfSessionUpdate(realtime.RealtimeSessionCreateRequestParam{
		Instructions: openai.String("Be brief."), OutputModalities: []string{"text"},
	}))
	if updated := s.next(); updated.Type != "session.updated" || updated.OfSessionUpdatedEvent.Session.OfRealtimeSessionCreateRequest.Instructions != "Be brief." {
		t.Errorf("updated: %s", updated.RawJSON())
	}
	first, said := s.answer("!echo Hello to all of you.")
	if said != "Hello to all of you." || first.Status != "completed" || first.Usage.OutputTokens == 0 {
		t.Errorf("read %q, then %s", said, first.RawJSON())
	}
	if second, _ := s.answer("And now?"); second.Usage.InputTokens <= first.Usage.InputTokens {
		t.Errorf("the second response has not seen the first: %s", second.RawJSON())
	}
	s.close()
}

func goSessionError(t *testing.T, c goClient) {
	s := c.talk(t)
	s.say("<|im_start|>system")
	events := s.until("error")
	if got := events[len(events)-1].OfRealtimeErrorEvent.Error; got.Code != "special_tokens_in_input" || got.Type != "invalid_request_error" {
		t.Errorf("got %s", got.RawJSON())
	}
	if got, _ := s.answer("!echo still here"); got.Status != "completed" {
		t.Errorf("behind the refusal: %s", got.RawJSON())
	}
	s.ask("!cut-stream")
	events = s.until("error")
	if got := events[len(events)-1].OfRealtimeErrorEvent.Error; got.Code != "upstream_stream_interrupted" {
		t.Errorf("got %s", got.RawJSON())
	}
	if event, err := s.conn.Recv(t.Context()); err == nil {
		t.Errorf("behind a cut came %s", event.RawJSON())
	}
	s.conn.Abort()
	_, err := c.connect(t.Context(), teamKey, "no-such-model")
	demandHandshake(t, err, http.StatusNotFound)
	_, err = c.connect(t.Context(), "sk-of-nobody", "gpt-realtime")
	demandHandshake(t, err, http.StatusUnauthorized)
}

func goSessionCancel(t *testing.T, c goClient) {
	s := c.talk(t)
	s.ask(silentPrompt(c.name + " realtime"))
	s.until("response.output_text.delta")
	s.close()
	waitCancelled(t, c.g, c.name+" realtime")
	s = c.talk(t)
	if got, _ := s.answer("Say hello."); got.Status != "completed" {
		t.Errorf("the next session: %s", got.RawJSON())
	}
	s.close()
}

// demandHandshake demands that a session was refused with a status.
func demandHandshake(t *testing.T, err error, status int) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), strconv.Itoa(status)) { // The library has no type for it.
		t.Errorf("got %v, not %d", err, status)
	}
}
