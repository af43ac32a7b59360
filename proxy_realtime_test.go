package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"weir/azuresim"
	"weir/usage"
)

const realtimePath = "/v1/realtime?model=gpt-4o"

// session is a client's realtime session.
type session struct {
	w    *world
	ctx  context.Context // ends a session that nothing comes of
	conn *websocket.Conn
	resp *http.Response
}

// event is an event of a session.
type event struct {
	Type    string
	EventID string `json:"event_id"`
	Delta   string
	Error   struct {
		Type, Code, Message, Param string
		EventID                    string `json:"event_id"`
	}
	Response struct {
		ID, Status string
		Usage      struct {
			In  int64 `json:"input_tokens"`
			Out int64 `json:"output_tokens"`
		}
	}
	raw string
}

// dial opens a session with the team's key, unless headers hold another credential.
// Subprotocols are given as a header.
func (w *world) dial(path string, headers ...string) (*session, error) {
	w.t.Helper()
	h := http.Header{}
	credential := true
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
		credential = credential && headers[i] != "Authorization" && headers[i] != "api-key" && headers[i] != "Sec-WebSocket-Protocol"
	}
	if credential {
		h.Set("Authorization", "Bearer "+searchKey)
	}
	opts := &websocket.DialOptions{HTTPClient: w.client, HTTPHeader: h}
	if p := h.Get("Sec-WebSocket-Protocol"); p != "" {
		h.Del("Sec-WebSocket-Protocol")
		opts.Subprotocols = strings.Split(p, ",")
	}
	conn, resp, err := websocket.Dial(w.t.Context(), "ws://localhost"+path, opts)
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Hour)
	w.t.Cleanup(cancel)
	s := &session{w: w, ctx: ctx, conn: conn, resp: resp}
	if err == nil {
		conn.SetReadLimit(64 << 20)
		w.t.Cleanup(func() { _ = conn.CloseNow() })
	}
	return s, err
}

// begin opens a session and reads its beginning.
func (w *world) begin() *session {
	w.t.Helper()
	s, err := w.dial(realtimePath)
	if err != nil {
		w.t.Fatal(err)
	}
	if list, err := s.until("session.created"); err != nil || len(list) != 1 {
		w.t.Fatalf("the session began with %v, %v", list, err)
	}
	return s
}

// say sends events.
func (s *session) say(events ...string) {
	s.w.t.Helper()
	for _, e := range events {
		if err := s.conn.Write(s.ctx, websocket.MessageText, []byte(e)); err != nil {
			s.w.t.Fatal(err)
		}
	}
}

// until reads events up to and with one of a type, or to the end.
func (s *session) until(last string) (list []event, err error) {
	for {
		_, b, err := s.conn.Read(s.ctx)
		if err != nil {
			return list, err
		}
		var e event
		if err := json.Unmarshal(b, &e); err != nil {
			return list, err
		}
		e.raw = string(b)
		if list = append(list, e); e.Type == last {
			return list, nil
		}
	}
}

// next returns the next event.
func (s *session) next() event {
	s.w.t.Helper()
	_, b, err := s.conn.Read(s.ctx)
	e := event{raw: string(b)}
	if err != nil || json.Unmarshal(b, &e) != nil {
		s.w.t.Fatalf("heard %s, %v", b, err)
	}
	return e
}

// last returns the last event up to and with one of a type.
func (s *session) last(kind string) event {
	s.w.t.Helper()
	list, err := s.until(kind)
	if err != nil {
		s.w.t.Fatalf("%s did not come behind %v: %v", kind, list, err)
	}
	return list[len(list)-1]
}

// respond asks for a response to a text and returns its end.
func (s *session) respond(text string) event {
	s.w.t.Helper()
	s.say(userSays(text), respondNow)
	return s.last("response.done")
}

// leave closes the session and waits until all has ended.
func (s *session) leave() {
	s.w.t.Helper()
	if err := s.conn.Close(websocket.StatusNormalClosure, "bye"); err != nil {
		s.w.t.Errorf("closing: %v", err)
	}
	synctest.Wait()
}

func userSays(text string) string {
	b, _ := json.Marshal(text)
	return `{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_text","text":` + string(b) + `}]}}`
}

