package command

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// plural returns how many there are of a noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// output is the form in which a command writes. It is a flag's value.
type output string

const (
	asText output = "text"
	asJSON output = "json"
)

// outputFlag returns the flag that says in which form a command writes.
func outputFlag(cmd *cobra.Command) *output {
	form := asText
	cmd.Flags().VarP(&form, "output", "o", "text or json")
	// It fails only for a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{string(asText), string(asJSON)}, cobra.ShellCompDirectiveNoFileComp))
	return &form
}

// Set takes the flag's value.
func (o *output) Set(value string) error {
	switch form := output(value); form {
	case asText, asJSON:
		*o = form
		return nil
	default:
		return fmt.Errorf("it must be %s or %s", asText, asJSON)
	}
}

// String returns the flag's value.
func (o *output) String() string { return string(*o) }

// Type returns what the flag's value is called in the help.
func (o *output) Type() string { return "form" }

// writeJSON writes a value for people and programs: on several lines.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}
