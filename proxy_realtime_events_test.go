package main_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"weir/usage"
)

// echo serves sessions by saying what it heard.
func echo(f *far) {
	for {
		kind, b, err := f.conn.Read(f.ctx)
		if err != nil {
			return
		}
		if f.conn.Write(f.ctx, kind, b) != nil {
			return
		}
	}
}

// TestRealtimeEvents holds what becomes of a client's event under a policy: what of
// it goes upstream, or what the client is told.
func TestRealtimeEvents(t *testing.T) {
	t.Parallel()
	const token = `<|im_start|>`
	policy := func(of string) []string {
		return []string{"teams:\n", "policies: { default: { " + of + " } }\nteams:\n"}
	}
	item := func(of string) string {
		return `{"type":"conversation.item.create","event_id":"mine","item":` + of + `}`
	}
	says := func(text string) string {
		return item(`{"type":"message","role":"user","content":[{"type":"input_text","text":"` + text + `"}]}`)
	}
	for _, tt := range []struct {
		name, policy, say string
		want              string // "" what was said
		code, param       string
	}{
		{name: "anything", say: `{"type":"x.y.z", "new": [1, 2.50, "\u0041"]}`},
		{name: "ordinary text", say: says("hello | <| im_start")},
		{name: "sound that looks like a token", say: item(`{"type":"message","content":[{"type":"input_audio","audio":"` + token + `"}]}`)},
		{name: "metadata", say: `{"type":"x","response":{"metadata":{"a":"` + token + `"}}}`},
		{name: "a text", say: says(token), code: "special_tokens_in_input", param: "item.content[0].text"},
		{name: "a text with escapes", say: says(`\u003c\u007cim_start\u007c\u003e`), code: "special_tokens_in_input", param: "item.content[0].text"},
		{name: "two parts that touch", say: item(`{"type":"message","content":[{"type":"input_text","text":"<|im_"},{"type":"input_text","text":"start|>"}]}`), code: "special_tokens_in_input", param: "item.content[0].text"},
		{name: "what a function returned", say: item(`{"type":"function_call_output","call_id":"c","output":"` + token + `"}`), code: "special_tokens_in_input", param: "item.output"},
		{name: "a transcript", say: item(`{"type":"message","content":[{"type":"input_audio","transcript":"` + token + `"}]}`), code: "special_tokens_in_input", param: "item.content[0].transcript"},
		{name: "instructions", say: `{"type":"session.update","event_id":"mine","session":{"instructions":"` + token + `"}}`, code: "special_tokens_in_input", param: "session.instructions"},
		{name: "a tool", say: `{"type":"session.update","event_id":"mine","session":{"tools":[{"type":"function","description":"` + token + `"}]}}`, code: "special_tokens_in_input", param: "session.tools[0].description"},
		{name: "the prompt of a transcription", say: `{"type":"session.update","event_id":"mine","session":{"audio":{"input":{"transcription":{"prompt":"` + token + `"}}}}}`, code: "special_tokens_in_input", param: "session.audio.input.transcription.prompt"},
		{name: "instructions of a response", say: `{"type":"response.create","event_id":"mine","response":{"instructions":"` + token + `"}}`, code: "special_tokens_in_input", param: "response.instructions"},
		{name: "input of a response", say: `{"type":"response.create","event_id":"mine","response":{"input":[{"type":"message","content":[{"type":"input_text","text":"` + token + `"}]}]}}`, code: "special_tokens_in_input", param: "response.input[0].content[0].text"},
		{name: "allowed", policy: "special_tokens: allow", say: says(token)},
		{name: "escaped", policy: "special_tokens: escape", say: says(token), want: says("<|\u200dim_start|>")},
		{name: "in shadow", policy: "mode: shadow", say: says(token)},
		{name: "no JSON", say: `{`, code: "invalid_json"},
		{name: "no object", say: `[]`, code: "invalid_json"},
		{name: "a name twice", say: `{"type":"a","type":"response.create"}`, code: "invalid_json"},
		{name: "a name in another case", say: `{"Type":"response.create","event_id":"mine","type":"x"}`, code: "invalid_value", param: "Type"},
		{name: "no type", say: `{"event_id":"x"}`, code: "missing_required_parameter", param: "type"},
		{name: "a type that is none", say: `{"type":["response.create"]}`, code: "invalid_type", param: "type"},
		{name: "an item that is none", say: `{"type":"conversation.item.create","item":7}`, code: "invalid_type", param: "item"},
		{name: "its own model", say: `{"type":"session.update","session":{"model":"chat","voice":"x"}}`, want: `{"type":"session.update","session":{"voice":"x"}}`},
		{name: "another model", say: `{"type":"session.update","event_id":"mine","session":{"model":"gpt-5"}}`, code: "invalid_value", param: "session.model"},
		{name: "a bound", policy: "max_output_tokens: 50", say: `{"type":"session.update","session":{"max_output_tokens":50}}`},
		{name: "a bound that is lowered", policy: "max_output_tokens: 50", say: `{"type":"session.update","session":{"max_output_tokens":51}}`, want: `{"type":"session.update","session":{"max_output_tokens":50}}`},
		{name: "no bound, in words", policy: "max_output_tokens: 50", say: `{"type":"session.update","session":{"max_response_output_tokens":"inf"}}`, want: `{"type":"session.update","session":{"max_response_output_tokens":50}}`},
		{name: "a bound that is refused", policy: "max_output_tokens: 50, on_output_overflow: reject", say: `{"type":"session.update","event_id":"mine","session":{"max_output_tokens":51}}`, code: "invalid_value", param: "session.max_output_tokens"},
		{name: "a bound in shadow", policy: "max_output_tokens: 50, mode: shadow", say: `{"type":"session.update","session":{"max_output_tokens":51}}`},
		{name: "a bound that is none", say: `{"type":"response.create","event_id":"mine","response":{"max_output_tokens":-1}}`, code: "invalid_value", param: "response.max_output_tokens"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var edits []string
			if tt.policy != "" {
				edits = policy(tt.policy)
			}
			before(t, echo, func(w *world) {
				s, err := w.dial(realtimePath)
				if err != nil {
					w.t.Fatal(err)
				}
				s.say(tt.say)
				e := s.next()
				if tt.code == "" {
					want := tt.want
					if want == "" {
						want = tt.say
					}
					if e.raw != want {
						w.t.Errorf("upstream heard %s, not %s", e.raw, want)
					}
				} else if e.Type != "error" || e.Error.Code != tt.code || e.Error.Param != tt.param || (e.Error.EventID == "mine") != strings.Contains(tt.say, "mine") {
					w.t.Errorf("the client is told %s", e.raw)
				}
				s.say(`{"type":"last"}`)
				if e := s.next(); e.Type != "last" {
					w.t.Errorf("behind it comes %s", e.raw)
				}
				s.leave()
				rec := w.record()
				if shadow := strings.Contains(tt.policy, "shadow"); (len(rec.Shadowed) > 0) != shadow || (rec.Escaped > 0) != (tt.policy == "special_tokens: escape") {
					w.t.Errorf("recorded %v, %d escaped", rec.Shadowed, rec.Escaped)
				}
			}, edits...)
		})
	}
}

