package command

import (
	"fmt"

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
	return cmd
}
