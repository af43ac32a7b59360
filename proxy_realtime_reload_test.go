package main_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/coder/websocket"

	"weir/upstream"
	"weir/usage"
)

// heard are the events that come to a deployment, which answers them as answer does.
type heard struct {
	mu     sync.Mutex
	events []string
}

// serve notes each event, and answers what asks for a response.
func (h *heard) serve(f *far) {
	for n := 0; ; {
		_, b, err := f.conn.Read(f.ctx)
		if err != nil {
			return
		}
		h.mu.Lock()
		h.events = append(h.events, string(b))
		h.mu.Unlock()
		id := fmt.Sprintf("resp_%d", n)
		switch text := string(b); {
		case strings.Contains(text, "response.create"):
			f.say(`{"type":"response.created","response":{"id":"`+id+`"}}`, responded(id, 100, 20))
			n++
		case strings.Contains(text, "input_audio_buffer.append"):
			f.say(`{"type":"response.created","response":{"id":"`+id+`"}}`, `{"type":"response.output_text.delta","response_id":"`+id+`","delta":"`+strings.Repeat(" hello", 50)+`"}`)
			n++
		default:
			f.say(`{"type":"heard"}`)
		}
	}
}

// since returns what has come behind the first n.
func (h *heard) since(n int) []string {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events[min(n, len(h.events)):])
}

// ended reads a session to its end, which must be one by the gateway that says why,
// and returns that.
func (s *session) ended(code string) event {
	s.w.t.Helper()
	list, err := s.until("")
	if websocket.CloseStatus(err) != websocket.StatusPolicyViolation || len(list) == 0 {
		s.w.t.Fatalf("the session ended with %v behind %v", err, list)
	}
	last := list[len(list)-1]
	if last.Type != "error" || last.Error.Code != code || last.EventID == "" || !strings.Contains(last.Error.Message, "Open a new session") && !strings.Contains(last.Error.Message, "Your key may use") {
		s.w.t.Errorf("it is told %s", last.raw)
	}
	return last
}

// goesOn holds that a session notices nothing, for a while and when it is used.
func (s *session) goesOn() {
	s.w.t.Helper()
	time.Sleep(12 * time.Second) // which is less than until it is asked for signs of life
	s.say(respondNow)
	if list, err := s.until("response.done"); err != nil || len(list) != 2 {
		s.w.t.Fatalf("heard %v, %v", list, err)
	}
}

