package command

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// strict makes arguments that a command does not take an error of usage, in root
// and in everything below it: cobra itself shows the help instead, or reports
// them like any other error.
func strict(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	each(root, func(cmd *cobra.Command) {
		cmd.SuggestionsMinimumDistance = 2
		takes := cmd.Args
		switch {
		case cmd.Name() == "help":
			takes = topic
		case !cmd.Runnable():
			takes = none
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if takes == nil {
				return nil
			}
			if err := takes(cmd, args); err != nil {
				return usageError{fmt.Errorf("%w: see %s --help", err, cmd.CommandPath())}
			}
			return nil
		}
	})
}

func each(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, c := range cmd.Commands() {
		each(c, do)
	}
}

// none refuses what is no command of cmd's.
func none(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("there is no command %q", cmd.CommandPath()+" "+args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%w, did you mean %q", err, near[0])
	}
	return err
}

// topic refuses what there is no help about.
func topic(cmd *cobra.Command, args []string) error {
	found, rest, err := cmd.Root().Find(args)
	if err != nil {
		return errors.New("there is no such command")
	}
	return none(found, rest)
}
