package main_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"weir/usage"
)

// TestRealtimeNewLimits holds that a session's next response is reserved by the limits
// of the moment.
func TestRealtimeNewLimits(t *testing.T) {
	t.Parallel()
	const bounded = `{"type":"response.create","event_id":"mine","response":{"max_output_tokens":40}}`
	none := []string{"max: 1s", "max: 1s"}
	for _, tt := range []struct {
		name      string
		from, now []string
		before    string // code of a refusal before the reload; "" it is served
		after     string
		message   string
	}{
		{name: "fewer tokens", from: none, now: limited("tpm: 60, burst_tokens: 100"), after: "tokens_exceed_team_limit", message: "never has more than 100 at once"},
		{name: "more tokens", from: limited("tpm: 60, burst_tokens: 30"), now: limited("tpm: 6000"), before: "tokens_exceed_team_limit"},
		{name: "no limit", from: limited("tpm: 60, burst_tokens: 30"), now: none, before: "tokens_exceed_team_limit"},
		{name: "a limit of the key", from: none, now: []string{`"${SEARCH_KEY}"`, `"${SEARCH_KEY}", limits: { tpm: 100 }`}, after: "tokens_exceed_team_limit", message: `Key "search-1" never has more than 100`},
		{name: "in shadow", from: none, now: limited("tpm: 60, burst_tokens: 100, mode: shadow")},
		{name: "a budget", from: none, now: append(fiveCents(), budgeted("usd: 0.01", "")...), after: "insufficient_quota", message: `Team "search" has a budget of $0.01`},
		{name: "another price", from: append(fiveCents(), budgeted("usd: 0.1", "")...), now: append([]string{"gpt-4o:\n", "gpt-4o:\n    price: { input: 2500, output: 4800 }\n"}, budgeted("usd: 0.1", "")...), after: "insufficient_quota", message: "the request may cost $0.492"},
		{name: "a larger budget", from: append(fiveCents(), budgeted("usd: 0.01", "")...), now: append(fiveCents(), budgeted("usd: 1", "")...), before: "insufficient_quota"},
		{name: "requests count sessions alone", from: none, now: limited("rpm: 1")},
		{name: "its slot is there already", from: limited("concurrency: 2"), now: limited("concurrency: 1")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			there := &heard{}
			before(t, there.serve, func(w *world) {
				s := w.session()
				respond := func(code string) {
					w.t.Helper()
					s.say(bounded)
					if code == "" {
						s.last("response.done")
						return
					}
					if e := s.last("error"); e.Error.Code != code || e.Error.EventID != "mine" || !strings.Contains(e.Error.Message, tt.message) {
						w.t.Errorf("told %s", e.raw)
					}
				}
				respond(tt.before)
				w.reload(tt.now...)
				respond(tt.after)
				respond(tt.after)
				s.leave()
			}, tt.from...)
		})
	}
}

// TestRealtimeNewSlots holds that a limit of concurrency that comes by a reload counts
// the sessions that are open, from their next response on.
func TestRealtimeNewSlots(t *testing.T) {
	t.Parallel()
	there := &heard{}
	before(t, there.serve, func(w *world) {
		s := w.session()
		w.reload(limited("concurrency: 1")...)
		s.say(respondNow)
		s.last("response.done")
		if other, err := w.dial(realtimePath); err == nil {
			w.t.Errorf("a second session of one: %s", other.resp.Status)
		}
		s.leave()
		w.session().leave()
	})
}

