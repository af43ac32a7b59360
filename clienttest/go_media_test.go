package clienttest_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/ssestream"
)

// A sound of two seconds, and what the simulator hears in it.
const (
	soundBytes = 64_000
	heard      = "This is hello.wav of 64000 bytes."
)

// goMedia returns what openai-go must do with forms.
func goMedia() []goCase {
	return []goCase{
		{"edits/plain", goEdits},
		{"edits/stream", goEditsStream},
		{"edits/error", goEditsError},
		{"edits/cancel", goEditsCancel},
		{"transcriptions/plain", goTranscriptions},
		{"transcriptions/stream", goTranscriptionsStream},
		{"transcriptions/error", goTranscriptionsError},
		{"transcriptions/cancel", goTranscriptionsCancel},
		{"translations/plain", goTranslations},
		{"translations/error", goTranslationsError},
	}
}

// picture returns a picture as a program opens one.
func picture() io.Reader {
	return openai.File(strings.NewReader("\x89PNG\r\n\x1a\n of a cat"), "cat.png", "image/png")
}

// sound returns a sound as a program opens one.
func sound() io.Reader {
	return openai.File(bytes.NewReader(make([]byte, soundBytes)), "hello.wav", "audio/wav")
}

// askEdit asks for a picture to be changed.
func askEdit(prompt string) openai.ImageEditParams {
	return openai.ImageEditParams{
		Model: "gpt-image-1", Prompt: prompt, Image: openai.ImageEditParamsImageUnion{OfFile: picture()},
	}
}

// streamEdit asks for a picture to be changed, and for how far it has come.
func (c goClient) streamEdit(ctx context.Context, prompt string) *ssestream.Stream[openai.ImageEditStreamEventUnion] {
	client, params := c.client(), askEdit(prompt)
	params.PartialImages = openai.Int(2)
	return client.Images.EditStreaming(ctx, params)
}

func goEdits(t *testing.T, c goClient) {
	client := c.client()
	one, err := client.Images.Edit(t.Context(), askEdit("A hat."))
	if err != nil || len(one.Data) != 1 || one.Data[0].B64JSON == "" || one.Usage.InputTokensDetails.ImageTokens != 85 {
		t.Errorf("got %+v, %v", one, err)
	}
	params := askEdit("Two hats.")
	params.Image = openai.ImageEditParamsImageUnion{OfFileArray: []io.Reader{picture(), picture()}}
	params.Mask, params.N = picture(), openai.Int(2)
	two, err := client.Images.Edit(t.Context(), params)
	if err != nil || len(two.Data) != 2 || two.Usage.InputTokensDetails.ImageTokens != 170 {
		t.Errorf("got %+v, %v", two, err)
	}
}

func goEditsStream(t *testing.T, c goClient) {
	events, err := gather(c.streamEdit(t.Context(), "A hat."))
	if err != nil || len(events) != 3 || events[0].Type != "image_edit.partial_image" || events[2].Type != "image_edit.completed" {
		t.Fatalf("%d events, then %v", len(events), err)
	}
	if events[2].B64JSON == "" || events[2].Usage.TotalTokens == 0 {
		t.Errorf("got %s", events[2].RawJSON())
	}
}

func goEditsError(t *testing.T, c goClient) {
	demandFailures(t, func(prompt string) *ssestream.Stream[openai.ImageEditStreamEventUnion] {
		return c.streamEdit(t.Context(), prompt)
	})
	client, params := c.client(), askEdit("A hat.")
	params.Model = "no-such-model"
	_, err := client.Images.Edit(t.Context(), params)
	demandRefusal(t, err, http.StatusNotFound, "model")
}

func goEditsCancel(t *testing.T, c goClient) {
	demandLeft(t, c.g, c.name+" edits", c.streamEdit, func(e openai.ImageEditStreamEventUnion) bool {
		return e.Type == "image_edit.partial_image"
	})
}

// askTranscript asks what is said in a sound.
func askTranscript(model, prompt string) openai.AudioTranscriptionNewParams {
	params := openai.AudioTranscriptionNewParams{Model: model, File: sound()}
	if prompt != "" {
		params.Prompt = openai.String(prompt)
	}
	return params
}