// session opens a session with the deployment that the test serves.
func (w *world) session(headers ...string) *session {
	w.t.Helper()
	s, err := w.dial(realtimePath, headers...)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// keyLine is where the plain gateway has the key of the team search.
const keyLine = `{ id: search-1, value: "${SEARCH_KEY}" }`

// byHash returns a key as it is listed without saying it.
func byHash(id, key string) string {
	sum := sha256.Sum256([]byte(key))
	return `{ id: ` + id + `, sha256: ` + hex.EncodeToString(sum[:]) + ` }`
}

// keyless are the edits that make the plain gateway one that asks for no key.
func keyless() []string {
	from, to := strings.Index(plain, "teams:"), strings.Index(plain, "resilience:")
	return []string{plain[from:to], ""}
}

// TestRealtimeKeys holds whose sessions end when the keys of a configuration change:
// within five seconds, and before anything more goes upstream.
func TestRealtimeKeys(t *testing.T) {
	t.Parallel()
	another, second := byHash("search-1", "sk-another-key-of-the-team-search"), byHash("search-2", "sk-second")
	for _, tt := range []struct {
		name    string
		opened  []string // edits of the configuration that it is opened under
		header  []string
		now     []string // of the one afterwards
		goesOn  bool
		silent  bool // no credential is sent
		message string
	}{
		{name: "nothing", goesOn: true},
		{name: "other settings", now: []string{"max: 1s", "max: 2s"}, goesOn: true},
		{name: "another team's key", now: []string{`value: "${OTHER_KEY}"`, "sha256: " + strings.Repeat("ab", 32)}, goesOn: true},
		{name: "another team", now: []string{"  other:\n    models: [gpt-35-turbo]\n    keys: [{ id: other-1, value: \"${OTHER_KEY}\" }]\n", ""}, goesOn: true},
		{name: "it is listed by its hash", now: []string{keyLine, byHash("search-1", searchKey)}, goesOn: true},
		{name: "it was listed by its hash", opened: []string{keyLine, byHash("search-1", searchKey)}, goesOn: true},
		{name: "a second key is added", now: []string{keyLine, second + ", " + keyLine}, goesOn: true},
		{name: "the second key is removed", opened: []string{keyLine, second + ", " + keyLine}, goesOn: true},
		{name: "replaced", now: []string{keyLine, another}},
		{name: "replaced, both listed by hash", opened: []string{keyLine, byHash("search-1", searchKey)}, now: []string{keyLine, another}},
		{name: "replaced, the old one listed beside it", now: []string{keyLine, second + ", " + keyLine}, goesOn: true},
		{name: "removed", opened: []string{keyLine, keyLine + ", " + second}, now: []string{keyLine, second}},
		{name: "another name", now: []string{keyLine, byHash("search-9", searchKey)}},
		{name: "of another team", now: []string{"SEARCH_KEY", "OTHER_KEY", "OTHER_KEY", "SEARCH_KEY"}},
		{name: "its team has another name", now: []string{"  search:\n", "  found:\n"}},
		{name: "its team is gone", now: []string{"  search:\n    owner: \"#search\"\n    keys: [" + keyLine + "]\n", ""}},
		{name: "as api-key", header: []string{"api-key", searchKey}, now: []string{keyLine, another}},
		{name: "among the subprotocols", header: []string{"Sec-WebSocket-Protocol", "realtime,openai-insecure-api-key." + searchKey}, now: []string{keyLine, another}},
		{name: "no keys any more", now: keyless()},
		{name: "no keys", opened: keyless(), now: append(keyless(), "max: 1s", "max: 2s"), silent: true, goesOn: true},
		{name: "no keys, and one is sent", opened: keyless(), now: append(keyless(), "max: 1s", "max: 2s"), goesOn: true},
		{name: "keys from now on", opened: keyless(), silent: true},
		{name: "keys from now on, and one is sent", opened: keyless()},
	} {
		for _, say := range []string{"", respondNow, userSays("hello"), `{"type":"input_audio_buffer.append","audio":"AAAA"}`, `{`} {
			if tt.goesOn && say != "" {
				continue
			}
			t.Run(tt.name+" "+say, func(t *testing.T) {
				t.Parallel()
				there := &heard{}
				before(t, there.serve, func(w *world) {
					header := tt.header
					if tt.silent {
						header = []string{"Authorization", ""}
					}
					s := w.session(header...)
					s.say(respondNow)
					s.last("response.done")
					time.Sleep(7 * time.Second)
					w.reload(tt.now...)
					reloaded, came := time.Now(), len(there.since(0))
					if tt.goesOn {
						s.goesOn()
						s.leave()
						if rec := w.record(); rec.Outcome != usage.OK || rec.Code != "" || rec.Input != 200 {
							w.t.Errorf("recorded %s %q, %d", rec.Outcome, rec.Code, rec.Input)
						}
						return
					}
					want := 3 * time.Second
					if say != "" {
						want = 0
						s.say(say)
					}
					s.ended("invalid_api_key")
					if took := time.Since(reloaded); took != want {
						w.t.Errorf("it ended behind %v, not %v", took, want)
					}
					if more := there.since(came); len(more) > 0 {
						w.t.Errorf("upstream heard %v", more)
					}
					rec := w.record()
					if rec.Outcome != usage.RefusedPolicy || rec.Code != "invalid_api_key" || rec.Input != 100 || rec.Output != 20 {
						w.t.Errorf("recorded %s %q, %d + %d", rec.Outcome, rec.Code, rec.Input, rec.Output)
					}
					if strings.Contains(w.log.String(), searchKey) {
						w.t.Error("the key is in the log")
					}
				}, append([]string{"max: 1s", "max: 1s"}, tt.opened...)...)
			})
		}
	}
}

// TestRealtimeKeyExpires holds that a session ends when its key expires, at the next
// look or its client's next event.
func TestRealtimeKeyExpires(t *testing.T) {
	t.Parallel()
	expires := []string{keyLine, strings.Replace(keyLine, " }", ", expires: 2000-01-01T00:00:12Z }", 1)}
	for _, tt := range []struct {
		name  string
		edits []string // of the configuration that it is opened under
		now   []string // of the one afterwards; nil: there is none
		say   time.Duration
		want  time.Duration
	}{
		{name: "nothing is said", edits: expires, want: 15 * time.Second},
		{name: "in the same moment", edits: expires, say: 12 * time.Second, want: 12 * time.Second},
		{name: "an event", edits: expires, say: 13 * time.Second, want: 13 * time.Second},
		{name: "it is to expire later", edits: expires, now: []string{keyLine, strings.Replace(keyLine, " }", ", expires: 2000-01-01T00:03:00Z }", 1)}, want: 3 * time.Minute},
		{name: "it is to expire", edits: []string{"max: 1s", "max: 1s"}, now: expires, want: 15 * time.Second},
		{name: "it has expired meanwhile", edits: []string{"max: 1s", "max: 1s"}, now: []string{keyLine, strings.Replace(keyLine, " }", ", expires: 2000-01-01T00:00:03Z }", 1)}, want: 10 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			there := &heard{}
			before(t, there.serve, func(w *world) {
				began := time.Now()
				s := w.session()
				time.Sleep(7 * time.Second)
				if tt.now != nil {
					w.reload(tt.now...)
				}
				if tt.say > 0 {
					time.Sleep(time.Until(began.Add(12*time.Second - 1)))
					s.say(respondNow)
					s.last("response.done")
					time.Sleep(time.Until(began.Add(tt.say)))
					s.say(respondNow)
				}
				s.ended("invalid_api_key")
				if took := time.Since(began); took != tt.want {
					w.t.Errorf("it ended behind %v, not %v", took, tt.want)
				}
				if rec := w.record(); tt.say > 0 && rec.Input != 100 || tt.say == 0 && rec.Input != 0 {
					w.t.Errorf("charged %d", rec.Input)
				}
			}, tt.edits...)
		})
	}
}