const respondNow = `{"type":"response.create"}`

// TestRealtimeIsRelayed holds that what both sides say comes through, and that it is
// metered by what upstream says.
func TestRealtimeIsRelayed(t *testing.T) {
	t.Parallel()
	sound := `{"type":"input_audio_buffer.append","audio":"` + strings.Repeat("AAAA", 4000) + `"}`
	for _, tt := range []struct {
		name string
		say  []string
		want string // the last of its type
	}{
		{"text", []string{userSays("hello"), respondNow}, "response.output_text.done"},
		{"sound", []string{sound, `{"type":"input_audio_buffer.commit"}`, `{"type":"response.create","response":{"output_modalities":["audio"]}}`}, "response.output_audio.done"},
		{"a tool", []string{`{"type":"session.update","session":{"tools":[{"type":"function","name":"f","parameters":{"type":"object","properties":{"a":{"type":"string"}}}}]}}`, userSays("!tool f"), respondNow}, "response.function_call_arguments.done"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				s := w.begin()
				s.say(tt.say...)
				list, err := s.until("response.done")
				if err != nil {
					w.t.Fatal(err)
				}
				found := false
				for _, e := range list {
					found = found || e.Type == tt.want
				}
				if !found {
					w.t.Errorf("%s did not come", tt.want)
				}
				s.leave()
				seen := w.asked()[0]
				for i := range tt.say { // but for the id that a wish for a response is given
					if got := strings.Replace(seen.Messages[i], `"event_id":"event_weir_1",`, "", 1); got != tt.say[i] {
						w.t.Errorf("upstream heard %s, not %s", got, tt.say[i])
					}
				}
				rec := w.record()
				if rec.Input != int64(seen.PromptTokens) || rec.Output != int64(seen.CompletionTokens) || rec.Output == 0 || rec.Counted {
					w.t.Errorf("charged %d + %d, upstream says %d + %d", rec.Input, rec.Output, seen.PromptTokens, seen.CompletionTokens)
				}
				if rec.Outcome != usage.OK || rec.Status != 101 || !rec.Stream || rec.Model != "gpt-4o" || rec.Operation != usage.Realtime {
					w.t.Errorf("recorded %+v", rec)
				}
				if !seen.Done || seen.Cancelled || len(w.unwell()) > 0 {
					w.t.Errorf("upstream: %+v, %v", seen, w.unwell())
				}
			})
		})
	}
}

