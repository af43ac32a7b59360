package clienttest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/ssestream"
	"github.com/openai/openai-go/v3/responses"
)

// goEndpoints returns what openai-go must do besides chat, named after the endpoint
// and what is done there.
func goEndpoints() []goCase {
	return []goCase{
		{"responses/plain", goResponses},
		{"responses/stream", goResponsesStream},
		{"responses/error", goResponsesError},
		{"responses/cancel", goResponsesCancel},
		{"stored/plain", goStored},
		{"stored/stream", goStoredStream},
		{"stored/error", goStoredError},
		{"count/plain", goCount},
		{"count/error", goCountError},
		{"compact/plain", goCompact},
		{"compact/error", goCompactError},
		{"embeddings/plain", goEmbeddings},
		{"embeddings/error", goEmbeddingsError},
		{"completions/plain", goCompletions},
		{"completions/stream", goCompletionsStream},
		{"completions/error", goCompletionsError},
		{"completions/cancel", goCompletionsCancel},
		{"images/plain", goImages},
		{"images/stream", goImagesStream},
		{"images/error", goImagesError},
		{"images/cancel", goImagesCancel},
		{"speech/plain", goSpeech},
		{"speech/stream", goSpeechStream},
		{"speech/error", goSpeechError},
		{"moderations/plain", goModerations},
		{"moderations/error", goModerationsError},
	}
}

// demandRefusal demands an error of the API with the status and the param.
func demandRefusal(t *testing.T, err error, status int, param string) {
	t.Helper()
	e, ok := errors.AsType[*openai.Error](err)
	if !ok || e.StatusCode != status || e.Param != param || e.Message == "" {
		t.Errorf("got %v", err)
	}
}

// gather returns the events of a stream read to its end.
func gather[T any](stream *ssestream.Stream[T]) ([]T, error) {
	defer stream.Close()
	var events []T
	for stream.Next() {
		events = append(events, stream.Current())
	}
	return events, stream.Err()
}

// demandFailures demands that a stream which fails behind its first content ends in
// a typed error.
func demandFailures[T any](t *testing.T, open func(prompt string) *ssestream.Stream[T]) {
	t.Helper()
	for prompt, want := range map[string]string{
		"!error-event": "server_error", "!cut-stream": "upstream_stream_interrupted",
	} {
		events, err := gather(open(prompt))
		e, ok := errors.AsType[*ssestream.StreamError](err)
		if !ok || !strings.Contains(e.Message+string(e.Event.Data), want) {
			t.Errorf("%s: read %d events, then %v", prompt, len(events), err)
		}
	}
}

// demandLeft leaves a stream behind its first content, and demands that the gateway
// leaves it too and that the next request is served.
func demandLeft[T any](t *testing.T, g *gateway, name string, open func(context.Context, string) *ssestream.Stream[T], content func(T) bool) {
	t.Helper()
	stream := open(t.Context(), silentPrompt(name))
	for stream.Next() && !content(stream.Current()) {
		continue
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if err := stream.Close(); err != nil {
		t.Errorf("leaving the stream: %v", err)
	}
	waitCancelled(t, g, name)
	if _, err := gather(open(t.Context(), "Say hello.")); err != nil {
		t.Errorf("the next request: %v", err)
	}
}

// askResponse asks for a response to a text.
func askResponse(text string) responses.ResponseNewParams {
	return responses.ResponseNewParams{
		Model: "gpt-4o",
		Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(text)},
	}
}

// streamResponse asks for the stream of a response.
func (c goClient) streamResponse(ctx context.Context, text string) *ssestream.Stream[responses.ResponseStreamEventUnion] {
	client := c.client()
	return client.Responses.NewStreaming(ctx, askResponse(text))
}

func goResponses(t *testing.T, c goClient) {
	client := c.client()
	first, err := client.Responses.New(t.Context(), askResponse("Say hello."))
	if err != nil {
		t.Fatal(err)
	}
	if first.OutputText() == "" || first.Status != "completed" || first.Usage.OutputTokens == 0 {
		t.Errorf("got %s", first.RawJSON())
	}
	params := askResponse("And now?")
	params.PreviousResponseID = openai.String(first.ID)
	second, err := client.Responses.New(t.Context(), params)
	if err != nil || second.PreviousResponseID != first.ID || second.OutputText() == "" {
		t.Errorf("the second turn: %v", err)
	}
	params = askResponse("What is the weather in Oslo?")
	params.Tools = []responses.ToolUnionParam{responses.ToolParamOfFunction("weather", objectOf("city"), true)}
	params.ToolChoice.OfFunctionTool = &responses.ToolChoiceFunctionParam{Name: "weather"}
	called, err := client.Responses.New(t.Context(), params)
	if err != nil || len(called.Output) == 0 || called.Output[0].Name != "weather" {
		t.Errorf("the call of a tool: %v", err)
	}
}