// TestRealtimeNamesWishes holds that an error about a wish for a response that had no
// id is told without the one that the gateway gave it, and gives back what was
// reserved.
func TestRealtimeNamesWishes(t *testing.T) {
	t.Parallel()
	before(t, func(f *far) {
		for _, about := range []string{`"code":"conversation_already_has_active_response","event_id":"event_weir_1"`, `"event_id":"mine"`} {
			if !strings.HasPrefix(f.hear(), "{") {
				return
			}
			f.say(`{"type":"error","error":{` + about + `}}`)
		}
		f.hear()
	}, func(w *world) {
		s, err := w.dial(realtimePath)
		if err != nil {
			w.t.Fatal(err)
		}
		s.say(respondNow)
		if got := s.next().raw; got != `{"type":"error","error":{"code":"conversation_already_has_active_response","event_id":null}}` {
			w.t.Errorf("the client is told %s", got)
		}
		s.say(`{"type":"response.create","event_id":"mine"}`)
		if got := s.next().raw; got != `{"type":"error","error":{"event_id":"mine"}}` {
			w.t.Errorf("the client is told %s", got)
		}
		other, err := w.dial(realtimePath)
		if err != nil || other.resp.Header.Get("X-Ratelimit-Remaining-Tokens") != "6000" {
			w.t.Fatalf("what is left: %v %v", other.resp.Header, err)
		}
		_ = other.conn.CloseNow()
		_ = s.conn.CloseNow()
		synctest.Wait()
	}, limited("tpm: 6000")...)
}

