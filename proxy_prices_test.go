package main_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"weir/azuresim"
	"weir/usage"
)

// listPriced are the edits that add models with the prices of the list.
func listPriced(t testing.TB) []string {
	t.Helper()
	return []string{"models:\n", `models:
  speaker: { base_model: gpt-audio, deployments: [{ backend: east, deployment: mystery }] }
  draw: { base_model: gpt-image-1, deployments: [{ backend: west, deployment: image }] }
  hear: { base_model: gpt-4o-transcribe, deployments: [{ backend: east, deployment: transcribe }] }
  read: { base_model: gpt-4o-mini-tts, deployments: [{ backend: east, deployment: mystery }] }
  mine: { price: { input: 1, cached_input: 0.5, output: 2, audio_input: 10, audio_cached: 4, audio_output: 20, image_input: 5, image_output: 0 }, deployments: [{ backend: east, deployment: mystery }] }
`, `listen: "127.0.0.1:1"`, `listen: "127.0.0.1:1", upload_dir: "` + t.TempDir() + `"`}
}

// perMillion returns what tokens cost, given as pairs of their number and the price of
// a million.
func perMillion(pairs ...float64) usage.USD {
	sum := 0.0
	for i := 0; i < len(pairs); i += 2 {
		sum += pairs[i] * pairs[i+1] * 1e3
	}
	return usage.USD(sum + 0.5)
}