// streamTranscript asks what is said in a sound, as it is heard.
func (c goClient) streamTranscript(ctx context.Context, prompt string) *ssestream.Stream[openai.TranscriptionStreamEventUnion] {
	client := c.client()
	return client.Audio.Transcriptions.NewStreaming(ctx, askTranscript("gpt-4o-transcribe", prompt))
}

func goTranscriptions(t *testing.T, c goClient) {
	client, ctx := c.client(), t.Context()
	newer, err := client.Audio.Transcriptions.New(ctx, askTranscript("gpt-4o-transcribe", ""))
	if err != nil || newer.Text != heard || newer.Usage.InputTokenDetails.AudioTokens != 20 {
		t.Errorf("got %+v, %v", newer, err)
	}
	params := askTranscript("whisper", "")
	params.ResponseFormat = openai.AudioResponseFormatVerboseJSON
	params.TimestampGranularities = []string{"segment"}
	long, err := client.Audio.Transcriptions.New(ctx, params)
	if err != nil || long.Text != heard || long.Duration != 2 || len(long.Segments) != 1 || long.Usage.Seconds != 2 {
		t.Errorf("got %+v, %v", long, err)
	}
	for format, want := range map[openai.AudioResponseFormat]string{
		openai.AudioResponseFormatText: heard + "\n",
		openai.AudioResponseFormatSRT:  "1\n00:00:00,000 --> 00:00:02,000\n" + heard + "\n\n",
		openai.AudioResponseFormatVTT:  "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\n" + heard + "\n\n",
	} {
		// The library knows no type for what is no JSON.
		params, text := askTranscript("whisper", ""), ""
		params.ResponseFormat = format
		if _, err := client.Audio.Transcriptions.New(ctx, params, option.WithResponseBodyInto(&text)); err != nil || text != want {
			t.Errorf("%s: got %q, %v", format, text, err)
		}
	}
}

func goTranscriptionsStream(t *testing.T, c goClient) {
	events, err := gather(c.streamTranscript(t.Context(), ""))
	var read strings.Builder
	for _, event := range events {
		if event.Type == "transcript.text.delta" {
			read.WriteString(event.Delta)
		}
	}
	if err != nil || len(events) < 3 || read.String() != heard {
		t.Fatalf("%d events, read %q, then %v", len(events), read.String(), err)
	}
	if last := events[len(events)-1]; last.Type != "transcript.text.done" || last.Text != heard || last.Usage.TotalTokens == 0 {
		t.Errorf("the last is %s", last.RawJSON())
	}
}

func goTranscriptionsError(t *testing.T, c goClient) {
	demandFailures(t, func(prompt string) *ssestream.Stream[openai.TranscriptionStreamEventUnion] {
		return c.streamTranscript(t.Context(), prompt)
	})
	client := c.client()
	_, err := client.Audio.Transcriptions.New(t.Context(), askTranscript("no-such-model", ""))
	demandRefusal(t, err, http.StatusNotFound, "model")
	params := askTranscript("gpt-4o-transcribe", "")
	params.ResponseFormat = openai.AudioResponseFormatSRT
	_, err = client.Audio.Transcriptions.New(t.Context(), params)
	demandRefusal(t, err, http.StatusBadRequest, "response_format")
}

func goTranscriptionsCancel(t *testing.T, c goClient) {
	demandLeft(t, c.g, c.name+" transcriptions", c.streamTranscript, func(e openai.TranscriptionStreamEventUnion) bool {
		return e.Type == "transcript.text.delta"
	})
}

// translate asks what is said in a sound, in English.
func (c goClient) translate(ctx context.Context, model string) (*openai.Translation, error) {
	client := c.client()
	return client.Audio.Translations.New(ctx, openai.AudioTranslationNewParams{Model: model, File: sound()}) //nolint:staticcheck // What the library advises against is served all the same.
}

func goTranslations(t *testing.T, c goClient) {
	got, err := c.translate(t.Context(), "whisper")
	if err != nil || got.Text != heard {
		t.Errorf("got %+v, %v", got, err)
	}
}

func goTranslationsError(t *testing.T, c goClient) {
	_, err := c.translate(t.Context(), "no-such-model")
	demandRefusal(t, err, http.StatusNotFound, "model")
}
