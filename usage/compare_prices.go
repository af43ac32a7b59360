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
	AudioOutput float64 `json:"output_cost_per_audio_token"`
	LongInput   float64 `json:"input_cost_per_token_above_272k_tokens"`
	LongCached  float64 `json:"cache_read_input_token_cost_above_272k_tokens"`
	LongOutput  float64 `json:"output_cost_per_token_above_272k_tokens"`
}

// price returns the price in the table's terms. A model that hears or speaks is
// charged as if it did nothing else.
func (p published) price() usage.Price {
	each := func(v float64) usage.USD { return usage.USD(math.Round(v * float64(usage.Dollar))) }
	out := usage.Price{
		Input: each(max(p.Input, p.AudioInput)), Cached: each(p.Cached), Output: each(max(p.Output, p.AudioOutput)),
		Reasoning: each(p.Reasoning), LongInput: each(p.LongInput), LongCached: each(p.LongCached), LongOutput: each(p.LongOutput),
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
// OpenAI that answer in text or embed, at Azure's global price, or at OpenAI's own
// where Azure lists none.
func chosen(raw map[string]json.RawMessage) map[string]published {
	out := map[string]published{}
	for _, azure := range []bool{true, false} {
		for key, value := range raw {
			var p published
			if json.Unmarshal(value, &p) != nil {
				continue // the list's own explanation
			}
			name, ours := strings.CutPrefix(key, "azure/")
			if ours != azure || strings.ContainsAny(name, "/") || strings.HasPrefix(name, "ft:") {
				continue
			}
			if rest, ok := strings.CutPrefix(name, "gpt-35-"); ok {
				name = "gpt-3.5-" + rest
			}
			if !azure && p.Provider != "openai" && p.Provider != "text-completion-openai" {
				continue
			}
			if _, ok := out[name]; !ok && concerns(name, p) {
				out[name] = p
			}
		}
	}
	return out
}

// concerns reports whether the table should have the model.
func concerns(name string, p published) bool {
	if !slices.Contains([]string{"chat", "completion", "responses", "embedding"}, p.Mode) || p.Input == 0 {
		return false
	}
	for _, prefix := range []string{"gpt-", "o1", "o3", "o4", "text-embedding-", "codex", "computer", "chat", "daybreak"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
