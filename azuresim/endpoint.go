package azuresim

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// naming is where a request says which deployment it is for.
type naming int

const (
	namesNothing naming = iota
	namesInPath         // in the path on the classic surface, else in the body
	namesInBody         // in the body
	namesInQuery        // deployment on the classic surface, else model
)

// check refuses or answers a request, or returns nil for the next to look at it.
type check func(*call) *Step

// endpoint is one operation of the API.
type endpoint struct {
	operation string // as Azure names it
	method    string
	path      string // behind the surface's prefix; {id} stands for one segment
	names     naming
	fallback  string // the deployment where the request names none
	since     string // the first api-version of the classic surface that has it
	typed     bool   // its streams name and number their events
	socket    bool   // it is a WebSocket
	checks    []check
	compose   func(*call) (*Step, []event) // the answer, or where it is nil the stream
}

// match reports whether e serves method and path, and the id the path names.
func (e endpoint) match(method, path string) (string, bool) {
	want, got := strings.Split(e.path, "/"), strings.Split(path, "/")
	if method != e.method || len(want) != len(got) {
		return "", false
	}
	id := ""
	for i, segment := range want {
		switch {
		case segment == "{id}" && got[i] != "":
			plain, err := url.PathUnescape(got[i])
			if err != nil {
				return "", false
			}
			id = plain
		case segment != got[i]:
			return "", false
		}
	}
	return id, true
}

// endpoints is everything the resource serves. The first that matches counts.
func endpoints() []endpoint {
	asked := []check{(*call).askedFault}
	kept := func(operation, method, path string, compose func(*call) (*Step, []event)) endpoint {
		return endpoint{operation: operation, method: method, path: path, checks: asked, compose: compose}
	}
	const get, post, remove = http.MethodGet, http.MethodPost, http.MethodDelete
	return slices.Concat(modelEndpoints(), responseEndpoints(), []endpoint{
		kept("Models_List", get, "models", (*call).listModels),
		kept("Models_Get", get, "models/{id}", (*call).listModels),
		kept("StoredCompletions_List", get, "chat/completions", (*call).listChats),
		kept("StoredCompletions_Get", get, "chat/completions/{id}", (*call).getChat),
		kept("StoredCompletions_Update", post, "chat/completions/{id}", (*call).updateChat),
		kept("StoredCompletions_Delete", remove, "chat/completions/{id}", (*call).deleteChat),
		kept("StoredCompletions_Messages", get, "chat/completions/{id}/messages", (*call).chatMessages),
		kept("Files_Upload", post, "files", (*call).uploadFile),
		kept("Files_List", get, "files", (*call).listFiles),
		kept("Files_Get", get, "files/{id}", (*call).getFile),
		kept("Files_GetContent", get, "files/{id}/content", (*call).fileContent),
		kept("Files_Delete", remove, "files/{id}", (*call).deleteFile),
		kept("Batch_Create", post, "batches", (*call).createBatch),
		kept("Batch_List", get, "batches", (*call).listBatches),
		kept("Batch_Get", get, "batches/{id}", (*call).getBatch),
		kept("Batch_Cancel", post, "batches/{id}/cancel", (*call).cancelBatch),
		kept("Conversations_Create", post, "conversations", (*call).createConversation),
		kept("Conversations_Get", get, "conversations/{id}", (*call).getConversation),
		kept("Conversations_Delete", remove, "conversations/{id}", (*call).deleteConversation),
	})
}

// modelEndpoints are those a deployment answers by itself.
func modelEndpoints() []endpoint {
	const post = http.MethodPost
	list := []endpoint{
		{
			operation: chatOperation, path: "chat/completions", compose: (*call).composeChat,
			checks: []check{(*call).readChat, (*call).askedFault, (*call).checkChat, (*call).checkParameters, (*call).checkWindow},
		},
		{
			operation: "Completions_Create", path: "completions", compose: (*call).composeLegacy,
			checks: []check{(*call).readLegacy, (*call).askedFault, (*call).checkLegacy},
		},
		{
			operation: "Embeddings_Create", path: "embeddings", compose: (*call).composeEmbeddings,
			checks: []check{(*call).readEmbeddings, (*call).askedFault, (*call).checkEmbeddings},
		},
		{
			operation: "ImageGenerations_Create", path: "images/generations", compose: (*call).composeImages,
			checks: []check{(*call).readImages, (*call).askedFault, (*call).checkImages},
		},
		{
			operation: "ImageEdits_Create", path: "images/edits", compose: (*call).composeImages,
			checks: []check{(*call).readImageEdit, (*call).askedFault, (*call).checkImages},
		},
		{
			operation: "Transcriptions_Create", path: "audio/transcriptions", compose: (*call).composeTranscript,
			checks: []check{(*call).readTranscript, (*call).askedFault, (*call).checkTranscript},
		},
		{
			operation: "Translations_Create", path: "audio/translations", compose: (*call).composeTranscript,
			checks: []check{(*call).readTranscript, (*call).askedFault, (*call).checkTranscript},
		},
		{
			operation: "Speech_Create", path: "audio/speech", compose: (*call).composeSpeech,
			checks: []check{(*call).readSpeech, (*call).askedFault, (*call).checkSpeech},
		},
	}
	for i := range list {
		list[i].method, list[i].names = post, namesInPath
		list[i].checks = append(list[i].checks, (*call).admit)
	}
	return append(list,
		endpoint{
			operation: "Moderations_Create", method: post, path: "moderations", names: namesInBody,
			fallback: "omni-moderation-latest", compose: (*call).composeModeration,
			checks: []check{(*call).readModeration, (*call).askedFault, (*call).checkModeration},
		},
		endpoint{
			operation: "Realtime_Connect", method: http.MethodGet, path: "realtime", names: namesInQuery, socket: true,
			checks: []check{(*call).readRealtime, (*call).askedFault},
		},
	)
}

// responseEndpoints are those of the Responses API.
func responseEndpoints() []endpoint {
	asked := []check{(*call).askedFault}
	read := []check{(*call).readResponse, (*call).askedFault, (*call).checkResponse, (*call).checkReferences}
	limited := append(slices.Clone(read), (*call).checkInputWindow, (*call).admit)
	const get, post, remove = http.MethodGet, http.MethodPost, http.MethodDelete
	list := []endpoint{
		{operation: "Responses_Create", method: post, path: "responses", names: namesInBody, checks: limited, compose: (*call).composeResponse},
		{operation: "Responses_InputTokens", method: post, path: "responses/input_tokens", names: namesInBody, checks: read, compose: (*call).countInput},
		{operation: "Responses_Compact", method: post, path: "responses/compact", names: namesInBody, checks: limited, compose: (*call).compact},
		{operation: "Responses_Get", method: get, path: "responses/{id}", checks: asked, compose: (*call).getResponse},
		{operation: "Responses_Delete", method: remove, path: "responses/{id}", checks: asked, compose: (*call).deleteResponse},
		{operation: "Responses_Cancel", method: post, path: "responses/{id}/cancel", checks: asked, compose: (*call).cancelResponse},
		{operation: "Responses_InputItems", method: get, path: "responses/{id}/input_items", checks: asked, compose: (*call).inputItems},
	}
	for i := range list {
		list[i].typed, list[i].since = true, "2025-03-01-preview"
	}
	return list
}