// TestPricesByWhatTokensAre holds what requests are charged whose tokens are of text,
// sound and images, as upstream says, and what is reserved for them before it does.
func TestPricesByWhatTokensAre(t *testing.T) {
	t.Parallel()
	spoken := func(model string, more ...string) string {
		return strings.Replace(say("hello", append(more, `"max_tokens":100`)...), "gpt-4o", model, 1)
	}
	said := `{"type":"input_audio","input_audio":{"format":"wav","data":"` + base64.StdEncoding.EncodeToString([]byte(sound(2))) + `"}}`
	heard := func(model string, more ...string) string {
		return strings.Replace(spoken(model, more...), `"hello"`, `[{"type":"text","text":"hello"},`+said+`]`, 1)
	}
	told := func(u string) *azuresim.Step {
		return &azuresim.Step{Status: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: u}
	}
	chat := func(usage string) *azuresim.Step {
		return told(`{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-audio","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"a"}}],"usage":` + usage + `}`)
	}
	const completions, responses, images, readOut = "/v1/chat/completions", "/v1/responses", "/v1/images/generations", "/v1/audio/speech"
	const aloud, withUsage = `"modalities":["text","audio"]`, `"stream":true,"stream_options":{"include_usage":true}`
	tests := []struct {
		name, path, body string
		step             *azuresim.Step
		fields           []field
		fault            string
		cost, reserved   usage.USD
		counted          bool
	}{
		{name: "a chat in text", path: completions, body: spoken("speaker"), cost: perMillion(8, 2.5, 1, 10), reserved: perMillion(8, 2.5, 100, 10)},
		{name: "an answer aloud", path: completions, body: spoken("speaker", aloud), cost: perMillion(8, 2.5, 1, 10, 10, 80), reserved: perMillion(8, 2.5, 100, 80)},
		{name: "an answer aloud, in a stream", path: completions, body: spoken("speaker", aloud, withUsage), cost: perMillion(8, 2.5, 1, 10, 10, 80), reserved: perMillion(8, 2.5, 100, 80)},
		{name: "an answer aloud, of which nothing is said", path: completions, body: spoken("speaker", aloud), fault: "no-usage", cost: perMillion(8, 2.5, 1, 10, 10, 80), reserved: perMillion(8, 2.5, 100, 80), counted: true},
		{name: "a stream aloud, of which nothing is said", path: completions, body: spoken("speaker", aloud, withUsage), fault: "no-usage", cost: perMillion(8, 2.5, 1, 10, 10, 80), reserved: perMillion(8, 2.5, 100, 80), counted: true},
		{name: "a question aloud", path: completions, body: heard("speaker"), cost: perMillion(8, 2.5, 20, 40, 1, 10), reserved: perMillion(33, 40, 100, 10)},
		{name: "a question aloud, of which nothing is said", path: completions, body: heard("speaker"), fault: "no-usage", cost: perMillion(33, 40, 1, 10), reserved: perMillion(33, 40, 100, 10), counted: true},
		{name: "both aloud", path: completions, body: heard("speaker", aloud), cost: perMillion(8, 2.5, 20, 40, 1, 10, 10, 80), reserved: perMillion(33, 40, 100, 80)},
		{name: "modalities that are no list", path: completions, body: spoken("speaker", `"modalities":"text"`), cost: perMillion(8, 2.5, 1, 10), reserved: perMillion(8, 2.5, 100, 80)},
		{name: "sound where it costs as text", path: completions, body: spoken("gpt-4o", aloud), step: chat(`{"prompt_tokens":100,"completion_tokens":50,"prompt_tokens_details":{"audio_tokens":60},"completion_tokens_details":{"audio_tokens":40}}`), cost: perMillion(100, 2.5, 50, 10), reserved: perMillion(8, 2.5, 100, 10)},
		{
			name: "prices of one's own", path: completions, body: spoken("mine", aloud),
			step: chat(`{"prompt_tokens":100,"completion_tokens":50,"prompt_tokens_details":{"cached_tokens":30,"audio_tokens":60,"image_tokens":10,"cached_tokens_details":{"audio_tokens":20,"text_tokens":10}},"completion_tokens_details":{"audio_tokens":40}}`),
			cost: perMillion(20, 1, 10, 0.5, 40, 10, 20, 4, 10, 5, 10, 2, 40, 20), reserved: perMillion(8, 1, 100, 20),
		},
		{
			name: "cached, of what nobody says", path: completions, body: spoken("mine"),
			step: chat(`{"prompt_tokens":100,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":30,"audio_tokens":60}}`),
			cost: perMillion(10, 1, 30, 0.5, 60, 10), reserved: perMillion(8, 1, 100, 2),
		},
		{
			name: "more sound than there is", path: completions, body: spoken("speaker"),
			step: chat(`{"prompt_tokens":100,"completion_tokens":50,"prompt_tokens_details":{"cached_tokens":1e9,"audio_tokens":900,"image_tokens":900},"completion_tokens_details":{"audio_tokens":900,"reasoning_tokens":900}}`),
			cost: perMillion(100, 40, 50, 80), reserved: perMillion(8, 2.5, 100, 10),
		},
		{
			name: "nonsense", path: completions, body: spoken("speaker"),
			step: chat(`{"prompt_tokens":100,"completion_tokens":50,"prompt_tokens_details":{"cached_tokens":-7,"audio_tokens":"60","image_tokens":null},"completion_tokens_details":{"audio_tokens":-40,"reasoning_tokens":[]}}`),
			cost: perMillion(100, 2.5, 50, 10), reserved: perMillion(8, 2.5, 100, 10),
		},
		{
			name: "details that are none", path: completions, body: spoken("speaker"),
			step: chat(`{"prompt_tokens":100,"completion_tokens":-50,"prompt_tokens_details":[60],"completion_tokens_details":"audio"}`),
			cost: perMillion(100, 2.5), reserved: perMillion(8, 2.5, 100, 10),
		},
		{
			name: "a response", path: responses, body: `{"model":"speaker","input":"hello","max_output_tokens":100,"store":false}`,
			step: told(`{"id":"resp_1","object":"response","status":"completed","model":"gpt-audio","output":[],"usage":{"input_tokens":100,"output_tokens":50,"input_tokens_details":{"cached_tokens":20,"audio_tokens":60},"output_tokens_details":{"audio_tokens":40}}}`),
			cost: perMillion(40, 2.5, 60, 40, 10, 10, 40, 80), reserved: perMillion(8, 2.5, 100, 10),
		},
		{name: "a drawing", path: images, body: `{"model":"draw","prompt":"hello"}`, cost: perMillion(2, 5, 272, 40), reserved: perMillion(1, 5, 6240, 40)},
		{name: "drawings of low quality", path: images, body: `{"model":"draw","prompt":"hello","n":2,"quality":"low"}`, cost: perMillion(2, 5, 544, 40), reserved: perMillion(1, 5, 816, 40)},
		{name: "a drawing in a stream", path: images, body: `{"model":"draw","prompt":"hello","stream":true}`, cost: perMillion(2, 5, 272, 40), reserved: perMillion(1, 5, 6240, 40)},
		{
			name: "a drawing with words", path: images, body: `{"model":"mine","prompt":"hello"}`,
			step: told(`{"created":1,"data":[{"b64_json":"x"}],"usage":{"input_tokens":10,"output_tokens":100,"input_tokens_details":{"text_tokens":10},"output_tokens_details":{"image_tokens":90,"text_tokens":10}}}`),
			cost: perMillion(10, 1, 10, 2), reserved: perMillion(1, 1, 6240, 2),
		},
		{name: "an edit", path: "/v1/images/edits", fields: []field{{"image", "a.png", "image/png", "x"}, {"prompt", "", "", "hello"}, {"model", "", "", "draw"}}, cost: perMillion(2, 5, 85, 10, 272, 40), reserved: perMillion(582, 10, 6240, 40)},
		{name: "a transcript", path: "/v1/audio/transcriptions", fields: speech("hear", field{"prompt", "", "", "hello"}), cost: perMillion(2, 2.5, 30, 6, 1, 10), reserved: perMillion(21, 6)},
		{name: "a transcript in text", path: "/v1/audio/transcriptions", fields: speech("hear", field{"prompt", "", "", "hello"}, field{"response_format", "", "", "text"}), cost: perMillion(1, 2.5, 20, 6, 2, 10), reserved: perMillion(21, 6), counted: true},
		{name: "text that is read out", path: readOut, body: `{"model":"read","voice":"alloy","input":"hello hello"}`, cost: perMillion(2, 0.6, 12, 12), reserved: perMillion(2, 0.6, 12, 12), counted: true},
		{name: "text that is read out, as events", path: readOut, body: `{"model":"read","voice":"alloy","input":"hello hello","stream_format":"sse"}`, cost: perMillion(3, 0.6, 30, 12), reserved: perMillion(2, 0.6, 12, 12)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				step := azuresim.Step{Content: "four", Fault: tt.fault}
				if tt.step != nil {
					step = *tt.step
				}
				w.east.Script(step)
				w.west.Script(step)
				var got reply
				if tt.fields != nil {
					got = w.post(tt.path, tt.fields)
				} else {
					got = w.do(w.t.Context(), http.MethodPost, tt.path, tt.body)
				}
				rec := w.record()
				if got.status != http.StatusOK || got.err != nil || rec.Cost != tt.cost || rec.Counted != tt.counted {
					t.Errorf("answered %d %v: %v were charged for %d + %d tokens, want %v", got.status, got.err, rec.Cost, rec.Input, rec.Output, tt.cost)
				}
				if rec.ReservedCost != tt.reserved {
					t.Errorf("%v were reserved for a prompt of %d, want %v", rec.ReservedCost, rec.EstimatedInput, tt.reserved)
				}
				if shown := got.header.Get("X-Weir-Cost-Usd"); shown != "" && shown != usd(tt.cost) {
					t.Errorf("the client is told of $%s", shown)
				}
				if left := w.left(); left != usd(100*usage.Dollar-tt.cost) {
					t.Errorf("%s are left of the budget", left)
				}
			}, append(listPriced(t), append(budgeted("usd: 100", ""), "gpt-35-turbo: { deployments", "gpt-35-turbo: { price: { input: 0, output: 0 }, deployments")...)...)
		})
	}
}

