package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"weir/config"
	"weir/tokens"
	"weir/usage"
)

// configFlag returns the flag that names the configuration file.
func configFlag(cmd *cobra.Command) *string {
	path := cmd.Flags().StringP("config", "c", "", "configuration `file` (default: $WEIR_CONFIG, then ./weir.yaml, then the environment alone)")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml") // it fails only for a flag that does not exist
	return path
}

// load reads the configuration and reports its problems. Source says which it was
// and why that one; from becomes what was read.
func (s *streams) load(path string, from sources) (f *config.File, source string, err error) {
	f, problems, source := readFrom(path, from)
	for _, p := range problems {
		_, _ = fmt.Fprintln(s.err, p) // there is nowhere else to say it
	}
	if f == nil {
		return nil, source, errConfiguration
	}
	return f, source, nil
}

// read reads the configuration from the file that is named, or else from
// weir.yaml where there is one, or else from the environment alone. Source says
// which it was and why that one.
func read(path string) (f *config.File, problems []config.Problem, source string) {
	return readFrom(path, sources{})
}

// readFrom is read, and notes in from what the files hold that it reads.
func readFrom(path string, from sources) (f *config.File, problems []config.Problem, source string) {
	found, why := chosen(path)
	if found == "" {
		f, problems = config.FromEnvironment(from.options())
		return f, problems, "the environment: " + why
	}
	f, problems = config.Load(found, from.options())
	return f, problems, found + ": " + why
}

var errConfiguration = errors.New("the configuration has errors: nothing was started")

// chosen returns which configuration file to read, "" for none, and why that one.
func chosen(path string) (found, why string) {
	if path != "" {
		return path, "named with -c"
	}
	if path = os.Getenv("WEIR_CONFIG"); path != "" {
		return path, "named by WEIR_CONFIG"
	}
	if _, err := os.Stat(defaultFile); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return defaultFile, "found here"
	}
	return "", "no file was named and there is no " + defaultFile
}

const defaultFile = "weir.yaml"

// options returns what a configuration is read with.
func options() config.Options { return sources{}.options() }

// options returns what a configuration is read with whose sources s becomes.
func (s sources) options() config.Options {
	return config.Options{
		Getenv: os.LookupEnv, ReadFile: s.read, Now: time.Now(), Writable: writable,
		KnownModel: func(base string) (int, bool) {
			m := tokens.Lookup(base)
			return m.ContextWindow, m.Known
		},
		KnownPrice: func(base string) bool {
			_, ok := usage.PriceOf(base)
			return ok
		},
	}
}
