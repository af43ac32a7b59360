package command

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"weir/config"
)

func validateCommand(s *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check a configuration and report every fault in it",
		Long: "Check the configuration that serve would take, and report every fault in it with\n" +
			"its place and its mend. Nothing is started and nobody is called.",
		Args: cobra.NoArgs,
	}
	path, form := configFlag(cmd), outputFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error { return s.validate(*path, *form) }
	return cmd
}

// verdict is what validate prints as JSON.
type verdict struct {
	File     string           `json:"file"` // "environment" where there is no file
	Valid    bool             `json:"valid"`
	Problems []config.Problem `json:"problems"`
}

func (s *streams) validate(path string, form output) error {
	file, _ := chosen(path)
	if file == "" {
		file = "environment"
	}
	f, problems, _ := read(path)
	if form == asJSON {
		if err := writeJSON(s.out, verdict{File: file, Valid: f != nil, Problems: append([]config.Problem{}, problems...)}); err != nil {
			return err
		}
	} else {
		for _, p := range problems {
			_, _ = fmt.Fprintln(s.out, p) // the exit code says the rest
		}
	}
	warnings := 0
	for _, p := range problems {
		if p.Severity == config.Warning {
			warnings++
		}
	}
	if f == nil {
		return fmt.Errorf("%s has %s and %s", file, plural(len(problems)-warnings, "error"), plural(warnings, "warning"))
	}
	if form == asText {
		_, _ = fmt.Fprintf(s.out, "%s is valid (%s)\n", file, plural(warnings, "warning"))
	}
	return nil
}

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

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}