// TestRealtimePaths holds every path form and every form of a credential: what the
// gateway is asked by, and what it then asks upstream.
func TestRealtimePaths(t *testing.T) {
	t.Parallel()
	const subprotocols = "Sec-WebSocket-Protocol"
	for _, tt := range []struct {
		name, path string
		headers    []string
		status     int
		code       string
		upstream   string // path and query
	}{
		{name: "OpenAI's", path: "/v1/realtime?model=gpt-4o", status: 101},
		{name: "without v1", path: "/realtime?model=gpt-4o", status: 101},
		{name: "Azure's v1", path: "/openai/v1/realtime?model=gpt-4o", status: 101},
		{name: "Azure's classic", path: "/openai/realtime?api-version=2025-04-01-preview&deployment=gpt-4o", status: 101},
		{name: "the deployment wins", path: "/openai/realtime?deployment=gpt-4o&model=nonsense", status: 101},
		{name: "a deployment in the path", path: "/openai/deployments/gpt-4o/realtime?api-version=2025-04-01-preview", status: 101},
		{name: "a deployment in the path, below v1", path: "/v1/deployments/gpt-4o/realtime", status: 101},
		{name: "a deployment in the path alone", path: "/deployments/gpt-4o/realtime?model=nonsense", status: 101},
		{name: "an alias", path: "/v1/realtime?model=chat", status: 101},
		{name: "unknown names and a transcription", path: "/v1/realtime?model=gpt-4o&intent=transcription&api-key=canary&x=y", status: 101, upstream: "/openai/v1/realtime?model=gpt-4o-east&intent=transcription"},
		{name: "the events of the preview", path: "/v1/realtime?model=gpt-4o", headers: []string{"openai-beta", "realtime=v1"}, status: 101, upstream: "/openai/v1/realtime?model=gpt-4o-east"},
		{name: "a preview, and a backend of another version", path: "/openai/realtime?api-version=2025-04-01-preview&deployment=gpt-4o", status: 101, upstream: "/openai/realtime?api-version=2025-04-01-preview&deployment=gpt-4o-east"},
		{name: "a version that is no preview", path: "/openai/realtime?api-version=2024-10-21&deployment=gpt-4o", status: 101, upstream: "/openai/v1/realtime?model=gpt-4o-east"},
		{name: "a preview, and a backend of the v1 API", path: "/openai/realtime?api-version=2025-04-01-preview&deployment=d2", status: 101, upstream: "/openai/realtime?api-version=2025-04-01-preview&deployment=d2"},
		{name: "the v1 API upstream", path: "/v1/realtime?model=d2", status: 101, upstream: "/openai/v1/realtime?model=d2"},
		{name: "no model", path: "/v1/realtime", status: 400, code: "missing_required_parameter"},
		{name: "no such model", path: "/v1/realtime?model=nonsense", status: 404, code: "model_not_found"},
		{name: "no such deployment", path: "/openai/realtime?deployment=nonsense", status: 404, code: "DeploymentNotFound"},
		{name: "a model of others", path: "/v1/realtime?model=gpt-4o", headers: []string{"api-key", otherKey}, status: 403, code: "model_not_allowed"},
		{name: "a query that is read twice", path: "/v1/realtime?model=gpt-4o;x=1", status: 400, code: "invalid_value"},
		{name: "api-key", path: realtimePath, headers: []string{"api-key", searchKey}, status: 101},
		{name: "a browser's key", path: realtimePath, headers: []string{subprotocols, "realtime,openai-insecure-api-key." + searchKey + ",openai-beta.realtime-v1"}, status: 101},
		{name: "a browser's key, of nobody", path: realtimePath, headers: []string{subprotocols, "realtime,openai-insecure-api-key.nonsense"}, status: 401, code: "invalid_api_key"},
		{name: "a browser's key, of another team", path: realtimePath, headers: []string{subprotocols, "realtime,openai-insecure-api-key." + otherKey, "api-key", searchKey}, status: 401, code: "invalid_api_key"},
		{name: "no key", path: realtimePath, headers: []string{subprotocols, "realtime"}, status: 401, code: "invalid_api_key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			asked := ""
			before(t, func(f *far) {
				asked = f.path
				for name, values := range f.h {
					if text := strings.Join(values, " "); strings.Contains(text, searchKey) || strings.Contains(text, "canary") || strings.Contains(text, "insecure") {
						t.Errorf("upstream is sent %s: %s", name, text)
					}
				}
				if beta := f.h.Get("Openai-Beta"); (beta != "") != strings.Contains(strings.Join(tt.headers, ""), "beta") {
					t.Errorf("upstream is sent OpenAI-Beta: %q", beta)
				}
				f.hear()
			}, func(w *world) {
				s, err := w.dial(tt.path, tt.headers...)
				if s.resp.StatusCode != tt.status || (err == nil) != (tt.status == 101) {
					w.t.Fatalf("answered %d, %v", s.resp.StatusCode, err)
				}
				if tt.status != 101 {
					if code, _, _ := w.finish(s.resp).code(); code != tt.code || asked != "" {
						w.t.Errorf("answered %q, upstream was asked %q", code, asked)
					}
					return
				}
				if s.resp.Header.Get("X-Weir-Deployment") == "" || s.resp.Header.Get("X-Weir-Attempts") != "1" || s.resp.Header.Get("X-Request-Id") == "" {
					w.t.Errorf("header %v", s.resp.Header)
				}
				if offered := strings.Contains(strings.Join(tt.headers, ""), "realtime,"); (s.conn.Subprotocol() == "realtime") != offered {
					w.t.Errorf("subprotocol %q", s.conn.Subprotocol())
				}
				s.leave()
				if tt.upstream != "" && asked != tt.upstream {
					w.t.Errorf("upstream was asked %s", asked)
				}
				if strings.Contains(w.log.String(), searchKey) || strings.Contains(w.log.String(), "canary") {
					w.t.Error("a key is logged")
				}
			})
		})
	}
}

