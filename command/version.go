package command

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func versionCommand(s *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print what this binary was built from",
		Args:  cobra.NoArgs,
	}
	form := outputFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		b := built()
		if *form == asJSON {
			return writeJSON(s.out, b)
		}
		if _, err := fmt.Fprintln(s.out, b); err != nil {
			return fmt.Errorf("writing the version: %w", err)
		}
		return nil
	}
	return cmd
}

// build is what a binary was built from.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`   // "" where it was not built in a repository
	Modified bool   `json:"modified"` // the commit is not all of it
	Time     string `json:"time"`     // of the commit
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// String returns the build in one line.
func (b build) String() string {
	commit := cmp.Or(b.Commit, "unknown")
	if b.Modified {
		commit += ", modified"
	}
	return fmt.Sprintf("weir %s (commit %s, %s, %s)", b.Version, commit, b.Go, b.Platform)
}

// built returns what this binary was built from, as the go command noted it.
func built() build {
	b := build{Version: version(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// version returns the version of this binary.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "(development)"
}
