package azuresim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/azure"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/realtime"

	"weir/azuresim"
)

// use is one thing done with the official client, and what it said.
type use struct {
	name string
	do   func(ctx context.Context, c openai.Client) (string, error)
	want string
}

// words joins values by spaces.
func words(values ...any) string { return strings.TrimSuffix(fmt.Sprintln(values...), "\n") }

func recording(name string) io.Reader {
	return openai.File(strings.NewReader("0123456789"), name, "application/octet-stream")
}

func uses() []use { return append(modelUses(), append(responseUses(), storeUses()...)...) }

func modelUses() []use {
	return []use{
		{"embeddings", func(ctx context.Context, c openai.Client) (string, error) {
			r, err := c.Embeddings.New(ctx, openai.EmbeddingNewParams{
				Model: "m", Dimensions: openai.Int(3),
				Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"a", "b"}},
			})
			if err != nil {
				return "", err
			}
			return words(len(r.Data), len(r.Data[0].Embedding), r.Usage.PromptTokens), nil
		}, "2 3 2"},
		{"legacy completion", func(ctx context.Context, c openai.Client) (string, error) {
			r, err := c.Completions.New(ctx, openai.CompletionNewParams{Model: "m", Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("hi")}})
			if err != nil {
				return "", err
			}
			return r.Choices[0].Text + words(r.Usage.TotalTokens), nil
		}, "You said: hi.5"},
		{"legacy stream", func(ctx context.Context, c openai.Client) (string, error) {
			var text strings.Builder
			s := c.Completions.NewStreaming(ctx, openai.CompletionNewParams{Model: "m", Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("hi")}})
			for s.Next() {
				for _, choice := range s.Current().Choices {
					text.WriteString(choice.Text)
				}
			}
			return text.String(), s.Err()
		}, "You said: hi."},
		{"image", func(ctx context.Context, c openai.Client) (string, error) {
			r, err := c.Images.Generate(ctx, openai.ImageGenerateParams{Model: "m", Prompt: "a cat"})
			if err != nil {
				return "", err
			}
			return r.Data[0].B64JSON[:11] + words(r.Usage.TotalTokens), nil
		}, "iVBORw0KGgo274"},
		{"image stream", func(ctx context.Context, c openai.Client) (string, error) {
			var names strings.Builder
			s := c.Images.GenerateStreaming(ctx, openai.ImageGenerateParams{Model: "m", Prompt: "a cat", PartialImages: openai.Int(2)})
			for s.Next() {
				names.WriteString(s.Current().Type[len("image_generation."):] + "/")
			}
			return names.String(), s.Err()
		}, "partial_image/partial_image/completed/"},
		{"image edit", func(ctx context.Context, c openai.Client) (string, error) {
			r, err := c.Images.Edit(ctx, openai.ImageEditParams{Model: "m", Prompt: "a cat", Image: openai.ImageEditParamsImageUnion{OfFileArray: []io.Reader{recording("a.png"), recording("b.png")}}})
			if err != nil {
				return "", err
			}
			return words(r.Usage.InputTokensDetails.ImageTokens), nil
		}, "170"},
		{"transcription", func(ctx context.Context, c openai.Client) (string, error) {
			r, err := c.Audio.Transcriptions.New(ctx, openai.AudioTranscriptionNewParams{Model: "m", File: recording("a.wav")})
			if err != nil {
				return "", err
			}
			return r.Text + r.Usage.Type, nil
		}, "This is a.wav of 10 bytes.tokens"},
		{"transcription stream", func(ctx context.Context, c openai.Client) (string, error) {
			var text strings.Builder
			s := c.Audio.Transcriptions.NewStreaming(ctx, openai.AudioTranscriptionNewParams{Model: "m", File: recording("a.wav")})
			for s.Next() {
				text.WriteString(s.Current().Delta)
			}
			return text.String(), s.Err()
		}, "This is a.wav of 10 bytes."},
		{"translation", func(ctx context.Context, c openai.Client) (string, error) {
			//nolint:staticcheck // It is served for as long as the client has it.
			r, err := c.Audio.Translations.New(ctx, openai.AudioTranslationNewParams{Model: "m", File: recording("a.wav")})
			if err != nil {
				return "", err
			}
			return r.Text, nil
		}, "This is a.wav of 10 bytes."},
		{"speech", func(ctx context.Context, c openai.Client) (string, error) {
			r, err := c.Audio.Speech.New(ctx, openai.AudioSpeechNewParams{Model: "m", Input: "hello", Voice: openai.AudioSpeechNewParamsVoiceUnion{OfString: openai.String("alloy")}})
			if err != nil {
				return "", err
			}
			defer r.Body.Close()
			b, err := io.ReadAll(r.Body)
			return r.Header.Get("Content-Type") + words(len(b)), err
		}, "audio/mpeg1000"},
		{"moderation", func(ctx context.Context, c openai.Client) (string, error) {
			r, err := c.Moderations.New(ctx, openai.ModerationNewParams{Input: openai.ModerationNewParamsInputUnion{OfString: openai.String("kill")}})
			if err != nil {
				return "", err
			}
			return words(r.Results[0].Flagged, r.Results[0].Categories.Hate), nil
		}, "true false"},
	}
}

