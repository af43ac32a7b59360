package command

import (
	"fmt"

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
