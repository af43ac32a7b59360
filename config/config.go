// Package config is the configuration file as written, and every fault in it
// at once.
//
// A fault is a Problem with a place and a mend; a configuration with an error
// is never returned. Nothing here reads the environment, a file or a clock but
// through the Options it is given, and no text it makes holds a secret.
package config

import "time"

// Options are what reading a configuration needs of the world.
type Options struct {
	Getenv   func(string) (string, bool)  // os.LookupEnv; nil: no variable is set
	ReadFile func(string) ([]byte, error) // os.ReadFile; nil: no file can be read
	Now      time.Time                    // for keys that have expired; zero: none has

	// KnownModel returns the context window of a base model, if the gateway
	// knows it. Nil: every base model counts as known, with a window that is
	// not.
	KnownModel func(base string) (contextWindow int, ok bool)
}
