//go:build ignore

// Compare_models holds the model table against a published list of models, which
// it reads from standard input as JSON, and prints where they differ. It fails
// where the list has a chat model of which the table has no row.
package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"

	"weir/tokens"
)

// published is a model as the list has it.
type published struct {
	Context   int      `json:"context_window"`
	MaxOutput int      `json:"max_output_tokens"`
	Reasoning bool     `json:"reasoning_tokens"`
	Encoding  string   `json:"encoding"`
	Endpoints []string `json:"supported_endpoints"`
}

func main() {
	var list map[string]published
	if err := json.NewDecoder(os.Stdin).Decode(&list); err != nil {
		fmt.Fprintln(os.Stderr, "reading the list:", err)
		os.Exit(1)
	}
	missing, differ := 0, 0
	for _, name := range slices.Sorted(maps.Keys(list)) {
		p := list[name]
		if !slices.Contains(p.Endpoints, "chat_completions") {
			continue
		}
		m := tokens.Lookup(name)
		if !m.Known {
			missing++
			fmt.Printf("%-32s no row\n", name)
			continue
		}
		for _, d := range []struct {
			what      string
			ours, its any
			same      bool
		}{
			{"context", m.ContextWindow, p.Context, m.ContextWindow == 0 || p.Context == 0 || m.ContextWindow == p.Context},
			{"output", m.MaxOutput, p.MaxOutput, m.MaxOutput == 0 || p.MaxOutput == 0 || m.MaxOutput == p.MaxOutput},
			{"reasoning", m.Reasoning, p.Reasoning, m.Reasoning == p.Reasoning},
			{"encoding", m.Encoding, p.Encoding, p.Encoding == "" || m.Encoding == p.Encoding},
		} {
			if !d.same {
				differ++
				fmt.Printf("%-32s %-10s table %-12v list %v\n", name, d.what, d.ours, d.its)
			}
		}
	}
	fmt.Printf("%d differences, %d models without a row\n", differ, missing)
	if missing > 0 {
		os.Exit(1)
	}
}
