package azuresim_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
)

func TestEmbeddingsAreTheSameInBothFormats(t *testing.T) {
	t.Parallel()
	sim := azuresim.New(azuresim.Config{})
	var plain struct {
		Data []struct{ Embedding []float32 }
	}
	var packed struct {
		Data []struct{ Embedding string }
	}
	for format, into := range map[string]any{"float": &plain, "base64": &packed} {
		w := call(t, sim, http.MethodPost, "/v1/embeddings", `{"model":"text-embedding-3-small","input":["a","b"],"encoding_format":"`+format+`"}`)
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 {
		b, err := base64.StdEncoding.DecodeString(packed.Data[i].Embedding)
		if err != nil || len(b) != 4*1536 {
			t.Fatalf("%v, %d bytes", err, len(b))
		}
		sum := 0.0
		for k, x := range plain.Data[i].Embedding {
			if y := math.Float32frombits(binary.LittleEndian.Uint32(b[4*k:])); x != y {
				t.Fatalf("[%d][%d] is %v and %v", i, k, x, y)
			}
			sum += float64(x) * float64(x)
		}
		if math.Abs(sum-1) > 1e-5 {
			t.Errorf("length %v", sum)
		}
	}
	if cmp.Equal(plain.Data[0], plain.Data[1]) {
		t.Error("two texts have one vector")
	}
}

// answers is one request and what its answer has.
type answers struct {
	name, path, body string
	status           int
	want             string
}

func check(t *testing.T, cfg azuresim.Config, rows []answers) {
	t.Helper()
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := call(t, azuresim.New(cfg), http.MethodPost, "/openai/v1/"+tt.path, tt.body)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("status %d, want %d with %s:\n%.3000s", w.Code, tt.status, tt.want, w.Body)
			}
		})
	}
}

func TestEmbeddings(t *testing.T) {
	t.Parallel()
	many := strings.TrimSuffix(strings.Repeat(`"a",`, 2049), ",")
	ask := func(more string) string { return `{"model":"m","dimensions":2,` + more + `}` }
	check(t, azuresim.Config{Deployments: map[string]azuresim.Deployment{"m": {ContextWindow: 20}, "a": {Model: "text-embedding-ada-002"}}}, []answers{
		{"string", "embeddings", ask(`"input":"12345678"`), 200, `"usage":{"prompt_tokens":2,"total_tokens":2}`},
		{"strings", "embeddings", ask(`"input":["1234","5"]`), 200, `"usage":{"prompt_tokens":2,"total_tokens":2}`},
		{"tokens", "embeddings", ask(`"input":[1,22,333]`), 200, `"usage":{"prompt_tokens":3,"total_tokens":3}`},
		{"tokens of many", "embeddings", ask(`"input":[[1,22,333],[4]]`), 200, `"usage":{"prompt_tokens":4,"total_tokens":4}`},
		{"second", "embeddings", ask(`"input":[[1],[2]]`), 200, `"index":1`},
		{"too many", "embeddings", ask(`"input":[` + many + `]`), 400, `maximum length 2048, but got an array with length 2049 instead.`},
		{"none", "embeddings", ask(`"input":[]`), 400, `'$.input' is invalid`},
		{"an empty one", "embeddings", ask(`"input":["a",""]`), 400, `'$.input' is invalid`},
		{"of no kind", "embeddings", ask(`"input":{}`), 400, `'$.input' is invalid`},
		{"missing", "embeddings", `{"model":"m"}`, 400, "missing_required_parameter"},
		{"format", "embeddings", ask(`"input":"a","encoding_format":"hex"`), 400, `"param":"encoding_format"`},
		{"dimensions", "embeddings", `{"model":"m","input":"a","dimensions":0}`, 400, "integer_below_min_value"},
		{"dimensions of many", "embeddings", `{"model":"m","input":"a","dimensions":4097}`, 400, "integer_above_max_value"},
		{"dimensions of ada", "embeddings", `{"model":"a","input":"a","dimensions":2}`, 400, "does not support specifying dimensions"},
		{"window", "embeddings", ask(`"input":"` + strings.Repeat("a", 81) + `"`), 400, "maximum context length is 20 tokens, however you requested 21 tokens (21 in your prompt; 0 for the completion)"},
	})
}