// TestRealtimeRevokedIsCharged holds that what is under way when a session ends is
// charged, and that its slot and its reservations come back.
func TestRealtimeRevokedIsCharged(t *testing.T) {
	t.Parallel()
	second := byHash("search-2", "sk-second")
	both := append(limited("tpm: 60, burst_tokens: 1000, concurrency: 1"), keyLine, keyLine+", "+second)
	there := &heard{}
	before(t, there.serve, func(w *world) {
		s := w.session()
		s.say(`{"type":"input_audio_buffer.append","audio":"AAAA"}`)
		s.last("response.output_text.delta")
		if _, err := w.dial(realtimePath, "api-key", "sk-second"); err == nil {
			w.t.Error("there are two slots")
		}
		w.reload(append(limited("tpm: 60, burst_tokens: 1000, concurrency: 1"), keyLine, second)...)
		s.ended("invalid_api_key")
		rec := w.record()
		if rec.Input != 0 || rec.Output != 50 || !rec.Counted || rec.Outcome != usage.RefusedPolicy {
			w.t.Errorf("recorded %s, %d + %d", rec.Outcome, rec.Input, rec.Output)
		}
		other := w.session("api-key", "sk-second")
		if got := other.resp.Header.Get("X-Ratelimit-Remaining-Tokens"); got != "955" { // 5 have flowed in
			w.t.Errorf("%s tokens are left", got)
		}
		other.leave()
	}, both...)
}

// TestRealtimeRevokedInSilence holds that a session ends upstream too where its client
// takes in nothing, and that a client that says much is not heard meanwhile.
func TestRealtimeRevokedInSilence(t *testing.T) {
	t.Parallel()
	there := &heard{}
	over := make(chan time.Time, 1)
	before(t, func(f *far) {
		there.serve(f)
		over <- time.Now()
	}, func(w *world) {
		s := w.session()
		time.Sleep(time.Second)
		w.reload(keyLine, byHash("search-1", "sk-another"))
		began := time.Now()
		for range 20 {
			s.say(userSays("hello"))
		}
		if took := (<-over).Sub(began); took != 0 {
			w.t.Errorf("upstream it ended behind %v", took)
		}
		if more := there.since(0); len(more) > 0 {
			w.t.Errorf("upstream heard %v", more)
		}
		s.ended("invalid_api_key")
	})
}

// TestRealtimeManyReloads holds that a session notices no reload that leaves its team
// alone, and keeps none of the configurations between its first and the present one.
func TestRealtimeManyReloads(t *testing.T) {
	t.Parallel()
	there := &heard{}
	before(t, there.serve, func(w *world) {
		s := w.session()
		var pools []weak.Pointer[upstream.Pool]
		for i := range 50 {
			w.reload("max: 1s", fmt.Sprintf("max: %ds", i+2))
			pools = append(pools, weak.Make(w.gateway.Pool()))
			s.say(respondNow)
			if list, err := s.until("response.done"); err != nil || len(list) != 2 {
				w.t.Fatalf("reload %d: heard %v, %v", i, list, err)
			}
		}
		runtime.GC()
		held := 0
		for _, p := range pools {
			if p.Value() != nil {
				held++
			}
		}
		if held > 2 {
			w.t.Errorf("%d of 50 configurations are held", held)
		}
		over := w.gateway.Drain()
		if list, err := s.until(""); websocket.CloseStatus(err) != websocket.StatusGoingAway || len(list) > 0 {
			w.t.Errorf("at drain: %v, %v", list, err)
		}
		<-over
	})
}
