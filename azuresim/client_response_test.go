package azuresim_test

import (
	"context"
	"io"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/conversations"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
)

func responseUses() []use {
	ask := func(text string) responses.ResponseNewParams {
		return responses.ResponseNewParams{Model: "m", Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(text)}}
	}
	stream := func(text string) func(ctx context.Context, c openai.Client) (string, error) {
		return func(ctx context.Context, c openai.Client) (string, error) {
			var said strings.Builder
			s := c.Responses.NewStreaming(ctx, ask(text))
			for s.Next() {
				e := s.Current()
				said.WriteString(e.Delta)
				if strings.HasSuffix(e.Type, "ed") && e.Response.Usage.TotalTokens > 0 {
					said.WriteString(" " + e.Type)
				}
			}
			return words(said.String(), "raised", s.Err() != nil), nil
		}
	}
	return []use{
		{"response", func(ctx context.Context, c openai.Client) (string, error) {
			r, err := c.Responses.New(ctx, ask("hi"))
			if err != nil {
				return "", err
			}
			again, err := c.Responses.Get(ctx, r.ID, responses.ResponseGetParams{})
			if err != nil {
				return "", err
			}
			items, err := c.Responses.InputItems.List(ctx, r.ID, responses.InputItemListParams{})
			if err != nil {
				return "", err
			}
			next := ask("more")
			next.PreviousResponseID = openai.String(r.ID)
			more, err := c.Responses.New(ctx, next)
			if err != nil {
				return "", err
			}
			return words(again.OutputText() == r.OutputText(), items.Data[0].AsMessage().Content[0].Text, more.OutputText()), c.Responses.Delete(ctx, r.ID)
		}, "true hi You said: more. That was turn 2 of our conversation."},
		{"response stream", stream("hi"), "You said: hi. That was turn 1 of our conversation. response.completed raised false"},
		{"failing response", stream("!response-failed now"), "You said: !response-failed now.  response.failed raised false"},
		{"response with a flat error", stream("!error-flat now"), "You said: !error-flat now.  raised false"},
		{"response with a nested error", stream("!error-late now"), "You said: !error-late now.  raised true"},
		{"response with both errors", stream("!error-both now"), "You said: !error-both now.  raised true"},
		{"response in the background", func(ctx context.Context, c openai.Client) (string, error) {
			p := ask("hi")
			p.Background = openai.Bool(true)
			r, err := c.Responses.New(ctx, p)
			if err != nil {
				return "", err
			}
			_, err = c.Responses.Cancel(ctx, r.ID)
			s, n := c.Responses.GetStreaming(ctx, r.ID, responses.ResponseGetParams{StartingAfter: openai.Int(2)}, option.WithQuery("stream", "true")), 0
			for s.Next() {
				n++
			}
			return words(r.Status, err != nil, n), s.Err()
		}, "queued true 9"},
		{"input tokens", func(ctx context.Context, c openai.Client) (string, error) {
			r, err := c.Responses.InputTokens.Count(ctx, responses.InputTokenCountParams{Model: openai.String("m"), Input: responses.InputTokenCountParamsInputUnion{OfString: openai.String("hi")}})
			if err != nil {
				return "", err
			}
			return words(r.InputTokens), nil
		}, "7"},
		{"compact", func(ctx context.Context, c openai.Client) (string, error) {
			r, err := c.Responses.Compact(ctx, responses.ResponseCompactParams{Model: "m", Input: responses.ResponseCompactParamsInputUnion{OfString: openai.String("hi")}})
			if err != nil {
				return "", err
			}
			return r.Output[len(r.Output)-1].Type, nil
		}, "compaction"},
		{"conversation", func(ctx context.Context, c openai.Client) (string, error) {
			t, err := c.Conversations.New(ctx, conversations.ConversationNewParams{})
			if err != nil {
				return "", err
			}
			p := ask("hi")
			p.Conversation = responses.ResponseNewParamsConversationUnion{OfString: openai.String(t.ID)}
			_, err = c.Responses.New(ctx, p)
			return t.ID[:5], err
		}, "conv_"},
	}
}

func storeUses() []use {
	return []use{
		{"file and batch", func(ctx context.Context, c openai.Client) (string, error) {
			f, err := c.Files.New(ctx, openai.FileNewParams{File: recording("in.jsonl"), Purpose: openai.FilePurposeBatch})
			if err != nil {
				return "", err
			}
			list, err := c.Files.List(ctx, openai.FileListParams{})
			if err != nil {
				return "", err
			}
			content, err := c.Files.Content(ctx, f.ID)
			if err != nil {
				return "", err
			}
			defer content.Body.Close()
			b, err := io.ReadAll(content.Body)
			if err != nil {
				return "", err
			}
			made, err := c.Batches.New(ctx, openai.BatchNewParams{InputFileID: f.ID, Endpoint: openai.BatchNewParamsEndpointV1ChatCompletions, CompletionWindow: openai.BatchNewParamsCompletionWindow24h})
			if err != nil {
				return "", err
			}
			cancelled, err := c.Batches.Cancel(ctx, made.ID)
			if err != nil {
				return "", err
			}
			gone, err := c.Files.Delete(ctx, f.ID)
			return words(list.Data[0].Filename, string(b), made.Status, cancelled.Status, gone.Deleted), err
		}, "in.jsonl 0123456789 validating cancelling true"},
		{"stored chat", func(ctx context.Context, c openai.Client) (string, error) {
			r, err := c.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{Model: "m", Store: openai.Bool(true), Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hi")}})
			if err != nil {
				return "", err
			}
			again, err := c.Chat.Completions.Get(ctx, r.ID)
			if err != nil {
				return "", err
			}
			messages, err := c.Chat.Completions.Messages.List(ctx, r.ID, openai.ChatCompletionMessageListParams{})
			if err != nil {
				return "", err
			}
			list, err := c.Chat.Completions.List(ctx, openai.ChatCompletionListParams{})
			if err != nil {
				return "", err
			}
			gone, err := c.Chat.Completions.Delete(ctx, r.ID)
			return words(again.Choices[0].Message.Content == r.Choices[0].Message.Content, messages.Data[0].Content, len(list.Data), gone.Deleted), err
		}, "true hi 1 true"},
	}
}
