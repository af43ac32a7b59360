package command

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"weir/tokens"
)

func tokensCommand(s *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tokens FILE...",
		Short: "Count the tokens of texts as the gateway does",
		Long: "Count the tokens of each file's text as the gateway does, without a network.\n" +
			"- is standard input. What a chat request adds to its texts is not counted.",
		Args: cobra.MinimumNArgs(1),
	}
	model := cmd.Flags().String("model", "gpt-4o", "`name` of the model to count for")
	// It fails only for a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("model", func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		return modelNames(begun), cobra.ShellCompDirectiveNoFileComp
	})
	cmd.RunE = func(_ *cobra.Command, args []string) error { return s.tokens(*model, args) }
	return cmd
}

// modelNames returns the models that are known and begin so.
func modelNames(begun string) []string {
	var names []string
	for _, m := range tokens.Models() {
		if strings.HasPrefix(m.Prefix, begun) && !strings.HasSuffix(m.Prefix, ".") {
			names = append(names, m.Prefix)
		}
	}
	return names
}

func (s *streams) tokens(name string, files []string) error {
	model := tokens.Lookup(name)
	if !model.Known {
		_, _ = fmt.Fprintf(s.err, "weir: the model %q is not known: counting with %s\n", name, model.Encoding) // the count still holds
	}
	counter := new(tokens.Encodings).Counter(model)
	sum := 0
	for _, file := range files {
		text, err := s.text(file)
		if err != nil {
			return err
		}
		n := counter.Text(text)
		sum += n
		if err := s.count(n, file); err != nil {
			return err
		}
	}
	if len(files) > 1 {
		return s.count(sum, "total")
	}
	return nil
}

func (s *streams) count(n int, what string) error {
	if _, err := fmt.Fprintf(s.out, "%8d  %s\n", n, what); err != nil {
		return fmt.Errorf("writing the count: %w", err)
	}
	return nil
}

// text returns what a file holds, or standard input for "-".
func (s *streams) text(file string) ([]byte, error) {
	if file == "-" {
		b, err := io.ReadAll(s.in)
		if err != nil {
			return nil, fmt.Errorf("reading standard input: %w", err)
		}
		return b, nil
	}
	b, err := os.ReadFile(file) //nolint:gosec // the caller named it
	if err != nil {
		return nil, fmt.Errorf("reading a text: %w", err)
	}
	return b, nil
}
