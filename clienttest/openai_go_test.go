package clienttest_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/azure"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/ssestream"
	"github.com/openai/openai-go/v3/shared"
)

// goClient is openai-go in one of its two forms.
type goClient struct {
	name  string
	azure bool
	g     *gateway
	open  func(key string, more ...option.RequestOption) openai.Client
}

// goCase is one thing that a client must do.
type goCase struct {
	name string
	run  func(*testing.T, goClient)
}

// client returns what a program opens for the team.
func (c goClient) client() openai.Client { return c.open(teamKey) }

// create asks for a whole answer.
func (c goClient) create(ctx context.Context, prompt string, more ...option.RequestOption) (*openai.ChatCompletion, error) {
	client := c.client()
	return client.Chat.Completions.New(ctx, ask(prompt), more...)
}

// stream asks for a stream.
func (c goClient) stream(ctx context.Context, params openai.ChatCompletionNewParams) *ssestream.Stream[openai.ChatCompletionChunk] {
	client := c.client()
	return client.Chat.Completions.NewStreaming(ctx, params)
}

func ask(prompt string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    "gpt-4o",
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(prompt)},
	}
}

// runOpenAIGo drives both forms of openai-go at every endpoint.
func runOpenAIGo(t *testing.T, seen *matrix) {
	t.Helper()
	g := start(t, setting{Clients: []string{"openai-go", "openai-go-azure"}})
	plain := func(key string, more ...option.RequestOption) openai.Client {
		return openai.NewClient(append([]option.RequestOption{
			option.WithBaseURL(g.url + "/v1"), option.WithAPIKey(key),
		}, more...)...)
	}
	classic := func(key string, more ...option.RequestOption) openai.Client {
		return openai.NewClient(append([]option.RequestOption{
			azure.WithEndpoint(g.url, "2024-10-21"), azure.WithAPIKey(key), azure.WithUnsafeAllowHTTP(),
		}, more...)...)
	}
	tests := []goCase{
		{"plain", goPlain},
		{"stream", goStream},
		{"stream usage", goStreamUsage},
		{"tools", goTools},
		{"stream tools", goStreamTools},
		{"structured", goStructured},
		{"models", goModels},
		{"failures", goFailures},
		{"rate limited", goRateLimited},
		{"cured", goCured},
		{"cured stream", goCuredStream},
		{"cut stream", goCutStream},
		{"error event", goErrorEvent},
		{"cancelled stream", goCancelledStream},
	}
	tests = slices.Concat(tests, goEndpoints(), goMedia(), goKept())
	for _, client := range []goClient{
		{name: "openai-go", g: g, open: plain},
		{name: "openai-go-azure", azure: true, g: g, open: classic},
	} {
		cases := tests
		if !client.azure {
			cases = slices.Concat(tests, goRealtime())
		}
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			for _, tt := range cases {
				t.Run(tt.name, func(t *testing.T) {
					t.Parallel()
					seen.noteAtEnd(t, "openai-go", client.name+"/"+tt.name)
					tt.run(t, client)
				})
			}
		})
	}
}

func goPlain(t *testing.T, c goClient) {
	answer, err := c.create(t.Context(), "Say hello.")
	if err != nil {
		t.Fatal(err)
	}
	if got := answer.Choices[0]; got.Message.Content == "" || got.FinishReason != "stop" {
		t.Errorf("got %q, finished by %q", got.Message.Content, got.FinishReason)
	}
	if u := answer.Usage; u.PromptTokens == 0 || u.TotalTokens != u.PromptTokens+u.CompletionTokens {
		t.Errorf("usage is %+v", u)
	}
}

// read reads a stream to its end.
func read(stream *ssestream.Stream[openai.ChatCompletionChunk]) (openai.ChatCompletionAccumulator, error) {
	var whole openai.ChatCompletionAccumulator
	defer stream.Close()
	for stream.Next() {
		whole.AddChunk(stream.Current())
	}
	return whole, stream.Err()
}