// details returns the end of a response that used so much, of which so many tokens are
// of sound.
func details(id string, in, inSound, cached, cachedSound, out, outSound int) string {
	return fmt.Sprintf(`{"type":"response.done","response":{"id":%q,"status":"completed","usage":{"input_tokens":%d,"output_tokens":%d,`+
		`"input_token_details":{"cached_tokens":%d,"text_tokens":%d,"audio_tokens":%d,"cached_tokens_details":{"text_tokens":%d,"audio_tokens":%d}},`+
		`"output_token_details":{"text_tokens":%d,"audio_tokens":%d}}}}`, id, in, out, cached, in-inSound, inSound, cached-cachedSound, cachedSound, out-outSound, outSound)
}

// talker serves sessions whose settings are what the client last said, and each of
// whose responses ends as told.
func talker(done func(id string) string) func(f *far) {
	return func(f *far) {
		f.say(`{"type":"session.created","session":{"output_modalities":["audio"]}}`)
		for n := 0; ; {
			heard := f.hear()
			var e struct {
				Type    string
				Session json.RawMessage
			}
			if json.Unmarshal([]byte(heard), &e) != nil {
				return
			}
			switch e.Type {
			case "session.update":
				f.say(`{"type":"session.updated","session":` + string(e.Session) + `}`)
			case "response.create":
				id := "resp_" + strconv.Itoa(n)
				n++
				f.say(`{"type":"response.created","response":{"id":"`+id+`"}}`, done(id))
			}
		}
	}
}