func TestOfficialClientUsesEveryEndpoint(t *testing.T) {
	t.Parallel()
	for form, with := range map[string]func(url string) []option.RequestOption{
		"openai": func(url string) []option.RequestOption {
			return []option.RequestOption{option.WithBaseURL(url + "/v1"), option.WithAPIKey("key")}
		},
		"v1": func(url string) []option.RequestOption {
			return []option.RequestOption{option.WithBaseURL(url + "/openai/v1"), option.WithAPIKey("key")}
		},
		"classic": func(url string) []option.RequestOption {
			return []option.RequestOption{azure.WithUnsafeAllowHTTP(), azure.WithEndpoint(url, "2025-04-01-preview"), azure.WithAPIKey("key")}
		},
	} {
		for _, u := range uses() {
			if form == "classic" && u.name == "stored chat" {
				continue // This client cannot: it looks for a deployment in the body of a GET.
			}
			t.Run(form+" "+u.name, func(t *testing.T) {
				t.Parallel()
				server := httptest.NewServer(azuresim.New(azuresim.Config{Key: "key"}))
				defer server.Close()
				defer server.Client().CloseIdleConnections()
				options := append(with(server.URL), option.WithHTTPClient(server.Client()), option.WithMaxRetries(0))
				got, err := u.do(t.Context(), openai.NewClient(options...))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(u.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestOfficialClientSpeaksRealtime(t *testing.T) {
	t.Parallel()
	sim := azuresim.New(azuresim.Config{Key: "key"})
	server := httptest.NewServer(sim)
	defer server.Close()
	defer server.Client().CloseIdleConnections()
	c := openai.NewClient(option.WithBaseURL(server.URL+"/openai/v1"), option.WithAPIKey("key"), option.WithHTTPClient(server.Client()))
	conn, err := c.Realtime.Connect(t.Context(), realtime.RealtimeConnectionOptions{}, option.WithQuery("model", "gpt-realtime"))
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range []string{
		`{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_text","text":"hello"}]}}`,
		`{"type":"response.create"}`,
	} {
		if err := conn.SendRaw(t.Context(), []byte(event)); err != nil {
			t.Fatal(err)
		}
	}
	text := ""
	for {
		received, err := conn.Recv(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var e struct {
			Type, Delta string
			Response    struct {
				Usage struct {
					TotalTokens int `json:"total_tokens"`
				}
			}
		}
		if err := json.Unmarshal([]byte(received.RawJSON()), &e); err != nil {
			t.Fatal(err)
		}
		if e.Type == "response.output_text.delta" {
			text += e.Delta
		}
		if e.Type == "response.done" {
			if want := "You said: hello. That was turn 1 of our conversation."; text != want || e.Response.Usage.TotalTokens != 23 {
				t.Errorf("got %q with %d tokens", text, e.Response.Usage.TotalTokens)
			}
			break
		}
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}
