package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"weir/config"
)

func configCommand(s *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "What there is to configure",
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "schema",
		Short: "Print the JSON schema of the configuration file, for editors",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := s.out.Write(config.Schema()); err != nil {
				return fmt.Errorf("writing the schema: %w", err)
			}
			return nil
		},
	})
	show := &cobra.Command{
		Use:   "show",
		Short: "Print the configuration that serve would take, with its defaults and without its secrets",
		Args:  cobra.NoArgs,
	}
	path := configFlag(show)
	show.RunE = func(*cobra.Command, []string) error {
		f, _, err := s.load(*path, sources{})
		if err != nil {
			return err
		}
		_, err = io.WriteString(s.out, config.Shown(f))
		return err
	}
	cmd.AddCommand(show)
	return cmd
}
