package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/usage"
)

// responded returns the end of a response that used so much.
func responded(id string, in, out int) string {
	return fmt.Sprintf(`{"type":"response.done","response":{"id":%q,"status":"completed","usage":{"input_tokens":%d,"output_tokens":%d,"input_token_details":{"cached_tokens":%d,"audio_tokens":3}}}}`, id, in, out, in/10)
}

// answer serves sessions whose responses use so much each; speak begins one that
// nobody asked for, and cancel ends one.
func answer(in, out int) func(f *far) {
	return func(f *far) {
		n := 0
		for {
			heard := f.hear()
			var e event
			if json.Unmarshal([]byte(heard), &e) != nil {
				return
			}
			id := fmt.Sprintf("resp_%d", n)
			switch e.Type {
			case "response.create", "input_audio_buffer.commit":
				f.say(`{"type":"response.created","response":{"id":"`+id+`"}}`, responded(id, in, out))
				n++
			case "input_audio_buffer.append": // as where speech is found by itself
				f.say(`{"type":"response.created","response":{"id":"` + id + `"}}`)
			case "response.cancel":
				f.say(strings.Replace(responded(id, in/10, 0), "completed", "cancelled", 1))
				n++
			default:
				f.say(`{"type":"` + e.Type + `.heard"}`)
			}
		}
	}
}

// TestRealtimeLimits holds that each response is counted in the limits by what
// upstream says that it used, and the session as one request with one slot.
func TestRealtimeLimits(t *testing.T) {
	t.Parallel()
	const bounded = `{"type":"response.create","event_id":"mine","response":{"max_output_tokens":40}}`
	const spoken = `{"type":"input_audio_buffer.commit"}`
	for _, tt := range []struct {
		name     string
		edits    []string
		say      string
		served   int // responses, of five
		param    string
		kind     string // of the refusal of those behind them
		code     string
		message  string
		session  int // what a second session is answered
		left     string
		shadowed string
	}{
		{name: "none", edits: limited("concurrency: 9"), say: bounded, served: 5, session: 101},
		{name: "requests count sessions alone", edits: limited("rpm: 1"), say: bounded, served: 5, session: 429},
		{name: "concurrency counts sessions alone", edits: limited("concurrency: 1"), say: bounded, served: 5, session: 429},
		{name: "a slot for each", edits: limited("concurrency: 2"), say: bounded, served: 5, session: 101},
		{name: "tokens", edits: limited("tpm: 600, burst_tokens: 300"), say: bounded, served: 2, kind: "tokens", code: "rate_limit_exceeded", message: `Team "search" has used its 600 tokens per minute: 60 are left, and the request needs 160. Next slot in 10s. To raise it, ask #search to change teams.search.limits.tpm.`, session: 101, left: "60"},
		{name: "tokens of a key", edits: []string{`"${SEARCH_KEY}"`, `"${SEARCH_KEY}", limits: { tpm: 600, burst_tokens: 300 }`}, say: bounded, served: 2, kind: "tokens", code: "rate_limit_exceeded", message: `Key "search-1" has used its 600 tokens per minute: 60 are left, and the request needs 160. Next slot in 10s. To raise it, ask #search to change teams.search.keys[search-1].limits.tpm.`, session: 101, left: "60"},
		{name: "tokens that never suffice", edits: limited("tpm: 600, burst_tokens: 150"), say: bounded, served: 1, param: "input", kind: "invalid_request_error", code: "tokens_exceed_team_limit", message: `The request may use 160 tokens, and Team "search" never has more than 150 at once. Send a shorter prompt or a smaller max_tokens. To raise it, ask #search to change teams.search.limits.tpm.`, session: 101, left: "30"},
		{name: "tokens in shadow", edits: limited("tpm: 600, burst_tokens: 300, mode: shadow"), say: bounded, served: 5, session: 101, shadowed: "rate_limit_exceeded"},
		{name: "a budget", edits: append(fiveCents(), budgeted("usd: 0.1", "")...), say: bounded, served: 2, kind: "insufficient_quota", code: "insufficient_quota", message: `Team "search" has a budget of $0.10, of which $0.0308 are left, and the request may cost $0.0492. The next budget begins in 744h0m0s. To raise it, ask #search to change teams.search.budget.`, session: 101},
		{name: "a budget in shadow", edits: append(fiveCents(), budgeted("usd: 0.1, mode: shadow", "")...), say: bounded, served: 5, session: 101, shadowed: "insufficient_quota"},
		{name: "tokens, begun by speech", edits: limited("tpm: 6000"), say: spoken, served: 5, session: 101, left: "5400"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before(t, answer(100, 20), func(w *world) {
				s, err := w.dial(realtimePath)
				if err != nil {
					w.t.Fatal(err)
				}
				for i := range 5 {
					s.say(tt.say)
					if i < tt.served {
						if list, err := s.until("response.done"); err != nil || len(list) != 2 {
							w.t.Fatalf("response %d: %v %v", i, list, err)
						}
						continue
					}
					e := s.last("error")
					want := event{Type: "error", EventID: e.EventID, raw: e.raw}
					want.Error.Type, want.Error.Code, want.Error.Message, want.Error.EventID = tt.kind, tt.code, tt.message+" (docs/errors.md#"+tt.code+")", "mine"
					want.Error.Param = tt.param
					if e.Error != want.Error || e.EventID == "" || e.EventID == "mine" {
						w.t.Errorf("response %d: %s", i, e.raw)
					}
				}
				synctest.Wait()
				other, err := w.dial(realtimePath)
				if got := other.resp; got.StatusCode != tt.session || tt.left != "" && got.Header.Get("X-Ratelimit-Remaining-Tokens") != tt.left {
					w.t.Errorf("another session is answered %d %v, %v", got.StatusCode, got.Header, err)
				}
				if err == nil {
					other.leave()
				}
				s.leave()
				rec := w.record()
				if n := int64(tt.served); rec.Input != 100*n || rec.Output != 20*n || rec.Cached != 10*n || rec.Outcome != usage.OK || rec.Counted {
					w.t.Errorf("recorded %s %d (%d) + %d", rec.Outcome, rec.Input, rec.Cached, rec.Output)
				}
				if strings.Join(rec.Shadowed, ",") != tt.shadowed {
					w.t.Errorf("shadowed %v", rec.Shadowed)
				}
				if third, err := w.dial(realtimePath); third.resp.StatusCode != http.StatusSwitchingProtocols && tt.name != "requests count sessions alone" {
					w.t.Errorf("a slot is still taken: %v", err)
				} else if err == nil {
					third.leave()
				}
			}, tt.edits...)
		})
	}
}

