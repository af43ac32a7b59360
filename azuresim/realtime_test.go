package azuresim_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
)

const realtimePath = "/openai/v1/realtime?model=m"

// talk is a client's session.
type talk struct {
	t    *testing.T
	conn *websocket.Conn
}

// dial opens a session. Call it inside a bubble.
func dial(t *testing.T, sim *azuresim.Server, path string, headers ...string) (talk, *http.Response, error) {
	t.Helper()
	h := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	conn, resp, err := websocket.Dial(t.Context(), "ws://sim"+path, &websocket.DialOptions{
		HTTPClient: serve(t, sim), HTTPHeader: h, Subprotocols: []string{"realtime"},
	})
	if err == nil {
		t.Cleanup(func() { _ = conn.CloseNow() })
	}
	return talk{t, conn}, resp, err
}

func (k talk) say(events ...string) {
	k.t.Helper()
	for _, e := range events {
		if err := k.conn.Write(k.t.Context(), websocket.MessageText, []byte(e)); err != nil {
			k.t.Fatal(err)
		}
	}
}

// hear reads events up to and with one called last, or to the end.
func (k talk) hear(last string) (list []typed, err error) {
	for {
		_, b, err := k.conn.Read(k.t.Context())
		if err != nil {
			return list, err
		}
		var e typed
		if err := json.Unmarshal(b, &e.data); err != nil {
			return list, err
		}
		e.name, _ = e.data["type"].(string)
		if list = append(list, e); e.name == last {
			return list, nil
		}
	}
}

func userItem(text string) string {
	b, _ := json.Marshal(text)
	return `{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_text","text":` + string(b) + `}]}}`
}

const create = `{"type":"response.create"}`

func TestRealtimeAnswers(t *testing.T) {
	t.Parallel()
	const part = "output_item.added content_part.added "
	const end = " content_part.done output_item.done done"
	for _, tt := range []struct {
		name, path string
		say        []string
		want       string
	}{
		{"v1", realtimePath, []string{userItem("hi"), create}, "session.created conversation.item.added conversation.item.done created rate_limits.updated " + part + "output_text.delta+ output_text.done" + end},
		{"openai", "/v1/realtime?model=m", []string{userItem("hi"), create}, "session.created conversation.item.added conversation.item.done created rate_limits.updated " + part + "output_text.delta+ output_text.done" + end},
		{"classic", "/openai/realtime?api-version=2025-04-01-preview&deployment=m", []string{userItem("hi"), create}, "session.created conversation.item.created created rate_limits.updated " + part + "text.delta+ text.done" + end},
		{"a tool", realtimePath, []string{`{"type":"session.update","session":{"tools":[{"type":"function","name":"f","parameters":{"type":"object","properties":{"a":{"type":"string"}}}}]}}`, userItem("!tool f"), create}, "session.created session.updated conversation.item.added conversation.item.done created rate_limits.updated output_item.added function_call_arguments.delta function_call_arguments.done output_item.done done"},
		{"sound", realtimePath, []string{`{"type":"input_audio_buffer.append","audio":"` + strings.Repeat("AAAA", 4000) + `"}`, `{"type":"input_audio_buffer.commit"}`, `{"type":"response.create","response":{"output_modalities":["audio"]}}`}, "session.created input_audio_buffer.committed conversation.item.added conversation.item.done created rate_limits.updated " + part + "" + strings.Repeat("output_audio_transcript.delta output_audio.delta ", 4) + "output_audio.done output_audio_transcript.done" + end},
		{"a wish that fails", realtimePath, []string{userItem("!rate-limit 7"), create}, "session.created conversation.item.added conversation.item.done created done"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sim := azuresim.New(azuresim.Config{})
				k, _, err := dial(t, sim, tt.path)
				if err != nil {
					t.Fatal(err)
				}
				k.say(tt.say...)
				list, err := k.hear("response.done")
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, outline(list)); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				if err := k.conn.Close(websocket.StatusNormalClosure, ""); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				seen := sim.Requests()[0]
				if diff := cmp.Diff(tt.say, seen.Messages); diff != "" || !seen.Done || seen.Cancelled || seen.Status != 101 || seen.Deployment != "m" {
					t.Errorf("record: %+v\n%s", seen, diff)
				}
				if usage, ok := list[len(list)-1].data["response"].(object)["usage"].(object); ok && (usage["input_tokens"] != float64(seen.PromptTokens) || usage["output_tokens"] != float64(seen.CompletionTokens)) {
					t.Errorf("record has %d and %d tokens: %v", seen.PromptTokens, seen.CompletionTokens, usage)
				}
			})
		})
	}
}

func TestRealtimeRefusesEventsAndGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k, _, err := dial(t, azuresim.New(azuresim.Config{}), realtimePath)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = k.hear("session.created")
		for event, code := range map[string]string{
			`{`:                            "invalid_json",
			`{"type":"x","event_id":"me"}`: "invalid_value",
			`{"type":"conversation.item.create","item":7}`: "missing_required_parameter",
			`{"type":"input_audio_buffer.commit"}`:         "input_audio_buffer_commit_empty",
			`{"type":"response.cancel"}`:                   "response_cancel_not_active",
		} {
			k.say(event)
			list, err := k.hear("error")
			if err != nil || len(list) != 1 || list[0].data["error"].(object)["code"] != code {
				t.Errorf("%s: %v %v", event, list, err)
			}
		}
		if err := k.conn.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Error(err)
		}
	})
}

func TestRealtimeResponseIsCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := azuresim.New(azuresim.Config{Deployments: map[string]azuresim.Deployment{"m": {Gap: time.Second}}})
		k, _, err := dial(t, sim, realtimePath)
		if err != nil {
			t.Fatal(err)
		}
		k.say(userItem("!words 1000"), create)
		if _, err := k.hear("response.output_text.delta"); err != nil {
			t.Fatal(err)
		}
		k.say(userItem("later"), `{"type":"response.cancel"}`)
		list, err := k.hear("response.done")
		if err != nil {
			t.Fatal(err)
		}
		if got := list[len(list)-1].data["response"].(object)["status"]; got != "cancelled" {
			t.Errorf("status is %v", got)
		}
		if list, err := k.hear("conversation.item.done"); err != nil || len(list) != 2 {
			t.Errorf("what came meanwhile: %v %v", list, err)
		}
		_ = k.conn.CloseNow()
		synctest.Wait()
		if seen := sim.Requests()[0]; !seen.Cancelled || !seen.Done {
			t.Errorf("a connection that is dropped: %+v", seen)
		}
	})
}

func TestRealtimeEnds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		say   []string
		after time.Duration
		code  websocket.StatusCode // -1 where there is none
		last  string               // event heard
	}{
		{"cut", []string{userItem("!cut-stream now"), create}, 0, websocket.StatusInternalError, "response.output_text.delta"},
		{"error", []string{userItem("!error-late now"), create}, 0, websocket.StatusInternalError, "error"},
		{"reset", []string{userItem("!reset-between now"), create}, 0, -1, "response.output_text.delta"},
		{"closed at once", []string{userItem("!close-after-read"), create}, 0, -1, "conversation.item.done"},
		{"after half an hour", nil, 30 * time.Minute, websocket.StatusGoingAway, "error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				k, _, err := dial(t, azuresim.New(azuresim.Config{}), realtimePath)
				if err != nil {
					t.Fatal(err)
				}
				k.say(tt.say...)
				list, err := k.hear("")
				if code := websocket.CloseStatus(err); code != tt.code || list[len(list)-1].name != tt.last || time.Since(begun) != tt.after {
					t.Errorf("code %d behind %s after %v: %v", code, list[len(list)-1].name, time.Since(begun), err)
				}
			})
		})
	}
}

func TestRealtimeAnswersPings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k, _, err := dial(t, azuresim.New(azuresim.Config{Deployments: map[string]azuresim.Deployment{"m": {Gap: time.Minute}}}), realtimePath)
		if err != nil {
			t.Fatal(err)
		}
		k.say(userItem("hi"), create)
		heard := make(chan error)
		go func() { _, err := k.hear(""); heard <- err }()
		if err := k.conn.Ping(t.Context()); err != nil {
			t.Errorf("ping in the middle of a response: %v", err)
		}
		_ = k.conn.CloseNow()
		if err := <-heard; err == nil {
			t.Error("the session did not end")
		}
	})
}

func TestRealtimeHandshakeIsRefused(t *testing.T) {
	t.Parallel()
	cfg := azuresim.Config{Key: "key", Deployments: map[string]azuresim.Deployment{"m": {}}}
	for _, tt := range []struct {
		name, path string
		headers    []string
		status     int
	}{
		{"no key", realtimePath, nil, 401},
		{"no such deployment", "/openai/v1/realtime?model=x", []string{"api-key", "key"}, 404},
		{"none named", "/openai/v1/realtime", []string{"api-key", "key"}, 404},
		{"limit", realtimePath, []string{"api-key", "key", "x-azuresim-fault", "rate-limit 7"}, 429},
		{"served", realtimePath, []string{"api-key", "key"}, 101},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				k, resp, err := dial(t, azuresim.New(cfg), tt.path, tt.headers...)
				if resp == nil || resp.StatusCode != tt.status || (tt.status == 101) != (err == nil) {
					t.Fatalf("%v %v", resp, err)
				}
				if tt.status == 101 && k.conn.Subprotocol() != "realtime" {
					t.Errorf("subprotocol %q", k.conn.Subprotocol())
				}
			})
		})
	}
	if w := call(t, azuresim.New(azuresim.Config{}), http.MethodGet, realtimePath, ""); w.Code != http.StatusUpgradeRequired {
		t.Errorf("a plain GET: %d %s", w.Code, w.Body)
	}
}

func TestScriptAnswersAHandshake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := azuresim.New(azuresim.Config{})
		sim.Script(azuresim.Step{Status: 503}, azuresim.Step{Content: "scripted"})
		if _, resp, err := dial(t, sim, realtimePath); err == nil || resp.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("%v %v", resp, err)
		}
		k, _, err := dial(t, sim, realtimePath)
		if err != nil {
			t.Fatal(err)
		}
		k.say(userItem("hi"), create)
		list, err := k.hear("response.output_text.done")
		if err != nil || list[len(list)-1].data["text"] != "scripted" {
			t.Errorf("%v %v", list, err)
		}
		if err := k.conn.Close(websocket.StatusNormalClosure, ""); err != nil && !errors.Is(err, http.ErrAbortHandler) {
			t.Error(err)
		}
	})
}