// TestRealtimeMessages holds that messages come through as they are, of either kind
// and up to a size.
func TestRealtimeMessages(t *testing.T) {
	t.Parallel()
	const most = 16 << 20
	for _, tt := range []struct {
		name string
		kind websocket.MessageType
		size int
		code websocket.StatusCode
	}{
		{"small", websocket.MessageText, 100, 0},
		{"binary", websocket.MessageBinary, 100, 0},
		{"as large as may be", websocket.MessageText, most, 0},
		{"larger", websocket.MessageText, most + 1, websocket.StatusMessageTooBig},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			frame := `{"type":"x","audio":""}`
			data := strings.Replace(frame, `""`, `"`+strings.Repeat("A", tt.size-len(frame))+`"`, 1)
			before(t, echo, func(w *world) {
				s, err := w.dial(realtimePath)
				if err != nil {
					w.t.Fatal(err)
				}
				go func() { _ = s.conn.Write(s.ctx, tt.kind, []byte(data)) }()
				kind, b, err := s.conn.Read(s.ctx)
				if tt.code != 0 {
					if websocket.CloseStatus(err) != tt.code {
						w.t.Errorf("ended in %v", err)
					}
					if rec := w.record(); rec.Outcome != usage.ClientError || rec.Code != "request_too_large" {
						w.t.Errorf("recorded %s %s", rec.Outcome, rec.Code)
					}
					return
				}
				if err != nil || kind != tt.kind || string(b) != data {
					w.t.Errorf("%d bytes of kind %v come back as %d of kind %v, %v", len(data), tt.kind, len(b), kind, err)
				}
				s.leave()
			})
		})
	}
}

// TestRealtimeLife holds that a silent session lives for as long as both sides show
// signs of life, and no longer.
func TestRealtimeLife(t *testing.T) {
	t.Parallel()
	t.Run("idle", func(t *testing.T) {
		t.Parallel()
		before(t, echo, func(w *world) {
			s, err := w.dial(realtimePath)
			if err != nil {
				w.t.Fatal(err)
			}
			done := make(chan error)
			go func() { _, err := s.until("last"); done <- err }()
			time.Sleep(time.Hour)
			s.say(`{"type":"last"}`)
			if err := <-done; err != nil {
				w.t.Errorf("after an hour: %v", err)
			}
			s.leave()
		})
	})
	for _, who := range []string{"a dead client", "a dead deployment"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			before(t, func(f *far) {
				if who == "a dead client" {
					echo(f)
					return
				}
				time.Sleep(time.Hour) // and nothing is read
			}, func(w *world) {
				s, err := w.dial(realtimePath)
				if err != nil {
					w.t.Fatal(err)
				}
				want := usage.ClientGone
				if who != "a dead client" {
					want = usage.UpstreamError
					list, err := s.until("")
					if websocket.CloseStatus(err) != websocket.StatusInternalError || len(list) != 1 || list[0].Error.Code != "upstream_stream_interrupted" {
						w.t.Errorf("the client is told %v, %v", list, err)
					}
				}
				time.Sleep(2 * time.Minute)
				if rec := w.record(); rec.Outcome != want || rec.Duration > time.Minute {
					w.t.Errorf("recorded %s after %v", rec.Outcome, rec.Duration)
				}
				time.Sleep(time.Hour)
			})
		})
	}
}

