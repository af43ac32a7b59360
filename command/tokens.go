package command

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"weir/openai"
	"weir/tokens"
)

func tokensCommand(s *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tokens FILE...",
		Short: "Count the tokens of texts as the gateway does",
		Long: "Count the tokens of each file's text as the gateway does, without a network.\n" +
			"- is standard input. What a chat request adds to its texts is counted with --chat alone.",
	}
	model := cmd.Flags().String("model", "gpt-4o", "`name` of the model to count for")
	lines := cmd.Flags().Bool("lines", false, "read one JSON string a line from standard input, and print one count a line")
	chat := cmd.Flags().Bool("chat", false, "the files are chat requests: print tokens by message, tools and images")
	// It fails only for a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("model", func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		return modelNames(begun), cobra.ShellCompDirectiveNoFileComp
	})
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		switch {
		case *lines && *chat:
			return errors.New("--lines and --chat cannot be used together")
		case *lines:
			return cobra.NoArgs(cmd, args)
		}
		return cobra.MinimumNArgs(1)(cmd, args)
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		counter := s.counter(*model)
		switch {
		case *lines:
			return s.tokensOfLines(counter)
		case *chat:
			return s.tokensOfRequests(counter, args)
		default:
			return s.tokens(counter, args)
		}
	}
	return cmd
}

// counter returns the counter of a model, and says so where nothing is known of
// it.
func (s *streams) counter(name string) *tokens.Counter {
	model := tokens.Lookup(name)
	if !model.Known {
		_, _ = fmt.Fprintf(s.err, "weir: the model %q is not known: counting with %s\n", name, model.Encoding) // the count still holds
	}
	return new(tokens.Encodings).Counter(model)
}

// maxLine is the longest line that --lines reads, in bytes.
const maxLine = 64 << 20

// tokensOfLines counts JSON strings, one a line.
func (s *streams) tokensOfLines(counter *tokens.Counter) error {
	in := bufio.NewScanner(s.in)
	in.Buffer(nil, maxLine)
	out := bufio.NewWriter(s.out)
	for n := 1; in.Scan(); n++ {
		v, err := openai.ReadValue(in.Bytes())
		if err != nil || v.Kind() != openai.String {
			return fmt.Errorf("line %d of standard input is not a JSON string", n)
		}
		if _, err := fmt.Fprintln(out, counter.Text(v.Bytes())); err != nil {
			return fmt.Errorf("writing a count: %w", err)
		}
	}
	if err := errors.Join(in.Err(), out.Flush()); err != nil {
		return fmt.Errorf("counting lines: %w", err)
	}
	return nil
}

// tokensOfRequests counts chat requests, part by part.
func (s *streams) tokensOfRequests(counter *tokens.Counter, files []string) error {
	for _, file := range files {
		body, err := s.text(file)
		if err != nil {
			return err
		}
		r, err := openai.Parse(body)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := s.parts(file, r, counter.Request(r)); err != nil {
			return err
		}
	}
	return nil
}

// parts prints what each part of a request costs.
func (s *streams) parts(file string, r *openai.Request, c tokens.Count) error {
	var errs []error
	for i, m := range r.Messages() {
		errs = append(errs, s.count(c.Messages[i], fmt.Sprintf("messages[%d] %s", i, m.Role)))
	}
	for _, part := range []struct {
		name string
		n    int
	}{{"tools", c.Tools}, {"response_format", c.ResponseFormat}, {"prediction", c.Prediction}, {"beginning of the answer", c.Overhead}} {
		if part.n != 0 {
			errs = append(errs, s.count(part.n, part.name))
		}
	}
	if c.Images > 0 {
		errs = append(errs, s.count(c.Images, "images, which their messages include"))
	}
	total := file
	if c.Estimated {
		total += ", of which a part has no public rule and is charged by a bound"
	}
	return errors.Join(append(errs, s.count(c.Total, total))...)
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

// tokens counts the texts of files.
func (s *streams) tokens(counter *tokens.Counter, files []string) error {
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
