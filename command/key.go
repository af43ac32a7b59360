package command

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

const (
	keyPrefix = "sk-weir-" // of every key, so that scanners for lost secrets know one
	keyBytes  = 32         // of chance in a key
	maxKey    = 4 << 10    // the longest key that is hashed
)

func keyCommand(s *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make the keys that callers present",
		Long: "Make the keys that callers present.\n\n" +
			"The configuration holds a key's SHA-256 alone, so the file gives no access to who\n" +
			"reads it.",
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "new TEAM",
		Short: "Make a key for a team and print it once",
		Args:  cobra.ExactArgs(1),
		RunE:  func(_ *cobra.Command, args []string) error { return s.newKey(args[0]) },
	}, &cobra.Command{
		Use:   "hash",
		Short: "Print the SHA-256 of a key that is read from standard input",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return s.hashKey() },
	})
	return cmd
}

// newKey prints a new key and the line that lets it in.
func (s *streams) newKey(team string) error {
	if !plainName(team) {
		return usageError{fmt.Errorf("%q cannot be a team: use up to 64 letters, digits, dots, dashes and underscores, a letter or digit first", team)}
	}
	secret := make([]byte, keyBytes)
	_, _ = rand.Read(secret) // it never fails
	key := keyPrefix + base64.RawURLEncoding.EncodeToString(secret)
	sum := hash(key)
	_, err := fmt.Fprintf(s.out, `Key of team %s, shown this once:

  %s

Put this under teams.%s.keys in the configuration:

  - { id: %.57s-%s, sha256: %s }
`, team, key, team, team, sum[:6], sum)
	if err != nil {
		return fmt.Errorf("writing the key: %w", err)
	}
	return nil
}

// plainName reports whether the configuration takes name as a team's.
func plainName(name string) bool {
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("-_.", rune(c))) {
			return false
		}
	}
	return name != "" && len(name) <= 64
}

// hashKey prints the hash of the one line that is read.
func (s *streams) hashKey() error {
	in, err := io.ReadAll(io.LimitReader(s.in, maxKey+1))
	if err != nil {
		return fmt.Errorf("reading the key: %w", err)
	}
	key := strings.TrimSpace(string(in))
	switch {
	case key == "":
		return errors.New("no key came on standard input")
	case len(in) > maxKey, strings.ContainsAny(key, "\r\n\t "):
		return errors.New("a key is one word: send it alone on standard input")
	}
	if _, err := fmt.Fprintln(s.out, hash(key)); err != nil {
		return fmt.Errorf("writing the hash: %w", err)
	}
	return nil
}

func hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}
