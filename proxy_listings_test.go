package main_test

import (
	"encoding/json"
	"net/http"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// listed is what every listing says of a model, by its id.
type listed map[string]struct {
	ID           string
	OwnedBy      string `json:"owned_by"`
	Model        string
	Capabilities map[string]bool
}

func (w *world) listed(path string) listed {
	w.t.Helper()
	got := w.do(w.t.Context(), http.MethodGet, path, "")
	var out struct{ Data []json.RawMessage }
	if err := json.Unmarshal([]byte(got.body), &out); err != nil || got.status != http.StatusOK {
		w.t.Fatalf("%s: %d %s", path, got.status, got.body)
	}
	all := listed{}
	for _, item := range out.Data {
		var one listed
		if err := json.Unmarshal([]byte(`{"one":`+string(item)+`}`), &one); err != nil {
			w.t.Fatal(err)
		}
		all[one["one"].ID] = one["one"]
	}
	return all
}

// TestListingsKeepToRegions: no listing has a model that is in none of the team's
// regions, and no message offers one.
func TestListingsKeepToRegions(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		for _, path := range []string{"/v1/models", "/models", "/openai/v1/models", "/openai/models?api-version=2024-10-21", "/openai/deployments?api-version=2022-12-01"} {
			var ids []string
			all := w.listed(path)
			for _, id := range []string{"d2", "gpt-35-turbo", "gpt-4o", "gpt-5", "mystery"} {
				if _, ok := all[id]; ok {
					ids = append(ids, id)
				}
			}
			if diff := gocmp.Diff([]string{"gpt-35-turbo", "gpt-4o", "gpt-5", "mystery"}, ids); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		}
		for _, path := range []string{"/v1/models/d2", "/openai/models/d2?api-version=2024-10-21"} {
			got := w.do(w.t.Context(), http.MethodGet, path, "")
			if code, _, _ := got.code(); got.status != http.StatusNotFound || code != "model_not_found" {
				t.Errorf("%s: %d %s", path, got.status, got.body)
			}
		}
		const may = "Your key may use: gpt-35-turbo, gpt-4o, gpt-5, mystery."
		if got := w.chat(of("nope", say("hello"))); !endsWith(got.message(), may) {
			t.Errorf("it says %q", got.message())
		}
		if got := w.chat(of("gpt-4o-west", say("hello"))); got.status != http.StatusOK {
			t.Errorf("a model that is in both: %d %s", got.status, got.body)
		}
	}, pinned()...)
}

func endsWith(message, sentence string) bool {
	const tail = " (docs/errors.md#model_not_found)"
	return len(message) > len(sentence+tail) && message[len(message)-len(sentence+tail):] == sentence+tail
}

// TestListingsAreTrue: whose a model is, and what it does, is said as far as it is
// known.
func TestListingsAreTrue(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		owners, classic := w.listed("/v1/models"), w.listed("/openai/models")
		for _, tt := range []struct{ id, owner, does string }{
			{"gpt-4o", "azure", "chat_completion"},
			{"mystery", "azure", "chat_completion"},
			{"text-embedding-3-small", "azure", "embeddings"},
			{"gpt-35-turbo-instruct", "azure", "completion"},
			{"gpt-image-1", "azure", ""},
			{"gpt-4o-mini-tts", "azure", ""},
			{"omni-moderation-latest", "openai", ""},
		} {
			want := map[string]bool{"fine_tune": false, "inference": true, "completion": false, "chat_completion": false, "embeddings": false}
			if tt.does != "" {
				want[tt.does] = true
			}
			if got := owners[tt.id].OwnedBy; got != tt.owner {
				t.Errorf("%s is owned by %q, want %q", tt.id, got, tt.owner)
			}
			if diff := gocmp.Diff(want, classic[tt.id].Capabilities); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.id, diff)
			}
		}
	}, all()...)
}

// TestModelsByEscapedNames: a model is shown by each of its names, however its client
// writes that into the path.
func TestModelsByEscapedNames(t *testing.T) {
	t.Parallel()
	tests := []struct{ path, id string }{
		{"/v1/models/org/llama", "org/llama"},
		{"/v1/models/org%2Fllama", "org/llama"},
		{"/openai/models/org%2Fllama?api-version=2024-10-21", "org/llama"},
		{"/v1/models/azure%2Fgpt-4o", "azure/gpt-4o"},
		{"/v1/models/a%20b", "a b"},
		{"/v1/models/a%3Ab", "a:b"},
		{"/v1/models/50%25", "50%"},
		{"/v1/models/50%2525", ""},
		{"/v1/models/gpt%2D4o", "gpt-4o"},
	}
	bubble(t, plain, func(w *world) {
		for _, tt := range tests {
			got := w.do(w.t.Context(), http.MethodGet, tt.path, "")
			var model struct{ ID string }
			if err := json.Unmarshal([]byte(got.body), &model); err != nil || model.ID != tt.id || got.status == http.StatusOK != (tt.id != "") {
				t.Errorf("%s: %d %s", tt.path, got.status, got.body)
			}
		}
	}, "  mystery:", `  mystery: { aliases: [org/llama, "a b", "a:b", "50%"], deployments: [{ backend: east, deployment: mystery }] }
  another:`)
}
