package openai_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/openai"
)

// TestReadRealtime holds what is taken note of in an event of a deployment.
func TestReadRealtime(t *testing.T) {
	t.Parallel()
	type facts struct {
		Type, Response, Status, ClientID, Text string
		Sound                                  int
		Usage                                  openai.Usage
		HasUsage                               bool
	}
	for _, tt := range []struct {
		name, data string
		want       facts
	}{
		{"no JSON", `{`, facts{}},
		{"no object", `7`, facts{}},
		{"begun", `{"type":"response.created","response":{"id":"r","status":"in_progress","usage":null}}`, facts{Type: "response.created", Response: "r", Status: "in_progress"}},
		{
			"done", `{"type":"response.done","response":{"id":"r","status":"completed","usage":{"input_tokens":7,"output_tokens":5,"input_token_details":{"cached_tokens":3}}}}`,
			facts{Type: "response.done", Response: "r", Status: "completed", Usage: openai.Usage{Prompt: 7, Completion: 5, Cached: 3}, HasUsage: true},
		},
		{"text", `{"type":"response.output_text.delta","response_id":"r","delta":"a\u0062"}`, facts{Type: "response.output_text.delta", Response: "r", Text: "ab"}},
		{"sound", `{"type":"response.output_audio.delta","response_id":"r","delta":"AAAA"}`, facts{Type: "response.output_audio.delta", Response: "r", Sound: 3}},
		{"what was heard", `{"type":"conversation.item.input_audio_transcription.delta","delta":"x"}`, facts{Type: "conversation.item.input_audio_transcription.delta"}},
		{"a transcript", `{"type":"conversation.item.input_audio_transcription.completed","usage":{"type":"duration","seconds":1.5}}`, facts{Type: "conversation.item.input_audio_transcription.completed", Usage: openai.Usage{Seconds: 1.5}, HasUsage: true}},
		{"an error", `{"type":"error","error":{"event_id":"mine"}}`, facts{Type: "error", ClientID: "mine"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := openai.ReadRealtime([]byte(tt.data))
			got := facts{e.Type, e.Response, e.Status, e.ClientID, e.Text.Text(), e.Sound, e.Usage, e.HasUsage}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("ReadRealtime(%s) (-want +got):\n%s", tt.data, diff)
			}
		})
	}
}

// TestRealtimeError holds the form of an error event, whatever it quotes.
func TestRealtimeError(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, about, want string
		err               *openai.Error
	}{
		{"all", "mine", `{"type":"error","event_id":"e","error":{"type":"tokens","code":"rate_limit_exceeded","message":"No. (docs/errors.md#rate_limit_exceeded)","param":"p","event_id":"mine"}}`, &openai.Error{Status: 429, Type: "tokens", Code: openai.CodeRateLimit, Param: "p", Message: "No."}},
		{"least", "", `{"type":"error","event_id":"e","error":{"type":"server_error","code":"shutting_down","message":"\"\n (docs/errors.md#shutting_down)","param":null,"event_id":null}}`, &openai.Error{Status: 503, Code: openai.CodeShuttingDown, Message: "\"\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := openai.RealtimeError(tt.err, "e", tt.about)
			if string(got) != tt.want {
				t.Errorf("wrote %s", got)
			}
		})
	}
}