// realtimeListed are the edits that make gpt-4o a realtime model with the prices of
// the list.
func realtimeListed() []string {
	return []string{"gpt-4o:\n", "gpt-4o:\n    base_model: gpt-realtime\n"}
}

// TestRealtimePrices holds what the responses and transcripts of a session are charged
// by what upstream says that their tokens are.
func TestRealtimePrices(t *testing.T) {
	t.Parallel()
	ended := func(usage string) func(string) string {
		return func(id string) string {
			return `{"type":"response.done","response":{"id":"` + id + `","status":"completed","usage":` + usage + `}}`
		}
	}
	transcript := func(usage string) func(string) string {
		return func(id string) string {
			return `{"type":"conversation.item.input_audio_transcription.completed","item_id":"i","transcript":"a","usage":` + usage + `}` // and no end of the response
		}
	}
	pcm := func(size int) string { return base64.StdEncoding.EncodeToString(make([]byte, size)) }
	broken := func(id string) string {
		return `{"type":"response.output_audio.delta","response_id":"` + id + `","delta":"` + pcm(10*2400) + `"}`
	}
	tests := []struct {
		name    string
		says    []string // before
		done    func(id string) string
		last    string
		cost    usage.USD
		sound   float64 // seconds
		counted bool
		model   string
	}{
		{name: "text", done: func(id string) string { return details(id, 100, 0, 40, 0, 50, 0) }, cost: perMillion(60, 4, 40, 0.4, 50, 16)},
		{name: "sound", done: func(id string) string { return details(id, 100, 70, 40, 30, 50, 40) }, cost: perMillion(20, 4, 10, 0.4, 40, 32, 30, 0.4, 10, 16, 40, 64)},
		{name: "images", done: ended(`{"input_tokens":100,"output_tokens":0,"input_token_details":{"image_tokens":60,"cached_tokens":30,"cached_tokens_details":{"image_tokens":30}}}`), cost: perMillion(40, 4, 30, 5, 30, 0.5)},
		{name: "no details", done: ended(`{"input_tokens":100,"output_tokens":50}`), cost: perMillion(100, 4, 50, 16)},
		{name: "nonsense", done: ended(`{"input_tokens":100,"output_tokens":50,"input_token_details":{"audio_tokens":-5,"cached_tokens":"1","cached_tokens_details":7},"output_token_details":{"audio_tokens":500}}`), cost: perMillion(100, 4, 50, 64)},
		{name: "one that breaks off", says: []string{`{"type":"input_audio_buffer.append","audio":"` + pcm(10*4800) + `"}`}, done: broken, last: "response.output_audio.delta", cost: perMillion(10, 32, 10, 64), counted: true},
		{name: "a transcript in tokens", done: transcript(`{"type":"tokens","input_tokens":20,"output_tokens":5,"input_token_details":{"text_tokens":5,"audio_tokens":15}}`), last: "conversation.item.input_audio_transcription.completed", cost: perMillion(5, 4, 15, 32, 5, 16), counted: true},
		{name: "a transcript in seconds", done: transcript(`{"type":"duration","seconds":3}`), last: "conversation.item.input_audio_transcription.completed", cost: perMillion(31, 32), counted: true},
		{name: "a transcript in seconds, of a model that is paid by them", done: transcript(`{"type":"duration","seconds":60}`), last: "conversation.item.input_audio_transcription.completed", cost: 60 * 283_333, sound: 60, counted: true, model: "gpt-realtime-whisper"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			edits := realtimeListed()
			if tt.model != "" {
				edits[1] = strings.Replace(edits[1], "gpt-realtime", tt.model, 1)
			}
			before(t, talker(tt.done), func(w *world) {
				s, err := w.dial(realtimePath)
				if err != nil {
					w.t.Fatal(err)
				}
				s.say(append(tt.says, respondNow)...)
				if tt.last == "" {
					tt.last = "response.done"
				}
				s.last(tt.last)
				synctest.Wait()
				s.leave()
				rec := w.record()
				if rec.Cost != tt.cost || rec.Counted != tt.counted || rec.Sound.Seconds() != tt.sound {
					t.Errorf("charged %v for %d (%d) + %d tokens and %v, want %v; counted %t", rec.Cost, rec.Input, rec.Cached, rec.Output, rec.Sound, tt.cost, rec.Counted)
				}
			}, edits...)
		})
	}
}