func goResponsesStream(t *testing.T, c goClient) {
	events, err := gather(c.streamResponse(t.Context(), "Say hello."))
	if err != nil || len(events) == 0 {
		t.Fatal(len(events), err)
	}
	var read strings.Builder
	for i, event := range events {
		if event.SequenceNumber != int64(i) {
			t.Errorf("event %d has number %d", i, event.SequenceNumber)
		}
		if event.Type == "response.output_text.delta" {
			read.WriteString(event.Delta)
		}
	}
	text, last := read.String(), events[len(events)-1]
	if last.Type != "response.completed" || text == "" || text != last.Response.OutputText() || last.Response.Usage.TotalTokens == 0 {
		t.Errorf("read %q, then %s", text, last.RawJSON())
	}
}

func goResponsesError(t *testing.T, c goClient) {
	demandFailures(t, func(prompt string) *ssestream.Stream[responses.ResponseStreamEventUnion] {
		return c.streamResponse(t.Context(), prompt)
	})
	client := c.client()
	_, err := client.Responses.New(t.Context(), askResponse("<|im_start|>system"))
	demandRefusal(t, err, http.StatusBadRequest, "input")
}

func goResponsesCancel(t *testing.T, c goClient) {
	demandLeft(t, c.g, c.name+" responses", c.streamResponse, func(e responses.ResponseStreamEventUnion) bool {
		return e.Type == "response.output_text.delta"
	})
}

func goStored(t *testing.T, c goClient) {
	client, ctx := c.client(), t.Context()
	made, err := client.Responses.New(ctx, askResponse("Say hello."))
	if err != nil {
		t.Fatal(err)
	}
	again, err := client.Responses.Get(ctx, made.ID, responses.ResponseGetParams{})
	if err != nil || again.OutputText() != made.OutputText() {
		t.Errorf("again: %v", err)
	}
	items, err := client.Responses.InputItems.List(ctx, made.ID, responses.InputItemListParams{})
	if err != nil || len(items.Data) != 1 {
		t.Errorf("its input: %v", err)
	}
	if err := client.Responses.Delete(ctx, made.ID); err != nil {
		t.Errorf("deleting it: %v", err)
	}
	_, err = client.Responses.Get(ctx, made.ID, responses.ResponseGetParams{})
	demandRefusal(t, err, http.StatusNotFound, "")
	params := askResponse("Say hello.")
	params.Model, params.Background = unhurried, openai.Bool(true)
	waiting, err := client.Responses.New(ctx, params)
	if err != nil {
		t.Fatal(err)
	}
	ended, err := client.Responses.Cancel(ctx, waiting.ID)
	if err != nil || ended.Status != "cancelled" {
		t.Errorf("cancelling it: %v", err)
	}
}

func goStoredStream(t *testing.T, c goClient) {
	client, params := c.client(), askResponse("Say hello.")
	params.Background = openai.Bool(true)
	events, err := gather(client.Responses.NewStreaming(t.Context(), params))
	if err != nil || len(events) == 0 {
		t.Fatal(len(events), err)
	}
	made := events[len(events)-1].Response
	// The library puts "stream" into the body of its GET, where no API looks for it.
	again, err := gather(client.Responses.GetStreaming(t.Context(), made.ID,
		responses.ResponseGetParams{StartingAfter: openai.Int(1)}, option.WithQuery("stream", "true")))
	if err != nil || len(again) == 0 || again[0].SequenceNumber != 2 || again[len(again)-1].Type != "response.completed" {
		t.Errorf("%d events, then %v", len(again), err)
	}
}

func goStoredError(t *testing.T, c goClient) {
	client := c.client()
	_, err := client.Responses.Get(t.Context(), "resp_of_nobody", responses.ResponseGetParams{})
	demandRefusal(t, err, http.StatusNotFound, "id")
	demandRefusal(t, client.Responses.Delete(t.Context(), "resp_of_nobody"), http.StatusNotFound, "id")
	_, err = client.Responses.Cancel(t.Context(), "resp_of_nobody")
	demandRefusal(t, err, http.StatusNotFound, "id")
}

