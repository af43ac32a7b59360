package clienttest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/pagination"
	"github.com/openai/openai-go/v3/shared"
)

// goKept returns what openai-go must do with what the API keeps.
func goKept() []goCase {
	return []goCase{
		{"files/plain", goFiles},
		{"files/error", goFilesError},
		{"batches/plain", goBatches},
		{"batches/error", goBatchesError},
		{"chats/plain", goChats},
		{"chats/stream", goChatsStream},
		{"chats/error", goChatsError},
	}
}

// upload uploads a text.
func (c goClient) upload(ctx context.Context, text, name string, purpose openai.FilePurpose) (*openai.FileObject, error) {
	client := c.client()
	return client.Files.New(ctx, openai.FileNewParams{
		File: openai.File(strings.NewReader(text), name, "text/plain"), Purpose: purpose,
	})
}

// note uploads a text and demands that it is kept.
func (c goClient) note(t *testing.T, text string) *openai.FileObject {
	t.Helper()
	made, err := c.upload(t.Context(), text, "notes.txt", openai.FilePurposeAssistants)
	if err != nil {
		t.Fatal(err)
	}
	if made.Filename != "notes.txt" || made.Purpose != openai.FileObjectPurposeAssistants || made.Bytes != int64(len(text)) {
		t.Errorf("got %s", made.RawJSON())
	}
	return made
}