// TestRealtimeWantsAWebSocket holds what is answered to a request that is none.
func TestRealtimeWantsAWebSocket(t *testing.T) {
	t.Parallel()
	upgrade := []string{"Connection", "Upgrade", "Upgrade", "websocket"}
	const key = "dGhlIHNhbXBsZSBub25jZQ=="
	for _, tt := range []struct {
		name    string
		headers []string
		status  int
		code    string
	}{
		{"a plain GET", nil, 426, "upgrade_required"},
		{"another protocol", []string{"Connection", "Upgrade", "Upgrade", "h2c"}, 426, "upgrade_required"},
		{"no version", append([]string{"Sec-WebSocket-Key", key}, upgrade...), 400, "invalid_value"},
		{"an old version", append([]string{"Sec-WebSocket-Version", "8", "Sec-WebSocket-Key", key}, upgrade...), 400, "invalid_value"},
		{"no key", append([]string{"Sec-WebSocket-Version", "13"}, upgrade...), 400, "invalid_value"},
		{"a short key", append([]string{"Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAA"}, upgrade...), 400, "invalid_value"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				got := w.do(w.t.Context(), http.MethodGet, realtimePath, "", tt.headers...)
				if code, _, _ := got.code(); got.status != tt.status || code != tt.code || len(w.asked()) > 0 {
					w.t.Errorf("answered %d %s", got.status, got.body)
				}
			})
		})
	}
}

// TestRealtimeHandshakes holds that a deployment's refusal is an answer like any
// other: tried elsewhere where that may help, and else shown before the upgrade.
func TestRealtimeHandshakes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		step     azuresim.Step
		always   bool
		status   int
		code     string
		attempts int
	}{
		{name: "a 500", step: azuresim.Step{Status: 500}, status: 101, attempts: 2},
		{name: "a 429", step: azuresim.Step{Status: 429}, status: 101, attempts: 2},
		{name: "a 503", step: azuresim.Step{Status: 503}, status: 101, attempts: 2},
		{name: "a 404", step: azuresim.Step{Status: 404}, always: true, status: 404, attempts: 1},
		{name: "a 500 for ever", step: azuresim.Step{Status: 500}, always: true, status: 500, attempts: 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				w.east.Script(tt.step)
				if tt.always {
					w.east.Script(tt.step, tt.step, tt.step)
					w.west.Script(tt.step, tt.step, tt.step)
				}
				s, err := w.dial(realtimePath)
				if s.resp == nil || s.resp.StatusCode != tt.status {
					w.t.Fatalf("answered %+v, %v", s.resp, err)
				}
				if err == nil {
					s.respond("hello")
					s.leave()
				} else if got := w.finish(s.resp); !json.Valid([]byte(got.body)) || got.message() == "" {
					w.t.Errorf("answered %s", got.body)
				}
				if rec := w.record(); len(rec.Attempts) != tt.attempts || rec.Status != tt.status || (rec.Outcome == usage.OK) != (tt.status == 101) {
					w.t.Errorf("recorded %d %s after %d attempts", rec.Status, rec.Outcome, len(rec.Attempts))
				}
			})
		})
	}
}