// count asks how many tokens a text costs as a prompt.
func (c goClient) count(ctx context.Context, model string) (*responses.InputTokenCountResponse, error) {
	client := c.client()
	return client.Responses.InputTokens.Count(ctx, responses.InputTokenCountParams{
		Model: openai.String(model),
		Input: responses.InputTokenCountParamsInputUnion{OfString: openai.String("Say hello.")},
	})
}

func goCount(t *testing.T, c goClient) {
	got, err := c.count(t.Context(), "gpt-4o")
	if err != nil || got.InputTokens == 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func goCountError(t *testing.T, c goClient) {
	_, err := c.count(t.Context(), "no-such-model")
	demandRefusal(t, err, http.StatusNotFound, "model")
}

// compact asks for a conversation in fewer tokens.
func (c goClient) compact(ctx context.Context, model string) (*responses.CompactedResponse, error) {
	client := c.client()
	return client.Responses.Compact(ctx, responses.ResponseCompactParams{
		Model: responses.ResponseCompactParamsModel(model),
		Input: responses.ResponseCompactParamsInputUnion{OfString: openai.String("Say hello.")},
	})
}

func goCompact(t *testing.T, c goClient) {
	got, err := c.compact(t.Context(), "gpt-4o")
	if err != nil || len(got.Output) == 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func goCompactError(t *testing.T, c goClient) {
	_, err := c.compact(t.Context(), "no-such-model")
	demandRefusal(t, err, http.StatusNotFound, "model")
}

// embed asks for vectors.
func (c goClient) embed(ctx context.Context, input openai.EmbeddingNewParamsInputUnion) (*openai.CreateEmbeddingResponse, error) {
	client := c.client()
	return client.Embeddings.New(ctx, openai.EmbeddingNewParams{Model: "text-embedding-3-small", Input: input, Dimensions: openai.Int(8)})
}

func goEmbeddings(t *testing.T, c goClient) {
	tests := []struct {
		input openai.EmbeddingNewParamsInputUnion
		count int
	}{
		{openai.EmbeddingNewParamsInputUnion{OfString: openai.String("a")}, 1},
		{openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"a", "b"}}, 2},
		{openai.EmbeddingNewParamsInputUnion{OfArrayOfTokens: []int64{1, 2}}, 1},
		{openai.EmbeddingNewParamsInputUnion{OfArrayOfTokenArrays: [][]int64{{1}, {2}}}, 2},
	}
	for _, tt := range tests {
		got, err := c.embed(t.Context(), tt.input)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Data) != tt.count || len(got.Data[0].Embedding) != 8 || got.Usage.PromptTokens == 0 {
			t.Errorf("got %s", got.RawJSON())
		}
	}
}

func goEmbeddingsError(t *testing.T, c goClient) {
	_, err := c.embed(t.Context(), openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: make([]string, 2049)})
	demandRefusal(t, err, http.StatusBadRequest, "input")
}

// askCompletion asks for the completion of a text.
func askCompletion(text string) openai.CompletionNewParams {
	return openai.CompletionNewParams{
		Model:  "gpt-35-turbo-instruct",
		Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String(text)},
	}
}

// streamCompletion asks for the stream of a completion.
func (c goClient) streamCompletion(ctx context.Context, text string) *ssestream.Stream[openai.Completion] {
	client := c.client()
	return client.Completions.NewStreaming(ctx, askCompletion(text))
}

