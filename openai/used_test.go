package openai_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"weir/openai"
)

// TestUsageTellsParts reads of each kind of answer what its tokens are of.
func TestUsageTellsParts(t *testing.T) {
	t.Parallel()
	part := func(input, cached, output int64) openai.Part {
		return openai.Part{Input: input, Cached: cached, Output: output}
	}
	tests := []struct {
		name, usage string
		want        openai.Usage
	}{
		{
			"a chat", `{"prompt_tokens":100,"completion_tokens":50,"prompt_tokens_details":{"cached_tokens":20,"audio_tokens":60},"completion_tokens_details":{"reasoning_tokens":5,"audio_tokens":40}}`,
			openai.Usage{Prompt: 100, Completion: 50, Cached: 20, Reasoning: 5, Audio: part(60, 0, 40)},
		},
		{
			"a response", `{"input_tokens":100,"output_tokens":50,"input_tokens_details":{"cached_tokens":20,"image_tokens":30},"output_tokens_details":{"reasoning_tokens":7}}`,
			openai.Usage{Prompt: 100, Completion: 50, Cached: 20, Reasoning: 7, Image: part(30, 0, 0)},
		},
		{
			"realtime", `{"input_tokens":100,"output_tokens":50,"input_token_details":{"text_tokens":20,"audio_tokens":50,"image_tokens":30,"cached_tokens":40,"cached_tokens_details":{"text_tokens":10,"audio_tokens":25,"image_tokens":5}},"output_token_details":{"text_tokens":10,"audio_tokens":40}}`,
			openai.Usage{Prompt: 100, Completion: 50, Cached: 40, Audio: part(50, 25, 40), Image: part(30, 5, 0)},
		},
		{
			"images", `{"input_tokens":100,"output_tokens":50,"input_tokens_details":{"text_tokens":40,"image_tokens":60},"output_tokens_details":{"image_tokens":45,"text_tokens":5}}`,
			openai.Usage{Prompt: 100, Completion: 50, Image: part(60, 0, 45)},
		},
		{
			"a transcript", `{"type":"tokens","input_tokens":100,"output_tokens":50,"input_token_details":{"text_tokens":10,"audio_tokens":90}}`,
			openai.Usage{Prompt: 100, Completion: 50, Audio: part(90, 0, 0)},
		},
		{"seconds", `{"type":"duration","seconds":1.5}`, openai.Usage{Seconds: 1.5}},
		{"no details", `{"prompt_tokens":100,"completion_tokens":50}`, openai.Usage{Prompt: 100, Completion: 50}},
		{
			"parts larger than the whole", `{"prompt_tokens":100,"completion_tokens":50,"prompt_tokens_details":{"cached_tokens":70,"audio_tokens":80,"image_tokens":80,"cached_tokens_details":{"audio_tokens":900,"image_tokens":900}},"completion_tokens_details":{"audio_tokens":80,"image_tokens":80,"reasoning_tokens":80}}`,
			openai.Usage{Prompt: 100, Completion: 50, Cached: 70, Reasoning: 50, Audio: part(80, 70, 50), Image: part(20, 0, 0)},
		},
		{
			"below nothing", `{"prompt_tokens":-100,"completion_tokens":-50,"prompt_tokens_details":{"cached_tokens":-7,"audio_tokens":-8},"completion_tokens_details":{"audio_tokens":-9,"reasoning_tokens":-1}}`,
			openai.Usage{},
		},
		{
			"no numbers", `{"prompt_tokens":100,"completion_tokens":"50","prompt_tokens_details":{"cached_tokens":"20","audio_tokens":[60],"image_tokens":1.5,"cached_tokens_details":9},"completion_tokens_details":{"audio_tokens":true}}`,
			openai.Usage{Prompt: 100},
		},
		{"details that are none", `{"prompt_tokens":100,"completion_tokens":50,"prompt_tokens_details":null,"input_tokens_details":"x","completion_tokens_details":[{"audio_tokens":5}]}`, openai.Usage{Prompt: 100, Completion: 50}},
		{
			"more than anybody uses", `{"prompt_tokens":9223372036854775807,"completion_tokens":9223372036854775807,"prompt_tokens_details":{"audio_tokens":9223372036854775807}}`,
			openai.Usage{Prompt: 1 << 50, Completion: 1 << 50, Audio: part(1<<50, 0, 0)},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			plain, err := openai.ReadAnswer([]byte(`{"usage":` + tt.usage + `}`))
			if err != nil {
				t.Fatal(err)
			}
			s := openai.NewStream(strings.NewReader(`data: {"choices":[],"usage":` + tt.usage + "}\n\ndata: [DONE]\n\n"))
			for err == nil {
				_, err = s.Next()
			}
			session := openai.ReadRealtime([]byte(`{"type":"response.done","response":{"id":"r","usage":` + tt.usage + `}}`))
			for name, got := range map[string]openai.Usage{"plain": plain.Usage, "in a stream": s.Usage, "in a session": session.Usage} {
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

// TestUsageOfAnything holds that no part is negative or more than what it is a part of,
// whatever upstream says.
func TestUsageOfAnything(t *testing.T) {
	t.Parallel()
	number := rapid.OneOf(
		rapid.SampledFrom([]string{"null", `"7"`, "[]", "{}", "1e3", "-0", "9223372036854775808", "true"}),
		rapid.Map(rapid.IntRange(-10, 100), strconv.Itoa),
	)
	details := func(t *rapid.T) string {
		return `{"cached_tokens":` + number.Draw(t, "cached") + `,"audio_tokens":` + number.Draw(t, "audio") + `,"image_tokens":` + number.Draw(t, "image") +
			`,"reasoning_tokens":` + number.Draw(t, "reasoning") + `,"cached_tokens_details":{"audio_tokens":` + number.Draw(t, "cached audio") + `,"image_tokens":` + number.Draw(t, "cached image") + `}}`
	}
	rapid.Check(t, func(t *rapid.T) {
		body := `{"usage":{"input_tokens":` + number.Draw(t, "in") + `,"output_tokens":` + number.Draw(t, "out") +
			`,"input_tokens_details":` + details(t) + `,"output_tokens_details":` + details(t) + `}}`
		f, err := openai.ReadAnswer([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		u := f.Usage
		for what, parts := range map[string][]int64{
			"prompt": {u.Prompt, u.Audio.Input, u.Image.Input}, "answer": {u.Completion, u.Audio.Output, u.Image.Output},
			"cached": {u.Cached, u.Audio.Cached, u.Image.Cached}, "all": {u.Prompt, u.Cached}, "thought": {u.Completion, u.Reasoning},
			"cached sound": {u.Audio.Input, u.Audio.Cached}, "cached images": {u.Image.Input, u.Image.Cached},
		} {
			rest := parts[0]
			for _, part := range parts[1:] {
				if rest -= part; part < 0 || rest < 0 || parts[0] < 0 {
					t.Fatalf("%s of %s: %+v", what, body, u)
				}
			}
		}
	})
}

// TestManyImagesOverflowNothing holds that a stream of images whose upstream says what
// cannot be has used no less than nothing.
func TestManyImagesOverflowNothing(t *testing.T) {
	t.Parallel()
	const event = `data: {"type":"image_generation.completed","usage":{"input_tokens":9,"output_tokens":1152921504606846976,"output_tokens_details":{"image_tokens":1152921504606846976}}}` + "\n\n"
	s := openai.NewStreamOf(openai.Images, strings.NewReader(strings.Repeat(event, 9000)))
	for {
		if _, err := s.Next(); err != nil {
			break
		}
	}
	const most = 1 << 50
	if u := s.Usage; u.Completion != most || u.Image.Output != most || u.Prompt != 9 {
		t.Errorf("it used %+v", u)
	}
}