// TestRealtimeDebt holds that what a session uses beyond its estimate is a debt, which
// it pays as soon as it can, and keeps its one slot meanwhile.
func TestRealtimeDebt(t *testing.T) {
	t.Parallel()
	before(t, answer(1000, 200), func(w *world) {
		s, err := w.dial(realtimePath)
		if err != nil {
			w.t.Fatal(err)
		}
		s.say(respondNow)
		s.last("response.done")
		s.say(respondNow)
		if e := s.last("error"); e.Error.Code != "tokens_exceed_team_limit" && e.Error.Code != "rate_limit_exceeded" || e.Error.EventID != "" {
			w.t.Errorf("in debt it is told %s", e.raw)
		}
		if other, err := w.dial(realtimePath); err == nil || other.resp.StatusCode != http.StatusTooManyRequests {
			w.t.Errorf("another session in debt: %v", err)
		}
		go func() { _, _ = s.until("") }()
		time.Sleep(3 * time.Minute)
		other, err := w.dial(realtimePath)
		if err != nil || other.resp.Header.Get("X-Ratelimit-Remaining-Tokens") != "600" {
			w.t.Fatalf("when the debt is paid: %v %v", other.resp.Header, err)
		}
		if third, err := w.dial(realtimePath); err == nil {
			w.t.Errorf("there is a third slot of two: %v", third.resp.Status)
		}
		other.leave()
		_ = s.conn.CloseNow()
		synctest.Wait()
	}, limited("tpm: 600, concurrency: 2")...)
}

// TestRealtimeSpeech holds that a response which upstream begins by itself must fit
// into the limits too, and is cancelled where it does not.
func TestRealtimeSpeech(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, limits, code, kind string
	}{
		{"it fits", "tpm: 6000", "", ""},
		{"it does not", "tpm: 600, burst_tokens: 130", "rate_limit_exceeded", "tokens"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before(t, answer(100, 0), func(w *world) {
				s, err := w.dial(realtimePath)
				if err != nil {
					w.t.Fatal(err)
				}
				s.say(`{"type":"input_audio_buffer.commit"}`)
				s.last("response.done")
				s.say(`{"type":"input_audio_buffer.append","audio":"AAAA"}`)
				s.last("response.created")
				if tt.code == "" {
					s.leave()
					if rec := w.record(); rec.Input != 200 || !rec.Counted { // the one that is open is counted
						w.t.Errorf("charged %d + %d", rec.Input, rec.Output)
					}
					return
				}
				told := map[string]event{}
				for range 2 { // in either order
					e := s.next()
					told[e.Type] = e
				}
				if e := told["error"]; e.Error.Code != tt.code || e.Error.Type != tt.kind || e.Error.EventID != "" {
					w.t.Errorf("the client is told %s", e.raw)
				}
				if e := told["response.done"]; e.Response.Status != "cancelled" {
					w.t.Errorf("the response ended with %s", e.raw)
				}
				s.leave()
				if rec := w.record(); rec.Input != 110 || rec.Outcome != usage.OK || rec.Counted {
					w.t.Errorf("charged %d + %d", rec.Input, rec.Output)
				}
			}, limited(tt.limits)...)
		})
	}
}

// TestRealtimeTranscripts holds that a transcript of what was heard is charged.
func TestRealtimeTranscripts(t *testing.T) {
	t.Parallel()
	const done = `{"type":"conversation.item.input_audio_transcription.completed","transcript":"hi","usage":`
	before(t, func(f *far) {
		f.say(done+`{"type":"tokens","input_tokens":22,"output_tokens":13,"input_token_details":{"audio_tokens":22}}}`,
			done+`{"type":"duration","seconds":2.5}}`, done+`null}`)
		f.hear()
	}, func(w *world) {
		s, err := w.dial(realtimePath)
		if err != nil {
			w.t.Fatal(err)
		}
		for range 3 {
			_, _, _ = s.conn.Read(s.ctx)
		}
		s.leave()
		if rec := w.record(); rec.Input != 22+26 || rec.Output != 13 {
			w.t.Errorf("charged %d + %d", rec.Input, rec.Output)
		}
	})
}