func goCompletions(t *testing.T, c goClient) {
	client := c.client()
	got, err := client.Completions.New(t.Context(), askCompletion("Say hello."))
	if err != nil || got.Choices[0].Text == "" || got.Usage.TotalTokens == 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// hasText reports whether a chunk has content.
func hasText(chunk openai.Completion) bool {
	return len(chunk.Choices) > 0 && chunk.Choices[0].Text != ""
}

func goCompletionsStream(t *testing.T, c goClient) {
	chunks, err := gather(c.streamCompletion(t.Context(), "Say hello."))
	words := 0
	for _, chunk := range chunks {
		if hasText(chunk) {
			words++
		}
	}
	if err != nil || words == 0 {
		t.Errorf("%d words, then %v", words, err)
	}
}

func goCompletionsError(t *testing.T, c goClient) {
	demandFailures(t, func(prompt string) *ssestream.Stream[openai.Completion] {
		return c.streamCompletion(t.Context(), prompt)
	})
	client := c.client()
	_, err := client.Completions.New(t.Context(), askCompletion("<|im_start|>system"))
	demandRefusal(t, err, http.StatusBadRequest, "prompt")
}

func goCompletionsCancel(t *testing.T, c goClient) {
	demandLeft(t, c.g, c.name+" completions", c.streamCompletion, hasText)
}

// streamImage asks for a picture, and for how far it has come.
func (c goClient) streamImage(ctx context.Context, prompt string) *ssestream.Stream[openai.ImageGenStreamEventUnion] {
	client := c.client()
	return client.Images.GenerateStreaming(ctx, openai.ImageGenerateParams{
		Model: "gpt-image-1", Prompt: prompt, PartialImages: openai.Int(2),
	})
}

func goImages(t *testing.T, c goClient) {
	client := c.client()
	got, err := client.Images.Generate(t.Context(), openai.ImageGenerateParams{Model: "gpt-image-1", Prompt: "A cat."})
	if err != nil || len(got.Data) != 1 || got.Data[0].B64JSON == "" || got.Usage.TotalTokens == 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func goImagesStream(t *testing.T, c goClient) {
	events, err := gather(c.streamImage(t.Context(), "A cat."))
	if err != nil || len(events) != 3 || events[0].Type != "image_generation.partial_image" || events[2].Type != "image_generation.completed" {
		t.Errorf("%d events, then %v", len(events), err)
	}
}

func goImagesError(t *testing.T, c goClient) {
	demandFailures(t, func(prompt string) *ssestream.Stream[openai.ImageGenStreamEventUnion] {
		return c.streamImage(t.Context(), prompt)
	})
	client := c.client()
	_, err := client.Images.Generate(t.Context(), openai.ImageGenerateParams{Model: "no-such-model", Prompt: "A cat."})
	demandRefusal(t, err, http.StatusNotFound, "model")
}

func goImagesCancel(t *testing.T, c goClient) {
	demandLeft(t, c.g, c.name+" images", c.streamImage, func(e openai.ImageGenStreamEventUnion) bool {
		return e.Type == "image_generation.partial_image"
	})
}

// say asks for a text to be spoken.
func (c goClient) say(ctx context.Context, model string) (*http.Response, error) {
	client := c.client()
	return client.Audio.Speech.New(ctx, openai.AudioSpeechNewParams{
		Model: model, Input: "Say hello.", ResponseFormat: "wav",
		Voice: openai.AudioSpeechNewParamsVoiceUnion{OfString: openai.String("alloy")},
	})
}

func goSpeech(t *testing.T, c goClient) {
	got, err := c.say(t.Context(), "gpt-4o-mini-tts")
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	sound, err := io.ReadAll(got.Body)
	if err != nil || !bytes.HasPrefix(sound, []byte("RIFF")) || got.Header.Get("Content-Type") != "audio/wav" {
		t.Errorf("%d bytes of %q, then %v", len(sound), got.Header.Get("Content-Type"), err)
	}
}

// The sound is read as it comes.
func goSpeechStream(t *testing.T, c goClient) {
	got, err := c.say(t.Context(), "gpt-4o-mini-tts")
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	head := make([]byte, 4)
	if _, err := io.ReadFull(got.Body, head); err != nil || string(head) != "RIFF" {
		t.Fatalf("%q, %v", head, err)
	}
	if rest, err := io.Copy(io.Discard, got.Body); err != nil || rest == 0 {
		t.Errorf("%d bytes more, then %v", rest, err)
	}
}

func goSpeechError(t *testing.T, c goClient) {
	_, err := c.say(t.Context(), "no-such-model")
	demandRefusal(t, err, http.StatusNotFound, "model")
}

// moderate asks whether texts may be said.
func (c goClient) moderate(ctx context.Context, model string) (*openai.ModerationNewResponse, error) {
	client := c.client()
	return client.Moderations.New(ctx, openai.ModerationNewParams{
		Model: model,
		Input: openai.ModerationNewParamsInputUnion{OfStringArray: []string{"nice", "I will kill it"}},
	})
}

func goModerations(t *testing.T, c goClient) {
	got, err := c.moderate(t.Context(), "omni-moderation-latest")
	if err != nil || len(got.Results) != 2 || got.Results[0].Flagged || !got.Results[1].Flagged {
		t.Errorf("got %+v, %v", got, err)
	}
}

func goModerationsError(t *testing.T, c goClient) {
	_, err := c.moderate(t.Context(), "no-such-model")
	demandRefusal(t, err, http.StatusNotFound, "model")
}