func TestLegacyCompletions(t *testing.T) {
	t.Parallel()
	ask := func(more string) string { return `{"model":"m",` + more + `}` }
	check(t, azuresim.Config{Deployments: map[string]azuresim.Deployment{"m": {ContextWindow: 1000}}}, []answers{
		{"string", "completions", ask(`"prompt":"hello"`), 200, `"text":"You said: hello."`},
		{"strings", "completions", ask(`"prompt":["a","b"]`), 200, `"index":1,"logprobs":null,"text":"You said: b."`},
		{"tokens", "completions", ask(`"prompt":[1,2,3]`), 200, `"text":"You said: 1 2 3."`},
		{"tokens of many", "completions", ask(`"prompt":[[1],[2]]`), 200, `"text":"You said: 2."`},
		{"no prompt", "completions", `{"model":"m"}`, 200, `You said: \u003c|endoftext|\u003e.`},
		{"echo", "completions", ask(`"prompt":"hello","echo":true`), 200, `"text":"helloYou said: hello."`},
		{"n", "completions", ask(`"prompt":"hi","n":2`), 200, `"text":"(1) You said: hi."`},
		{"best_of", "completions", ask(`"prompt":"hi","n":1,"best_of":3`), 200, `"completion_tokens":12`},
		{"sixteen tokens", "completions", ask(`"prompt":"!words 90"`), 200, `"finish_reason":"length"`},
		{"stop", "completions", ask(`"prompt":"!words 9","stop":[" word2"]`), 200, `"text":"word1"`},
		{"logprobs", "completions", ask(`"prompt":"!echo a b","logprobs":1`), 200, `"logprobs":{"text_offset":[0,2],"token_logprobs":[0,0],"tokens":["a ","b"],"top_logprobs":[{"a ":0},{"b":0}]}`},
		{"stream", "completions", ask(`"prompt":"hi","stream":true`), 200, "data: [DONE]\n\n"},
		{"stream with usage", "completions", ask(`"prompt":"hi","stream":true,"stream_options":{"include_usage":true}`), 200, `"choices":[],`},
		{"prompt of no kind", "completions", ask(`"prompt":{}`), 400, `"param":"prompt"`},
		{"best_of below n", "completions", ask(`"prompt":"a","n":2,"best_of":1`), 400, `"param":"best_of"`},
		{"best_of too many", "completions", ask(`"prompt":"a","best_of":21`), 400, `"param":"best_of"`},
		{"best_of in a stream", "completions", ask(`"prompt":"a","best_of":2,"stream":true`), 400, `"param":"best_of"`},
		{"logprobs too many", "completions", ask(`"prompt":"a","logprobs":6`), 400, `"param":"logprobs"`},
		{"window", "completions", ask(`"prompt":"` + strings.Repeat("a", 4000) + `"`), 400, "you requested 1016 tokens (1000 in your prompt; 16 for the completion)"},
		{"hot", "completions", ask(`"prompt":"a","temperature":3`), 400, "decimal_above_max_value"},
	})
}

func TestImages(t *testing.T) {
	t.Parallel()
	cfg := azuresim.Config{Deployments: map[string]azuresim.Deployment{"g": {Model: "gpt-image-1"}, "d": {Model: "dall-e-3"}}}
	const made = "images/generations"
	check(t, cfg, []answers{
		{"usage", made, `{"model":"g","prompt":"12345678","n":2}`, 200, `"usage":{"input_tokens":2,"input_tokens_details":{"image_tokens":0,"text_tokens":2},"output_tokens":544,"total_tokens":546}`},
		{"DALL-E", made, `{"model":"d","prompt":"a cat"}`, 200, `"revised_prompt":"A picture of: a cat","url":"https://images.example.com/1-0.png"`},
		{"DALL-E's filter", made, `{"model":"d","prompt":"a cat"}`, 200, `"prompt_filter_results":{"hate"`},
		{"DALL-E in base64", made, `{"model":"d","prompt":"a cat","response_format":"b64_json"}`, 200, `"b64_json":"iVBORw0KGgo`},
		{"stream", made, `{"model":"g","prompt":"a","stream":true,"partial_images":2}`, 200, `"partial_image_index":1`},
		{"end of a stream", made, `{"model":"g","prompt":"a","stream":true}`, 200, "event: image_generation.completed\ndata: {"},
		{"edit", "images/edits", "--form\nimage[]@a.png=x\nimage[]@b.png=y\nmask@m.png=z\nprompt=1234\nn=1\nmodel=g", 200, `"image_tokens":170,"text_tokens":1`},
		{"stream of an edit", "images/edits", "--form\nimage@a.png=x\nprompt=1234\nmodel=g\nstream=true\npartial_images=1", 200, "event: image_edit.partial_image\ndata: {"},
		{"content filter", made, `{"model":"g","prompt":"!content-filter"}`, 400, "content management policy"},
		{"no prompt", made, `{"model":"g"}`, 400, `"param":"prompt"`},
		{"no image", "images/edits", "--form\nprompt=a\nmodel=g", 400, `"param":"image"`},
		{"too many", made, `{"model":"g","prompt":"a","n":11}`, 400, "integer_above_max_value"},
		{"none", made, `{"model":"g","prompt":"a","n":0}`, 400, "integer_below_min_value"},
		{"a parameter of DALL-E", made, `{"model":"g","prompt":"a","response_format":"url"}`, 400, "response_format"},
		{"a parameter of GPT", made, `{"model":"d","prompt":"a","stream":true}`, 400, "stream"},
	})
}

