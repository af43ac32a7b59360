//go:build ignore

// Compare_prices holds the price table against a published list of prices, which
// it reads from standard input as JSON, and prints where they differ. It fails
// where the list prices one of OpenAI's models of which the table has no row.
package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"

	"weir/usage"
)

// published is a model as the list has it, in dollars for one token.
type published struct {
	Provider    string  `json:"litellm_provider"`
	Mode        string  `json:"mode"`
	Input       float64 `json:"input_cost_per_token"`
	Cached      float64 `json:"cache_read_input_token_cost"`
	Output      float64 `json:"output_cost_per_token"`
	Reasoning   float64 `json:"output_cost_per_reasoning_token"`
	AudioInput  float64 `json:"input_cost_per_audio_token"`
	AudioCached float64 `json:"cache_read_input_audio_token_cost"`
	AudioOutput float64 `json:"output_cost_per_audio_token"`
	ImageInput  float64 `json:"input_cost_per_image_token"`
	ImageCached float64 `json:"cache_read_input_image_token_cost"`
	ImageOutput float64 `json:"output_cost_per_image_token"`
	LongInput   float64 `json:"input_cost_per_token_above_272k_tokens"`
	LongCached  float64 `json:"cache_read_input_token_cost_above_272k_tokens"`
	LongOutput  float64 `json:"output_cost_per_token_above_272k_tokens"`
	Second      float64 `json:"input_cost_per_second"`
}

// price returns the price in the table's terms. What has a price by tokens is not
// charged by its length.
func (p published) price() usage.Price {
	each := func(v float64) usage.USD { return usage.USD(math.Round(v * float64(usage.Dollar))) }
	out := usage.Price{
		Input: each(p.Input), Cached: each(p.Cached), Output: each(p.Output), Reasoning: each(p.Reasoning),
		Audio:     usage.Rates{Input: each(p.AudioInput), Cached: each(p.AudioCached), Output: each(p.AudioOutput)},
		Image:     usage.Rates{Input: each(p.ImageInput), Cached: each(p.ImageCached), Output: each(p.ImageOutput)},
		LongInput: each(p.LongInput), LongCached: each(p.LongCached), LongOutput: each(p.LongOutput),
	}
	if p.Input == 0 {
		out.Second = each(p.Second)
	}
	if out.LongInput > 0 {
		out.Long = 272_000
	}
	return out
}

func main() {
	var raw map[string]json.RawMessage
	if err := json.NewDecoder(os.Stdin).Decode(&raw); err != nil {
		fmt.Fprintln(os.Stderr, "reading the list:", err)
		os.Exit(1)
	}
	list := chosen(raw)
	missing, differ := 0, 0
	for _, name := range slices.Sorted(maps.Keys(list)) {
		want := list[name].price()
		got, ok := usage.PriceOf(name)
		switch {
		case !ok:
			missing++
			fmt.Printf("%-32s no row; the list has %+v\n", name, want)
		case got != want:
			differ++
			fmt.Printf("%-32s table %+v\n%-32s list  %+v\n", name, got, "", want)
		}
	}
	fmt.Printf("%d models, %d differences, %d without a row\n", len(list), differ, missing)
	if missing > 0 {
		os.Exit(1)
	}
}

// chosen returns the models of the list that the table is about, by name: those of
// OpenAI, at Azure's global price, or at OpenAI's own where Azure lists none.
func chosen(raw map[string]json.RawMessage) map[string]published {
	azure, openai := map[string]published{}, map[string]published{}
	for key, value := range raw {
		var p published
		if json.Unmarshal(value, &p) != nil {
			continue // the list's own explanation
		}
		name, ours := strings.CutPrefix(key, "azure/")
		if strings.ContainsAny(name, "/") || strings.HasPrefix(name, "ft:") {
			continue
		}
		if rest, ok := strings.CutPrefix(name, "gpt-35-"); ok {
			name = "gpt-3.5-" + rest
		}
		switch {
		case !concerns(name, p):
		case ours:
			azure[name] = p
		case p.Provider == "openai" || p.Provider == "text-completion-openai":
			openai[name] = p
		}
	}
	return merged(azure, openai)
}

// merged returns Azure's prices, and OpenAI's of what Azure does not price. A version
// that only OpenAI lists has Azure's price of its model.
func merged(azure, openai map[string]published) map[string]published {
	out := maps.Clone(azure)
	version := regexp.MustCompile(`-20\d\d-\d\d-\d\d$`)
	for name, p := range azure {
		if q, ok := openai[version.ReplaceAllString(name, "")]; ok && p.ImageCached == 0 && p.ImageInput == q.ImageInput {
			p.ImageCached = q.ImageCached
			out[name] = p
		}
	}
	for name, p := range openai {
		_, listed := azure[name]
		if _, base := azure[version.ReplaceAllString(name, "")]; !listed && !base {
			out[name] = p
		}
	}
	return out
}

// concerns reports whether the table should have the model. Sessions that are paid
// for by their length are told of by nobody, and so charged by nobody.
func concerns(name string, p published) bool {
	modes := []string{"chat", "completion", "responses", "embedding", "realtime", "audio_transcription", "audio_speech", "image_generation"}
	if !slices.Contains(modes, p.Mode) || p.Input == 0 && (p.Second == 0 || p.Mode == "realtime") {
		return false
	}
	for _, prefix := range []string{"gpt-", "o1", "o3", "o4", "text-embedding-", "codex", "computer", "chat", "daybreak", "whisper"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