// TestRealtimeDrain holds that a session ends at drain once no response is under way,
// that none begins meanwhile, and that the end of the grace ends all.
func TestRealtimeDrain(t *testing.T) {
	t.Parallel()
	slow := func(f *far) {
		for heard := f.hear(); strings.HasPrefix(heard, "{"); heard = f.hear() {
			if strings.Contains(heard, "response.create") {
				f.say(`{"type":"response.created","response":{"id":"r"}}`)
				time.Sleep(10 * time.Second)
				f.say(responded("r", 10, 10))
			}
		}
	}
	for _, tt := range []struct {
		name    string
		running bool
		stop    bool
		after   time.Duration
		last    string
	}{
		{name: "idle"},
		{name: "in the middle of a response", running: true, after: 10 * time.Second, last: "response.done"},
		{name: "the grace is over", running: true, stop: true, after: 5 * time.Second, last: "error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before(t, slow, func(w *world) {
				s, err := w.dial(realtimePath)
				if err != nil {
					w.t.Fatal(err)
				}
				if tt.running {
					s.say(respondNow)
					s.last("response.created")
				}
				start := time.Now()
				empty := w.gateway.Drain()
				if tt.running {
					synctest.Wait()
					s.say(respondNow)
					if e := s.last("error"); e.Error.Code != "shutting_down" {
						w.t.Errorf("at drain it is told %s", e.raw)
					}
				}
				if tt.stop {
					time.AfterFunc(tt.after, w.gateway.Pool().Stop)
				}
				list, err := s.until("")
				var closed websocket.CloseError
				if !errors.As(err, &closed) || closed.Code != websocket.StatusGoingAway || closed.Reason != "The gateway is shutting down." {
					w.t.Errorf("ended in %v", err)
				}
				if n := len(list); tt.last != "" && (n == 0 || list[n-1].Type != tt.last) || time.Since(start) != tt.after {
					w.t.Errorf("ended after %v with %v", time.Since(start), list)
				}
				<-empty
				if rec := w.record(); rec.Outcome != usage.OK {
					w.t.Errorf("recorded %s", rec.Outcome)
				}
				if len(w.unwell()) > 0 {
					w.t.Errorf("deployments %v", w.unwell())
				}
				if _, err := w.dial(realtimePath); err == nil {
					w.t.Error("a session begins at drain")
				}
				time.Sleep(time.Minute) // until the deployment has said all that it meant to
			}, "resilience:\n", "resilience:\n  breaker: { consecutive_failures: 1 }\n")
		})
	}
}

// TestRealtimeSessions holds that a hundred sessions at once leave nothing behind, and
// are charged to the token.
func TestRealtimeSessions(t *testing.T) {
	t.Parallel()
	const sessions = 100
	bubble(t, plain, func(w *world) {
		var all sync.WaitGroup
		for i := range sessions {
			all.Go(func() {
				s := w.begin()
				for n := range 3 {
					if e := s.respond(fmt.Sprintf("hello %d of %d", n, i)); e.Response.Status != "completed" {
						w.t.Errorf("ended in %s", e.raw)
					}
				}
				switch i % 3 {
				case 0:
					_ = s.conn.Close(websocket.StatusNormalClosure, "")
				case 1:
					_ = s.conn.CloseNow()
				default:
					s.say(respondNow)
					_ = s.conn.CloseNow()
				}
			})
		}
		all.Wait()
		synctest.Wait()
		var want, got int64
		for _, r := range w.asked() {
			want += int64(r.PromptTokens + r.CompletionTokens)
			if !r.Done {
				w.t.Error("a session goes on upstream")
			}
		}
		for _, rec := range w.records {
			if !rec.Counted {
				got += rec.Input + rec.Output
			}
		}
		if len(w.records) != sessions || got == 0 || got > want || len(w.unwell()) > 0 {
			w.t.Errorf("%d sessions, charged %d of %d, %v", len(w.records), got, want, w.unwell())
		}
	}, limited("concurrency: 100, tpm: 10000000")...)
}