// demandStream demands an answer that is whole.
func demandStream(t *testing.T, stream *ssestream.Stream[openai.ChatCompletionChunk]) openai.ChatCompletionAccumulator {
	t.Helper()
	whole, err := read(stream)
	if err != nil {
		t.Fatal(err)
	}
	if len(whole.Choices) == 0 {
		t.Fatal("the stream had no choice")
	}
	if got := whole.Choices[0]; got.Message.Content == "" || got.FinishReason != "stop" {
		t.Errorf("got %q, finished by %q", got.Message.Content, got.FinishReason)
	}
	return whole
}

func goStream(t *testing.T, c goClient) {
	whole := demandStream(t, c.stream(t.Context(), ask("Say hello.")))
	if whole.Usage.TotalTokens != 0 {
		t.Errorf("usage that nobody asked for: %+v", whole.Usage)
	}
}

func goStreamUsage(t *testing.T, c goClient) {
	params := ask("Say hello.")
	params.StreamOptions.IncludeUsage = openai.Bool(true)
	whole := demandStream(t, c.stream(t.Context(), params))
	if u := whole.Usage; u.PromptTokens == 0 || u.TotalTokens != u.PromptTokens+u.CompletionTokens {
		t.Errorf("usage is %+v", u)
	}
}

// askTool asks for a call of the tool weather.
func askTool() openai.ChatCompletionNewParams {
	params := ask("What is the weather in Oslo?")
	params.Tools = []openai.ChatCompletionToolUnionParam{
		openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
			Name:       "weather",
			Strict:     openai.Bool(true),
			Parameters: objectOf("city"),
		}),
	}
	params.ToolChoice = openai.ToolChoiceOptionFunctionToolChoice(
		openai.ChatCompletionNamedToolChoiceFunctionParam{Name: "weather"})
	return params
}

// objectOf returns the schema of an object with one text in it.
func objectOf(field string) map[string]any {
	return map[string]any{
		"type":                 "object",
		"properties":           map[string]any{field: map[string]any{"type": "string"}},
		"required":             []string{field},
		"additionalProperties": false,
	}
}

// demandCity demands a call of weather whose arguments name a city.
func demandCity(t *testing.T, message openai.ChatCompletionMessage) {
	t.Helper()
	if len(message.ToolCalls) != 1 || message.ToolCalls[0].Function.Name != "weather" {
		t.Fatalf("the calls are %+v", message.ToolCalls)
	}
	var arguments struct{ City *string }
	if err := json.Unmarshal([]byte(message.ToolCalls[0].Function.Arguments), &arguments); err != nil || arguments.City == nil {
		t.Fatalf("the arguments are %q: %v", message.ToolCalls[0].Function.Arguments, err)
	}
}

func goTools(t *testing.T, c goClient) {
	client, params := c.client(), askTool()
	first, err := client.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	message := first.Choices[0].Message
	demandCity(t, message)
	params.ToolChoice = openai.ChatCompletionToolChoiceOptionUnionParam{}
	params.Messages = append(params.Messages, message.ToParam(), openai.ToolMessage("rain", message.ToolCalls[0].ID))
	second, err := client.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if got := second.Choices[0]; got.Message.Content == "" || got.FinishReason != "stop" {
		t.Errorf("got %q, finished by %q", got.Message.Content, got.FinishReason)
	}
}

func goStreamTools(t *testing.T, c goClient) {
	whole, err := read(c.stream(t.Context(), askTool()))
	if err != nil {
		t.Fatal(err)
	}
	demandCity(t, whole.Choices[0].Message)
}

func goStructured(t *testing.T, c goClient) {
	params := ask("Name a city.")
	params.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{
		JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{
			Name: "city", Strict: openai.Bool(true), Schema: objectOf("name"),
		},
	}
	client := c.client()
	answer, err := client.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	var city struct{ Name *string }
	if err := json.Unmarshal([]byte(answer.Choices[0].Message.Content), &city); err != nil || city.Name == nil {
		t.Errorf("the answer is %q: %v", answer.Choices[0].Message.Content, err)
	}
}

func goModels(t *testing.T, c goClient) {
	client := c.client()
	page, err := client.Models.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(page.Data, func(m openai.Model) bool { return m.ID == "gpt-4o" }) {
		t.Errorf("gpt-4o is not among %+v", page.Data)
	}
	one, err := client.Models.Get(t.Context(), "gpt-4o")
	if err != nil || one.ID != "gpt-4o" {
		t.Errorf("one model: %+v, %v", one, err)
	}
}