// TestRealtimeEnds holds that each side learns how the other ended the session, that
// the deployment is blamed for what it broke alone, and that what was used is charged.
func TestRealtimeEnds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		text    string
		after   time.Duration
		code    websocket.StatusCode
		reason  string
		last    string
		err     string // its code
		outcome usage.Outcome
		unwell  bool
	}{
		{name: "cut in the middle", text: "!cut-stream now", code: 1011, reason: "The server had an error.", last: "error", err: "upstream_stream_interrupted", outcome: usage.UpstreamError, unwell: true},
		{name: "reset in the middle", text: "!reset-between now", code: 1011, reason: "The deployment's connection broke off.", last: "error", err: "upstream_stream_interrupted", outcome: usage.UpstreamError, unwell: true},
		{name: "gone at once", text: "!close-after-read", code: 1011, reason: "The deployment's connection broke off.", last: "error", err: "upstream_stream_interrupted", outcome: usage.UpstreamError, unwell: true},
		{name: "the half hour is over", after: 30 * time.Minute, code: 1001, reason: "session expired", last: "error", err: "session_expired", outcome: usage.OK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				start := time.Now()
				s := w.begin()
				if tt.text != "" {
					s.say(userSays(tt.text), respondNow)
				}
				list, err := s.until("")
				var closed websocket.CloseError
				if !errors.As(err, &closed) || closed.Code != tt.code || closed.Reason != tt.reason {
					w.t.Fatalf("ended in %v", err)
				}
				if e := list[len(list)-1]; e.Type != tt.last || e.Error.Code != tt.err || time.Since(start) != tt.after {
					w.t.Errorf("ended after %v with %s", time.Since(start), e.raw)
				}
				rec := w.record()
				if rec.Outcome != tt.outcome || rec.Duration != tt.after || tt.text == "!cut-stream now" && (rec.Input == 0 || rec.Output == 0 || !rec.Counted) {
					w.t.Errorf("recorded %s, %d + %d", rec.Outcome, rec.Input, rec.Output)
				}
				if (len(w.unwell()) > 0) != tt.unwell {
					w.t.Errorf("deployments %v", w.unwell())
				}
			}, "resilience:\n", "resilience:\n  breaker: { consecutive_failures: 1 }\n")
		})
	}
}

// TestRealtimeCloses holds that a close code and its reason pass in either direction.
func TestRealtimeCloses(t *testing.T) {
	t.Parallel()
	for _, code := range []websocket.StatusCode{1000, 1001, 1008, 3000, 4999, 1005} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			reason := "because"
			if code == websocket.StatusNoStatusRcvd {
				reason = ""
			}
			check := func(who string, err error) {
				var closed websocket.CloseError
				if !errors.As(err, &closed) || closed.Code != code || closed.Reason != reason {
					t.Errorf("%s was told %v", who, err)
				}
			}
			before(t, func(f *far) {
				_, _, err := f.conn.Read(f.ctx)
				check("upstream", err)
			}, func(w *world) {
				s, err := w.dial(realtimePath)
				if err != nil {
					w.t.Fatal(err)
				}
				_ = s.conn.Close(code, reason)
				if rec := w.record(); rec.Outcome != usage.OK || rec.Duration != 0 {
					w.t.Errorf("recorded %s after %v", rec.Outcome, rec.Duration)
				}
			})
			before(t, func(f *far) { _ = f.conn.Close(code, reason) }, func(w *world) {
				s, err := w.dial(realtimePath)
				if err != nil {
					w.t.Fatal(err)
				}
				_, err = s.until("")
				check("the client", err)
				if rec := w.record(); rec.Outcome != usage.OK || rec.Duration != 0 {
					w.t.Errorf("recorded %s after %v", rec.Outcome, rec.Duration)
				}
			})
		})
	}
}

// TestRealtimeClientLeaves holds that upstream is let go at once when the client's
// connection breaks, and that what was said until then is charged.
func TestRealtimeClientLeaves(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		s := w.begin()
		s.respond("hello")
		before := w.asked()[0]
		s.say(userSays("!words 1000"), respondNow)
		for range 20 {
			_, _, _ = s.conn.Read(s.ctx)
		}
		at := time.Now()
		_ = s.conn.CloseNow()
		synctest.Wait()
		seen := w.asked()[0]
		rec := w.record()
		if !seen.Done || time.Since(at) != 0 || rec.Outcome != usage.ClientGone || rec.Status != 499 {
			w.t.Errorf("upstream's session is over: %v; recorded %d %s", seen.Done, rec.Status, rec.Outcome)
		}
		if !rec.Counted || rec.Input <= int64(before.PromptTokens) || rec.Output <= int64(before.CompletionTokens) {
			w.t.Errorf("charged %d + %d after %d + %d", rec.Input, rec.Output, before.PromptTokens, before.CompletionTokens)
		}
		if len(w.unwell()) > 0 {
			w.t.Errorf("deployments %v", w.unwell())
		}
	}, "resilience:\n", "resilience:\n  breaker: { consecutive_failures: 1 }\n")
}