// TestRealtimeNewPolicy holds that the next event of a session is judged by the policy
// of the moment.
func TestRealtimeNewPolicy(t *testing.T) {
	t.Parallel()
	const token, update = `<|im_start|>`, `{"type":"session.update","session":{"%s":%s}}`
	bounded := fmt.Sprintf(update, "max_output_tokens", "80")
	named := `{"type":"response.create","event_id":"mine"}`
	for _, tt := range []struct {
		name      string
		from, now string // policies
		first     string // that is said before
		say       string
		want      string // what goes upstream; "" nothing
		code      string
		param     string
	}{
		{name: "tokens are refused", from: "special_tokens: allow", now: "special_tokens: reject", say: userSays(token), code: "special_tokens_in_input", param: "item.content[0].text"},
		{name: "tokens are allowed", from: "special_tokens: reject", now: "special_tokens: allow", say: userSays(token), want: userSays(token)},
		{name: "tokens are escaped", from: "special_tokens: reject", now: "special_tokens: escape", say: userSays("ab"), want: userSays("ab")},
		{name: "in shadow", from: "special_tokens: reject", now: "special_tokens: reject, mode: shadow", say: userSays(token), want: userSays(token)},
		{name: "a bound", from: "mode: enforce", now: "max_output_tokens: 50", say: bounded, want: fmt.Sprintf(update, "max_output_tokens", "50")},
		{name: "a bound that is refused", from: "mode: enforce", now: "max_output_tokens: 50, on_output_overflow: reject", say: bounded, code: "invalid_value", param: "session.max_output_tokens"},
		{name: "the session's bound", from: "mode: enforce", now: "max_output_tokens: 50", first: bounded, say: named, want: `{"response":{"max_output_tokens":50},"type":"response.create","event_id":"mine"}`},
		{name: "the session's bound, of the preview", from: "mode: enforce", now: "max_output_tokens: 50", first: fmt.Sprintf(update, "max_response_output_tokens", `"inf"`), say: `{"type":"response.create","event_id":"mine","response":{"a":1}}`, want: `{"type":"response.create","event_id":"mine","response":{"max_response_output_tokens":50,"a":1}}`},
		{name: "the session's bound, and a model", from: "mode: enforce", now: "max_output_tokens: 50", first: bounded, say: `{"type":"response.create","event_id":"mine","response":{"model":"gpt-4o"}}`, want: `{"type":"response.create","event_id":"mine","response":{"max_output_tokens":50}}`},
		{name: "the session's bound is low enough", from: "mode: enforce", now: "max_output_tokens: 80", first: bounded, say: named, want: named},
		{name: "the session's bound, and the response's own", from: "mode: enforce", now: "max_output_tokens: 50", first: bounded, say: `{"type":"response.create","event_id":"mine","response":{"max_output_tokens":7}}`, want: `{"type":"response.create","event_id":"mine","response":{"max_output_tokens":7}}`},
		{name: "the session's bound, in shadow", from: "mode: enforce", now: "max_output_tokens: 50, mode: shadow", first: bounded, say: named, want: named},
		{name: "the session's bound is refused", from: "mode: enforce", now: "max_output_tokens: 50, on_output_overflow: reject", first: bounded, say: named, code: "invalid_value", param: "session.max_output_tokens"},
		{name: "no bound was told", from: "mode: enforce", now: "max_output_tokens: 50", say: named, want: named},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			there := &heard{}
			before(t, there.serve, func(w *world) {
				s := w.session()
				if tt.first != "" {
					s.say(tt.first)
					s.last("heard")
				}
				came := len(there.since(0))
				w.reload(ruled(tt.now)...)
				s.say(tt.say)
				if tt.code != "" {
					if e := s.last("error"); e.Error.Code != tt.code || e.Error.Param != tt.param {
						w.t.Errorf("told %s", e.raw)
					}
				}
				if diff := cmp.Diff(tt.want, strings.Join(there.since(came), "\n")); diff != "" {
					w.t.Errorf("upstream hears (-want +got):\n%s", diff)
				}
				go func() { _, _ = s.until("") }()
				s.leave()
			}, ruled(tt.from)...)
		})
	}
}