func TestAudio(t *testing.T) {
	t.Parallel()
	cfg := azuresim.Config{Deployments: map[string]azuresim.Deployment{"w": {Model: "whisper-1"}, "g": {Model: "gpt-4o-transcribe"}}}
	ask := func(more string) string { return "--form\nfile@a.wav=" + strings.Repeat("x", 40_000) + "\n" + more }
	const path = "audio/transcriptions"
	check(t, cfg, []answers{
		{"seconds", path, ask("model=w"), 200, `{"text":"This is a.wav of 40000 bytes.","usage":{"seconds":2,"type":"duration"}}`},
		{"tokens", path, ask("model=g\nprompt=12345678"), 200, `"usage":{"input_token_details":{"audio_tokens":20,"text_tokens":2},"input_tokens":22,"output_tokens":8,"total_tokens":30,"type":"tokens"}`},
		{"text", path, ask("model=w\nresponse_format=text"), 200, "This is a.wav of 40000 bytes.\n"},
		{"srt", path, ask("model=w\nresponse_format=srt"), 200, "1\n00:00:00,000 --> 00:00:02,000\nThis is"},
		{"vtt", path, ask("model=w\nresponse_format=vtt"), 200, "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nThis is"},
		{"verbose", path, ask("model=w\nresponse_format=verbose_json"), 200, `"task":"transcribe"`},
		{"translation", "audio/translations", ask("model=w\nresponse_format=verbose_json"), 200, `"task":"translate"`},
		{"stream", path, ask("model=g\nstream=true"), 200, `data: {"text":"This is a.wav of 40000 bytes.","type":"transcript.text.done","usage":{`},
		{"fault", path, ask("model=g\nprompt=!server-error"), 500, "The server had an error"},
		{"fault in a stream", path, ask("model=g\nstream=true\nprompt=!server-error-stream"), 200, `data: {"error":{`},
		{"no file", path, "--form\nmodel=w", 400, `"param":"file"`},
		{"format", path, ask("model=w\nresponse_format=xml"), 400, `"param":"response_format"`},
		{"format of a newer model", path, ask("model=g\nresponse_format=srt"), 400, `"code":"unsupported_value"`},
		{"too large", path, "--form\nmodel=w\nfile@a=" + strings.Repeat("x", 25<<20+1), 413, "Maximum content size limit (26214400) exceeded (26214401 bytes read)"},
		{"empty", path, "--form\nmodel=w\nfile@a=", 400, "corrupted"},
		{"no JSON", path, `{}`, 404, "DeploymentNotFound"},
		{"no voice", "audio/speech", `{"model":"w","input":"a"}`, 400, `"param":"voice"`},
		{"nothing to say", "audio/speech", `{"model":"w","voice":"a"}`, 400, `"param":"input"`},
		{"too much to say", "audio/speech", `{"model":"w","voice":"a","input":"` + strings.Repeat("é", 4097) + `"}`, 400, "string_above_max_length"},
		{"speech in no format", "audio/speech", `{"model":"w","voice":"a","input":"a","response_format":"x"}`, 400, `"param":"response_format"`},
		{"speech in events", "audio/speech", `{"model":"w","voice":"a","input":"hello","stream_format":"sse"}`, 200, `data: {"type":"speech.audio.done","usage":{"input_tokens":2,"output_tokens":20,"total_tokens":22}}`},
		{"WAV", "audio/speech", `{"model":"w","voice":"a","input":"hello","response_format":"wav"}`, 200, "WAVEfmt "},
		{"moderation of texts", "moderations", `{"model":"w","input":["nice","kill"]}`, 200, `"flagged":false},{`},
		{"moderation of parts", "moderations", `{"model":"w","input":[{"type":"text","text":"kill"}]}`, 200, `"flagged":true`},
		{"moderation of nothing", "moderations", `{"model":"w"}`, 400, "missing_required_parameter"},
	})
}

func TestSpeechIsSentAsItsFormat(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{"": "audio/mpeg", "wav": "audio/wav", "opus": "audio/ogg", "pcm": "audio/pcm"} {
		body := fmt.Sprintf(`{"model":"tts","voice":"alloy","input":"%s","response_format":"%s"}`, strings.Repeat("x", 100), format)
		if format == "" {
			body = strings.Replace(body, `,"response_format":""`, "", 1)
		}
		w := call(t, azuresim.New(azuresim.Config{}), http.MethodPost, "/v1/audio/speech", body)
		if got := w.Header().Get("Content-Type"); got != want || w.Body.Len() < 20_000 || w.Code != 200 {
			t.Errorf("%q: %d %s, %d bytes", format, w.Code, got, w.Body.Len())
		}
	}
}