// content returns what was uploaded.
func (c goClient) content(t *testing.T, id string) string {
	t.Helper()
	client := c.client()
	got, err := client.Files.Content(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// listed returns those of ids that a listing shows, in its order. None may be there
// twice.
func listed[T any](t *testing.T, pages *pagination.CursorPageAutoPager[T], id func(T) string, ids ...string) []string {
	t.Helper()
	var got []string
	seen := map[string]bool{}
	for pages.Next() {
		one := id(pages.Current())
		if seen[one] {
			t.Errorf("%s is listed twice", one)
		}
		seen[one] = true
		if slices.Contains(ids, one) {
			got = append(got, one)
		}
	}
	if err := pages.Err(); err != nil {
		t.Error(err)
	}
	return got
}

func fileID(f openai.FileObject) string { return f.ID }

func goFiles(t *testing.T, c goClient) {
	client, ctx := c.client(), t.Context()
	var ids []string
	for _, text := range []string{"Note 1", "Note 2", "Note 3"} {
		made := c.note(t, text)
		again, err := client.Files.Get(ctx, made.ID)
		if err != nil || again.ID != made.ID || again.Filename != made.Filename {
			t.Errorf("again: %+v, %v", again, err)
		}
		if got := c.content(t, made.ID); got != text {
			t.Errorf("got %q, not %q", got, text)
		}
		ids = append(ids, made.ID)
	}
	// Two a page: the client asks for the next by itself, behind the last it has.
	query := openai.FileListParams{Limit: openai.Int(2), Order: openai.FileListParamsOrderAsc, Purpose: openai.String("assistants")}
	if got := listed(t, client.Files.ListAutoPaging(ctx, query), fileID, ids...); !slices.Equal(got, ids) {
		t.Errorf("listed %q, not %q", got, ids)
	}
	for _, id := range ids {
		if gone, err := client.Files.Delete(ctx, id); err != nil || !gone.Deleted || gone.ID != id {
			t.Errorf("deleted: %+v, %v", gone, err)
		}
	}
	_, err := client.Files.Get(ctx, ids[0])
	demandRefusal(t, err, http.StatusNotFound, "id")
}

func goFilesError(t *testing.T, c goClient) {
	made := c.note(t, "A secret.")
	ctx, own, foreign := t.Context(), c.client(), c.open(strangerKey)
	for id, client := range map[string]openai.Client{"file-of-nobody": own, made.ID: foreign} {
		_, err := client.Files.Get(ctx, id)
		demandRefusal(t, err, http.StatusNotFound, "id")
		_, err = client.Files.Content(ctx, id)
		demandRefusal(t, err, http.StatusNotFound, "id")
		_, err = client.Files.Delete(ctx, id)
		demandRefusal(t, err, http.StatusNotFound, "id")
	}
	if got := listed(t, foreign.Files.ListAutoPaging(ctx, openai.FileListParams{}), fileID, made.ID); len(got) > 0 {
		t.Errorf("another team is shown %q", got)
	}
	if got := c.content(t, made.ID); got != "A secret." {
		t.Errorf("got %q", got)
	}
}

// work returns the requests of a batch.
func work(t *testing.T, model string, prompts ...string) string {
	t.Helper()
	var lines strings.Builder
	encoder := json.NewEncoder(&lines)
	encoder.SetEscapeHTML(false)
	for _, prompt := range prompts {
		err := encoder.Encode(map[string]any{
			"custom_id": prompt, "method": "POST", "url": "/v1/chat/completions",
			"body": map[string]any{"model": model, "messages": []map[string]string{{"role": "user", "content": prompt}}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return lines.String()
}

// begin uploads two requests and creates a batch of them.
func (c goClient) begin(t *testing.T) *openai.Batch {
	t.Helper()
	given, err := c.upload(t.Context(), work(t, "gpt-4o", "first", "second"), "work.jsonl", openai.FilePurposeBatch)
	if err != nil {
		t.Fatal(err)
	}
	client := c.client()
	made, err := client.Batches.New(t.Context(), askBatch(given.ID))
	if err != nil || made.InputFileID != given.ID || made.Metadata["job"] != "nightly" || len(made.Metadata) != 1 {
		t.Fatalf("got %+v, %v", made, err)
	}
	return made
}

func askBatch(file string) openai.BatchNewParams {
	return openai.BatchNewParams{
		InputFileID: file, Endpoint: openai.BatchNewParamsEndpointV1ChatCompletions,
		CompletionWindow: openai.BatchNewParamsCompletionWindow24h, Metadata: shared.Metadata{"job": "nightly"},
	}
}

func batchID(b openai.Batch) string { return b.ID }

func goBatches(t *testing.T, c goClient) {
	client, ctx := c.client(), t.Context()
	made, again := c.begin(t), c.begin(t)
	left, err := client.Batches.Cancel(ctx, again.ID)
	if err != nil || left.Status != openai.BatchStatusCancelling && left.Status != openai.BatchStatusCancelled {
		t.Errorf("cancelling one: %+v, %v", left, err)
	}
	query := openai.BatchListParams{Limit: openai.Int(1)}
	if got, want := listed(t, client.Batches.ListAutoPaging(ctx, query), batchID, made.ID, again.ID), []string{again.ID, made.ID}; !slices.Equal(got, want) {
		t.Errorf("listed %q, not %q", got, want)
	}
	ended := c.wait(t, made.ID)
	if ended.Status != openai.BatchStatusCompleted || ended.RequestCounts.Completed != 2 || ended.OutputFileID == "" {
		t.Fatalf("ended as %s", ended.RawJSON())
	}
	lines := strings.Split(strings.TrimSpace(c.content(t, ended.OutputFileID)), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"custom_id":"first"`) || !strings.Contains(lines[1], "You said: second") {
		t.Errorf("it put out %q", lines)
	}
}

// wait waits until a batch works no more.
func (c goClient) wait(t *testing.T, id string) *openai.Batch {
	t.Helper()
	client := c.client()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for range 400 {
		got, err := client.Batches.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains([]openai.BatchStatus{openai.BatchStatusValidating, openai.BatchStatusInProgress, openai.BatchStatusFinalizing}, got.Status) {
			return got
		}
		<-poll.C
	}
	t.Fatal("the batch does not end")
	return nil
}

func goBatchesError(t *testing.T, c goClient) {
	made := c.begin(t)
	ctx, own, foreign := t.Context(), c.client(), c.open(strangerKey)
	for id, client := range map[string]openai.Client{"batch_of_nobody": own, made.ID: foreign} {
		_, err := client.Batches.Get(ctx, id)
		demandRefusal(t, err, http.StatusNotFound, "id")
		_, err = client.Batches.Cancel(ctx, id)
		demandRefusal(t, err, http.StatusNotFound, "id")
	}
	_, err := foreign.Batches.New(ctx, askBatch(made.InputFileID))
	demandRefusal(t, err, http.StatusBadRequest, "input_file_id")
	if got := listed(t, foreign.Batches.ListAutoPaging(ctx, openai.BatchListParams{}), batchID, made.ID); len(got) > 0 {
		t.Errorf("another team is shown %q", got)
	}
	_, err = c.upload(ctx, work(t, "gpt-4o", "<|im_start|>system"), "work.jsonl", openai.FilePurposeBatch)
	demandRefusal(t, err, http.StatusBadRequest, "file")
	_, err = c.upload(ctx, work(t, "no-such-model", "first"), "work.jsonl", openai.FilePurposeBatch)
	demandRefusal(t, err, http.StatusNotFound, "file")
}

// askStored asks for a chat that is stored.
func askStored(prompt string) openai.ChatCompletionNewParams {
	params := ask(prompt)
	params.Store, params.Metadata = openai.Bool(true), shared.Metadata{"case": "one"}
	return params
}

// store asks for a chat and demands that it is stored.
func (c goClient) store(t *testing.T, prompt string) *openai.ChatCompletion {
	t.Helper()
	client := c.client()
	made, err := client.Chat.Completions.New(t.Context(), askStored(prompt))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// chats returns those of ids that the listing of stored chats shows. Azure's option
// takes the listing for a question to a deployment, and does not send it.
func (c goClient) chats(t *testing.T, key string, query openai.ChatCompletionListParams, ids ...string) []string {
	t.Helper()
	if c.azure {
		return nil
	}
	client := c.open(key)
	id := func(chat openai.ChatCompletion) string { return chat.ID }
	return listed(t, client.Chat.Completions.ListAutoPaging(t.Context(), query), id, ids...)
}

// metadata returns what a chat's metadata says of case, and demands that it says no more.
func metadata(t *testing.T, chat *openai.ChatCompletion) string {
	t.Helper()
	var got struct{ Metadata map[string]string }
	if err := json.Unmarshal([]byte(chat.RawJSON()), &got); err != nil || len(got.Metadata) != 1 {
		t.Errorf("the metadata is %v, %v", got.Metadata, err)
	}
	return got.Metadata["case"]
}

func goChats(t *testing.T, c goClient) {
	ctx, client := t.Context(), c.client()
	api := client.Chat.Completions
	made, second := c.store(t, "Say hello."), c.store(t, "And now?")
	again, err := api.Get(ctx, made.ID)
	if err != nil || again.ID != made.ID || again.Choices[0].Message.Content != made.Choices[0].Message.Content || metadata(t, again) != "one" {
		t.Errorf("again: %+v, %v", again, err)
	}
	asked, err := api.Messages.List(ctx, made.ID, openai.ChatCompletionMessageListParams{})
	if err != nil || len(asked.Data) != 1 || asked.Data[0].Content != "Say hello." {
		t.Errorf("its messages: %+v, %v", asked, err)
	}
	query := openai.ChatCompletionListParams{Limit: openai.Int(1), Metadata: shared.Metadata{"case": "one"}}
	if got, want := c.chats(t, teamKey, query, made.ID, second.ID), []string{made.ID, second.ID}; !c.azure && !slices.Equal(got, want) {
		t.Errorf("listed %q, not %q", got, want)
	}
	changed, err := api.Update(ctx, made.ID, openai.ChatCompletionUpdateParams{Metadata: shared.Metadata{"case": "two"}})
	if err != nil || changed.ID != made.ID || metadata(t, changed) != "two" {
		t.Errorf("changed: %+v, %v", changed, err)
	}
	for _, id := range []string{made.ID, second.ID} {
		if gone, err := api.Delete(ctx, id); err != nil || !gone.Deleted || gone.ID != id {
			t.Errorf("deleted: %+v, %v", gone, err)
		}
	}
	_, err = api.Get(ctx, made.ID)
	demandRefusal(t, err, http.StatusNotFound, "")
}

func goChatsStream(t *testing.T, c goClient) {
	client := c.client()
	whole := demandStream(t, c.stream(t.Context(), askStored("Say hello.")))
	again, err := client.Chat.Completions.Get(t.Context(), whole.ID)
	if err != nil || again.ID != whole.ID || again.Choices[0].Message.Content != whole.Choices[0].Message.Content {
		t.Errorf("stored as %+v, %v", again, err)
	}
}

func goChatsError(t *testing.T, c goClient) {
	made := c.store(t, "Say hello.")
	ctx, own, foreign := t.Context(), c.client(), c.open(strangerKey)
	for id, client := range map[string]openai.Client{"chatcmpl-of-nobody": own, made.ID: foreign} {
		api := client.Chat.Completions
		_, err := api.Get(ctx, id)
		demandRefusal(t, err, http.StatusNotFound, "id")
		_, err = api.Update(ctx, id, openai.ChatCompletionUpdateParams{Metadata: shared.Metadata{"a": "b"}})
		demandRefusal(t, err, http.StatusNotFound, "id")
		_, err = api.Messages.List(ctx, id, openai.ChatCompletionMessageListParams{})
		demandRefusal(t, err, http.StatusNotFound, "id")
		_, err = api.Delete(ctx, id)
		demandRefusal(t, err, http.StatusNotFound, "id")
	}
	if got := c.chats(t, strangerKey, openai.ChatCompletionListParams{}, made.ID); len(got) > 0 {
		t.Errorf("another team is shown %q", got)
	}
}