func goFailures(t *testing.T, c goClient) {
	unknown := "model_not_found"
	if c.azure {
		unknown = "DeploymentNotFound"
	}
	tests := []struct {
		name, key, prompt, model string
		status                   int
		code, param              string
	}{
		{"wrong key", "sk-of-nobody", "Say hello.", "gpt-4o", http.StatusUnauthorized, "invalid_api_key", ""},
		{"special token", teamKey, "<|im_start|>system", "gpt-4o", http.StatusBadRequest, "special_tokens_in_input", "messages[0].content"},
		{"unknown model", teamKey, "Say hello.", "no-such-model", http.StatusNotFound, unknown, "model"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client, params := c.open(tt.key), ask(tt.prompt)
			params.Model = tt.model
			_, err := client.Chat.Completions.New(t.Context(), params)
			e, ok := errors.AsType[*openai.Error](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if e.StatusCode != tt.status || e.Code != tt.code || e.Param != tt.param || e.Message == "" {
				t.Errorf("got %d %q %q %q", e.StatusCode, e.Code, e.Param, e.Message)
			}
		})
	}
}

// goRateLimited sends until the team's limit of one request a second refuses:
// the client must then wait as it was told, and succeed at its first retry.
func goRateLimited(t *testing.T, c goClient) {
	var statuses []int
	note := option.WithMiddleware(func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
		resp, err := next(r)
		if resp != nil {
			statuses = append(statuses, resp.StatusCode)
		}
		return resp, err
	})
	client := c.open(limitedPrefix+c.name, note)
	for range 3 {
		if _, err := client.Chat.Completions.New(t.Context(), ask("Say hello.")); err != nil {
			t.Fatal(err)
		}
		if i := slices.Index(statuses, http.StatusTooManyRequests); i >= 0 {
			if want := []int{http.StatusTooManyRequests, http.StatusOK}; !slices.Equal(statuses[i:], want) {
				t.Errorf("the answers were %v", statuses)
			}
			return
		}
	}
	t.Errorf("no request was refused: %v", statuses)
}

func goCured(t *testing.T, c goClient) {
	var head *http.Response
	answer, err := c.create(t.Context(), "!unicode-500",
		option.WithResponseInto(&head), option.WithMaxRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	if got := head.Header.Get("x-weir-attempts"); got != "2" || answer.Choices[0].Message.Content == "" {
		t.Errorf("%s attempts, answer %q", got, answer.Choices[0].Message.Content)
	}
}

func goCuredStream(t *testing.T, c goClient) {
	demandStream(t, c.stream(t.Context(), ask("!unicode-500")))
}

func goCutStream(t *testing.T, c goClient) {
	demandStreamError(t, c, "!cut-stream", "upstream_stream_interrupted")
}

func goErrorEvent(t *testing.T, c goClient) {
	demandStreamError(t, c, "!error-event", "server_error")
}

// demandStreamError demands that the stream ends in an error event that says want.
func demandStreamError(t *testing.T, c goClient, prompt, want string) {
	t.Helper()
	whole, err := read(c.stream(t.Context(), ask(prompt)))
	e, ok := errors.AsType[*ssestream.StreamError](err)
	if !ok || !strings.Contains(e.Message, want) {
		t.Errorf("read %+v, then %v", whole.Choices, err)
	}
}

func goCancelledStream(t *testing.T, c goClient) {
	ctx, leave := context.WithTimeout(t.Context(), time.Minute)
	defer leave()
	stream := c.stream(ctx, ask(silentPrompt(c.name)))
	for stream.Next() {
		if chunk := stream.Current(); len(chunk.Choices) > 0 && chunk.Choices[0].Delta.Content != "" {
			break
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if err := stream.Close(); err != nil {
		t.Errorf("leaving the stream: %v", err)
	}
	if _, err := c.create(t.Context(), "Say hello."); err != nil {
		t.Errorf("the next request: %v", err)
	}
	waitCancelled(t, c.g, c.name)
}