// TestRealtimeNewPlaces holds that a session ends whose model, or deployment, is none
// that its team may use by now.
func TestRealtimeNewPlaces(t *testing.T) {
	t.Parallel()
	const east, west = "      - { backend: east, deployment: gpt-4o-east, priority: 0 }\n", "      - { backend: west, deployment: gpt-4o-west, priority: 1 }\n"
	regions := []string{"east: {", "east: { region: eu,", "west: {", "west: { region: us,"}
	within := func(region string) []string {
		return append(slices.Clone(regions), `owner: "#search"`, `owner: "#search"`+"\n    regions: ["+region+"]")
	}
	for _, tt := range []struct {
		name      string
		path      string
		from, now []string
		code      string // "" it goes on
		message   string
	}{
		{name: "the team may use the model", now: []string{`owner: "#search"`, `owner: "#search"` + "\n    models: [gpt-4o]"}},
		{name: "the team may use it by an alias", now: []string{`owner: "#search"`, `owner: "#search"` + "\n    models: [chat]"}},
		{name: "the team may use others", now: []string{`owner: "#search"`, `owner: "#search"` + "\n    models: [gpt-5, d2]"}, code: "model_not_allowed", message: `Team "search" may not use the model "gpt-4o". Your key may use: d2, gpt-5.`},
		{name: "the model is gone", now: []string{"  gpt-4o:\n    aliases: [chat]\n    deployments:\n" + east + west, ""}, code: "model_not_found", message: `The model "gpt-4o" is not configured.`},
		{name: "its alias leads elsewhere", path: "/v1/realtime?model=chat", now: []string{"    aliases: [chat]\n", "", "gpt-5: {", "gpt-5: { aliases: [chat],"}},
		{name: "another deployment is gone", now: []string{west, ""}},
		{name: "its deployment is gone", now: []string{east, ""}, code: "deployment_not_allowed", message: `The deployment of this session is none of the model "gpt-4o" any more.`},
		{name: "its deployment is asked no more", now: []string{"gpt-4o-east, priority: 0", "gpt-4o-east, priority: 0, weight: 0", "gpt-4o-west, priority: 1", "gpt-4o-west, priority: 0"}},
		{name: "its region is allowed", from: regions, now: within("eu")},
		{name: "its region is not allowed", from: regions, now: within("us"), code: "deployment_not_allowed", message: "The deployment of this session is in none of the regions that the team may use: us."},
		{name: "it is in another region", from: within("eu"), now: append([]string{"east: {", "east: { region: us,", "west: {", "west: { region: eu,"}, within("eu")[4:]...), code: "deployment_not_allowed", message: "in none of the regions that the team may use: eu."},
		{name: "any region is allowed", from: within("eu"), now: regions},
	} {
		for _, say := range []string{"", respondNow} {
			if tt.code == "" && say != "" {
				continue
			}
			t.Run(tt.name+" "+say, func(t *testing.T) {
				t.Parallel()
				there, path := &heard{}, realtimePath
				if tt.path != "" {
					path = tt.path
				}
				from := append([]string{"max: 1s", "max: 1s"}, tt.from...)
				before(t, there.serve, func(w *world) {
					s, err := w.dial(path)
					if err != nil {
						w.t.Fatal(err)
					}
					time.Sleep(4 * time.Second)
					w.reload(tt.now...)
					began, want := time.Now(), time.Second
					if tt.code == "" {
						s.goesOn()
						s.leave()
						return
					}
					if say != "" {
						s.say(say)
						want = 0
					}
					if e := s.ended(tt.code); !strings.Contains(e.Error.Message, tt.message) {
						w.t.Errorf("told %s", e.raw)
					}
					if took := time.Since(began); took != want || len(there.since(0)) > 0 {
						w.t.Errorf("it ended behind %v, and upstream heard %v", took, there.since(0))
					}
					if rec := w.record(); rec.Outcome != usage.RefusedPolicy || rec.Code != tt.code {
						w.t.Errorf("recorded %s %q", rec.Outcome, rec.Code)
					}
				}, from...)
			})
		}
	}
}

// TestRealtimeNewSpeech holds that a response which upstream begins by itself is one of
// the moment's limits too, and of nobody's whose key is gone.
func TestRealtimeNewSpeech(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		now  []string
		code string
	}{
		{name: "it fits", now: limited("tpm: 6000")},
		{name: "it does not fit", now: budgeted("usd: 0.000001", ""), code: "insufficient_quota"},
		{name: "the key is gone", now: []string{keyLine, byHash("search-1", "sk-another")}, code: "invalid_api_key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var said []string
			before(t, func(f *far) {
				time.Sleep(time.Second)
				f.say(`{"type":"response.created","response":{"id":"r"}}`)
				for len(said) == 0 || strings.HasPrefix(said[len(said)-1], "{") {
					said = append(said, f.hear())
				}
			}, func(w *world) {
				s := w.session()
				began := time.Now()
				w.reload(tt.now...)
				switch tt.code {
				case "":
					s.last("response.created")
				case "invalid_api_key":
					s.ended(tt.code)
				default:
					if e := s.last("error"); e.Error.Code != tt.code {
						w.t.Errorf("told %s", e.raw)
					}
				}
				if took := time.Since(began); took != time.Second {
					w.t.Errorf("behind %v", took)
				}
				go func() { _, _ = s.until("") }()
				synctest.Wait()
				_ = s.conn.Close(websocket.StatusNormalClosure, "")
				synctest.Wait()
				want := 1
				if tt.code == "insufficient_quota" {
					want = 2
				}
				if len(said) != want {
					w.t.Errorf("upstream heard %v", said)
				}
			})
		})
	}
}
