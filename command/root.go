// Package command is the command line, one file a command; serve wires every
// part to every other and shuts them down.
//
// What a part does is not decided here. A command writes to the streams it is
// given and returns an error; Main alone turns that into an exit code.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitOK        = 0
	exitError     = 1 // the configuration, or what happened
	exitUsage     = 2 // the command line
	exitUnhealthy = 3 // of healthcheck
)

// usageError says that the command line makes no sense.
type usageError struct{ error }

var errUnhealthy = errors.New("unhealthy")

// streams are where a command writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
	terminal bool // err is one
}

// Main runs the command line and returns its exit code.
func Main(ctx context.Context, args []string) int {
	s := &streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	if info, err := os.Stderr.Stat(); err == nil {
		s.terminal = info.Mode()&os.ModeCharDevice != 0
	}
	return s.main(ctx, args)
}

func (s *streams) main(ctx context.Context, args []string) int {
	root := rootCommand(s)
	root.SetArgs(args)
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	strict(root)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	_, _ = fmt.Fprintln(s.err, "weir:", err) // there is nowhere else to say it
	var wrong usageError
	switch {
	case errors.As(err, &wrong):
		return exitUsage
	case errors.Is(err, errUnhealthy):
		return exitUnhealthy
	default:
		return exitError
	}
}

func rootCommand(s *streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "weir",
		Short: "An OpenAI-compatible gateway in front of Azure OpenAI",
		Long: "An OpenAI-compatible gateway in front of Azure OpenAI.\n\n" +
			"Without a command it serves: what -c, WEIR_CONFIG or ./weir.yaml says, or else\n" +
			"the resource that AZURE_OPENAI_ENDPOINT names, with the key AZURE_OPENAI_API_KEY\n" +
			"or else with Entra ID.",
		Args:          none,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	servingFlags(s, root)
	root.AddCommand(serveCommand(s), demoCommand(s), validateCommand(s), doctorCommand(s), configCommand(s), keyCommand(s),
		tokensCommand(s), usageCommand(s), topCommand(s), healthcheckCommand(s), versionCommand(s))
	return root
}