// TestRealtimeModalities holds that a response is reserved at the price of sound where
// it may be spoken, or has heard sound, and at that of text where it cannot.
func TestRealtimeModalities(t *testing.T) {
	t.Parallel()
	const (
		create  = `{"type":"response.create","response":{"max_output_tokens":1000}}`
		written = `{"type":"response.create","response":{"max_output_tokens":1000,"output_modalities":["text"]}}`
		spoken  = `{"type":"response.create","response":{"max_output_tokens":1000,"modalities":["audio","text"]}}`
		quiet   = `{"type":"session.update","session":{"output_modalities":["text"]}}`
		loud    = `{"type":"session.update","session":{"output_modalities":["audio"]}}`
		typed   = `{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_text","text":"hello"}]}}`
		heard   = `{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_audio","audio":"AAAA"}]}}`
		seen    = `{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_image","image_url":"data:"}]}}`
	)
	long := strings.Replace(typed, "hello", strings.Repeat("hello ", 2000), 1)
	append1 := `{"type":"input_audio_buffer.append","audio":"AAAA"}`
	tests := []struct {
		name   string
		says   []string
		then   string
		budget string
		served bool
	}{
		{"nobody has said otherwise", nil, create, "0.02", false},
		{"and there is money for it", nil, create, "0.065", true},
		{"a response in text", nil, written, "0.02", true},
		{"a session in text", []string{quiet}, create, "0.02", true},
		{"a response aloud of a session in text", []string{quiet}, spoken, "0.02", false},
		{"a session that speaks again", []string{quiet, loud}, create, "0.02", false},
		{"much that was typed", []string{quiet, long}, create, "0.03", true},
		{"much that was typed, and a sound", []string{quiet, long, append1}, create, "0.03", false},
		{"much that was typed, and an item of sound", []string{quiet, long, heard}, create, "0.03", false},
		{"much that was typed, and a picture", []string{quiet, long, seen}, create, "0.03", true}, // it has a price that is a little higher
		{"a name in another case", []string{quiet}, strings.Replace(written, "output_modalities", "Output_modalities", 1), "0.02", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before(t, talker(func(id string) string { return details(id, 10, 0, 0, 0, 5, 0) }), func(w *world) {
				s, err := w.dial(realtimePath)
				if err != nil {
					w.t.Fatal(err)
				}
				s.last("session.created")
				for _, event := range tt.says {
					s.say(event)
					if strings.Contains(event, "session.update") {
						s.last("session.updated")
					}
				}
				s.say(tt.then)
				want := "response.done"
				if !tt.served {
					want = "error"
				}
				if list, err := s.until(want); err != nil || !tt.served && list[len(list)-1].Error.Code == "" {
					t.Errorf("%v %v", list, err)
				}
				s.leave()
			}, append(realtimeListed(), budgeted("usd: "+tt.budget, "")...)...)
		})
	}
}
